#include "tests/unit/test.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "agent/job/logpipe.h"
#include "lib/base/fsio.h"
#include "lib/base/str.h"

struct place {
	char dir[32];
	int dir_fd;
	struct logpipe lp;
};

static int set_up(void **state)
{
	struct place *p = mh_alloc(sizeof *p);
	struct mh_err err;

	*p = (struct place){ .dir = "/tmp/mh-test-log-XXXXXX", .lp = LOGPIPE_INIT };
	assert_non_null(mkdtemp(p->dir));
	assert_ok(fs_open_dir(AT_FDCWD, p->dir, &p->dir_fd, &err), &err);
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;
	struct mh_err err;

	logpipe_done(&p->lp);
	clean_fd(&p->dir_fd);
	assert_ok(fs_remove_tree_at(AT_FDCWD, p->dir, &err), &err);
	free(p);
	return 0;
}

static void open_log(struct place *p, int64_t max_bytes)
{
	struct mh_err err;

	assert_ok(logpipe_open(&p->lp, p->dir_fd, max_bytes, &err), &err);
}

static void write_bytes(struct place *p, const char *bytes, size_t len)
{
	struct mh_err err;

	assert_ok(fs_write_fd(p->lp.write_fd, bytes, len, &err), &err);
	logpipe_drain(&p->lp);
}

static void write_line(struct place *p, const char *text)
{
	write_bytes(p, text, strlen(text));
}

static char *log_file(struct place *p)
{
	CLEAN(buf) struct buf b = BUF_INIT(1024 * 1024);
	struct mh_err err;

	assert_ok(fs_read_at(p->dir_fd, "log", &b, &err), &err);
	return mh_strdup(buf_text(&b));
}

static void log_gets_what_is_written_and_notes_stand_alone(void **state)
{
	struct place *p = *state;
	CLEAN(free) char *text = NULL;

	open_log(p, 10000);
	write_line(p, "one\n");
	write_line(p, "half a line");
	logpipe_note(&p->lp, "a %s", "note");
	text = log_file(p);
	assert_string_equal(text, "one\nhalf a line\nmillhand: a note\n");
}

static void log_is_redacted_notes_included(void **state)
{
	struct place *p = *state;
	CLEAN(free) char *text = NULL;

	open_log(p, 10000);
	redact_add(&p->lp.redact, "hunter2");
	write_line(p, "it is hunter2\n");
	logpipe_note(&p->lp, "said hunter2");
	text = log_file(p);
	assert_string_equal(text, "it is ****\nmillhand: said ****\n");
}

static void log_stops_at_its_maximum_at_a_line(void **state)
{
	struct place *p = *state;
	CLEAN(free) char *text = NULL;
	CLEAN(free) char *tail = NULL;

	open_log(p, 25);
	write_line(p, "first line\nsecond line\nthird line\n");
	write_line(p, "fourth line\n");
	text = log_file(p);
	assert_string_equal(text,
			    "first line\nsecond line\nmillhand: the log reached its "
			    "maximum of 25 bytes and was cut here\n");
	tail = logpipe_tail(&p->lp);
	assert_string_equal(tail, "first line\nsecond line\nthird line\nfourth line");
}

static void log_counts_what_an_earlier_try_left(void **state)
{
	struct place *p = *state;
	CLEAN(free) char *text = NULL;

	open_log(p, 20);
	write_line(p, "123456789012345\n");
	logpipe_done(&p->lp);
	open_log(p, 20);
	write_line(p, "abcdef\n");
	text = log_file(p);
	assert_string_equal(text, "123456789012345\nabcd\nmillhand: the log reached its "
				  "maximum of 20 bytes and was cut here\n");
}

static void tail_leaves_out_what_the_sandbox_said(void **state)
{
	struct place *p = *state;
	CLEAN(free) char *text = NULL;
	CLEAN(free) char *tail = NULL;

	open_log(p, 10000);
	write_line(p, "millhand: sandbox: no mounts of its own\nout\n");
	write_line(p, "millhand: sandbox: this kernel is old\nmillhand: handler: x\n");
	text = log_file(p);
	assert_contains(text, "millhand: sandbox: this kernel is old\n");
	tail = logpipe_tail(&p->lp);
	assert_string_equal(tail, "out\nmillhand: handler: x");
}

