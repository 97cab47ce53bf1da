/* Variables in configurations: the first line is the values' JSON, the rest the text.
 * What is resolved holds all that stood between the references. */
#include "emulator/engine/pipelines.h"
#include "emulator/engine/variables.h"
#include "tests/fuzz/fuzz.h"

/* References lie in order, inside of the text. */
static size_t count_references(const char *text)
{
	const char *end = text + strlen(text);
	struct variable_ref ref;
	size_t count = 0;

	MH_ASSERT(variables_present(text) == variables_next(text, &ref));
	for (; variables_next(text, &ref); text = ref.start + ref.len) {
		MH_ASSERT(ref.start >= text && ref.start + ref.len <= end);
		MH_ASSERT(ref.ns_len > 0 && ref.key_len > 0);
		MH_ASSERT(ref.ns_len + ref.key_len + 4 == ref.len);
		count++;
	}
	return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size };
	CLEAN(free) char *json = fuzz_line(&in);
	CLEAN(free) char *text = fuzz_rest(&in);
	CLEAN(free) char *resolved = NULL;
	CLEAN(json) struct json_object *values = NULL, *all = NULL, *out = NULL;
	struct mh_err err = MH_ERR_INIT;
	size_t count = count_references(text);

	if (json_parse_object(json, strlen(json), &values, &err) != 0)
		values = json_object_new_object();
	if (variables_resolve(text, values, &resolved, &err) != 0) {
		MH_ASSERT(err.cls == MH_E_REFUSED && !resolved);
		MH_ASSERT(count > 0 || strlen(text) > VARIABLES_RESOLVED_MAX_BYTES);
	} else {
		MH_ASSERT(strlen(resolved) <= VARIABLES_RESOLVED_MAX_BYTES);
		MH_ASSERT(count > 0 || strcmp(resolved, text) == 0);
	}
	all = json_object_new_object();
	json_put_str(all, "a", text);
	json_put_str(all, "b", text);
	if (variables_resolve_all(all, values, &out, &err) == 0)
		MH_ASSERT(resolved && strcmp(json_opt_str(out, "b", ""), resolved) == 0);
	return 0;
}
