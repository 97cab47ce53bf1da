/* lib/net/http against a scripted server: what is sent, what is told. */
#include "tests/unit/http_fixture.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/clock.h"

static void post_sends_just_what_was_given(void **state)
{
	struct fixture *f = *state;
	static const struct http_reply replies[] = {
		{ .text = HTTP_OK(2) "Date: Fri, 20 Nov 2026 10:39:03 GMT\r\n"
				     "Age: 7\r\nX-Test:  some value \r\n\r\n{}" },
		{ 0 }
	};
	const char *const headers[] = { "X-Amz-Target: CodePipeline.PollForJobs",
					"X-Empty: ", NULL };
	CLEAN(outcome) struct outcome o = { 0 };
	CLEAN(free) char *url = NULL;
	struct http_request r = {
		.method = "POST", .headers = headers, .body = "{\"a\":1}", .body_len = 7
	};
	int64_t before = clock_wall_ms();

	f->server = http_server_start(replies);
	r.url = url = url_of(f, "/p%20q?x=%2F&y");
	exchange(f, &r, &o);
	assert_int_equal(o.status, 200);
	assert_true(o.sent);
	assert_string_equal(o.body, "{}");
	assert_string_equal(o.header, "some value");
	assert_int_equal(o.age_s, 7);
	assert_true(o.date_ms == 1795171143000);
	assert_true(o.sent_ms >= before && o.received_ms >= o.sent_ms);
	http_server_stop(f->server);
	{
		CLEAN(free)
		char *expected = mh_format(
			"POST /p%%20q?x=%%2F&y HTTP/1.1\r\n"
			"Host: 127.0.0.1:%d\r\nUser-Agent: unit/1\r\n"
			"X-Amz-Target: CodePipeline.PollForJobs\r\n"
			"X-Empty:\r\nContent-Length: 7\r\n\r\n{\"a\":1}",
			http_server_port(f->server));

		assert_string_equal(http_server_request(f->server, 0), expected);
	}
}

static void methods_go_out_as_named(void **state)
{
	struct fixture *f = *state;
	static const struct http_reply replies[] = {
		{ .text = HTTP_OK(0) "\r\n" },
		{ 0 },
	};
	static const struct {
		const char *method;
		const char *line;
		bool length; /* Content-Length: 0 is sent */
	} cases[] = {
		{ "GET", "GET /a/../b HTTP/1.1\r\n", false },
		{ "HEAD", "HEAD /a/../b HTTP/1.1\r\n", false },
		{ "DELETE", "DELETE /a/../b HTTP/1.1\r\n", false },
		{ "PUT", "PUT /a/../b HTTP/1.1\r\n", true },
		{ "POST", "POST /a/../b HTTP/1.1\r\n", true },
	};
	CLEAN(free) char *url = NULL;

	f->server = http_server_start(replies);
	url = url_of(f, "/a/../b");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEAN(outcome) struct outcome o = { 0 };
		struct http_request r = { .method = cases[i].method, .url = url };

		exchange(f, &r, &o);
		assert_int_equal(o.status, 200);
		assert_int_equal(o.body_len, 0);
	}
	http_server_stop(f->server);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *text = http_server_request(f->server, i);

		assert_int_equal(strncmp(text, cases[i].line, strlen(cases[i].line)), 0);
		assert_int_equal(strstr(text, "Content-Length: 0\r\n") != NULL,
				 cases[i].length);
		assert_null(strstr(text, "Expect"));
		assert_null(strstr(text, "Content-Type"));
		assert_null(strstr(text, "Accept"));
	}
	assert_int_equal(http_server_connections(f->server), 1); /* kept alive */
}

static void head_tells_headers_and_no_body(void **state)
{
	struct fixture *f = *state;
	static const struct http_reply replies[] = {
		{ .text = HTTP_OK(123456) "X-Test: h\r\n\r\n" },
		{ 0 },
	};
	CLEAN(outcome) struct outcome o = { 0 };
	CLEAN(free) char *url = NULL;
	struct http_request r = { .method = "HEAD" };

	f->server = http_server_start(replies);
	r.url = url = url_of(f, "/");
	exchange(f, &r, &o);
	assert_int_equal(o.status, 200);
	assert_string_equal(o.header, "h");
	assert_int_equal(o.body_len, 0);
	assert_int_equal(o.date_ms, -1);
	assert_int_equal(o.age_s, -1);
}

