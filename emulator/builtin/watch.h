/*
 * The watcher of git repositories: one thread that is told by inotify when a ref of a
 * repository moves that a pipeline's source action watches. It compares the refs with
 * those that were last seen (store/sources.h), finds out what a change is about, and
 * hands it to the engine (engine/triggers.h), which notes the ref and starts executions
 * in one transaction. What moved while no server ran is found at its start. Nothing is
 * scanned in between.
 *
 *	watcher_start(&options, &watcher, &err)
 *	watcher_settle(watcher)		what is declared by now is watched when it returns
 *	watcher_stop(watcher)
 */
#ifndef MH_EMULATOR_BUILTIN_WATCH_H
#define MH_EMULATOR_BUILTIN_WATCH_H

#include "emulator/builtin/task.h"
#include "emulator/writer.h"

struct watcher;

int watcher_start(struct writer *writer, const struct settings *settings,
		  struct watcher **ret, struct mh_err *err) MH_MUST_CHECK;
/* Waits, for some seconds at most, until the watcher has looked at every repository that
 * pipelines watch since this call: a push after that is a change. NULL is allowed. */
void watcher_settle(struct watcher *w);
void watcher_stop(struct watcher *w); /* NULL is allowed */

/* ---- watch_refs.c: one repository, looked at ---- */

/* Compares its refs with those last seen, and hands on what changed. git_dir NULL: it is
 * not there (yet). 0, or -1 when it could not be done: it is told in the log, and worth
 * another try. */
int watch_look(struct writer *writer, struct task *t, const char *repository,
	       const char *git_dir) MH_MUST_CHECK;

#endif
