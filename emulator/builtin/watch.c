/* The thread that sleeps on inotify, and what it sleeps for. */
#include "emulator/builtin/watch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <time.h>

#include "emulator/builtin/git.h"
#include "emulator/store/rows.h"
#include "emulator/store/sources.h"
#include "lib/base/log.h"
#include "lib/base/str.h"

#define SETTLE_MS   5000 /* a caller waits no longer, whatever the disk does */
#define AGAIN_MS    5000 /* after something went wrong */
#define DEPTH_MAX   16 /* of a branch's name, in segments */
#define EVENT_BYTES (64 * 1024)
#define MASK        (IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_MOVED_FROM | IN_ONLYDIR)

/* A directory that inotify tells of, for one repository. */
struct place {
	int wd;
	bool is_git; /* git's own: packed-refs alone is of interest in it */
};

struct repository {
	char *name;
	struct place *places; /* owned */
	size_t count;
	bool dirty; /* to be looked at */
	bool wanted, was_wanted; /* somebody watches it; did so before the last list */
};

struct watcher {
	pthread_t thread;
	pthread_mutex_t lock; /* of the three below */
	pthread_cond_t settled;
	uint64_t asked, done; /* settling */
	bool stopping;

	struct writer *writer;
	const struct settings *settings;
	int wake_fd, cancel_fd, inotify_fd;
	struct repository *items; /* the thread's own from here on */
	size_t count;
	bool trouble; /* something is to be tried again */
};

/* ---- inotify ---- */

static void add_place(struct watcher *w, struct repository *r, const char *path,
		      bool is_git)
{
	int wd = inotify_add_watch(w->inotify_fd, path, MASK);

	if (wd < 0) {
		/* Gone meanwhile: its parent tells. No more watches: not a word comes
		 * from there, so it is told once and tried again. */
		if (errno != ENOENT && errno != ENOTDIR) {
			log_event(LOG_LEVEL_WARN, "source.not_watched", strerror(errno),
				  LOG_S("repository", r->name), LOG_S("path", path),
				  LOG_END);
			w->trouble = true;
		}
		return;
	}
	for (size_t i = 0; i < r->count; i++) {
		if (r->places[i].wd == wd)
			return;
	}
	r->places = row_room(r->places, r->count, sizeof(*r->places));
	r->places[r->count++] = (struct place){ .wd = wd, .is_git = is_git };
}

/* A directory of refs and those in it. */
static void add_tree(struct watcher *w, struct repository *r, const char *path, int depth)
{
	DIR *dir;
	struct dirent *e;

	add_place(w, r, path, false);
	dir = depth < DEPTH_MAX ? opendir(path) : NULL;
	if (!dir)
		return;
	while ((e = readdir(dir)) != NULL) {
		CLEAN(free) char *child = NULL;

		if (e->d_type != DT_DIR || e->d_name[0] == '.')
			continue;
		child = mh_concat(path, "/", e->d_name);
		add_tree(w, r, child, depth + 1);
	}
	(void)closedir(dir); /* only reading */
}

/* Where a repository that is not there would come to be: the directories on the way. */
static void add_way(struct watcher *w, struct repository *r)
{
	static const char *const endings[] = { ".git", "" };
	CLEAN(free) char *root = git_root(w->settings);

	add_place(w, r, root, false);
	for (size_t i = 0; i < ARRAY_LEN(endings); i++) {
		CLEAN(free)
		char *path = mh_concat(root, "/", r->name, endings[i]);

		for (char *p = path + strlen(root) + 1; (p = strchr(p, '/')); p++) {
			*p = '\0';
			add_place(w, r, path, false);
			*p = '/';
		}
		add_place(w, r, path, false);
	}
}

static void add_places(struct watcher *w, struct repository *r, const char *git_dir)
{
	static const char *const trees[] = { "/refs/heads", "/refs/tags" };
	CLEAN(free) char *refs = git_dir ? mh_concat(git_dir, "/refs") : NULL;

	if (!git_dir) {
		add_way(w, r);
		return;
	}
	add_place(w, r, git_dir, true);
	add_place(w, r, refs, false);
	for (size_t i = 0; i < ARRAY_LEN(trees); i++) {
		CLEAN(free) char *path = mh_concat(git_dir, trees[i]);

		add_tree(w, r, path, 0);
	}
}