static void error_pages_are_answers_and_go_to_memory(void **state)
{
	struct fixture *f = *state;
	static const struct http_reply replies[] = {
		{ .text = "HTTP/1.1 503 Slow Down\r\nContent-Length: "
			  "13\r\n\r\n<html></html>" },
		{ 0 },
	};
	CLEAN(outcome) struct outcome o = { 0 };
	CLEAN(free) char *url = NULL;
	CLEAN(fd) int fd = temp_file("before", 6);
	struct http_request r = { .method = "GET", .answer_fd = fd };
	char kept[7] = "";

	f->server = http_server_start(replies);
	r.url = url = url_of(f, "/");
	exchange(f, &r, &o);
	assert_int_equal(o.status, 503);
	assert_string_equal(o.body, "<html></html>");
	assert_int_equal(o.file_bytes, 0);
	assert_int_equal(pread(fd, kept, 6, 0), 6);
	assert_string_equal(kept, "before");
}

static void part_goes_into_the_file_at_its_offset(void **state)
{
	struct fixture *f = *state;
	static const struct http_reply replies[] = {
		{ .text = "HTTP/1.1 206 Partial Content\r\nContent-Length: 1000000\r\n"
			  "Content-Range: bytes 3-1000002/1000003\r\n\r\n",
		  .filler = 1000000 },
		{ 0 },
	};
	const char *const headers[] = { "Range: bytes=3-", NULL };
	CLEAN(outcome) struct outcome o = { 0 };
	CLEAN(free) char *url = NULL;
	CLEAN(fd) int fd = temp_file("abc", 3);
	struct http_request r = { .method = "GET",
				  .headers = headers,
				  .answer_fd = fd,
				  .answer_offset = 3,
				  .max_file = 1000000 };
	struct stat st;
	char edge[5] = "";

	f->server = http_server_start(replies);
	r.url = url = url_of(f, "/");
	exchange(f, &r, &o);
	assert_int_equal(o.status, 206);
	assert_int_equal(o.file_bytes, 1000000);
	assert_int_equal(o.body_len, 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, 1000003);
	assert_int_equal(pread(fd, edge, 4, 1), 4);
	assert_string_equal(edge, "bcxx");
}

struct tapped {
	int64_t bytes;
	bool bad; /* another byte than the server's, or too early */
};

static void on_tap(void *ctx, const struct http_answer *so_far, const void *data,
		   size_t len)
{
	struct tapped *t = ctx;
	const char *text = data;

	if (so_far->file_bytes != t->bytes || !http_answer_header(so_far, "X-Test"))
		t->bad = true;
	for (size_t i = 0; i < len; i++)
		t->bad = t->bad || text[i] != (t->bytes == 0 && i == 0 ? 'b' : 'x');
	t->bytes += (int64_t)len;
}

/* In pieces of whatever size curl reads, of which some are held back for the next. */
static void bytes_of_a_file_are_tapped_as_they_are_written_also_up_to_a_cut(void **state)
{
	struct fixture *f = *state;
	static const struct http_reply replies[] = {
		{ .text = HTTP_OK(3000001) "X-Test: 1\r\n\r\nb", .filler = 3000000 },
		{ 0 }
	};
	static const int64_t cuts[] = { 0, 1, 16384, 100001, 3000000 };

	f->server = http_server_start(replies);
	for (size_t i = 0; i < ARRAY_LEN(cuts); i++) {
		CLEAN(fd) int fd = temp_file("", 0);
		CLEAN(free) char *url = url_of(f, "/");
		CLEAN(outcome) struct outcome o = { 0 };
		struct tapped t = { 0 };
		struct http_request r = { .method = "GET",
					  .url = url,
					  .answer_fd = fd,
					  .cut_above = cuts[i] ? 1000 : 0,
					  .cut_at = cuts[i],
					  .tap = on_tap,
					  .tap_ctx = &t };
		int64_t wanted = cuts[i] ? cuts[i] : 3000001;
		struct stat st;
		char last = 0;

		exchange(f, &r, &o);
		assert_int_equal(o.status, 200);
		assert_false(t.bad);
		assert_true(o.file_bytes == wanted && t.bytes == wanted);
		assert_int_equal(fstat(fd, &st), 0);
		assert_true(st.st_size == wanted);
		assert_int_equal(pread(fd, &last, 1, wanted - 1), 1);
		assert_int_equal(last, wanted == 1 ? 'b' : 'x');
	}
}

