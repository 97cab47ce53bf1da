/* The built-in workers over a real store, writer, git and file system; the engine's
 * side (claim and finish) is played here. */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>

#include "emulator/builtin.h"
#include "emulator/builtin/spawn.h"
#include "emulator/builtin/task.h"
#include "emulator/s3/s3.h"
#include "emulator/store/store.h"
#include "lib/base/clock.h"
#include "lib/base/fsio.h"
#include "lib/base/log.h"
#include "tests/unit/test.h"

/* ---- the engine's side: one job at a time, its result as JSON ---- */

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct builtin_job job; /* offered while id is not "" */
	struct json_object *result;
} engine = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

int engine_claim_builtin(struct op_ctx *ctx, const char *claim_epoch,
			 struct builtin_job *ret, bool *ret_found, struct api_error *err)
{
	(void)ctx;
	(void)err;
	assert_true(str_is_uuid(claim_epoch));
	pthread_mutex_lock(&engine.lock);
	*ret_found = engine.job.id[0] != '\0';
	if (*ret_found) {
		*ret = engine.job;
		engine.job = (struct builtin_job){ 0 };
	}
	pthread_mutex_unlock(&engine.lock);
	return 0;
}

int engine_finish_builtin(struct op_ctx *ctx, const char *job_id,
			  const struct builtin_result *result, struct api_error *err)
{
	struct json_object *o = json_object_new_object();
	struct json_object *variables = NULL;

	(void)ctx;
	(void)err;
	json_put_str(o, "id", job_id);
	json_put_str(o, "failure", result->failure_type);
	json_put_str(o, "message", result->message);
	json_put_str(o, "summary", result->summary);
	json_put_str(o, "revision", result->revision_id);
	json_put_str(o, "revisionSummary", result->revision_summary);
	json_put_i64(o, "created", result->revision_created_ms);
	/* A copy: json-c's reference counts are not for two threads. */
	if (result->variables != NULL)
		assert_int_equal(
			json_object_deep_copy(result->variables, &variables, NULL), 0);
	json_put_obj(o, "variables", variables);
	pthread_mutex_lock(&engine.lock);
	engine.result = o;
	pthread_cond_signal(&engine.changed);
	pthread_mutex_unlock(&engine.lock);
	return 0;
}

/* ---- a place with everything running ---- */

static struct {
	char dir[64];
	struct settings settings;
	struct store *store;
	struct writer *writer;
	struct s3 *s3;
	struct builtin_pool *pool;
} at;

static char *path_of(const char *name)
{
	return mh_format("%s/%s", at.dir, name);
}

static void run_shell(const char *script)
{
	const char *const argv[] = { "/bin/sh", "-ec", script, NULL };
	CLEAN(free) char *home = mh_format("HOME=%s", at.dir);
	CLEAN(free) char *place = mh_format("PLACE=%s", at.dir);
	const char *const envp[] = { "PATH=/usr/bin:/bin",
				     home,
				     place,
				     "GIT_CONFIG_GLOBAL=/dev/null",
				     "GIT_AUTHOR_NAME=A",
				     "GIT_AUTHOR_EMAIL=a@example.com",
				     "GIT_COMMITTER_NAME=C",
				     "GIT_COMMITTER_EMAIL=c@example.com",
				     "GIT_AUTHOR_DATE=1700000000 +0100",
				     "GIT_COMMITTER_DATE=1700000100 +0100",
				     NULL };
	CLEAN(buf) struct buf errors = BUF_INIT(4096);
	struct mh_err err = MH_ERR_INIT;
	int code;

	assert_ok(spawn_run(&(struct spawn_request){ .argv = argv,
						     .envp = envp,
						     .stdin_fd = -1,
						     .cancel_fd = -1,
						     .stdout_fd = -1,
						     .errors = &errors,
						     .timeout_ms = 30000 },
			    &code, &err),
		  &err);
	if (code != 0)
		fail_msg("exit %d: %s", code, buf_text(&errors));
}

