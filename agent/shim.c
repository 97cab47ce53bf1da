#include "agent/shim.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "lib/base/fault.h"
#include "lib/base/fsio.h"
#include "lib/base/json.h"
#include "lib/base/log.h"
#include "lib/base/macros.h"

#define MESSAGE_MAX 65536
#define BACKLOG     8

struct shim {
	struct shim_events events;
	pid_t pid;
	bool is_child;
	int pid_fd, socket_fd;
	uv_poll_t pid_watch, socket_watch;
	bool pid_watched, socket_watched;
	unsigned handles; /* still open; freed with the last */
	bool freed;
};

/* --- taking apart ------------------------------------------------------------------ */

static void release_if_last(struct shim *s)
{
	if (s->handles > 0 || !s->freed)
		return;
	if (s->pid_fd >= 0)
		(void)close(s->pid_fd); /* a pidfd: nothing to lose */
	if (s->socket_fd >= 0)
		(void)close(s->socket_fd);
	free(s);
}

static void handle_closed(uv_handle_t *handle)
{
	struct shim *s = handle->data;

	s->handles--;
	release_if_last(s);
}

static void unwatch(bool *watched, uv_poll_t *watch)
{
	if (!*watched)
		return;
	*watched = false;
	uv_close((uv_handle_t *)watch, handle_closed);
}

void shim_free(struct shim *s)
{
	if (!s)
		return;
	unwatch(&s->socket_watched, &s->socket_watch);
	unwatch(&s->pid_watched, &s->pid_watch);
	s->freed = true;
	release_if_last(s);
}

bool shim_terminate(struct shim *s)
{
	return syscall(SYS_pidfd_send_signal, s->pid_fd, SIGTERM, NULL, 0) == 0;
}

void shim_kill(struct shim *s)
{
	/* Fails when it is gone already, which is as good. */
	(void)syscall(SYS_pidfd_send_signal, s->pid_fd, SIGKILL, NULL, 0);
}

pid_t shim_pid(const struct shim *s)
{
	return s->pid;
}

/* --- messages ----------------------------------------------------------------------- */

enum read_end { READ_ONE, READ_NONE, READ_CLOSED };

static enum read_end read_message(struct shim *s)
{
	CLEAN(json) struct json_object *doc = NULL;
	static char buf[MESSAGE_MAX]; /* one thread, and nothing of it is kept */
	struct mh_err err = MH_ERR_INIT;
	ssize_t n = recv(s->socket_fd, buf, MESSAGE_MAX, MSG_DONTWAIT | MSG_TRUNC);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? READ_NONE : READ_CLOSED;
	if (n == 0)
		return READ_CLOSED;
	if (n > MESSAGE_MAX)
		(void)mh_err_set(&err, MH_E_PROTO, "a message of %zd bytes", n);
	else if (json_parse_object(buf, (size_t)n, &doc, &err) == 0)
		s->events.message(s->events.ctx, doc);
	if (err.cls != MH_OK)
		log_event(LOG_LEVEL_WARN, "shim.bad_message",
			  "a message was not understood", LOG_I("pid", s->pid),
			  LOG_ERR(&err), LOG_END);
	return READ_ONE;
}

static void socket_ready(uv_poll_t *watch, int status, int events)
{
	struct shim *s = watch->data;

	(void)events;
	/* The end of the socket is no more than that: the process is watched apart. */
	if (status < 0 || read_message(s) == READ_CLOSED)
		unwatch(&s->socket_watched, &s->socket_watch);
}

bool shim_send(struct shim *s, struct json_object *doc)
{
	const char *text = json_text(doc);
	size_t len = strlen(text);

	return s->socket_fd >= 0 &&
	       send(s->socket_fd, text, len, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)len;
}

/* A path to the socket that is short however deep the state directory lies. */
static void socket_address(int dir_fd, struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	(void)snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d/socket",
		       dir_fd);
}

static int connect_socket(int dir_fd, int *ret_fd, struct mh_err *err)
{
	CLEAN(fd)
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un at;

	socket_address(dir_fd, &at);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&at, sizeof(at)) != 0)
		return mh_err_sys(err, "connect to the job's socket");
	*ret_fd = STEAL_FD(fd);
	return 0;
}

static int listen_socket(int dir_fd, int *ret_fd, struct mh_err *err)
{
	CLEAN(fd) int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct sockaddr_un at;

	socket_address(dir_fd, &at);
	if (fd < 0 || bind(fd, (const struct sockaddr *)&at, sizeof(at)) != 0 ||
	    listen(fd, BACKLOG) != 0)
		return mh_err_sys(err, "make the job's socket");
	*ret_fd = STEAL_FD(fd);
	return 0;
}

/* --- the process -----------------------------------------------------------------------
 */

static void process_ended(uv_poll_t *watch, int status, int events)
{
	struct shim *s = watch->data;

	(void)status; /* readable, or broken: either way it is not to be watched longer */
	(void)events;
	/* What it said last may still lie in the socket. */
	while (s->socket_watched && read_message(s) == READ_ONE)
		;
	unwatch(&s->socket_watched, &s->socket_watch);
	unwatch(&s->pid_watched, &s->pid_watch);
	s->events.ended(s->events.ctx);
}

