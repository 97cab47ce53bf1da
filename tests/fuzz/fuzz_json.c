/* The strict JSON check and json-c behind it: what is taken can be written and read
 * again, and is then the same. */
#include "lib/base/json.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEAN(json) struct json_object *doc = NULL, *again = NULL, *object = NULL;
	CLEAN(free) char *text = NULL;
	struct mh_err err = MH_ERR_INIT;
	const char *in = (const char *)data;
	int rc = json_parse(in, size, &doc, &err);

	MH_ASSERT(rc == 0 || (doc == NULL && err.cls == MH_E_PROTO && *err.text));
	MH_ASSERT(json_check(in, size, &err) == rc);
	MH_ASSERT((json_parse_object(in, size, &object, &err) == 0) ==
		  (rc == 0 && json_object_is_type(doc, json_type_object)));
	if (rc != 0 || doc == NULL)
		return 0;
	text = mh_strdup(json_text(doc));
	MH_ASSERT(json_parse(text, strlen(text), &again, &err) == 0);
	MH_ASSERT(strcmp(json_text(again), text) == 0);
	return 0;
}
