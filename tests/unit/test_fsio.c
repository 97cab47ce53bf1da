/* lib/base/fsio: durable replace, removal, locks, memory files; lib/base/log: one line an
 * event. */
#include "tests/unit/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "lib/base/fsio.h"
#include "lib/base/log.h"

static int setup(void **state)
{
	char *path = mh_strdup("/tmp/mh-fsio-XXXXXX");

	*state = mkdtemp(path);
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	struct mh_err err;
	int rc = fs_remove_tree_at(AT_FDCWD, *state, &err);

	free(*state);
	return rc;
}

static void replace_leaves_the_old_or_the_new(void **state)
{
	CLEAN(buf) struct buf text = BUF_INIT(100);
	CLEAN(fd) int dir = -1;
	struct mh_err err;

	assert_ok(fs_open_dir(AT_FDCWD, *state, &dir, &err), &err);
	assert_ok(fs_write_durable_at(dir, "f", "old", 3, 0600, &err), &err);
	assert_ok(fs_write_atomic_at(dir, "f", "newer", 5, 0600, &err), &err);
	assert_ok(fs_read_at(dir, "f", &text, &err), &err);
	assert_string_equal(buf_text(&text), "newer");
	/* Onto a directory: fails, and leaves no temporary file. */
	assert_int_equal(mkdirat(dir, "d", 0700), 0);
	assert_int_equal(fs_write_durable_at(dir, "d", "x", 1, 0600, &err), -1);
	assert_int_equal(unlinkat(dir, "d", AT_REMOVEDIR), 0);
	assert_int_equal(unlinkat(dir, "f", 0), 0);
	assert_int_equal(rmdir(*state), 0); /* empty */
	assert_int_equal(mkdir(*state, 0700), 0);
}

static void reading_knows_absent_and_too_large(void **state)
{
	CLEAN(buf) struct buf text = BUF_INIT(4);
	CLEAN(fd) int dir = -1;
	struct mh_err err;

	assert_ok(fs_open_dir(AT_FDCWD, *state, &dir, &err), &err);
	assert_fails(fs_read_at(dir, "none", &text, &err), &err, MH_E_NOTFOUND);
	assert_ok(fs_write_atomic_at(dir, "f", "12345", 5, 0600, &err), &err);
	assert_fails(fs_read_at(dir, "f", &text, &err), &err, MH_E_PROTO);
}

static void removal_does_not_follow_links(void **state)
{
	char *inner = mh_format("%s/a/b/c", (char *)*state),
	     *keep = mh_format("%s/keep", (char *)*state);
	CLEAN(fd) int dir = -1;
	struct stat st;
	struct mh_err err;

	assert_ok(fs_mkdir_p(inner, 0700, &err), &err);
	assert_ok(fs_mkdir_p(keep, 0700, &err), &err);
	assert_ok(fs_open_dir(AT_FDCWD, *state, &dir, &err), &err);
	assert_ok(fs_write_atomic_at(dir, "keep/file", "x", 1, 0600, &err), &err);
	assert_int_equal(symlinkat("../../keep", dir, "a/b/link"), 0);
	assert_int_equal(fchmodat(dir, "a/b", 0, 0), 0);
	assert_ok(fs_remove_tree_at(dir, "a", &err), &err);
	assert_int_equal(fstatat(dir, "a", &st, AT_SYMLINK_NOFOLLOW), -1);
	assert_int_equal(fstatat(dir, "keep/file", &st, 0), 0);
	assert_ok(fs_remove_tree_at(dir, "a", &err), &err); /* nothing there: fine */
	free(inner);
	free(keep);
}

