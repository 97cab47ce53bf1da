/* Credentials: files, answers and command lines read as hostile, the order of sources,
 * and when a set is renewed. Fetching is tests/system/test_agent_creds.py's. */
#include "tests/unit/test.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/creds_plan.h"
#include "agent/creds_profile.h"
#include "agent/creds_read.h"
#include "agent/creds_store.h"
#include "agent/creds_sts.h"
#include "agent/retry.h"
#include "lib/base/macros.h"

/* --- profiles --------------------------------------------------------------------- */

static void parse(struct creds_profiles *p, enum creds_profile_file file,
		  const char *text)
{
	CLEAN(free) char *copy = mh_strdup(text);

	creds_profiles_parse(p, file, copy);
}

static void profiles_are_read_as_botocore_reads_them(void **ctx)
{
	static const struct {
		const char *text, *profile, *key, *want;
	} rows[] = {
		{ "[a]\nk=v", "a", "k", "v" },
		{ "[ a ]\r\nK = v w \r\n", "a", "k", "v w" },
		{ "[a]\nk : v=1", "a", "k", "v=1" },
		{ "[a]\n# k=1\n;k=2\n", "a", "k", NULL },
		{ "[a]\nk=1\nk=2", "a", "k", "2" },
		{ "[a]\nk=1\n[b]\nk=2\n[a]\nj=3", "a", "j", "3" },
		{ "[a]\ns =\n  k = nested\n", "a", "k", NULL },
		{ "[a]\n  k = 1\n  j = 2\n", "a", "j", "2" },
		{ "[a]\nk = v ; no comment", "a", "k", "v ; no comment" },
		{ "[a]\nk =\n", "a", "k", NULL },
		{ "k = 1\n[a\nk = 2\n", "a", "k", NULL },
		{ "no line of any kind\n[a]\nneither this\nk=1", "a", "k", "1" },
	};

	(void)ctx;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEAN(creds_profiles) struct creds_profiles p = { 0 };
		const char *got;

		parse(&p, PROFILE_CREDENTIALS, rows[i].text);
		got = creds_profiles_get(&p, rows[i].profile, PROFILE_ANYWHERE,
					 rows[i].key);
		if (!rows[i].want)
			assert_null(got);
		else
			assert_string_equal(got, rows[i].want);
	}
}

static void the_config_file_names_its_profiles_and_the_other_file_wins(void **ctx)
{
	CLEAN(creds_profiles) struct creds_profiles p = { 0 };

	(void)ctx;
	parse(&p, PROFILE_CREDENTIALS, "[a]\nk=cred\n");
	parse(&p, PROFILE_CONFIG,
	      "[profile a]\nk=conf\nonly=conf\n[profile 'b c']\nk=2\n[other]\nk=3\n"
	      "[sso-session s]\nk=4\n[default]\nk=5\n[profile  "
	      "d]\nk=6\n[profilee]\nk=7\n");
	assert_string_equal(creds_profiles_get(&p, "a", PROFILE_ANYWHERE, "k"), "cred");
	assert_string_equal(creds_profiles_get(&p, "a", PROFILE_CONFIG, "K"), "conf");
	assert_string_equal(creds_profiles_get(&p, "a", PROFILE_ANYWHERE, "only"),
			    "conf");
	assert_string_equal(creds_profiles_get(&p, "b c", PROFILE_ANYWHERE, "k"), "2");
	assert_string_equal(creds_profiles_get(&p, "d", PROFILE_ANYWHERE, "k"), "6");
	assert_string_equal(creds_profiles_get(&p, "default", PROFILE_ANYWHERE, "k"),
			    "5");
	assert_false(creds_profiles_has(&p, "other"));
	assert_false(creds_profiles_has(&p, "s"));
	assert_false(creds_profiles_has(&p, "e"));
}

/* --- answers ---------------------------------------------------------------------- */

