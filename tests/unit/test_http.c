/* lib/net/http against a scripted server: what is sent, what is told. */
#include "tests/unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/net/http.h"
#include "tests/unit/http_server.h"

struct fixture {
	struct loop *loop;
	struct http_client *client;
	struct http_server *server; /* the test's, stopped by tear_down */
	uv_timer_t guard;
	bool guard_fired;
	int turns;
};

/* What a callback was told, kept past it. */
struct outcome {
	struct fixture *f;
	int calls;
	long status;
	bool sent;
	char *body;
	size_t body_len;
	int64_t file_bytes, date_ms, age_s, sent_ms, received_ms;
	char header[128]; /* X-Test */
	struct mh_err err;
	struct http_call *cancel; /* to be cancelled from inside the callback */
};

static void on_guard(uv_timer_t *timer)
{
	struct fixture *f = timer->data;

	f->guard_fired = true;
	loop_stop(f->loop);
}

static void count_turn(void *ctx)
{
	((struct fixture *)ctx)->turns++;
}

static int set_up(void **state)
{
	struct fixture *f = mh_alloc(sizeof *f);
	struct http_options options = { .user_agent = "unit/1",
					.connect_timeout_ms = 2000 };
	struct mh_err err = MH_ERR_INIT;

	unsetenv("http_proxy");
	assert_ok(loop_new(&f->loop, &err), &err);
	assert_ok(http_client_new(f->loop, &options, &f->client, &err), &err);
	uv_timer_init(loop_uv(f->loop), &f->guard);
	f->guard.data = f;
	uv_timer_start(&f->guard, on_guard, 10000, 0);
	loop_set_after(f->loop, count_turn, f);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	http_client_free(f->client);
	loop_free(f->loop);
	if (f->server)
		http_server_free(f->server);
	free(f);
	return 0;
}

static void on_done(void *ctx, struct http_answer *a)
{
	struct outcome *o = ctx;
	const char *header = http_answer_header(a, "x-test");

	o->calls++;
	o->status = a->status;
	o->sent = a->sent;
	o->body_len = a->body.len;
	o->body = buf_steal(&a->body);
	o->file_bytes = a->file_bytes;
	o->date_ms = a->server_date_ms;
	o->age_s = a->age_s;
	o->sent_ms = a->sent_ms;
	o->received_ms = a->received_ms;
	o->err = a->err;
	snprintf(o->header, sizeof o->header, "%s", header ? header : "(absent)");
	assert_true((a->status == 0) == (a->err.cls != MH_OK));
	if (o->cancel)
		http_cancel(o->cancel);
	loop_stop(o->f->loop);
}

static void clean_outcome(struct outcome *o)
{
	free(o->body);
}

/* Sends one request and runs the loop until its answer. */
static void exchange(struct fixture *f, const struct http_request *request,
		     struct outcome *o)
{
	o->f = f;
	(void)http_send(f->client, request, on_done, o);
	assert_int_equal(o->calls, 0); /* never from inside */
	loop_run(f->loop);
	assert_false(f->guard_fired);
	assert_int_equal(o->calls, 1);
}

static char *url_of(struct fixture *f, const char *path)
{
	return mh_format("http://127.0.0.1:%d%s", http_server_port(f->server), path);
}

static int temp_file(const void *data, size_t len)
{
	int fd = memfd_create("test_http", MFD_CLOEXEC);

	assert_true(fd > 0);
	assert_int_equal(pwrite(fd, data, len, 0), len);
	return fd;
}

#define HTTP_OK(length) "HTTP/1.1 200 OK\r\nContent-Length: " #length "\r\n"

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

