/* The model's regular expressions: the first line is a pattern, the rest the text. Where
 * a pattern has no sign of its own, it matches itself and nothing else. */
#include "emulator/pattern.h"
#include "lib/base/str.h"
#include "tests/fuzz/fuzz.h"

#define SIGNS "\\.[]{}()*+?|^$"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size };
	CLEAN(free) char *source = fuzz_line(&in);
	const char *text = (const char *)in.data;
	struct mh_err err = MH_ERR_INIT;
	struct pattern *p = NULL;
	bool matches;

	if (!str_is_utf8(source, strlen(source)) || !str_is_utf8(text, in.left))
		return 0;
	if (pattern_new(source, &p, &err) != 0) {
		MH_ASSERT(p == NULL && *err.text);
		return 0;
	}
	matches = pattern_matches(p, text, in.left);
	if (!strpbrk(source, SIGNS)) {
		MH_ASSERT(matches == (strlen(source) == in.left &&
				      memcmp(source, text, in.left) == 0));
		MH_ASSERT(pattern_matches(p, source, strlen(source)));
	}
	pattern_free(p);
	return 0;
}
