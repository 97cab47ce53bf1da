/*
 * Random play (engine_play.h). After each step the world checks the engine's invariants;
 * besides, nothing that ended ever changes again. MH_SEED and MH_STEPS choose another
 * run. A run that fails is made short: the calls that it takes are printed, and the line
 * that plays them again.
 */
#include "tests/unit/engine_play.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/shrink.h"

#include "lib/base/buf.h"

#define STEPS 8000 /* of a run, unless MH_STEPS says otherwise */

/* How much of history is looked through: after each step where few are played. */
#define HISTORY_EVERY 64
#define SHRINK_MS     90000

static int64_t from_environment(const char *name, int64_t otherwise)
{
	const char *text = getenv(name);
	struct mh_err err = MH_ERR_INIT;
	int64_t value = otherwise;

	if (text && str_to_i64(text, 0, INT64_MAX, name, &value, &err) != 0)
		fail_msg("%s", err.text);
	return value;
}

/* For the test of the shrinking: something to fail by that needs a few steps. */
static void check_planted(struct play *p)
{
	if (getenv("MH_PLANT") &&
	    count_rows(p->w, "SELECT count(*) FROM executions e JOIN executions f ON"
			     " f.pipeline = e.pipeline WHERE e.status = 'Superseded' AND"
			     " f.status = 'Failed'") > 0)
		fail_msg("%s", "the planted failure");
}

/* ---- a run, and what is left of it when it fails ---- */

static struct run {
	uint64_t seed;
	int64_t steps, at;
	bool failed; /* until it has ended */
} run;

static void play_all(struct play *p)
{
	p->w->history_every = HISTORY_EVERY;
	for (run.at = 0; run.at < run.steps; run.at++) {
		play_step(p, (uint32_t)run.at);
		check_planted(p);
		if (run.at % HISTORY_EVERY == 0)
			play_check_ended(p);
	}
	play_check_ended(p);
}

static void tell_what_was_played(struct play *p, double cpu_s)
{
	print_message("# %lld results taken, %d ends, %lld executions succeeded, %lld "
		      "conditions asked, %lld rollbacks, %lld automatic retries\n",
		      (long long)p->finished, json_object_object_length(p->ended),
		      (long long)count_rows(p->w, "SELECT count(*) FROM executions WHERE"
						  " status = 'Succeeded'"),
		      (long long)count_rows(p->w, "SELECT count(*) FROM conditions"),
		      (long long)count_rows(p->w, "SELECT count(*) FROM executions WHERE"
						  " rollback_target IS NOT NULL"),
		      (long long)count_rows(p->w, "SELECT count(*) FROM stage_executions"
						  " WHERE auto_retries > 0"));
	print_message("# %lld steps in %.1f s of CPU: %.0f a minute\n",
		      (long long)run.steps, cpu_s, (double)run.steps / cpu_s * 60);
}

static void engine_holds_its_invariants_in_random_play(void **state)
{
	clock_t begun = clock();
	struct play *p;

	(void)state;
	run = (struct run){
		.seed = (uint64_t)from_environment("MH_SEED", (int64_t)time(NULL)),
		.steps = from_environment("MH_STEPS", STEPS),
		.failed = true,
	};
	print_message("# MH_SEED=%llu MH_STEPS=%lld\n", (unsigned long long)run.seed,
		      (long long)run.steps);
	p = play_new(run.seed);
	play_all(p);
	tell_what_was_played(p, (double)(clock() - begun) / CLOCKS_PER_SEC);
	/* The play must not be idle. */
	assert_true(p->finished > run.steps / 50);
	assert_true(json_object_object_length(p->ended) > run.steps / 50);
	play_free(p);
	run.failed = false;
}

/* "0-17,23": the steps in order. */
static char *script_of(const uint32_t *steps, size_t count)
{
	struct buf text = BUF_INIT(SIZE_MAX);

	for (size_t i = 0, last; i < count; i = last + 1) {
		for (last = i; last + 1 < count && steps[last + 1] == steps[last] + 1;)
			last++;
		buf_printf(&text, "%s%u", i ? "," : "", steps[i]);
		if (last > i)
			buf_printf(&text, "-%u", steps[last]);
	}
	return buf_steal(&text);
}

static bool still_fails(void *arg, const uint32_t *steps, size_t count)
{
	CLEAN(free) char *script = script_of(steps, count);

	(void)arg; /* the seed is in the environment */
	return count > 0 && shrink_rerun(script, NULL);
}

static void tell_script(const uint32_t *steps, size_t count)
{
	CLEAN(free) char *script = script_of(steps, count);
	char path[] = "/tmp/mh-script-XXXXXX", line[8192];
	int fd = mkstemp(path);
	FILE *told;

	assert_true(fd >= 0);
	(void)shrink_rerun(script, path);
	told = fdopen(fd, "r");
	while (told && fgets(line, sizeof(line), told)) {
		if (strncmp(line, "#\t", 2) == 0 || strstr(line, "broken invariant") ||
		    strstr(line, "ailure"))
			(void)fputs(line, stdout);
	}
	if (told)
		(void)fclose(told); /* it was read only */
	(void)unlink(path); /* of ours, in /tmp */
	print_message("# %zu steps; once more: MH_SEED=%llu MH_SCRIPT=%s\n", count,
		      (unsigned long long)run.seed, script);
}

