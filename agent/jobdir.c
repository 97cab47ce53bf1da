#include "agent/jobdir_impl.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/host.h"
#include "lib/base/fault.h"
#include "lib/base/fsio.h"
#include "lib/base/log.h"
#include "lib/base/macros.h"
#include "lib/base/str.h"

#define OWNER_FILE ".millhand-agent" /* in a work directory: whose it is */

void jobdir_name(int64_t n, char ret[NAME_SIZE])
{
	(void)snprintf(ret, NAME_SIZE, "%lld", (long long)n);
}

/* Others may pass through, to a work directory that is theirs, and see nothing
 * else: a handler may run as another user. Whatever the umask made of it. */
static int let_pass(int fd, struct mh_err *err)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return mh_err_sys(err, "look at a directory");
	if (st.st_uid == geteuid() && (st.st_mode & 0777) == 0700 &&
	    fchmod(fd, 0711) != 0)
		return mh_err_sys(err, "change the mode of a directory");
	return 0;
}

/* --- whose they are ------------------------------------------------------------------
 */

static bool is_same(int fd, const char *path)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_dev == b.st_dev &&
	       a.st_ino == b.st_ino;
}

/* Two agents would take each other's workspaces away: a work directory of its own
 * remembers whose it is. */
static int claim_work(const char *state_dir, const char *work_dir, int work_fd,
		      struct mh_err *err)
{
	CLEAN(free) char *usual = mh_format("%s/work", state_dir);
	CLEAN(free) char *jobs = mh_format("%s/jobs", state_dir);
	CLEAN(buf) struct buf owner = BUF_INIT(PATH_MAX);

	if (is_same(work_fd, state_dir) || is_same(work_fd, jobs))
		return mh_err_set(err, MH_E_CONFIG,
				  "work_dir: %s is where the agent keeps its state; name "
				  "another",
				  work_dir);
	if (fs_read_at(work_fd, OWNER_FILE, &owner, err) == 0) {
		if (strcmp(buf_text(&owner), state_dir) == 0)
			return 0;
		return mh_err_set(err, MH_E_CONFIG,
				  "work_dir: %s belongs to the agent whose state_dir is "
				  "%s; name another, or remove %s/" OWNER_FILE
				  " when that agent is gone",
				  work_dir, buf_text(&owner), work_dir);
	}
	if (err->cls != MH_E_NOTFOUND)
		return mh_err_wrap(err, "work_dir: %s", work_dir);
	if (strcmp(usual, work_dir) == 0)
		return 0; /* beneath a state directory that is locked */
	if (fs_write_durable_at(work_fd, OWNER_FILE, state_dir, strlen(state_dir), 0600,
				err) != 0)
		return mh_err_wrap(err, "work_dir, as user %u: %s", (unsigned)geteuid(),
				   work_dir);
	return 0;
}

int jobdirs_open(const char *state_dir, const char *work_dir, struct loop *loop,
		 struct jobdirs **ret, struct mh_err *err)
{
	CLEAN(free) char *jobs = mh_format("%s/jobs", state_dir);
	CLEAN(fd) int jobs_fd = -1;
	CLEAN(fd) int work_fd = -1;
	CLEAN(fd) int state_fd = -1;
	struct jobdirs *dirs;

	if (fs_mkdir_p(jobs, 0700, err) != 0 || fs_mkdir_p(work_dir, 0711, err) != 0 ||
	    fs_open_dir(AT_FDCWD, jobs, &jobs_fd, err) != 0 ||
	    fs_open_dir(AT_FDCWD, work_dir, &work_fd, err) != 0 ||
	    fs_open_dir(AT_FDCWD, state_dir, &state_fd, err) != 0 ||
	    claim_work(state_dir, work_dir, work_fd, err) != 0 ||
	    let_pass(state_fd, err) != 0 || let_pass(work_fd, err) != 0 ||
	    fs_sync_fd(state_fd, "state_dir", err) != 0) /* the name of jobs/ */
		return -1;
	dirs = mh_alloc(sizeof(*dirs));
	*dirs = (struct jobdirs){ .loop = loop,
				  .state_fd = STEAL_FD(state_fd),
				  .jobs_fd = STEAL_FD(jobs_fd),
				  .work_fd = STEAL_FD(work_fd),
				  .work_path = mh_strdup(work_dir) };
	if (jobdir_spares_open(dirs, err) != 0) {
		jobdirs_close(dirs);
		return -1;
	}
	*ret = dirs;
	return 0;
}

void jobdirs_close(struct jobdirs *dirs)
{
	if (!dirs)
		return;
	MH_ASSERT(dirs->removing == 0);
	jobdir_spares_close(dirs);
	(void)close(dirs->jobs_fd); /* directories: nothing to lose */
	(void)close(dirs->work_fd);
	(void)close(dirs->state_fd);
	free(dirs->work_path);
	free(dirs);
}

