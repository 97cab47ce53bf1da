#include "lib/base/protect.h"

#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "lib/base/macros.h"
#include "lib/base/str.h"

#if defined(__SANITIZE_ADDRESS__)
#define LEAKS_ARE_CHECKED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LEAKS_ARE_CHECKED
#endif
#endif

void protect_process(void)
{
	struct rlimit no_core = { 0, 0 };

	(void)umask(077); /* answers the old one */
	(void)setrlimit(RLIMIT_CORE, &no_core); /* lowering is always allowed */
#ifndef LEAKS_ARE_CHECKED
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* a hardening; works without */
#endif
}

void protect_environment(const char *const *names)
{
	for (; *names; names++) {
		char *shown = getenv(*names);
		CLEAN(free) char *copy = NULL;

		if (!shown || !*shown)
			continue;
		copy = mh_strdup(shown);
		/* setenv() makes a new string, and lets the old one lie. */
		if (setenv(*names, copy, 1) == 0 && getenv(*names) != shown)
			explicit_bzero(shown, strlen(shown));
		explicit_bzero(copy, strlen(copy));
	}
}
