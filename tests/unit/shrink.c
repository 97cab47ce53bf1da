#include "tests/unit/test.h"

#include "tests/unit/shrink.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/macros.h"
#include "lib/base/str.h"

extern char **environ;

/* The list without the piece of `size` at `from`. */
static size_t without(const uint32_t *steps, size_t count, size_t from, size_t size,
		      uint32_t *ret)
{
	size_t end = from + size < count ? from + size : count;

	memcpy(ret, steps, from * sizeof(*ret));
	memcpy(ret + from, steps + end, (count - end) * sizeof(*ret));
	return from + count - end;
}

size_t shrink(uint32_t *steps, size_t count,
	      bool (*fails)(void *arg, const uint32_t *steps, size_t count), void *arg,
	      int64_t budget_ms)
{
	int64_t end_ms = clock_mono_ms() + budget_ms;
	CLEAN(free) uint32_t *shorter = mh_alloc((count + 1) * sizeof(*shorter));
	size_t size = count / 2 ? count / 2 : 1;

	while (count > 0) {
		bool changed = false;

		/* From the end: what came last needs most of what came before. */
		for (size_t at = count; at > 0 && clock_mono_ms() < end_ms;) {
			size_t from = at > size ? at - size : 0;
			size_t left = without(steps, count, from, at - from, shorter);

			if (fails(arg, shorter, left)) {
				memcpy(steps, shorter, left * sizeof(*steps));
				count = left;
				changed = true;
			}
			at = from;
		}
		if (clock_mono_ms() >= end_ms || (size == 1 && !changed))
			break;
		if (size > 1)
			size /= 2;
	}
	return count;
}

static char **environment_with(const char *script)
{
	size_t count = 0;
	char **env;

	while (environ[count])
		count++;
	env = mh_alloc((count + 2) * sizeof(*env));
	memcpy(env, environ, count * sizeof(*env));
	if (script)
		env[count] = mh_format("MH_SCRIPT=%s", script);
	return env;
}

bool shrink_rerun(const char *script, const char *output)
{
	static char name[] = "again";
	char *argv[] = { name, NULL };
	posix_spawn_file_actions_t actions;
	char **env = environment_with(script);
	size_t last = 0;
	pid_t pid;
	int status, rc;

	while (script && env[last + 1])
		last++;
	assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
	rc = posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO,
					      output ? output : "/dev/null",
					      O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_int_equal(rc, 0);
	assert_int_equal(
		posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO),
		0);
	assert_int_equal(posix_spawn(&pid, "/proc/self/exe", &actions, NULL, argv, env),
			 0);
	(void)posix_spawn_file_actions_destroy(&actions); /* frees memory alone */
	if (script)
		free(env[last]);
	free(env);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}
