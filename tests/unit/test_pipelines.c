/* The pipeline operations on a store in memory (semantics B, D1, E1, E5, I12). */
#include "tests/unit/ops.h"

#include <json-c/json_pointer.h>
#include <stdio.h>

#include "emulator/engine/pipelines.h"
#include "emulator/seal.h"
#include "tests/unit/declare_types.h"

#define NOT_FOUND "Account '000000000000' does not have a pipeline with name 'P'"

static int open_ops(void **state)
{
	static struct ops ops;

	ops_open(&ops);
	ops_do(&ops, "CreateCustomActionType", MAKE_TYPE);
	*state = &ops;
	return 0;
}

static int close_ops(void **state)
{
	ops_close(*state);
	return 0;
}

static char *input(const char *pipeline)
{
	return mh_format("{\"pipeline\":%s}", pipeline);
}

/* The base pipeline under another name; the caller frees it. */
static char *named(const char *name)
{
	static const char base[] = MAKE_PIPELINE;
	const char *rest = base + strlen("{\"name\":\"P\"");

	return mh_format("{\"pipeline\":{\"name\":\"%s\"%s}", name, rest);
}

static struct json_object *create(struct ops *o)
{
	CLEAN(free) char *in = input(MAKE_PIPELINE);

	return ops_ok(o, "CreatePipeline", in);
}

/* The same, for tests that do not look at the answer. */
static void have_pipeline(struct ops *o)
{
	json_object_put(create(o));
}

/* UpdatePipeline with what an answer holds. */
static struct json_object *update(struct ops *o, struct json_object *answer)
{
	CLEAN(free) char *in = input(json_text(json_opt_object(answer, "pipeline")));

	return ops_ok(o, "UpdatePipeline", in);
}

static const char *text_at(struct json_object *doc, const char *pointer)
{
	struct json_object *value = NULL;

	return json_pointer_get(doc, pointer, &value) == 0 ? json_object_get_string(value)
							   : NULL;
}

#define TOKEN "/stages/1/actions/0/configuration/Token"

static const char *stored_token(struct ops *o, struct pipeline *p, int64_t version)
{
	if (pipeline_load(&o->ctx, "P", version, p, &o->err) != 0)
		fail_msg("%s", o->err.message);
	return text_at(p->declaration, TOKEN);
}

/* ---- the life of one ---- */

static void a_pipeline_is_answered_with_defaults_and_without_secrets(void **state)
{
	struct ops *o = *state;
	CLEAN(json) struct json_object *created = create(o);
	CLEAN(json)
	struct json_object *got = ops_ok(o, "GetPipeline", "{\"name\":\"P\"}");

	assert_true(json_object_equal(json_opt_object(created, "pipeline"),
				      json_opt_object(got, "pipeline")));
	assert_string_equal(text_at(got, "/pipeline/version"), "1");
	assert_string_equal(text_at(got, "/pipeline/executionMode"), "SUPERSEDED");
	assert_string_equal(text_at(got, "/pipeline/stages/2/actions/0/runOrder"), "1");
	assert_string_equal(text_at(got, "/pipeline" TOKEN), "****");
	assert_null(strstr(json_text(got), "hunter22"));
	assert_string_equal(text_at(got, "/metadata/pipelineArn"),
			    "arn:aws:codepipeline:us-east-1:000000000000:P");
	assert_string_equal(text_at(got, "/metadata/created"), "1700000000.000");
	assert_string_equal(text_at(got, "/metadata/updated"), "1700000000.000");
}

static void the_first_execution_starts_by_itself(void **state)
{
	struct ops *o = *state;
	CLEAN(json) struct json_object *out = NULL;

	have_pipeline(o);
	out = ops_ok(o, "ListPipelineExecutions", "{\"pipelineName\":\"P\"}");
	assert_string_equal(
		text_at(out, "/pipelineExecutionSummaries/0/trigger/triggerType"),
		"CreatePipeline");
	assert_null(text_at(out, "/pipelineExecutionSummaries/1"));
}

static void what_get_tells_can_be_given_back(void **state)
{
	struct ops *o = *state;
	CLEAN(json)
	struct json_object *first = NULL, *updated = NULL, *second = NULL, *old = NULL;
	CLEAN(pipeline) struct pipeline p = { 0 };

	have_pipeline(o);
	first = ops_ok(o, "GetPipeline", "{\"name\":\"P\"}");
	o->ctx.now_ms += 5250;
	updated = update(o, first);
	assert_string_equal(text_at(updated, "/pipeline/version"), "2");
	second = ops_ok(o, "GetPipeline", "{\"name\":\"P\"}");
	assert_string_equal(text_at(second, "/metadata/created"), "1700000000.000");
	assert_string_equal(text_at(second, "/metadata/updated"), "1700000005.250");
	assert_string_equal(stored_token(o, &p, 0), "hunter22");
	assert_int_equal(p.version, 2);

	/* Equal but for the version. */
	json_put_i64(json_opt_object(second, "pipeline"), "version", 1);
	assert_true(json_object_equal(json_opt_object(first, "pipeline"),
				      json_opt_object(second, "pipeline")));
	old = ops_ok(o, "GetPipeline", "{\"name\":\"P\",\"version\":1}");
	assert_true(json_object_equal(json_opt_object(first, "pipeline"),
				      json_opt_object(old, "pipeline")));
	ops_fail(o, "GetPipeline", "{\"name\":\"P\",\"version\":3}",
		 "PipelineVersionNotFoundException",
		 "Pipeline 'P' does not have a version 3");
}

