/* The ledger: what was committed is there again, what another version made is left alone.
 */
#include "tests/unit/test.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/ledger.h"
#include "lib/base/fsio.h"
#include "lib/base/macros.h"

struct place {
	char dir[64];
};

static int make_place(void **ctx)
{
	struct place *p = mh_alloc(sizeof(*p));

	(void)snprintf(p->dir, sizeof(p->dir), "/tmp/mh-ledger-XXXXXX");
	if (!mkdtemp(p->dir))
		return -1;
	*ctx = p;
	return 0;
}

static int remove_place(void **ctx)
{
	struct place *p = *ctx;
	struct mh_err err;
	int rc = fs_remove_tree_at(AT_FDCWD, p->dir, &err);

	free(p);
	return rc;
}

static struct ledger *open_in(struct place *p)
{
	struct ledger *l = NULL;
	struct mh_err err = MH_ERR_INIT;

	assert_ok(ledger_open(p->dir, &l, &err), &err);
	return l;
}

static void sql_in(struct place *p, const char *sql)
{
	CLEAN(free) char *path = mh_format("%s/ledger.db", p->dir);
	sqlite3 *db = NULL;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(db));
	sqlite3_close(db);
}

static struct job_record sample(int64_t n)
{
	struct job_record rec = { .n = n,
				  .nonce = "12",
				  .entry = mh_strdup("Build/Custom/Make/1?Name=x"),
				  .state = JOB_REPORTING,
				  .owned = true,
				  .put_doubt = true,
				  .ack_attempts = 2,
				  .put_attempts = 3,
				  .runs = 1,
				  .offered_ms = 11,
				  .owned_ms = 12,
				  .deadline_ms = INT64_C(1) << 50,
				  .started_ms = 14,
				  .outcome_ms = 15,
				  .due_ms = 16,
				  .boot_id = "b",
				  .outcome = mh_strdup("{\"kind\":\"failure\"}"),
				  .kind = OUTCOME_FAILURE,
				  .failure = FAIL_OUT_OF_SYNC,
				  .pipeline = "P",
				  .stage = "S",
				  .action = "A",
				  .execution_id = "e",
				  .action_execution_id = "ae" };

	(void)snprintf(rec.id, sizeof(rec.id), "00000000-0000-0000-0000-%012lld",
		       (long long)n);
	return rec;
}

static void write_one(struct ledger *l, const struct job_record *rec)
{
	struct mh_err err = MH_ERR_INIT;

	assert_ok(ledger_begin(l, true, &err), &err);
	assert_ok(ledger_put(l, rec, &err), &err);
	assert_ok(ledger_commit(l, &err), &err);
}

static size_t count_open(struct ledger *l)
{
	struct job_record *rows = NULL;
	struct mh_err err = MH_ERR_INIT;
	size_t count = 0;

	assert_ok(ledger_load(l, &rows, &count, &err), &err);
	for (size_t i = 0; i < count; i++)
		job_record_done(&rows[i]);
	free(rows);
	return count;
}

/* Field by field: what lies between them is nobody's. */
static void assert_same(const struct job_record *a, const struct job_record *b)
{
	assert_int_equal(a->n, b->n);
	assert_int_equal(a->state, b->state);
	assert_int_equal(a->end, b->end);
	assert_int_equal(a->owned, b->owned);
	assert_int_equal(a->put_doubt, b->put_doubt);
	assert_int_equal(a->ack_attempts, b->ack_attempts);
	assert_int_equal(a->put_attempts, b->put_attempts);
	assert_int_equal(a->runs, b->runs);
	assert_int_equal(a->offered_ms, b->offered_ms);
	assert_int_equal(a->owned_ms, b->owned_ms);
	assert_int_equal(a->deadline_ms, b->deadline_ms);
	assert_int_equal(a->started_ms, b->started_ms);
	assert_int_equal(a->outcome_ms, b->outcome_ms);
	assert_int_equal(a->due_ms, b->due_ms);
	assert_int_equal(a->closed_ms, b->closed_ms);
	assert_int_equal(a->kind, b->kind);
	assert_string_equal(a->id, b->id);
	assert_string_equal(a->client_id, b->client_id);
	assert_string_equal(a->entry, b->entry);
	assert_string_equal(a->nonce, b->nonce);
	assert_string_equal(a->boot_id, b->boot_id);
	assert_string_equal(a->outcome, b->outcome);
	assert_string_equal(a->failure, b->failure);
	assert_string_equal(a->pipeline, b->pipeline);
	assert_string_equal(a->stage, b->stage);
	assert_string_equal(a->action, b->action);
	assert_string_equal(a->execution_id, b->execution_id);
	assert_string_equal(a->action_execution_id, b->action_execution_id);
}

