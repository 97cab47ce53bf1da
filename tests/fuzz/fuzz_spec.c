/* The job spec as the shim reads it: what is taken keeps within its limits, and names no
 * file outside the job's directory. */
#include "agent/job/spec.h"
#include "tests/fuzz/fuzz.h"

static void check_artifacts(const struct spec_artifact *list, size_t count)
{
	MH_ASSERT(count <= SPEC_MAX_ARTIFACTS);
	for (size_t i = 0; i < count; i++) {
		MH_ASSERT(*list[i].name && !strchr(list[i].name, '/'));
		MH_ASSERT(list[i].file[0] != '/' && !strstr(list[i].file, ".."));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEAN(spec) struct spec s = { .doc = NULL };
	struct mh_err err = MH_ERR_INIT;

	if (spec_parse((const char *)data, size, &s, &err) != 0) {
		MH_ASSERT(err.cls != MH_OK && *err.text && s.doc == NULL);
		return 0;
	}
	check_artifacts(s.inputs, s.input_count);
	check_artifacts(s.outputs, s.output_count);
	MH_ASSERT(s.plugin[0] == '/' && s.work_dir[0] == '/');
	MH_ASSERT(s.grace_ms >= 0 && s.grace_ms <= SPEC_GRACE_MAX_MS);
	MH_ASSERT(s.outputs_min <= s.output_count);
	MH_ASSERT(s.write_dir_count <= SPEC_MAX_WRITE_DIRS);
	MH_ASSERT(s.processes > 0 && s.processes <= SPEC_PROCESSES_MAX);
	json_object_object_foreach(s.config, key, value)
	{
		MH_ASSERT(json_object_is_type(value, json_type_string));
		(void)spec_is_public(&s, key); /* either answer will do */
	}
	return 0;
}
