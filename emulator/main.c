/* millhand-emulator: options, start, wait for a signal, stop. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sysexits.h>

#include "emulator/admin/admin.h"
#include "emulator/builtin.h"
#include "emulator/builtin/watch.h"
#include "emulator/chance.h"
#include "emulator/engine/engine.h"
#include "emulator/events/delivery.h"
#include "emulator/events/sink.h"
#include "emulator/faults.h"
#include "emulator/options.h"
#include "emulator/server.h"
#include "emulator/store/marks.h"
#include "emulator/store/pipelines.h"
#include "emulator/store/store.h"
#include "emulator/store/webhooks.h"
#include "emulator/tls.h"
#include "emulator/wait.h"
#include "lib/base/fault.h"
#include "lib/base/fsio.h"
#include "lib/base/log.h"
#include "lib/base/protect.h"

static const char sample_text[] =
	"# Configuration of millhand-emulator (--config FILE); see\n"
	"# millhand-emulator.conf(5). Every key stands here with its default, or with "
	"an\n"
	"# example where it has none. Lines that begin with \"# \" explain; take the #\n"
	"# away from other lines to use them. Each key but the lists `keys`\n"
	"# and `offer` is an option too: ack_timeout is --ack-timeout.\n"
	"\n";

/* 2026-01-01T00:00:00Z: where time stands in a new deterministic emulator. */
#define DETERMINISTIC_START_MS 1767225600000LL

struct emulator {
	const struct settings *settings;
	struct settings knobs; /* the writer's: a copy, of what can be changed in it the
				  values alone */
	bool new_key;
	int lock_fd;
	struct model *model;
	struct creds_key *key;
	struct store *store;
	struct builtin_pool *pool;
	bool pool_started;
	struct wait_hub *hub;
	struct vclock clock;
	struct bell *bell;
	struct admin *admin;
	struct faults *faults;
	struct delivery *delivery;
	struct streams *streams;
	struct writer *writer;
	struct s3 *s3;
	struct watcher *watcher;
	struct server *server;
};

/* One process a data directory: two writers would each believe to be the only one. */
static int lock_data_dir(const char *dir, int *ret_fd, struct mh_err *err)
{
	CLEAN(free) char *path = mh_format("%s/lock", dir);
	CLEAN(fd) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	bool got = false;
	pid_t holder = 0;

	if (fd < 0)
		return mh_err_sys(err, "%s", path);
	if (fs_lock(fd, &got, err) != 0)
		return -1;
	if (!got) {
		if (fs_lock_holder(fd, &holder, err) != 0)
			return -1;
		return mh_err_set(err, MH_E_DENIED,
				  "the data directory %s is in use by another "
				  "millhand-emulator (process %d)",
				  dir, (int)holder);
	}
	*ret_fd = STEAL_FD(fd);
	return 0;
}

/* A wrong one would be told by the first pipeline alone. One that is not there may yet
 * be made. */
static int check_git_root(const struct settings *s, struct mh_err *err)
{
	struct stat st;

	if (!s->git_root)
		return 0;
	if (stat(s->git_root, &st) == 0)
		return S_ISDIR(st.st_mode)
			       ? 0
			       : mh_err_set(err, MH_E_CONFIG,
					    "git root %s: not a directory", s->git_root);
	if (errno != ENOENT)
		return mh_err_sys(err, "git root %s", s->git_root);

	log_event(LOG_LEVEL_WARN, "git_root.missing",
		  "CodeCommit actions find no repository before it is made",
		  LOG_S("path", s->git_root), LOG_END);
	return 0;
}

/* A new one in place of one that was lost would shut secrets in without a word. */
static int open_key(struct emulator *e, struct mh_err *err)
{
	bool sealed = false;
	int rc = creds_key_open_old(e->settings->data_dir, &e->key, err);

	if (rc == 0 || err->cls != MH_E_NOTFOUND)
		return rc;
	if (!e->new_key &&
	    (store_pipeline_any_sealed(e->store, &sealed, err) != 0 || sealed ||
	     webhooks_any_sealed(e->store, &sealed, err) != 0 || sealed))
		return -1; /* sealed: it says that the key is missing */
	return creds_key_open(e->settings->data_dir, &e->key, err);
}