static void old_versions_keep_their_secrets(void **state)
{
	struct ops *o = *state;
	CLEAN(json) struct json_object *created = create(o);
	CLEAN(json) struct json_object *updated = NULL;
	CLEAN(pipeline) struct pipeline one = { 0 }, two = { 0 };

	assert_int_equal(json_pointer_set(&created, "/pipeline" TOKEN,
					  json_object_new_string("another9")),
			 0);
	updated = update(o, created);
	assert_string_equal(text_at(updated, "/pipeline" TOKEN), "****");
	assert_string_equal(stored_token(o, &one, 1), "hunter22");
	assert_string_equal(stored_token(o, &two, 2), "another9");
}

static void a_failed_update_changes_nothing(void **state)
{
	struct ops *o = *state;
	CLEAN(json) struct json_object *created = create(o);
	CLEAN(json) struct json_object *got = NULL;
	CLEAN(free) char *in = NULL;

	assert_int_equal(json_pointer_set(&created, "/pipeline/stages/1/name",
					  json_object_new_string("Renamed")),
			 0);
	in = input(json_text(json_opt_object(created, "pipeline")));
	ops_fail(o, "UpdatePipeline", in, "InvalidActionDeclarationException",
		 "Action configuration for the new action 'Make' contains an invalid "
		 "configuration "
		 "for the secret property 'Token'. '****' may be used in secret "
		 "properties only "
		 "when updating an existing action.");
	got = ops_ok(o, "GetPipeline", "{\"name\":\"P\"}");
	assert_string_equal(text_at(got, "/pipeline/version"), "1");
}

static void names_are_unique_until_the_pipeline_is_deleted(void **state)
{
	struct ops *o = *state;
	CLEAN(json) struct json_object *created = create(o);
	CLEAN(json) struct json_object *again = NULL, *got = NULL;
	CLEAN(free) char *in = input(MAKE_PIPELINE);
	CLEAN(pipeline) struct pipeline before = { 0 }, after = { 0 };

	json_object_put(update(o, created));
	ops_fail(o, "CreatePipeline", in, "PipelineNameInUseException",
		 "A pipeline with the name 'P' already exists in account '000000000000'");
	assert_non_null(stored_token(o, &before, 0));
	ops_do(o, "DeletePipeline", "{\"name\":\"P\"}");
	ops_do(o, "DeletePipeline", "{\"name\":\"P\"}"); /* idempotent */
	ops_fail(o, "GetPipeline", "{\"name\":\"P\"}", "PipelineNotFoundException",
		 NOT_FOUND);
	ops_fail(o, "GetPipeline", "{\"name\":\"P\",\"version\":1}",
		 "PipelineNotFoundException", NOT_FOUND);
	ops_fail(o, "UpdatePipeline", in, "PipelineNotFoundException", NOT_FOUND);
	again = ops_ok(o, "CreatePipeline", in);
	got = ops_ok(o, "GetPipeline", "{\"name\":\"P\"}");
	assert_string_equal(text_at(got, "/pipeline/version"), "1");
	assert_non_null(stored_token(o, &after, 0));
	assert_true(after.rowid > before.rowid);
}

static void a_deleted_type_stays_with_the_pipelines_that_have_it(void **state)
{
	static const char gone[] =
		"{\"category\":\"Build\",\"provider\":\"Make\",\"version\":\"1\"}";
	struct ops *o = *state;
	CLEAN(json) struct json_object *got = NULL, *updated = NULL;
	CLEAN(free) char *other = named("Q");

	have_pipeline(o);
	ops_do(o, "DeleteCustomActionType", gone);
	got = ops_ok(o, "GetPipeline", "{\"name\":\"P\"}");
	assert_string_equal(text_at(got, "/pipeline" TOKEN), "****");
	updated = update(o, got);
	assert_string_equal(text_at(updated, "/pipeline" TOKEN), "****");
	ops_fail(o, "CreatePipeline", other, "InvalidActionDeclarationException",
		 "ActionType (Category: 'Build', Provider: 'Make', Owner: 'Custom', "
		 "Version: '1') in "
		 "action 'Make' is not available in region 'US_EAST_1'");
}