static int set_up(void **state)
{
	struct mh_err err = MH_ERR_INIT;
	CLEAN(free) char *db = NULL;

	(void)state;
	log_init("test_builtin", LOG_FORMAT_TEXT, LOG_LEVEL_ERROR);
	(void)snprintf(at.dir, sizeof(at.dir), "/tmp/mh-builtin-XXXXXX");
	assert_non_null(mkdtemp(at.dir));
	assert_ok(settings_read(NULL, &at.settings, &err), &err);
	at.settings.data_dir = mh_strdup(at.dir);
	at.settings.git_root = path_of("git");
	db = path_of("emulator.db");
	assert_ok(store_open(db, &at.store, &err), &err);
	assert_ok(builtin_pool_new(&at.pool, &err), &err);
	assert_ok(
		writer_start(&(struct writer_options){ .store = at.store,
						       .settings = &at.settings,
						       .ids = &ids_random,
						       .wake_builtin = builtin_pool_wake,
						       .wake_arg = at.pool },
			     &at.writer, &err),
		&err);
	assert_ok(s3_new(&at.settings, at.writer, NULL, &at.s3, &err), &err);
	assert_ok(builtin_pool_start(at.pool, at.writer, at.s3, &at.settings, &err),
		  &err);
	return 0;
}

static int tear_down(void **state)
{
	struct mh_err err = MH_ERR_INIT;

	(void)state;
	builtin_pool_stop(at.pool);
	s3_free(at.s3);
	writer_stop(at.writer);
	store_close(at.store);
	settings_done(&at.settings);
	return fs_remove_tree_at(AT_FDCWD, at.dir, &err);
}

static struct builtin_artifact artifact(const char *name, const char *bucket,
					const char *key)
{
	return (struct builtin_artifact){ .name = mh_strdup(name),
					  .bucket = mh_strdup(bucket),
					  .key = mh_strdup(key) };
}

/* Runs one job to its end. config is a JSON text; artifacts are fixed. */
static struct json_object *run_job(const char *category, const char *provider,
				   const char *config)
{
	bool source = strcmp(category, "Source") == 0;
	struct builtin_job job = { .category = mh_strdup(category),
				   .provider = mh_strdup(provider),
				   .pipeline = mh_strdup("p"),
				   .execution_id = mh_strdup("e") };
	struct mh_err err = MH_ERR_INIT;
	struct json_object *result;

	str_uuid(job.id);
	assert_ok(json_parse_object(config, strlen(config), &job.config, &err), &err);
	if (source) {
		job.outputs = mh_alloc(sizeof(*job.outputs));
		job.outputs[0] = artifact("Source", "artifacts", "p/Source/abc");
		job.output_count = 1;
	} else {
		job.inputs = mh_alloc(sizeof(*job.inputs));
		job.inputs[0] = artifact("Dist", "artifacts", "p/Dist/abc");
		job.input_count = 1;
	}
	pthread_mutex_lock(&engine.lock);
	engine.job = job;
	pthread_mutex_unlock(&engine.lock);
	builtin_pool_wake(at.pool);
	pthread_mutex_lock(&engine.lock);
	while (engine.result == NULL)
		pthread_cond_wait(&engine.changed, &engine.lock);
	result = STEAL_PTR(engine.result);
	pthread_mutex_unlock(&engine.lock);
	return result;
}

static void put_text(const char *bucket, const char *key, const char *text,
		     struct json_object *metadata)
{
	struct mh_err err = MH_ERR_INIT;
	struct s3_object stored;
	CLEAN(fd) int fd = -1;

	assert_ok(fs_memfd_sealed("text", text, strlen(text), &fd, &err), &err);
	assert_ok(s3_put_fd(at.s3, bucket, key, fd, "text/x-test", metadata, true,
			    &stored, &err),
		  &err);
	s3_object_done(&stored);
}

