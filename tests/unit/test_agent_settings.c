/* The agent's configuration, its credentials, and what of it reaches a job. */
#include "tests/unit/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/creds.h"
#include "agent/settings.h"
#include "agent/spec.h"
#include "lib/base/buf.h"
#include "lib/base/fsio.h"
#include "lib/base/json.h"
#include "lib/base/macros.h"
#include "lib/base/str.h"

static char dir[] = "/tmp/mh-settings-XXXXXX";

static void make_file(const char *name, const char *text, mode_t mode)
{
	CLEAN(free) char *path = mh_format("%s/%s", dir, name);
	struct mh_err err = MH_ERR_INIT;

	assert_ok(fs_write_atomic_at(AT_FDCWD, path, text, strlen(text), mode, &err),
		  &err);
	assert_int_equal(chmod(path, mode), 0);
}

static int make_place(void **ctx)
{
	static const char *const names[] = { "AWS_REGION",
					     "AWS_DEFAULT_REGION",
					     "AWS_ENDPOINT_URL",
					     "AWS_ENDPOINT_URL_S3",
					     "AWS_ENDPOINT_URL_CODEPIPELINE",
					     "AWS_ACCESS_KEY_ID",
					     "AWS_SECRET_ACCESS_KEY",
					     "AWS_SESSION_TOKEN",
					     "AWS_PROFILE",
					     "AWS_CA_BUNDLE",
					     "AWS_WEB_IDENTITY_TOKEN_FILE" };

	(void)ctx;
	if (!mkdtemp(dir))
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		(void)unsetenv(names[i]);
	(void)setenv("HOME", dir, 1);
	make_file("millhand-job", "", 0755);
	make_file("millhand-archive", "", 0755);
	make_file("command.so", "", 0644);
	return 0;
}

static int remove_place(void **ctx)
{
	struct mh_err err;

	(void)ctx;
	return fs_remove_tree_at(AT_FDCWD, dir, &err);
}

#define MAKE "category=\"Build\";provider=\"Make\";version=\"1\";plugin=\"command\";"

/* A whole configuration: the usual keys, then those of the test. */
static int read_with(const char *more, const char *actions, struct settings *s,
		     struct mh_err *err)
{
	CLEAN(free) char *programs = mh_format("libexec_dir=\"%s\";", dir);
	CLEAN(free)
	char *text = mh_format(
		"state_dir=\"%s/state\";plugin_dir=\"%s\";%s%s\nactions=(%s);", dir, dir,
		strstr(more, "libexec_dir") ? "" : programs, more, actions);

	return settings_read("agent.conf", text, s, err);
}

static void defaults_are_filled_in_and_named(void **ctx)
{
	struct settings s = { 0 };
	struct mh_err err = MH_ERR_INIT;
	CLEAN(free) char *name = NULL;
	CLEAN(free) char *plugin = NULL;

	(void)ctx;
	assert_ok(read_with("region=\"us-east-1\";endpoint=\"http://127.0.0.1:4599\";",
			    "{" MAKE "query={Name=\"x\";};}", &s, &err),
		  &err);
	assert_int_equal(s.max_jobs, 8);
	assert_int_equal(s.in_doubt, 0);
	assert_string_equal(s.s3_endpoint, "http://127.0.0.1:4599");
	assert_contains(s.work_dir, "/state/work");
	assert_string_equal(settings_action(&s, 0)->owner, "Custom");
	assert_int_equal(settings_action(&s, 0)->timeout_ms, 3600000);
	assert_false(settings_action(&s, 0)->outputs.set);
	name = settings_entry_name(settings_action(&s, 0));
	assert_string_equal(name, "Build/Custom/Make/1?Name=x");
	plugin = settings_plugin_path(&s, settings_action(&s, 0));
	assert_contains(plugin, "/command.so");
	settings_done(&s);
}