/* Each start goes on with a sequence of its own, or ids would come again; the first sets
 * the clock. */
static int mark_start(struct emulator *e, int64_t *ret_starts, struct mh_err *err)
{
	int64_t at_ms = VCLOCK_REAL;

	if (marks_get(e->store, "starts", 0, ret_starts, err) != 0 ||
	    marks_get(e->store, "clock", VCLOCK_REAL, &at_ms, err) != 0 ||
	    marks_set(e->store, "starts", *ret_starts + 1, err) != 0)
		return -1;
	if (*ret_starts > 0 || at_ms != VCLOCK_REAL)
		return 0;
	return vclock_set(&e->clock, e->store, DETERMINISTIC_START_MS, err);
}

static int be_deterministic(struct emulator *e, struct mh_err *err)
{
	int64_t starts = 0;

	if (store_begin(e->store, err) != 0)
		return -1;
	if (mark_start(e, &starts, err) != 0 || store_commit(e->store, err) != 0) {
		store_rollback(e->store);
		return -1;
	}
	chance_seed(((uint64_t)e->settings->deterministic << 20) + (uint64_t)starts);
	log_event(LOG_LEVEL_WARN, "emulator.deterministic",
		  "ids, nonces, credentials and keys can be guessed: for tests alone",
		  LOG_I("seed", e->settings->deterministic), LOG_I("starts", starts),
		  LOG_END);
	return 0;
}

static int open_data(struct emulator *e, struct mh_err *err)
{
	const char *dir = e->settings->data_dir;
	CLEAN(free) char *db = mh_format("%s/emulator.db", dir);

	if (fs_mkdir_p(dir, 0700, err) != 0)
		return mh_err_wrap(err, "data directory %s", dir);
	if (lock_data_dir(dir, &e->lock_fd, err) != 0 ||
	    store_open(db, &e->store, err) != 0 ||
	    (e->settings->deterministic && be_deterministic(e, err) != 0) ||
	    open_key(e, err) != 0 || vclock_load(&e->clock, e->store, err) != 0)
		return -1;
	if (vclock_virtual_ms(&e->clock) != VCLOCK_REAL)
		log_event(LOG_LEVEL_WARN, "clock.virtual",
			  "time stands still until the admin interface moves it",
			  LOG_I("now_ms", vclock_now_ms(&e->clock)), LOG_END);
	return 0;
}

static int start_writer(struct emulator *e, struct mh_err *err)
{
	const struct writer_options options = {
		.store = e->store,
		.settings = &e->knobs,
		.knobs = &e->knobs,
		.creds_key = e->key,
		.ids = &ids_random,
		.clock = &e->clock,
		.bell = e->bell,
		.fire_due = engine_fire_due,
		.next_due = engine_next_due,
		.wake_builtin = builtin_pool_wake,
		.wake_arg = e->pool,
		.wake_workers = wait_hub_wake,
		.workers_arg = e->hub,
	};

	return writer_start(&options, &e->writer, err);
}

static int write_port_file(const struct emulator *e, struct mh_err *err)
{
	char text[16];
	int n = snprintf(text, sizeof(text), "%d\n", server_port(e->server));

	if (!e->settings->port_file)
		return 0;
	if (fs_write_atomic_at(AT_FDCWD, e->settings->port_file, text, (size_t)n, 0644,
			       err) != 0)
		return mh_err_wrap(err, "port file %s", e->settings->port_file);
	return 0;
}

static void start_admin(struct emulator *e)
{
	const struct admin_options options = {
		.settings = e->settings,
		.writer = e->writer,
		.bell = e->bell,
		.faults = e->faults,
		.fire_due = engine_fire_due,
		.next_due = engine_next_due,
	};

	admin_new(&options, &e->admin);
}