static void wrong_range_never_touches_the_file(void **state)
{
	static const struct {
		const char *reply, *says;
	} cases[] = {
		{ HTTP_OK(3) "\r\nABC", "ignored the range" },
		{ "HTTP/1.1 206 Partial\r\nContent-Length: 3\r\n"
		  "Content-Range: bytes 0-2/9\r\n\r\nABC",
		  "another range" },
		{ "HTTP/1.1 206 Partial\r\nContent-Length: 3\r\n\r\nABC",
		  "another range" },
	};
	const char *const headers[] = { "range: bytes=3-5", NULL };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct fixture *f = *state;
		const struct http_reply replies[] = { { .text = cases[i].reply }, { 0 } };
		CLEAN(outcome) struct outcome o = { 0 };
		CLEAN(free) char *url = NULL;
		CLEAN(fd) int fd = temp_file("abc", 3);
		struct http_request r = { .method = "GET",
					  .headers = headers,
					  .answer_fd = fd,
					  .answer_offset = 3 };
		struct stat st;

		f->server = http_server_start(replies);
		r.url = url = url_of(f, "/");
		exchange(f, &r, &o);
		assert_int_equal(o.err.cls, MH_E_PROTO);
		assert_contains(o.err.text, cases[i].says);
		assert_int_equal(o.file_bytes, 0);
		assert_int_equal(fstat(fd, &st), 0);
		assert_int_equal(st.st_size, 3);
		http_server_free(f->server);
		f->server = NULL;
	}
}

/* One exchange with a server that misbehaves, and what must be told. */
struct fault {
	const char *name;
	struct http_reply reply;
	struct http_request request;
	enum mh_err_class cls;
	const char *says;
};

static void faults_of_the_server_are_told_apart(void **state)
{
	static const struct fault faults[] = {
		{ "truncated",
		  { .text = HTTP_OK(100) "\r\nshort", .close = true },
		  { .method = "GET" },
		  MH_E_NET,
		  "GET http://127.0.0.1" },
		{ "truncated chunks",
		  { .text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: "
			    "chunked\r\n\r\n5\r\nabc",
		    .close = true },
		  { .method = "GET" },
		  MH_E_NET,
		  "" },
		{ "broken chunk size",
		  { .text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: "
			    "chunked\r\n\r\nzz\r\nabc",
		    .close = true },
		  { .method = "GET" },
		  MH_E_NET,
		  "" },
		{ "nothing", { .close = true }, { .method = "GET" }, MH_E_NET, "" },
		{ "reset", { .reset = true }, { .method = "GET" }, MH_E_NET, "" },
		{ "no HTTP",
		  { .text = "SSH-2.0-x\r\n", .close = true },
		  { .method = "GET" },
		  MH_E_PROTO,
		  "" },
		{ "headers cut",
		  { .text = "HTTP/1.1 200 OK\r\nX-Te", .close = true },
		  { .method = "GET" },
		  MH_E_NET,
		  "" },
		{ "stalled before the headers",
		  { .hold = true },
		  { .method = "GET", .stall_ms = 200 },
		  MH_E_TIMEOUT,
		  "nothing moved" },
		{ "stalled within the body",
		  { .text = HTTP_OK(9) "\r\nabc", .hold = true },
		  { .method = "GET", .stall_ms = 200 },
		  MH_E_TIMEOUT,
		  "nothing moved" },
		{ "too slow as a whole",
		  { .text = HTTP_OK(9) "\r\nabc", .hold = true },
		  { .method = "GET", .timeout_ms = 200 },
		  MH_E_TIMEOUT,
		  "" },
		{ "oversized by its length",
		  { .text = HTTP_OK(9) "\r\n", .filler = 9 },
		  { .method = "GET", .max_body = 8 },
		  MH_E_PROTO,
		  "larger than allowed" },
		{ "oversized without a length",
		  { .text = "HTTP/1.1 200 OK\r\n\r\n", .filler = 100000, .close = true },
		  { .method = "GET", .max_body = 99999 },
		  MH_E_PROTO,
		  "larger" },
		{ "too many headers",
		  { .text = "HTTP/1.1 200 OK\r\n", .filler = 300000, .close = true },
		  { .method = "GET" },
		  MH_E_NET,
		  "" },
	};

	for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
		struct fixture *f = *state;
		const struct http_reply replies[] = { faults[i].reply, { 0 } };
		struct http_request r = faults[i].request;
		CLEAN(outcome) struct outcome o = { 0 };
		CLEAN(free) char *url = NULL;

		print_message("# %s\n", faults[i].name);
		f->server = http_server_start(replies);
		r.url = url = url_of(f, "/x?secret=1");
		exchange(f, &r, &o);
		assert_int_equal(o.status, 0);
		assert_true(o.sent);
		assert_int_equal(o.err.cls, faults[i].cls);
		assert_contains(o.err.text, faults[i].says);
		assert_contains(o.err.text, "/x: ");
		assert_null(strstr(o.err.text, "secret"));
		http_server_free(f->server);
		f->server = NULL;
	}
}

