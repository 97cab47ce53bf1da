/*
 * The API's front over operations of the test's own: this program's op_table takes the
 * place of the emulator's.
 */
#include "tests/unit/test.h"

#include <stdio.h>

#include "emulator/front.h"
#include "emulator/store/store.h"

#define UUID "01234567-89ab-cdef-0123-456789abcdef"

static char last_caller[AUTH_ARN_SIZE];

/* Writes a row, and says what was asked. */
static int fake_acknowledge(struct op_ctx *ctx, struct json_object *in,
			    struct json_object *out, struct api_error *err)
{
	struct mh_err e = MH_ERR_INIT;

	(void)snprintf(last_caller, sizeof(last_caller), "%s", ctx->caller_arn);
	if (store_exec(ctx->store, NULL, &e, "INSERT INTO t (x) VALUES (1)", "") != 0)
		return api_fail_internal(err, &e);
	if (strcmp(json_opt_str(in, "nonce", ""), "refuse") == 0)
		return api_fail(err, "InvalidNonceException", "nonce \xff%s", "refused");
	json_put_str(out, "status",
		     strcmp(json_opt_str(in, "nonce", ""), "wrong") == 0 ? "Nonsense"
									 : "InProgress");
	return 0;
}

static int fake_delete(struct op_ctx *ctx, struct json_object *in,
		       struct json_object *out, struct api_error *err)
{
	(void)ctx; /* nothing to do */
	(void)in;
	(void)out;
	(void)err;
	return 0;
}

const struct op op_table[] = {
	{ "AcknowledgeJob", fake_acknowledge },
	{ "DeletePipeline", fake_delete },
	{ NULL, NULL },
};

struct fixture {
	struct settings settings;
	struct settings_key key;
	struct model *model;
	struct store *store;
	struct writer *writer;
	struct front front;
};

static int setup(void **state)
{
	struct fixture *f = mh_alloc(sizeof(*f));
	struct mh_err err = MH_ERR_INIT;
	struct writer_options o = { .settings = &f->settings, .ids = &ids_random };

	assert_ok(settings_read(NULL, &f->settings, &err), &err);
	f->settings.check_answers = true;
	assert_ok(model_new(&f->model, &err), &err);
	assert_ok(store_open(":memory:", &f->store, &err), &err);
	assert_ok(store_exec(f->store, NULL, &err, "CREATE TABLE t (x)", ""), &err);
	o.store = f->store;
	assert_ok(writer_start(&o, &f->writer, &err), &err);
	f->front = (struct front){ .settings = &f->settings,
				   .model = f->model,
				   .writer = f->writer };
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	writer_stop(f->writer);
	store_close(f->store);
	model_free(f->model);
	f->settings.keys = (struct conf_list){ 0 }; /* the fixture's own */
	settings_done(&f->settings);
	free(f);
	return 0;
}

static void demand_a_signature(struct fixture *f)
{
	static char id[] = "AKID", secret[] = "secret";

	f->key = (struct settings_key){ id, secret };
	f->settings.keys = (struct conf_list){ .items = &f->key, .count = 1 };
}

struct asked {
	const char *target, *content_type, *body, *method;
	bool too_large;
};

static void ask(struct fixture *f, const struct asked *a, struct front_answer *ret)
{
	struct uri_query query = { 0 };
	struct sigv4_header headers[] = { { "host", "x" } };
	struct sigv4_request signed_request = { .method = a->method ? a->method : "POST",
						.path = "/",
						.query = &query,
						.headers = headers,
						.header_count = 1 };
	struct front_request r = {
		.target = a->target,
		.content_type = a->content_type ? a->content_type : FRONT_CONTENT_TYPE,
		.body = a->body,
		.body_len = strlen(a->body),
		.body_too_large = a->too_large,
		.signed_request = &signed_request,
	};

	front_serve(&f->front, &r, ret);
}

static int64_t rows(struct fixture *f)
{
	struct mh_err err = MH_ERR_INIT;
	CLEAN(stmt) struct stmt q;

	/* The writer is idle: it is asked between calls alone. */
	store_query(f->store, &q, "SELECT count(*) FROM t", "");
	assert_int_equal(stmt_next(&q, &err), 1);
	return stmt_i64(&q, 0);
}

#define TARGET(op) "CodePipeline_20150709." op
#define ACK(nonce)                                                                       \
	{                                                                                \
		.target = TARGET("AcknowledgeJob"),                                      \
		.body = "{\"jobId\":\"" UUID "\",\"nonce\":\"" nonce "\"}"               \
	}
