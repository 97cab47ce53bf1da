/* A job's sealed credentials: scope, tampering, the key file. */
#include "tests/unit/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "emulator/jobcreds.h"
#include "lib/base/fsio.h"
#include "lib/base/str.h"

static const struct creds_object inputs[] = { { "artifacts", "p/Source/AAAAAAA" },
					      { "artifacts", "p/Tools/\xc3\xa9 x" } };
static const struct creds_object outputs[] = { { "artifacts", "p/Dist/BBBBBBB" } };

struct fixture {
	char dir[64];
	struct creds_key *key;
};

static int setup(void **state)
{
	struct fixture *f = mh_alloc(sizeof(*f));
	struct mh_err err = MH_ERR_INIT;

	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/mh-test-creds-XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	assert_ok(creds_key_open(f->dir, &f->key, &err), &err);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	struct mh_err err = MH_ERR_INIT;

	creds_key_free(f->key);
	assert_ok(fs_remove_tree_at(AT_FDCWD, f->dir, &err), &err);
	free(f);
	return 0;
}

static void seal(struct fixture *f, struct job_creds *c)
{
	job_creds_seal(f->key, inputs, ARRAY_LEN(inputs), outputs, ARRAY_LEN(outputs),
		       1234567, c);
}

static void opened_token_gives_what_was_sealed(void **state)
{
	struct fixture *f = *state;
	struct mh_err err = MH_ERR_INIT;
	struct job_creds c;
	struct opened_creds o;

	seal(f, &c);
	assert_int_equal(c.expires_ms, 1234567);
	assert_int_equal(strlen(c.access_key_id), 20);
	assert_true(str_starts_with(c.access_key_id, "ASIA"));
	assert_int_equal(strlen(c.secret_access_key), 40);
	assert_ok(job_creds_open(f->key, c.session_token, &o, &err), &err);
	assert_string_equal(o.access_key_id, c.access_key_id);
	assert_string_equal(o.secret_access_key, c.secret_access_key);
	assert_int_equal(o.expires_ms, 1234567);
	assert_int_equal(o.input_count, 2);
	assert_int_equal(o.output_count, 1);
	opened_creds_done(&o);
	job_creds_done(&c);
}

static void token_opens_its_own_objects_alone(void **state)
{
	static const struct {
		const char *bucket, *key;
		bool read, write;
	} rows[] = {
		{ "artifacts", "p/Source/AAAAAAA", true, false },
		{ "artifacts", "p/Tools/\xc3\xa9 x", true, false },
		{ "artifacts", "p/Dist/BBBBBBB", false, true },
		{ "artifacts", "p/Dist/BBBBBBB2", false, false },
		{ "artifacts", "p/Dist/BBBBBB", false, false },
		{ "artifacts", "p/Source/", false, false },
		{ "artifacts", "", false, false },
		{ "other", "p/Source/AAAAAAA", false, false },
		{ "", "p/Source/AAAAAAA", false, false },
	};
	struct fixture *f = *state;
	struct mh_err err = MH_ERR_INIT;
	struct job_creds c;
	struct opened_creds o;

	seal(f, &c);
	assert_ok(job_creds_open(f->key, c.session_token, &o, &err), &err);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(opened_creds_may_read(&o, rows[i].bucket, rows[i].key),
				 rows[i].read);
		assert_int_equal(opened_creds_may_write(&o, rows[i].bucket, rows[i].key),
				 rows[i].write);
	}
	opened_creds_done(&o);
	job_creds_done(&c);
}

static void job_without_artifacts_may_do_nothing(void **state)
{
	struct fixture *f = *state;
	struct mh_err err = MH_ERR_INIT;
	struct job_creds c;
	struct opened_creds o;

	job_creds_seal(f->key, NULL, 0, NULL, 0, 1, &c);
	assert_ok(job_creds_open(f->key, c.session_token, &o, &err), &err);
	assert_false(opened_creds_may_read(&o, "artifacts", "p/Source/AAAAAAA"));
	opened_creds_done(&o);
	job_creds_done(&c);
}

static void two_seals_share_nothing(void **state)
{
	struct fixture *f = *state;
	struct job_creds a, b;

	seal(f, &a);
	seal(f, &b);
	assert_string_not_equal(a.access_key_id, b.access_key_id);
	assert_string_not_equal(a.secret_access_key, b.secret_access_key);
	assert_string_not_equal(a.session_token, b.session_token);
	assert_null(strstr(a.session_token, a.secret_access_key));
	job_creds_done(&a);
	job_creds_done(&b);
}

