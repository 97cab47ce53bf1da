/*
 * result.json as the agent reads it, and the document that a program may leave for its
 * plugin. What the agent takes goes into the ledger, comes out of it again, and becomes
 * a report within the API's limits.
 */
#include "agent/job/result.h"
#include "agent/outcome.h"
#include "include/millhand/plugin.h"
#include "lib/base/str.h"
#include "tests/fuzz/fuzz.h"

#define ID "11111111-2222-3333-4444-555555555555"

static const char *const names[] = { "A", "B" };

/* Limits of the service model (semantics C12, C13). */
static void check_body(enum outcome_kind kind, struct json_object *body)
{
	struct json_object *failure = json_opt_object(body, "failureDetails");
	struct json_object *run = json_opt_object(body, "executionDetails");
	const char *message = json_opt_str(failure, "message", "m");
	const char *summary = json_opt_str(run, "summary", "");
	int64_t percent = json_opt_i64(run, "percentComplete", 0);

	MH_ASSERT((kind == OUTCOME_FAILURE) == (failure != NULL));
	MH_ASSERT(*message && str_utf8_count(message, strlen(message)) <= 5000);
	MH_ASSERT(str_utf8_count(summary, strlen(summary)) <= 2048);
	MH_ASSERT(percent >= 0 && percent <= 100);
	MH_ASSERT(kind != OUTCOME_CONTINUATION ||
		  *json_opt_str(body, "continuationToken", ""));
	MH_ASSERT(!json_opt_str(body, "continuationToken", NULL) ||
		  !json_opt_object(body, "outputVariables"));
}

static void read_result(const uint8_t *data, size_t size)
{
	struct outcome_expect expect = { .outputs = names,
					 .output_count = ARRAY_LEN(names),
					 .outputs_min = 1 };
	CLEAN(outcome) struct outcome o = { .text = NULL }, again = { .text = NULL };
	CLEAN(json) struct json_object *doc = NULL, *body = NULL;
	struct mh_err err = MH_ERR_INIT;

	if (outcome_from_result((const char *)data, size, &expect, &o, &err) != 0) {
		MH_ASSERT(err.cls != MH_OK && *err.text && !o.text);
		return;
	}
	MH_ASSERT(o.kind != OUTCOME_NONE && o.outputs <= ARRAY_LEN(names));
	MH_ASSERT(outcome_parse(o.text, &again, &err) == 0);
	MH_ASSERT(again.kind == o.kind && again.outputs == o.outputs &&
		  again.delay_ms == o.delay_ms);
	MH_ASSERT(outcome_doc(o.text, &doc, &err) == 0);
	for (size_t i = 0; i < o.outputs; i++) {
		struct outcome_output one;

		MH_ASSERT(outcome_output_at(doc, i, &one, &err) == 0);
		MH_ASSERT(strncmp(one.file, "store/", 6) == 0 && one.size >= 0);
		MH_ASSERT(!strstr(one.file, ".."));
	}
	body = outcome_put_body(doc, ID);
	check_body(o.kind, body);
}

/* The result as its own JSON, read again, is the same. */
static void apply(struct json_object *doc)
{
	CLEAN(result) struct result r = RESULT_INIT, again = RESULT_INIT;
	CLEAN(json) struct json_object *first = NULL, *second = NULL;
	CLEAN(free) char *text = NULL;
	struct mh_err err = MH_ERR_INIT;

	if (result_apply_document(&r, doc, &err) != 0) {
		MH_ASSERT(r.kind == RESULT_NONE && !r.summary && !r.variables);
		return;
	}
	if (r.kind == RESULT_NONE && result_succeed(&r, &err) != 0)
		return;
	first = result_to_json(&r);
	text = mh_strdup(json_text(first));
	MH_ASSERT(result_from_json(&again, first, &err) == 0);
	second = result_to_json(&again);
	MH_ASSERT(strcmp(text, json_text(second)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEAN(json) struct json_object *doc = NULL;
	struct mh_err err = MH_ERR_INIT;

	read_result(data, size);
	if (json_parse_object((const char *)data, size, &doc, &err) == 0)
		apply(doc);
	return 0;
}