/* What an object holds; "(none)" when it is not there. */
static char *text_of(const char *bucket, const char *key, struct s3_object *ret)
{
	CLEAN(buf) struct buf b = BUF_INIT(1024 * 1024);
	struct mh_err err = MH_ERR_INIT;
	struct s3_object o;
	CLEAN(fd) int fd = -1;

	if (s3_open(at.s3, bucket, key, &o, &fd, &err) != 0) {
		assert_int_equal(err.cls, MH_E_NOTFOUND);
		return mh_strdup("(none)");
	}
	if (ret != NULL)
		*ret = o;
	else
		s3_object_done(&o);
	assert_ok(fs_read_fd(fd, &b, &err), &err);
	return mh_strdup(buf_text(&b));
}

static void assert_text(const char *bucket, const char *key, const char *want)
{
	CLEAN(free) char *text = text_of(bucket, key, NULL);

	assert_string_equal(text, want);
}

static const char *variable(struct json_object *result, const char *name)
{
	return json_opt_str(json_opt_object(result, "variables"), name, "(none)");
}

#define assert_failure(result, type, part)                                               \
	do {                                                                             \
		assert_string_equal(json_opt_str(result, "failure", "(none)"), (type));  \
		assert_contains(json_opt_str(result, "message", ""), (part));            \
	} while (0)

/* ---- git sources ---- */

static void make_repository(void)
{
	run_shell("cd \"$PLACE\"; rm -rf git work; mkdir git; git init -q --bare "
		  "git/app.git;"
		  "git init -q work; cd work; mkdir src; echo 'int x;' >src/x.c;"
		  "echo hello >README; git add .;"
		  "printf 'First line\\n\\nBody \\303\\204\\n' | git commit -q -F -;"
		  "git push -q ../git/app.git HEAD:refs/heads/main;"
		  "git tag v1; git push -q ../git/app.git v1");
}

static void a_git_source_packs_the_branch_and_tells_its_commit(void **state)
{
	CLEAN(json) struct json_object *r = NULL;
	CLEAN(free) char *zip = NULL;
	struct s3_object o;

	(void)state;
	make_repository();
	r = run_job("Source", "CodeCommit",
		    "{\"RepositoryName\":\"app\",\"BranchName\":\"main\"}");
	assert_string_equal(json_opt_str(r, "message", ""), "");
	assert_string_equal(variable(r, "RepositoryName"), "app");
	assert_string_equal(variable(r, "BranchName"), "main");
	assert_string_equal(variable(r, "AuthorDate"), "2023-11-14T22:13:20Z");
	assert_string_equal(variable(r, "CommitterDate"), "2023-11-14T22:15:00Z");
	assert_string_equal(variable(r, "CommitMessage"), "First line\n\nBody \xc3\x84");
	assert_int_equal(strlen(variable(r, "CommitId")), 40);
	assert_string_equal(json_opt_str(r, "revision", ""), variable(r, "CommitId"));
	assert_string_equal(json_opt_str(r, "revisionSummary", ""), "First line");
	assert_int_equal(json_opt_i64(r, "created", 0), 1700000100000);
	zip = text_of("artifacts", "p/Source/abc", &o);
	assert_string_equal(o.content_type, "application/zip");
	assert_memory_equal(zip, "PK\x03\x04", 4);
	s3_object_done(&o);
}

static void a_start_may_pin_the_commit(void **state)
{
	CLEAN(json) struct json_object *first = NULL, *pinned = NULL, *missing = NULL;
	CLEAN(free) char *config = NULL;

	(void)state;
	make_repository();
	first = run_job("Source", "CodeCommit",
			"{\"RepositoryName\":\"app\",\"BranchName\":\"main\"}");
	run_shell("cd \"$PLACE/work\"; echo more >>README; git commit -qam Second;"
		  "git push -q ../git/app.git HEAD:refs/heads/main");
	config = mh_format("{\"RepositoryName\":\"app\",\"BranchName\":\"main\","
			   "\"CommitId\":\"%s\"}",
			   variable(first, "CommitId"));
	pinned = run_job("Source", "CodeCommit", config);
	assert_string_equal(variable(pinned, "CommitId"), variable(first, "CommitId"));
	missing = run_job(
		"Source", "CodeCommit",
		"{\"RepositoryName\":\"app\",\"BranchName\":\"main\",\"CommitId\":"
		"\"0123456789012345678901234567890123456789\"}");
	assert_failure(missing, "RevisionUnavailable", "no commit 0123456789");
}

