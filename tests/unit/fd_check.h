/*
 * A test ends with the descriptors that it began with, or it fails: test.h puts this in
 * the place of cmocka's group runner. Around each test's own setup and teardown the open
 * descriptors are counted; the message names those that are left.
 */
#ifndef MH_TESTS_UNIT_FD_CHECK_H
#define MH_TESTS_UNIT_FD_CHECK_H

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#define FD_CHECK_MAX 1024

struct fd_check {
	const struct CMUnitTest *tests; /* as the file has them */
	size_t next; /* the test whose setup comes next */
	bool before[FD_CHECK_MAX];
};

static struct fd_check fd_check;

/* Marks what is open, besides the descriptor that tells it. */
static inline void fd_check_list(bool open[FD_CHECK_MAX])
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;

	memset(open, 0, FD_CHECK_MAX * sizeof(*open));
	if (!dir)
		fail_msg("/proc/self/fd cannot be read");
	while ((entry = readdir(dir))) {
		long fd = strtol(entry->d_name, NULL, 10);

		if (entry->d_name[0] != '.' && fd < FD_CHECK_MAX && fd != dirfd(dir))
			open[fd] = true;
	}
	(void)closedir(dir); /* only read */
}

static inline int fd_check_setup(void **state)
{
	CMFixtureFunction own = fd_check.tests[fd_check.next++].setup_func;

	fd_check_list(fd_check.before);
	return own ? own(state) : 0;
}

static inline int fd_check_teardown(void **state)
{
	CMFixtureFunction own = fd_check.tests[fd_check.next - 1].teardown_func;
	int rc = own ? own(state) : 0;
	bool after[FD_CHECK_MAX];

	fd_check_list(after);
	for (int fd = 0; fd < FD_CHECK_MAX; fd++) {
		char path[32], target[256] = "";

		if (after[fd] == fd_check.before[fd])
			continue;
		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		if (after[fd] && readlink(path, target, sizeof(target) - 1) < 0)
			target[0] = '\0';
		print_message("# descriptor %d %s: %s\n", fd,
			      after[fd] ? "is left open" : "was closed", target);
		rc = -1;
	}
	return rc;
}

static inline int fd_check_run(const char *group, const struct CMUnitTest *tests,
			       size_t count, CMFixtureFunction setup,
			       CMFixtureFunction teardown)
{
	struct CMUnitTest *checked = calloc(count, sizeof(*checked));
	int rc;

	if (!checked)
		return 1;
	memcpy(checked, tests, count * sizeof(*checked));
	for (size_t i = 0; i < count; i++) {
		checked[i].setup_func = fd_check_setup;
		checked[i].teardown_func = fd_check_teardown;
	}
	fd_check.tests = tests;
	fd_check.next = 0;
	rc = _cmocka_run_group_tests(group, checked, count, setup, teardown);
	free(checked);
	return rc;
}

#undef cmocka_run_group_tests
#undef cmocka_run_group_tests_name
#define cmocka_run_group_tests(tests, setup, teardown)                                   \
	cmocka_run_group_tests_name(#tests, tests, setup, teardown)
#define cmocka_run_group_tests_name(name, tests, setup, teardown)                        \
	fd_check_run(name, tests, sizeof(tests) / sizeof((tests)[0]), setup, teardown)

#endif
