#include "lib/base/fault.h"

#ifdef MH_FAULT_POINTS
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/str.h"

static struct {
	const char *name;
	size_t len;
	int64_t n;
} wish;

/* Once: a handler empties its environment, and inherits what its shim has read. */
static void read_wish(void)
{
	const char *text = getenv("MILLHAND_KILL_AT");
	struct mh_err err;
	char *name, *colon;

	if (!text)
		return;
	name = mh_strdup(text);
	colon = strchr(name, ':');
	wish.n = 1;
	wish.len = colon ? (size_t)(colon - name) : strlen(name);
	if (!colon ||
	    str_to_i64(colon + 1, 1, INT64_MAX, "MILLHAND_KILL_AT", &wish.n, &err) == 0)
		wish.name = name; /* kept until the process ends */
}

void fault_point(const char *name)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	static atomic_llong passed;

	(void)pthread_once(&once, read_wish); /* never fails */
	if (!wish.name || strlen(name) != wish.len ||
	    strncmp(wish.name, name, wish.len) != 0)
		return;
	if (atomic_fetch_add(&passed, 1) + 1 == wish.n)
		(void)raise(SIGKILL);
}
#else
/* Nothing to compile in; ISO C wants a declaration in every file. */
typedef int fault_points_are_not_compiled_in;
#endif
