/*
 * CodeCommit and connection sources: a branch of a bare repository under git_root,
 * packed as a zip by the git program. The branch is read once; everything after goes
 * by the commit, so a push in between changes nothing.
 */
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "emulator/builtin/spawn.h"
#include "emulator/builtin/task.h"
#include "lib/base/clock.h"
#include "lib/base/str.h"

#define QUICK_TIMEOUT_MS   30000
#define ARCHIVE_TIMEOUT_MS (10 * 60 * 1000)
#define COMMIT_TEXT_MAX    (128 * 1024)
#define ERROR_TEXT_MAX     4096
#define MESSAGE_VALUE_MAX  (64 * 1024) /* of the 120 KiB that all variables may have */
#define SUMMARY_MAX        2048

/* What git is told of its surroundings: nothing of the user's or the machine's. */
static const char *const git_env[] = {
	"PATH=/usr/local/bin:/usr/bin:/bin",
	"HOME=/nonexistent",
	"LC_ALL=C",
	"GIT_CONFIG_NOSYSTEM=1",
	"GIT_CONFIG_GLOBAL=/dev/null",
	"GIT_TERMINAL_PROMPT=0",
	"GIT_OPTIONAL_LOCKS=0",
	"GIT_NO_REPLACE_OBJECTS=1",
	/* git_root is the operator's choice, whoever owns what is in it. */
	"GIT_CONFIG_COUNT=2",
	"GIT_CONFIG_KEY_0=safe.directory",
	"GIT_CONFIG_VALUE_0=*",
	"GIT_CONFIG_KEY_1=core.hooksPath",
	"GIT_CONFIG_VALUE_1=/dev/null",
	NULL,
};

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

static bool component_is_valid(const char *s, size_t len)
{
	if (len == 0 || len > 100 || s[0] == '.' || s[0] == '-')
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = s[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		      (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-'))
			return false;
	}
	return true;
}

bool git_name_is_valid(const char *name)
{
	return component_is_valid(name, strlen(name));
}

/* A connection's repository is "owner/name", or deeper. */
static bool full_name_is_valid(const char *name)
{
	size_t parts = 0;

	for (;; name++) {
		size_t len = strcspn(name, "/");

		if (!component_is_valid(name, len) || ++parts > 8)
			return false;
		name += len;
		if (*name == '\0')
			return true;
	}
}

static bool is_dir(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* The git directory at path: the path itself when it is bare, or its .git. */
static char *git_dir_at(const char *path)
{
	CLEAN(free) char *head = mh_format("%s/HEAD", path);
	CLEAN(free) char *inner = mh_format("%s/.git", path);
	struct stat st;

	if (!is_dir(path))
		return NULL;
	if (is_dir(inner))
		return STEAL_PTR(inner);
	return stat(head, &st) == 0 ? mh_strdup(path) : NULL;
}

static int find_dir(struct task *t, struct repository *r)
{
	CLEAN(free)
	char *root = t->settings->git_root ? mh_strdup(t->settings->git_root)
					   : mh_format("%s/git", t->settings->data_dir);
	CLEAN(free) char *bare = mh_format("%s/%s.git", root, r->name);
	CLEAN(free) char *plain = mh_format("%s/%s", root, r->name);

	r->dir = git_dir_at(bare);
	if (r->dir == NULL)
		r->dir = git_dir_at(plain);
	if (r->dir == NULL)
		return task_fail(
			t, FAIL_CONFIGURATION,
			"The repository %s was not found: there is no git repository "
			"at %s or %s.",
			r->name, bare, plain);
	return 0;
}

/* Runs git in the repository. argv begins behind "git --git-dir=...", and ends with
 * NULL. Output goes to out, or to out_fd. */
static int run_git(struct task *t, const struct repository *r, const char *const *argv,
		   struct buf *out, int out_fd, int64_t timeout_ms, int *ret_code,
		   struct buf *errors)
{
	CLEAN(free) char *dir = mh_format("--git-dir=%s", r->dir);
	const char *full[16] = { "git", dir };
	size_t n = 2;

	for (size_t i = 0; argv[i] != NULL; i++) {
		MH_ASSERT(n + 1 < ARRAY_LEN(full));
		full[n++] = argv[i];
	}
	full[n] = NULL;
	return task_spawn(t,
			  &(struct spawn_request){
				  .argv = full,
				  .envp = git_env,
				  .stdin_fd = -1,
				  .stdout_fd = out_fd,
				  .out = out,
				  .errors = errors,
				  .timeout_ms = timeout_ms,
				  .file_max_bytes = t->settings->max_object_bytes },
			  "git", ret_code);
}

/* git's own words, on one line. */
static char *git_words(const struct buf *errors)
{
	char *words = mh_strdup(buf_text(errors));
	size_t len = strlen(words);

	while (len > 0 && (words[len - 1] == '\n' || words[len - 1] == ' '))
		words[--len] = '\0';
	for (char *p = words; *p != '\0'; p++)
		if (*p == '\n')
			*p = ' ';
	return words;
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
	    run_git(t, r, argv, &out, -1, QUICK_TIMEOUT_MS, &code, &errors) != 0)
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
	if (run_git(t, r, argv, &out, -1, QUICK_TIMEOUT_MS, &code, &errors) != 0)
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

/* Text of a commit may be in any encoding: bytes that are no UTF-8 become '?'. */
static void make_utf8(char *s)
{
	while (*s != '\0') {
		size_t n = 1;

		while (n < 4 && !str_is_utf8(s, n) && s[n] != '\0')
			n++;
		if (str_is_utf8(s, n)) {
			s += n;
		} else {
			*s++ = '?';
		}
	}
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

	if (run_git(t, r, argv, &out, -1, QUICK_TIMEOUT_MS, &code, &errors) != 0)
		return -1;
	if (code != 0) {
		CLEAN(free) char *words = git_words(&errors);

		return task_fail(t, FAIL_REVISION,
				 "The commit %s of %s cannot be read: %s.", r->commit,
				 r->name, words);
	}
	text = mh_strdup(buf_text(&out));
	make_utf8(text);
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
	    run_git(t, r, argv, NULL, fd, ARCHIVE_TIMEOUT_MS, &code, &errors) != 0)
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
	if (!(connection ? full_name_is_valid(name) : git_name_is_valid(name)))
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
