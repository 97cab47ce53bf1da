/* The emulator's settings: defaults, file, options, and their errors. */
#include "tests/unit/test.h"

#include <fcntl.h>
#include <stdio.h>

#include "emulator/settings.h"
#include "lib/base/buf.h"
#include "lib/base/fsio.h"

struct fixture {
	char dir[64];
	char *path; /* of the configuration file */
	struct settings s;
};

static int setup(void **state)
{
	struct fixture *f = mh_alloc(sizeof(*f));

	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/mh-test-settings-XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	f->path = mh_format("%s/emulator.conf", f->dir);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	struct mh_err err = MH_ERR_INIT;

	settings_done(&f->s);
	assert_ok(fs_remove_tree_at(AT_FDCWD, f->dir, &err), &err);
	free(f->path);
	free(f);
	return 0;
}

static void write_file(struct fixture *f, const char *text)
{
	struct mh_err err = MH_ERR_INIT;

	assert_ok(fs_write_atomic_at(AT_FDCWD, f->path, text, strlen(text), 0600, &err),
		  &err);
}

static void defaults_are_what_the_reference_says(void **state)
{
	struct fixture *f = *state;
	struct mh_err err = MH_ERR_INIT;

	assert_ok(settings_read(NULL, &f->s, &err), &err);
	assert_string_equal(f->s.listen, "127.0.0.1:4599");
	assert_string_equal(f->s.region, "us-east-1");
	assert_null(f->s.data_dir);
	assert_int_equal(f->s.ack_timeout_ms, 60000);
	assert_int_equal(f->s.continuation_delay_ms, 0);
	assert_int_equal(f->s.job_credentials_ms, 900000);
	assert_int_equal(f->s.custom_timeout_ms, 86400000);
	assert_int_equal(f->s.signature_window_ms, 300000);
	assert_int_equal(f->s.max_batch, 100);
	assert_true(f->s.max_object_bytes == 5LL << 30);
	assert_false(f->s.strict_ack);
	assert_int_equal(f->s.keys.count, 0);
	assert_int_equal(settings_log_level(&f->s), LOG_LEVEL_INFO);
	assert_fails(settings_check(&f->s, &err), &err, MH_E_CONFIG);
	assert_contains(err.text, "--data-dir");
}

static void option_wins_over_file_and_file_over_default(void **state)
{
	struct fixture *f = *state;
	struct mh_err err = MH_ERR_INIT;
	const struct settings_key *key;

	write_file(f, "listen = \"0.0.0.0:1\";\ndata_dir = \"/from/file\";\nstrict_ack = "
		      "true;\n"
		      "ack_timeout = \"5s\";\nlog_level = \"debug\";\n"
		      "keys = ( { access_key_id = \"AK\"; secret_access_key = "
		      "\"s3cr3ts\"; } );\n");
	assert_ok(settings_read(f->path, &f->s, &err), &err);
	assert_ok(settings_set_option(&f->s, "data-dir", "/from/\"option\\\"", &err),
		  &err);
	assert_ok(settings_set_option(&f->s, "ack-timeout", "250ms", &err), &err);
	assert_ok(settings_set_option(&f->s, "max-batch", "7", &err), &err);
	assert_ok(settings_set_option(&f->s, "check-answers", NULL, &err), &err);
	assert_ok(settings_set_option(&f->s, "strict-ack", "false", &err), &err);
	assert_ok(settings_set_option(&f->s, "max-object", "1M", &err), &err);
	assert_string_equal(f->s.listen, "0.0.0.0:1");
	assert_string_equal(f->s.data_dir, "/from/\"option\\\"");
	assert_int_equal(f->s.ack_timeout_ms, 250);
	assert_int_equal(f->s.max_batch, 7);
	assert_true(f->s.check_answers);
	assert_false(f->s.strict_ack);
	assert_int_equal(f->s.max_object_bytes, 1 << 20);
	assert_int_equal(settings_log_level(&f->s), LOG_LEVEL_DEBUG);
	assert_int_equal(f->s.keys.count, 1);
	key = f->s.keys.items;
	assert_string_equal(key->secret_access_key, "s3cr3ts");
	assert_ok(settings_check(&f->s, &err), &err);
}

