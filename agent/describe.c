#include "agent/describe.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>

#include "config.h"
#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/json.h"
#include "lib/base/macros.h"
#include "lib/base/str.h"

#define OUTPUT_MAX 65536

/* One stream of the child's. */
struct stream {
	int fd;
	struct buf text;
};

static int start(const char *program, const char *plugin, int out_fd, int err_fd,
		 pid_t *ret, struct mh_err *err)
{
	char *argv[] = { mh_strdup("millhand-job"), mh_strdup("--describe"),
			 mh_strdup(plugin), NULL };
	char *envp[] = { NULL };
	posix_spawn_file_actions_t actions;
	int rc = posix_spawn_file_actions_init(&actions);

	if (rc == 0) {
		rc |= posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY,
						       0);
		rc |= posix_spawn_file_actions_adddup2(&actions, out_fd, 1);
		rc |= posix_spawn_file_actions_adddup2(&actions, err_fd, 2);
#ifdef HAVE_POSIX_SPAWN_FILE_ACTIONS_ADDCLOSEFROM_NP
		rc |= posix_spawn_file_actions_addclosefrom_np(&actions, 3);
#endif
		if (rc == 0)
			rc = posix_spawn(ret, program, &actions, NULL, argv, envp);
		(void)posix_spawn_file_actions_destroy(&actions);
	}
	for (size_t i = 0; argv[i]; i++)
		free(argv[i]);
	errno = rc;
	return rc == 0 ? 0 : mh_err_sys(err, "start %s", program);
}

/* False at the stream's end. What is over the limit is left out. */
static bool read_some(struct stream *s)
{
	struct mh_err ignored;
	char chunk[4096];
	ssize_t n = read(s->fd, chunk, sizeof(chunk));

	if (n < 0)
		return errno == EINTR;
	if (n > 0 && buf_add(&s->text, chunk, (size_t)n, &ignored) != 0)
		return true;
	return n > 0;
}

/* Until both streams end, or the time is over, or nobody asks any more: false then. */
static bool read_both(struct stream streams[2], int stop_fd)
{
	int64_t end = clock_mono_ms() + DESCRIBE_TIMEOUT_MS;
	int open_count = 2;

	while (open_count > 0) {
		struct pollfd fds[3] = { { .fd = streams[0].fd, .events = POLLIN },
					 { .fd = streams[1].fd, .events = POLLIN },
					 { .fd = stop_fd, .events = POLLIN } };
		int64_t left = end - clock_mono_ms();

		if (left <= 0)
			return false;
		if (poll(fds, 3, (int)left) < 0 && errno != EINTR)
			return false;
		if (fds[2].revents != 0)
			return false;
		for (int i = 0; i < 2; i++) {
			if (fds[i].revents == 0 || read_some(&streams[i]))
				continue;
			(void)close(streams[i].fd); /* only read */
			streams[i].fd = -1;
			open_count--;
		}
	}
	return true;
}

static int judge(struct stream streams[2], const siginfo_t *how, struct json_object **ret,
		 struct mh_err *err)
{
	const char *said = buf_text(&streams[1].text);

	if (how->si_code != CLD_EXITED)
		return mh_err_set(err, MH_E_PLUGIN, "loading it ends with signal %d",
				  how->si_status);
	if (how->si_status != 0)
		return mh_err_set(err, MH_E_PLUGIN, "%.*s", (int)strcspn(said, "\n"),
				  *said ? said : "it cannot be loaded");
	if (json_parse_object(buf_text(&streams[0].text), streams[0].text.len, ret,
			      err) != 0)
		return mh_err_wrap(err, "its description");
	return 0;
}

struct question {
	const char *program, *plugin;
	int stop_fd;
};

static int run(const struct question *q, struct stream streams[2], const int write_fds[2],
	       struct json_object **ret, struct mh_err *err)
{
	siginfo_t how = { 0 };
	bool in_time;
	pid_t pid;
	int rc = start(q->program, q->plugin, write_fds[0], write_fds[1], &pid, err);

	(void)close(write_fds[0]); /* the child has them now; ours would hide the end */
	(void)close(write_fds[1]);
	if (rc != 0)
		return -1;
	in_time = read_both(streams, q->stop_fd);
	if (!in_time)
		(void)kill(pid, SIGKILL); /* ours, and not reaped yet */
	while (waitid(P_PID, (id_t)pid, &how, WEXITED) != 0) {
		if (errno != EINTR)
			return mh_err_sys(err, "wait for %s", q->program);
	}
	if (!in_time)
		return mh_err_set(err, MH_E_PLUGIN, "loading it takes more than %d s",
				  DESCRIBE_TIMEOUT_MS / 1000);
	return judge(streams, &how, ret, err);
}

