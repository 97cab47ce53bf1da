/*
 * Files that survive a crash, and reading with limits. Every descriptor is
 * close-on-exec. *_at functions take a directory descriptor (or AT_FDCWD).
 *
 * Durable replace: write a temporary file in the same directory, fsync it,
 * rename it over the name, fsync the directory. After 0 the new bytes are what
 * a power loss leaves; after -1 the old ones are still whole.
 */
#ifndef MH_BASE_FSIO_H
#define MH_BASE_FSIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"

int fs_write_durable_at(int dirfd, const char *name, const void *data, size_t len,
			mode_t mode, struct mh_err *err) MH_MUST_CHECK;
/* The same without either fsync: whole after a killed process, not after power loss. */
int fs_write_atomic_at(int dirfd, const char *name, const void *data, size_t len,
		       mode_t mode, struct mh_err *err) MH_MUST_CHECK;

/* Whole file into b (its maximum counts). NOTFOUND when there is none. */
int fs_read_at(int dirfd, const char *name, struct buf *b,
	       struct mh_err *err) MH_MUST_CHECK;
/* From a descriptor to its end. */
int fs_read_fd(int fd, struct buf *b, struct mh_err *err) MH_MUST_CHECK;
/* All of it, or an error. */
int fs_write_fd(int fd, const void *data, size_t len, struct mh_err *err) MH_MUST_CHECK;

int fs_sync_fd(int fd, const char *what, struct mh_err *err) MH_MUST_CHECK;

/* Make path and its missing parents; 0 when it is there already as a directory. */
int fs_mkdir_p(const char *path, mode_t mode, struct mh_err *err) MH_MUST_CHECK;
/* Opens a directory, O_PATH not set. */
int fs_open_dir(int dirfd, const char *path, int *ret_fd,
		struct mh_err *err) MH_MUST_CHECK;
/* Removes a file or a tree without following symbolic links; 0 when nothing is
 * there. Makes directories writable where the modes forbid it. */
int fs_remove_tree_at(int dirfd, const char *name, struct mh_err *err) MH_MUST_CHECK;

/* POSIX record lock over the whole file, for writing: the lock that fork does not
 * inherit and whose holder F_GETLK names (design section 3). */
int fs_lock(int fd, bool *ret_got, struct mh_err *err) MH_MUST_CHECK;
/* The holder's pid, or 0 when nobody holds it. */
int fs_lock_holder(int fd, pid_t *ret_pid, struct mh_err *err) MH_MUST_CHECK;

/* A sealed memory file with these bytes, offset 0, close-on-exec. */
int fs_memfd_sealed(const char *name, const void *data, size_t len, int *ret_fd,
		    struct mh_err *err) MH_MUST_CHECK;

/* Whether that is a directory, no link to one, and nothing is in it. */
bool fs_is_empty_dir(int dirfd, const char *name);

#endif
