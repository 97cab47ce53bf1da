#include "agent/status_http.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/macros.h"

#define BACKLOG     16
#define DISCARD_MAX (64 * 1024) /* read and thrown away after the answer */

struct connection {
	struct status_http *server;
	uv_tcp_t tcp;
	uv_timer_t timer;
	uv_write_t write;
	uv_shutdown_t shutdown;
	int handles; /* not closed yet */
	bool answered, written, eof;
	size_t len, discarded;
	char head[STATUS_HTTP_HEAD_MAX];
	char top[256];
	struct buf body;
	struct connection *prev, *next;
};

struct status_http {
	struct loop *loop;
	uv_tcp_t tcp;
	status_http_fn answer;
	void *ctx;
	int port;
	struct connection *connections;
	int count; /* with those that are closing */
	bool closed;
};

/* --- the end of things ------------------------------------------------------------ */

static void free_server(struct status_http *s)
{
	if (s->closed && s->count == 0)
		free(s);
}

static void on_connection_closed(uv_handle_t *handle)
{
	struct connection *c = handle->data;
	struct status_http *s = c->server;

	if (--c->handles > 0)
		return;
	buf_done(&c->body);
	free(c);
	s->count--;
	free_server(s);
}

static void end_connection(struct connection *c)
{
	if (uv_is_closing((uv_handle_t *)&c->tcp))
		return;
	if (c->prev)
		c->prev->next = c->next;
	else
		c->server->connections = c->next;
	if (c->next)
		c->next->prev = c->prev;
	uv_close((uv_handle_t *)&c->tcp, on_connection_closed);
	uv_close((uv_handle_t *)&c->timer, on_connection_closed);
}

static void on_server_closed(uv_handle_t *handle)
{
	struct status_http *s = handle->data;

	s->closed = true;
	free_server(s);
}

void status_http_close(struct status_http *s)
{
	if (!s)
		return;
	while (s->connections)
		end_connection(s->connections);
	uv_close((uv_handle_t *)&s->tcp, on_server_closed);
}

/* --- answering -------------------------------------------------------------------- */

static const char *reason(int status)
{
	switch (status) {
	case 200:
		return "OK";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 413:
		return "Content Too Large";
	case 414:
		return "URI Too Long";
	case 421:
		return "Misdirected Request";
	case 431:
		return "Request Header Fields Too Large";
	case 503:
		return "Service Unavailable";
	case 505:
		return "HTTP Version Not Supported";
	default:
		return "Bad Request";
	}
}

static void on_shutdown(uv_shutdown_t *shutdown, int status)
{
	struct connection *c = shutdown->data;

	/* Now the peer closes, or time is up: closing first, with bytes of it unread,
	 * could take our answer back. */
	c->written = true;
	if (status != 0 || c->eof)
		end_connection(c);
}

static void on_written(uv_write_t *write, int status)
{
	struct connection *c = write->data;

	buf_done(&c->body);
	c->shutdown.data = c;
	if (status != 0 ||
	    uv_shutdown(&c->shutdown, (uv_stream_t *)&c->tcp, on_shutdown) != 0)
		end_connection(c);
}

static void send_answer(struct connection *c, const struct status_answer *a, bool is_head)
{
	int len = snprintf(c->top, sizeof(c->top),
			   "HTTP/1.1 %d %s\r\nContent-Type: %s\r\n"
			   "Content-Length: %zu\r\n%sCache-Control: no-store\r\n"
			   "X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n",
			   a->status, reason(a->status), a->type, a->body.len,
			   a->status == 405 ? "Allow: GET, HEAD\r\n" : "");
	uv_buf_t parts[2];

	MH_ASSERT(len > 0 && (size_t)len < sizeof(c->top));
	c->answered = true;
	c->body = a->body;
	parts[0] = uv_buf_init(c->top, (unsigned)len);
	parts[1] = uv_buf_init(c->body.data, (unsigned)c->body.len);
	c->write.data = c;
	if (uv_write(&c->write, (uv_stream_t *)&c->tcp, parts,
		     is_head || c->body.len == 0 ? 1 : 2, on_written) != 0)
		end_connection(c);
}

static void refuse(struct connection *c, int status)
{
	struct status_answer a = { .status = status,
				   .type = "text/plain; charset=utf-8",
				   .body = BUF_INIT(STATUS_HTTP_BODY_MAX) };

	buf_printf(&a.body, "%s\n", reason(status));
	send_answer(c, &a, false);
}

