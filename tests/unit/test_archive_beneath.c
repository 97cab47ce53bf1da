/* agent/archive/beneath and sandbox: nothing outside can be opened, by either way. */
#include "tests/unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "agent/archive/beneath.h"
#include "agent/archive/sandbox.h"
#include "lib/base/fsio.h"

/* <dir>/in is the root; <dir>/out is what must stay out of reach. */
struct place {
	char dir[64];
	int in_fd;
	struct beneath b;
};

static int make_place(void **state, bool no_openat2)
{
	struct place *p = mh_alloc(sizeof *p);
	int dir;

	(void)snprintf(p->dir, sizeof p->dir, "/tmp/mh-beneath-XXXXXX");
	if (!mkdtemp(p->dir))
		return -1;
	dir = open(p->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || mkdirat(dir, "in", 0700) != 0 || mkdirat(dir, "in/d", 0700) != 0 ||
	    mkdirat(dir, "out", 0700) != 0 || symlinkat("../out", dir, "in/link") != 0 ||
	    symlinkat("d", dir, "in/inner") != 0)
		return -1;
	p->in_fd = openat(dir, "in", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	close(dir);
	beneath_init(&p->b, p->in_fd);
	if (no_openat2)
		p->b.no_openat2 = true;
	*state = p;
	return p->in_fd < 0 ? -1 : 0;
}

static int setup_kernel(void **state)
{
	return make_place(state, false);
}

static int setup_walk(void **state)
{
	return make_place(state, true);
}

static int teardown(void **state)
{
	struct place *p = *state;
	struct mh_err err;
	int rc;

	beneath_done(&p->b);
	close(p->in_fd);
	rc = fs_remove_tree_at(AT_FDCWD, p->dir, &err);
	free(p);
	return rc;
}

static void only_what_lies_beneath_opens(void **state)
{
	static const char *const outside[] = { "link/x", "link", "inner/x", "../out/x",
					       "d/../../out/x" };
	struct place *p = *state;

	for (size_t i = 0; i < ARRAY_LEN(outside); i++) {
		int fd = beneath_open(&p->b, outside[i], O_WRONLY | O_CREAT | O_EXCL,
				      0600);

		if (fd >= 0)
			fail_msg("made %s", outside[i]);
		fd = beneath_open(&p->b, outside[i], O_RDONLY, 0);
		if (fd >= 0)
			fail_msg("opened %s", outside[i]);
	}
	assert_int_equal(beneath_mkdir(&p->b, "link/sub", 0700), -1);
	assert_int_equal(beneath_symlink(&p->b, "link/sym", "x"), -1);
	assert_int_equal(beneath_mkdir(&p->b, "../out/sub", 0700), -1);
}

static void files_directories_and_links_are_made(void **state)
{
	struct place *p = *state;
	struct stat st;
	int fd;

	assert_int_equal(beneath_mkdir(&p->b, "d/e", 0700), 0);
	fd = beneath_open(&p->b, "d/e/f", O_WRONLY | O_CREAT | O_EXCL, 0640);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	close(fd);
	assert_int_equal(beneath_open(&p->b, "d/e/f", O_WRONLY | O_CREAT | O_EXCL, 0640),
			 -1);
	assert_int_equal(errno, EEXIST);
	assert_int_equal(beneath_symlink(&p->b, "d/s", "e/f"), 0);
	assert_int_equal(beneath_open(&p->b, "d/s", O_RDONLY, 0), -1);
	fd = beneath_open(&p->b, "", O_RDONLY | O_DIRECTORY, 0);
	assert_int_equal(fstat(fd, &st), 0);
	close(fd);
	fd = beneath_open(&p->b, "d/e", O_RDONLY | O_DIRECTORY, 0);
	assert_true(fd >= 0);
	close(fd);
}

/* In a child: the layers must hold what they say. Exit status: a bit for each leak. */
static int try_the_walls(const struct place *p, unsigned layers)
{
	int leaks = 0;

	if (layers & SANDBOX_LANDLOCK) {
		if (open("/etc/passwd", O_RDONLY | O_CLOEXEC) >= 0)
			leaks |= 1;
		if (openat(p->in_fd, "../out/x", O_WRONLY | O_CREAT | O_CLOEXEC, 0600) >=
		    0)
			leaks |= 2;
		if (mkfifoat(p->in_fd, "fifo", 0600) == 0)
			leaks |= 4;
	}
	if (layers & SANDBOX_SECCOMP) {
		if (socket(AF_UNIX, SOCK_STREAM, 0) >= 0)
			leaks |= 8;
		if (fork() >= 0)
			leaks |= 16;
		if (linkat(p->in_fd, "d/f", p->in_fd, "g", 0) == 0 || errno != EPERM)
			leaks |= 32;
	}
	if (openat(p->in_fd, "d/f", O_WRONLY | O_CREAT | O_CLOEXEC, 0600) < 0)
		leaks |= 64; /* too tight */
	return leaks;
}

static void the_sandbox_leaves_one_directory(void **state)
{
	struct place *p = *state;
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		unsigned layers;

		sandbox_early();
		layers = sandbox_enter(p->in_fd, true);
		_exit(layers ? try_the_walls(p, layers) : 200);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 200)
		skip_without("sandbox layer on this kernel or in this build");
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(only_what_lies_beneath_opens,
						setup_kernel, teardown),
		cmocka_unit_test_setup_teardown(files_directories_and_links_are_made,
						setup_kernel, teardown),
		{ "only_what_lies_beneath_opens_without_openat2",
		  only_what_lies_beneath_opens, setup_walk, teardown, NULL },
		{ "files_directories_and_links_are_made_without_openat2",
		  files_directories_and_links_are_made, setup_walk, teardown, NULL },
		cmocka_unit_test_setup_teardown(the_sandbox_leaves_one_directory,
						setup_kernel, teardown),
	};

	return cmocka_run_group_tests_name("archive beneath", tests, NULL, NULL);
}
