/*
 * CodeCommit and connection sources: a branch of a bare repository under git_root,
 * packed as a zip by the git program. The branch is read once; everything after goes
 * by the commit, so a push in between changes nothing.
 */
#include <signal.h>
#include <string.h>

#include "emulator/builtin/git.h"
#include "emulator/builtin/task.h"
#include "lib/base/clock.h"
#include "lib/base/str.h"

#define QUICK_TIMEOUT_MS   GIT_QUICK_TIMEOUT_MS
#define ARCHIVE_TIMEOUT_MS (10 * 60 * 1000)
#define COMMIT_TEXT_MAX    (128 * 1024)
#define ERROR_TEXT_MAX     GIT_ERROR_TEXT_MAX
#define MESSAGE_VALUE_MAX  (64 * 1024) /* of the 120 KiB that all variables may have */
#define SUMMARY_MAX        2048

struct repository {
	char *name; /* as the action has it */
	char *dir; /* of git, found */
	char *branch;
	char *commit; /* what the branch points to */
};

static void repository_done(struct repository *r)
{
	free(r->name);
	free(r->dir);
	free(r->branch);
	free(r->commit);
}

static int find_dir(struct task *t, struct repository *r)
{
	CLEAN(free) char *root = git_root(t->settings);

	r->dir = git_find(t->settings, r->name);
	if (r->dir == NULL)
		return task_fail(
			t, FAIL_CONFIGURATION,
			"The repository %s was not found: there is no git repository "
			"at %s/%s.git or %s/%s.",
			r->name, root, r->name, root, r->name);
	return 0;
}

/* A start may name the commit itself (semantics E12); the engine hands it on as
 * CommitId. The branch is then only a name. */
static int read_pinned(struct task *t, struct repository *r, const char *id)
{
	CLEAN(buf) struct buf out = BUF_INIT(256);
	CLEAN(buf) struct buf errors = BUF_INIT(ERROR_TEXT_MAX);
	CLEAN(free) char *object = mh_format("%s^{commit}", id);
	const char *const argv[] = { "rev-parse", "--verify", "--quiet", object, NULL };
	size_t len = strlen(id);
	int code = 1;

	if (len >= 4 && len <= 64 && strspn(id, "0123456789abcdefABCDEF") == len &&
	    git_run(t, r->dir, argv, &out, -1, QUICK_TIMEOUT_MS, &code, &errors) != 0)
		return -1;
	if (code != 0)
		return task_fail(t, FAIL_REVISION,
				 "The repository %s (%s) has no commit %s.", r->name,
				 r->dir, id);
	r->commit = mh_strndup(buf_text(&out), strcspn(buf_text(&out), "\n"));
	return 0;
}

static int read_branch(struct task *t, struct repository *r)
{
	CLEAN(buf) struct buf out = BUF_INIT(256);
	CLEAN(buf) struct buf errors = BUF_INIT(ERROR_TEXT_MAX);
	CLEAN(free) char *ref = mh_format("refs/heads/%s", r->branch);
	const char *const argv[] = { "show-ref", "--verify", "--hash", ref, NULL };
	const char *pinned = json_opt_str(t->job->config, "CommitId", NULL);
	int code;

	if (pinned != NULL)
		return read_pinned(t, r, pinned);
	if (git_run(t, r->dir, argv, &out, -1, QUICK_TIMEOUT_MS, &code, &errors) != 0)
		return -1;
	if (code != 0) {
		CLEAN(free) char *words = git_words(&errors);

		return task_fail(
			t, FAIL_REVISION,
			"The repository %s (%s) has no branch %s (git says: %s).",
			r->name, r->dir, r->branch, words);
	}
	r->commit = mh_strndup(buf_text(&out), strcspn(buf_text(&out), "\n"));
	return 0;
}

static void cut(char *s, size_t max)
{
	s[str_utf8_floor(s, strlen(s), max)] = '\0';
}

/* "1700000000" as "2023-11-14T22:13:20Z", the form of these variables. */
static void put_date(struct task *t, const char *name, int64_t epoch_s)
{
	char iso[CLOCK_ISO_SIZE];

	clock_format_iso(epoch_s * 1000, iso);
	(void)snprintf(iso + 19, sizeof(iso) - 19, "Z"); /* whole seconds */
	json_put_str(t->variables, name, iso);
}

static char *take_line(char **text)
{
	char *line = *text;
	size_t len = strcspn(line, "\n");

	*text = line + len + (line[len] == '\n');
	line[len] = '\0';
	return line;
}

