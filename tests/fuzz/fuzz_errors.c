/* What an HTTP answer means: status, x-amzn-ErrorType and body are the input's. */
#include "agent/cp_api.h"
#include "lib/base/json.h"
#include "tests/fuzz/fuzz.h"

static bool is_code_byte(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
	       (c >= 'a' && c <= 'z') || c == '.' || c == '_';
}

static void check_answer(const struct cp_raw *raw, const struct cp_answer *a)
{
	bool well = raw->status >= 200 && raw->status <= 299;

	MH_ASSERT(*cp_result_name(a->result));
	MH_ASSERT(well || a->result != CP_OK);
	MH_ASSERT(!well || a->result == CP_OK || a->result == CP_UNKNOWN);
	MH_ASSERT((a->result == CP_OK) == (a->err.cls == MH_OK));
	MH_ASSERT(a->result == CP_OK || *a->err.text);
	MH_ASSERT(str_is_utf8(a->err.text, strlen(a->err.text)));
	for (const char *c = a->code; *c; c++)
		MH_ASSERT(is_code_byte(*c));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size };
	struct cp_raw raw = { .sent = true };
	struct cp_answer a = { .asked_ms = -1 };
	CLEAN(free) char *type = NULL;

	raw.status = 200 + (long)(fuzz_byte(&in) << 8 | fuzz_byte(&in)) % 400;
	type = fuzz_line(&in);
	raw.error_type = *type ? type : NULL;
	raw.body = (const char *)in.data;
	raw.len = in.left;
	cp_classify(&raw, &a);
	check_answer(&raw, &a);
	json_object_put(a.body);
	return 0;
}
