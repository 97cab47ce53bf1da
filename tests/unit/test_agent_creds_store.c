/* The store of credentials, with sources that answer when the test says so: this
 * program has its own creds_fetch.h. */
#include "tests/unit/test.h"

#include "agent/creds_store.h"
#include "agent/settings.h"
#include "lib/base/macros.h"

#define WAITING 4

struct creds_fetch {
	creds_fetch_done_fn done;
	void *ctx;
	bool is_open;
};

static struct creds_fetch fetch;
static int begun;

struct creds_fetch *creds_fetch_start(const struct creds_tools *tools,
				      const struct creds_plan *plan,
				      creds_fetch_done_fn done, void *ctx)
{
	(void)tools;
	(void)plan;
	begun++;
	fetch = (struct creds_fetch){ .done = done, .ctx = ctx, .is_open = true };
	return &fetch;
}

void creds_fetch_cancel(struct creds_fetch *f)
{
	if (f)
		f->is_open = false;
}

static void answer(const char *id)
{
	struct creds_result result = { .life_ms = 3600000 };
	struct mh_err err;

	fetch.is_open = false;
	if (id) {
		creds_set(&result.keys, id, "secret-of-the-test", "token-of-the-test");
		fetch.done(fetch.ctx, &result, NULL);
	} else {
		(void)mh_err_set(&err, MH_E_NET, "nobody there");
		fetch.done(fetch.ctx, NULL, &err);
	}
	creds_done(&result.keys);
}

struct world {
	struct settings settings;
	struct creds_tools tools;
	struct creds_store *store;
	int good, bad;
};

static void told(void *ctx, const struct mh_err *err)
{
	struct world *w = ctx;

	if (err)
		w->bad++;
	else
		w->good++;
	if (w->good + w->bad == WAITING)
		loop_stop(w->tools.loop);
}

static int open_world(void **state)
{
	struct world *w = mh_alloc(sizeof(*w));
	struct mh_err err = MH_ERR_INIT;

	*state = w;
	begun = 0;
	(void)unsetenv("AWS_ACCESS_KEY_ID");
	(void)unsetenv("AWS_PROFILE");
	(void)unsetenv("AWS_WEB_IDENTITY_TOKEN_FILE");
	(void)setenv("HOME", "/nonexistent", 1);
	(void)setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/never-asked", 1);
	w->settings.retry_base_ms = 20;
	assert_ok(loop_new(&w->tools.loop, &err), &err);
	w->tools.settings = &w->settings;
	assert_ok(creds_store_new(&w->tools, &w->store, &err), &err);
	return 0;
}

static int close_world(void **state)
{
	struct world *w = *state;

	creds_store_free(w->store);
	loop_free(w->tools.loop);
	free(w);
	return 0;
}

static void all_who_wait_share_one_fetch(void **state)
{
	struct world *w = *state;

	for (int i = 0; i < WAITING; i++)
		assert_non_null(creds_store_wait(w->store, told, w));
	assert_int_equal(begun, 1);
	answer("ASIAONE");
	loop_run(w->tools.loop);
	assert_int_equal(w->good, WAITING);
	assert_int_equal(begun, 1);
	assert_string_equal(creds_store_now(w->store)->access_key_id, "ASIAONE");
}

static void a_failure_is_told_to_all_and_tried_again_once(void **state)
{
	struct world *w = *state;

	for (int i = 0; i < WAITING; i++)
		assert_non_null(creds_store_wait(w->store, told, w));
	answer(NULL);
	loop_run(w->tools.loop);
	assert_int_equal(w->bad, WAITING);
	assert_null(creds_store_now(w->store));
	assert_true(begun <= 2); /* the next try may have begun meanwhile */
}

static void a_set_that_is_refused_is_not_asked_for_again_at_once(void **state)
{
	struct world *w = *state;
	uint64_t generation;

	answer("ASIAONE");
	generation = creds_store_generation(w->store);
	for (int i = 0; i < WAITING; i++)
		assert_non_null(creds_store_refused(w->store, generation, told, w));
	loop_run(w->tools.loop);
	assert_int_equal(w->bad, WAITING);
	assert_int_equal(begun, 1);
}

/* The first loop makes a pipe that libuv keeps for the process. */
static int open_loop_once(void **state)
{
	struct loop *loop;
	struct mh_err err;

	(void)state;
	assert_ok(loop_new(&loop, &err), &err);
	loop_free(loop);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(all_who_wait_share_one_fetch, open_world,
						close_world),
		cmocka_unit_test_setup_teardown(
			a_failure_is_told_to_all_and_tried_again_once, open_world,
			close_world),
		cmocka_unit_test_setup_teardown(
			a_set_that_is_refused_is_not_asked_for_again_at_once, open_world,
			close_world),
	};

	return cmocka_run_group_tests_name("credentials store", tests, open_loop_once,
					   NULL);
}
