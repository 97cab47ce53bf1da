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
#include "lib/base/protect.h"

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
static char *logged_message(const char *dir, enum log_format format, const char *message,
			    const char *value)
{
	char *path = mh_format("%s/log", dir), *line = NULL;
	struct buf text = BUF_INIT(1 << 17);
	int saved = dup(STDERR_FILENO),
	    fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	struct mh_err err;

	dup2(fd, STDERR_FILENO);
	log_init("test", format, LOG_LEVEL_INFO);
	log_event(LOG_LEVEL_DEBUG, "never", "below the level", LOG_END);
	log_event(LOG_LEVEL_INFO, "x.y", message, LOG_S("v", value), LOG_I("n", -3),
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

static char *logged(const char *dir, enum log_format format, const char *value)
{
	return logged_message(dir, format, "said", value);
}

static void a_log_line_cannot_be_forged(void **state)
{
	char *text = logged(*state, LOG_FORMAT_TEXT, "a\nb\" level=error \x1b[31m\xff");
	char *json = logged(*state, LOG_FORMAT_JSON, "a\nb\"\x1b\xff");

	assert_contains(text,
			"x.y said v=\"a\\nb\\\" level=error \\u001b[31m\\ufffd\" n=-3\n");
	assert_int_equal(strchr(text, '\n') - text, (long)strlen(text) - 1);
	assert_contains(json, "\"event\":\"x.y\",\"msg\":\"said\",\"fields\":{\"v\":"
			      "\"a\\nb\\\"\\u001b\\ufffd\",\"n\":-3}}\n");
	free(text);
	free(json);
}

static void what_a_terminal_would_obey_is_shown_by_its_number(void **state)
{
	static const struct {
		const char *value, *shown;
	} rows[] = {
		{ "\xc2\x9b"
		  "31m",
		  "\\u009b31m" },
		{ "a\xe2\x80\xae.", "a\\u202e." },
		{ "a\xe2\x80\xa8", "a\\u2028" },
		{ "a\xe2\x81\xa6", "a\\u2066" },
		{ "\x7f\r\t", "\\u007f\\u000d\\u0009" },
		{ "\xc2", "\\ufffd" },
		{ "\xe2\x80", "\\ufffd\\ufffd" },
		{ "\xed\xa0\x80", "\\ufffd\\ufffd\\ufffd" },
		{ "\xc3\xa4 \xe2\x80\x93 \xf0\x9f\x98\x80",
		  "\xc3\xa4 \xe2\x80\x93 \xf0\x9f\x98\x80" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char *text = logged(*state, LOG_FORMAT_TEXT, rows[i].value);
		char *want = mh_format("said v=\"%s\" n=-3\n", rows[i].shown);

		assert_contains(text, want);
		free(want);
		free(text);
	}
}

static void a_message_cannot_forge_a_field(void **state)
{
	static const struct {
		const char *message, *shown;
	} rows[] = {
		{ "the job; it's fine: (a/b), 3 < 4",
		  "the job; it's fine: (a/b), 3 < 4" },
		{ "done job=other", "\"done job=other\"" },
		{ "", "\"\"" },
		{ "ends ", "\"ends \"" },
		{ "two\nlines", "\"two\\nlines\"" },
		{ "a \"b\"", "\"a \\\"b\\\"\"" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char *text = logged_message(*state, LOG_FORMAT_TEXT, rows[i].message,
					    "v");
		char *want = mh_format("x.y %s v=v n=-3\n", rows[i].shown);

		assert_contains(text, want);
		free(want);
		free(text);
	}
}

/* One write of at most PIPE_BUF bytes is never mixed with another process's. */
static void a_line_stays_whole_and_short_whatever_is_in_it(void **state)
{
	static const char *const fills[] = {
		"x", "\n", "\x01", "\xff", "\xc3\xa4", "\""
	};

	for (size_t i = 0; i < 2 * ARRAY_LEN(fills); i++) {
		enum log_format format = i % 2 ? LOG_FORMAT_JSON : LOG_FORMAT_TEXT;
		struct buf huge = BUF_INIT(1 << 18);
		char *line;

		while (huge.len < 100000)
			buf_puts(&huge, fills[i / 2]);
		line = logged_message(*state, format, buf_text(&huge), buf_text(&huge));
		assert_in_range(strlen(line), 2000, 4096);
		assert_int_equal(strchr(line, '\n') - line, (long)strlen(line) - 1);
		assert_contains(line, "...");
		assert_contains(line,
				format == LOG_FORMAT_JSON ? "\"n\":-3}}\n" : " n=-3\n");
		buf_done(&huge);
		free(line);
	}
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

static void the_beginning_of_a_secret_at_a_cut_is_blotted_out_too(void **state)
{
	char *text;

	log_redact("hunter2hunter2");
	text = logged(*state, LOG_FORMAT_TEXT, "it said: hunter2hun");
	log_unredact_all();
	assert_contains(text, "v=\"it said: ****\"");
	free(text);
}

static void the_environment_that_the_kernel_shows_loses_its_secrets(void **state)
{
	static const char *const names[] = { "MH_SECRET", "MH_NONE", NULL };
	char shown[] = "MH_SECRET=hunter2hunter2";

	(void)state;
	assert_int_equal(putenv(shown), 0);
	protect_environment(names);
	assert_string_equal(getenv("MH_SECRET"), "hunter2hunter2");
	assert_null(getenv("MH_NONE"));
	assert_string_equal(shown, "MH_SECRET=");
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
		TEST(what_a_terminal_would_obey_is_shown_by_its_number),
		TEST(a_message_cannot_forge_a_field),
		TEST(a_line_stays_whole_and_short_whatever_is_in_it),
		TEST(registered_secrets_are_blotted_out),
		TEST(the_beginning_of_a_secret_at_a_cut_is_blotted_out_too),
		TEST(the_environment_that_the_kernel_shows_loses_its_secrets),
	};

	return cmocka_run_group_tests_name("fsio", tests, NULL, NULL);
}