static void unknown_members_and_nulls_are_not_kept(void **state)
{
	struct ops *o = *state;
	CLEAN(free) char *in = NULL;
	CLEAN(json) struct json_object *out = NULL;
	static const char base[] = MAKE_PIPELINE;
	const char *rest = base + 1;

	in = mh_format(
		"{\"__type\":\"x\",\"pipeline\":{\"triggers\":null,\"Odd\":{\"a\":1},%s}",
		rest);
	out = ops_ok(o, "CreatePipeline",
		     in); /* which holds the answer against the model */
	assert_null(text_at(out, "/pipeline/Odd"));
}

/* ---- tags, quota ---- */

static void tags_come_back_with_the_pipeline(void **state)
{
	struct ops *o = *state;
	CLEAN(free)
	char *in = mh_format(
		"{\"pipeline\":%s,\"tags\":[{\"key\":\"team\",\"value\":\"a\"}]}",
		MAKE_PIPELINE);
	CLEAN(free)
	char *bad = mh_format(
		"{\"pipeline\":%s,\"tags\":[{\"key\":\"AWS:t\",\"value\":\"a\"}]}",
		MAKE_PIPELINE);
	CLEAN(json) struct json_object *out = NULL;

	ops_fail(o, "CreatePipeline", bad, "InvalidTagsException",
		 "Tag key 'AWS:t' begins with 'aws:', which is reserved");
	out = ops_ok(o, "CreatePipeline", in);
	assert_string_equal(text_at(out, "/tags/0/key"), "team");
}

static void a_thousand_pipelines_are_the_limit(void **state)
{
	struct ops *o = *state;
	CLEAN(free) char *in = input(MAKE_PIPELINE);
	struct mh_err err = MH_ERR_INIT;

	assert_ok(store_exec(
			  o->store, NULL, &err,
			  "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
			  " WHERE i < 999) INSERT INTO pipelines (name, version, "
			  "pipeline_type,"
			  " execution_mode, created_ms, updated_ms)"
			  " SELECT 'N' || i, 1, 'V1', 'SUPERSEDED', 0, 0 FROM n",
			  ""),
		  &err);
	ops_do(o, "CreatePipeline", in);
	free(STEAL_PTR(in));
	in = named("Q");
	ops_fail(o, "CreatePipeline", in, "LimitExceededException",
		 "There can only be up to 1000 pipelines in a region");
}

/* ---- list ---- */

static void pages_of_any_size_join_to_the_whole(void **state)
{
	static const char *const names[] = { "a", "B", "c.1", "d-2", "e_3" };
	struct ops *o = *state;

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		CLEAN(free) char *in = named(names[i]);

		ops_do(o, "CreatePipeline", in);
	}
	for (int size = 1; size <= 6; size++) {
		CLEAN(free) char *seen = mh_strdup("");
		CLEAN(free) char *in = mh_format("{\"maxResults\":%d}", size);
		int pages = 0;

		while (in != NULL) {
			CLEAN(json)
			struct json_object *out = ops_ok(o, "ListPipelines", in);
			struct json_object *list = json_opt_array(out, "pipelines");
			const char *token = json_opt_str(out, "nextToken", NULL);

			pages++;
			for (size_t i = 0; i < json_object_array_length(list); i++) {
				struct json_object *s = json_object_array_get_idx(list,
										  i);
				char *longer = mh_format("%s%s ", seen,
							 json_opt_str(s, "name", ""));

				free(seen);
				seen = longer;
				assert_string_equal(json_opt_str(s, "pipelineType", ""),
						    "V2");
				assert_string_equal(json_opt_str(s, "executionMode", ""),
						    "SUPERSEDED");
				assert_int_equal(json_opt_i64(s, "version", 0), 1);
			}
			free(STEAL_PTR(in));
			if (token != NULL)
				in = mh_format("{\"maxResults\":%d,\"nextToken\":\"%s\"}",
					       size, token);
		}
		assert_string_equal(seen, "B a c.1 d-2 e_3 ");
		assert_int_equal(pages, (5 + size - 1) / size);
	}
}

static void a_token_of_another_listing_is_refused(void **state)
{
	struct ops *o = *state;

	ops_fail(o, "ListPipelines", "{\"nextToken\":\"!\"}", "InvalidNextTokenException",
		 "The next token is not one that this listing gave out");
	ops_fail(o, "ListPipelines", "{\"nextToken\":\"QUFBQUFBQUFBQUFBQUFBQUFBQUE=\"}",
		 "InvalidNextTokenException",
		 "The next token was given out by another listing, or was altered");
}

/* ---- secrets on disk ---- */

