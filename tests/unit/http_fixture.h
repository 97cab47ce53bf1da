/* What the tests of lib/net/http share: loop, client, scripted server, outcomes. */
#ifndef MH_TESTS_UNIT_HTTP_FIXTURE_H
#define MH_TESTS_UNIT_HTTP_FIXTURE_H

#include "tests/unit/test.h"

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

/* Of the group: libuv opens its signal pipe with the first loop, and keeps it. */
int http_first_loop(void **state);
int http_set_up(void **state);
int http_tear_down(void **state);
#define HTTP_TEST(name) cmocka_unit_test_setup_teardown(name, http_set_up, http_tear_down)

/* The callback of every request: fills the outcome in and stops the loop. */
void on_done(void *ctx, struct http_answer *a);
/* Sends one request and runs the loop until its answer. */
void exchange(struct fixture *f, const struct http_request *request, struct outcome *o);
/* http://127.0.0.1:<the server's port><path>; the caller frees it. */
char *url_of(struct fixture *f, const char *path) MH_MUST_CHECK;
int temp_file(const void *data, size_t len);
static inline void clean_outcome(struct outcome *o)
{
	free(o->body);
}

#define HTTP_OK(length) "HTTP/1.1 200 OK\r\nContent-Length: " #length "\r\n"

#endif