static void body_file_is_sent_whole_and_left_open(void **state)
{
	struct fixture *f = *state;
	static const struct http_reply replies[] = {
		{ .text = HTTP_OK(0) "\r\n" },
		{ 0 },
	};
	enum { LEN = 3000000 };
	CLEAN(free) char *data = mh_alloc(LEN);
	CLEAN(outcome) struct outcome o = { 0 };
	CLEAN(free) char *url = NULL;
	CLEAN(fd) int fd = -1;
	struct http_request r = { .method = "PUT", .body_len = LEN };
	const char *sent;

	for (size_t i = 0; i < LEN; i++)
		data[i] = (char)('a' + i % 26);
	r.body_fd = fd = temp_file(data, LEN);
	assert_int_equal(lseek(fd, 77, SEEK_SET), 77); /* must not matter, nor move */
	f->server = http_server_start(replies);
	r.url = url = url_of(f, "/");
	exchange(f, &r, &o);
	assert_int_equal(o.status, 200);
	http_server_stop(f->server);
	sent = strstr(http_server_request(f->server, 0), "\r\n\r\n");
	assert_non_null(sent);
	assert_contains(http_server_request(f->server, 0), "Content-Length: 3000000\r\n");
	assert_int_equal(strlen(sent + 4), LEN);
	assert_memory_equal(sent + 4, data, LEN);
	assert_int_equal(lseek(fd, 0, SEEK_CUR), 77);
}

static void connection_is_kept_and_waiting_is_idle(void **state)
{
	struct fixture *f = *state;
	static const struct http_reply replies[] = {
		{ .text = HTTP_OK(2) "\r\nok", .delay_ms = 150 },
		{ 0 },
	};
	CLEAN(free) char *url = NULL;

	f->server = http_server_start(replies);
	url = url_of(f, "/");
	for (int i = 0; i < 4; i++) {
		CLEAN(outcome) struct outcome o = { 0 };
		struct http_request r = { .method = "GET", .url = url };

		exchange(f, &r, &o);
		assert_string_equal(o.body, "ok");
	}
	assert_in_range(f->turns, 4, 80);
	http_server_stop(f->server);
	assert_int_equal(http_server_requests(f->server), 4);
	assert_int_equal(http_server_connections(f->server), 1);
}

static void slow_but_steady_is_no_stall(void **state)
{
	struct fixture *f = *state;
	static const struct http_reply replies[] = {
		{ .text = HTTP_OK(8) "\r\n", .filler = 8, .drip_ms = 100 },
		{ 0 },
	};
	CLEAN(outcome) struct outcome o = { 0 };
	CLEAN(free) char *url = NULL;
	struct http_request r = { .method = "GET", .stall_ms = 500 };

	f->server = http_server_start(replies);
	r.url = url = url_of(f, "/");
	exchange(f, &r, &o); /* 800 ms in all */
	assert_int_equal(o.status, 200);
	assert_string_equal(o.body, "xxxxxxxx");
}

static void interim_answers_and_trailers_are_no_headers(void **state)
{
	struct fixture *f = *state;
	static const struct http_reply replies[] = {
		{ .text = "HTTP/1.1 103 Early\r\nX-Test: early\r\nAge: 1\r\n\r\n"
			  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
			  "Trailer: X-Test\r\n\r\n3\r\nabc\r\n0\r\nX-Test: "
			  "late\r\n\r\n" },
		{ 0 },
	};
	CLEAN(outcome) struct outcome o = { 0 };
	CLEAN(free) char *url = NULL;
	struct http_request r = { .method = "GET" };

	f->server = http_server_start(replies);
	r.url = url = url_of(f, "/");
	exchange(f, &r, &o);
	assert_int_equal(o.status, 200);
	assert_string_equal(o.body, "abc");
	assert_string_equal(o.header, "(absent)");
	assert_int_equal(o.age_s, -1);
}

