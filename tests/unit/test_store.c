/* The store's ground: versions, transactions, cached statements. */
#include "tests/unit/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "emulator/op.h"
#include "emulator/store/store.h"
#include "lib/base/fsio.h"

struct fixture {
	char dir[64];
	char path[96];
	struct store *store; /* in memory, with the table t */
};

static void run(struct store *s, const char *sql)
{
	struct mh_err err = MH_ERR_INIT;

	assert_ok(store_exec(s, NULL, &err, sql, ""), &err);
}

static int64_t number(struct store *s, const char *sql)
{
	struct mh_err err = MH_ERR_INIT;
	CLEAN(stmt) struct stmt q;

	store_query(s, &q, sql, "");
	assert_int_equal(stmt_next(&q, &err), 1);
	return stmt_i64(&q, 0);
}

static int setup(void **state)
{
	struct fixture *f = mh_alloc(sizeof(*f));
	struct mh_err err = MH_ERR_INIT;

	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/mh-test-store-XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	(void)snprintf(f->path, sizeof(f->path), "%s/emulator.db", f->dir);
	assert_ok(store_open(":memory:", &f->store, &err), &err);
	run(f->store, "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, n INTEGER)");
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	struct mh_err err = MH_ERR_INIT;

	store_close(f->store);
	assert_ok(fs_remove_tree_at(AT_FDCWD, f->dir, &err), &err);
	free(f);
	return 0;
}

/* ---- versions ---- */

static void store_reopens_what_it_made(void **state)
{
	struct fixture *f = *state;
	struct mh_err err = MH_ERR_INIT;
	struct store *s = NULL;

	assert_ok(store_open(f->path, &s, &err), &err);
	run(s, "CREATE TABLE kept (x)");
	run(s, "INSERT INTO kept VALUES (7)");
	store_close(s);
	assert_ok(store_open(f->path, &s, &err), &err);
	assert_int_equal(number(s, "SELECT x FROM kept"), 7);
	assert_int_equal(number(s, "PRAGMA user_version"), STORE_SCHEMA_VERSION);
	assert_int_equal(number(s, "PRAGMA synchronous"), 2);
	assert_int_equal(number(s, "PRAGMA foreign_keys"), 1);
	store_close(s);
}

/* Takes away what the migrations bring: format 1. */
static void make_first_format(struct store *s)
{
	run(s, "DROP TABLE alarms");
	run(s, "DROP TABLE conditions");
	run(s, "DROP INDEX action_executions_by_condition");
	run(s, "DROP INDEX action_executions_rules");
	run(s, "DROP INDEX action_executions_rules_running");
	run(s, "ALTER TABLE action_executions DROP COLUMN condition");
	run(s, "ALTER TABLE stage_executions DROP COLUMN condition");
	run(s, "ALTER TABLE stage_executions DROP COLUMN phase");
	run(s, "ALTER TABLE stage_executions DROP COLUMN retried_by_itself");
	run(s, "ALTER TABLE stage_executions DROP COLUMN auto_retries");
	run(s, "ALTER TABLE executions DROP COLUMN rollback_target");
	run(s, "DROP TABLE webhooks");
	run(s, "DROP TABLE schedules");
	run(s, "DROP TABLE source_refs");
	run(s, "DROP TABLE source_watches");
	run(s, "DROP TABLE source_revisions");
	run(s, "ALTER TABLE executions DROP COLUMN origin");
	run(s, "DROP TABLE s3_version");
	run(s, "ALTER TABLE s3_part DROP COLUMN checksum");
	run(s, "ALTER TABLE s3_multipart DROP COLUMN tags");
	run(s, "ALTER TABLE s3_object DROP COLUMN rank");
	run(s, "ALTER TABLE s3_object DROP COLUMN version_id");
	run(s, "ALTER TABLE s3_object DROP COLUMN tags");
	run(s, "ALTER TABLE s3_bucket DROP COLUMN versioning");
	run(s, "ALTER TABLE jobs DROP COLUMN result");
	run(s, "ALTER TABLE jobs DROP COLUMN acked_by");
	run(s, "DROP TABLE events");
	run(s, "ALTER TABLE stage_executions DROP COLUMN retried_ms");
	run(s, "ALTER TABLE executions DROP COLUMN attempt");
	run(s, "DROP TABLE marks");
	run(s, "DROP TABLE outbound_transitions");
	run(s, "ALTER TABLE stage_executions DROP COLUMN manual_retries");
	run(s, "ALTER TABLE stage_executions DROP COLUMN first_action");
	run(s, "ALTER TABLE executions DROP COLUMN stop_reason");
	run(s, "ALTER TABLE executions DROP COLUMN stop_abandons");
	run(s, "DROP TABLE integrations");
	run(s, "PRAGMA user_version = 1");
}