#define DELETE                                                                           \
	{                                                                                \
		.target = TARGET("DeletePipeline"), .body = "{\"name\":\"p\"}"           \
	}

static void answer_is_the_operations_output(void **state)
{
	struct fixture *f = *state;
	struct front_answer a;

	ask(f, &(struct asked)ACK("1"), &a);
	assert_int_equal(a.status, 200);
	assert_string_equal(a.body, "{\"status\":\"InProgress\"}");
	assert_string_equal(a.operation, "AcknowledgeJob");
	assert_string_equal(last_caller, "arn:aws:iam::000000000000:user/anonymous");
	assert_int_equal(rows(f), 1);
	front_answer_done(&a);
	ask(f, &(struct asked)DELETE, &a);
	assert_int_equal(a.status, 200);
	assert_string_equal(a.body, "");
	front_answer_done(&a);
}

static void refused_operation_keeps_nothing_and_its_message_is_valid_json(void **state)
{
	struct fixture *f = *state;
	struct front_answer a;

	ask(f, &(struct asked)ACK("refuse"), &a);
	assert_int_equal(a.status, 400);
	assert_string_equal(a.body, "{\"__type\":\"InvalidNonceException\",\"message\":"
				    "\"nonce ?refused\"}");
	assert_int_equal(rows(f), 0);
	front_answer_done(&a);
}

static void wrong_answer_is_found_and_its_changes_are_taken_back(void **state)
{
	struct fixture *f = *state;
	struct front_answer a;

	ask(f, &(struct asked)ACK("wrong"), &a);
	assert_int_equal(a.status, 500);
	assert_string_equal(a.error.code, "InternalFailure");
	assert_contains(a.body, "answer of AcknowledgeJob");
	assert_int_equal(rows(f), 0);
	front_answer_done(&a);
	f->settings.check_answers = false;
	ask(f, &(struct asked)ACK("wrong"), &a);
	assert_int_equal(a.status, 200);
	front_answer_done(&a);
}

/* Each row has every later fault as well: the first one is told (semantics G22). */
static void faults_are_judged_in_order(void **state)
{
	static const struct {
		struct asked asked;
		bool keys;
		const char *code;
		int status;
	} rows_[] = {
		{ { TARGET("Nonsense"), "text/plain", "{", "GET", true },
		  true,
		  "UnknownOperationException",
		  400 },
		{ { NULL, "text/plain", "{", NULL, true },
		  true,
		  "UnknownOperationException",
		  400 },
		{ { TARGET("AcknowledgeJob"), "text/plain", "{", NULL, true },
		  true,
		  "UnknownOperationException",
		  400 },
		{ { TARGET("AcknowledgeJob"), NULL, "{", NULL, true },
		  true,
		  "RequestEntityTooLargeException",
		  413 },
		{ { TARGET("AcknowledgeJob"), NULL, "{", NULL, false },
		  true,
		  "MissingAuthenticationTokenException",
		  400 },
		{ { TARGET("AcknowledgeJob"), NULL, "{\"nonce\":\"refuse\"", NULL,
		    false },
		  false,
		  "SerializationException",
		  400 },
		{ { TARGET("AcknowledgeJob"), NULL, "{\"nonce\":1}", NULL, false },
		  false,
		  "SerializationException",
		  400 },
		{ { TARGET("AcknowledgeJob"), NULL, "{\"nonce\":\"refuse\"}", NULL,
		    false },
		  false,
		  "ValidationException",
		  400 },
		{ ACK("refuse"), false, "InvalidNonceException", 400 },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows_); i++) {
		struct front_answer a;

		f->settings.keys = (struct conf_list){ 0 };
		if (rows_[i].keys)
			demand_a_signature(f);
		ask(f, &rows_[i].asked, &a);
		assert_string_equal(a.error.code, rows_[i].code);
		assert_int_equal(a.status, rows_[i].status);
		assert_contains(a.body, "\"__type\"");
		front_answer_done(&a);
	}
	assert_int_equal(rows(f), 0);
}

int main(void)
{
#define ROW(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		ROW(answer_is_the_operations_output),
		ROW(refused_operation_keeps_nothing_and_its_message_is_valid_json),
		ROW(wrong_answer_is_found_and_its_changes_are_taken_back),
		ROW(faults_are_judged_in_order),
	};

	return cmocka_run_group_tests_name("front", tests, NULL, NULL);
}
