/* The file of client tokens, and how tokens are asked for. */
#include "tests/unit/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/client_file.h"
#include "agent/client_tokens.h"
#include "lib/base/fsio.h"
#include "lib/base/macros.h"

#define ONE   "c11e0000-0000-4000-8000-000000000001"
#define TWO   "c11e0000-0000-4000-8000-000000000002"
#define THREE "c11e0000-0000-4000-8000-000000000003"

static void lines_are_ids_and_tokens(void **ctx)
{
	char text[] = "# comment\r\n\n  \t\n" TWO " \t a token, with blanks \n" ONE
		      "\tZ\xc3\xbcrich";
	CLEAN(client_file) struct client_file f = { 0 };
	struct mh_err err = MH_ERR_INIT;

	(void)ctx;
	assert_ok(client_file_parse(text, strlen(text), &f, &err), &err);
	assert_int_equal(f.count, 2);
	assert_string_equal(client_file_find(&f, ONE), "Z\xc3\xbcrich");
	assert_string_equal(client_file_find(&f, TWO), "a token, with blanks ");
	assert_null(client_file_find(&f, THREE));
	assert_null(client_file_find(&f, ""));
}

static void what_is_no_line_is_named_and_no_token_is_shown(void **ctx)
{
	static const struct {
		const char *text, *says;
	} rows[] = {
		{ "secret\n", "line 1: a line begins with a client id" },
		{ "\nC11E0000-0000-4000-8000-000000000001 secret\n", "line 2" },
		{ ONE "\n", "0" },
		{ ONE "  \n", "client " ONE ": a token has 1 to 256" },
		{ ONE " sec\x01ret\n", "control characters" },
		{ ONE " secret\xff\n", "no UTF-8" },
		{ ONE " secret\n" ONE " secret2\n", "client " ONE " is there twice" },
	};

	(void)ctx;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEAN(free) char *text = mh_strdup(rows[i].text);
		struct client_file f = { 0 };
		struct mh_err err = MH_ERR_INIT;

		assert_fails(client_file_parse(text, strlen(text), &f, &err), &err,
			     MH_E_CONFIG);
		assert_contains(err.text, rows[i].says);
		assert_null(strstr(err.text, "sec"));
		assert_int_equal(f.count, 0);
	}
}

static void a_nul_inside_is_no_text(void **ctx)
{
	char text[] = ONE " a\0b\n";
	struct client_file f = { 0 };
	struct mh_err err = MH_ERR_INIT;

	(void)ctx;
	assert_fails(client_file_parse(text, sizeof(text) - 1, &f, &err), &err,
		     MH_E_CONFIG);
}

static void a_token_has_256_characters_at_most(void **ctx)
{
	char token[513];
	struct mh_err err = MH_ERR_INIT;

	(void)ctx;
	for (size_t i = 0; i < 512; i += 2)
		memcpy(token + i, "\xc3\xbc", 2);
	token[512] = 'x';
	assert_ok(client_token_check(token, 512, &err), &err);
	assert_fails(client_token_check(token, 513, &err), &err, MH_E_PROTO);
	assert_fails(client_token_check(token, 0, &err), &err, MH_E_PROTO);
}

/* --- asking ----------------------------------------------------------------------------
 */

struct asked {
	struct loop *loop;
	struct client_tokens *tokens;
	int count, want;
	char last[MH_ERR_TEXT_MAX]; /* token, or the error's text */
};

static void note(void *ctx, const char *token, const struct mh_err *err)
{
	struct asked *a = ctx;

	(void)snprintf(a->last, sizeof(a->last), "%s", token ? token : err->text);
	if (++a->count == a->want)
		loop_stop(a->loop);
}

static void start(struct asked *a, const char *file, const char *command)
{
	struct client_tokens_settings s = { .file = mh_strdup(file),
					    .command = mh_strdup(command),
					    .timeout_ms = 5000,
					    .keep_ms = 60000 };
	struct mh_err err = MH_ERR_INIT;

	*a = (struct asked){ .want = 1 };
	assert_ok(loop_new(&a->loop, &err), &err);
	a->tokens = client_tokens_new(a->loop, &s);
	free(s.file);
	free(s.command);
}

static void finish(struct asked *a)
{
	client_tokens_free(a->tokens);
	loop_free(a->loop);
}