static void store_of_an_older_format_is_brought_up_to_date(void **state)
{
	struct fixture *f = *state;
	struct mh_err err = MH_ERR_INIT;
	struct store *s = NULL;

	assert_ok(store_open(f->path, &s, &err), &err);
	run(s, "CREATE TABLE kept (x)");
	run(s, "INSERT INTO kept VALUES (7)");
	run(s, "INSERT INTO pipelines VALUES (1, 'P', 2, 'V1', 'QUEUED', NULL, 0, 0)");
	run(s, "INSERT INTO pipeline_versions VALUES (1, 2, '{\"stages\":[{\"actions\":["
	       "{\"actionTypeId\":{\"owner\":\"AWS\",\"provider\":\"CodeCommit\"},"
	       "\"configuration\":{\"RepositoryName\":\"my-app\"}},"
	       "{\"actionTypeId\":{\"owner\":\"Custom\",\"provider\":\"S3\"}},"
	       "{\"actionTypeId\":{\"owner\":\"AWS\",\"provider\":\"S3\"},"
	       "\"configuration\":{\"S3Bucket\":\"b\",\"S3ObjectKey\":\"k\"}}]}]}',"
	       " 0)");
	make_first_format(s);
	store_close(s);
	for (int i = 0; i < 2; i++) { /* the second time there is nothing to do */
		assert_ok(store_open(f->path, &s, &err), &err);
		assert_int_equal(number(s, "PRAGMA user_version"), STORE_SCHEMA_VERSION);
		assert_int_equal(number(s, "SELECT x FROM kept"), 7);
		assert_int_equal(number(s, "SELECT count(*) FROM integrations"), 0);
		assert_int_equal(number(s, "SELECT count(stop_reason) FROM executions"),
				 0);
		assert_int_equal(number(s, "SELECT count(*) FROM s3_version"), 0);
		assert_int_equal(number(s, "SELECT count(*) FROM webhooks"), 0);
		assert_int_equal(
			number(s, "SELECT count(*) FROM source_watches"
				  " WHERE source = 'git:my-app' AND pipeline = 'P'"),
			1);
		assert_int_equal(number(s, "SELECT count(*) FROM source_watches"), 2);
		assert_int_equal(number(s, "SELECT count(version_id) FROM s3_object"), 0);
		store_close(s);
	}
}

static void store_of_another_version_is_refused(void **state)
{
	static const struct {
		const char *sql, *says;
	} rows[] = {
		{ "PRAGMA user_version = 99", "a newer millhand-emulator" },
		{ "PRAGMA user_version = 0", "an older millhand-emulator" },
		{ "PRAGMA application_id = 5", "not a database of millhand-emulator" },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct mh_err err = MH_ERR_INIT;
		struct store *s = NULL, *again = NULL;

		(void)unlink(f->path); /* the first time there is none */
		assert_ok(store_open(f->path, &s, &err), &err);
		run(s, "CREATE TABLE kept (x)");
		run(s, rows[i].sql);
		store_close(s);
		assert_fails(store_open(f->path, &again, &err), &err, MH_E_VERSION);
		assert_contains(err.text, rows[i].says);
		assert_null(again);
	}
}

static void store_refuses_a_file_that_is_no_database(void **state)
{
	struct fixture *f = *state;
	struct mh_err err = MH_ERR_INIT;
	struct store *s = NULL;
	FILE *file = fopen(f->path, "we");

	assert_non_null(file);
	for (int i = 0; i < 200; i++)
		assert_true(fputs("this is no database at all\n", file) >= 0);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(store_open(f->path, &s, &err), -1);
	assert_contains(err.text, f->path);
	assert_contains(err.text, "not a database");
}