static int start_events(struct emulator *e, struct mh_err *err)
{
	const struct delivery_options options = {
		.settings = e->settings,
		.writer = e->writer,
		.bell = e->bell,
	};

	e->streams = streams_new(e->settings, e->writer, e->bell);
	return delivery_start(&options, &e->delivery, err);
}

static int start(struct emulator *e, struct mh_err *err)
{
	struct server_options options = { .front = { .settings = e->settings } };
	struct api_error refused = { 0 };

	/* libcurl's start must come before the first thread. */
	if (sink_http_init(err) != 0 || model_new(&e->model, err) != 0 ||
	    check_git_root(e->settings, err) != 0 || open_data(e, err) != 0)
		return -1;
	FAULT_POINT("start.store_opened");
	/* One that a killed process left would send somebody to a port long closed. */
	if (e->settings->port_file && unlink(e->settings->port_file) != 0 &&
	    errno != ENOENT)
		return mh_err_sys(err, "%s", e->settings->port_file);
	e->hub = wait_hub_new();
	e->bell = bell_new();
	e->faults = faults_new();
	if (builtin_pool_new(&e->pool, err) != 0 || start_writer(e, err) != 0 ||
	    s3_new(e->settings, e->writer, e->key, &e->s3, err) != 0)
		return -1;
	FAULT_POINT("start.swept");
	if (builtin_pool_start(e->pool, e->writer, e->s3, e->settings, err) != 0)
		return -1;
	e->pool_started = true;
	if (writer_call(e->writer, engine_schedules_set, NULL, NULL, &refused) != 0)
		return mh_err_set(err, MH_E_SYS, "schedules: %s", refused.message);
	if (watcher_start(e->writer, e->settings, &e->watcher, err) != 0)
		return -1;
	start_admin(e);
	if (start_events(e, err) != 0)
		return -1;
	options.front.model = e->model;
	options.front.writer = e->writer;
	options.front.creds_key = e->key;
	options.front.watcher = e->watcher;
	options.s3 = e->s3;
	options.hub = e->hub;
	options.admin = e->admin;
	options.faults = e->faults;
	options.bell = e->bell;
	options.streams = e->streams;
	if (server_start(&options, &e->server, err) != 0)
		return -1;
	FAULT_POINT("start.listening");
	return write_port_file(e, err);
}

/* In the reverse order; what never started is NULL. */
static void stop(struct emulator *e)
{
	if (e->server && e->settings->port_file)
		(void)unlink(e->settings->port_file); /* a stale one misleads, no more */
	bell_stop(e->bell);
	server_stop(e->server);
	watcher_stop(e->watcher);
	builtin_pool_stop(e->pool);
	delivery_stop(e->delivery);
	writer_stop(e->writer);
	streams_free(e->streams);
	faults_free(e->faults);
	admin_free(e->admin);
	wait_hub_free(e->hub);
	bell_free(e->bell);
	s3_free(e->s3);
	store_close(e->store);
	creds_key_free(e->key);
	model_free(e->model);
	if (e->lock_fd >= 0)
		(void)close(e->lock_fd); /* which gives up the lock */
}

static void wait_for_signal(const sigset_t *set)
{
	int got = 0;

	while (sigwait(set, &got) != 0)
		; /* interrupted */
	/* A second one ends the process at once. */
	(void)sigprocmask(SIG_UNBLOCK, set, NULL); /* a valid set */
	log_event(LOG_LEVEL_INFO, "emulator.stopping", "no new requests are taken",
		  LOG_S("signal", got == SIGINT ? "INT" : "TERM"), LOG_END);
}

