/* A second opinion on JSON for fuzz_json: slower, and written another way. */
#ifndef MH_TESTS_FUZZ_JSON_REFERENCE_H
#define MH_TESTS_FUZZ_JSON_REFERENCE_H

#include "lib/base/json.h"

/* As json_parse(), but that two spellings of one key are let pass. */
int json_reference_parse(const char *text, size_t len, struct json_object **ret,
			 struct mh_err *err) MH_MUST_CHECK;

#endif
