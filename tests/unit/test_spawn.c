/* Helper programs of the built-in workers, and names that are filled in. */
#include <sys/eventfd.h>

#include "emulator/builtin/spawn.h"
#include "emulator/builtin/task.h"
#include "tests/unit/no_pidfd.h"
#include "tests/unit/test.h"

static void placeholders_of_a_key_are_filled_in(void **state)
{
	static const struct {
		const char *template, *want;
	} rows[] = {
		{ "", "" },
		{ "plain/key.zip", "plain/key.zip" },
		{ "a/{datetime}/b", "a/2023-11-14T22:13:20.000Z/b" },
		{ "{uuid}-{uuid}", "u-u-u-u" },
		{ "{other} {uuid", "{other} {uuid" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEAN(free)
		char *key = deploy_key(rows[i].template, 1700000000000, "u-u");

		assert_string_equal(key, rows[i].want);
	}
}

/* argv under a deadline, with an end asked for by cancel_fd (-1: by nobody). */
static int run(const char *const *argv, int cancel_fd, int64_t timeout_ms,
	       struct buf *out, int *ret_code, struct mh_err *err)
{
	static const char *const envp[] = { "PATH=/usr/bin:/bin", NULL };

	return spawn_run(&(struct spawn_request){ .argv = argv,
						  .envp = envp,
						  .stdin_fd = -1,
						  .cancel_fd = cancel_fd,
						  .stdout_fd = -1,
						  .out = out,
						  .timeout_ms = timeout_ms },
			 ret_code, err);
}

static int run_shell(const char *script, int cancel_fd, int64_t timeout_ms,
		     struct buf *out, int *ret_code, struct mh_err *err)
{
	const char *const argv[] = { "/bin/sh", "-c", script, NULL };

	return run(argv, cancel_fd, timeout_ms, out, ret_code, err);
}

static void a_program_that_does_not_end_is_killed_with_its_children(void **state)
{
	CLEAN(buf) struct buf out = BUF_INIT(64);
	struct mh_err err = MH_ERR_INIT;
	int code;

	(void)state;
	assert_fails(
		run_shell("cat </dev/zero >/dev/null & wait", -1, 50, &out, &code, &err),
		&err, MH_E_TIMEOUT);
}

static void a_program_is_killed_when_its_caller_stops(void **state)
{
	struct mh_err err = MH_ERR_INIT;
	CLEAN(fd) int cancel_fd = eventfd(1, EFD_CLOEXEC);
	int code;

	(void)state;
	assert_fails(run_shell("exec cat /dev/zero >/dev/null", cancel_fd, 60000, NULL,
			       &code, &err),
		     &err, MH_E_CANCELLED);
}

static void a_program_that_closed_its_output_is_killed_at_its_deadline(void **state)
{
	CLEAN(buf) struct buf out = BUF_INIT(64);
	struct mh_err err = MH_ERR_INIT;
	int code;

	(void)state;
	assert_fails(run_shell("exec cat /dev/zero >/dev/null 2>&1", -1, 200, &out, &code,
			       &err),
		     &err, MH_E_TIMEOUT);
}

static void too_much_output_is_thrown_away_not_kept_waiting(void **state)
{
	CLEAN(buf) struct buf out = BUF_INIT(100);
	struct mh_err err = MH_ERR_INIT;
	int code;

	(void)state;
	assert_ok(run_shell("head -c 1000000 /dev/zero | tr '\\0' x; exit 3", -1, 20000,
			    &out, &code, &err),
		  &err);
	assert_int_equal(code, 3);
	assert_int_equal(out.len, 100);
}

static void a_missing_program_is_not_found(void **state)
{
	const char *const argv[] = { "/nonexistent/program", NULL };
	struct mh_err err = MH_ERR_INIT;
	int code;

	(void)state;
	assert_fails(run(argv, -1, 1000, NULL, &code, &err), &err, MH_E_NOTFOUND);
}

/* clang-format off */
#define TESTS \
	cmocka_unit_test(a_program_that_does_not_end_is_killed_with_its_children), \
	cmocka_unit_test(a_program_is_killed_when_its_caller_stops), \
	cmocka_unit_test(a_program_that_closed_its_output_is_killed_at_its_deadline), \
	cmocka_unit_test(too_much_output_is_thrown_away_not_kept_waiting), \
	cmocka_unit_test(a_missing_program_is_not_found)
/* clang-format on */

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(placeholders_of_a_key_are_filled_in),
		TESTS,
		cmocka_unit_test(from_here_on_there_are_no_pidfds),
		TESTS,
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