static void header_flood_is_refused(void **state)
{
	struct fixture *f = *state;
	CLEAN(buf) struct buf text = BUF_INIT(100000);
	struct http_reply replies[] = { { .close = true }, { 0 } };
	CLEAN(outcome) struct outcome o = { 0 };
	CLEAN(free) char *url = NULL;
	struct http_request r = { .method = "GET" };

	buf_puts(&text, "HTTP/1.1 200 OK\r\n");
	for (int i = 0; i < 300; i++)
		buf_printf(&text, "X-%d: y\r\n", i);
	buf_puts(&text, "\r\n");
	replies[0].text = text.data;
	f->server = http_server_start(replies);
	r.url = url = url_of(f, "/");
	exchange(f, &r, &o);
	assert_int_equal(o.err.cls, MH_E_PROTO);
	assert_contains(o.err.text, "too many headers");
	http_server_stop(f->server); /* it sends from text */
}

static void oversized_file_answer_stops_at_the_limit(void **state)
{
	struct fixture *f = *state;
	static const struct http_reply replies[] = {
		{ .text = "HTTP/1.1 200 OK\r\n\r\n", .filler = 3000000, .close = true },
		{ 0 },
	};
	CLEAN(outcome) struct outcome o = { 0 };
	CLEAN(free) char *url = NULL;
	CLEAN(fd) int fd = temp_file("", 0);
	struct http_request r = { .method = "GET", .answer_fd = fd, .max_file = 1000000 };
	struct stat st;

	f->server = http_server_start(replies);
	r.url = url = url_of(f, "/");
	exchange(f, &r, &o);
	assert_int_equal(o.err.cls, MH_E_PROTO);
	assert_int_equal(fstat(fd, &st), 0);
	assert_true(st.st_size <= 1000000);
	assert_int_equal(st.st_size, o.file_bytes);
}

static void truncated_file_answer_tells_how_far_it_came(void **state)
{
	struct fixture *f = *state;
	static const struct http_reply replies[] = {
		{ .text = HTTP_OK(5000) "\r\n", .filler = 1234, .close = true },
		{ 0 },
	};
	CLEAN(outcome) struct outcome o = { 0 };
	CLEAN(free) char *url = NULL;
	CLEAN(fd) int fd = temp_file("", 0);
	struct http_request r = { .method = "GET", .answer_fd = fd };

	f->server = http_server_start(replies);
	r.url = url = url_of(f, "/");
	exchange(f, &r, &o);
	assert_int_equal(o.status, 0);
	assert_int_equal(o.err.cls, MH_E_NET);
	assert_int_equal(o.file_bytes, 1234);
}

