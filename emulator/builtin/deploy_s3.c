/*
 * S3 deploy: the input artifact as one object, or, with Extract, each of its files
 * as an object. The archive is opened by the program millhand-archive, never here.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "emulator/builtin/spawn.h"
#include "emulator/builtin/task.h"
#include "lib/base/clock.h"
#include "lib/base/fsio.h"
#include "lib/base/log.h"
#include "lib/base/str.h"

#define UNPACK_TIMEOUT_MS (10 * 60 * 1000)
#define UNPACK_ENTRIES    "100000" /* files of one artifact (semantics F) */
#define REPORT_MAX        16384
#define KEY_MAX           1024
#define DEPTH_MAX         64

struct deployment {
	struct task *task;
	const char *bucket;
	char *key; /* ObjectKey with its placeholders filled in; "" for none */
	struct json_object *headers;
	int64_t count;
};

static const struct {
	const char *ending, *type;
} content_types[] = {
	{ ".avif", "image/avif" },
	{ ".css", "text/css" },
	{ ".csv", "text/csv" },
	{ ".gif", "image/gif" },
	{ ".gz", "application/gzip" },
	{ ".htm", "text/html" },
	{ ".html", "text/html" },
	{ ".ico", "image/x-icon" },
	{ ".jar", "application/java-archive" },
	{ ".jpeg", "image/jpeg" },
	{ ".jpg", "image/jpeg" },
	{ ".js", "text/javascript" },
	{ ".json", "application/json" },
	{ ".map", "application/json" },
	{ ".md", "text/markdown" },
	{ ".mjs", "text/javascript" },
	{ ".mp4", "video/mp4" },
	{ ".pdf", "application/pdf" },
	{ ".png", "image/png" },
	{ ".svg", "image/svg+xml" },
	{ ".tar", "application/x-tar" },
	{ ".ttf", "font/ttf" },
	{ ".txt", "text/plain" },
	{ ".wasm", "application/wasm" },
	{ ".webp", "image/webp" },
	{ ".woff", "font/woff" },
	{ ".woff2", "font/woff2" },
	{ ".xml", "application/xml" },
	{ ".yaml", "application/yaml" },
	{ ".yml", "application/yaml" },
	{ ".zip", "application/zip" },
};

const char *content_type_of(const char *name)
{
	const char *ending = strrchr(name, '.');

	for (size_t i = 0; ending != NULL && i < ARRAY_LEN(content_types); i++)
		if (strcasecmp(ending, content_types[i].ending) == 0)
			return content_types[i].type;
	return NULL;
}

char *deploy_key(const char *template, int64_t now_ms, const char *uuid)
{
	CLEAN(buf) struct buf b = BUF_INIT(64 * 1024);
	char datetime[CLOCK_ISO_SIZE];
	const char *p = template;

	clock_format_iso(now_ms, datetime);
	while (*p != '\0' && b.len < 16 * 1024) {
		if (str_starts_with(p, "{datetime}")) {
			buf_puts(&b, datetime);
			p += strlen("{datetime}");
		} else if (str_starts_with(p, "{uuid}")) {
			buf_puts(&b, uuid);
			p += strlen("{uuid}");
		} else {
			buf_putc(&b, *p++);
		}
	}
	return mh_strdup(buf_text(&b));
}

static int put_file(struct deployment *d, const char *key, int fd, const char *type)
{
	struct s3_put put = { .bucket = d->bucket,
			      .key = key,
			      .content_type = type,
			      .headers = d->headers };
	struct mh_err err = MH_ERR_INIT;
	struct s3_object stored;

	if (strlen(key) > KEY_MAX)
		return task_fail(d->task, FAIL_CONFIGURATION,
				 "The object key %.100s... is longer than %d bytes.", key,
				 KEY_MAX);
	if (s3_put(d->task->s3, &put, fd, &stored, &err) != 0) {
		if (err.cls == MH_E_NOTFOUND)
			return task_fail(d->task, FAIL_CONFIGURATION,
					 "The bucket %s does not exist.", d->bucket);
		return task_fail(d->task, FAIL_SYSTEM,
				 "s3://%s/%s could not be written: %s.", d->bucket, key,
				 err.text);
	}
	s3_object_done(&stored);
	d->count++;
	return 0;
}

/* ---- Extract ---- */

