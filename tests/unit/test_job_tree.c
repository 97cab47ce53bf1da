#include "tests/unit/no_pidfd.h"
#include "tests/unit/test.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "agent/job/tree.h"

/* A child with a child in a session of its own; *ret_fd reads the grandchild's pid. */
static pid_t plant(pid_t *ret_grandchild)
{
	int fds[2];
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (pid == 0) {
		pid_t inner = fork();

		(void)alarm(60); /* nothing outlives a test that fails */

		if (inner == 0) {
			(void)setsid(); /* a fresh child can */
			inner = getpid();
			if (write(fds[1], &inner, sizeof inner) < 0)
				_exit(1);
		}
		for (;;)
			(void)pause();
	}
	assert_int_equal(read(fds[0], ret_grandchild, sizeof *ret_grandchild),
			 sizeof *ret_grandchild);
	(void)close(fds[0]);
	(void)close(fds[1]);
	return pid;
}

static void tree_finds_every_generation_and_nothing_else(void **state)
{
	pid_t child, other, inner, other_inner;
	struct mh_err err;
	size_t count;
	int status;

	(void)state;
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
	child = plant(&inner);
	other = plant(&other_inner);
	assert_ok(tree_signal(child, 0, &count, &err), &err);
	assert_int_equal(count, 1);
	assert_ok(tree_signal(getpid(), 0, &count, &err), &err);
	assert_int_equal(count, 4);
	/* An orphan of the first tree is ours; the second tree is not touched. */
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_ok(tree_signal(other, SIGKILL, &count, &err), &err);
	assert_int_equal(count, 1);
	assert_ok(tree_signal(getpid(), SIGKILL, &count, &err), &err);
	assert_true(count >= 2); /* inner, other, perhaps other_inner on its way out */
	assert_int_equal(waitpid(inner, &status, 0), inner);
	assert_int_equal(WTERMSIG(status), SIGKILL);
	assert_int_equal(waitpid(other, &status, 0), other);
	assert_int_equal(waitpid(other_inner, &status, 0), other_inner);
	assert_ok(tree_signal(getpid(), SIGKILL, &count, &err), &err);
	assert_int_equal(count, 0);
}

static void tree_does_not_count_zombies(void **state)
{
	struct mh_err err;
	siginfo_t info;
	size_t count;
	pid_t pid = fork();

	(void)state;
	if (pid == 0)
		_exit(0);
	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	assert_ok(tree_signal(getpid(), SIGKILL, &count, &err), &err);
	assert_int_equal(count, 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tree_finds_every_generation_and_nothing_else),
		cmocka_unit_test(tree_does_not_count_zombies),
		cmocka_unit_test(from_here_on_there_are_no_pidfds),
		cmocka_unit_test(tree_finds_every_generation_and_nothing_else),
		cmocka_unit_test(tree_does_not_count_zombies),
	};

	return cmocka_run_group_tests_name("tree", tests, NULL, NULL);
}