static void a_record_is_the_same_after_reopening(void **ctx)
{
	struct ledger *l = open_in(*ctx);
	struct job_record want = sample(ledger_next_n(l)), *rows = NULL;
	struct mh_err err = MH_ERR_INIT;
	size_t count = 0;

	write_one(l, &want);
	ledger_close(l);
	l = open_in(*ctx);
	assert_ok(ledger_load(l, &rows, &count, &err), &err);
	assert_int_equal(count, 1);
	assert_same(&rows[0], &want);
	job_record_done(&rows[0]);
	free(rows);
	job_record_done(&want);
	assert_int_equal(ledger_next_n(l), 2);
	ledger_close(l);
}

static void numbers_are_never_given_twice_even_when_rows_are_gone(void **ctx)
{
	struct ledger *l = open_in(*ctx);
	struct job_record rec = sample(ledger_next_n(l));
	struct mh_err err = MH_ERR_INIT;

	rec.state = JOB_CLOSED;
	rec.closed_ms = 5;
	write_one(l, &rec);
	assert_ok(ledger_prune(l, 100, 0, &err), &err);
	ledger_close(l);
	l = open_in(*ctx);
	assert_int_equal(count_open(l), 0);
	assert_int_equal(ledger_next_n(l), 2);
	ledger_close(l);
	job_record_done(&rec);
}

static void what_was_not_committed_is_not_there(void **ctx)
{
	struct ledger *l = open_in(*ctx);
	struct job_record rec = sample(1);
	struct mh_err err = MH_ERR_INIT;

	assert_ok(ledger_begin(l, true, &err), &err);
	assert_ok(ledger_put(l, &rec, &err), &err);
	ledger_rollback(l);
	assert_int_equal(count_open(l), 0);
	write_one(l, &rec);
	assert_int_equal(count_open(l), 1);
	job_record_done(&rec);
	ledger_close(l);
}

static void sync_can_be_left_out_and_taken_up_again(void **ctx)
{
	struct ledger *l = open_in(*ctx);
	struct mh_err err = MH_ERR_INIT;

	for (int64_t n = 1; n <= 4; n++) {
		struct job_record rec = sample(n);

		assert_ok(ledger_begin(l, n % 2 == 0, &err), &err);
		assert_ok(ledger_put(l, &rec, &err), &err);
		assert_ok(ledger_commit(l, &err), &err);
		job_record_done(&rec);
	}
	assert_int_equal(count_open(l), 4);
	ledger_close(l);
}

static void only_acknowledged_jobs_count_as_ours(void **ctx)
{
	struct ledger *l = open_in(*ctx);
	struct job_record ours = sample(1), lost = sample(2), open = sample(3);
	struct mh_err err = MH_ERR_INIT;
	bool was = true;

	ours.state = JOB_CLOSED;
	lost.state = JOB_CLOSED;
	lost.owned = false;
	write_one(l, &ours);
	write_one(l, &lost);
	write_one(l, &open);
	assert_ok(ledger_was_ours(l, ours.id, &was, &err), &err);
	assert_true(was);
	assert_ok(ledger_was_ours(l, lost.id, &was, &err), &err);
	assert_false(was);
	assert_ok(ledger_was_ours(l, open.id, &was, &err), &err);
	assert_false(was);
	job_record_done(&ours);
	job_record_done(&lost);
	job_record_done(&open);
	ledger_close(l);
}