static void a_command_answers_all_who_wait_and_then_from_memory(void **ctx)
{
	struct asked a;

	(void)ctx;
	start(&a, NULL, "/bin/echo");
	a.want = 3;
	for (int i = 0; i < 3; i++)
		assert_non_null(client_tokens_ask(a.tokens, ONE, note, &a));
	assert_int_equal(a.count, 0);
	loop_run(a.loop);
	assert_int_equal(a.count, 3);
	assert_string_equal(a.last, ONE);
	assert_null(client_tokens_ask(a.tokens, ONE, note, &a));
	assert_int_equal(a.count, 4);
	client_tokens_refused(a.tokens, ONE);
	assert_non_null(client_tokens_ask(a.tokens, ONE, note, &a));
	finish(&a); /* and nobody is told */
	assert_int_equal(a.count, 4);
}

static void one_who_gives_up_is_not_told(void **ctx)
{
	struct asked a;
	struct client_ask *first, *second;

	(void)ctx;
	start(&a, NULL, "/bin/echo");
	first = client_tokens_ask(a.tokens, ONE, note, &a);
	second = client_tokens_ask(a.tokens, ONE, note, &a);
	assert_non_null(client_tokens_ask(a.tokens, TWO, note, &a));
	client_ask_cancel(first);
	client_ask_cancel(second);
	loop_run(a.loop);
	assert_int_equal(a.count, 1);
	assert_string_equal(a.last, TWO);
	finish(&a);
}

static void more_clients_than_processes_wait_their_turn(void **ctx)
{
	struct asked a;

	(void)ctx;
	start(&a, NULL, "/bin/echo");
	a.want = 9;
	for (int i = 0; i < a.want; i++) {
		char id[] = ONE;

		id[sizeof(id) - 2] = (char)('0' + i);
		assert_non_null(client_tokens_ask(a.tokens, id, note, &a));
	}
	loop_run(a.loop);
	assert_int_equal(a.count, 9);
	finish(&a);
}

static void a_program_that_is_not_there_fails_at_once(void **ctx)
{
	struct asked a;

	(void)ctx;
	start(&a, NULL, "/nonexistent/program");
	assert_null(client_tokens_ask(a.tokens, ONE, note, &a));
	assert_int_equal(a.count, 1);
	assert_contains(a.last, "start /nonexistent/program");
	finish(&a);
}

static void a_replaced_file_counts_and_a_bad_one_does_not(void **ctx)
{
	char path[] = "/tmp/mh-clients-XXXXXX";
	int fd = mkstemp(path);
	struct mh_err err = MH_ERR_INIT;
	struct asked a;

	(void)ctx;
	assert_true(fd >= 0);
	assert_ok(fs_write_fd(fd, ONE " a\n", sizeof(ONE " a\n") - 1, &err), &err);
	(void)close(fd);
	start(&a, path, NULL);
	assert_null(client_tokens_ask(a.tokens, ONE, note, &a));
	assert_string_equal(a.last, "a");
	assert_ok(fs_write_atomic_at(AT_FDCWD, path, ONE " bc\n", sizeof(ONE " bc\n") - 1,
				     0600, &err),
		  &err);
	assert_null(client_tokens_ask(a.tokens, ONE, note, &a));
	assert_string_equal(a.last, "bc");
	assert_ok(fs_write_atomic_at(AT_FDCWD, path, "x", 1, 0600, &err), &err);
	assert_null(client_tokens_ask(a.tokens, ONE, note, &a));
	assert_string_equal(a.last, "bc");
	assert_int_equal(unlink(path), 0);
	assert_null(client_tokens_ask(a.tokens, ONE, note, &a));
	assert_string_equal(a.last, "bc");
	assert_null(client_tokens_ask(a.tokens, TWO, note, &a));
	assert_contains(a.last, "has no token");
	finish(&a);
}

/* libuv keeps what it makes for its first loop. */
static int first_loop(void **ctx)
{
	struct mh_err err = MH_ERR_INIT;
	struct loop *loop = NULL;

	(void)ctx;
	if (loop_new(&loop, &err) != 0)
		return -1;
	loop_free(loop);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_ids_and_tokens),
		cmocka_unit_test(what_is_no_line_is_named_and_no_token_is_shown),
		cmocka_unit_test(a_nul_inside_is_no_text),
		cmocka_unit_test(a_token_has_256_characters_at_most),
		cmocka_unit_test(a_command_answers_all_who_wait_and_then_from_memory),
		cmocka_unit_test(one_who_gives_up_is_not_told),
		cmocka_unit_test(more_clients_than_processes_wait_their_turn),
		cmocka_unit_test(a_program_that_is_not_there_fails_at_once),
		cmocka_unit_test(a_replaced_file_counts_and_a_bad_one_does_not),
	};

	return cmocka_run_group_tests_name("clients", tests, first_loop, NULL);
}