static void tail_is_made_of_whole_lines(void **state)
{
	struct place *p = *state;
	CLEAN(free) char *tail = NULL;

	open_log(p, 1024 * 1024);
	for (int i = 0; i < 3000; i++) {
		CLEAN(free) char *line = mh_format("line %06d\n", i);

		write_line(p, line);
	}
	tail = logpipe_tail(&p->lp);
	assert_int_equal(strlen(tail), 333 * 12 - 1);
	assert_true(str_starts_with(tail, "line 002667\n"));
	assert_true(str_ends_with(tail, "line 002999"));
}

static void tail_of_one_long_line_is_cut_at_a_character(void **state)
{
	struct place *p = *state;
	CLEAN(free) char *tail = NULL;

	open_log(p, 1024 * 1024);
	for (int i = 0; i < 3000; i++)
		write_line(p, "\342\202\254"); /* three bytes; 4000 is no multiple */
	tail = logpipe_tail(&p->lp);
	assert_int_equal(strlen(tail), 3999);
	assert_true(str_is_utf8(tail, strlen(tail)));
}

static void tail_is_clean_text(void **state)
{
	static const struct {
		const char *raw, *want;
	} cases[] = {
		{ "\033[1;31mred\033[0m\n", "red" },
		{ "10%\r20%\r30%\n", "10%\n20%\n30%" },
		{ "dos\r\nlines\r\n", "dos\nlines" },
		{ "bell\a back\b tab\tend\n\n\n", "bell back tab\tend" },
		{ "\377\376 raw\n", "?? raw" },
		{ "cut \033[", "cut " },
		{ "odd \033\303\251 \033\360\237\230\200.", "odd  ." },
		{ "cut \033", "cut " },
		{ "", "" },
	};
	struct place *p = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEAN(free) char *tail = NULL;

		open_log(p, 10000);
		write_line(p, cases[i].raw);
		tail = logpipe_tail(&p->lp);
		assert_string_equal(tail, cases[i].want);
		logpipe_done(&p->lp);
	}
}

/* result.json has it: a tail that is no text would cost the job its result. */
static void tail_of_any_bytes_is_text(void **state)
{
	static const char odd[] =
		"\033\033[;m\r\n\n\t\177\303\251\360\237\230\200\355\240\200\377a0";
	struct place *p = *state;
	uint32_t dice = 20260101;

	for (int round = 0; round < 300; round++) {
		CLEAN(free) char *tail = NULL;
		char bytes[6000];
		size_t len = 1 + (dice >> 8) % (sizeof bytes - 1);

		for (size_t i = 0; i < len; i++) {
			dice = dice * 1664525 + 1013904223;
			bytes[i] = round % 2 ? (char)(dice >> 24)
					     : odd[(dice >> 16) % (sizeof odd - 1)];
		}
		open_log(p, 10000);
		write_bytes(p, bytes, len);
		tail = logpipe_tail(&p->lp);
		assert_true(str_is_utf8(tail, strlen(tail)));
		assert_true(strlen(tail) <= LOGPIPE_TAIL_BYTES);
		logpipe_done(&p->lp);
	}
}

int main(void)
{
#define WITH_PLACE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		WITH_PLACE(log_gets_what_is_written_and_notes_stand_alone),
		WITH_PLACE(log_is_redacted_notes_included),
		WITH_PLACE(log_stops_at_its_maximum_at_a_line),
		WITH_PLACE(log_counts_what_an_earlier_try_left),
		WITH_PLACE(tail_leaves_out_what_the_sandbox_said),
		WITH_PLACE(tail_is_made_of_whole_lines),
		WITH_PLACE(tail_of_one_long_line_is_cut_at_a_character),
		WITH_PLACE(tail_is_clean_text),
		WITH_PLACE(tail_of_any_bytes_is_text),
	};

	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