static void the_newest_failures_are_listed_and_old_rows_forgotten(void **ctx)
{
	struct ledger *l = open_in(*ctx);
	struct mh_err err = MH_ERR_INIT;
	int64_t failed[3] = { 0 };
	size_t count = 0;

	for (int64_t n = 1; n <= 6; n++) {
		struct job_record rec = sample(n);

		rec.state = JOB_CLOSED;
		rec.closed_ms = n;
		if (n == 5)
			rec.kind = OUTCOME_SUCCESS;
		write_one(l, &rec);
		job_record_done(&rec);
	}
	assert_ok(ledger_finished(l, OUTCOME_FAILURE, 0, failed, 3, &count, &err), &err);
	assert_int_equal(count, 3);
	assert_int_equal(failed[0], 6);
	assert_int_equal(failed[1], 4);
	assert_int_equal(failed[2], 3);
	assert_ok(ledger_prune(l, 100, 2, &err), &err);
	assert_ok(ledger_finished(l, OUTCOME_FAILURE, 0, failed, 3, &count, &err), &err);
	assert_int_equal(count, 1);
	ledger_close(l);
}

static void a_ledger_of_another_version_is_refused_and_left_alone(void **ctx)
{
	static const struct {
		const char *sql, *words;
	} rows[] = {
		{ "PRAGMA user_version=3", "a newer version" },
		{ "PRAGMA user_version=0", "an older version" },
		{ "PRAGMA application_id=1", "no ledger of millhand-agent" },
	};
	struct place *p = *ctx;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEAN(free) char *path = mh_format("%s/ledger.db", p->dir);
		struct ledger *l = open_in(p);
		struct mh_err err = MH_ERR_INIT;
		struct stat before, after;

		ledger_close(l);
		sql_in(p, rows[i].sql);
		assert_int_equal(stat(path, &before), 0);
		assert_fails(ledger_open(p->dir, &l, &err), &err, MH_E_VERSION);
		assert_contains(err.text, rows[i].words);
		assert_contains(err.text, p->dir);
		assert_int_equal(stat(path, &after), 0);
		assert_int_equal(before.st_size, after.st_size);
		assert_int_equal(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
		assert_int_equal(unlink(path), 0);
	}
}

static void a_ledger_of_an_older_version_keeps_its_jobs(void **ctx)
{
	struct job_record rec = sample(1);
	struct job_record *rows = NULL;
	struct ledger *l = open_in(*ctx);
	struct mh_err err = MH_ERR_INIT;
	size_t count = 0;

	write_one(l, &rec);
	ledger_close(l);
	sql_in(*ctx, "ALTER TABLE jobs DROP COLUMN client_id; PRAGMA user_version=1");
	for (int i = 0; i < 2; i++) { /* the second time it is of this version */
		l = open_in(*ctx);
		assert_ok(ledger_load(l, &rows, &count, &err), &err);
		assert_int_equal(count, 1);
		assert_string_equal(rows[0].id, rec.id);
		assert_string_equal(rows[0].client_id, "");
		job_record_done(&rows[0]);
		free(rows);
		rows = NULL;
		ledger_close(l);
	}
	job_record_done(&rec);
}

