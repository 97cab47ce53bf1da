#include "agent/archive/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <linux/openat2.h>

#include "lib/base/macros.h"

#ifndef SYS_openat2 /* glibc before 2.32 */
#define SYS_openat2 437
#endif

/* The kernel asks for patience (EAGAIN) while someone renames directories nearby. */
#define EAGAIN_TRIES 100

static int open_by_kernel(int at, const char *path, int flags, mode_t mode)
{
	struct open_how how = {
		.flags = (unsigned)(flags | O_CLOEXEC | O_NOFOLLOW),
		.mode = flags & O_CREAT ? mode : 0,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};

	for (int tries = 0;; tries++) {
		long fd = syscall(SYS_openat2, at, path, &how, sizeof how);

		if (fd >= 0 ||
		    (errno != EINTR && (errno != EAGAIN || tries > EAGAIN_TRIES)))
			return (int)fd;
	}
}

static int open_one(int at, const char *name, int flags, mode_t mode)
{
	int fd;

	do
		fd = openat(at, name, flags | O_CLOEXEC | O_NOFOLLOW, mode);
	while (fd < 0 && errno == EINTR);
	return fd;
}

static int open_by_walk(int at, const char *path, int flags, mode_t mode)
{
	CLEAN(free) char *copy = mh_strdup(path);
	CLEAN(fd) int dir = -1;
	char *part = copy, *slash;

	for (; (slash = strchr(part, '/')) != NULL; part = slash + 1) {
		int next;

		*slash = '\0';
		if (strcmp(part, "..") == 0 || part[0] == '\0') {
			errno = EXDEV;
			return -1;
		}
		next = open_one(dir >= 0 ? dir : at, part, O_PATH | O_DIRECTORY, 0);
		if (next < 0)
			return -1;
		clean_fd(&dir);
		dir = next;
	}
	if (strcmp(part, "..") == 0) {
		errno = EXDEV;
		return -1;
	}
	return open_one(dir >= 0 ? dir : at, part, flags, mode);
}

static int open_in(const struct beneath *b, int at, const char *path, int flags,
		   mode_t mode)
{
	if (path[0] == '\0')
		path = ".";
	return b->no_openat2 ? open_by_walk(at, path, flags, mode)
			     : open_by_kernel(at, path, flags, mode);
}

void beneath_init(struct beneath *b, int dir_fd)
{
	int fd;

	*b = (struct beneath){ .fd = dir_fd, .parent_fd = -1 };
	fd = open_by_kernel(dir_fd, ".", O_PATH | O_DIRECTORY, 0);
	/* ENOSYS: an old kernel; EPERM: a seccomp filter that does not know the call */
	b->no_openat2 = fd < 0 && (errno == ENOSYS || errno == EPERM);
	clean_fd(&fd);
}

void beneath_done(struct beneath *b)
{
	clean_fd(&b->parent_fd);
	b->parent_fd = -1;
	free(STEAL_PTR(b->parent_path));
}

int beneath_open(struct beneath *b, const char *path, int flags, mode_t mode)
{
	const char *name;
	int at;

	if (!(flags & O_CREAT))
		return open_in(b, b->fd, path, flags, mode);
	at = beneath_parent(b, path, &name);
	return at < 0 ? -1 : open_in(b, at, name, flags, mode);
}

int beneath_parent(struct beneath *b, const char *path, const char **ret_name)
{
	const char *slash = strrchr(path, '/');
	size_t len = slash ? (size_t)(slash - path) : 0;
	char *parent;
	int fd;

	*ret_name = slash ? slash + 1 : path;
	if (len == 0)
		return b->fd;
	if (b->parent_fd >= 0 && strlen(b->parent_path) == len &&
	    memcmp(b->parent_path, path, len) == 0)
		return b->parent_fd;
	parent = mh_strndup(path, len);
	fd = open_in(b, b->fd, parent, O_PATH | O_DIRECTORY, 0);
	if (fd < 0) {
		free(parent);
		return -1;
	}
	beneath_done(b);
	b->parent_fd = fd;
	b->parent_path = parent;
	return fd;
}

int beneath_mkdir(struct beneath *b, const char *path, mode_t mode)
{
	const char *name;
	int at = beneath_parent(b, path, &name);

	return at < 0 ? -1 : mkdirat(at, name, mode);
}

int beneath_symlink(struct beneath *b, const char *path, const char *target)
{
	const char *name;
	int at = beneath_parent(b, path, &name);

	return at < 0 ? -1 : symlinkat(target, at, name);
}