static void each_mistake_is_one_clear_error(void **ctx)
{
	static const struct {
		const char *more, *actions, *words;
	} rows[] = {
		{ "region=\"r\";\nmax_job=3;", "{" MAKE "}", "did you mean 'max_jobs'" },
		{ "region=\"r\";\nmax_job=3;", "{" MAKE "}", "agent.conf:2" },
		{ "region=\"r\"; max_jobs=0;", "{" MAKE "}", "max_jobs" },
		{ "region=\"r\"; in_doubt=\"maybe\";", "{" MAKE "}", "\"fresh\"" },
		{ "", "{" MAKE "}", "agent.conf: region: is missing" },
		{ "region=\"\";", "{" MAKE "}", "no name of a region" },
		{ "region=\"us east/1\";", "{" MAKE "}", "no name of a region" },
		{ "\nregion=\"r\";\n\nwork_dir=\"work\";", "{" MAKE "}",
		  "agent.conf:4: work_dir" },
		{ "\n\nregion=\"r\";", "{" MAKE "owner=\"Me\";}",
		  "agent.conf:4: actions[0].owner" },
		{ "region=\"r\"; ca_file=\"/nonexistent\";", "{" MAKE "}", "ca_file" },
		{ "region=\"r\"; "
		  "credentials={access_key_id=\"x\";secret_access_key=\"\";};",
		  "{" MAKE "}", "is empty" },
		{ "region=\"r\";", "{" MAKE "sandbox={user=\"no such user\";};}",
		  "sandbox.user" },
		{ "region=\"r\";", "", "actions: there is none" },
		{ "region=\"r\"; endpoint=\"http://example.com\";", "{" MAKE "}",
		  "allow_plain_http" },
		{ "region=\"r\"; endpoint=\"ftp://example.com\";", "{" MAKE "}",
		  "endpoint" },
		{ "region=\"r\"; poll_interval_min=\"1m\";", "{" MAKE "}",
		  "poll_interval_max" },
		{ "region=\"r\"; work_dir=\"work\";", "{" MAKE "}", "absolute" },
		{ "region=\"r\"; libexec_dir=\"/nonexistent\";", "{" MAKE "}",
		  "millhand-job" },
		{ "region=\"r\"; credentials={access_key_id=\"x\";};", "{" MAKE "}",
		  "belong together" },
		{ "region=\"r\";", "{" MAKE "owner=\"AWS\";}",
		  "PollForJobs does not serve" },
		{ "region=\"r\";", "{" MAKE "owner=\"Me\";}", "actions[0].owner" },
		{ "region=\"r\";", "{" MAKE "},{" MAKE "}",
		  "already served by actions[0]" },
		{ "region=\"r\";", "{" MAKE "query={A=\"1\";B=\"2\";};}", "at most one" },
		{ "region=\"r\";", "{" MAKE "exclusive=\"no/path\";}",
		  "actions[0].exclusive" },
		{ "region=\"r\";", "{" MAKE "exclusive=\"\";}", "actions[0].exclusive" },
		{ "region=\"r\";", "{" MAKE "query={A=\"no spaces\";};}",
		  "actions[0].query" },
		{ "region=\"r\";", "{" MAKE "sandbox={write=(\"tmp\");};}",
		  "sandbox.write" },
		{ "region=\"r\";", "{" MAKE "outputs=[2,1];}", "outputs" },
		{ "region=\"r\";",
		  "{category=\"Approval\";provider=\"M\";version=\"1\";plugin="
		  "\"command\";}",
		  "none of Source" },
		{ "region=\"r\";",
		  "{category=\"Build\";provider=\"M "
		  "M\";version=\"1\";plugin=\"command\";}",
		  "actions[0].provider" },
		{ "region=\"r\";",
		  "{category=\"Build\";provider=\"M\";version=\"1234567890\";plugin="
		  "\"c\";}",
		  "actions[0].version" },
		{ "region=\"r\";",
		  "{category=\"Build\";provider=\"M\";version=\"1\";plugin=\"missing\";}",
		  "missing.so" },
		{ "region=\"r\";",
		  "{category=\"Build\";provider=\"M\";version=\"1\";plugin=\"../x\";}",
		  "actions[0].plugin" },
		{ "region=\"r\";", "{category=\"Build\";provider=\"M\";version=\"1\";}",
		  "plugin" },
	};

	(void)ctx;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct settings s = { 0 };
		struct mh_err err = MH_ERR_INIT;

		if (read_with(rows[i].more, rows[i].actions, &s, &err) == 0)
			fail_msg("taken: %s %s", rows[i].more, rows[i].actions);
		assert_int_equal(err.cls, MH_E_CONFIG);
		assert_contains(err.text, rows[i].words);
	}
}

