/* What a GET asks for beyond the name: lines of the input are the object's size, Range,
 * If-Match, If-None-Match, If-Modified-Since and If-Unmodified-Since. */
#include "emulator/s3/range.h"
#include "lib/base/str.h"
#include "tests/fuzz/fuzz.h"

#define ETAG "0123456789abcdef0123456789abcdef"

/* An empty line: the header is absent. */
static const char *header(const char *line)
{
	return *line ? line : NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size };
	CLEAN(free) char *number = fuzz_line(&in);
	CLEAN(free) char *range = fuzz_line(&in);
	CLEAN(free) char *match = fuzz_line(&in);
	CLEAN(free) char *none = fuzz_line(&in);
	CLEAN(free) char *since = fuzz_line(&in);
	CLEAN(free) char *until = fuzz_line(&in);
	struct conditions c = { header(match), header(none), header(since),
				header(until) };
	struct mh_err err = MH_ERR_INIT;
	struct range r;
	int64_t total;
	int status;

	if (str_to_i64(number, 0, INT64_MAX, "size", &total, &err) != 0)
		total = 1000;
	r = range_parse(header(range), total);
	if (r.kind == RANGE_PART)
		MH_ASSERT(r.start >= 0 && r.len > 0 && r.start < total &&
			  r.len <= total - r.start);
	if (r.kind == RANGE_WHOLE)
		MH_ASSERT(r.start == 0 && r.len == total);
	status = conditions_check(&c, ETAG, INT64_C(1763635143000));
	MH_ASSERT(status == 200 || status == 304 || status == 412);
	MH_ASSERT(status != 304 || c.if_none_match || c.if_modified_since);
	return 0;
}