static void key_id_is_known_as_a_jobs_by_its_tag(void **state)
{
	static const char *const others[] = { "", "ASIA", "AKIAIOSFODNN7EXAMPLE",
					      "ASIAIOSFODNN7EXAMPLE",
					      "ASIAIOSFODNN7EXAMPLES" };
	struct fixture *f = *state;
	struct job_creds c;

	for (int i = 0; i < 100; i++) {
		seal(f, &c);
		assert_true(job_creds_is_key_id(f->key, c.access_key_id));
		assert_false(job_creds_is_key_id(NULL, c.access_key_id));
		c.access_key_id[10] = c.access_key_id[10] == 'A' ? 'B' : 'A';
		assert_false(job_creds_is_key_id(f->key, c.access_key_id));
		job_creds_done(&c);
	}
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		assert_false(job_creds_is_key_id(f->key, others[i]));
}

static void foreign_token_is_not_found(void **state)
{
	static const char *const rows[] = {
		"",       "x",           "FwoGZXIvYXdzEJr//////////wEaDExampleToken",
		"MHJOB1", "mhjob1/AAAA", "MHJOB2/AAAA"
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct mh_err err = MH_ERR_INIT;
		struct opened_creds o;

		assert_fails(job_creds_open(f->key, rows[i], &o, &err), &err,
			     MH_E_NOTFOUND);
	}
}

static void damaged_token_is_refused_wherever_it_is_damaged(void **state)
{
	struct fixture *f = *state;
	struct mh_err err = MH_ERR_INIT;
	struct job_creds c;
	struct opened_creds o;
	size_t len;

	seal(f, &c);
	len = strlen(c.session_token);
	for (size_t i = strlen("MHJOB1/"); i < len; i++) {
		char old = c.session_token[i];

		c.session_token[i] = old == 'A' ? 'B' : 'A';
		assert_fails(job_creds_open(f->key, c.session_token, &o, &err), &err,
			     MH_E_AUTH);
		c.session_token[i] = old;
	}
	for (size_t cut = len - 1; cut >= strlen("MHJOB1/"); cut -= cut > 40 ? 31 : 1) {
		CLEAN(free) char *half = mh_strndup(c.session_token, cut);

		assert_fails(job_creds_open(f->key, half, &o, &err), &err, MH_E_AUTH);
	}
	assert_ok(job_creds_open(f->key, c.session_token, &o, &err), &err);
	opened_creds_done(&o);
	job_creds_done(&c);
}

static void token_survives_a_restart_and_dies_with_its_key(void **state)
{
	struct fixture *f = *state;
	struct mh_err err = MH_ERR_INIT;
	struct job_creds c;
	struct opened_creds o;
	CLEAN(free) char *file = mh_format("%s/creds.key", f->dir);
	struct stat st;

	seal(f, &c);
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	creds_key_free(f->key);
	assert_ok(creds_key_open(f->dir, &f->key, &err), &err);
	assert_ok(job_creds_open(f->key, c.session_token, &o, &err), &err);
	opened_creds_done(&o);
	creds_key_free(f->key);
	assert_int_equal(unlink(file), 0);
	assert_ok(creds_key_open(f->dir, &f->key, &err), &err);
	assert_fails(job_creds_open(f->key, c.session_token, &o, &err), &err, MH_E_AUTH);
	job_creds_done(&c);
}

static void bad_key_file_is_told_with_its_path(void **state)
{
	struct fixture *f = *state;
	struct mh_err err = MH_ERR_INIT;
	struct creds_key *key = NULL;
	CLEAN(free) char *file = mh_format("%s/creds.key", f->dir);

	assert_int_equal(chmod(file, 0644), 0);
	assert_fails(creds_key_open(f->dir, &key, &err), &err, MH_E_CONFIG);
	assert_contains(err.text, file);
	assert_contains(err.text, "644");
	assert_int_equal(chmod(file, 0600), 0);
	assert_int_equal(truncate(file, 31), 0);
	assert_fails(creds_key_open(f->dir, &key, &err), &err, MH_E_CONFIG);
	assert_contains(err.text, "31 bytes");
	assert_fails(creds_key_open("/nonexistent/dir", &key, &err), &err, MH_E_NOTFOUND);
}

int main(void)
{
#define ROW(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		ROW(opened_token_gives_what_was_sealed),
		ROW(token_opens_its_own_objects_alone),
		ROW(job_without_artifacts_may_do_nothing),
		ROW(two_seals_share_nothing),
		ROW(key_id_is_known_as_a_jobs_by_its_tag),
		ROW(foreign_token_is_not_found),
		ROW(damaged_token_is_refused_wherever_it_is_damaged),
		ROW(token_survives_a_restart_and_dies_with_its_key),
		ROW(bad_key_file_is_told_with_its_path),
	};

	return cmocka_run_group_tests_name("jobcreds", tests, NULL, NULL);
}