static void answer(struct connection *c, size_t len)
{
	struct status_answer a = { .status = 200,
				   .type = "text/plain; charset=utf-8",
				   .body = BUF_INIT(STATUS_HTTP_BODY_MAX) };
	struct status_request r;
	int refusal = status_http_parse(c->head, len, &r);

	if (refusal != 0) {
		refuse(c, refusal);
		return;
	}
	c->server->answer(c->server->ctx, &r, &a);
	send_answer(c, &a, r.is_head);
}

/* --- reading ---------------------------------------------------------------------- */

static void give_room(uv_handle_t *handle, size_t wish, uv_buf_t *ret)
{
	struct connection *c = handle->data;

	(void)wish;
	if (c->answered)
		c->len = 0; /* what still comes is not read */
	*ret = uv_buf_init(c->head + c->len, (unsigned)(sizeof(c->head) - c->len));
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *room)
{
	struct connection *c = stream->data;
	size_t head;

	(void)room;
	if (count == UV_EOF && c->answered && !c->written) {
		c->eof = true; /* it says no more, and still listens */
		(void)uv_read_stop(stream); /* always 0 */
		return;
	}
	if (count < 0) {
		end_connection(c); /* the peer is done, or gone */
		return;
	}
	if (c->answered) {
		c->discarded += (size_t)count;
		if (c->discarded > DISCARD_MAX)
			end_connection(c);
		return;
	}
	c->len += (size_t)count;
	head = status_http_head(c->head, c->len);
	if (head > 0)
		answer(c, head);
	else if (c->len == sizeof(c->head))
		refuse(c, 431);
}

static void on_time(uv_timer_t *timer)
{
	end_connection(timer->data);
}

static void on_connect(uv_stream_t *listener, int status)
{
	struct status_http *s = listener->data;
	struct connection *c;

	if (status != 0)
		return; /* it went away again */
	c = mh_alloc(sizeof(*c));
	*c = (struct connection){ .server = s, .handles = 2, .next = s->connections };
	(void)uv_tcp_init(loop_uv(s->loop), &c->tcp); /* always 0 without a socket */
	(void)uv_timer_init(loop_uv(s->loop), &c->timer); /* always 0 */
	c->tcp.data = c;
	c->timer.data = c;
	if (c->next)
		c->next->prev = c;
	s->connections = c;
	s->count++;
	uv_update_time(loop_uv(s->loop));
	if (uv_accept(listener, (uv_stream_t *)&c->tcp) != 0 ||
	    s->count > STATUS_HTTP_CONNECTIONS ||
	    uv_timer_start(&c->timer, on_time, STATUS_HTTP_TIME_MS, 0) != 0 ||
	    uv_read_start((uv_stream_t *)&c->tcp, give_room, on_read) != 0)
		end_connection(c);
}

/* --- the beginning ---------------------------------------------------------------- */

static int listen_at(struct status_http *s, const struct sockaddr_storage *address)
{
	struct sockaddr_storage got;
	int len = (int)sizeof(got);
	int rc = uv_tcp_bind(&s->tcp, (const struct sockaddr *)address, 0);

	if (rc == 0)
		rc = uv_listen((uv_stream_t *)&s->tcp, BACKLOG, on_connect);
	if (rc == 0)
		rc = uv_tcp_getsockname(&s->tcp, (struct sockaddr *)&got, &len);
	if (rc == 0) /* the port lies at the same place for both families */
		s->port = ntohs(
			((const struct sockaddr_in *)(const void *)&got)->sin_port);
	return rc;
}

int status_http_open(struct loop *loop, const char *listen, status_http_fn answer_fn,
		     void *ctx, struct status_http **ret, struct mh_err *err)
{
	struct sockaddr_storage address;
	struct status_http *s;
	int rc;

	if (status_http_address(listen, &address, err) != 0)
		return -1;
	s = mh_alloc(sizeof(*s));
	*s = (struct status_http){ .loop = loop, .answer = answer_fn, .ctx = ctx };
	(void)uv_tcp_init(loop_uv(loop), &s->tcp); /* always 0 without a socket */
	s->tcp.data = s;
	rc = listen_at(s, &address);
	if (rc != 0) {
		status_http_close(s);
		return mh_err_set(err, MH_E_NET, "listen on %s: %s", listen,
				  uv_strerror(rc));
	}
	*ret = s;
	return 0;
}

int status_http_port(const struct status_http *s)
{
	return s->port;
}