/* A job can make directories as deep as it likes. */
static void a_tree_deeper_than_descriptors_go_is_removed(void **state)
{
	struct rlimit old, few;
	struct mh_err err;
	int top, fd;

	assert_ok(fs_open_dir(AT_FDCWD, *state, &top, &err), &err);
	fd = dup(top);
	for (int i = 0; i < 1000; i++) {
		int next;

		assert_int_equal(mkdirat(fd, "deep", 0700), 0);
		/* In the way of what is moved up, now and then. */
		(void)mkdirat(fd, i % 2 ? ".mh-removed-0" : "file", 0500);
		next = openat(fd, "deep", O_RDONLY | O_DIRECTORY);
		assert_true(next >= 0);
		if (i % 100 == 99)
			assert_int_equal(fchmod(fd, 0500), 0);
		(void)close(fd);
		fd = next;
	}
	(void)close(fd);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	few = (struct rlimit){ 64, old.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	assert_ok(fs_remove_tree_at(top, "deep", &err), &err);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(faccessat(top, "deep", F_OK, 0), -1);
	(void)close(top);
}

static void a_lock_has_one_holder_and_names_it(void **state)
{
	char *path = mh_format("%s/lock", (char *)*state);
	CLEAN(fd) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct mh_err err;
	bool got = false;
	pid_t child;
	int status;

	assert_ok(fs_lock(fd, &got, &err), &err);
	assert_true(got);
	child = fork();
	if (child == 0) {
		int other = open(path, O_RDWR | O_CLOEXEC);
		pid_t holder = 0;
		bool taken = true;

		if (fs_lock(other, &taken, &err) != 0 || taken ||
		    fs_lock_holder(other, &holder, &err) != 0)
			_exit(1);
		_exit(holder == getppid() ? 0 : 2);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	free(path);
}

static void a_memory_file_is_sealed(void **state)
{
	CLEAN(buf) struct buf text = BUF_INIT(100);
	CLEAN(fd) int fd = -1;
	struct mh_err err;

	(void)state;
	assert_ok(fs_memfd_sealed("spec", "hello", 5, &fd, &err), &err);
	assert_ok(fs_read_fd(fd, &text, &err), &err);
	assert_string_equal(buf_text(&text), "hello");
	assert_int_equal(write(fd, "x", 1), -1);
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

/* What the log prints for one event, in `format`. */
static char *logged(const char *dir, enum log_format format, const char *value)
{
	char *path = mh_format("%s/log", dir), *line = NULL;
	struct buf text = BUF_INIT(1 << 17);
	int saved = dup(STDERR_FILENO),
	    fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	struct mh_err err;

	dup2(fd, STDERR_FILENO);
	log_init("test", format, LOG_LEVEL_INFO);
	log_event(LOG_LEVEL_DEBUG, "never", "below the level", LOG_END);
	log_event(LOG_LEVEL_INFO, "x.y", "said", LOG_S("v", value), LOG_I("n", -3),
		  LOG_END);
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(fd);
	if (fs_read_at(AT_FDCWD, path, &text, &err) == 0)
		line = buf_steal(&text);
	buf_done(&text);
	free(path);
	return line;
}

static void a_log_line_cannot_be_forged(void **state)
{
	char *text = logged(*state, LOG_FORMAT_TEXT, "a\nb\" level=error \x1b[31m\xff");
	char *json = logged(*state, LOG_FORMAT_JSON, "a\nb\"\x1b\xff");

	assert_contains(text,
			"x.y said v=\"a\\nb\\\" level=error \\u001b[31m\\ufffd\" n=-3\n");
	assert_int_equal(strchr(text, '\n') - text, (long)strlen(text) - 1);
	assert_contains(json, "\"event\":\"x.y\",\"message\":\"said\",\"v\":"
			      "\"a\\nb\\\"\\u001b\\ufffd\",\"n\":-3}\n");
	free(text);
	free(json);
}

static void registered_secrets_are_blotted_out(void **state)
{
	char *text;

	log_redact("hunter2hunter2");
	log_redact("short");
	text = logged(*state, LOG_FORMAT_TEXT, "pw=hunter2hunter2! short");
	log_unredact_all();
	assert_contains(text, "v=\"pw=****! short\"");
	free(text);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(replace_leaves_the_old_or_the_new),
		TEST(reading_knows_absent_and_too_large),
		TEST(removal_does_not_follow_links),
		TEST(a_tree_deeper_than_descriptors_go_is_removed),
		TEST(a_lock_has_one_holder_and_names_it),
		TEST(a_memory_file_is_sealed),
		TEST(a_log_line_cannot_be_forged),
		TEST(registered_secrets_are_blotted_out),
	};

	return cmocka_run_group_tests_name("fsio", tests, NULL, NULL);
}
