#include "lib/base/fault.h"

#ifdef MH_FAULT_POINTS
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/str.h"

void fault_point(const char *name)
{
	static atomic_llong passed;
	const char *wish = getenv("MILLHAND_KILL_AT");
	size_t len = strlen(name);
	struct mh_err err;
	int64_t n = 1;

	if (!wish || strncmp(wish, name, len) != 0 ||
	    (wish[len] != '\0' && wish[len] != ':'))
		return;
	if (wish[len] == ':' &&
	    str_to_i64(wish + len + 1, 1, INT64_MAX, "MILLHAND_KILL_AT", &n, &err) != 0)
		return;
	if (atomic_fetch_add(&passed, 1) + 1 == n)
		(void)raise(SIGKILL);
}
#else
/* Nothing to compile in; ISO C wants a declaration in every file. */
typedef int fault_points_are_not_compiled_in;
#endif