static void times_are_read_with_fractions_and_offsets(void **ctx)
{
	static const struct {
		const char *text;
		int64_t want; /* -1: refused */
	} rows[] = {
		{ "1970-01-02T00:00:00Z", 86400000 },
		{ "1970-01-02T00:00:00.999999Z", 86400000 },
		{ "1970-01-02T01:00:00+01:00", 86400000 },
		{ "1970-01-01T22:30:00-0130", 86400000 },
		{ "2026-11-20T15:10:00Z", 1795187400000 },
		{ "2026-02-30T00:00:00Z", -1 },
		{ "2026-11-20T15:10:00", -1 },
		{ "2026-11-20", -1 },
		{ "soon", -1 },
		{ "", -1 },
		{ "2026-11-20T15:10:00+1", -1 },
		{ "2026-11-20T15:10:00+99:00", -1 },
		{ "2026-11-20T15:10:00Z\nX", -1 },
	};

	(void)ctx;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct mh_err err = MH_ERR_INIT;
		int64_t ms = -1;

		if (rows[i].want < 0)
			assert_fails(creds_read_time(rows[i].text, &ms, &err), &err,
				     MH_E_PROTO);
		else
			assert_ok(creds_read_time(rows[i].text, &ms, &err), &err);
		assert_int_equal(ms, rows[i].want);
	}
}

typedef int (*reader_fn)(const char *text, size_t len, struct creds_found *ret,
			 struct mh_err *err);

#define METADATA_REST                                                                    \
	"\"SecretAccessKey\":\"SECRETX\",\"Token\":\"TOKENX\","                          \
	"\"Expiration\":\"1970-01-02T00:00:00Z\"}"
#define STS(credentials)                                                                 \
	"<AssumeRoleResponse xmlns=\"x\"><AssumeRoleResult><Credentials>" credentials    \
	"</Credentials></AssumeRoleResult></AssumeRoleResponse>"
#define STS_REST                                                                         \
	"<SecretAccessKey>SECRETX</SecretAccessKey><SessionToken>T&amp;&lt;</"           \
	"SessionToken>"                                                                  \
	"<Expiration>1970-01-02T00:00:00Z</Expiration>"

static void good_answers_are_taken(void **ctx)
{
	static const struct {
		reader_fn read;
		const char *text, *token;
		int64_t expires;
	} rows[] = {
		{ creds_read_process,
		  "{\"Version\":1,\"AccessKeyId\":\"ID\",\"SecretAccessKey\":\"S\"}",
		  NULL, CREDS_NEVER },
		{ creds_read_process,
		  "{\"Version\":1,\"AccessKeyId\":\"ID\",\"SecretAccessKey\":\"S\","
		  "\"SessionToken\":\"T\",\"Expiration\":\"1970-01-02T00:00:00+00:00\"}"
		  "\n",
		  "T", 86400000 },
		{ creds_read_metadata, "{\"AccessKeyId\":\"ID\"," METADATA_REST, "TOKENX",
		  86400000 },
		{ creds_read_metadata,
		  "{\"Code\":\"Success\",\"AccessKeyId\":\"ID\"," METADATA_REST, "TOKENX",
		  86400000 },
		{ creds_read_sts, STS("\n<AccessKeyId>ID</AccessKeyId>" STS_REST), "T&<",
		  86400000 },
	};

	(void)ctx;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEAN(creds_found) struct creds_found f = { 0 };
		struct mh_err err = MH_ERR_INIT;

		assert_ok(rows[i].read(rows[i].text, strlen(rows[i].text), &f, &err),
			  &err);
		assert_string_equal(f.keys.access_key_id, "ID");
		if (rows[i].token)
			assert_string_equal(f.keys.session_token, rows[i].token);
		else
			assert_null(f.keys.session_token);
		assert_true(f.expires_wall_ms == rows[i].expires);
	}
}

