/*
 * One built-in action's work, between the pool that claims and reports
 * (pool.c) and the kinds of work (source_git.c, source_s3.c, deploy_s3.c).
 */
#ifndef MH_EMULATOR_BUILTIN_TASK_H
#define MH_EMULATOR_BUILTIN_TASK_H

#include "emulator/builtin.h"
#include "emulator/s3/s3.h"
#include "lib/base/json.h"

/* What the action's failure is called (the API's six types). */
#define FAIL_CONFIGURATION "ConfigurationError"
#define FAIL_JOB           "JobFailed"
#define FAIL_REVISION      "RevisionUnavailable"
#define FAIL_SYSTEM        "SystemUnavailable"

struct task {
	const struct builtin_job *job;
	struct s3 *s3;
	const struct settings *settings;
	const char *tmp_dir; /* <data_dir>/tmp/builtin; emptied at start */
	int cancel_fd; /* readable once the server stops */

	/* The server stops: nothing is reported, the next life does it again. */
	bool cancelled;
	/* How it ended: owned here. */
	const char *failure_type; /* NULL: success */
	char *message;
	char *summary;
	char *revision_id, *revision_summary;
	int64_t revision_created_ms;
	struct json_object *variables;
};

/* Runs the job's kind of work; the outcome is in t. */
void task_run(struct task *t);
void task_done(struct task *t);

/* Keeps the first failure; answers -1. */
int task_fail(struct task *t, const char *type, const char *fmt, ...) MH_PRINTF(3, 4);
/* A configuration value, or -1 with ConfigurationError when it is missing or empty. */
int task_config(struct task *t, const char *key, const char **ret) MH_MUST_CHECK;
struct spawn_request;
/* spawn_run, given up when the server stops. what names the program in the failure. */
int task_spawn(struct task *t, struct spawn_request *r, const char *what,
	       int *ret_code) MH_MUST_CHECK;
/* Asked between steps of long work; -1 when the server stops. */
int task_go_on(struct task *t) MH_MUST_CHECK;
/* An unnamed file under tmp_dir. */
int task_tmp_file(struct task *t, int *ret_fd) MH_MUST_CHECK;
/* Stores fd as the job's one output artifact, when it has one. */
int task_put_output(struct task *t, int fd, const char *content_type) MH_MUST_CHECK;

int source_git(struct task *t);
int source_s3(struct task *t);
int deploy_s3(struct task *t);

/* Pure helpers, for tests. */
/* Whether a repository may be called so: one path component that is no option and
 * not hidden. */
bool git_name_is_valid(const char *name);
/* "{datetime}" and "{uuid}" filled in; the caller frees it. */
char *deploy_key(const char *template, int64_t now_ms, const char *uuid);
/* By the name's ending, or NULL. */
const char *content_type_of(const char *name);

#endif
