#include "emulator/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/fsio.h"

#define DEPTH_MAX 64

static void clean_dir(DIR **dir)
{
	if (*dir)
		(void)closedir(*dir); /* it was read only */
}

static int copy_bytes(int in, int out, const char *what, struct mh_err *err)
{
	char piece[64 * 1024];
	ssize_t n;

	while ((n = read(in, piece, sizeof(piece))) > 0) {
		if (fs_write_fd(out, piece, (size_t)n, err) != 0)
			return mh_err_wrap(err, "%s", what);
	}
	return n == 0 ? fs_sync_fd(out, what, err) : mh_err_sys(err, "%s", what);
}

static int copy_file(int from, int to, const char *name, const struct stat *st,
		     struct mh_err *err)
{
	CLEAN(fd) int in = openat(from, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	CLEAN(fd) int out = -1;

	if (in < 0)
		return errno == ENOENT ? 0 : mh_err_sys(err, "%s", name); /* gone */
	out = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
		     st->st_mode & 0777);
	if (out < 0)
		return errno == EEXIST ? 0 : mh_err_sys(err, "%s", name);
	return copy_bytes(in, out, name, err);
}

static int link_file(int from, int to, const char *name, const struct stat *st,
		     struct mh_err *err)
{
	if (linkat(from, name, to, name, 0) == 0 || errno == EEXIST || errno == ENOENT)
		return 0;
	return copy_file(from, to, name, st, err);
}

static int copy_symlink(int from, int to, const char *name, struct mh_err *err)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(from, name, target, sizeof(target) - 1);

	if (n < 0)
		return mh_err_sys(err, "%s", name);
	target[n] = '\0';
	if (symlinkat(target, to, name) != 0 && errno != EEXIST)
		return mh_err_sys(err, "%s", name);
	return 0;
}

static int copy_dir(int from, int to, bool link, int depth, struct mh_err *err);

static int copy_below(int from, int to, const char *name, const struct stat *st,
		      bool link, int depth, struct mh_err *err)
{
	CLEAN(fd) int in = -1;
	CLEAN(fd) int out = -1;

	if (depth == DEPTH_MAX)
		return mh_err_set(err, MH_E_REFUSED, "directories lie too deep");
	if (mkdirat(to, name, st->st_mode & 0777) != 0 && errno != EEXIST)
		return mh_err_sys(err, "%s", name);
	if (fs_open_dir(from, name, &in, err) != 0 ||
	    fs_open_dir(to, name, &out, err) != 0)
		return -1;
	return copy_dir(in, out, link, depth + 1, err);
}

static int copy_entry(int from, int to, const char *name, bool link, int depth,
		      struct mh_err *err)
{
	struct stat st;

	if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return errno == ENOENT ? 0 : mh_err_sys(err, "%s", name);
	if (S_ISDIR(st.st_mode))
		return copy_below(from, to, name, &st, link, depth, err);
	if (S_ISLNK(st.st_mode))
		return copy_symlink(from, to, name, err);
	if (!S_ISREG(st.st_mode))
		return 0; /* no socket or pipe is ours */
	return link ? link_file(from, to, name, &st, err)
		    : copy_file(from, to, name, &st, err);
}

static int copy_dir(int from, int to, bool link, int depth, struct mh_err *err)
{
	CLEAN(dir) DIR *dir = NULL;
	const struct dirent *e;
	int fd = fcntl(from, F_DUPFD_CLOEXEC, 0);

	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		if (fd >= 0)
			(void)close(fd); /* a directory */
		return mh_err_sys(err, "cannot read a directory");
	}
	while (errno = 0, (e = readdir(dir)) != NULL) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (copy_entry(from, to, e->d_name, link, depth, err) != 0)
			return -1;
	}
	if (errno != 0)
		return mh_err_sys(err, "cannot read a directory");
	return fs_sync_fd(to, "a directory", err);
}

int tree_copy(const char *from, const char *to, bool link, struct mh_err *err)
{
	CLEAN(fd) int in = -1;
	CLEAN(fd) int out = -1;

	if (fs_mkdir_p(to, 0700, err) != 0 ||
	    fs_open_dir(AT_FDCWD, from, &in, err) != 0 ||
	    fs_open_dir(AT_FDCWD, to, &out, err) != 0 ||
	    copy_dir(in, out, link, 0, err) != 0)
		return mh_err_wrap(err, "copy of %s", from);
	return 0;
}