static void wrong_file_is_told_with_file_and_line(void **state)
{
	static const struct {
		const char *text, *says;
	} rows[] = {
		{ "data_dir = \"x\";\nlissten = \"y\";\n", "emulator.conf:2: " },
		{ "\n\nmax_batch = 0;\n", "emulator.conf:3: " },
		{ "max_batch = \"many\";\n", "emulator.conf:1: " },
		{ "keys = ( { access_key_id = \"AK\"; } );\n", "secret_access_key" },
		{ "log_level = \"loud\";\n", "emulator.conf:1: " },
		{ "listen = ;\n", "emulator.conf:1: " },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct mh_err err = MH_ERR_INIT;
		struct settings s = { 0 };

		write_file(f, rows[i].text);
		assert_fails(settings_read(f->path, &s, &err), &err, MH_E_CONFIG);
		assert_contains(err.text, rows[i].says);
	}
}

static void wrong_option_is_told_by_its_name(void **state)
{
	static const struct {
		const char *name, *value, *says;
	} rows[] = {
		{ "nonsense", "x", "--nonsense is no option" },
		{ "ack_timeout", "1s", "--ack_timeout is no option" },
		{ "keys", "x", "--keys is no option" },
		{ "data-dir", NULL, "--data-dir wants a value" },
		{ "ack-timeout", "soon", "--ack-timeout " },
		{ "ack-timeout", "100d", "--ack-timeout " },
		{ "max-batch", "0", "--max-batch: " },
		{ "max-batch", "1; listen = \"x\"", "--max-batch: " },
		{ "strict-ack", "maybe", "--strict-ack: 'maybe'" },
		{ "log-level", "loud", "--log-level " },
	};
	struct fixture *f = *state;
	struct mh_err err = MH_ERR_INIT;

	assert_ok(settings_read(NULL, &f->s, &err), &err);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_fails(
			settings_set_option(&f->s, rows[i].name, rows[i].value, &err),
			&err, MH_E_CONFIG);
		assert_contains(err.text, rows[i].says);
		assert_null(strstr(err.text, ":1:"));
	}
}

static void settings_that_no_row_can_check_are_checked(void **state)
{
	static const struct {
		const char *name, *value, *says; /* NULL: fine */
	} rows[] = {
		{ "listen", "[::1]:0", NULL },
		{ "listen", "localhost:80", NULL },
		{ "listen", "4599", "listen" },
		{ "listen", ":4599", "listen" },
		{ "listen", "::1:4599", "listen" },
		{ "listen", "127.0.0.1:65536", "listen" },
		{ "listen", "127.0.0.1:", "listen" },
		{ "account", "12345678901", "account" },
		{ "account", "12345678901a", "account" },
		{ "region", "US East", "region" },
		{ "region", "", "region" },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct mh_err err = MH_ERR_INIT;
		struct settings s;

		(void)f;
		assert_ok(settings_read(NULL, &s, &err), &err);
		assert_ok(settings_set_option(&s, "data-dir", "/x", &err), &err);
		assert_ok(settings_set_option(&s, rows[i].name, rows[i].value, &err),
			  &err);
		if (rows[i].says) {
			assert_fails(settings_check(&s, &err), &err, MH_E_CONFIG);
			assert_contains(err.text, rows[i].says);
		} else {
			assert_ok(settings_check(&s, &err), &err);
		}
		settings_done(&s);
	}
}

static void offers_are_checked(void **state)
{
#define OFFER(aws, as) "{ aws = \"" aws "\"; as = \"" as "\"; }"
	static const struct {
		const char *offers, *says; /* NULL: fine */
	} rows[] = {
		{ "", NULL },
		{ OFFER("Build/CodeBuild/1", "Build/Custom/CodeBuild/1"), NULL },
		{ OFFER("Build/CodeBuild/1", "Build/Custom/Any/1") "," OFFER(
			  "Test/CodeBuild/1", "Build/Custom/Any/1"),
		  NULL },
		{ OFFER("Build/CodeBuild", "Build/Custom/CodeBuild/1"), "aws = " },
		{ OFFER("Build/CodeBuild/1/2", "Build/Custom/CodeBuild/1"), "aws = " },
		{ OFFER("Build/CodeBuild/2", "Build/Custom/CodeBuild/1"), "aws = " },
		{ OFFER("Build/AWS/CodeBuild/1", "Build/Custom/CodeBuild/1"), "aws = " },
		{ OFFER("", "Build/Custom/CodeBuild/1"), "aws = " },
		{ OFFER("Approval/Manual/1", "Deploy/Custom/Boss/1"), "person" },
		{ OFFER("Build/CodeBuild/1", "Build/CodeBuild/1"), "as = " },
		{ OFFER("Build/CodeBuild/1", "Build/AWS/CodeBuild/1"), "as = " },
		{ OFFER("Build/CodeBuild/1", "Approval/Custom/CodeBuild/1"), "as = " },
		{ OFFER("Build/CodeBuild/1", "Build/Custom//1"), "as = " },
		{ OFFER("Build/CodeBuild/1", "Build/Custom/Code Build/1"), "as = " },
		{ OFFER("Build/CodeBuild/1", "Build/Custom/CodeBuild/1234567890"),
		  "as = " },
		{ OFFER("Build/CodeBuild/1", "Build/Custom/A/1") "," OFFER(
			  "Build/CodeBuild/1", "Build/Custom/B/1"),
		  "twice" },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct mh_err err = MH_ERR_INIT;
		CLEAN(free)
		char *text = mh_format("data_dir = \"/x\"; offer = ( %s );\n",
				       rows[i].offers);
		struct settings s = { 0 };

		write_file(f, text);
		assert_ok(settings_read(f->path, &s, &err), &err);
		if (rows[i].says) {
			assert_fails(settings_check(&s, &err), &err, MH_E_CONFIG);
			assert_contains(err.text, "offer: ");
			assert_contains(err.text, rows[i].says);
		} else {
			assert_ok(settings_check(&s, &err), &err);
		}
		settings_done(&s);
	}
}