static void the_environment_gives_endpoint_and_region_unless_told_not_to(void **ctx)
{
	struct settings s = { 0 };
	struct mh_err err = MH_ERR_INIT;

	(void)ctx;
	(void)setenv("AWS_DEFAULT_REGION", "eu-west-1", 1);
	(void)setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1", 1);
	(void)setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:2", 1);
	assert_ok(read_with("", "{" MAKE "}", &s, &err), &err);
	assert_string_equal(s.region, "eu-west-1");
	assert_string_equal(s.endpoint, "http://127.0.0.1:1");
	assert_string_equal(s.s3_endpoint, "http://127.0.0.1:2");
	settings_done(&s);
	(void)setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true", 1);
	assert_ok(read_with("", "{" MAKE "}", &s, &err), &err);
	assert_null(s.endpoint);
	settings_done(&s);
	(void)unsetenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");
	(void)unsetenv("AWS_DEFAULT_REGION");
	(void)unsetenv("AWS_ENDPOINT_URL");
	(void)unsetenv("AWS_ENDPOINT_URL_S3");
}

static void a_dump_read_back_and_dumped_again_is_the_same_and_shows_no_secret(void **ctx)
{
	struct settings first = { 0 }, second = { 0 };
	struct mh_err err = MH_ERR_INIT;
	char *texts[2] = { NULL, NULL };
	size_t sizes[2];
	FILE *out;

	(void)ctx;
	assert_ok(read_with("region=\"r\"; "
			    "credentials={access_key_id=\"AK\";secret_access_key="
			    "\"canary\";};",
			    "{" MAKE "config={command=\"make -j2\";}; outputs=[0,1];}",
			    &first, &err),
		  &err);
	out = open_memstream(&texts[0], &sizes[0]);
	conf_dump(out, settings_keys, &first);
	(void)fclose(out);
	assert_null(strstr(texts[0], "canary"));
	assert_ok(settings_read("dump", texts[0], &second, &err), &err);
	out = open_memstream(&texts[1], &sizes[1]);
	conf_dump(out, settings_keys, &second);
	(void)fclose(out);
	assert_string_equal(texts[0], texts[1]);
	free(texts[0]);
	free(texts[1]);
	settings_done(&first);
	settings_done(&second);
}

/* Where things are is the build's choice, and not the sample's. */
static void the_sample_file_shows_every_key_at_its_default(void **ctx)
{
	const char *srcdir = getenv("MH_SRCDIR");
	CLEAN(free)
	char *path = mh_format("%s/etc/agent.conf", srcdir ? srcdir : ".");
	CLEAN(buf) struct buf file = BUF_INIT(1 << 20);
	CLEAN(free) char *text = NULL;
	struct mh_err err = MH_ERR_INIT;
	size_t size = 0, count = 0;
	FILE *out = open_memstream(&text, &size);

	(void)ctx;
	assert_non_null(out);
	conf_sample(out, settings_keys);
	assert_int_equal(fclose(out), 0);
	assert_ok(fs_read_at(AT_FDCWD, path, &file, &err), &err);
	for (char *line = text, *end; *line; line = end) {
		end = line + strcspn(line, "\n");
		if (*end)
			*end++ = '\0';
		if (str_starts_with(line, "#plugin_dir") ||
		    str_starts_with(line, "#libexec_dir"))
			continue;
		assert_contains(buf_text(&file), line);
		count++;
	}
	assert_true(count > 100);
}

