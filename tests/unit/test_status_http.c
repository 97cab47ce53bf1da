/* The status server's requests and addresses, the metrics' text, and when an agent is
 * well. The server itself is test_metrics.py's. */
#include "tests/unit/test.h"

#include <netinet/in.h>
#include <stdio.h>

#include "agent/agent_impl.h"
#include "agent/metrics.h"
#include "lib/base/macros.h"

/* --- requests --------------------------------------------------------------------- */

static int parse(const char *text, struct status_request *ret)
{
	return status_http_parse(text, strlen(text), ret);
}

static void requests_are_taken_or_refused_by_the_rules_of_http(void **ctx)
{
	static const struct {
		int status;
		const char *text;
	} rows[] = {
		{ 0, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" },
		{ 0, "HEAD /metrics?x HTTP/1.0\r\n\r\n" },
		{ 0, "GET http://127.0.0.1:1/x HTTP/1.1\r\nhOsT:\t[::1]:80 \r\n\r\n" },
		{ 0, "GET / HTTP/1.1\r\nHost: 10.0.0.1\r\nContent-Length: 0\r\n\r\n" },
		{ 400, "" },
		{ 400, "\r\n\r\n" },
		{ 400, "GET\r\n\r\n" },
		{ 400, "GET / \r\n\r\n" },
		{ 400, "GET  HTTP/1.1\r\n\r\n" },
		{ 400, "G(T / HTTP/1.1\r\nHost: localhost\r\n\r\n" },
		{ 400, "GET metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" },
		{ 400, "GET http://x HTTP/1.1\r\nHost: localhost\r\n\r\n" },
		{ 400, "GET / HTTP/1.1 \r\nHost: localhost\r\n\r\n" },
		{ 400, "GET / HTTP/1.1\r\nHost localhost\r\n\r\n" },
		{ 400, "GET / HTTP/1.1\r\nHost : localhost\r\n\r\n" },
		{ 400, "GET / HTTP/1.1\r\n: localhost\r\n\r\n" },
		{ 400, "GET /\x01 HTTP/1.1\r\nHost: localhost\r\n\r\n" },
		{ 405, "PUT / HTTP/1.1\r\nHost: localhost\r\n\r\n" },
		{ 413,
		  "GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 00\r\n\r\n" },
		{ 413,
		  "GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding:\r\n\r\n" },
		{ 421, "GET / HTTP/1.1\r\nHost: \r\n\r\n" },
		{ 421, "GET / HTTP/1.1\r\nHost: ::1\r\n\r\n" },
		{ 421, "GET / HTTP/1.1\r\nHost: [127.0.0.1]\r\n\r\n" },
		{ 421, "GET / HTTP/1.1\r\nHost: localhost.example\r\n\r\n" },
		{ 505, "GET / HTTP/1.2\r\nHost: localhost\r\n\r\n" },
		{ 505, "GET / HTTP/3.0\r\nHost: localhost\r\n\r\n" },
	};
	struct status_request r;

	(void)ctx;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int status = parse(rows[i].text, &r);

		if (status != rows[i].status)
			fail_msg("%d instead of %d: %s", status, rows[i].status,
				 rows[i].text);
	}
}

static void what_is_asked_for_is_read(void **ctx)
{
	struct status_request r;
	char text[256];

	(void)ctx;
	assert_int_equal(parse("HEAD /readyz?a=b&format=json HTTP/1.0\r\n\r\n", &r), 0);
	assert_true(r.is_head && r.wants_json);
	assert_string_equal(r.path, "/readyz");
	assert_int_equal(parse("GET /x?format=jsonx HTTP/1.0\r\n\r\n", &r), 0);
	assert_false(r.is_head || r.wants_json);
	assert_int_equal(
		parse("GET / HTTP/1.0\r\nAccept: a/b, application/json\r\n\r\n", &r), 0);
	assert_true(r.wants_json);
	assert_int_equal(parse("GET https://[::1]:1/a/b HTTP/1.0\r\n\r\n", &r), 0);
	assert_string_equal(r.path, "/a/b");
	for (int len = 126; len <= 127; len++) {
		(void)snprintf(text, sizeof(text), "GET /%0*d HTTP/1.0\r\n\r\n", len, 0);
		assert_int_equal(parse(text, &r), len < 127 ? 0 : 414);
	}
}