static void a_secret_is_sealed_in_the_store(void **state)
{
	struct ops *o = *state;
	CLEAN(stmt) struct stmt q;
	struct mh_err err = MH_ERR_INIT;

	have_pipeline(o);
	store_query(o->store, &q, "SELECT declaration FROM pipeline_versions", "");
	assert_int_equal(stmt_next(&q, &err), 1);
	assert_null(strstr(stmt_text(&q, 0), "hunter22"));
	assert_contains(stmt_text(&q, 0), "\"Token\":{\"sealed\":\"");
	assert_contains(stmt_text(&q, 0), "\"Target\":\"all\"");
}

/* Another data directory's key, made as the server makes it. */
static struct creds_key *make_key(char *dir)
{
	struct creds_key *key = NULL;
	struct mh_err err;

	assert_non_null(mkdtemp(dir));
	assert_ok(creds_key_open(dir, &key, &err), &err);
	return key;
}

static void drop_key(struct creds_key *key, const char *dir)
{
	CLEAN(free) char *path = mh_format("%s/creds.key", dir);

	creds_key_free(key);
	assert_int_equal(remove(path), 0);
	assert_int_equal(remove(dir), 0);
}

static void a_secret_whose_key_is_gone_is_masked_and_asked_for_anew(void **state)
{
	char dir[] = "/tmp/mh-test-pipelines-XXXXXX";
	struct creds_key *key = make_key(dir);
	struct ops *o = *state;
	CLEAN(json) struct json_object *created = create(o);
	CLEAN(json) struct json_object *updated = NULL;
	CLEAN(free) char *in = NULL;
	CLEAN(pipeline) struct pipeline p = { 0 }, q = { 0 };

	o->ctx.creds_key = key;
	assert_string_equal(stored_token(o, &p, 0), "****");
	in = input(json_text(json_opt_object(created, "pipeline")));
	ops_fail(o, "UpdatePipeline", in, "InvalidActionDeclarationException",
		 "Action configuration for the new action 'Make' contains an invalid "
		 "configuration "
		 "for the secret property 'Token'. '****' may be used in secret "
		 "properties only "
		 "when updating an existing action.");
	assert_int_equal(json_pointer_set(&created, "/pipeline" TOKEN,
					  json_object_new_string("another9")),
			 0);
	updated = update(o, created);
	assert_string_equal(stored_token(o, &q, 0), "another9");
	o->ctx.creds_key = NULL;
	drop_key(key, dir);
}

static void sealed_text_opens_under_its_own_key_unaltered_alone(void **state)
{
	static const char *const texts[] = { "", "x", "Phê duyệt",
					     "a much longer secret value" };
	char dir[] = "/tmp/mh-test-seal-XXXXXX";
	struct creds_key *key = make_key(dir);

	(void)state; /* needs no store */
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		CLEAN(free) char *sealed = seal_text(key, texts[i]);
		CLEAN(free) char *again = seal_text(key, texts[i]);
		CLEAN(free) char *other = seal_text(NULL, texts[i]);
		CLEAN(free) char *out = NULL;
		char *kept;
		struct mh_err err;

		assert_ok(seal_open(key, sealed, &out, &err), &err);
		assert_string_equal(out, texts[i]);
		assert_string_equal(sealed, again);
		assert_string_not_equal(sealed, other);
		kept = out;
		assert_fails(seal_open(NULL, sealed, &out, &err), &err, MH_E_AUTH);
		sealed[9] = sealed[9] == 'A' ? 'B' : 'A';
		assert_fails(seal_open(key, sealed, &out, &err), &err, MH_E_AUTH);
		assert_fails(seal_open(key, "AAAA", &out, &err), &err, MH_E_AUTH);
		assert_fails(seal_open(key, "not base64", &out, &err), &err, MH_E_AUTH);
		assert_ptr_equal(out, kept);
	}
	drop_key(key, dir);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_ops, close_ops)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_pipeline_is_answered_with_defaults_and_without_secrets),
		TEST(the_first_execution_starts_by_itself),
		TEST(what_get_tells_can_be_given_back),
		TEST(old_versions_keep_their_secrets),
		TEST(a_failed_update_changes_nothing),
		TEST(names_are_unique_until_the_pipeline_is_deleted),
		TEST(a_deleted_type_stays_with_the_pipelines_that_have_it),
		TEST(unknown_members_and_nulls_are_not_kept),
		TEST(tags_come_back_with_the_pipeline),
		TEST(a_thousand_pipelines_are_the_limit),
		TEST(pages_of_any_size_join_to_the_whole),
		TEST(a_token_of_another_listing_is_refused),
		TEST(a_secret_is_sealed_in_the_store),
		TEST(a_secret_whose_key_is_gone_is_masked_and_asked_for_anew),
		cmocka_unit_test(sealed_text_opens_under_its_own_key_unaltered_alone),
	};

	return cmocka_run_group_tests_name("pipelines", tests, NULL, NULL);
}
