#include "tests/unit/test.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "agent/job/host.h"
#include "agent/job/plugin.h"
#include "agent/job/wire.h"
#include "lib/base/fsio.h"

static int32_t run_nothing(struct mh_job *job, const struct mh_host *host)
{
	(void)job;
	(void)host;
	return 0;
}

static const struct mh_option options[] = {
	{ "name", "", NULL, MH_OPTION_STRING, MH_OPTION_REQUIRED, 0, 0 },
	{ "size", "", "5", MH_OPTION_INTEGER, 0, -5, 10 },
	{ "any", "", NULL, MH_OPTION_INTEGER, 0, 0, 0 },
	{ "flag", "", NULL, MH_OPTION_BOOLEAN, 0, 0, 0 },
	MH_OPTIONS_END
};

static struct mh_plugin mh = {
	MH_ABI,  sizeof mh,   "test", "1", NULL, 0, sizeof(struct mh_option),
	options, run_nothing,
};

static const struct plugin plugin = { .mh = &mh, .option_count = 4 };

static void configuration_is_held_against_the_options(void **state)
{
	static const struct {
		const char *config;
		uint32_t flags;
		const char *part; /* NULL: fine */
	} cases[] = {
		{ "{\"name\":\"x\"}", 0, NULL },
		{ "{\"name\":\"\",\"size\":\"-5\",\"any\":\"-9223372036854775807\"}", 0,
		  NULL },
		{ "{\"name\":\"x\",\"flag\":\"true\"}", 0, NULL },
		{ "{}", 0, "'name' is missing" },
		{ "{\"name\":\"x\",\"size\":\"11\"}", 0, "size" },
		{ "{\"name\":\"x\",\"size\":\"-6\"}", 0, "size" },
		{ "{\"name\":\"x\",\"size\":\" 1\"}", 0, "size" },
		{ "{\"name\":\"x\",\"size\":\"\"}", 0, "size" },
		{ "{\"name\":\"x\",\"any\":\"9223372036854775808\"}", 0, "any" },
		{ "{\"name\":\"x\",\"flag\":\"True\"}", 0, "flag: must be" },
		{ "{\"name\":\"x\",\"other\":\"\"}", 0, "no key 'other'" },
		{ "{\"name\":\"x\",\"other\":\"\"}", MH_PLUGIN_OPEN_OPTIONS, NULL },
		{ "{\"name\":\"x\",\"size\":\"a\"}", MH_PLUGIN_OPEN_OPTIONS, "size" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEAN(json) struct json_object *config = NULL;
		struct mh_err err;

		mh.flags = cases[i].flags;
		assert_ok(json_parse_object(cases[i].config, strlen(cases[i].config),
					    &config, &err),
			  &err);
		if (!cases[i].part) {
			assert_ok(plugin_check_config(&plugin, config, &err), &err);
			continue;
		}
		assert_fails(plugin_check_config(&plugin, config, &err), &err,
			     MH_E_CONFIG);
		assert_contains(err.text, cases[i].part);
	}
	mh.flags = 0;
}

/* --- the host's functions, over a job of the test's --- */

struct ground {
	struct spec spec;
	struct mh_job job;
	int peer_fd; /* the shim's end of the channel */
};

static const char spec_text[] =
	"{\"version\":1,\"n\":1,\"job\":{\"id\":\"the-id\",\"data\":{"
	"\"pipelineContext\":{\"pipelineName\":\"p\",\"stage\":{\"name\":\"s\"},"
	"\"action\":{\"name\":\"a\"}},\"actionTypeId\":{\"provider\":\"Make\"}}},"
	"\"plugin\":\"/p/test.so\",\"config\":{\"name\":\"x\",\"flag\":\"true\"},"
	"\"deadline_ms\":1,\"grace_ms\":0,\"log_max_bytes\":5000,\"work_dir\":\"/w\","
	"\"archive_program\":\"/a\",\"inputs\":[{\"name\":\"In\",\"file\":\"fetch/0\"}],"
	"\"outputs\":[]}";

static int set_up(void **state)
{
	struct ground *g = mh_alloc(sizeof *g);
	int pair[2], document_fd;
	struct mh_err err;

	assert_ok(spec_parse(spec_text, strlen(spec_text), &g->spec, &err), &err);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	g->peer_fd = pair[0];
	assert_ok(fs_memfd_sealed("job", "{}", 2, &document_fd, &err), &err);
	assert_ok(host_init(&g->job, &g->spec, &plugin, pair[1],
			    eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), document_fd, &err),
		  &err);
	*state = g;
	return 0;
}

