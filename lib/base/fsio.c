#include "lib/base/fsio.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "lib/base/str.h"

static void clean_dir(DIR **dir)
{
	if (*dir)
		(void)closedir(*dir); /* only read */
}

int fs_write_fd(int fd, const void *data, size_t len, struct mh_err *err)
{
	const char *p = data;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return mh_err_sys(err, "write");
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int fs_sync_fd(int fd, const char *what, struct mh_err *err)
{
	return fsync(fd) == 0 ? 0 : mh_err_sys(err, "fsync %s", what);
}

/* fsync of the directory that holds a name, so that the name itself is kept. */
static int sync_parent(int dirfd, const char *name, struct mh_err *err)
{
	CLEAN(free) char *path = mh_strdup(name);
	CLEAN(fd) int fd = -1;
	char *slash = strrchr(path, '/');

	if (slash)
		slash[slash == path ? 1 : 0] = '\0';
	if (fs_open_dir(dirfd, slash ? path : ".", &fd, err) != 0)
		return -1;
	return fs_sync_fd(fd, path, err);
}

static int write_new(int dirfd, const char *temp, const void *data, size_t len,
		     mode_t mode, bool durable, struct mh_err *err)
{
	CLEAN(fd)
	int fd = openat(dirfd, temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
			mode);

	if (fd < 0)
		return mh_err_sys(err, "create %s", temp);
	if (fs_write_fd(fd, data, len, err) != 0)
		return mh_err_wrap(err, "%s", temp);
	if (durable && fs_sync_fd(fd, temp, err) != 0)
		return -1;
	if (close(steal_fd(&fd)) != 0)
		return mh_err_sys(err, "close %s", temp);
	return 0;
}

static int replace(int dirfd, const char *name, const void *data, size_t len, mode_t mode,
		   bool durable, struct mh_err *err)
{
	char unique[STR_UUID_SIZE];
	CLEAN(free) char *temp = NULL;

	str_uuid(unique);
	temp = mh_format("%s.%.8s.tmp", name, unique);
	if (write_new(dirfd, temp, data, len, mode, durable, err) != 0) {
		(void)unlinkat(dirfd, temp,
			       0); /* may not be there; the first error counts */
		return -1;
	}
	if (renameat(dirfd, temp, dirfd, name) != 0) {
		(void)mh_err_sys(err, "rename %s to %s", temp, name);
		(void)unlinkat(dirfd, temp, 0);
		return -1;
	}
	return durable ? sync_parent(dirfd, name, err) : 0;
}

int fs_write_durable_at(int dirfd, const char *name, const void *data, size_t len,
			mode_t mode, struct mh_err *err)
{
	return replace(dirfd, name, data, len, mode, true, err);
}

int fs_write_atomic_at(int dirfd, const char *name, const void *data, size_t len,
		       mode_t mode, struct mh_err *err)
{
	return replace(dirfd, name, data, len, mode, false, err);
}

int fs_read_fd(int fd, struct buf *b, struct mh_err *err)
{
	char chunk[4096]; /* shims read so, and every page of their stacks counts */

	for (;;) {
		ssize_t n = read(fd, chunk, sizeof chunk);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return mh_err_sys(err, "read");
		if (n == 0)
			return 0;
		if (buf_add(b, chunk, (size_t)n, err) != 0)
			return -1;
	}
}

int fs_read_at(int dirfd, const char *name, struct buf *b, struct mh_err *err)
{
	CLEAN(fd)
	int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd < 0 && errno == ENOENT)
		return mh_err_set(err, MH_E_NOTFOUND, "%s: no such file", name);
	if (fd < 0)
		return mh_err_sys(err, "open %s", name);
	if (fs_read_fd(fd, b, err) != 0)
		return mh_err_wrap(err, "%s", name);
	return 0;
}

int fs_mkdir_p(const char *path, mode_t mode, struct mh_err *err)
{
	CLEAN(free) char *copy = mh_strdup(path);
	struct stat st;
	char *p;

	for (p = copy + 1; *copy && *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(copy, mode) != 0 && errno != EEXIST)
			return mh_err_sys(err, "make directory %s", copy);
		*p = '/';
	}
	if (mkdir(copy, mode) == 0)
		return 0;
	if (errno != EEXIST)
		return mh_err_sys(err, "make directory %s", copy);
	if (stat(copy, &st) != 0)
		return mh_err_sys(err, "%s", copy);
	if (!S_ISDIR(st.st_mode)) {
		errno = ENOTDIR;
		return mh_err_sys(err, "make directory %s", copy);
	}
	return 0;
}

int fs_open_dir(int dirfd, const char *path, int *ret_fd, struct mh_err *err)
{
	int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT)
		return mh_err_set(err, MH_E_NOTFOUND, "%s: no such directory", path);
	if (fd < 0)
		return mh_err_sys(err, "open directory %s", path);
	*ret_fd = fd;
	return 0;
}

/*
 * Removing a tree. Whoever made it chose its depth, so neither the stack nor the
 * number of open directories may follow it: what lies deeper than TREE_LEVELS is moved
 * up into the top directory, and removed from there.
 */
