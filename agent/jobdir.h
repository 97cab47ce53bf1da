/*
 * The directories of jobs (docs/architecture.md): <state>/jobs/<n>/ for lock,
 * socket, log, result and archives, 0700; <work>/<n>/{in,out,tmp} for the
 * handler. n is the ledger's own number: a job's id is data, never a path.
 *
 *	jobdirs_open(state_dir, work_dir, loop, &dirs, &err);
 *	jobdir_make(dirs, n, has_inputs, &dir_fd, &err);
 *	                                          what was left of n goes first
 *	jobdir_lock(dir_fd, &lock_fd, &holder, &err);
 *	jobdir_remove(dirs, n);                   in the background
 *	jobdirs_close(dirs);
 */
#ifndef MH_AGENT_JOBDIR_H
#define MH_AGENT_JOBDIR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/net/loop.h"

struct jobdirs;

/* CONFIG when work_dir is another agent's, or the state directory itself. */
int jobdirs_open(const char *state_dir, const char *work_dir, struct loop *loop,
		 struct jobdirs **ret, struct mh_err *err) MH_MUST_CHECK;
/* Only when jobdirs_busy() is false. */
void jobdirs_close(struct jobdirs *dirs);

/* Directories for n with nothing in them but its lock, and "fetch" when there is
 * something to; *ret_fd is <state>/jobs/<n>. They may have served another job: then
 * *ret_listen_fd is the socket that listens in there (else it is untouched), and an
 * empty log is there, and tmp/ in the workspace. */
int jobdir_make(struct jobdirs *dirs, int64_t n, bool has_inputs, int *ret_fd,
		int *ret_listen_fd, struct mh_err *err) MH_MUST_CHECK;
/* Keeps the directories of n, which is over, for another job, when they are clean;
 * takes both descriptors then. No shim may hold the lock or begin any more, and none of
 * this process's descriptors of the lock may be open. with_work: no process of the job
 * can be left. False: they are to be removed. */
bool jobdir_keep(struct jobdirs *dirs, int64_t n, int *take_dir_fd, int *take_listen_fd,
		 bool with_work);
/* NOTFOUND when there is none. */
int jobdir_open(struct jobdirs *dirs, int64_t n, int *ret_fd,
		struct mh_err *err) MH_MUST_CHECK;
/* "<work>/<n>"; the caller frees it. */
char *jobdir_work_path(const struct jobdirs *dirs, int64_t n) MH_MUST_CHECK;

/* Takes the job's lock: *ret_holder is 0, and no shim can begin any more as long
 * as *ret_lock_fd is open; or it is the pid of the shim that holds it (-1 when it
 * cannot be named), and the descriptor serves to look again. A process must not
 * close another descriptor of the same lock meanwhile (POSIX record locks). */
int jobdir_lock(int dir_fd, int *ret_lock_fd, pid_t *ret_holder,
		struct mh_err *err) MH_MUST_CHECK;

/* Whether no shim ever held it: each writes its boot's id there before anything
 * else. Only to be trusted within one boot (nothing is synced). */
bool jobdir_lock_is_blank(int lock_fd);

/* result.json. NOTFOUND when there is none. What the agent keeps of it goes into the
 * ledger, durably, so it need not be synced itself while an agent lives. */
int jobdir_result(int dir_fd, struct buf *ret, struct mh_err *err) MH_MUST_CHECK;

/* Takes the socket of a shim that is gone away. */
void jobdir_drop_socket(int dir_fd);

/* Removes both directories of n, in a thread of libuv's pool: a work directory
 * may hold a hundred thousand files. What a crash leaves, jobdirs_sweep() finds. */
void jobdir_remove(struct jobdirs *dirs, int64_t n);
/* Removes the work directory alone: no process of the job may want it any more. */
void jobdir_remove_work(struct jobdirs *dirs, int64_t n);
/* Removes the archives alone (a failed job's log, result and work directory stay
 * for people to look at). */
void jobdir_remove_archives(struct jobdirs *dirs, int64_t n);
bool jobdirs_busy(const struct jobdirs *dirs);

/* The highest number that has a directory; 0 when there is none. New jobs get higher
 * ones, whatever the ledger remembers. */
int jobdirs_highest(struct jobdirs *dirs, int64_t *ret, struct mh_err *err) MH_MUST_CHECK;

/* Removes the directories of every number that keep() does not want, but for those
 * that hold anything else than a job's own files, or in which a shim works. */
int jobdirs_sweep(struct jobdirs *dirs, bool (*keep)(void *ctx, int64_t n), void *ctx,
		  struct mh_err *err) MH_MUST_CHECK;

/* The lowest number above `after` whose directories jobdirs_sweep() would remove; false
 * when there is none. */
bool jobdirs_oldest(struct jobdirs *dirs, int64_t after,
		    bool (*keep)(void *ctx, int64_t n), void *ctx, int64_t *ret_n);

/* Free for us on the fuller of the two file systems: bytes, and inodes (-1 where neither
 * has such a limit). */
int jobdirs_free(const struct jobdirs *dirs, int64_t *ret_bytes, int64_t *ret_inodes,
		 struct mh_err *err) MH_MUST_CHECK;

/* Directories on the file systems that jobs fill; borrowed. */
#define JOBDIRS_PLACES 2
void jobdirs_places(const struct jobdirs *dirs, int ret_fds[JOBDIRS_PLACES]);
int jobdirs_state_fd(const struct jobdirs *dirs);

#endif
