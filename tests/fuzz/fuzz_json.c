/* The strict JSON reader: it takes what the reference takes and makes the same of it;
 * what is taken can be written and read again, and is then the same. */
#include "lib/base/json.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/json_reference.h"

static void compare(const char *in, size_t size, int rc, struct json_object *doc,
		    const struct mh_err *err)
{
	CLEAN(json) struct json_object *expected = NULL;
	struct mh_err reference_err = MH_ERR_INIT;
	int expected_rc = json_reference_parse(in, size, &expected, &reference_err);

	if (rc != 0 && expected_rc == 0) {
		/* Two spellings of one key: the reader alone sees that. */
		MH_ASSERT(strstr(err->text, "comes twice"));
		return;
	}
	MH_ASSERT(rc == expected_rc);
	if (rc != 0)
		return;
	/* json-c takes U+1D800 to U+1DFFF and their like for halves of pairs. */
	if (doc && strstr(json_text(expected), "\xef\xbf\xbd"))
		return;
	MH_ASSERT(json_object_equal(doc, expected));
	if (doc) {
		CLEAN(free) char *text = mh_strdup(json_text(doc));

		MH_ASSERT(strcmp(text, json_text(expected)) == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEAN(json) struct json_object *doc = NULL, *again = NULL, *object = NULL;
	CLEAN(free) char *text = NULL;
	struct mh_err err = MH_ERR_INIT;
	const char *in = (const char *)data;
	int rc = json_parse(in, size, &doc, &err);

	MH_ASSERT(rc == 0 || (doc == NULL && err.cls == MH_E_PROTO && *err.text));
	compare(in, size, rc, doc, &err);
	MH_ASSERT((json_parse_object(in, size, &object, &err) == 0) ==
		  (rc == 0 && json_object_is_type(doc, json_type_object)));
	if (rc != 0 || doc == NULL)
		return 0;
	text = mh_strdup(json_text(doc));
	MH_ASSERT(json_parse(text, strlen(text), &again, &err) == 0);
	MH_ASSERT(strcmp(json_text(again), text) == 0);
	return 0;
}