static void a_connection_names_its_repository_with_its_owner(void **state)
{
	CLEAN(json) struct json_object *r = NULL;

	(void)state;
	make_repository();
	run_shell("cd \"$PLACE/git\"; mkdir team; cp -r app.git team/app.git");
	r = run_job("Source", "CodeStarSourceConnection",
		    "{\"FullRepositoryId\":\"team/app\",\"BranchName\":\"main\","
		    "\"ConnectionArn\":\"arn:x\"}");
	assert_string_equal(json_opt_str(r, "message", ""), "");
	assert_string_equal(variable(r, "FullRepositoryName"), "team/app");
	assert_string_equal(variable(r, "ConnectionArn"), "arn:x");
}

static void a_missing_repository_or_branch_says_where_was_looked(void **state)
{
	static const struct {
		const char *repository, *branch, *type, *part;
	} rows[] = {
		{ "app", "nope", "RevisionUnavailable", "no branch nope" },
		{ "app", "main~1", "RevisionUnavailable", "no branch main~1" },
		{ "app", "../tags/v1", "RevisionUnavailable", "no branch ../tags/v1" },
		{ "app", "--help", "RevisionUnavailable", "no branch --help" },
		{ "gone", "main", "ConfigurationError", "git/gone.git" },
		{ "../work", "main", "ConfigurationError", "names no repository" },
		{ ".hidden", "main", "ConfigurationError", "names no repository" },
		{ "-x", "main", "ConfigurationError", "names no repository" },
		{ "a/b", "main", "ConfigurationError", "names no repository" },
		{ "", "main", "ConfigurationError", "no value for RepositoryName" },
		{ "app", "", "ConfigurationError", "no value for BranchName" },
	};

	(void)state;
	make_repository();
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEAN(json) struct json_object *r = NULL;
		CLEAN(free)
		char *config = mh_format(
			"{\"RepositoryName\":\"%s\",\"BranchName\":\"%s\"}",
			rows[i].repository, rows[i].branch);

		r = run_job("Source", "CodeCommit", config);
		assert_failure(r, rows[i].type, rows[i].part);
	}
}

static void the_configuration_of_a_repository_runs_nothing(void **state)
{
	CLEAN(json) struct json_object *r = NULL;
	CLEAN(free) char *mark = path_of("mark");

	(void)state;
	make_repository();
	run_shell("cd \"$PLACE/git/app.git\"; git config core.fsmonitor \"touch "
		  "$PLACE/mark\";"
		  "git config core.pager \"touch $PLACE/mark\"; git config "
		  "log.showSignature true;"
		  "printf '#!/bin/sh\\ntouch %s/mark\\n' \"$PLACE\" "
		  ">hooks/post-index-change;"
		  "chmod +x hooks/post-index-change");
	r = run_job("Source", "CodeCommit",
		    "{\"RepositoryName\":\"app\",\"BranchName\":\"main\"}");
	assert_string_equal(json_opt_str(r, "message", ""), "");
	assert_int_equal(access(mark, F_OK), -1);
}

/* ---- S3 ---- */