/* ---- transactions ---- */

static void savepoint_rolls_back_alone(void **state)
{
	struct fixture *f = *state;
	struct store *s = f->store;
	struct mh_err err = MH_ERR_INIT;

	assert_ok(store_begin(s, &err), &err);
	run(s, "INSERT INTO t (n) VALUES (1)");
	assert_ok(store_savepoint(s, &err), &err);
	run(s, "INSERT INTO t (n) VALUES (2)");
	store_rollback_to(s);
	assert_ok(store_savepoint(s, &err), &err);
	run(s, "INSERT INTO t (n) VALUES (4)");
	assert_ok(store_release(s, &err), &err);
	assert_true(store_in_transaction(s));
	assert_ok(store_commit(s, &err), &err);
	assert_false(store_in_transaction(s));
	assert_int_equal(number(s, "SELECT sum(n) FROM t"), 5);
}

static void rollback_keeps_nothing(void **state)
{
	struct fixture *f = *state;
	struct mh_err err = MH_ERR_INIT;

	assert_ok(store_begin(f->store, &err), &err);
	run(f->store, "INSERT INTO t (n) VALUES (1)");
	store_rollback(f->store);
	store_rollback(f->store); /* twice does no harm */
	assert_int_equal(number(f->store, "SELECT count(*) FROM t"), 0);
}

/* ---- statements ---- */

static void statement_binds_text_null_and_numbers(void **state)
{
	struct fixture *f = *state;
	struct mh_err err = MH_ERR_INIT;
	CLEAN(stmt) struct stmt q;
	int64_t changed = 0;

	assert_ok(store_exec(f->store, &changed, &err,
			     "INSERT INTO t (name, n) VALUES (?, ?), (?, ?)", "sisd",
			     "a'b", INT64_MAX, (const char *)NULL, (int64_t)-5),
		  &err);
	assert_int_equal(changed, 2);
	assert_int_equal(store_last_rowid(f->store), 2);
	store_query(f->store, &q, "SELECT name, n FROM t ORDER BY id", "");
	assert_int_equal(stmt_next(&q, &err), 1);
	assert_string_equal(stmt_text(&q, 0), "a'b");
	assert_true(stmt_i64(&q, 1) == INT64_MAX);
	assert_int_equal(stmt_next(&q, &err), 1);
	assert_true(stmt_is_null(&q, 0));
	assert_null(stmt_text(&q, 0));
	assert_int_equal(stmt_i64(&q, 1), -5);
	assert_int_equal(stmt_next(&q, &err), 0);
}

static int64_t depth_sum(struct store *s, int64_t n)
{
	struct mh_err err = MH_ERR_INIT;
	CLEAN(stmt) struct stmt q;
	int64_t sum = 0;

	store_query(s, &q, "SELECT n FROM t WHERE n > ? ORDER BY n LIMIT 1", "i", n);
	if (stmt_next(&q, &err) == 1)
		sum = stmt_i64(&q, 0) + depth_sum(s, stmt_i64(&q, 0));
	return sum;
}

static void query_may_run_inside_itself(void **state)
{
	struct fixture *f = *state;

	run(f->store, "INSERT INTO t (n) VALUES (1), (2), (4), (8)");
	assert_int_equal(depth_sum(f->store, 0), 15);
	assert_int_equal(depth_sum(f->store, 0), 15);
}

static void wrong_sql_is_told_by_the_first_step(void **state)
{
	struct fixture *f = *state;
	struct mh_err err = MH_ERR_INIT;
	CLEAN(stmt) struct stmt q;

	store_query(f->store, &q, "SELECT x FROM nowhere", "");
	assert_fails(stmt_next(&q, &err), &err, MH_E_SYS);
	assert_contains(err.text, "nowhere");
	assert_fails(
		store_exec(f->store, NULL, &err, "INSERT INTO nowhere VALUES (1)", ""),
		&err, MH_E_SYS);
}

