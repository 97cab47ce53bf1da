/* Directories that serve one job after the other.
 *
 * Making and removing them costs a job more than its processes on some file systems. So
 * those of a job that is over are kept, empty, in <state>/spare, and renamed for the next
 * job, with its lock, its log and its listening socket. Only what is certainly clean is
 * kept: names, kinds, owner, modes and extended attributes are as the agent made them,
 * and there is nothing in them. Anything else is removed. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#include "agent/jobdir_impl.h"
#include "agent/protocol.h"
#include "lib/base/fsio.h"
#include "lib/base/macros.h"

#define SPARE_DIR   "spare"
#define SMALL_BYTES 4096 /* of a lock or a result that is kept */

/* --- looking ------------------------------------------------------------------------ */

struct entry { /* of getdents64(2) */
	uint64_t ino;
	int64_t off;
	unsigned short len;
	unsigned char type;
	char name[];
};

/* Whether a directory holds nothing but these names. A look that is cut short, by more
 * entries than any clean one has, says no. */
static bool holds_only(int fd, const char *const *names, size_t count)
{
	char buf[1024] __attribute__((aligned(8)));
	long n;

	if (lseek(fd, 0, SEEK_SET) != 0)
		return false;
	n = syscall(SYS_getdents64, fd, buf, sizeof(buf));
	if (n < 0)
		return false;
	for (long at = 0; at < n;) {
		const struct entry *e = (const struct entry *)(buf + at);
		bool known = strcmp(e->name, ".") == 0 || strcmp(e->name, "..") == 0;

		for (size_t i = 0; i < count && !known; i++)
			known = strcmp(e->name, names[i]) == 0;
		if (!known)
			return false;
		at += e->len;
	}
	return n == 0 || syscall(SYS_getdents64, fd, buf, sizeof(buf)) == 0;
}

/* As the agent made it: ours, for us alone, and with nothing attached. */
static bool is_pristine(int fd, mode_t kind, mode_t mode)
{
	struct stat st;
	ssize_t attributes;

	if (fstat(fd, &st) != 0 || (st.st_mode & S_IFMT) != kind ||
	    (st.st_mode & 07777) != mode || st.st_uid != geteuid() ||
	    st.st_gid != getegid() || (kind == S_IFREG && st.st_nlink != 1))
		return false;
	attributes = flistxattr(fd, NULL, 0);
	return attributes == 0 || (attributes < 0 && errno == ENOTSUP);
}

static bool overwrite(int fd, off_t size)
{
	static const char zeros[SMALL_BYTES];

	return size <= SMALL_BYTES && pwrite(fd, zeros, (size_t)size, 0) == size;
}

/* Takes what is in a file of the job's directory away, by writing over it; true when it
 * is not there, too. Giving its only block back and getting another costs more than all
 * else in here. */
static bool blank(int dir_fd, const char *name)
{
	CLEAN(fd)
	int fd = openat(dir_fd, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return errno == ENOENT;
	return is_pristine(fd, S_IFREG, 0600) && fstat(fd, &st) == 0 &&
	       overwrite(fd, st.st_size);
}

/* What a job said is not to be found in the next one's log, not even on a disk that
 * forgot the last things written. */
static bool is_silent(int dir_fd)
{
	struct stat st;

	if (fstatat(dir_fd, "log", &st, AT_SYMLINK_NOFOLLOW) != 0)
		return errno == ENOENT;
	if (st.st_size > 0)
		return unlinkat(dir_fd, "log", 0) == 0;
	return S_ISREG(st.st_mode) && st.st_nlink == 1 && st.st_uid == geteuid() &&
	       (st.st_mode & 07777) == 0600;
}

/* What was said to it too late must not reach the next job's shim. */
static void refuse_late(int listen_fd)
{
	int fd;

	if (fcntl(listen_fd, F_SETFL, O_NONBLOCK) != 0) /* a socket takes that */
		return;
	while ((fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC)) >= 0)
		(void)close(fd); /* nothing was read */
}

static bool clean_jobdir(int dir_fd, int listen_fd)
{
	static const char *const names[] = { "lock", "log", "socket", "result.json" };

	if (!holds_only(dir_fd, names, ARRAY_LEN(names)) ||
	    !is_pristine(dir_fd, S_IFDIR, 0700) || !blank(dir_fd, "lock") ||
	    !is_silent(dir_fd) || !blank(dir_fd, "result.json"))
		return false;
	if (renameat(dir_fd, "result.json", dir_fd, RESULT_SPARE) != 0 && errno != ENOENT)
		return false;
	refuse_late(listen_fd);
	return true;
}

