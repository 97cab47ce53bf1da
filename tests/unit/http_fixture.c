#include "tests/unit/http_fixture.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

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

int http_first_loop(void **state)
{
	struct loop *loop = NULL;
	struct mh_err err = MH_ERR_INIT;

	(void)state; /* none of the group's */
	assert_ok(loop_new(&loop, &err), &err);
	loop_free(loop);
	return 0;
}

int http_set_up(void **state)
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

int http_tear_down(void **state)
{
	struct fixture *f = *state;

	http_client_free(f->client);
	loop_free(f->loop);
	if (f->server)
		http_server_free(f->server);
	free(f);
	return 0;
}

void on_done(void *ctx, struct http_answer *a)
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

void exchange(struct fixture *f, const struct http_request *request, struct outcome *o)
{
	o->f = f;
	(void)http_send(f->client, request, on_done, o);
	assert_int_equal(o->calls, 0); /* never from inside */
	loop_run(f->loop);
	assert_false(f->guard_fired);
	assert_int_equal(o->calls, 1);
}

char *url_of(struct fixture *f, const char *path)
{
	return mh_format("http://127.0.0.1:%d%s", http_server_port(f->server), path);
}

int temp_file(const void *data, size_t len)
{
	int fd = memfd_create("test_http", MFD_CLOEXEC);

	assert_true(fd > 0);
	assert_int_equal(pwrite(fd, data, len, 0), len);
	return fd;
}
