#include "agent/creds_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <spawn.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "config.h"
#include "lib/base/buf.h"
#include "lib/base/macros.h"

#define OUTPUT_MAX   65536
#define STDERR_SHOWN 300
#define FD_FIRST     3
#define FD_SAFE      16 /* pipes lie above, so that no dup2 hits one */

extern char **environ;

struct creds_process {
	creds_process_done_fn done; /* one of these two */
	creds_process_text_fn text_done;
	void *ctx;
	char *program;
	pid_t pid;
	int pid_fd;
	struct stream {
		int fd;
		bool too_much;
		struct buf text;
		uv_poll_t watch;
	} out, err;
	uv_poll_t pid_watch;
	uv_timer_t timer;
	int64_t timeout_ms;
	unsigned handles; /* still open; freed with the last */
};

/* --- taking apart ------------------------------------------------------------------ */

static void stream_done(struct stream *s)
{
	if (s->fd >= 0)
		(void)close(s->fd); /* only read */
	if (s->text.data)
		sodium_memzero(s->text.data, s->text.cap);
	buf_done(&s->text);
}

static void release(struct creds_process *p)
{
	stream_done(&p->out);
	stream_done(&p->err);
	if (p->pid_fd >= 0)
		(void)close(p->pid_fd); /* a pidfd: nothing to lose */
	free(p->program);
	free(p);
}

static void handle_closed(uv_handle_t *handle)
{
	struct creds_process *p = handle->data;

	if (--p->handles == 0)
		release(p);
}

static void close_handle(uv_handle_t *handle)
{
	if (handle->data && !uv_is_closing(handle))
		uv_close(handle, handle_closed);
}

/* The group before its leader is reaped: until then its number is nobody else's. */
static void kill_and_reap(struct creds_process *p, siginfo_t *how)
{
	if (p->pid <= 0)
		return;
	(void)kill(-p->pid, SIGKILL); /* fails when all of it is gone, which is as good */
	while (waitid(P_PID, (id_t)p->pid, how, WEXITED) != 0 && errno == EINTR)
		;
	p->pid = 0;
}

static void close_all(struct creds_process *p)
{
	siginfo_t ignored = { 0 };

	kill_and_reap(p, &ignored);
	if (p->handles == 0) {
		release(p);
		return;
	}
	close_handle((uv_handle_t *)&p->out.watch);
	close_handle((uv_handle_t *)&p->err.watch);
	close_handle((uv_handle_t *)&p->pid_watch);
	close_handle((uv_handle_t *)&p->timer);
}

void creds_process_cancel(struct creds_process *p)
{
	if (p)
		close_all(p);
}

/* --- reading
 * ---------------------------------------------------------------------------- */

/* What is there now; false at the end. What is over the limit is dropped. */
static bool drain(struct stream *s)
{
	struct mh_err ignored;
	char chunk[4096];

	for (;;) {
		ssize_t n = read(s->fd, chunk, sizeof(chunk));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			sodium_memzero(chunk, sizeof(chunk));
			return n < 0 && errno == EAGAIN;
		}
		if (s->too_much || buf_add(&s->text, chunk, (size_t)n, &ignored) != 0)
			s->too_much = true;
		if ((size_t)n < sizeof(chunk)) {
			sodium_memzero(chunk, sizeof(chunk));
			return true;
		}
		if (s->too_much)
			return true; /* the loop has others to serve */
	}
}

static void readable(uv_poll_t *watch, int status, int events)
{
	struct creds_process *p = watch->data;
	struct stream *s = watch == &p->out.watch ? &p->out : &p->err;

	(void)events;
	if (status < 0 || !drain(s))
		(void)uv_poll_stop(watch); /* its end is told by the process's */
}

static char *shown(struct stream *s)
{
	char *text = mh_strndup(buf_text(&s->text),
				s->text.len < STDERR_SHOWN ? s->text.len : STDERR_SHOWN);

	creds_hide(text);
	return text;
}

static int judge(struct creds_process *p, const siginfo_t *how, struct mh_err *err)
{
	CLEAN(free) char *said = shown(&p->err);

	if (how->si_code != CLD_EXITED)
		return mh_err_set(err, MH_E_AUTH, "%s ended with signal %d%s%s",
				  p->program, how->si_status, *said ? ": " : "", said);
	if (how->si_status != 0)
		return mh_err_set(err, MH_E_AUTH, "%s ended with exit code %d%s%s",
				  p->program, how->si_status, *said ? ": " : "", said);
	if (p->out.too_much)
		return mh_err_set(err, MH_E_PROTO, "%s printed more than %d bytes",
				  p->program, OUTPUT_MAX);
	return 0;
}