static int watch(struct loop *loop, struct shim *s, int fd, uv_poll_t *handle,
		 bool *watched, uv_poll_cb callback, struct mh_err *err)
{
	int rc = uv_poll_init(loop_uv(loop), handle, fd);

	if (rc != 0)
		return mh_err_set(err, MH_E_SYS, "watch a job's process: %s",
				  uv_strerror(rc));
	handle->data = s;
	s->handles++;
	*watched = true;
	rc = uv_poll_start(handle, UV_READABLE, callback);
	if (rc != 0)
		return mh_err_set(err, MH_E_SYS, "watch a job's process: %s",
				  uv_strerror(rc));
	return 0;
}

static struct shim *new_shim(const struct shim_events *events)
{
	struct shim *s = mh_alloc(sizeof(*s));

	s->events = *events;
	s->pid_fd = -1;
	s->socket_fd = -1;
	return s;
}

int shim_check_kernel(struct mh_err *err)
{
	CLEAN(fd) int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);

	if (fd >= 0 || errno == EMFILE || errno == ENFILE || errno == ENOMEM)
		return 0; /* it is there; scarcity may pass */
	return mh_err_set(err, MH_E_VERSION,
			  "the kernel gives no pidfd_open (%s), without which no job can "
			  "be watched: Linux 5.3 or newer is needed, and no container or "
			  "tool that denies it",
			  strerror(errno));
}

static int open_process(struct shim *s, pid_t pid, struct mh_err *err)
{
	s->pid = pid;
	s->pid_fd = (int)syscall(SYS_pidfd_open, pid, 0); /* close-on-exec by itself */
	if (s->pid_fd < 0 && errno == ESRCH)
		return mh_err_set(err, MH_E_NOTFOUND, "process %ld is gone", (long)pid);
	if (s->pid_fd < 0)
		return mh_err_sys(err, "watch process %ld", (long)pid);
	return 0;
}

static int watch_both(struct loop *loop, struct shim *s, struct mh_err *err)
{
	if (watch(loop, s, s->pid_fd, &s->pid_watch, &s->pid_watched, process_ended,
		  err) != 0)
		return -1;
	if (s->socket_fd < 0)
		return 0;
	return watch(loop, s, s->socket_fd, &s->socket_watch, &s->socket_watched,
		     socket_ready, err);
}

/* --- starting
 * ---------------------------------------------------------------------------- */

static int start_process(const struct shim_start *start, struct shim *s,
			 struct mh_err *err)
{
	CLEAN(fd) int spec_fd = -1;
	pid_t pid;

	if (fs_memfd_sealed("job-spec", start->spec, strlen(start->spec), &spec_fd,
			    err) != 0 ||
	    (*start->listen_fd < 0 &&
	     listen_socket(start->dir_fd, start->listen_fd, err) != 0) ||
	    connect_socket(start->dir_fd, &s->socket_fd, err) != 0)
		return -1;
	FAULT_POINT("spawn.before");
	if (zygote_spawn(start->zygote,
			 (const int[]){ spec_fd, start->dir_fd, *start->listen_fd,
					start->keep_fd },
			 start->keep_fd < 0 ? ZYGOTE_FDS_MIN : ZYGOTE_FDS_MAX, &pid,
			 err) != 0)
		return -1;
	FAULT_POINT("spawn.after");
	s->is_child = true;
	/* Not reaped yet, so the pid is still its. */
	return open_process(s, pid, err);
}

int shim_start(const struct shim_start *start, const struct shim_events *events,
	       struct shim **ret, struct mh_err *err)
{
	struct shim *s = new_shim(events);

	if (start_process(start, s, err) != 0 || watch_both(start->loop, s, err) != 0) {
		/* Started, but not to be watched: it must not run on unseen. */
		if (s->is_child && s->pid > 0 && kill(s->pid, SIGKILL) == 0)
			(void)waitid(P_PID, (id_t)s->pid, &(siginfo_t){ 0 }, WEXITED);
		shim_free(s);
		return -1;
	}
	*ret = s;
	return 0;
}

int shim_adopt(struct loop *loop, int dir_fd, pid_t pid, const struct shim_events *events,
	       struct shim **ret, struct mh_err *err)
{
	struct shim *s = new_shim(events);
	struct mh_err why = MH_ERR_INIT;

	/* Without the socket there is no talking, but the end is still seen. */
	if (connect_socket(dir_fd, &s->socket_fd, &why) != 0)
		log_event(LOG_LEVEL_WARN, "shim.no_socket",
			  "a running job cannot be talked to", LOG_I("pid", pid),
			  LOG_ERR(&why), LOG_END);
	if (open_process(s, pid, err) != 0 || watch_both(loop, s, err) != 0) {
		shim_free(s);
		return -1;
	}
	*ret = s;
	return 0;
}