static void bad_answers_are_refused_and_never_repeated_in_the_error(void **ctx)
{
	static const struct {
		reader_fn read;
		const char *text;
	} rows[] = {
		{ creds_read_process, "" },
		{ creds_read_process, "<html>SECRETX</html>" },
		{ creds_read_process, "[\"SECRETX\"]" },
		{ creds_read_process, "{\"Version\":\"1\",\"AccessKeyId\":\"I\","
				      "\"SecretAccessKey\":\"SECRETX\"}" },
		{ creds_read_process, "{\"Version\":1,\"AccessKeyId\":5,"
				      "\"SecretAccessKey\":\"SECRETX\"}" },
		{ creds_read_process, "{\"Version\":1,\"AccessKeyId\":\"I\"}" },
		{ creds_read_process, "{\"Version\":1,\"AccessKeyId\":\"I\","
				      "\"SecretAccessKey\":\"SECRETX\\n\"}" },
		{ creds_read_process,
		  "{\"Version\":1,\"AccessKeyId\":\"I\","
		  "\"SecretAccessKey\":\"SECRETX\",\"Expiration\":7}" },
		{ creds_read_process,
		  "{\"Version\":1,\"AccessKeyId\":\"I\","
		  "\"SecretAccessKey\":\"SECRETX\",\"SessionToken\":{}}" },
		{ creds_read_metadata, "{\"Code\":\"AssumeRoleUnauthorizedAccess\","
				       "\"AccessKeyId\":\"I\"," METADATA_REST },
		{ creds_read_metadata, "{\"AccessKeyId\":null," METADATA_REST },
		{ creds_read_metadata,
		  "{\"AccessKeyId\":\"a\\r\\nX: SECRETX\"," METADATA_REST },
		{ creds_read_metadata,
		  "{\"AccessKeyId\":\"I\",\"SecretAccessKey\":\"S\"}" },
		{ creds_read_sts, "" },
		{ creds_read_sts, "{\"AccessKeyId\":\"SECRETX\"}" },
		{ creds_read_sts, "<html>SECRETX" },
		{ creds_read_sts, STS(STS_REST) },
		{ creds_read_sts, STS("<AccessKeyId><b>I</b></AccessKeyId>" STS_REST) },
		{ creds_read_sts, STS("<AccessKeyId>I&x;</AccessKeyId>" STS_REST) },
		{ creds_read_sts, STS("<AccessKeyId>I</AccessKeyId>"
				      "<AccessKeyId>J</AccessKeyId>" STS_REST) },
		{ creds_read_sts, "<!DOCTYPE a [<!ENTITY b \"c\">]>" STS(
					  "<AccessKeyId>I</AccessKeyId>" STS_REST) },
		{ creds_read_sts,
		  "<a><Credentials><AccessKeyId>I</AccessKeyId>" STS_REST },
	};

	(void)ctx;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct creds_found f = { 0 };
		struct mh_err err = MH_ERR_INIT;

		assert_int_equal(
			rows[i].read(rows[i].text, strlen(rows[i].text), &f, &err), -1);
		assert_null(strstr(err.text, "SECRETX"));
		assert_null(f.keys.access_key_id);
	}
}

static void an_error_of_the_token_service_is_read(void **ctx)
{
	char code[CREDS_CODE_SIZE], message[CREDS_TEXT_SIZE];
	static const char text[] =
		"<ErrorResponse><Error><Code>AccessDenied</Code><Message>User x is not "
		"allowed, token abcDEF1234567890XYZ</Message></Error></ErrorResponse>";

	(void)ctx;
	creds_read_sts_error(text, strlen(text), code, message);
	assert_string_equal(code, "AccessDenied");
	assert_string_equal(message, "User x is not allowed, token ****");
	creds_read_sts_error("<html>", 6, code, message);
	assert_string_equal(code, "");
	creds_read_sts_error(NULL, 0, code, message);
	assert_string_equal(code, "");
}

static void what_looks_like_a_key_is_hidden(void **ctx)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{ "no such profile: build", "no such profile: build" },
		{ "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "****" },
		{ "key=wJalrXUtnFEMI/K7MDENG+x!", "****!" },
		{ "two\nlines\r\n", "two lines  " },
		{ "/usr/lib/x/tool: not found", "/usr/lib/x/tool: not found" },
		{ "/run/AbCdEfGhIjKlMnOpQr/x", "/run****/x" },
		{ "", "" },
	};

	(void)ctx;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEAN(free) char *text = mh_strdup(rows[i].text);

		creds_hide(text);
		assert_string_equal(text, rows[i].want);
	}
}

static void command_lines_are_cut_as_a_shell_would(void **ctx)
{
	static const struct {
		const char *line, *words; /* joined by '|'; NULL: refused */
	} rows[] = {
		{ "a b  c", "a|b|c" },  { " 'a b' \"c 'd\" e\\ f ", "a b|c 'd|e f" },
		{ "a'b'\"c\"", "abc" }, { "a \"\\\"x\\\\y\\n\"", "a|\"x\\y\\n" },
		{ "a '' b", "a||b" },   { "a $HOME ; b | c", "a|$HOME|;|b|||c" },
		{ "a 'b", NULL },       { "a \\", NULL },
		{ "", NULL },           { "''", NULL },
	};

	(void)ctx;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct mh_err err = MH_ERR_INIT;
		char **words = NULL, joined[200] = "";
		int rc = creds_split_command(rows[i].line, &words, &err);

		assert_int_equal(rc, rows[i].words ? 0 : -1);
		for (size_t k = 0; words && words[k]; k++) {
			size_t at = strlen(joined);

			snprintf(joined + at, sizeof(joined) - at, "%s%s", k ? "|" : "",
				 words[k]);
		}
		if (rows[i].words)
			assert_string_equal(joined, rows[i].words);
		creds_words_free(words);
	}
}