/* --- one job's ------------------------------------------------------------------- */

static int make_empty(int parent, const char *name, struct mh_err *err)
{
	if (fs_remove_tree_at(parent, name, err) != 0)
		return -1;
	if (mkdirat(parent, name, 0700) != 0)
		return mh_err_sys(err, "make directory %s", name);
	return 0;
}

/* As few directories as will do: each costs more than all else in here. The shim
 * makes those of the workspace, and "store" when it packs. */
static int make_fetch(int fd, bool has_inputs, const char *name, struct mh_err *err)
{
	if (has_inputs && mkdirat(fd, "fetch", 0700) != 0)
		return mh_err_sys(err, "make jobs/%s/fetch", name);
	return 0;
}

static int make_from_spare(struct jobdirs *dirs, int64_t n, bool has_inputs,
			   struct spare *s, struct mh_err *err)
{
	char name[NAME_SIZE];

	jobdir_name(n, name);
	if (!s->has_work && make_empty(dirs->work_fd, name, err) != 0)
		return mh_err_wrap(err, "%s", dirs->work_path);
	return make_fetch(s->dir_fd, has_inputs, name, err);
}

int jobdir_make(struct jobdirs *dirs, int64_t n, bool has_inputs, int *ret_fd,
		int *ret_listen_fd, struct mh_err *err)
{
	struct spare spare;
	char name[NAME_SIZE];
	CLEAN(fd) int fd = -1;
	CLEAN(fd) int lock_fd = -1;

	if (jobdir_take_spare(dirs, n, &spare)) {
		if (make_from_spare(dirs, n, has_inputs, &spare, err) != 0) {
			clean_fd(&spare.dir_fd);
			clean_fd(&spare.listen_fd);
			return -1;
		}
		*ret_fd = spare.dir_fd;
		*ret_listen_fd = spare.listen_fd;
		return 0;
	}
	jobdir_name(n, name);
	if (make_empty(dirs->work_fd, name, err) != 0)
		return mh_err_wrap(err, "%s", dirs->work_path);
	if (make_empty(dirs->jobs_fd, name, err) != 0 ||
	    fs_open_dir(dirs->jobs_fd, name, &fd, err) != 0)
		return mh_err_wrap(err, "jobs");
	if (make_fetch(fd, has_inputs, name, err) != 0)
		return -1;
	lock_fd = openat(fd, "lock", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
			 0600);
	if (lock_fd < 0)
		return mh_err_sys(err, "make jobs/%s/lock", name);
	*ret_fd = STEAL_FD(fd);
	return 0;
}

int jobdir_open(struct jobdirs *dirs, int64_t n, int *ret_fd, struct mh_err *err)
{
	char name[NAME_SIZE];
	int fd;

	jobdir_name(n, name);
	fd = openat(dirs->jobs_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT)
		return mh_err_set(err, MH_E_NOTFOUND, "jobs/%s is not there", name);
	if (fd < 0)
		return mh_err_sys(err, "open jobs/%s", name);
	*ret_fd = fd;
	return 0;
}

char *jobdir_work_path(const struct jobdirs *dirs, int64_t n)
{
	return mh_format("%s/%lld", dirs->work_path, (long long)n);
}