static int64_t take_epoch(char **text)
{
	struct mh_err err = MH_ERR_INIT;
	int64_t epoch_s;

	/* A date that no calendar here has (up to the year 9999) is told as the epoch. */
	if (str_to_i64(take_line(text), 0, 253402300799, "date", &epoch_s, &err) != 0)
		return 0;
	return epoch_s;
}

static void put_message(struct task *t, char *message)
{
	size_t len = strlen(message);

	while (len > 0 && message[len - 1] == '\n')
		message[--len] = '\0';
	cut(message, MESSAGE_VALUE_MAX);
	json_put_str(t->variables, "CommitMessage", message);
}

static int read_commit(struct task *t, const struct repository *r)
{
	CLEAN(buf) struct buf out = BUF_INIT(COMMIT_TEXT_MAX);
	CLEAN(buf) struct buf errors = BUF_INIT(ERROR_TEXT_MAX);
	const char *const argv[] = { "log",
				     "-1",
				     "--no-show-signature",
				     "--no-color",
				     "--encoding=UTF-8",
				     "--format=%at%n%ct%n%s%n%B",
				     r->commit,
				     "--",
				     NULL };
	CLEAN(free) char *text = NULL;
	int64_t committed_s;
	char *rest;
	int code;

	if (git_run(t, r->dir, argv, &out, -1, QUICK_TIMEOUT_MS, &code, &errors) != 0)
		return -1;
	if (code != 0) {
		CLEAN(free) char *words = git_words(&errors);

		return task_fail(t, FAIL_REVISION,
				 "The commit %s of %s cannot be read: %s.", r->commit,
				 r->name, words);
	}
	text = mh_strdup(buf_text(&out));
	git_make_utf8(text);
	rest = text;
	put_date(t, "AuthorDate", take_epoch(&rest));
	committed_s = take_epoch(&rest);
	put_date(t, "CommitterDate", committed_s);
	t->revision_created_ms = committed_s * 1000;
	t->revision_id = mh_strdup(r->commit);
	t->revision_summary = mh_strdup(take_line(&rest));
	cut(t->revision_summary, SUMMARY_MAX);
	put_message(t, rest);
	return 0;
}

static int pack_commit(struct task *t, const struct repository *r)
{
	CLEAN(buf) struct buf errors = BUF_INIT(ERROR_TEXT_MAX);
	const char *const argv[] = { "archive", "--format=zip", r->commit, NULL };
	CLEAN(fd) int fd = -1;
	int code;

	if (task_tmp_file(t, &fd) != 0 ||
	    git_run(t, r->dir, argv, NULL, fd, ARCHIVE_TIMEOUT_MS, &code, &errors) != 0)
		return -1;
	if (code == 128 + SIGXFSZ)
		return task_fail(
			t, FAIL_JOB,
			"Commit %s of %s packs into more than the %lld bytes that an "
			"object may have.",
			r->commit, r->name, (long long)t->settings->max_object_bytes);
	if (code != 0) {
		CLEAN(free) char *words = git_words(&errors);

		return task_fail(t, FAIL_SYSTEM,
				 "git could not pack commit %s of %s (exit code %d): %s.",
				 r->commit, r->name, code, words);
	}
	return task_put_output(t, fd, "application/zip");
}

static int set_up(struct task *t, struct repository *r)
{
	bool connection = strcmp(t->job->provider, "CodeStarSourceConnection") == 0;
	const char *key = connection ? "FullRepositoryId" : "RepositoryName";
	const char *name, *branch;

	if (task_config(t, key, &name) != 0 || task_config(t, "BranchName", &branch) != 0)
		return -1;
	if (!(connection ? git_full_name_is_valid(name) : git_name_is_valid(name)))
		return task_fail(
			t, FAIL_CONFIGURATION,
			"%s '%s' names no repository: letters, digits, '.', '_' and "
			"'-', and no '.' or '-' in front.",
			key, name);
	r->name = mh_strdup(name);
	r->branch = mh_strdup(branch);
	json_put_str(t->variables, connection ? "FullRepositoryName" : "RepositoryName",
		     name);
	json_put_str(t->variables, "BranchName", branch);
	if (connection)
		json_put_str(t->variables, "ConnectionArn",
			     json_opt_str(t->job->config, "ConnectionArn", ""));
	return find_dir(t, r);
}

int source_git(struct task *t)
{
	struct repository r = { 0 };
	int rc = -1;

	if (set_up(t, &r) == 0 && read_branch(t, &r) == 0 && read_commit(t, &r) == 0) {
		json_put_str(t->variables, "CommitId", r.commit);
		rc = pack_commit(t, &r);
	}
	repository_done(&r);
	return rc;
}