static void an_s3_source_copies_the_object_with_its_revision(void **state)
{
	CLEAN(json) struct json_object *metadata = json_object_new_object();
	CLEAN(json) struct json_object *r = NULL;

	(void)state;
	json_put_str(metadata, "codepipeline-artifact-revision-summary", "as uploaded");
	put_text("uploads", "app/src.zip", "zip bytes", metadata);
	r = run_job("Source", "S3",
		    "{\"S3Bucket\":\"uploads\",\"S3ObjectKey\":\"app/src.zip\"}");
	assert_string_equal(json_opt_str(r, "message", ""), "");
	assert_string_equal(variable(r, "BucketName"), "uploads");
	assert_string_equal(variable(r, "ObjectKey"), "app/src.zip");
	assert_string_equal(variable(r, "VersionId"), "null");
	assert_string_equal(json_opt_str(r, "revision", ""), variable(r, "ETag"));
	assert_string_equal(json_opt_str(r, "revisionSummary", ""), "as uploaded");
	assert_text("artifacts", "p/Source/abc", "zip bytes");
}

static void a_missing_source_object_is_a_missing_revision(void **state)
{
	CLEAN(json) struct json_object *r = NULL, *none = NULL;

	(void)state;
	r = run_job("Source", "S3", "{\"S3Bucket\":\"uploads\",\"S3ObjectKey\":\"no\"}");
	assert_failure(r, "RevisionUnavailable", "s3://uploads/no");
	none = run_job("Source", "S3",
		       "{\"S3Bucket\":\"no-such\",\"S3ObjectKey\":\"no\"}");
	assert_failure(none, "RevisionUnavailable", "s3://no-such/no");
}

static void a_deployment_without_extract_is_one_object(void **state)
{
	CLEAN(json) struct json_object *r = NULL, *none = NULL, *key = NULL;
	struct s3_object o;
	CLEAN(free) char *text = NULL;

	(void)state;
	put_text("artifacts", "p/Dist/abc", "the artifact", NULL);
	put_text("site", "old", "x", NULL);
	r = run_job("Deploy", "S3",
		    "{\"BucketName\":\"site\",\"Extract\":\"false\",\"ObjectKey\":\"a/"
		    "b.zip\"}");
	assert_string_equal(json_opt_str(r, "message", ""), "");
	assert_contains(json_opt_str(r, "summary", ""),
			"1 object deployed to s3://site/a/b.zip");
	text = text_of("site", "a/b.zip", &o);
	assert_string_equal(text, "the artifact");
	assert_string_equal(o.content_type, "text/x-test");
	s3_object_done(&o);
	none = run_job(
		"Deploy", "S3",
		"{\"BucketName\":\"no-site\",\"Extract\":\"false\",\"ObjectKey\":\"k\"}");
	assert_failure(none, "ConfigurationError", "no-site does not exist");
	key = run_job("Deploy", "S3", "{\"BucketName\":\"site\",\"Extract\":\"false\"}");
	assert_failure(key, "ConfigurationError", "ObjectKey");
}

/* In place of millhand-archive: unpacks nothing, but keeps its contract. */
static void play_archive(const char *script)
{
	CLEAN(free) char *path = path_of("archive");
	CLEAN(free) char *text = mh_format("#!/bin/sh\n%s\n", script);
	struct mh_err err = MH_ERR_INIT;

	assert_ok(fs_write_atomic_at(AT_FDCWD, path, text, strlen(text), 0700, &err),
		  &err);
	assert_int_equal(setenv("MILLHAND_ARCHIVE", path, 1), 0);
}

static void assert_empty_dir(const char *name)
{
	CLEAN(free) char *script = mh_format("test -z \"$(ls -A \"$PLACE/%s\")\"", name);

	run_shell(script);
}