static void unwritable_answer_file_is_a_file_error(void **state)
{
	struct fixture *f = *state;
	static const struct http_reply replies[] = {
		{ .text = HTTP_OK(3) "\r\nabc" },
		{ 0 },
	};
	CLEAN(outcome) struct outcome o = { 0 };
	CLEAN(free) char *url = NULL;
	CLEAN(fd) int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
	struct http_request r = { .method = "GET", .answer_fd = fd };

	f->server = http_server_start(replies);
	r.url = url = url_of(f, "/");
	exchange(f, &r, &o);
	assert_int_equal(o.err.cls, MH_E_FULL);
	assert_int_equal(o.err.sys_errno, ENOSPC);
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

static void short_body_file_fails_and_is_no_request(void **state)
{
	struct fixture *f = *state;
	static const struct http_reply replies[] = { { .hold = true }, { 0 } };
	CLEAN(outcome) struct outcome o = { 0 };
	CLEAN(free) char *url = NULL;
	CLEAN(fd) int fd = temp_file("abc", 3);
	struct http_request r = { .method = "PUT", .body_fd = fd, .body_len = 4 };

	f->server = http_server_start(replies);
	r.url = url = url_of(f, "/");
	exchange(f, &r, &o);
	assert_int_equal(o.err.cls, MH_E_SYS);
	assert_contains(o.err.text, "shorter than 4 bytes");
}

static void stalled_upload_is_given_up(void **state)
{
	struct fixture *f = *state;
	static const struct http_reply replies[] = { { .hold = true, .unread = true },
						     { 0 } };
	enum { LEN = 64 << 20 }; /* more than the sockets buffer */
	CLEAN(outcome) struct outcome o = { 0 };
	CLEAN(free) char *url = NULL;
	CLEAN(fd) int fd = temp_file("", 0);
	struct http_request r = {
		.method = "PUT", .body_fd = fd, .body_len = LEN, .stall_ms = 300
	};

	assert_int_equal(ftruncate(fd, LEN), 0);
	f->server = http_server_start(replies);
	r.url = url = url_of(f, "/");
	exchange(f, &r, &o);
	assert_int_equal(o.err.cls, MH_E_TIMEOUT);
	assert_true(o.sent);
}

/* A refusal that comes before the body was read is an answer, not a broken pipe. */
static void early_refusal_of_an_upload_is_the_answer(void **state)
{
	struct fixture *f = *state;
	static const struct http_reply replies[] = {
		{ .text = "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno",
		  .unread = true,
		  .hold = true },
		{ 0 },
	};
	enum { LEN = 64 << 20 };
	CLEAN(outcome) struct outcome o = { 0 };
	CLEAN(free) char *url = NULL;
	CLEAN(fd) int fd = temp_file("", 0);
	struct http_request r = { .method = "PUT", .body_fd = fd, .body_len = LEN };

	assert_int_equal(ftruncate(fd, LEN), 0);
	f->server = http_server_start(replies);
	r.url = url = url_of(f, "/");
	exchange(f, &r, &o);
	assert_int_equal(o.status, 403);
	assert_string_equal(o.body, "no");
}

static void refused_connection_was_never_sent(void **state)
{
	struct fixture *f = *state;
	static const struct http_reply replies[] = { { .close = true }, { 0 } };
	CLEAN(outcome) struct outcome o = { 0 };
	CLEAN(free) char *url = NULL;
	struct http_request r = { .method = "POST", .body = "{}", .body_len = 2 };

	f->server = http_server_start(replies);
	r.url = url = url_of(f, "/");
	http_server_free(f->server); /* the port is free again */
	f->server = NULL;
	exchange(f, &r, &o);
	assert_int_equal(o.err.cls, MH_E_NET);
	assert_false(o.sent);
	assert_int_equal(o.status, 0);
}

static void tls_to_a_plain_server_was_never_sent(void **state)
{
	struct fixture *f = *state;
	static const struct http_reply replies[] = {
		{ .text = HTTP_OK(0) "\r\n", .close = true },
		{ 0 },
	};
	CLEAN(outcome) struct outcome o = { 0 };
	CLEAN(free) char *url = NULL;
	struct http_request r = { .method = "GET" };

	f->server = http_server_start(replies);
	r.url = url = mh_format("https://127.0.0.1:%d/", http_server_port(f->server));
	/* Its hello has no blank line: the server waits for more until it is stopped,
	 * so the connect timeout ends it. */
	exchange(f, &r, &o);
	assert_true(o.err.cls == MH_E_NET || o.err.cls == MH_E_TIMEOUT);
	assert_false(o.sent);
}

/* What was sent on a kept-alive connection that then broke may have arrived: libcurl
 * must not send it again by itself. */
static void body_is_not_sent_twice_on_a_dead_connection(void **state)
{
	struct fixture *f = *state;
	static const struct http_reply replies[] = {
		{ .text = HTTP_OK(2) "\r\nok" },
		{ .close = true }, /* read, then closed without an answer */
		{ .text = HTTP_OK(5) "\r\ntwice" },
		{ 0 },
	};
	CLEAN(outcome) struct outcome first = { 0 };
	CLEAN(outcome) struct outcome second = { 0 };
	CLEAN(free) char *url = NULL;
	struct http_request r = { .method = "POST",
				  .body = "{\"nonce\":1}",
				  .body_len = 11 };

	f->server = http_server_start(replies);
	r.url = url = url_of(f, "/");
	exchange(f, &r, &first);
	assert_int_equal(first.status, 200);
	exchange(f, &r, &second);
	assert_int_equal(second.status, 0);
	assert_int_equal(second.err.cls, MH_E_NET);
	assert_true(second.sent);
	http_server_stop(f->server);
	assert_int_equal(http_server_requests(f->server), 2);
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

static void unusable_requests_are_told_to_the_callback(void **state)
{
	struct fixture *f = *state;
	static const char *const injected[] = { "X-A: b\r\nX-C: d", NULL };
	static const char *const nameless[] = { "no colon here", NULL };
	static const char *const blank_name[] = { "X A: b", NULL };
	static const struct {
		struct http_request request;
		const char *says;
	} cases[] = {
		{ { .method = "GET", .url = "ftp://127.0.0.1/" }, "http://" },
		{ { .method = "GET", .url = "" }, "usable URL" },
		{ { .method = "GET",
		    .url = "http://service.example/?X-Amz-Signature=5ec" },
		  "in clear" },
		{ { .method = "GET", .url = "http://10.0.0.1/" }, "in clear" },
		{ { .method = "GE T", .url = "http://127.0.0.1/" }, "HTTP method" },
		{ { .method = "", .url = "http://127.0.0.1/" }, "HTTP method" },
		{ { .method = "GET", .url = "http://127.0.0.1/", .headers = injected },
		  "line break" },
		{ { .method = "GET", .url = "http://127.0.0.1/", .headers = nameless },
		  "header name" },
		{ { .method = "GET", .url = "http://127.0.0.1/", .headers = blank_name },
		  "header name" },
		{ { .method = "PUT", .url = "http://127.0.0.1/", .body_len = 1 },
		  "no body" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEAN(outcome) struct outcome o = { 0 };

		exchange(f, &cases[i].request, &o);
		assert_int_equal(o.err.cls, MH_E_CONFIG);
		assert_contains(o.err.text, cases[i].says);
		assert_null(strstr(o.err.text, "5ec"));
		assert_false(o.sent);
	}
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

static void missing_ca_bundle_is_a_configuration_error(void **state)
{
	struct fixture *f = *state;
	struct http_options options = { .ca_file = "/nowhere/ca.pem" };
	struct http_client *client = NULL;
	struct mh_err err = MH_ERR_INIT;

	assert_fails(http_client_new(f->loop, &options, &client, &err), &err,
		     MH_E_CONFIG);
	assert_contains(err.text, "/nowhere/ca.pem");
	assert_null(client);
}

#define HTTP_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		HTTP_TEST(post_sends_just_what_was_given),
		HTTP_TEST(methods_go_out_as_named),
		HTTP_TEST(head_tells_headers_and_no_body),
		HTTP_TEST(error_pages_are_answers_and_go_to_memory),
		HTTP_TEST(part_goes_into_the_file_at_its_offset),
		HTTP_TEST(wrong_range_never_touches_the_file),
		HTTP_TEST(faults_of_the_server_are_told_apart),
		HTTP_TEST(header_flood_is_refused),
		HTTP_TEST(oversized_file_answer_stops_at_the_limit),
		HTTP_TEST(truncated_file_answer_tells_how_far_it_came),
		HTTP_TEST(unwritable_answer_file_is_a_file_error),
		HTTP_TEST(body_file_is_sent_whole_and_left_open),
		HTTP_TEST(short_body_file_fails_and_is_no_request),
		HTTP_TEST(stalled_upload_is_given_up),
		HTTP_TEST(early_refusal_of_an_upload_is_the_answer),
		HTTP_TEST(refused_connection_was_never_sent),
		HTTP_TEST(tls_to_a_plain_server_was_never_sent),
		HTTP_TEST(body_is_not_sent_twice_on_a_dead_connection),
		HTTP_TEST(connection_is_kept_and_waiting_is_idle),
		HTTP_TEST(interim_answers_and_trailers_are_no_headers),
		HTTP_TEST(redirects_are_answers),
		HTTP_TEST(unusable_requests_are_told_to_the_callback),
		HTTP_TEST(cancelled_calls_never_call_back),
		HTTP_TEST(sockets_are_closed_on_exec),
		HTTP_TEST(missing_ca_bundle_is_a_configuration_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