static void forms_are_encoded_and_leave_out_what_is_not_set(void **ctx)
{
	char arn[] = "arn:aws:iam::1:role/a b", name[] = "me", external[] = "x&y";
	struct creds_role role = { .arn = arn, .session_name = name };
	CLEAN(free) char *plain = creds_sts_form(&role, NULL);
	CLEAN(free) char *web = creds_sts_form(&role, "to/ken+");
	CLEAN(free) char *full = NULL;

	(void)ctx;
	assert_string_equal(plain, "Action=AssumeRole&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3A"
				   "role%2Fa%20b&RoleSessionName=me&Version=2011-06-15");
	assert_contains(web, "Action=AssumeRoleWithWebIdentity");
	assert_contains(web, "WebIdentityToken=to%2Fken%2B");
	role.external_id = external;
	role.duration_s = 900;
	full = creds_sts_form(&role, NULL);
	assert_contains(full, "DurationSeconds=900&ExternalId=x%26y");
}

/* --- the order -------------------------------------------------------------------- */

static const char *const variables[] = {
	"AWS_ACCESS_KEY_ID",
	"AWS_SECRET_ACCESS_KEY",
	"AWS_SESSION_TOKEN",
	"AWS_PROFILE",
	"AWS_SHARED_CREDENTIALS_FILE",
	"AWS_CONFIG_FILE",
	"AWS_WEB_IDENTITY_TOKEN_FILE",
	"AWS_ROLE_ARN",
	"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
	"AWS_CONTAINER_CREDENTIALS_FULL_URI",
	"AWS_EC2_METADATA_DISABLED",
	"AWS_EC2_METADATA_SERVICE_ENDPOINT",
	"AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
};
static char dir[] = "/tmp/mh-test-creds-XXXXXX";

static int set_up(void **ctx)
{
	(void)ctx;
	for (size_t i = 0; i < ARRAY_LEN(variables); i++)
		unsetenv(variables[i]);
	return setenv("HOME", dir, 1);
}

static void write_file(const char *name, const char *text)
{
	CLEAN(free) char *aws = mh_format("%s/.aws", dir);
	CLEAN(free) char *path = mh_format("%s/%s", aws, name);
	FILE *f;

	(void)mkdir(aws, 0700); /* it may be there */
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

static void sources_come_in_the_order_that_is_promised(void **ctx)
{
	struct credentials_settings none = { 0 };
	char id[] = "CONF", secret[] = "conf-secret", profile[] = "p";
	struct credentials_settings conf = { .access_key_id = id,
					     .secret_access_key = secret };
	struct credentials_settings named = { .profile = profile };
	static const struct {
		const char *name, *value;
		enum creds_source source;
	} steps[] = {
		{ "AWS_EC2_METADATA_DISABLED", "false", CREDS_INSTANCE },
		{ "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/x", CREDS_CONTAINER },
		{ "AWS_PROFILE", "process", CREDS_PROCESS },
		{ "AWS_WEB_IDENTITY_TOKEN_FILE", "/token", CREDS_WEB_IDENTITY },
		{ "AWS_ACCESS_KEY_ID", "ENV", CREDS_STATIC },
	};
	struct mh_err err = MH_ERR_INIT;

	(void)ctx;
	(void)setenv("AWS_ROLE_ARN", "arn:x", 1);
	(void)setenv("AWS_SECRET_ACCESS_KEY", "env-secret", 1);
	write_file("config", "[profile process]\ncredential_process = tool\n");
	write_file("credentials",
		   "[p]\naws_access_key_id = P\naws_secret_access_key = s\n");
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		CLEAN(creds_plan) struct creds_plan plan = { 0 };

		(void)setenv(steps[i].name, steps[i].value, 1);
		assert_ok(creds_plan_make(&none, &plan, &err), &err);
		assert_int_equal(plan.source, steps[i].source);
	}
	for (size_t i = 0; i < 2; i++) {
		CLEAN(creds_plan) struct creds_plan plan = { 0 };

		assert_ok(creds_plan_make(i ? &named : &conf, &plan, &err), &err);
		assert_string_equal(plan.keys.access_key_id, i ? "P" : "CONF");
	}
}