/* Nothing but an empty tmp/. */
static bool is_clean_workspace(int work_fd, const char *name)
{
	static const char *const names[] = { "tmp" };
	const int how = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	CLEAN(fd) int fd = openat(work_fd, name, how);
	CLEAN(fd) int tmp_fd = fd < 0 ? -1 : openat(fd, "tmp", how);

	return tmp_fd >= 0 && holds_only(fd, names, ARRAY_LEN(names)) &&
	       is_pristine(fd, S_IFDIR, 0700) && holds_only(tmp_fd, NULL, 0) &&
	       is_pristine(tmp_fd, S_IFDIR, 0700);
}

/* --- keeping ------------------------------------------------------------------------ */

int jobdir_spares_open(struct jobdirs *dirs, struct mh_err *err)
{
	for (size_t i = 0; i < SPARES_MAX; i++)
		dirs->spares[i] = (struct spare){ .dir_fd = -1, .listen_fd = -1 };
	dirs->spare_fd = -1;
	return fs_remove_tree_at(dirs->state_fd, SPARE_DIR, err);
}

static void drop(struct spare *s)
{
	clean_fd(&s->dir_fd);
	clean_fd(&s->listen_fd);
	*s = (struct spare){ .dir_fd = -1, .listen_fd = -1 };
}

void jobdir_spares_close(struct jobdirs *dirs)
{
	struct mh_err ignored; /* the next start removes it */

	for (size_t i = 0; i < SPARES_MAX; i++)
		drop(&dirs->spares[i]);
	if (dirs->spare_fd >= 0)
		(void)!fs_remove_tree_at(dirs->state_fd, SPARE_DIR, &ignored);
	clean_fd(&dirs->spare_fd);
}

static bool open_spares(struct jobdirs *dirs)
{
	struct mh_err ignored;

	if (dirs->spare_fd >= 0)
		return true;
	if (mkdirat(dirs->state_fd, SPARE_DIR, 0700) != 0 && errno != EEXIST)
		return false;
	return fs_open_dir(dirs->state_fd, SPARE_DIR, &dirs->spare_fd, &ignored) == 0;
}

static struct spare *free_place(struct jobdirs *dirs)
{
	for (size_t i = 0; i < SPARES_MAX; i++) {
		if (dirs->spares[i].dir_fd < 0)
			return &dirs->spares[i];
	}
	return NULL;
}

bool jobdir_keep(struct jobdirs *dirs, int64_t n, int *take_dir_fd, int *take_listen_fd,
		 bool with_work)
{
	struct spare *s = free_place(dirs);
	char name[NAME_SIZE], place[NAME_SIZE];

	if (!s || *take_dir_fd < 0 || *take_listen_fd < 0 || !open_spares(dirs) ||
	    !clean_jobdir(*take_dir_fd, *take_listen_fd))
		return false;
	jobdir_name(n, name);
	jobdir_name(s - dirs->spares, place);
	s->has_work = with_work && is_clean_workspace(dirs->work_fd, name) &&
		      renameat(dirs->work_fd, name, *take_dir_fd, SPARE_WORK) == 0;
	if (renameat(dirs->jobs_fd, name, dirs->spare_fd, place) != 0) {
		s->has_work = false;
		return false;
	}
	if (!s->has_work)
		jobdir_remove_work(dirs, n);
	s->dir_fd = STEAL_FD(*take_dir_fd);
	s->listen_fd = STEAL_FD(*take_listen_fd);
	return true;
}

/* --- using -------------------------------------------------------------------------- */

/* In its place, with its workspace; what was left of n must be gone, or empty. */
static bool move_to(struct jobdirs *dirs, struct spare *s, int64_t n)
{
	char name[NAME_SIZE], place[NAME_SIZE];

	jobdir_name(n, name);
	jobdir_name(s - dirs->spares, place);
	if (renameat(dirs->spare_fd, place, dirs->jobs_fd, name) != 0)
		return false;
	if (s->has_work && renameat(s->dir_fd, SPARE_WORK, dirs->work_fd, name) != 0)
		return false; /* goes with what is left of n */
	return true;
}

bool jobdir_take_spare(struct jobdirs *dirs, int64_t n, struct spare *ret)
{
	for (size_t i = 0; i < SPARES_MAX; i++) {
		struct spare *s = &dirs->spares[i];

		if (s->dir_fd < 0)
			continue;
		if (move_to(dirs, s, n)) {
			*ret = *s;
			*s = (struct spare){ .dir_fd = -1, .listen_fd = -1 };
			return true;
		}
		drop(s);
	}
	return false;
}