static int tear_down(void **state)
{
	struct ground *g = *state;

	clean_fd(&g->peer_fd);
	clean_fd(&g->job.channel_fd);
	clean_fd(&g->job.cancel_fd);
	clean_fd(&g->job.document_fd);
	host_done(&g->job);
	spec_done(&g->spec);
	free(g);
	return 0;
}

static void host_tells_configuration_and_context(void **state)
{
	struct ground *g = *state;
	const struct mh_host *h = &host_functions;
	uint64_t size;

	assert_string_equal(h->config(&g->job, "name"), "x");
	assert_string_equal(h->config(&g->job, "size"), "5");
	assert_null(h->config(&g->job, "any"));
	assert_null(h->config(&g->job, "unknown"));
	assert_int_equal(h->config_integer(&g->job, "size", 1), 5);
	assert_int_equal(h->config_integer(&g->job, "any", 1), 1);
	assert_int_equal(h->config_boolean(&g->job, "flag", 0), 1);
	assert_int_equal(h->config_count(&g->job), 2);
	assert_non_null(h->config_key(&g->job, 1));
	assert_null(h->config_key(&g->job, 2));
	assert_string_equal(h->info(&g->job, MH_INFO_JOB_ID), "the-id");
	assert_string_equal(h->info(&g->job, MH_INFO_PIPELINE), "p");
	assert_string_equal(h->info(&g->job, MH_INFO_STAGE), "s");
	assert_string_equal(h->info(&g->job, MH_INFO_ACTION), "a");
	assert_string_equal(h->info(&g->job, MH_INFO_PROVIDER), "Make");
	assert_string_equal(h->info(&g->job, MH_INFO_TMP_DIR), "/w/tmp");
	assert_null(h->info(&g->job, MH_INFO_CONTINUATION_TOKEN));
	assert_null(h->info(&g->job, MH_INFO_ACTION_EXECUTION));
	for (int32_t i = -2; i < 30; i++)
		(void)h->info(&g->job, i); /* any number is answered */
	assert_string_equal(h->document(&g->job, &size), "{}");
	assert_int_equal(size, 2);
	assert_string_equal(h->input_dir(&g->job, 0), "/w/in/In");
	assert_null(h->input_dir(&g->job, 1));
	assert_null(h->output_dir(&g->job, 0));
}

static void host_says_why_it_refuses(void **state)
{
	struct ground *g = *state;
	const struct mh_host *h = &host_functions;

	assert_string_equal(h->last_error(&g->job), "");
	assert_int_equal(h->set_percent(&g->job, 200), -1);
	assert_contains(h->last_error(&g->job), "200 is not from 0 to 100");
	assert_int_equal(h->set_variable(&g->job, "bad name", "x"), -1);
	assert_contains(h->last_error(&g->job), "bad name");
	assert_int_equal(h->apply_result(&g->job, "{", 1), -1);
	assert_contains(h->last_error(&g->job), "JSON");
	assert_int_equal((h->fail)(&g->job, 99, "x"), -1);
	assert_int_equal(h->outcome(&g->job), MH_OUTCOME_NONE);
	assert_int_equal(h->succeed(&g->job), 0);
	assert_int_equal(h->outcome(&g->job), MH_OUTCOME_SUCCESS);
}

static void host_sees_the_cancellation(void **state)
{
	struct ground *g = *state;
	struct pollfd p = { .fd = host_functions.cancel_fd(&g->job), .events = POLLIN };

	assert_int_equal(host_functions.cancelled(&g->job), 0);
	assert_int_equal(poll(&p, 1, 0), 0);
	assert_int_equal(eventfd_write(g->job.cancel_fd, 1), 0);
	assert_int_equal(host_functions.cancelled(&g->job), 1);
	assert_int_equal(host_functions.cancelled(&g->job), 1);
	assert_int_equal(poll(&p, 1, 0), 1);
	assert_int_equal(host_functions.wanted(&g->job), 0);
}

