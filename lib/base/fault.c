#include "lib/base/fault.h"

#ifdef MH_FAULT_POINTS
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/str.h"

struct wish {
	const char *name; /* NULL: none */
	size_t len;
	int64_t n;
	atomic_llong passed;
};
static struct wish killing, stalling;

static void read_wish(const char *variable, struct wish *wish)
{
	const char *text = getenv(variable);
	struct mh_err err;
	char *name, *colon;

	if (!text)
		return;
	name = mh_strdup(text);
	colon = strchr(name, ':');
	wish->n = 1;
	wish->len = colon ? (size_t)(colon - name) : strlen(name);
	if (!colon || str_to_i64(colon + 1, 1, INT64_MAX, variable, &wish->n, &err) == 0)
		wish->name = name; /* kept until the process ends */
}

/* Once: a handler empties its environment, and inherits what its shim has read. */
static void read_wishes(void)
{
	read_wish("MILLHAND_KILL_AT", &killing);
	read_wish("MILLHAND_STALL_AT", &stalling);
}

static bool is_due(struct wish *wish, const char *name)
{
	return wish->name && strlen(name) == wish->len &&
	       strncmp(wish->name, name, wish->len) == 0 &&
	       atomic_fetch_add(&wish->passed, 1) + 1 == wish->n;
}

void fault_point(const char *name)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void)pthread_once(&once, read_wishes); /* never fails */
	if (is_due(&killing, name))
		(void)raise(SIGKILL);
	if (is_due(&stalling, name)) {
		for (;;)
			(void)pause(); /* whatever signals come */
	}
}
#else
/* Nothing to compile in; ISO C wants a declaration in every file. */
typedef int fault_points_are_not_compiled_in;
#endif