static void broken_constraint_is_an_error_and_leaves_the_transaction(void **state)
{
	struct fixture *f = *state;
	struct store *s = f->store;
	struct mh_err err = MH_ERR_INIT;

	assert_ok(store_begin(s, &err), &err);
	run(s, "INSERT INTO t (id) VALUES (1)");
	assert_int_equal(store_exec(s, NULL, &err, "INSERT INTO t (id) VALUES (1)", ""),
			 -1);
	assert_contains(err.text, "UNIQUE");
	assert_ok(store_commit(s, &err), &err);
	assert_int_equal(number(s, "SELECT count(*) FROM t"), 1);
}

static void full_disk_has_a_class_of_its_own(void **state)
{
	struct fixture *f = *state;
	struct store *s = f->store;
	struct mh_err err = MH_ERR_INIT;
	int rc = 0;

	/* A page limit is SQLite's own full disk. */
	assert_true(number(s, "PRAGMA max_page_count = 20") > 0);
	assert_ok(store_begin(s, &err), &err);
	for (int i = 0; i < 100 && rc == 0; i++)
		rc = store_exec(s, NULL, &err,
				"INSERT INTO t (name) VALUES (zeroblob(4000))", "");
	assert_int_equal(rc, -1);
	assert_int_equal(err.cls, MH_E_FULL);
	store_rollback(s);
	assert_int_equal(number(s, "SELECT count(*) FROM t"), 0);
}

/* ---- op.c ---- */

static void seeded_ids_repeat_and_look_like_ids(void **state)
{
	struct ids a, b;
	char one[STR_UUID_SIZE], two[STR_UUID_SIZE], name[8], other[8];

	(void)state; /* needs no store */
	ids_init_seeded(&a, 42);
	ids_init_seeded(&b, 42);
	for (int i = 0; i < 100; i++) {
		a.uuid(&a, one);
		b.uuid(&b, two);
		assert_string_equal(one, two);
		assert_true(str_is_uuid(one));
		a.name(&a, 7, name);
		b.name(&b, 7, other);
		assert_string_equal(name, other);
		assert_int_equal(strlen(name), 7);
	}
	ids_random.uuid(&ids_random, two);
	assert_string_not_equal(one, two);
	ids_random.name(&ids_random, 7, name);
	assert_int_equal(strspn(name,
				"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				"0123456789"),
			 7);
}

static void api_error_is_cut_at_a_character(void **state)
{
	struct api_error err = { 0 };
	char text[6001];

	(void)state; /* needs no store */
	for (size_t i = 0; i < 6000; i += 2) {
		text[i] = (char)0xc3;
		text[i + 1] = (char)0xa9;
	}
	text[6000] = '\0';
	for (int blanks = 0; blanks < 3; blanks++) {
		assert_int_equal(api_fail(&err, "XException", "%*s%s", blanks, "", text),
				 -1);
		assert_int_equal(err.status, 400);
		assert_true(str_is_utf8(err.message, strlen(err.message)));
		assert_true(strlen(err.message) > 4000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(store_reopens_what_it_made, setup,
						teardown),
		cmocka_unit_test_setup_teardown(
			store_of_an_older_format_is_brought_up_to_date, setup, teardown),
		cmocka_unit_test_setup_teardown(store_of_another_version_is_refused,
						setup, teardown),
		cmocka_unit_test_setup_teardown(store_refuses_a_file_that_is_no_database,
						setup, teardown),
		cmocka_unit_test_setup_teardown(savepoint_rolls_back_alone, setup,
						teardown),
		cmocka_unit_test_setup_teardown(rollback_keeps_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(statement_binds_text_null_and_numbers,
						setup, teardown),
		cmocka_unit_test_setup_teardown(query_may_run_inside_itself, setup,
						teardown),
		cmocka_unit_test_setup_teardown(wrong_sql_is_told_by_the_first_step,
						setup, teardown),
		cmocka_unit_test_setup_teardown(
			broken_constraint_is_an_error_and_leaves_the_transaction, setup,
			teardown),
		cmocka_unit_test_setup_teardown(full_disk_has_a_class_of_its_own, setup,
						teardown),
		cmocka_unit_test(seeded_ids_repeat_and_look_like_ids),
		cmocka_unit_test(api_error_is_cut_at_a_character),
	};

	return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