static void answer(struct ground *g, int64_t id, bool wanted)
{
	CLEAN(json) struct json_object *message = wire_new("wanted");
	struct mh_err err;

	json_put_i64(message, "id", id);
	json_put_bool(message, "wanted", wanted);
	assert_ok(wire_send(g->peer_fd, message, 0, &err), &err);
}

static void host_waits_for_the_answer_to_its_own_question(void **state)
{
	struct ground *g = *state;

	answer(g, 7, true); /* of another time */
	answer(g, 1, false);
	assert_int_equal(host_functions.wanted(&g->job), 0);
	answer(g, 2, true);
	assert_int_equal(host_functions.wanted(&g->job), 1);
	(void)close(STEAL_FD(g->peer_fd));
	assert_int_equal(host_functions.wanted(&g->job), 1); /* nobody can tell */
}

static void long_variables_travel_in_pieces(void **state)
{
	struct ground *g = *state;
	CLEAN(free) char *value = mh_alloc(WIRE_PIECE_BYTES * 2 + 10);
	CLEAN(result) struct result got = RESULT_INIT;
	struct mh_err err;
	bool done = false;

	for (size_t i = 0; i + 3 < WIRE_PIECE_BYTES * 2 + 10; i += 3)
		memcpy(value + i, "\342\202\254", 3);
	assert_int_equal(host_functions.set_variable(&g->job, "v", value), 0);
	assert_int_equal(host_functions.set_variable(&g->job, "empty", ""), 0);
	assert_int_equal(host_functions.succeed(&g->job), 0);
	assert_ok(host_send(&g->job, &err), &err);
	while (!done) {
		CLEAN(json) struct json_object *message = NULL;
		const char *m; /* of the message, and gone with it */

		assert_int_equal(wire_receive(g->peer_fd, WIRE_CHANNEL_MAX_BYTES, 0,
					      &message, &m, &err),
				 WIRE_MESSAGE);
		if (strcmp(m, "variable") == 0) {
			assert_ok(result_add_variable(
					  &got, json_opt_str(message, "name", ""),
					  json_opt_str(message, "value", ""), &err),
				  &err);
			continue;
		}
		assert_ok(result_from_json(&got, message, &err), &err);
		done = true;
	}
	assert_string_equal(json_opt_str(got.variables, "v", ""), value);
	assert_string_equal(json_opt_str(got.variables, "empty", "?"), "");
}

static void wire_tells_what_is_no_message(void **state)
{
	static const char *const bad[] = { "x",     "[]",
					   "{}",    "{\"m\":1}",
					   "\"m\"", "{\"m\":\"a\",\"m\":\"b\"}" };
	struct ground *g = *state;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct json_object *message;
		struct mh_err err;
		const char *m;

		assert_true(send(g->peer_fd, bad[i], strlen(bad[i]), 0) > 0);
		assert_int_equal(
			wire_receive(g->job.channel_fd, 1000, 0, &message, &m, &err),
			WIRE_BROKEN);
		assert_int_equal(wire_receive(g->job.channel_fd, 1000, MSG_DONTWAIT,
					      &message, &m, &err),
				 WIRE_NOTHING);
		assert_true(send(g->peer_fd, "{\"m\":\"long enough\"}", 19, 0) > 0);
		assert_int_equal(
			wire_receive(g->job.channel_fd, 10, 0, &message, &m, &err),
			WIRE_BROKEN);
	}
}

int main(void)
{
#define WITH_JOB(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(configuration_is_held_against_the_options),
		WITH_JOB(host_tells_configuration_and_context),
		WITH_JOB(host_says_why_it_refuses),
		WITH_JOB(host_sees_the_cancellation),
		WITH_JOB(host_waits_for_the_answer_to_its_own_question),
		WITH_JOB(long_variables_travel_in_pieces),
		WITH_JOB(wire_tells_what_is_no_message),
	};

	return cmocka_run_group_tests_name("plugin", tests, NULL, NULL);
}