/* git writes a lock file and renames it: the lock is no news. */
static bool is_news(const struct inotify_event *e, const struct place *p)
{
	const char *name = e->len > 0 ? e->name : "";

	if (e->mask & IN_IGNORED)
		return false;
	if (p->is_git && strcmp(name, "packed-refs") != 0 && strcmp(name, "refs") != 0)
		return false;
	return !str_ends_with(name, ".lock") || (e->mask & IN_ISDIR);
}

static void mark(struct watcher *w, const struct inotify_event *e)
{
	for (size_t i = 0; i < w->count; i++) {
		struct repository *r = &w->items[i];

		if (e->mask & IN_Q_OVERFLOW)
			r->dirty = true;
		for (size_t n = 0; n < r->count && !r->dirty; n++) {
			if (r->places[n].wd == e->wd && is_news(e, &r->places[n]))
				r->dirty = true;
		}
	}
}

static void read_events(struct watcher *w)
{
	char *bytes = mh_alloc(EVENT_BYTES);
	ssize_t n;

	while ((n = read(w->inotify_fd, bytes, EVENT_BYTES)) > 0) {
		for (ssize_t at = 0; at < n;) {
			struct inotify_event e;
			const char *from = bytes + at;

			memcpy(&e, from, sizeof(e));
			/* With its name behind it; the kernel aligns them. */
			mark(w, (const void *)from);
			at += (ssize_t)(sizeof(e) + e.len);
		}
	}
	free(bytes);
}

/* ---- repositories ---- */

struct watched {
	char *name;
	bool seen; /* its refs are known */
};

struct names {
	struct watched *items;
	size_t count;
};

static int tx_names(struct op_ctx *ctx, void *arg, struct api_error *err)
{
	struct names *names = arg;
	CLEAN(stmt) struct stmt q;
	struct mh_err e = MH_ERR_INIT;
	int rc;

	source_watches_repositories(ctx->store, &q);
	while ((rc = stmt_next(&q, &e)) == 1) {
		names->items = row_room(names->items, names->count,
					sizeof(*names->items));
		names->items[names->count++] = (struct watched){
			.name = mh_strdup(stmt_text(&q, 0)), .seen = stmt_i64(&q, 1) != 0
		};
	}
	return rc == 0 ? 0 : api_fail_internal(err, &e);
}

static struct repository *find(struct watcher *w, const char *name)
{
	for (size_t i = 0; i < w->count; i++) {
		if (strcmp(w->items[i].name, name) == 0)
			return &w->items[i];
	}
	return NULL;
}

/* Takes the name over. One that was dropped and is watched anew has no refs any more. */
static void want(struct watcher *w, const struct watched *watched)
{
	struct repository *r = find(w, watched->name);

	if (r) {
		r->dirty |= !watched->seen || !r->was_wanted;
		r->wanted = true;
		free(watched->name);
		return;
	}
	w->items = row_room(w->items, w->count, sizeof(*w->items));
	w->items[w->count++] = (struct repository){ .name = watched->name,
						    .dirty = true,
						    .wanted = true };
}

/* Which repositories there are to watch. */
static void read_list(struct watcher *w)
{
	struct names names = { 0 };
	struct api_error err = { 0 };

	if (writer_call(w->writer, tx_names, &names, NULL, &err) != 0) {
		w->trouble = err.status != 503; /* 503: the server stops */
	} else {
		for (size_t i = 0; i < w->count; i++) {
			w->items[i].was_wanted = w->items[i].wanted;
			w->items[i].wanted = false;
		}
	}
	for (size_t i = 0; i < names.count; i++)
		want(w, &names.items[i]);
	free(names.items);
}

/* A name that no source action could use is not looked for. */
static bool is_name(const char *name)
{
	return strchr(name, '/') ? git_full_name_is_valid(name) : git_name_is_valid(name);
}

static void look(struct watcher *w, struct repository *r)
{
	struct task t = { .settings = w->settings, .cancel_fd = w->cancel_fd };
	CLEAN(free) char *git_dir = NULL;

	r->dirty = false;
	if (!r->wanted || !is_name(r->name))
		return;
	git_dir = git_find(w->settings, r->name);
	/* First the watches, then the look: what comes in between is seen by both. */
	add_places(w, r, git_dir);
	if (watch_look(w->writer, &t, r->name, git_dir) != 0) {
		r->dirty = true;
		w->trouble = true;
	}
	task_done(&t);
}

static void look_at_dirty(struct watcher *w)
{
	for (size_t i = 0; i < w->count; i++) {
		if (w->items[i].dirty)
			look(w, &w->items[i]);
	}
}

