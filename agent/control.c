#include "agent/control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "lib/base/buf.h"
#include "lib/base/fsio.h"
#include "lib/base/log.h"
#include "lib/base/macros.h"

#define BACKLOG 64
#define HANDLES 2 /* of a client: its pipe and its timer */

struct client {
	struct control *control;
	uv_pipe_t pipe;
	uv_timer_t timer;
	unsigned handles; /* still open; freed with the last */
	pid_t pid;
	uid_t uid;
	struct buf in;
	unsigned requests;
	struct json_object *parked; /* a request that was put off */
	char *out; /* an answer on its way */
	uv_write_t write;
	bool last; /* to be closed after this answer */
	bool dropped;
	TAILQ_ENTRY(client) link;
};

struct control {
	struct loop *loop;
	control_handler handler;
	void *ctx;
	int dir_fd;
	uv_pipe_t listener;
	bool closed;
	TAILQ_HEAD(client_list, client) clients;
	unsigned count;
	char chunk[CONTROL_REQUEST_MAX]; /* one thread; nothing of it is kept */
};

struct json_object *control_refusal(const char *code, const char *text)
{
	struct json_object *doc = json_object_new_object();

	json_put_bool(doc, "ok", false);
	json_put_str(doc, "code", code);
	json_put_str(doc, "error", text);
	return doc;
}

/* --- taking apart ---------------------------------------------------------------------
 */

static void control_free(struct control *c)
{
	(void)close(c->dir_fd); /* a directory: nothing to lose */
	free(c);
}

static void client_handle_closed(uv_handle_t *handle)
{
	struct client *k = handle->data;
	struct control *c = k->control;

	if (--k->handles > 0)
		return;
	TAILQ_REMOVE(&c->clients, k, link);
	c->count--;
	buf_done(&k->in);
	json_object_put(k->parked);
	free(k->out);
	free(k);
	if (c->closed && c->count == 0 && !c->listener.data)
		control_free(c);
}

static void drop(struct client *k)
{
	if (k->dropped)
		return;
	k->dropped = true;
	uv_close((uv_handle_t *)&k->pipe, client_handle_closed);
	uv_close((uv_handle_t *)&k->timer, client_handle_closed);
}

static void listener_closed(uv_handle_t *handle)
{
	struct control *c = handle->data;

	handle->data = NULL;
	if (c->count == 0)
		control_free(c);
}

void control_close(struct control *c)
{
	struct client *k;

	if (!c)
		return;
	c->closed = true;
	(void)unlinkat(c->dir_fd, CONTROL_NAME, 0); /* what is left tells by refusing */
	TAILQ_FOREACH(k, &c->clients, link)
	drop(k);
	uv_close((uv_handle_t *)&c->listener, listener_closed);
}

/* --- answering ------------------------------------------------------------------------
 */

static void read_on(struct client *k);

static void written(uv_write_t *write, int status)
{
	struct client *k = write->data;

	free(STEAL_PTR(k->out));
	if (status != 0 || k->last || k->dropped)
		drop(k);
	else
		read_on(k);
}

static void answer(struct client *k, struct json_object *take_doc)
{
	uv_buf_t out;

	k->out = mh_format("%s\n", json_text(take_doc));
	json_object_put(take_doc);
	out = uv_buf_init(k->out, (unsigned)strlen(k->out));
	k->write.data = k;
	(void)uv_read_stop((uv_stream_t *)&k->pipe); /* always 0 */
	if (uv_write(&k->write, (uv_stream_t *)&k->pipe, &out, 1, written) != 0)
		drop(k);
}

static void on_patience_over(uv_timer_t *timer)
{
	drop(timer->data);
}

static void be_patient(struct client *k)
{
	uv_update_time(k->timer.loop);
	(void)uv_timer_start(&k->timer, on_patience_over, CONTROL_CLIENT_MS, 0);
}

static void ask(struct client *k, struct json_object *take_doc, bool again)
{
	struct control_request request = {
		.doc = take_doc, .pid = k->pid, .uid = k->uid, .again = again
	};
	struct json_object *doc = k->control->handler(k->control->ctx, &request);

	if (doc) {
		json_object_put(take_doc);
		be_patient(k);
		answer(k, doc);
	} else {
		k->parked = take_doc;
		(void)uv_timer_stop(&k->timer); /* it waits for us now */
	}
}

void control_again(struct control *c)
{
	struct client *k;

	if (!c)
		return;
	TAILQ_FOREACH(k, &c->clients, link)
	{
		if (k->parked && !k->dropped)
			ask(k, STEAL_PTR(k->parked), true);
	}
}

/* --- requests
 * --------------------------------------------------------------------------- */

static void refuse(struct client *k, const char *code, const char *text)
{
	k->last = true;
	answer(k, control_refusal(code, text));
}

static void take_line(struct client *k, size_t len)
{
	struct json_object *doc = NULL;
	struct mh_err err = MH_ERR_INIT;
	int rc = json_parse_object(k->in.data, len, &doc, &err);

	memmove(k->in.data, k->in.data + len + 1, k->in.len - len - 1);
	k->in.len -= len + 1;
	k->last = ++k->requests >= CONTROL_REQUESTS_MAX;
	if (rc != 0)
		refuse(k, "bad_request", err.text);
	else
		ask(k, doc, false);
}

static bool is_busy(const struct client *k)
{
	return k->out || k->parked || k->dropped;
}