static void addresses_of_services_are_those_of_the_sdks(void **ctx)
{
	struct credentials_settings none = { 0 };
	static const struct {
		const char *name, *value, *url;
	} steps[] = {
		{ "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "IPv6",
		  "http://[fd00:ec2::254]" },
		{ "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "IPv4",
		  "http://169.254.169.254" },
		{ "AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://h:1/", "http://h:1" },
		{ "AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://[::1]:9/a?b",
		  "http://[::1]:9/a?b" },
		{ "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/x",
		  "http://169.254.170.2/v2/x" },
	};

	(void)ctx;
	write_file("config", "");
	write_file("credentials", "");
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		CLEAN(creds_plan) struct creds_plan plan = { 0 };
		struct mh_err err = MH_ERR_INIT;

		(void)setenv(steps[i].name, steps[i].value, 1);
		assert_ok(creds_plan_make(&none, &plan, &err), &err);
		assert_string_equal(plan.url, steps[i].url);
	}
}

static void credentials_are_asked_for_at_allowed_hosts_alone(void **ctx)
{
	(void)ctx;
	assert_true(creds_plan_host_allowed("http://localhost:80/x"));
	assert_true(creds_plan_host_allowed("http://127.0.0.2/x"));
	assert_true(creds_plan_host_allowed("http://169.254.170.23/x"));
	assert_true(creds_plan_host_allowed("http://[fd00:ec2::23]/x"));
	assert_true(creds_plan_host_allowed("https://example.com/x"));
	assert_false(creds_plan_host_allowed("http://example.com/x"));
	assert_false(creds_plan_host_allowed("http://169.254.169.254/x"));
	assert_false(creds_plan_host_allowed("http://127.0.0.1.example.com/x"));
	assert_false(creds_plan_host_allowed("ftp://localhost/x"));
	assert_false(creds_plan_host_allowed(""));
}

/* --- renewal ---------------------------------------------------------------------- */

static double no_luck(void)
{
	return 0.0;
}

static void a_set_is_renewed_well_before_its_end(void **ctx)
{
	const int64_t minute = 60000;

	(void)ctx;
	retry_set_random_for_test(no_luck);
	assert_int_equal(creds_refresh_after_ms(6 * 60 * minute), 350 * minute);
	assert_int_equal(creds_refresh_after_ms(60 * minute), 50 * minute);
	assert_int_equal(creds_refresh_after_ms(15 * minute), 450000);
	assert_int_equal(creds_refresh_after_ms(4000), 2000);
	assert_int_equal(creds_refresh_after_ms(1), 1000);
	retry_set_random_for_test(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(profiles_are_read_as_botocore_reads_them),
		cmocka_unit_test(
			the_config_file_names_its_profiles_and_the_other_file_wins),
		cmocka_unit_test(times_are_read_with_fractions_and_offsets),
		cmocka_unit_test(good_answers_are_taken),
		cmocka_unit_test(bad_answers_are_refused_and_never_repeated_in_the_error),
		cmocka_unit_test(an_error_of_the_token_service_is_read),
		cmocka_unit_test(what_looks_like_a_key_is_hidden),
		cmocka_unit_test(command_lines_are_cut_as_a_shell_would),
		cmocka_unit_test(forms_are_encoded_and_leave_out_what_is_not_set),
		cmocka_unit_test_setup(sources_come_in_the_order_that_is_promised,
				       set_up),
		cmocka_unit_test_setup(addresses_of_services_are_those_of_the_sdks,
				       set_up),
		cmocka_unit_test(credentials_are_asked_for_at_allowed_hosts_alone),
		cmocka_unit_test(a_set_is_renewed_well_before_its_end),
	};
	int rc;

	if (!mkdtemp(dir))
		return 1;
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	for (size_t i = 0; i < 3; i++) {
		static const char *const names[] = { ".aws/config", ".aws/credentials",
						     ".aws" };
		CLEAN(free) char *path = mh_format("%s/%s", dir, names[i]);

		(void)remove(path); /* a test that failed early made none */
	}
	(void)rmdir(dir);
	return rc;
}
