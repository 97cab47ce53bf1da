/*
 * Opening and making things beneath one directory, and nowhere else: by
 * openat2(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS), or,
 * on kernels before 5.6 and in containers that forbid it, by walking component
 * after component with O_NOFOLLOW. Either way a symbolic link on the path is an
 * error (ELOOP or ENOTDIR), never a door.
 *
 *	beneath_init(&b, dir_fd);            dir_fd stays the caller's
 *	fd = beneath_open(&b, "a/b", O_WRONLY | O_CREAT | O_EXCL, 0600);
 *	beneath_done(&b);
 *
 * Paths are relative and judged (names.h); "" is the directory itself. Answers
 * are the system calls' own: -1 and errno.
 */
#ifndef MH_ARCHIVE_BENEATH_H
#define MH_ARCHIVE_BENEATH_H

#include <stdbool.h>
#include <sys/types.h>

struct beneath {
	int fd; /* borrowed */
	bool no_openat2;
	int parent_fd; /* the last parent directory used, -1: none */
	char *parent_path; /* its path; owned */
};

void beneath_init(struct beneath *b, int dir_fd);
void beneath_done(struct beneath *b);

/* The caller closes it. O_CLOEXEC and O_NOFOLLOW are added. */
int beneath_open(struct beneath *b, const char *path, int flags, mode_t mode);
int beneath_mkdir(struct beneath *b, const char *path, mode_t mode);
int beneath_symlink(struct beneath *b, const char *path, const char *target);

/* The directory that holds the last component of path, which *ret_name is set to.
 * Belongs to b and is good until the next call on b. */
int beneath_parent(struct beneath *b, const char *path, const char **ret_name);

#endif
