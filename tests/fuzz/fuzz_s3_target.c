/* Which bucket and key a request names: the Host header in the first line, the request
 * target in the second. */
#include "emulator/s3/target.h"
#include "lib/base/str.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size };
	CLEAN(free) char *host = fuzz_line(&in);
	CLEAN(free) char *raw = fuzz_line(&in);
	struct mh_err err = MH_ERR_INIT;
	struct target t = { 0 };

	if (target_parse(raw, *host ? host : NULL, &t, &err) != 0) {
		MH_ASSERT(err.cls == MH_E_PROTO && *err.text && !t.path && !t.bucket);
		return 0;
	}
	MH_ASSERT(t.path[0] == '/');
	MH_ASSERT(!t.key || (*t.key && t.bucket && str_is_utf8(t.key, strlen(t.key))));
	if (t.bucket && bucket_name_is_valid(t.bucket))
		MH_ASSERT(!strchr(t.bucket, '/') && strlen(t.bucket) <= 63);
	target_done(&t);
	return 0;
}
