/* Patterns of triggers: the first line is a pattern, the second a text. */
#include "emulator/glob.h"
#include "lib/base/err.h"
#include "tests/fuzz/fuzz.h"

#define SIGNS "*?[{\\,}"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size };
	CLEAN(free) char *pattern = fuzz_line(&in);
	CLEAN(free) char *text = fuzz_rest(&in);
	CLEAN(free) char *quoted = mh_alloc(2 * strlen(pattern) + 1);
	struct mh_err err = MH_ERR_INIT;
	size_t n = 0;

	if (glob_check(pattern, &err) != 0) {
		MH_ASSERT(*err.text && !glob_matches(pattern, text));
		return 0;
	}
	if (!strpbrk(pattern, SIGNS))
		MH_ASSERT(glob_matches(pattern, text) == (strcmp(pattern, text) == 0));
	else
		(void)glob_matches(pattern, text); /* must not crash */
	/* With every sign escaped, a pattern matches itself. */
	for (const char *p = pattern; *p; p++) {
		if (strchr(SIGNS, *p))
			quoted[n++] = '\\';
		quoted[n++] = *p;
	}
	if (glob_check(quoted, &err) == 0)
		MH_ASSERT(glob_matches(quoted, pattern));
	return 0;
}