static void a_file_everybody_may_write_is_refused_and_a_readable_secret_is_seen(
	void **ctx)
{
	CLEAN(free) char *path = mh_format("%s/agent.conf", dir);
	CLEAN(free)
	char *text = mh_format(
		"state_dir=\"%s/"
		"s\";plugin_dir=\"%s\";libexec_dir=\"%s\";region=\"r\";credentials={"
		"access_key_id=\"a\";secret_access_key=\"b\";};actions=({" MAKE "});",
		dir, dir, dir);
	struct settings s = { 0 };
	struct mh_err err = MH_ERR_INIT;

	(void)ctx;
	make_file("agent.conf", text, 0666);
	assert_fails(settings_read(path, NULL, &s, &err), &err, MH_E_CONFIG);
	assert_contains(err.text, "chmod");
	make_file("agent.conf", text, 0644);
	assert_ok(settings_read(path, NULL, &s, &err), &err);
	assert_true(settings_exposed(path, &s));
	make_file("agent.conf", text, 0640);
	assert_false(settings_exposed(path, &s));
	settings_done(&s);
}

/* --- what reaches a job
 * --------------------------------------------------------------------- */

static struct jobdata *data_with(const char *config)
{
	CLEAN(free)
	char *text = mh_format(
		"{\"actionTypeId\":{\"category\":\"Build\",\"owner\":\"Custom\","
		"\"provider\":\"Make\","
		"\"version\":\"1\"},\"actionConfiguration\":{\"configuration\":%s},"
		"\"inputArtifacts\":[{\"name\":\"In\",\"location\":{\"s3Location\":{"
		"\"bucketName\":"
		"\"bkt\",\"objectKey\":\"k\"}}}],\"artifactCredentials\":{"
		"\"accessKeyId\":\"AK\","
		"\"secretAccessKey\":\"canary\",\"sessionToken\":\"t\"}}",
		config);
	CLEAN(json) struct json_object *doc = NULL;
	struct jobdata *d = NULL;
	struct mh_err err = MH_ERR_INIT;

	assert_ok(json_parse_object(text, strlen(text), &doc, &err), &err);
	assert_ok(jobdata_new(doc, "000000000000", 0, &d, &err), &err);
	return d;
}

static void the_files_keys_win_and_a_command_from_the_pipeline_is_refused(void **ctx)
{
	static const struct {
		const char *more, *entry, *pipeline,
			*merged; /* NULL: ConfigurationError */
	} rows[] = {
		{ "", "config={a=\"file\";};", "{\"a\":\"pipe\",\"b\":\"pipe\"}",
		  "{\"a\":\"file\",\"b\":\"pipe\"}" },
		{ "", "config={command=\"make\";};", "{\"command\":\"rm -rf /\"}",
		  "{\"command\":\"make\"}" },
		{ "", "config={command=\"make\";};", "{\"Command\":\"rm -rf /\"}",
		  "{\"command\":\"make\"}" },
		{ "", "", "{\"command\":\"rm -rf /\"}", NULL },
		{ "", "", "{\"x\":\"y\"}", "{\"x\":\"y\"}" },
		{ "allow_command_from_pipeline=true;", "", "{\"command\":\"ls\"}",
		  "{\"command\":\"ls\"}" },
	};

	(void)ctx;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEAN(free) char *more = mh_format("region=\"r\";%s", rows[i].more);
		CLEAN(free) char *entry = mh_format("{" MAKE "%s}", rows[i].entry);
		CLEAN(jobdata) struct jobdata *d = data_with(rows[i].pipeline);
		struct settings s = { 0 };
		struct mh_err err = MH_ERR_INIT;

		assert_ok(read_with(more, entry, &s, &err), &err);
		if (rows[i].merged) {
			CLEAN(json)
			struct json_object *merged = spec_merge_config(
				&s, settings_action(&s, 0), d);

			assert_ok(spec_check(&s, settings_action(&s, 0), d, &err), &err);
			assert_string_equal(json_text(merged), rows[i].merged);
		} else {
			assert_fails(spec_check(&s, settings_action(&s, 0), d, &err),
				     &err, MH_E_CONFIG);
		}
		settings_done(&s);
	}
}