/* After a failure: which steps does it take? */
static int make_it_short(void **state)
{
	size_t count = (size_t)run.at + 1;
	CLEAN(free) char *seed = mh_format("%llu", (unsigned long long)run.seed);
	uint32_t *steps;

	(void)state;
	if (!run.failed)
		return 0;
	if (count > (size_t)run.steps)
		count = (size_t)run.steps;
	print_message("# it failed at step %lld: which steps does it take?\n",
		      (long long)run.at);
	assert_int_equal(setenv("MH_SEED", seed, 1), 0);
	steps = mh_alloc(count * sizeof(*steps));
	for (size_t i = 0; i < count; i++)
		steps[i] = (uint32_t)i;
	if (still_fails(NULL, steps, count))
		tell_script(steps, shrink(steps, count, still_fails, NULL, SHRINK_MS));
	else
		print_message("%s", "# the same steps do not fail again\n");
	free(steps);
	return 0;
}

/* ---- a script ---- */

static void play_range(struct play *p, uint32_t from, uint32_t to)
{
	for (uint32_t n = from; n <= to; n++) {
		play_step(p, n);
		check_planted(p);
		play_check_ended(p);
	}
}

static void script_is_played(void **state)
{
	const char *at = getenv("MH_SCRIPT");
	struct play *p = play_new((uint64_t)from_environment("MH_SEED", 1));

	(void)state;
	p->w->tell = true;
	while (*at) {
		char *end;
		unsigned long from = strtoul(at, &end, 10), to = from;

		if (*end == '-')
			to = strtoul(end + 1, &end, 10);
		play_range(p, (uint32_t)from, (uint32_t)to);
		at = *end == ',' ? end + 1 : end;
	}
	play_free(p);
}

/* ---- the shrinking itself ---- */

struct needs {
	uint32_t steps[3];
	int calls;
};

static bool has_all(void *arg, const uint32_t *steps, size_t count)
{
	struct needs *n = arg;
	size_t found = 0;

	n->calls++;
	for (size_t i = 0; i < count; i++) {
		for (size_t k = 0; k < ARRAY_LEN(n->steps); k++)
			found += steps[i] == n->steps[k];
	}
	return found == ARRAY_LEN(n->steps);
}

static void shrinking_leaves_what_the_failure_needs(void **state)
{
	static const struct needs all[] = { { { 0, 1, 2 }, 0 },
					    { { 7, 500, 999 }, 0 },
					    { { 997, 998, 999 }, 0 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		uint32_t steps[1000];
		struct needs needs = all[i];

		for (uint32_t n = 0; n < ARRAY_LEN(steps); n++)
			steps[n] = n;
		assert_int_equal(shrink(steps, ARRAY_LEN(steps), has_all, &needs, 60000),
				 3);
		assert_memory_equal(steps, needs.steps, sizeof(needs.steps));
		assert_true(needs.calls < 200);
	}
}

/* The whole of it, in a process of its own that fails by what was planted. */
static void failing_run_ends_with_a_short_script(void **state)
{
	char path[] = "/tmp/mh-shrunk-XXXXXX", line[8192];
	int fd, calls = 0, steps = 0;
	FILE *told;

	(void)state;
	if (from_environment("MH_STEPS", STEPS) < STEPS)
		skip_without("steps enough to come to the planted failure (MH_STEPS)");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(setenv("MH_PLANT", "1", 1), 0);
	assert_true(shrink_rerun(NULL, path));
	assert_int_equal(unsetenv("MH_PLANT"), 0);
	told = fdopen(fd, "r");
	assert_non_null(told);
	while (fgets(line, sizeof(line), told)) {
		calls += strncmp(line, "#\t", 2) == 0;
		(void)sscanf(line, "# %d steps; once more:", &steps);
	}
	assert_int_equal(fclose(told), 0);
	assert_int_equal(unlink(path), 0);
	/* Of thousands, what it takes to create a pipeline, start it until one supersedes
	 * another, and fail a job: more where the dice seldom fall so. */
	assert_in_range(steps, 4, 100);
	assert_in_range(calls, 4, 200);
}

int main(void)
{
	const struct CMUnitTest script[] = { cmocka_unit_test(script_is_played) };
	const struct CMUnitTest play[] = {
		cmocka_unit_test_teardown(engine_holds_its_invariants_in_random_play,
					  make_it_short),
	};
	const struct CMUnitTest tests[] = {
		play[0], /* all in one group: TAP has one plan */
		cmocka_unit_test(shrinking_leaves_what_the_failure_needs),
		cmocka_unit_test(failing_run_ends_with_a_short_script),
	};

	if (getenv("MH_SCRIPT"))
		return cmocka_run_group_tests(script, NULL, NULL);
	if (getenv("MH_PLANT"))
		return cmocka_run_group_tests(play, NULL, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