static void a_head_ends_with_its_empty_line(void **ctx)
{
	static const char text[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\nmore";

	(void)ctx;
	for (size_t len = 0; len < sizeof(text); len++)
		assert_int_equal(status_http_head(text, len), len < 27 ? 0 : 27);
}

static void loopback_addresses_alone_are_listened_on(void **ctx)
{
	static const char *const good[] = { "127.0.0.1:0", "127.1.2.3:65535",
					    "[::1]:9464" };
	static const char *const bad[] = { "",
					   ":1",
					   "127.0.0.1",
					   "127.0.0.1:",
					   "127.0.0.1:x",
					   "127.0.0.1:-1",
					   "0.0.0.0:1",
					   "[::]:1",
					   "::1:1",
					   "localhost:1",
					   "10.0.0.1:1",
					   "[::1",
					   "[]:1",
					   "[::1]:65536",
					   "[127.0.0.1]:1" };
	struct sockaddr_storage a;
	struct mh_err err = MH_ERR_INIT;

	(void)ctx;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_ok(status_http_address(good[i], &a, &err), &err);
	assert_int_equal(a.ss_family, AF_INET6);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_fails(status_http_address(bad[i], &a, &err), &err, MH_E_CONFIG);
}

/* --- metrics ---------------------------------------------------------------------- */

static char *shown(void)
{
	struct buf b = BUF_INIT(METRICS_TEXT_MAX);

	metrics_text(&b);
	return buf_steal(&b);
}

static void values_are_shown_with_their_labels_escaped(void **ctx)
{
	CLEAN(free) char *text = NULL;

	(void)ctx;
	METRIC_INC(METRIC_POLLS, "a\"b\\c\nd", "jobs");
	METRIC_ADD(METRIC_POLLS, 2, "a\"b\\c\nd", "jobs");
	METRIC_SET(METRIC_CLOCK_SKEW, -1005, NULL);
	METRIC_SET(METRIC_CPU, 12, NULL);
	text = shown();
	assert_contains(text, "millhand_polls_total{action_type=\"a\\\"b\\\\c\\nd\","
			      "outcome=\"jobs\"} 3\n");
	assert_contains(text, "# TYPE millhand_polls_total counter\n");
	assert_contains(text, "\nmillhand_clock_skew_seconds -1.005\n");
	assert_contains(text, "\nmillhand_cpu_seconds_total 0.012\n");
	assert_null(strstr(text, "throttled_total"));
	metrics_clear_gauges();
	free(text);
	text = shown();
	assert_null(strstr(text, "clock_skew"));
	assert_contains(text, "polls_total");
	metrics_free();
}

static void times_fall_into_the_bucket_whose_end_they_do_not_exceed(void **ctx)
{
	static const int64_t times[] = { -3, 5, 6, 60000, 60001 };
	CLEAN(free) char *text = NULL;

	(void)ctx;
	for (size_t i = 0; i < ARRAY_LEN(times); i++)
		METRIC_TIME(METRIC_POLL_DURATION, times[i], NULL);
	text = shown();
	assert_contains(text, "_bucket{le=\"0.005\"} 2\n");
	assert_contains(text, "_bucket{le=\"0.025\"} 3\n");
	assert_contains(text, "_bucket{le=\"60\"} 4\n");
	assert_contains(text, "_bucket{le=\"+Inf\"} 5\n");
	assert_contains(text, "millhand_poll_duration_seconds_sum 120.012\n");
	assert_contains(text, "millhand_poll_duration_seconds_count 5\n");
	metrics_free();
}

static void what_is_over_the_bound_is_counted_as_other(void **ctx)
{
	CLEAN(free) char *text = NULL;
	char name[16];

	(void)ctx;
	for (int i = 0; i < METRIC_SAMPLES_MAX + 3; i++) {
		(void)snprintf(name, sizeof(name), "type%d", i);
		METRIC_INC(METRIC_JOBS_STARTED, name);
	}
	METRIC_INC(METRIC_JOBS_STARTED, "type7");
	text = shown();
	assert_contains(text, "{action_type=\"other\"} 3\n");
	assert_contains(text, "{action_type=\"type7\"} 2\n");
	metrics_free();
}

/* --- being well ------------------------------------------------------------------- */

static void never(void *ctx, size_t entry, int batch)
{
	(void)ctx;
	(void)entry;
	(void)batch;
}

struct world {
	struct settings settings;
	struct action_settings action;
	struct poll_call poll;
	struct agent agent;
};

static void make_world(struct world *w)
{
	struct poller_options o = { .min_ms = 1000,
				    .max_ms = 10000,
				    .retry_base_ms = 1000,
				    .rate = 5,
				    .max_jobs = 2,
				    .poll = never };

	*w = (struct world){ .settings = { .max_jobs = 2,
					   .api_timeout_ms = 30000,
					   .poll_interval_max_ms = 10000 } };
	w->settings.actions.items = &w->action;
	w->settings.actions.count = 1;
	w->agent.settings = &w->settings;
	w->agent.polls = &w->poll;
	w->agent.poller = poller_new(&o, 0);
	(void)poller_add(w->agent.poller, 0);
}

static void changes_that_wait_for_the_ledger_make_an_agent_unwell(void **ctx)
{
	char why[HEALTH_WHY_SIZE];
	struct world w;

	(void)ctx;
	make_world(&w);
	w.agent.unwritten_ms = 1000;
	assert_true(agent_is_well(&w.agent, 31000, why));
	assert_string_equal(why, "");
	assert_false(agent_is_well(&w.agent, 31001, why));
	assert_string_equal(why, "changes wait for the ledger since 30 s");
	w.agent.unwritten_ms = 0;
	assert_true(agent_is_well(&w.agent, 31001, why));
	poller_free(w.agent.poller);
}

static bool well_at(struct world *w, int64_t now_ms)
{
	char why[HEALTH_WHY_SIZE];

	return agent_is_well(&w->agent, now_ms, why);
}

static void polls_that_are_owed_and_do_not_come_make_an_agent_unwell(void **ctx)
{
	struct world w;

	(void)ctx;
	make_world(&w);
	assert_true(well_at(&w, 900000));
	agent_health_turn(&w.agent, 1);
	agent_health_turn(&w.agent, 100000);
	assert_true(well_at(&w, 130001));
	assert_false(well_at(&w, 130002));

	/* It leaves, and is answered. */
	(void)poller_run(w.agent.poller, 130002);
	agent_health_turn(&w.agent, 130002);
	assert_true(well_at(&w, 900000));
	poller_answered(w.agent.poller, 0, 0, 130003);
	agent_health_turn(&w.agent, 130003);
	assert_false(well_at(&w, 900000));
	poller_free(w.agent.poller);
}

static void polls_that_are_not_owed_are_not_missed(void **ctx)
{
	struct world w;

	(void)ctx;
	make_world(&w);
	for (int why = 0; why < 4; why++) {
		if (why == 0) {
			poller_take(w.agent.poller, 0);
			poller_take(w.agent.poller, 0);
		}
		w.agent.disk_full = why == 1;
		w.agent.mode = why == 2 ? MODE_DRAIN : MODE_RUN;
		w.agent.ledger_failures = why == 3;
		agent_health_turn(&w.agent, 1);
		assert_true(well_at(&w, 900000));
		if (why == 0) {
			poller_give(w.agent.poller, 0, 1);
			/* Until the turn that follows there was no time to poll. */
			assert_true(well_at(&w, 900000));
		}
	}
	w.agent.ledger_failures = 0;
	agent_health_turn(&w.agent, 1);
	assert_false(well_at(&w, 900000));
	poller_free(w.agent.poller);
}

static void a_poll_without_an_answer_makes_an_agent_unwell_long_after_its_limit(
	void **ctx)
{
	char why[HEALTH_WHY_SIZE];
	struct world w;

	(void)ctx;
	make_world(&w);
	w.poll.call = (struct cp_call *)&w; /* under way; not looked into */
	w.poll.sent_ms = 1000;
	assert_true(agent_is_well(&w.agent, 121000, why));
	assert_false(agent_is_well(&w.agent, 121001, why));
	assert_string_equal(why, "a poll is overdue");
	poller_free(w.agent.poller);
}

/* --- the watchdog ----------------------------------------------------------------- */

/* Whether the manager was fed since it was last asked. */
static bool was_fed(int manager_fd)
{
	char text[512];
	bool fed = false;
	ssize_t n;

	while ((n = recv(manager_fd, text, sizeof(text) - 1, MSG_DONTWAIT)) > 0) {
		text[n] = '\0';
		fed = fed || strstr(text, "WATCHDOG=1");
	}
	return fed;
}

static void a_loop_that_turns_feeds_the_watchdog_only_while_all_is_well(void **ctx)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	CLEAN(fd) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char name[64];
	struct world w;

	(void)ctx;
	(void)snprintf(name, sizeof(name), "@mh-test-%d", (int)getpid());
	memcpy(address.sun_path + 1, name + 1, strlen(name) - 1);
	assert_int_equal(
		bind(fd, (struct sockaddr *)&address,
		     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))),
		0);
	(void)setenv("NOTIFY_SOCKET", name, 1);
	(void)setenv("WATCHDOG_USEC", "8000000", 1);
	make_world(&w);
	agent_notify_open(&w.agent);
	assert_null(getenv("NOTIFY_SOCKET"));
	assert_int_equal(agent_notify_turn(&w.agent, 10000), 14000);
	assert_true(was_fed(fd));
	assert_int_equal(agent_notify_turn(&w.agent, 11999), 14000);
	assert_false(was_fed(fd));
	w.agent.unwritten_ms = 10000;
	(void)agent_notify_turn(&w.agent, 40000);
	assert_true(was_fed(fd));
	for (int64_t now = 44000; now < 100000; now += 4000) {
		(void)agent_notify_turn(&w.agent, now);
		assert_false(was_fed(fd));
	}
	w.agent.unwritten_ms = 0;
	(void)agent_notify_turn(&w.agent, 100000);
	assert_true(was_fed(fd));
	notify_done(&w.agent.manager);
	poller_free(w.agent.poller);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_are_taken_or_refused_by_the_rules_of_http),
		cmocka_unit_test(what_is_asked_for_is_read),
		cmocka_unit_test(a_head_ends_with_its_empty_line),
		cmocka_unit_test(loopback_addresses_alone_are_listened_on),
		cmocka_unit_test(values_are_shown_with_their_labels_escaped),
		cmocka_unit_test(times_fall_into_the_bucket_whose_end_they_do_not_exceed),
		cmocka_unit_test(what_is_over_the_bound_is_counted_as_other),
		cmocka_unit_test(changes_that_wait_for_the_ledger_make_an_agent_unwell),
		cmocka_unit_test(
			polls_that_are_owed_and_do_not_come_make_an_agent_unwell),
		cmocka_unit_test(polls_that_are_not_owed_are_not_missed),
		cmocka_unit_test(
			a_poll_without_an_answer_makes_an_agent_unwell_long_after_its_limit),
		cmocka_unit_test(
			a_loop_that_turns_feeds_the_watchdog_only_while_all_is_well),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