static void a_deployment_with_extract_is_an_object_per_file(void **state)
{
	CLEAN(json) struct json_object *r = NULL;
	struct s3_object o;
	CLEAN(free) char *html = NULL;

	(void)state;
	put_text("artifacts", "p/Dist/abc", "archive bytes", NULL);
	put_text("site", "old", "x", NULL);
	play_archive(
		"test \"$1 $2\" = 'unpack --into' || exit 9\n"
		"mkdir -p $3/css/deep; cat >$3/index.html; echo b >$3/css/deep/a.css\n"
		"ln -s /etc/passwd $3/link; mkdir $3/empty\n"
		"echo '{\"ok\":true,\"bytes\":1,\"entries\":2,\"sha256\":\"\"}' >&3");
	r = run_job("Deploy", "S3",
		    "{\"BucketName\":\"site\",\"Extract\":\"true\",\"ObjectKey\":\"v1/\","
		    "\"CacheControl\":\"max-age=5\"}");
	assert_string_equal(json_opt_str(r, "message", ""), "");
	assert_contains(json_opt_str(r, "summary", ""), "2 objects deployed");
	html = text_of("site", "v1/index.html", &o);
	assert_string_equal(html, "archive bytes");
	assert_string_equal(o.content_type, "text/html");
	s3_object_done(&o);
	assert_text("site", "v1/css/deep/a.css", "b\n");
	assert_text("site", "v1/link", "(none)");
	assert_empty_dir("tmp/builtin");
}

static void what_the_archive_program_says_becomes_the_failure(void **state)
{
	static const struct {
		const char *script, *type, *part;
	} rows[] = {
		{ "echo '{\"ok\":false,\"kind\":\"unsafe\",\"message\":\"../x\"}' >&3; "
		  "exit 1",
		  "JobFailed", "(unsafe): ../x" },
		{ "echo '{\"ok\":false,\"kind\":\"space\",\"message\":\"full\"}' >&3; "
		  "exit 1",
		  "SystemUnavailable", "(space): full" },
		{ "exit 0", "SystemUnavailable", "no report" },
		{ "kill -9 $$", "SystemUnavailable", "code 137" },
	};

	(void)state;
	put_text("artifacts", "p/Dist/abc", "archive bytes", NULL);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEAN(json) struct json_object *r = NULL;

		play_archive(rows[i].script);
		r = run_job("Deploy", "S3",
			    "{\"BucketName\":\"site\",\"Extract\":\"true\"}");
		assert_failure(r, rows[i].type, rows[i].part);
		assert_empty_dir("tmp/builtin");
	}
}

static void a_missing_archive_program_is_named(void **state)
{
	CLEAN(json) struct json_object *r = NULL;

	(void)state;
	put_text("artifacts", "p/Dist/abc", "archive bytes", NULL);
	assert_int_equal(setenv("MILLHAND_ARCHIVE", "/nonexistent/archive", 1), 0);
	r = run_job("Deploy", "S3", "{\"BucketName\":\"site\",\"Extract\":\"true\"}");
	assert_failure(r, "ConfigurationError", "/nonexistent/archive");
	assert_contains(json_opt_str(r, "message", ""), "millhand-archive");
}

static void work_of_another_kind_fails_by_name(void **state)
{
	CLEAN(json) struct json_object *r = NULL;

	(void)state;
	r = run_job("Deploy", "ECS", "{}");
	assert_failure(r, "ConfigurationError", "Deploy by ECS");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_git_source_packs_the_branch_and_tells_its_commit),
		cmocka_unit_test(a_start_may_pin_the_commit),
		cmocka_unit_test(a_connection_names_its_repository_with_its_owner),
		cmocka_unit_test(a_missing_repository_or_branch_says_where_was_looked),
		cmocka_unit_test(the_configuration_of_a_repository_runs_nothing),
		cmocka_unit_test(an_s3_source_copies_the_object_with_its_revision),
		cmocka_unit_test(a_missing_source_object_is_a_missing_revision),
		cmocka_unit_test(a_deployment_without_extract_is_one_object),
		cmocka_unit_test(a_deployment_with_extract_is_an_object_per_file),
		cmocka_unit_test(what_the_archive_program_says_becomes_the_failure),
		cmocka_unit_test(a_missing_archive_program_is_named),
		cmocka_unit_test(work_of_another_kind_fails_by_name),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