static void artifact_counts_are_held_against_the_entry(void **ctx)
{
	CLEAN(jobdata) struct jobdata *d = data_with("{}");
	struct settings s = { 0 };
	struct mh_err err = MH_ERR_INIT;

	(void)ctx;
	assert_ok(read_with("region=\"r\";", "{" MAKE "inputs=[2,3];}", &s, &err), &err);
	assert_fails(spec_check(&s, settings_action(&s, 0), d, &err), &err, MH_E_CONFIG);
	assert_contains(err.text, "1 input artifacts");
	settings_done(&s);
}

static void the_spec_says_everything_but_credentials(void **ctx)
{
	CLEAN(jobdata) struct jobdata *d = data_with("{\"a\":\"b\"}");
	struct settings s = { 0 };
	struct mh_err err = MH_ERR_INIT;
	CLEAN(json) struct json_object *spec = NULL;
	const char *text;

	(void)ctx;
	assert_ok(read_with("region=\"r\";",
			    "{" MAKE
			    "public=(\"a\");sandbox={write=(\"/srv\");network=false;};}",
			    &s, &err),
		  &err);
	spec = spec_build(&(struct spec_input){ .settings = &s,
						.action = settings_action(&s, 0),
						.data = d,
						.job_id = "id",
						.n = 7,
						.deadline_ms = 99,
						.work_dir = "/w/7" });
	text = json_text(spec);
	assert_contains(text, "\"config\":{\"a\":\"b\"}");
	assert_contains(text, "\"public\":[\"a\"]");
	assert_contains(text, "\"inputs\":[{\"name\":\"In\",\"file\":\"fetch/0\"}]");
	assert_contains(text, "\"write\":[\"/srv\"]");
	assert_contains(text, "\"network\":false");
	assert_contains(text, "/command.so\"");
	assert_contains(text, "/millhand-archive\"");
	assert_null(strstr(text, "canary"));
	settings_done(&s);
}

static void the_entrys_own_command_is_public_the_pipelines_is_not(void **ctx)
{
	static const struct {
		const char *entry, *pipeline, *want;
	} rows[] = {
		{ "config={command=\"make\";token=\"t\";};", "{\"x\":\"y\"}",
		  "[\"command\"]" },
		{ "config={command=\"make\";};public=(\"x\");", "{}",
		  "[\"x\",\"command\"]" },
		{ "config={command=\"make\";};", "{\"command\":\"hidden\"}", "[]" },
		{ "", "{\"command\":\"make\"}", "[]" },
	};

	(void)ctx;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEAN(free) char *entry = mh_format("{" MAKE "%s}", rows[i].entry);
		CLEAN(jobdata) struct jobdata *d = data_with(rows[i].pipeline);
		CLEAN(json) struct json_object *spec = NULL;
		struct settings s = { 0 };
		struct mh_err err = MH_ERR_INIT;

		assert_ok(read_with("region=\"r\";allow_command_from_pipeline=true;",
				    entry, &s, &err),
			  &err);
		spec = spec_build(&(struct spec_input){ .settings = &s,
							.action = settings_action(&s, 0),
							.data = d,
							.job_id = "id",
							.work_dir = "/w/7" });
		assert_string_equal(json_text(json_opt_array(spec, "public")),
				    rows[i].want);
		settings_done(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_are_filled_in_and_named),
		cmocka_unit_test(each_mistake_is_one_clear_error),
		cmocka_unit_test(
			the_environment_gives_endpoint_and_region_unless_told_not_to),
		cmocka_unit_test(
			a_dump_read_back_and_dumped_again_is_the_same_and_shows_no_secret),
		cmocka_unit_test(the_sample_file_shows_every_key_at_its_default),
		cmocka_unit_test(
			a_file_everybody_may_write_is_refused_and_a_readable_secret_is_seen),
		cmocka_unit_test(
			the_files_keys_win_and_a_command_from_the_pipeline_is_refused),
		cmocka_unit_test(artifact_counts_are_held_against_the_entry),
		cmocka_unit_test(the_spec_says_everything_but_credentials),
		cmocka_unit_test(the_entrys_own_command_is_public_the_pipelines_is_not),
	};

	return cmocka_run_group_tests_name("settings", tests, make_place, remove_place);
}