/* ---- the thread ---- */

/* What was asked for before the list is read is settled after the looks. */
static uint64_t take_asked(struct watcher *w)
{
	uint64_t asked;

	pthread_mutex_lock(&w->lock);
	asked = w->asked;
	pthread_mutex_unlock(&w->lock);
	return asked;
}

static void tell_settled(struct watcher *w, uint64_t done)
{
	pthread_mutex_lock(&w->lock);
	w->done = done;
	pthread_cond_broadcast(&w->settled);
	pthread_mutex_unlock(&w->lock);
}

static bool is_stopping(struct watcher *w)
{
	bool stopping;

	pthread_mutex_lock(&w->lock);
	stopping = w->stopping;
	pthread_mutex_unlock(&w->lock);
	return stopping;
}

static void *watcher_main(void *arg)
{
	struct watcher *w = arg;
	bool list = true;

	while (!is_stopping(w)) {
		struct pollfd fds[] = { { .fd = w->wake_fd, .events = POLLIN },
					{ .fd = w->inotify_fd, .events = POLLIN } };
		uint64_t asked = take_asked(w);
		eventfd_t ignored;

		w->trouble = false;
		if (list)
			read_list(w);
		list = false;
		look_at_dirty(w);
		tell_settled(w, asked);
		/* An error is EINTR or a bug: the loop looks again. */
		(void)poll(fds, ARRAY_LEN(fds), w->trouble ? AGAIN_MS : -1);
		if (fds[0].revents) {
			(void)eventfd_read(w->wake_fd, &ignored); /* it is readable */
			list = true;
		}
		list |= w->trouble;
		if (fds[1].revents)
			read_events(w);
	}
	return NULL;
}

void watcher_settle(struct watcher *w)
{
	struct timespec until;
	uint64_t mine;
	int rc = 0;

	if (!w)
		return;
	(void)clock_gettime(CLOCK_MONOTONIC, &until); /* always there */
	until.tv_sec += SETTLE_MS / 1000;
	pthread_mutex_lock(&w->lock);
	mine = ++w->asked;
	(void)eventfd_write(w->wake_fd, 1); /* it cannot be full */
	while (w->done < mine && !w->stopping && rc == 0)
		rc = pthread_cond_timedwait(&w->settled, &w->lock, &until);
	pthread_mutex_unlock(&w->lock);
}

static void watcher_free(struct watcher *w)
{
	for (size_t i = 0; i < w->count; i++) {
		free(w->items[i].name);
		free(w->items[i].places);
	}
	free(w->items);
	(void)pthread_cond_destroy(&w->settled);
	(void)pthread_mutex_destroy(&w->lock);
	clean_fd(&w->wake_fd);
	clean_fd(&w->cancel_fd);
	clean_fd(&w->inotify_fd);
	free(w);
}

static struct watcher *watcher_new(struct writer *writer, const struct settings *settings)
{
	struct watcher *w = mh_alloc(sizeof(*w));
	pthread_condattr_t attributes;

	w->writer = writer;
	w->settings = settings;
	(void)pthread_condattr_init(&attributes);
	(void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&w->settled, &attributes);
	(void)pthread_condattr_destroy(&attributes);
	(void)pthread_mutex_init(&w->lock, NULL);
	w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	w->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	w->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	return w;
}

int watcher_start(struct writer *writer, const struct settings *settings,
		  struct watcher **ret, struct mh_err *err)
{
	struct watcher *w = watcher_new(writer, settings);
	int rc;

	if (w->wake_fd < 0 || w->cancel_fd < 0 || w->inotify_fd < 0) {
		(void)mh_err_sys(err, "cannot watch repositories (inotify)"); /* -1 */
		watcher_free(w);
		return -1;
	}
	rc = pthread_create(&w->thread, NULL, watcher_main, w);
	if (rc != 0) {
		errno = rc;
		(void)mh_err_sys(err, "cannot start the watcher's thread"); /* -1 */
		watcher_free(w);
		return -1;
	}
	*ret = w;
	return 0;
}

void watcher_stop(struct watcher *w)
{
	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	w->stopping = true;
	pthread_cond_broadcast(&w->settled);
	pthread_mutex_unlock(&w->lock);
	(void)eventfd_write(w->cancel_fd, 1); /* it cannot be full */
	(void)eventfd_write(w->wake_fd, 1); /* as above */
	pthread_join(w->thread, NULL);
	watcher_free(w);
}