static void redirects_are_answers(void **state)
{
	struct fixture *f = *state;
	static const struct http_reply replies[] = {
		{ .text = "HTTP/1.1 307 There\r\nLocation: /other\r\n"
			  "Content-Length: 0\r\nX-Test: r\r\n\r\n" },
		{ 0 },
	};
	CLEAN(outcome) struct outcome o = { 0 };
	CLEAN(free) char *url = NULL;
	struct http_request r = { .method = "GET" };

	f->server = http_server_start(replies);
	r.url = url = url_of(f, "/");
	exchange(f, &r, &o);
	assert_int_equal(o.status, 307);
	http_server_stop(f->server);
	assert_int_equal(http_server_requests(f->server), 1);
}

static void cancelled_calls_never_call_back(void **state)
{
	struct fixture *f = *state;
	static const struct http_reply replies[] = {
		{ .text = HTTP_OK(2) "\r\nok", .delay_ms = 50 },
		{ 0 },
	};
	CLEAN(outcome) struct outcome kept = { .f = f };
	CLEAN(outcome) struct outcome gone = { .f = f };
	CLEAN(free) char *url = NULL;
	struct http_request r = { .method = "GET" };
	struct http_request bad = { .method = "GET", .url = "nonsense" };

	f->server = http_server_start(replies);
	r.url = url = url_of(f, "/");
	http_cancel(http_send(f->client, &r, on_done, &gone));
	http_cancel(http_send(f->client, &bad, on_done, &gone));
	http_cancel(NULL);
	/* And from inside another one's callback. */
	(void)http_send(f->client, &r, on_done, &kept);
	kept.cancel = http_send(f->client, &r, on_done, &gone);
	loop_run(f->loop);
	assert_int_equal(kept.calls, 1);
	assert_int_equal(kept.status, 200);
	assert_int_equal(gone.calls, 0);
	/* What is under way goes with the client. */
	(void)http_send(f->client, &r, on_done, &gone);
	http_client_free(f->client);
	f->client = NULL;
	loop_stop(f->loop);
	loop_run(f->loop);
	assert_int_equal(gone.calls, 0);
}

static void sockets_are_closed_on_exec(void **state)
{
	struct fixture *f = *state;
	static const struct http_reply replies[] = {
		{ .text = HTTP_OK(0) "\r\n" },
		{ 0 },
	};
	CLEAN(outcome) struct outcome o = { 0 };
	CLEAN(free) char *url = NULL;
	struct http_request r = { .method = "GET" };
	int found = 0;

	f->server = http_server_start(replies);
	r.url = url = url_of(f, "/");
	exchange(f, &r, &o);
	for (int fd = 3; fd < 256; fd++) {
		struct sockaddr_storage peer;
		socklen_t len = sizeof peer;

		if (getpeername(fd, (struct sockaddr *)&peer, &len) != 0 ||
		    peer.ss_family != AF_INET)
			continue;
		assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
		found++;
	}
	assert_true(found >= 1); /* the pooled connection is among them */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HTTP_TEST(post_sends_just_what_was_given),
		HTTP_TEST(methods_go_out_as_named),
		HTTP_TEST(head_tells_headers_and_no_body),
		HTTP_TEST(error_pages_are_answers_and_go_to_memory),
		HTTP_TEST(part_goes_into_the_file_at_its_offset),
		HTTP_TEST(
			bytes_of_a_file_are_tapped_as_they_are_written_also_up_to_a_cut),
		HTTP_TEST(body_file_is_sent_whole_and_left_open),
		HTTP_TEST(connection_is_kept_and_waiting_is_idle),
		HTTP_TEST(slow_but_steady_is_no_stall),
		HTTP_TEST(interim_answers_and_trailers_are_no_headers),
		HTTP_TEST(redirects_are_answers),
		HTTP_TEST(cancelled_calls_never_call_back),
		HTTP_TEST(sockets_are_closed_on_exec),
	};

	return cmocka_run_group_tests(tests, http_first_loop, NULL);
}
