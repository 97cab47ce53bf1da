#include "emulator/builtin/git.h"

#include <string.h>
#include <sys/stat.h>

#include "lib/base/str.h"

#define FILES_MAX_BYTES (1024 * 1024) /* of which the first names are looked at */

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
bool git_full_name_is_valid(const char *name)
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

char *git_root(const struct settings *settings)
{
	return settings->git_root ? mh_strdup(settings->git_root)
				  : mh_format("%s/git", settings->data_dir);
}

char *git_find(const struct settings *settings, const char *name)
{
	CLEAN(free) char *root = git_root(settings);
	CLEAN(free) char *bare = mh_format("%s/%s.git", root, name);
	CLEAN(free) char *plain = mh_format("%s/%s", root, name);
	char *dir = git_dir_at(bare);

	return dir != NULL ? dir : git_dir_at(plain);
}

int git_run(struct task *t, const char *git_dir, const char *const *argv, struct buf *out,
	    int out_fd, int64_t timeout_ms, int *ret_code, struct buf *errors)
{
	CLEAN(free) char *dir = mh_format("--git-dir=%s", git_dir);
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

char *git_words(const struct buf *errors)
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

struct json_object *git_names(const struct buf *out)
{
	struct json_object *names = json_object_new_array();
	const char *p = buf_text(out), *end = p + out->len;

	while (p < end && json_object_array_length(names) < GIT_NAMES_MAX) {
		CLEAN(free) char *name = mh_strndup(p, (size_t)(end - p));

		p += strlen(name) + 1;
		git_make_utf8(name); /* fails without memory alone */
		(void)json_object_array_add(names, json_object_new_string(name));
	}
	return names;
}

void git_make_utf8(char *s)
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

static bool is_commit(const char *text)
{
	size_t len = strlen(text);

	return (len == 40 || len == 64) && strspn(text, "0123456789abcdef") == len;
}

struct json_object *git_changed_files(const struct settings *settings,
				      const char *repository, const char *base,
				      const char *head)
{
	CLEAN(free) char *range = mh_concat(base, "...", head);
	const char *const argv[] = { "diff", "--name-only", "--no-renames", "-z", range,
				     "--",   NULL };
	CLEAN(buf) struct buf out = BUF_INIT(FILES_MAX_BYTES);
	CLEAN(buf) struct buf errors = BUF_INIT(GIT_ERROR_TEXT_MAX);
	CLEAN(free) char *dir = NULL;
	struct task t = { .settings = settings, .cancel_fd = -1 };
	struct json_object *files = NULL;
	int code = 1;

	if (is_commit(base) && is_commit(head) && git_full_name_is_valid(repository))
		dir = git_find(settings, repository);
	if (dir &&
	    git_run(&t, dir, argv, &out, -1, GIT_QUICK_TIMEOUT_MS, &code, &errors) == 0 &&
	    code == 0)
		files = git_names(&out);
	task_done(&t);
	return files;
}