static void a_third_partys_job_keeps_its_client_and_any_id(void **ctx)
{
	struct job_record rec = sample(1);
	struct job_record *rows = NULL;
	struct ledger *l = open_in(*ctx);
	struct mh_err err = MH_ERR_INIT;
	size_t count = 0;

	(void)snprintf(rec.id, sizeof(rec.id), "no UUID, ../x");
	(void)snprintf(rec.client_id, sizeof(rec.client_id),
		       "c11e0000-0000-4000-8000-000000000001");
	write_one(l, &rec);
	assert_ok(ledger_load(l, &rows, &count, &err), &err);
	assert_int_equal(count, 1);
	assert_string_equal(rows[0].id, rec.id);
	assert_string_equal(rows[0].client_id, rec.client_id);
	job_record_done(&rows[0]);
	free(rows);
	ledger_close(l);
	sql_in(*ctx, "UPDATE jobs SET client_id='me'");
	l = open_in(*ctx);
	assert_fails(ledger_load(l, &rows, &count, &err), &err, MH_E_PROTO);
	ledger_close(l);
	job_record_done(&rec);
}

static void a_file_that_is_no_database_is_refused(void **ctx)
{
	struct place *p = *ctx;
	CLEAN(free) char *path = mh_format("%s/ledger.db", p->dir);
	struct ledger *l = NULL;
	struct mh_err err = MH_ERR_INIT;
	static const char text[] =
		"this is not a database, but it is long enough to be one";

	assert_ok(fs_write_atomic_at(AT_FDCWD, path, text, sizeof(text), 0600, &err),
		  &err);
	assert_fails(ledger_open(p->dir, &l, &err), &err, MH_E_PROTO);
	assert_contains(err.text, "ledger.db");
	assert_contains(err.text, "move it away");
}

static void a_row_that_we_did_not_write_is_an_error_not_a_guess(void **ctx)
{
	static const struct {
		const char *sql, *says;
	} rows[] = {
		{ "UPDATE jobs SET state='dancing'", "dancing" },
		{ "UPDATE jobs SET outcome=NULL", "no outcome" },
		{ "UPDATE jobs SET outcome='{'", "recorded outcome" },
		{ "UPDATE jobs SET job_id='../../x'", "is damaged" },
		{ "UPDATE jobs SET n=-1", "is damaged" },
	};
	struct place *p = *ctx;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct ledger *l = open_in(p);
		struct job_record rec = sample(1), *loaded = NULL;
		struct mh_err err = MH_ERR_INIT;
		size_t count = 0;

		write_one(l, &rec);
		ledger_close(l);
		sql_in(p, rows[i].sql);
		l = open_in(p);
		assert_fails(ledger_load(l, &loaded, &count, &err), &err, MH_E_PROTO);
		assert_contains(err.text, rows[i].says);
		assert_contains(err.text, "move it away");
		ledger_close(l);
		sql_in(p, "DELETE FROM jobs");
		job_record_done(&rec);
	}
}

/* Record locks are per process, so the second agent is one. */
static void a_second_agent_is_told_who_has_the_directory(void **ctx)
{
	struct place *p = *ctx;
	struct ledger *l = open_in(p);
	int status = 0;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		struct ledger *other = NULL;
		struct mh_err err = MH_ERR_INIT;
		CLEAN(free) char *who = mh_format("pid %ld", (long)getppid());
		bool told = ledger_open(p->dir, &other, &err) == -1 &&
			    err.cls == MH_E_DENIED && strstr(err.text, who) != NULL;

		_exit(told ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	ledger_close(l);
}

#define T(f) cmocka_unit_test_setup_teardown(f, make_place, remove_place)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_record_is_the_same_after_reopening),
		T(numbers_are_never_given_twice_even_when_rows_are_gone),
		T(what_was_not_committed_is_not_there),
		T(sync_can_be_left_out_and_taken_up_again),
		T(only_acknowledged_jobs_count_as_ours),
		T(the_newest_failures_are_listed_and_old_rows_forgotten),
		T(a_ledger_of_another_version_is_refused_and_left_alone),
		T(a_ledger_of_an_older_version_keeps_its_jobs),
		T(a_third_partys_job_keeps_its_client_and_any_id),
		T(a_file_that_is_no_database_is_refused),
		T(a_row_that_we_did_not_write_is_an_error_not_a_guess),
		T(a_second_agent_is_told_who_has_the_directory),
	};

	return cmocka_run_group_tests_name("ledger", tests, NULL, NULL);
}
