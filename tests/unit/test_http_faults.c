/* lib/net/http when things go wrong: servers that lie or stall, files, bad requests. */
#include "tests/unit/http_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/str.h"

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

static void tell_faults(struct fixture *f, const char *method)
{
	bool post = strcmp(method, "POST") == 0; /* goes another way */

	for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
		const struct http_reply replies[] = { faults[i].reply, { 0 } };
		struct http_request r = faults[i].request;
		CLEAN(outcome) struct outcome o = { 0 };
		CLEAN(free) char *url = NULL;

		print_message("# %s %s\n", method, faults[i].name);
		f->server = http_server_start(replies);
		r.url = url = url_of(f, "/x?secret=1");
		r.method = method;
		r.body = post ? "{}" : NULL;
		r.body_len = post ? 2 : 0;
		exchange(f, &r, &o);
		assert_int_equal(o.status, 0);
		assert_true(o.sent);
		/* Where curl only sees a broken connection, we see what broke. */
		assert_true(o.err.cls == faults[i].cls ||
			    (post && o.err.cls == MH_E_PROTO));
		if (!post || !str_starts_with(faults[i].says, "GET "))
			assert_contains(o.err.text, faults[i].says);
		assert_contains(o.err.text, "/x: ");
		assert_contains(o.err.text, method);
		assert_null(strstr(o.err.text, "secret"));
		http_server_free(f->server);
		f->server = NULL;
	}
}

static void faults_of_the_server_are_told_apart(void **state)
{
	tell_faults(*state, "GET");
}

static void faults_of_the_server_are_told_apart_by_a_post_too(void **state)
{
	tell_faults(*state, "POST");
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		HTTP_TEST(wrong_range_never_touches_the_file),
		HTTP_TEST(faults_of_the_server_are_told_apart),
		HTTP_TEST(faults_of_the_server_are_told_apart_by_a_post_too),
		HTTP_TEST(header_flood_is_refused),
		HTTP_TEST(oversized_file_answer_stops_at_the_limit),
		HTTP_TEST(truncated_file_answer_tells_how_far_it_came),
		HTTP_TEST(unwritable_answer_file_is_a_file_error),
		HTTP_TEST(short_body_file_fails_and_is_no_request),
		HTTP_TEST(stalled_upload_is_given_up),
		HTTP_TEST(early_refusal_of_an_upload_is_the_answer),
		HTTP_TEST(refused_connection_was_never_sent),
		HTTP_TEST(tls_to_a_plain_server_was_never_sent),
		HTTP_TEST(body_is_not_sent_twice_on_a_dead_connection),
		HTTP_TEST(unusable_requests_are_told_to_the_callback),
		HTTP_TEST(missing_ca_bundle_is_a_configuration_error),
	};

	return cmocka_run_group_tests(tests, http_first_loop, NULL);
}
