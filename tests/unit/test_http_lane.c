/* lib/net/http_lane and http_parse: calls of the API, whose exchange is our own. */
#include "tests/unit/http_fixture.h"

/* What a POST's answer may look like, and what is made of it. */
static const struct {
	const char *name;
	struct http_reply reply;
	long status; /* 0: refused as PROTO */
	const char *body;
	bool kept; /* the connection serves another request */
} answers[] = {
	{ "counted", { .text = HTTP_OK(2) "\r\nok" }, 200, "ok", true },
	{ "bare line feeds",
	  { .text = "HTTP/1.1 200 OK\nContent-Length: 2\n\nok" },
	  200,
	  "ok",
	  true },
	{ "chunks",
	  { .text = "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n"
		    "1\r\no\r\n01;x=y\r\nk\r\n0\r\nT: r\r\n\r\n" },
	  200,
	  "ok",
	  true },
	{ "interim",
	  { .text = "HTTP/1.1 100 Continue\r\n\r\n" HTTP_OK(2) "\r\nok" },
	  200,
	  "ok",
	  true },
	{ "no content", { .text = "HTTP/1.1 204 None\r\n\r\n" }, 204, "", true },
	{ "an error",
	  { .text = "HTTP/1.1 400 Bad\r\nContent-Length: 2\r\n\r\nno" },
	  400,
	  "no",
	  true },
	{ "until the end",
	  { .text = "HTTP/1.1 200 OK\r\n\r\nok", .close = true },
	  200,
	  "ok",
	  false },
	{ "the last of its connection",
	  { .text = HTTP_OK(2) "Connection: x, Close\r\n\r\nok", .close = true },
	  200,
	  "ok",
	  false },
	{ "HTTP/1.0",
	  { .text = "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", .close = true },
	  200,
	  "ok",
	  false },
	{ "more than it announced",
	  { .text = HTTP_OK(2) "\r\nokHTTP/1.1 200" },
	  200,
	  "ok",
	  false },
	{ "two lengths",
	  { .text = HTTP_OK(2) "Content-Length: 3\r\n\r\nok" },
	  0,
	  NULL,
	  false },
	{ "no number",
	  { .text = "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok" },
	  0,
	  NULL,
	  false },
	{ "another encoding",
	  { .text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n" },
	  0,
	  NULL,
	  false },
	{ "another protocol", { .text = "HTTP/1.1 101 Now\r\n\r\n" }, 0, NULL, false },
	{ "HTTP/2", { .text = "HTTP/2 200\r\n\r\n" }, 0, NULL, false },
	{ "no status", { .text = "HTTP/1.1 2x0 OK\r\n\r\n" }, 0, NULL, false },
};

static void answers_to_a_post_are_understood_to_the_letter(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
		struct fixture *f = *state;
		const struct http_reply replies[] = { answers[i].reply,
						      { .text = HTTP_OK(0) "\r\n" },
						      { 0 } };
		CLEAN(outcome) struct outcome o = { 0 };
		CLEAN(outcome) struct outcome next = { 0 };
		CLEAN(free) char *url = NULL;
		struct http_request r = { .method = "POST", .body = "{}", .body_len = 2 };

		print_message("# %s\n", answers[i].name);
		f->server = http_server_start(replies);
		r.url = url = url_of(f, "/");
		exchange(f, &r, &o);
		assert_int_equal(o.status, answers[i].status);
		assert_int_equal(o.err.cls, answers[i].status ? MH_OK : MH_E_PROTO);
		if (answers[i].body)
			assert_string_equal(o.body ? o.body : "", answers[i].body);
		exchange(f, &r, &next);
		assert_int_equal(next.status, 200);
		http_server_stop(f->server);
		assert_int_equal(http_server_connections(f->server),
				 answers[i].kept ? 1 : 2);
		http_server_free(f->server);
		f->server = NULL;
	}
}

/* A connection that the server gave up while nobody used it costs no request. */
static void dead_idle_connection_is_noticed_before_it_is_used(void **state)
{
	struct fixture *f = *state;
	static const struct http_reply replies[] = {
		{ .text = HTTP_OK(2) "\r\nok", .close = true },
		{ 0 },
	};
	CLEAN(free) char *url = NULL;
	struct http_request r = { .method = "POST", .body = "{}", .body_len = 2 };

	f->server = http_server_start(replies);
	r.url = url = url_of(f, "/");
	for (int i = 0; i < 3; i++) {
		CLEAN(outcome) struct outcome o = { 0 };

		exchange(f, &r, &o);
		assert_int_equal(o.status, 200);
		http_server_await_end(f->server, (size_t)i + 1);
	}
	http_server_stop(f->server);
	assert_int_equal(http_server_requests(f->server), 3);
	assert_int_equal(http_server_connections(f->server), 3);
}

/* A proxy is asked for a tunnel where there is TLS, and for the answer where not. */
static void proxy_gets_what_it_needs(void **state)
{
	static const struct {
		const char *variable, *url, *line, *says;
		long status;
	} cases[] = {
		{ "https_proxy", "https://service.example/a",
		  "CONNECT service.example:443 HTTP/1.1\r\n", "403", 0 },
		{ "http_proxy", "http://service.example/a",
		  "POST http://service.example/a HTTP/1.1\r\n", "", 403 },
	};
	static const struct http_reply replies[] = {
		{ .text = "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n" },
		{ 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct fixture *f = *state;
		struct http_options options = { .user_agent = "unit/1" };
		struct http_client *plain = f->client;
		CLEAN(outcome) struct outcome o = { 0 };
		CLEAN(free) char *proxy = NULL;
		struct http_request r = { .method = "POST",
					  .url = cases[i].url,
					  .body = "{}",
					  .body_len = 2,
					  .plain_ok = true };
		struct mh_err err = MH_ERR_INIT;

		f->server = http_server_start(replies);
		proxy = url_of(f, "");
		assert_int_equal(setenv(cases[i].variable, proxy, 1), 0);
		assert_ok(http_client_new(f->loop, &options, &f->client, &err), &err);
		exchange(f, &r, &o);
		assert_int_equal(unsetenv(cases[i].variable), 0);
		assert_int_equal(o.status, cases[i].status);
		assert_contains(o.err.text, cases[i].says);
		assert_int_equal(o.sent, cases[i].status != 0);
		http_client_free(f->client);
		f->client = plain;
		http_server_stop(f->server);
		assert_int_equal(strncmp(http_server_request(f->server, 0), cases[i].line,
					 strlen(cases[i].line)),
				 0);
		http_server_free(f->server);
		f->server = NULL;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HTTP_TEST(answers_to_a_post_are_understood_to_the_letter),
		HTTP_TEST(dead_idle_connection_is_noticed_before_it_is_used),
		HTTP_TEST(proxy_gets_what_it_needs),
	};

	return cmocka_run_group_tests(tests, http_first_loop, NULL);
}