/* Where the program is: named by the environment, installed, or in the build tree. */
static char *archive_program(void)
{
	const char *named = getenv("MILLHAND_ARCHIVE");
	CLEAN(free) char *installed = mh_format("%s/millhand-archive", MH_PKGLIBEXECDIR);
	char exe[4096];
	ssize_t len;

	if (named != NULL && named[0] != '\0')
		return mh_strdup(named);
	if (access(installed, X_OK) == 0)
		return STEAL_PTR(installed);
	len = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	if (len > 0) {
		CLEAN(free) char *built = NULL;
		char *slash;

		exe[len] = '\0';
		slash = strrchr(exe, '/');
		*(slash ? slash : exe) = '\0';
		built = mh_format("%s/../agent/archive/millhand-archive", exe);
		if (access(built, X_OK) == 0)
			return STEAL_PTR(built);
	}
	return STEAL_PTR(installed); /* not there: the error names it */
}

static int judge_report(struct task *t, const struct buf *report, int code)
{
	CLEAN(json) struct json_object *o = NULL;
	struct mh_err err = MH_ERR_INIT;
	const char *kind;
	bool system;

	if (json_parse_object(buf_text(report), report->len, &o, &err) != 0)
		return task_fail(t, FAIL_SYSTEM,
				 "millhand-archive ended with code %d and no report.",
				 code);
	if (code == 0 && json_opt_bool(o, "ok", false))
		return 0;
	kind = json_opt_str(o, "kind", "system");
	system = strcmp(kind, "space") == 0 || strcmp(kind, "system") == 0;
	return task_fail(t, system ? FAIL_SYSTEM : FAIL_JOB,
			 "The input artifact could not be unpacked (%s): %s.", kind,
			 json_opt_str(o, "message", "no reason given"));
}

static int unpack(struct task *t, int archive_fd, const char *dir)
{
	CLEAN(free) char *program = archive_program();
	CLEAN(free)
	char *max = mh_format("%lld", (long long)t->settings->max_object_bytes);
	CLEAN(buf) struct buf report = BUF_INIT(REPORT_MAX);
	const char *const argv[] = {
		program, "unpack",        "--into",       dir, "--max-bytes",
		max,     "--max-entries", UNPACK_ENTRIES, NULL
	};
	const char *const envp[] = { "PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8", NULL };
	int code;

	if (access(program, X_OK) != 0)
		return task_fail(
			t, FAIL_CONFIGURATION,
			"Extract needs the program millhand-archive, which is not at %s. "
			"Install it, or name it in the server's MILLHAND_ARCHIVE.",
			program);
	if (task_spawn(t,
		       &(struct spawn_request){ .argv = argv,
						.envp = envp,
						.stdin_fd = archive_fd,
						.stdout_fd = -1,
						.report = &report,
						.timeout_ms = UNPACK_TIMEOUT_MS },
		       "millhand-archive", &code) != 0)
		return -1;
	return judge_report(t, &report, code);
}

static int walk(struct deployment *d, int take_fd, const char *prefix, int depth);

/* One name of a directory: a file becomes an object, a directory is walked, the rest
 * (symbolic links) has no counterpart in S3. */
static int walk_entry(struct deployment *d, int dir_fd, const char *name,
		      const char *prefix, int depth)
{
	CLEAN(free) char *key = mh_format("%s%s", prefix, name);
	CLEAN(fd) int fd = -1;
	struct stat st;

	if (task_go_on(d->task) != 0)
		return -1;
	if (!str_is_utf8(name, strlen(name)))
		return task_fail(
			d->task, FAIL_JOB,
			"The artifact holds a file under %s whose name is not UTF-8.",
			prefix[0] ? prefix : "its top");
	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return task_fail(d->task, FAIL_SYSTEM, "%s: %s.", key, strerror(errno));
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return 0;
	fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return task_fail(d->task, FAIL_SYSTEM, "%s: %s.", key, strerror(errno));
	if (S_ISDIR(st.st_mode)) {
		CLEAN(free) char *inner = mh_format("%s/", key);

		return walk(d, STEAL_FD(fd), inner, depth + 1);
	}
	return put_file(d, key, fd, content_type_of(name));
}

static int walk(struct deployment *d, int take_fd, const char *prefix, int depth)
{
	DIR *dir = fdopendir(take_fd);
	int rc = 0;

	if (dir == NULL) {
		(void)close(take_fd); /* only read from */
		return task_fail(d->task, FAIL_SYSTEM, "%s: %s.", prefix,
				 strerror(errno));
	}
	if (depth > DEPTH_MAX)
		rc = task_fail(d->task, FAIL_JOB,
			       "The artifact's directories are over %d deep.", DEPTH_MAX);
	while (rc == 0) {
		struct dirent *entry;

		errno = 0;
		entry = readdir(dir);
		if (entry == NULL && errno != 0)
			rc = task_fail(d->task, FAIL_SYSTEM, "%s: %s.", prefix,
				       strerror(errno));
		if (entry == NULL)
			break;
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			rc = walk_entry(d, dirfd(dir), entry->d_name, prefix, depth);
	}
	(void)closedir(dir); /* only read from */
	return rc;
}