static void listen_address_splits(void **state)
{
	static const struct {
		const char *listen, *host, *port;
	} rows[] = { { "127.0.0.1:4599", "127.0.0.1", "4599" },
		     { "[::1]:0", "::1", "0" } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct mh_err err = MH_ERR_INIT;
		CLEAN(free) char *host = NULL;
		CLEAN(free) char *port = NULL;

		assert_ok(settings_split_listen(rows[i].listen, &host, &port, &err),
			  &err);
		assert_string_equal(host, rows[i].host);
		assert_string_equal(port, rows[i].port);
	}
}

static char *dump(const struct settings *s)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	conf_dump(out, settings_keys, s);
	assert_int_equal(fclose(out), 0);
	return text;
}

static void dump_read_back_gives_the_same_settings(void **state)
{
	struct fixture *f = *state;
	struct mh_err err = MH_ERR_INIT;
	struct settings again = { 0 };
	CLEAN(free) char *first = NULL;
	CLEAN(free) char *second = NULL;

	write_file(f, "data_dir = \"/x\";\nstrict_ack = true;\nmax_object = \"3M\";\n"
		      "keys = ( { access_key_id = \"AK\"; secret_access_key = "
		      "\"s3cr3ts\"; } );\n"
		      "offer = ( { aws = \"Build/CodeBuild/1\"; as = "
		      "\"Build/Custom/CodeBuild/1\"; } );\n");
	assert_ok(settings_read(f->path, &f->s, &err), &err);
	first = dump(&f->s);
	assert_contains(first, "aws = \"Build/CodeBuild/1\"");
	assert_null(strstr(first, "s3cr3ts"));
	write_file(f, first);
	assert_ok(settings_read(f->path, &again, &err), &err);
	second = dump(&again);
	assert_string_equal(first, second);
	settings_done(&again);
}

static void sample_file_shows_every_key_at_its_default(void **state)
{
	struct fixture *f = *state;
	struct mh_err err = MH_ERR_INIT;
	const char *srcdir = getenv("MH_SRCDIR");
	CLEAN(free)
	char *path = mh_format("%s/etc/emulator.conf", srcdir ? srcdir : ".");
	CLEAN(buf) struct buf b = BUF_INIT(1024 * 1024);
	CLEAN(free) char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	(void)f;
	assert_non_null(out);
	conf_sample(out, settings_keys);
	assert_int_equal(fclose(out), 0);
	assert_ok(fs_read_at(AT_FDCWD, path, &b, &err), &err);
	/* Its first lines are the file's own; the rest is the table's. */
	assert_contains(buf_text(&b), text);
}

int main(void)
{
#define ROW(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		ROW(defaults_are_what_the_reference_says),
		ROW(option_wins_over_file_and_file_over_default),
		ROW(wrong_file_is_told_with_file_and_line),
		ROW(wrong_option_is_told_by_its_name),
		ROW(settings_that_no_row_can_check_are_checked),
		ROW(offers_are_checked),
		ROW(listen_address_splits),
		ROW(dump_read_back_gives_the_same_settings),
		ROW(sample_file_shows_every_key_at_its_default),
	};

	return cmocka_run_group_tests_name("settings", tests, NULL, NULL);
}