int jobdir_lock(int dir_fd, int *ret_lock_fd, pid_t *ret_holder, struct mh_err *err)
{
	CLEAN(fd)
	int fd = openat(dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	pid_t holder = 0;
	bool got;

	if (fd < 0)
		return mh_err_sys(err, "open lock");
	if (fs_lock(fd, &got, err) != 0)
		return -1;
	if (!got) {
		if (fs_lock_holder(fd, &holder, err) != 0)
			return -1;
		/* Gone in between: the caller looks again, as with one it cannot name. */
		if (holder <= 0)
			holder = -1;
	}
	*ret_holder = holder;
	*ret_lock_fd = STEAL_FD(fd);
	return 0;
}

bool jobdir_lock_is_blank(int lock_fd)
{
	char first;
	ssize_t n = pread(lock_fd, &first, 1, 0);

	/* Zeros: it served another job, which is over. */
	return n == 0 || (n == 1 && first == '\0');
}

int jobdir_result(int dir_fd, struct buf *ret, struct mh_err *err)
{
	CLEAN(fd)
	int fd = openat(dir_fd, "result.json", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0 && errno == ENOENT)
		return mh_err_set(err, MH_E_NOTFOUND, "there is no result.json");
	if (fd < 0)
		return mh_err_sys(err, "open result.json");
	return fs_read_fd(fd, ret, err);
}

void jobdir_drop_socket(int dir_fd)
{
	(void)unlinkat(dir_fd, "socket",
		       0); /* a name without meaning; goes with the rest */
}

/* --- removing ------------------------------------------------------------------------
 */

enum removal_of { REMOVE_BOTH, REMOVE_JOBS, REMOVE_WORK, REMOVE_ARCHIVES };

struct removal {
	uv_work_t work;
	struct jobdirs *dirs;
	int64_t n;
	char name[NAME_SIZE];
	enum removal_of of;
	bool failed;
	struct mh_err err;
};

static int remove_archives(const struct removal *r, struct mh_err *err)
{
	CLEAN(fd)
	int fd = openat(r->dirs->jobs_fd, r->name,
			O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return errno == ENOENT ? 0 : mh_err_sys(err, "open jobs/%s", r->name);
	if (fs_remove_tree_at(fd, "fetch", err) != 0 ||
	    fs_remove_tree_at(fd, "store", err) != 0)
		return -1;
	return 0;
}

/* In a thread of the pool: system calls on descriptors that stay open, and the
 * removal itself; nothing else is touched. */
static void remove_in_thread(uv_work_t *work)
{
	struct removal *r = work->data;

	if (r->of == REMOVE_ARCHIVES) {
		r->failed = remove_archives(r, &r->err) != 0;
		return;
	}
	/* The work directory first: what is left is found by the other one's name. */
	r->failed = (r->of != REMOVE_JOBS &&
		     fs_remove_tree_at(r->dirs->work_fd, r->name, &r->err) != 0) ||
		    (r->of != REMOVE_WORK &&
		     fs_remove_tree_at(r->dirs->jobs_fd, r->name, &r->err) != 0);
}

static void removed(uv_work_t *work, int status)
{
	struct removal *r = work->data;

	(void)status; /* nothing is ever cancelled */
	FAULT_POINT("clean.after");
	r->dirs->removing--;
	if (r->failed)
		log_event(LOG_LEVEL_WARN, "job.not_removed",
			  "a job's directories could not be removed; tried again at the "
			  "next start",
			  LOG_I("n", r->n), LOG_ERR(&r->err), LOG_END);
	free(r);
}

static void queue_removal(struct jobdirs *dirs, int64_t n, enum removal_of of)
{
	struct removal *r = mh_alloc(sizeof(*r));

	r->work.data = r;
	r->dirs = dirs;
	r->of = of;
	r->n = n;
	jobdir_name(n, r->name);
	dirs->removing++;
	if (uv_queue_work(loop_uv(dirs->loop), &r->work, remove_in_thread, removed) != 0)
		MH_BUG("uv_queue_work"); /* fails for a missing callback alone */
}

void jobdir_remove(struct jobdirs *dirs, int64_t n)
{
	queue_removal(dirs, n, REMOVE_BOTH);
}

void jobdir_remove_work(struct jobdirs *dirs, int64_t n)
{
	queue_removal(dirs, n, REMOVE_WORK);
}

void jobdir_remove_archives(struct jobdirs *dirs, int64_t n)
{
	queue_removal(dirs, n, REMOVE_ARCHIVES);
}

bool jobdirs_busy(const struct jobdirs *dirs)
{
	return dirs->removing > 0;
}

/* --- what is there --------------------------------------------------------------------
 */

static int read_dir(int parent, const char *name, DIR **ret, struct mh_err *err)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;

	if (!dir) {
		(void)mh_err_sys(err, "read a directory of jobs");
		if (fd >= 0)
			(void)close(fd); /* nothing was done with it */
		return -1;
	}
	*ret = dir;
	return 0;
}

/* Calls each for the numbers there are in both directories. */
static int each_number(struct jobdirs *dirs,
		       void (*each)(void *ctx, int parent, int64_t n), void *ctx,
		       struct mh_err *err)
{
	const int parents[] = { dirs->jobs_fd, dirs->work_fd };

	for (size_t i = 0; i < ARRAY_LEN(parents); i++) {
		struct mh_err ignored;
		struct dirent *entry;
		int64_t n;
		DIR *dir;

		if (read_dir(parents[i], ".", &dir, err) != 0)
			return -1;
		while ((entry = readdir(dir)) != NULL) {
			if (str_to_i64(entry->d_name, 1, INT64_MAX, "name", &n,
				       &ignored) == 0)
				each(ctx, parents[i], n);
		}
		(void)closedir(dir); /* only read */
	}
	return 0;
}

static void take_higher(void *ctx, int parent, int64_t n)
{
	int64_t *highest = ctx;

	(void)parent;
	if (n > *highest)
		*highest = n;
}

int jobdirs_highest(struct jobdirs *dirs, int64_t *ret, struct mh_err *err)
{
	int64_t highest = 0;

	if (each_number(dirs, take_higher, &highest, err) != 0)
		return -1;
	*ret = highest;
	return 0;
}

/* Whether it holds nothing but what the agent and its shims put there. */
static bool is_ours(int parent, const char *name)
{
	static const char *const known[] = {
		".",   "..",     "in",    "out",         "tmp",   "lock",
		"log", "socket", "fetch", "result.json", "store", SPARE_WORK
	};
	struct mh_err ignored;
	struct dirent *entry;
	bool ours = true;
	DIR *dir;

	if (read_dir(parent, name, &dir, &ignored) != 0)
		return false;
	while (ours && (entry = readdir(dir)) != NULL) {
		size_t i = 0;

		while (i < ARRAY_LEN(known) && strcmp(known[i], entry->d_name) != 0)
			i++;
		ours = i < ARRAY_LEN(known) ||
		       (str_starts_with(entry->d_name, "result.json.") &&
			str_ends_with(entry->d_name, ".tmp"));
	}
	(void)closedir(dir); /* only read */
	return ours;
}

/* A shim that this ledger knows nothing of (it was moved away) still works there. */
static bool is_in_use(const struct jobdirs *dirs, const char *name)
{
	CLEAN(free) char *path = mh_format("%s/lock", name);
	CLEAN(fd) int fd = openat(dirs->jobs_fd, path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	struct mh_err ignored;
	bool got = true;

	return fd >= 0 && fs_lock(fd, &got, &ignored) == 0 && !got;
}

struct sweep {
	struct jobdirs *dirs;
	bool (*keep)(void *ctx, int64_t n);
	void *ctx;
};

static void sweep_one(void *ctx, int parent, int64_t n)
{
	struct sweep *sweep = ctx;
	const char *why = NULL;
	char name[NAME_SIZE];

	if (sweep->keep(sweep->ctx, n))
		return;
	jobdir_name(n, name);
	if (!is_ours(parent, name))
		why = "it holds what no agent put there";
	else if (is_in_use(sweep->dirs, name))
		why = "a job that the ledger does not know still runs in it";
	if (!why)
		queue_removal(sweep->dirs, n,
			      parent == sweep->dirs->work_fd ? REMOVE_WORK : REMOVE_JOBS);
	else if (!sweep->dirs->swept)
		log_event(LOG_LEVEL_WARN, "jobs.left_alone", why,
			  LOG_S("directory",
				parent == sweep->dirs->work_fd ? "work_dir" : "jobs"),
			  LOG_I("n", n), LOG_END);
}

int jobdirs_sweep(struct jobdirs *dirs, bool (*keep)(void *ctx, int64_t n), void *ctx,
		  struct mh_err *err)
{
	struct sweep sweep = { .dirs = dirs, .keep = keep, .ctx = ctx };

	if (each_number(dirs, sweep_one, &sweep, err) != 0)
		return -1;
	dirs->swept = true;
	return 0;
}

struct oldest {
	struct sweep sweep;
	int64_t after, found; /* 0: none */
};

static void take_older(void *ctx, int parent, int64_t n)
{
	struct oldest *o = ctx;
	char name[NAME_SIZE];

	if (n <= o->after || (o->found && n >= o->found) ||
	    o->sweep.keep(o->sweep.ctx, n))
		return;
	jobdir_name(n, name);
	if (is_ours(parent, name) && !is_in_use(o->sweep.dirs, name))
		o->found = n;
}

bool jobdirs_oldest(struct jobdirs *dirs, int64_t after,
		    bool (*keep)(void *ctx, int64_t n), void *ctx, int64_t *ret_n)
{
	struct oldest o = { .sweep = { .dirs = dirs, .keep = keep, .ctx = ctx },
			    .after = after };
	struct mh_err ignored;

	if (each_number(dirs, take_older, &o, &ignored) != 0 || o.found == 0)
		return false;
	*ret_n = o.found;
	return true;
}

int jobdirs_free(const struct jobdirs *dirs, int64_t *ret_bytes, int64_t *ret_inodes,
		 struct mh_err *err)
{
	struct host_space places[2];

	if (host_measure(dirs->jobs_fd, &places[0], err) != 0 ||
	    host_measure(dirs->work_fd, &places[1], err) != 0)
		return -1;
	*ret_bytes = places[0].bytes < places[1].bytes ? places[0].bytes
						       : places[1].bytes;
	*ret_inodes = -1;
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		if (places[i].inodes_all > 0 &&
		    (*ret_inodes < 0 || places[i].inodes < *ret_inodes))
			*ret_inodes = places[i].inodes;
	}
	return 0;
}

void jobdirs_places(const struct jobdirs *dirs, int ret_fds[JOBDIRS_PLACES])
{
	ret_fds[0] = dirs->jobs_fd;
	ret_fds[1] = dirs->work_fd;
}

int jobdirs_state_fd(const struct jobdirs *dirs)
{
	return dirs->state_fd;
}