static int run(const struct settings *settings, bool new_key)
{
	struct emulator e = { .settings = settings,
			      .knobs = *settings,

			      .new_key = new_key,
			      .lock_fd = -1,
			      .clock = VCLOCK_INIT };
	struct mh_err err = MH_ERR_INIT;
	sigset_t set;
	int rc;

	(void)sigemptyset(&set); /* none of these can fail */
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGTERM);
	/* Blocked before the first thread: all inherit it, and this one alone asks. */
	(void)pthread_sigmask(SIG_BLOCK, &set, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	rc = start(&e, &err);
	if (rc == 0) {
		log_event(LOG_LEVEL_INFO, "emulator.started", "answering requests",
			  LOG_S("listen", settings->listen),
			  LOG_I("port", server_port(e.server)),
			  LOG_S("scheme", settings->tls_cert ? "https" : "http"),
			  LOG_S("data_dir", settings->data_dir), LOG_END);
		wait_for_signal(&set);
	} else {
		log_event(LOG_LEVEL_ERROR, "emulator.start_failed", err.text,
			  LOG_S("class", mh_err_class_name(err.cls)), LOG_END);
	}
	stop(&e);
	if (rc == 0)
		log_event(LOG_LEVEL_INFO, "emulator.stopped", "everything is on disk",
			  LOG_END);
	return rc == 0 ? 0 : 1;
}

static void hide_secrets(const struct settings *s)
{
	const struct settings_key *keys = s->keys.items;
	const struct settings_third_party *clients = s->third_parties.items;
	const struct settings_event_target *event_targets = s->event_targets.items;
	const struct settings_approval_target *approval_targets =
		s->approval_targets.items;

	for (size_t i = 0; i < s->keys.count; i++)
		log_redact(keys[i].secret_access_key);
	for (size_t i = 0; i < s->third_parties.count; i++)
		log_redact(clients[i].client_token);
	for (size_t i = 0; i < s->event_targets.count; i++)
		log_redact(event_targets[i].authorization);
	for (size_t i = 0; i < s->approval_targets.count; i++)
		log_redact(approval_targets[i].authorization);
}

static int grant(const struct command_line *c, const struct settings *s)
{
	struct tls_files tls = { 0 };
	struct mh_err err = MH_ERR_INIT;

	switch (c->wish) {
	case WISH_CHECK:
		if (tls_read(s, &tls, &err) != 0) {
			(void)fprintf(stderr, "millhand-emulator: %s\n",
				      err.text); /* nobody else to tell */
			return EX_CONFIG;
		}
		tls_done(&tls);
		(void)puts("the settings are fine"); /* flushed by the caller */
		return 0;
	case WISH_DUMP:
		conf_dump(stdout, settings_keys, s);
		return 0;
	case WISH_RUN:
		log_init("millhand-emulator", (enum log_format)s->log_format,
			 settings_log_level(s));
		hide_secrets(s);
		return run(s, c->new_key);
	default:
		MH_BUG("a wish that needs no settings");
	}
}

int main(int argc, char **argv)
{
	struct command_line c = { 0 };
	struct settings settings = { 0 };
	int rc;

	protect_process(); /* it holds keys, and pipelines' secrets */
	rc = options_read(&c, argc, argv);

	if (rc == 0 && c.wish == WISH_HELP) {
		options_print_help();
	} else if (rc == 0 && c.wish == WISH_VERSION) {
		(void)puts("millhand-emulator " PACKAGE_VERSION);
	} else if (rc == 0 && c.wish == WISH_SAMPLE) {
		(void)fputs(sample_text, stdout);
		conf_sample(stdout, settings_keys);
	} else if (rc == 0 && c.wish == WISH_MAN_KEYS) {
		conf_man(stdout, settings_keys);
	} else if (rc == 0) {
		rc = options_settings(&c, &settings);
		if (rc == 0)
			rc = grant(&c, &settings);
		settings_done(&settings);
	}
	options_done(&c);
	if (fflush(stdout) != 0 && rc == 0)
		rc = 1; /* a full disk behind stdout */
	return rc;
}