static int deploy_tree(struct deployment *d, const char *path)
{
	size_t len = strlen(d->key);
	struct mh_err err = MH_ERR_INIT;
	CLEAN(free) char *prefix = NULL;
	int fd;

	while (len > 0 && d->key[len - 1] == '/')
		len--;
	prefix = mh_format("%.*s%s", (int)len, d->key, len > 0 ? "/" : "");
	if (fs_open_dir(AT_FDCWD, path, &fd, &err) != 0)
		return task_fail(d->task, FAIL_SYSTEM, "%s.", err.text);
	return walk(d, fd, prefix, 0);
}

static int deploy_extracted(struct deployment *d, int fd)
{
	struct task *t = d->task;
	CLEAN(free) char *path = mh_format("%s/tree-XXXXXX", t->tmp_dir);
	struct mh_err err = MH_ERR_INIT;
	int rc;

	if (mkdtemp(path) == NULL)
		return task_fail(t, FAIL_SYSTEM, "No temporary directory in %s: %s.",
				 t->tmp_dir, strerror(errno));
	rc = unpack(t, fd, path);
	if (rc == 0)
		rc = deploy_tree(d, path);
	if (fs_remove_tree_at(AT_FDCWD, path, &err) != 0)
		log_event(LOG_LEVEL_WARN, "builtin.left", "the next start removes it",
			  LOG_S("path", path), LOG_ERR(&err), LOG_END);
	return rc;
}

/* ---- both ways ---- */

static struct json_object *headers_of(const struct json_object *config)
{
	struct json_object *c =
		(struct json_object *)(uintptr_t)config; /* json-c reads only */
	struct json_object *headers = json_object_new_object();
	const char *key_arn = json_opt_str(c, "KMSEncryptionKeyARN", NULL);

	json_put_str(headers, "cache-control", json_opt_str(c, "CacheControl", NULL));
	if (key_arn != NULL) {
		json_put_str(headers, "x-amz-server-side-encryption", "aws:kms");
		json_put_str(headers, "x-amz-server-side-encryption-aws-kms-key-id",
			     key_arn);
	}
	return headers;
}

static int deploy_artifact(struct deployment *d, bool extract)
{
	struct task *t = d->task;
	const struct builtin_artifact *input = &t->job->inputs[0];
	struct mh_err err = MH_ERR_INIT;
	struct s3_object object;
	CLEAN(fd) int fd = -1;
	int rc;

	if (s3_open(t->s3, input->bucket, input->key, &object, &fd, &err) != 0)
		return task_fail(t, FAIL_JOB, "The input artifact %s cannot be read: %s.",
				 input->name, err.text);
	if (extract)
		rc = deploy_extracted(d, fd);
	else
		rc = put_file(d, d->key, fd, object.content_type);
	s3_object_done(&object);
	if (rc == 0)
		t->summary = mh_format("%lld object%s deployed to s3://%s/%s",
				       (long long)d->count, d->count == 1 ? "" : "s",
				       d->bucket, d->key);
	return rc;
}

static int parse_extract(struct task *t, bool *ret)
{
	const char *value;

	if (task_config(t, "Extract", &value) != 0)
		return -1;
	if (strcasecmp(value, "true") != 0 && strcasecmp(value, "false") != 0)
		return task_fail(t, FAIL_CONFIGURATION,
				 "Extract is '%s': true or false is meant.", value);
	*ret = strcasecmp(value, "true") == 0;
	return 0;
}

int deploy_s3(struct task *t)
{
	struct deployment d = { .task = t };
	const char *object_key = json_opt_str(t->job->config, "ObjectKey", "");
	bool extract = false;
	int rc;

	if (task_config(t, "BucketName", &d.bucket) != 0 ||
	    parse_extract(t, &extract) != 0)
		return -1;
	if (!extract && task_config(t, "ObjectKey", &object_key) != 0)
		return -1;
	if (t->job->input_count != 1)
		return task_fail(t, FAIL_CONFIGURATION,
				 "S3 deploy takes one input artifact.");
	/* The job's id is a UUID, and the same when the work is done again. */
	d.key = deploy_key(object_key, s3_now_ms(t->s3), t->job->id);
	d.headers = headers_of(t->job->config);
	rc = deploy_artifact(&d, extract);
	free(d.key);
	json_object_put(d.headers);
	return rc;
}