static int read_keys(struct creds_process *p, struct creds_found *ret, struct mh_err *err)
{
	if (creds_read_process(buf_text(&p->out.text), p->out.text.len, ret, err) != 0)
		return mh_err_wrap(err, "output of %s", p->program);
	return 0;
}

/* The text outlives the process for as long as it takes to tell it. */
static void finish_text(struct creds_process *p, int rc, const struct mh_err *err)
{
	struct buf text = p->out.text;
	creds_process_text_fn done = p->text_done;
	void *ctx = p->ctx;

	p->out.text = (struct buf)BUF_INIT(OUTPUT_MAX);
	close_all(p);
	if (rc == 0)
		done(ctx, buf_text(&text), text.len, NULL);
	else
		done(ctx, NULL, 0, err);
	if (text.data)
		sodium_memzero(text.data, text.cap);
	buf_done(&text);
}

static void finish(struct creds_process *p, const struct mh_err *failed)
{
	CLEAN(creds_found) struct creds_found found = { 0 };
	struct mh_err err = MH_ERR_INIT;
	creds_process_done_fn done = p->done;
	void *ctx = p->ctx;
	siginfo_t how = { 0 };
	int rc;

	kill_and_reap(p, &how);
	(void)drain(&p->out); /* both to what is there; their ends do not matter */
	(void)drain(&p->err);
	if (failed)
		err = *failed;
	rc = failed ? -1 : judge(p, &how, &err);
	if (p->text_done) {
		finish_text(p, rc, &err);
		return;
	}
	if (rc == 0)
		rc = read_keys(p, &found, &err);
	close_all(p);
	done(ctx, rc == 0 ? &found : NULL, rc == 0 ? NULL : &err);
}

static void process_ended(uv_poll_t *watch, int status, int events)
{
	(void)status; /* readable, or broken: either way it is not to be watched longer */
	(void)events;
	finish(watch->data, NULL);
}

static void too_long(uv_timer_t *timer)
{
	struct creds_process *p = timer->data;
	struct mh_err err;

	(void)mh_err_set(&err, MH_E_TIMEOUT, "%s took longer than %lld ms and was killed",
			 p->program, (long long)p->timeout_ms);
	finish(p, &err);
}

/* --- starting
 * ---------------------------------------------------------------------------- */

static int prepare_spawn(int out_fd, int err_fd, posix_spawn_file_actions_t *actions,
			 posix_spawnattr_t *attr)
{
	sigset_t none, all;
	int rc = 0;

	(void)sigemptyset(&none); /* these two cannot fail */
	(void)sigfillset(&all);
	rc |= posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDONLY, 0);
	rc |= posix_spawn_file_actions_adddup2(actions, out_fd, 1);
	rc |= posix_spawn_file_actions_adddup2(actions, err_fd, 2);
#ifdef HAVE_POSIX_SPAWN_FILE_ACTIONS_ADDCLOSEFROM_NP
	rc |= posix_spawn_file_actions_addclosefrom_np(actions, FD_FIRST);
#endif
	rc |= posix_spawnattr_setflags(attr, POSIX_SPAWN_SETPGROUP |
						     POSIX_SPAWN_SETSIGMASK |
						     POSIX_SPAWN_SETSIGDEF);
	rc |= posix_spawnattr_setsigmask(attr, &none);
	rc |= posix_spawnattr_setsigdefault(attr, &all);
	rc |= posix_spawnattr_setpgroup(attr, 0);
	return rc;
}

static int spawn(struct creds_process *p, const char *what, char **words, int out_fd,
		 int err_fd, struct mh_err *err)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	int rc = ENOMEM;

	if (posix_spawn_file_actions_init(&actions) == 0) {
		if (posix_spawnattr_init(&attr) == 0) {
			if (prepare_spawn(out_fd, err_fd, &actions, &attr) == 0)
				rc = posix_spawnp(&p->pid, words[0], &actions, &attr,
						  words, environ);
			(void)posix_spawnattr_destroy(&attr);
		}
		(void)posix_spawn_file_actions_destroy(&actions);
	}
	if (rc == 0)
		return 0;
	p->pid = 0;
	errno = rc;
	return mh_err_sys(err, "%s: start %s", what, words[0]);
}

