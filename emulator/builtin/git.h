/*
 * The git program, for what is built in: without a shell, hooks, or anything of the
 * user's or the machine's configuration.
 */
#ifndef MH_EMULATOR_BUILTIN_GIT_H
#define MH_EMULATOR_BUILTIN_GIT_H

#include "emulator/builtin/spawn.h"
#include "emulator/builtin/task.h"
#include "emulator/settings.h"

#define GIT_QUICK_TIMEOUT_MS 30000
#define GIT_ERROR_TEXT_MAX   4096

/* A connection's repository is "owner/name", or deeper. (git_name_is_valid: task.h) */
bool git_full_name_is_valid(const char *name);

/* The directory of repositories, and git's own of a repository in it: <name>.git or
 * <name>, bare or with a .git; NULL when there is none. The caller frees both. */
char *git_root(const struct settings *settings);
char *git_find(const struct settings *settings, const char *name);

/* Runs git in the repository. argv begins behind "git --git-dir=...", and ends with
 * NULL. Output goes to out, or to out_fd. -1 when it could not be run: t tells. */
int git_run(struct task *t, const char *git_dir, const char *const *argv, struct buf *out,
	    int out_fd, int64_t timeout_ms, int *ret_code,
	    struct buf *errors) MH_MUST_CHECK;

#define GIT_NAMES_MAX 100
/* The first names of a list with a NUL behind each (git's -z), as a JSON list. */
struct json_object *git_names(const struct buf *out);
/* The names of files that head changes since it left base (both are commits), the first
 * of them; NULL when that cannot be said. The caller releases it. */
struct json_object *git_changed_files(const struct settings *settings,
				      const char *repository, const char *base,
				      const char *head);

/* git's own words, on one line; the caller frees them. */
char *git_words(const struct buf *errors);
/* Text of a commit may be in any encoding: bytes that are no UTF-8 become '?'. */
void git_make_utf8(char *text);

#endif