/* PLUGIN with the reason when it cannot be loaded, or does not answer in time. */
static int describe(const struct question *q, struct json_object **ret,
		    struct mh_err *err)
{
	struct stream streams[2] = { { -1, BUF_INIT(OUTPUT_MAX) },
				     { -1, BUF_INIT(OUTPUT_MAX) } };
	int pipes[2][2], rc = -1;

	if (pipe2(pipes[0], O_CLOEXEC) != 0)
		return mh_err_sys(err, "pipe");
	if (pipe2(pipes[1], O_CLOEXEC) != 0) {
		(void)mh_err_sys(err, "pipe");
		(void)close(pipes[0][0]); /* nothing was written */
		(void)close(pipes[0][1]);
		return -1;
	}
	streams[0].fd = pipes[0][0];
	streams[1].fd = pipes[1][0];
	rc = run(q, streams, (const int[]){ pipes[0][1], pipes[1][1] }, ret, err);
	for (int i = 0; i < 2; i++) {
		if (streams[i].fd >= 0)
			(void)close(streams[i].fd); /* only read */
		buf_done(&streams[i].text);
	}
	return rc;
}

/* --- an entry's configuration against what its plugin says -------------------------- */

static int bad(struct mh_err *err, const char *key, const char *what)
{
	return mh_err_set(err, MH_E_CONFIG, "config.%s: %s", key, what);
}

static struct json_object *find_option(struct json_object *doc, const char *name)
{
	struct json_object *options = json_opt_array(doc, "options");
	size_t count = options ? json_object_array_length(options) : 0;

	for (size_t i = 0; i < count; i++) {
		struct json_object *o = json_object_array_get_idx(options, i);

		if (strcmp(json_opt_str(o, "name", ""), name) == 0)
			return o;
	}
	return NULL;
}

static int check_value(struct json_object *doc, const char *key, const char *value,
		       struct mh_err *err)
{
	struct json_object *o = find_option(doc, key);
	const char *type = json_opt_str(o, "type", "");
	CLEAN(free) char *name = mh_format("config.%s", key);
	int64_t ignored;

	if (!o && !json_opt_bool(doc, "open_options", false))
		return bad(err, key, "its plugin has no such key");
	if (strcmp(type, "boolean") == 0 && strcmp(value, "true") != 0 &&
	    strcmp(value, "false") != 0)
		return bad(err, key, "must be \"true\" or \"false\"");
	if (strcmp(type, "integer") == 0 &&
	    str_to_i64(value, json_opt_i64(o, "minimum", INT64_MIN),
		       json_opt_i64(o, "maximum", INT64_MAX), name, &ignored, err) != 0)
		return -1;
	return 0;
}

/* What every job of the entry would fail with is found at the start. Keys that are
 * missing may come from the pipeline. */
static int check_config(const struct action_settings *action, struct json_object *doc,
			struct mh_err *err)
{
	if (!action->config)
		return 0;
	json_object_object_foreach(action->config, key, value)
	{
		if (check_value(doc, key, json_object_get_string(value), err) != 0)
			return -1;
	}
	return 0;
}

/* Of an earlier entry with the same plugin, or new. */
static int describe_entry(const struct settings *settings, int stop_fd, size_t i,
			  struct json_object **docs, struct mh_err *err)
{
	CLEAN(free) char *program = mh_format("%s/millhand-job", settings->libexec_dir);
	CLEAN(free)
	char *path = settings_plugin_path(settings, settings_action(settings, i));
	struct question q = { .program = program, .plugin = path, .stop_fd = stop_fd };

	for (size_t k = 0; k < i; k++) {
		CLEAN(free)
		char *other = settings_plugin_path(settings,
						   settings_action(settings, k));

		if (strcmp(other, path) == 0) {
			docs[i] = json_object_get(docs[k]);
			return 0;
		}
	}
	if (describe(&q, &docs[i], err) == 0)
		return 0;
	return mh_err_wrap(err, "plugin: %s", path);
}

int describe_all(const struct settings *settings, int stop_fd, struct plugin_info *ret,
		 struct mh_err *err)
{
	size_t count = settings->actions.count;
	CLEAN(free) struct json_object **docs = mh_alloc(count * sizeof(*docs));
	int rc = 0;

	for (size_t i = 0; i < count && rc == 0; i++) {
		rc = describe_entry(settings, stop_fd, i, docs, err);
		if (rc == 0)
			rc = check_config(settings_action(settings, i), docs[i], err);
		if (rc != 0)
			(void)mh_err_set(err, MH_E_CONFIG, "actions[%zu].%s", i,
					 err->text);
		ret[i].idempotent = json_opt_bool(docs[i], "idempotent", false);
	}
	for (size_t i = 0; i < count; i++)
		json_object_put(docs[i]);
	return rc;
}