static void take_lines(struct client *k)
{
	while (!is_busy(k) && k->in.len > 0) {
		const char *end = memchr(k->in.data, '\n', k->in.len);

		if (!end)
			return;
		take_line(k, (size_t)(end - k->in.data));
	}
}

static void give_chunk(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
	struct client *k = handle->data;

	(void)suggested;
	*ret = uv_buf_init(k->control->chunk, sizeof(k->control->chunk));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *chunk)
{
	struct client *k = stream->data;
	struct mh_err err = MH_ERR_INIT;

	if (n < 0) {
		drop(k); /* also one that waits: nobody listens any more */
		return;
	}
	if (n > 0 && buf_add(&k->in, chunk->base, (size_t)n, &err) != 0) {
		if (is_busy(k))
			drop(k); /* it talks on while it should listen */
		else
			refuse(k, "bad_request", "a request is too long");
		return;
	}
	take_lines(k);
}

/* Lines that came with the last ones first. */
static void read_on(struct client *k)
{
	take_lines(k);
	if (!k->out && !k->dropped &&
	    uv_read_start((uv_stream_t *)&k->pipe, give_chunk, on_read) != 0)
		drop(k);
}

/* --- clients
 * ------------------------------------------------------------------------------ */

static bool identify(struct client *k)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);
	uv_os_fd_t fd;

	if (uv_fileno((uv_handle_t *)&k->pipe, &fd) != 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
		return false;
	k->pid = peer.pid;
	k->uid = peer.uid;
	return peer.uid == 0 || peer.uid == geteuid();
}

static void on_client(uv_stream_t *listener, int status)
{
	struct control *c = listener->data;
	struct client *k;

	if (status != 0)
		return; /* no descriptor left, say: the client sees its connection end */
	k = mh_alloc(sizeof(*k));
	k->control = c;
	k->handles = HANDLES;
	buf_init(&k->in, CONTROL_REQUEST_MAX);
	TAILQ_INSERT_TAIL(&c->clients, k, link);
	c->count++;
	(void)uv_pipe_init(loop_uv(c->loop), &k->pipe, 0); /* always 0 */
	(void)uv_timer_init(loop_uv(c->loop), &k->timer); /* always 0 */
	k->pipe.data = k;
	k->timer.data = k;
	if (uv_accept(listener, (uv_stream_t *)&k->pipe) != 0) {
		drop(k);
		return;
	}
	be_patient(k);
	if (!identify(k))
		refuse(k, "denied", "only the agent's user and root may ask it");
	else if (c->count > CONTROL_CLIENTS_MAX)
		refuse(k, "busy", "too many clients ask at once; try again");
	else
		read_on(k);
}

/* --- the socket
 * --------------------------------------------------------------------------- */

static int remove_left_over(int dir_fd, struct mh_err *err)
{
	struct stat st;

	if (fstatat(dir_fd, CONTROL_NAME, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return errno == ENOENT ? 0 : mh_err_sys(err, "look for " CONTROL_NAME);
	if (!S_ISSOCK(st.st_mode))
		return mh_err_set(err, MH_E_CONFIG,
				  CONTROL_NAME " in state_dir is no socket; remove it");
	if (unlinkat(dir_fd, CONTROL_NAME, 0) != 0)
		return mh_err_sys(err, "remove " CONTROL_NAME);
	return 0;
}

/* By a path that is short however deep the state directory lies. */
static int bind_socket(int dir_fd, int *ret_fd, struct mh_err *err)
{
	CLEAN(fd)
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un at = { .sun_family = AF_UNIX };

	(void)snprintf(at.sun_path, sizeof(at.sun_path), "/proc/self/fd/%d/" CONTROL_NAME,
		       dir_fd);
	/* The mode before the name: there is no moment in which others may connect. */
	if (fd < 0 || fchmod(fd, 0600) != 0 ||
	    bind(fd, (const struct sockaddr *)&at, sizeof(at)) != 0)
		return mh_err_sys(err, "make the control socket");
	*ret_fd = STEAL_FD(fd);
	return 0;
}

static int listen_on(struct control *c, int fd, struct mh_err *err)
{
	int rc = uv_pipe_open(&c->listener, fd);

	if (rc != 0)
		(void)close(fd); /* not the handle's yet */
	else
		rc = uv_listen((uv_stream_t *)&c->listener, BACKLOG, on_client);
	return rc == 0 ? 0
		       : mh_err_set(err, MH_E_SYS, "listen on the control socket: %s",
				    uv_strerror(rc));
}

int control_open(struct loop *loop, const char *state_dir, control_handler handler,
		 void *ctx, struct control **ret, struct mh_err *err)
{
	CLEAN(fd) int dir_fd = -1;
	CLEAN(fd) int fd = -1;
	struct control *c;

	if (fs_open_dir(AT_FDCWD, state_dir, &dir_fd, err) != 0 ||
	    remove_left_over(dir_fd, err) != 0 || bind_socket(dir_fd, &fd, err) != 0)
		return -1;
	c = mh_alloc(sizeof(*c));
	*c = (struct control){
		.loop = loop, .handler = handler, .ctx = ctx, .dir_fd = STEAL_FD(dir_fd)
	};
	TAILQ_INIT(&c->clients);
	(void)uv_pipe_init(loop_uv(loop), &c->listener, 0); /* always 0 */
	c->listener.data = c;
	if (listen_on(c, STEAL_FD(fd), err) != 0) {
		control_close(c);
		return -1;
	}
	*ret = c;
	return 0;
}