#define TREE_LEVELS 32

struct tree_removal {
	int top_fd;
	unsigned moved;
};

static int remove_entry(struct tree_removal *r, int dirfd, const char *name, int level,
			struct mh_err *err);

static int move_up(struct tree_removal *r, int dirfd, const char *name,
		   struct mh_err *err)
{
	char to[32];

	for (;;) {
		(void)snprintf(to, sizeof to, ".mh-removed-%u", r->moved++);
		if (renameat(dirfd, name, r->top_fd, to) == 0)
			return 0;
		if (errno != EEXIST && errno != ENOTEMPTY && errno != ENOTDIR)
			return mh_err_sys(err, "move %s up to remove it", name);
	}
}

/* Everything in the directory `fd` is open on; takes fd. */
static int empty_dir(struct tree_removal *r, int take_fd, const char *name, int level,
		     struct mh_err *err)
{
	CLEAN(dir) DIR *dir = fdopendir(take_fd);
	struct dirent *entry;
	unsigned moved = r->moved;

	if (!dir) {
		(void)mh_err_sys(err, "read directory %s", name);
		(void)close(take_fd);
		return -1;
	}
	for (;;) {
		errno = 0;
		entry = readdir(dir);
		if (!entry && errno)
			return mh_err_sys(err, "read directory %s", name);
		if (!entry && (level > 0 || moved == r->moved))
			return 0;
		if (!entry) { /* the top has got new entries meanwhile */
			moved = r->moved;
			rewinddir(dir);
			continue;
		}
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (remove_entry(r, dirfd(dir), entry->d_name, level + 1, err) != 0)
			return mh_err_wrap(err, "%s", name);
	}
}

static int remove_entry(struct tree_removal *r, int dirfd, const char *name, int level,
			struct mh_err *err)
{
	int fd, why;

	if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
		return 0;
	why = errno;
	if (why != EISDIR && why != EPERM && why != ENOTEMPTY)
		return mh_err_sys(err, "remove %s", name);
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == EACCES && fchmodat(dirfd, name, 0700, 0) == 0)
		fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && (errno == ENOTDIR || errno == ELOOP)) {
		errno = why;
		return mh_err_sys(err, "remove %s", name);
	}
	if (fd < 0)
		return mh_err_sys(err, "open %s to remove it", name);
	/* A directory without write permission can be neither emptied nor moved. */
	(void)fchmod(fd, 0700);
	if (level == TREE_LEVELS) {
		(void)close(fd); /* a directory: nothing to lose */
		return move_up(r, dirfd, name, err);
	}
	if (level == 0)
		r->top_fd = fd;
	if (empty_dir(r, fd, name, level, err) != 0)
		return -1;
	if (unlinkat(dirfd, name, AT_REMOVEDIR) != 0 && errno != ENOENT)
		return mh_err_sys(err, "remove directory %s", name);
	return 0;
}

int fs_remove_tree_at(int dirfd, const char *name, struct mh_err *err)
{
	struct tree_removal r = { .top_fd = -1 };

	return remove_entry(&r, dirfd, name, 0, err);
}

int fs_lock(int fd, bool *ret_got, struct mh_err *err)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	if (fcntl(fd, F_SETLK, &lock) == 0) {
		*ret_got = true;
		return 0;
	}
	if (errno != EACCES && errno != EAGAIN)
		return mh_err_sys(err, "lock");
	*ret_got = false;
	return 0;
}

int fs_lock_holder(int fd, pid_t *ret_pid, struct mh_err *err)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	if (fcntl(fd, F_GETLK, &lock) != 0)
		return mh_err_sys(err, "ask for the lock's holder");
	*ret_pid = lock.l_type == F_UNLCK ? 0 : lock.l_pid;
	return 0;
}

int fs_memfd_sealed(const char *name, const void *data, size_t len, int *ret_fd,
		    struct mh_err *err)
{
	CLEAN(fd) int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return mh_err_sys(err, "memfd_create");
	if (fs_write_fd(fd, data, len, err) != 0)
		return mh_err_wrap(err, "memory file %s", name);
	if (lseek(fd, 0, SEEK_SET) != 0)
		return mh_err_sys(err, "lseek in memory file %s", name);
	if (fcntl(fd, F_ADD_SEALS,
		  F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) != 0)
		return mh_err_sys(err, "seal memory file %s", name);
	*ret_fd = steal_fd(&fd);
	return 0;
}

bool fs_is_empty_dir(int dirfd, const char *name)
{
	const int how = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	int saved = errno;
	CLEAN(fd) int fd = openat(dirfd, name, how);
	char two[64] __attribute__((aligned(8))); /* "." and "..": 24 bytes each */
	long n = fd < 0 ? -1 : syscall(SYS_getdents64, fd, two, sizeof two);

	/* A third entry would not fit, and comes with the next call. */
	if (n >= 0 && n <= 48)
		n = syscall(SYS_getdents64, fd, two, sizeof two);
	errno = saved;
	return n == 0;
}