/* A pipe whose ends lie where the child's dup2 does not hit them; ours does not block. */
static int make_pipe(int *ret_read, int *ret_write, struct mh_err *err)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) != 0)
		return mh_err_sys(err, "pipe");
	*ret_read = fcntl(fds[0], F_DUPFD_CLOEXEC, FD_SAFE);
	*ret_write = fcntl(fds[1], F_DUPFD_CLOEXEC, FD_SAFE);
	(void)close(fds[0]); /* nothing was written */
	(void)close(fds[1]);
	if (*ret_read < 0 || *ret_write < 0 || fcntl(*ret_read, F_SETFL, O_NONBLOCK) != 0)
		return mh_err_sys(err, "pipe");
	return 0;
}

static int watch_fd(struct loop *loop, struct creds_process *p, int fd, uv_poll_t *watch,
		    uv_poll_cb callback)
{
	int rc = uv_poll_init(loop_uv(loop), watch, fd);

	if (rc != 0)
		return rc;
	watch->data = p;
	p->handles++;
	return uv_poll_start(watch, UV_READABLE, callback);
}

static int watch_all(struct loop *loop, struct creds_process *p, struct mh_err *err)
{
	int rc;

	p->pid_fd = (int)syscall(SYS_pidfd_open, p->pid, 0); /* close-on-exec by itself */
	if (p->pid_fd < 0)
		return mh_err_sys(err, "watch credential_process");
	(void)uv_timer_init(loop_uv(loop), &p->timer); /* always 0 */
	p->timer.data = p;
	p->handles++;
	uv_update_time(loop_uv(loop));
	rc = uv_timer_start(&p->timer, too_long, (uint64_t)p->timeout_ms, 0);
	if (rc == 0)
		rc = watch_fd(loop, p, p->out.fd, &p->out.watch, readable);
	if (rc == 0)
		rc = watch_fd(loop, p, p->err.fd, &p->err.watch, readable);
	if (rc == 0)
		rc = watch_fd(loop, p, p->pid_fd, &p->pid_watch, process_ended);
	return rc == 0 ? 0
		       : mh_err_set(err, MH_E_SYS, "watch %s: %s", p->program,
				    uv_strerror(rc));
}

static int start(const struct creds_command *c, struct creds_process *p, char **words,
		 struct mh_err *err)
{
	CLEAN(fd) int out_fd = -1;
	CLEAN(fd) int err_fd = -1;

	if (make_pipe(&p->out.fd, &out_fd, err) != 0 ||
	    make_pipe(&p->err.fd, &err_fd, err) != 0 ||
	    spawn(p, c->what, words, out_fd, err_fd, err) != 0)
		return -1;
	return watch_all(c->loop, p, err);
}

static char **add_word(char **words, const char *word)
{
	size_t count = 0;

	while (words[count])
		count++;
	words = mh_realloc(words, (count + 2) * sizeof(*words));
	words[count] = mh_strdup(word);
	words[count + 1] = NULL;
	return words;
}

static int start_command(const struct creds_command *c, const struct creds_process *like,
			 struct creds_process **ret, struct mh_err *err)
{
	struct creds_process *p;
	char **words;
	int rc;

	if (creds_split_command(c->command, &words, err) != 0)
		return mh_err_wrap(err, "%s", c->what);
	if (c->argument)
		words = add_word(words, c->argument);
	p = mh_alloc(sizeof(*p));
	*p = *like;
	p->pid_fd = -1;
	p->timeout_ms = c->timeout_ms;
	p->out = (struct stream){ .fd = -1, .text = BUF_INIT(OUTPUT_MAX) };
	p->err = (struct stream){ .fd = -1, .text = BUF_INIT(OUTPUT_MAX) };
	p->program = mh_strdup(words[0]);
	rc = start(c, p, words, err);
	creds_words_free(words);
	if (rc != 0) {
		close_all(p);
		return -1;
	}
	*ret = p;
	return 0;
}

int creds_process_start(struct loop *loop, const char *command, int64_t timeout_ms,
			creds_process_done_fn done, void *ctx, struct creds_process **ret,
			struct mh_err *err)
{
	const struct creds_command c = { .loop = loop,
					 .what = "credential_process",
					 .command = command,
					 .timeout_ms = timeout_ms };
	const struct creds_process like = { .done = done, .ctx = ctx };

	return start_command(&c, &like, ret, err);
}

int creds_process_start_text(const struct creds_command *c, creds_process_text_fn done,
			     void *ctx, struct creds_process **ret, struct mh_err *err)
{
	const struct creds_process like = { .text_done = done, .ctx = ctx };

	return start_command(c, &like, ret, err);
}
