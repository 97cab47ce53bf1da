/* What may happen to an execution, by its events. */
#include "tests/unit/event_paths.h"

#include "emulator/store/events.h"
#include "tests/unit/test.h"

#define AT_ONCE 64

/* What may follow a state; "" is before the first. */
struct path {
	const char *from, *to;
};

static const struct path pipeline_paths[] = {
	{ "", "STARTED" },
	{ "STARTED", "STOPPING STOPPED SUCCEEDED FAILED SUPERSEDED CANCELED RESUMED" },
	{ "RESUMED", "STOPPING STOPPED SUCCEEDED FAILED SUPERSEDED CANCELED RESUMED" },
	{ "STOPPING", "STOPPED CANCELED" },
	{ "STOPPED", "RESUMED" },
	{ "FAILED", "RESUMED" },
	{ NULL, NULL },
};
static const struct path stage_paths[] = {
	{ "", "STARTED SKIPPED" },
	{ "STARTED", "STOPPING STOPPED SUCCEEDED FAILED CANCELED RESUMED SKIPPED" },
	{ "RESUMED", "STOPPING STOPPED SUCCEEDED FAILED CANCELED RESUMED SKIPPED" },
	{ "STOPPING", "STOPPED CANCELED" },
	{ "STOPPED", "RESUMED" },
	{ "FAILED", "RESUMED" },
	{ NULL, NULL },
};
static const struct path action_paths[] = {
	{ "", "STARTED" },
	{ "STARTED", "SUCCEEDED FAILED ABANDONED" },
	{ NULL, NULL },
};

static bool is_open(const char *state)
{
	return strcmp(state, "STARTED") == 0 || strcmp(state, "RESUMED") == 0 ||
	       strcmp(state, "STOPPING") == 0;
}

static bool has_word(const char *words, const char *word)
{
	const char *at = strstr(words, word);
	size_t len = strlen(word);

	return at && (at == words || at[-1] == ' ') &&
	       (at[len] == '\0' || at[len] == ' ');
}

/* The thing's next state; *ret_opened: 1, 0 or -1 open things more. */
static void step(struct json_object *states, const char *thing, const struct path *paths,
		 const char *state, int *ret_opened)
{
	CLEAN(free) char *before = mh_strdup(json_opt_str(states, thing, ""));

	for (; paths->from; paths++) {
		if (strcmp(paths->from, before) == 0 && has_word(paths->to, state)) {
			*ret_opened = (int)is_open(state) - (int)is_open(before);
			json_put_str(states, thing, state);
			return;
		}
	}
	fail_msg("%s: from '%s' to '%s'", thing, before, state);
}

static struct json_object *execution_of(struct event_paths *paths, const char *id)
{
	struct json_object *x;

	if (!paths->seen)
		paths->seen = json_object_new_object();
	x = json_opt_object(paths->seen, id);
	if (!x) {
		x = json_object_new_object();
		json_put_obj(paths->seen, id, x);
	}
	return x;
}

static void check_pipeline(struct json_object *x, const char *state, int64_t attempt)
{
	int opened = 0;

	step(x, "pipeline", pipeline_paths, state, &opened);
	if (strcmp(state, "STARTED") == 0 || strcmp(state, "RESUMED") == 0) {
		assert_int_equal(attempt, json_opt_i64(x, "attempt", 0) + 1);
		json_put_i64(x, "attempt", attempt);
	}
	if (!is_open(state) && json_opt_i64(x, "open", 0) != 0)
		fail_msg("it ends, and not all in it has: %s", json_text(x));
}

static void check_within(struct json_object *x, struct json_object *detail, bool action,
			 const char *state)
{
	const char *name = json_opt_str(detail, "stage", NULL);
	CLEAN(free) char *stage = mh_format("stage %s", name);
	CLEAN(free)
	char *thing = action ? mh_format(
				       "action %s",
				       json_opt_str(detail, "action-execution-id", NULL))
			     : mh_strdup(stage);
	int opened = 0;

	if (!is_open(json_opt_str(x, "pipeline", "")))
		fail_msg("%s %s, and the execution is over: %s", thing, state,
			 json_text(x));
	if (action && !is_open(json_opt_str(x, stage, "")))
		fail_msg("%s %s, and its stage is over: %s", thing, state, json_text(x));
	step(x, thing, action ? action_paths : stage_paths, state, &opened);
	json_put_i64(x, "open", json_opt_i64(x, "open", 0) + opened);
}

static void check_one(struct event_paths *paths, const char *body)
{
	CLEAN(json) struct json_object *e = NULL;
	struct mh_err err = MH_ERR_INIT;
	struct json_object *detail, *x;
	const char *type, *state, *time;

	assert_ok(json_parse_object(body, strlen(body), &e, &err), &err);
	detail = json_opt_object(e, "detail");
	type = json_opt_str(e, "detail-type", "");
	state = json_opt_str(detail, "state", "");
	time = json_opt_str(e, "time", "");
	if (strstr(type, "Approval"))
		return;
	x = execution_of(paths, json_opt_str(detail, "execution-id", ""));
	if (strcmp(json_opt_str(x, "time", ""), time) > 0)
		fail_msg("time goes back: %s", body);
	json_put_str(x, "time", time);
	if (strstr(type, " Pipeline "))
		check_pipeline(x, state,
			       (int64_t)json_object_get_double(json_object_object_get(
				       detail, "pipeline-execution-attempt")));
	else
		check_within(x, detail, strstr(type, " Action ") != NULL, state);
	/* What nobody can hear of again need not be remembered. */
	if (strcmp(state, "SUPERSEDED") == 0)
		json_object_object_del(paths->seen,
				       json_opt_str(detail, "execution-id", ""));
}

void event_paths_check(struct event_paths *paths, struct store *s)
{
	for (;;) {
		CLEAN(event_list) struct event_list list = { 0 };
		struct mh_err err = MH_ERR_INIT;

		assert_ok(events_after(s, paths->at, AT_ONCE, &list, &err), &err);
		if (list.count == 0)
			return;
		for (size_t i = 0; i < list.count; i++)
			check_one(paths, list.items[i].body);
		paths->at = list.items[list.count - 1].seq;
		paths->count += (int64_t)list.count;
	}
}

void event_paths_done(struct event_paths *paths)
{
	json_object_put(paths->seen);
	paths->seen = NULL;
}
