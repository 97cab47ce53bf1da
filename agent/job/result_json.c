/* The result as it travels from the handler to the shim, and the document that a
 * program leaves for its plugin. */
#include <string.h>

#include "agent/job/result.h"

static const char *const kind_names[] = {
	[RESULT_NONE] = "none",
	[RESULT_SUCCESS] = "success",
	[RESULT_CONTINUATION] = "continuation",
	[RESULT_FAILURE] = "failure",
};

struct json_object *result_progress(const struct result *r)
{
	struct json_object *doc = json_object_new_object();

	json_put_str(doc, "summary", r->summary);
	if (r->percent >= 0)
		json_put_i64(doc, "percent", r->percent);
	json_put_str(doc, "external_id", r->external_id);
	return doc;
}

struct json_object *result_to_json(const struct result *r)
{
	struct json_object *doc = result_progress(r);

	json_put_str(doc, "outcome", kind_names[r->kind]);
	if (r->kind == RESULT_FAILURE) {
		struct json_object *failure = json_object_new_object();

		json_put_str(failure, "type", result_failure_name(r->failure));
		json_put_str(failure, "message", r->message);
		json_put_obj(doc, "failure", failure);
	}
	if (r->kind == RESULT_CONTINUATION) {
		json_put_str(doc, "token", r->token);
		json_put_i64(doc, "delay_ms", r->delay_ms);
	}
	if (r->revision) {
		struct json_object *revision = json_object_new_object();

		json_put_str(revision, "revision", r->revision);
		json_put_str(revision, "change_id", r->change_id);
		json_put_str(revision, "summary", r->revision_summary);
		json_put_i64(revision, "created_ms", r->created_ms);
		json_put_obj(doc, "revision", revision);
	}
	return doc;
}

/* null is absent (semantics A4). */
static bool present(struct json_object *doc, const char *key)
{
	struct json_object *value = NULL;

	return json_object_object_get_ex(doc, key, &value) && value;
}

/* Present members must have the right type; absent ones are fine. */
static int opt_str(struct json_object *doc, const char *key, const char **ret,
		   struct mh_err *err)
{
	if (!present(doc, key)) {
		*ret = NULL;
		return 0;
	}
	return json_get_str(doc, key, ret, err);
}

static int opt_i64(struct json_object *doc, const char *key, int64_t fallback,
		   int64_t *ret, struct mh_err *err)
{
	if (!present(doc, key)) {
		*ret = fallback;
		return 0;
	}
	return json_get_i64(doc, key, ret, err);
}

static int refuse_unknown(struct json_object *doc, const char *const *known,
			  struct mh_err *err)
{
	json_object_object_foreach(doc, key, value)
	{
		size_t i = 0;

		(void)value;
		while (known[i] && strcmp(known[i], key) != 0)
			i++;
		if (!known[i])
			return mh_err_set(err, MH_E_PROTO, "%.64s: not a member here",
					  key);
	}
	return 0;
}

int result_take_progress(struct result *r, struct json_object *doc, struct mh_err *err)
{
	const char *summary, *external_id;
	int64_t percent;

	if (opt_str(doc, "summary", &summary, err) != 0 ||
	    opt_str(doc, "external_id", &external_id, err) != 0 ||
	    opt_i64(doc, "percent", -1, &percent, err) != 0)
		return -1;
	if (summary && result_set_summary(r, summary, err) != 0)
		return -1;
	if (external_id && result_set_external_id(r, external_id, err) != 0)
		return -1;
	if (present(doc, "percent") && result_set_percent(r, percent, err) != 0)
		return -1;
	return 0;
}

static int take_revision(struct result *r, struct json_object *doc, struct mh_err *err)
{
	static const char *const known[] = { "revision", "change_id", "summary",
					     "created_ms", NULL };
	const char *revision, *change_id, *summary;
	int64_t created_ms;

	if (refuse_unknown(doc, known, err) != 0 ||
	    json_get_str(doc, "revision", &revision, err) != 0 ||
	    json_get_str(doc, "change_id", &change_id, err) != 0 ||
	    opt_str(doc, "summary", &summary, err) != 0 ||
	    opt_i64(doc, "created_ms", 0, &created_ms, err) != 0)
		return -1;
	return result_set_revision(r, revision, change_id, summary, created_ms, err);
}

static int take_failure(struct result *r, struct json_object *doc, struct mh_err *err)
{
	static const char *const known[] = { "type", "message", NULL };
	const char *type, *message;

	if (refuse_unknown(doc, known, err) != 0 ||
	    json_get_str(doc, "type", &type, err) != 0 ||
	    json_get_str(doc, "message", &message, err) != 0)
		return -1;
	if (!result_failure_parse(type))
		return mh_err_set(err, MH_E_PROTO, "type: '%.64s' is no kind of failure",
				  type);
	return result_fail(r, result_failure_parse(type), message, err);
}

static int take_outcome(struct result *r, struct json_object *doc, struct mh_err *err)
{
	struct json_object *failure;
	const char *outcome, *token;
	int64_t delay_ms;

	if (json_get_str(doc, "outcome", &outcome, err) != 0)
		return -1;
	if (strcmp(outcome, kind_names[RESULT_SUCCESS]) == 0)
		return result_succeed(r, err);
	if (strcmp(outcome, kind_names[RESULT_FAILURE]) == 0) {
		if (json_get_object(doc, "failure", &failure, err) != 0)
			return -1;
		if (take_failure(r, failure, err) != 0)
			return mh_err_wrap(err, "failure");
		return 0;
	}
	if (strcmp(outcome, kind_names[RESULT_CONTINUATION]) != 0)
		return mh_err_set(err, MH_E_PROTO, "outcome: '%.64s' is none", outcome);
	if (json_get_str(doc, "token", &token, err) != 0 ||
	    json_get_i64(doc, "delay_ms", &delay_ms, err) != 0)
		return -1;
	return result_continue(r, token, delay_ms, err);
}

int result_from_json(struct result *r, struct json_object *doc, struct mh_err *err)
{
	static const char *const known[] = { "m",       "outcome",     "failure",
					     "token",   "delay_ms",    "summary",
					     "percent", "external_id", "revision",
					     NULL };
	struct json_object *revision;

	if (refuse_unknown(doc, known, err) != 0 ||
	    result_take_progress(r, doc, err) != 0)
		return -1;
	if (present(doc, "revision")) {
		if (json_get_object(doc, "revision", &revision, err) != 0)
			return -1;
		if (take_revision(r, revision, err) != 0)
			return mh_err_wrap(err, "revision");
	}
	return take_outcome(r, doc, err);
}

static int take_continuation(struct result *r, struct json_object *doc,
			     struct mh_err *err)
{
	static const char *const known[] = { "token", "delay_s", NULL };
	const char *token;
	int64_t delay_s;

	if (refuse_unknown(doc, known, err) != 0 ||
	    json_get_str(doc, "token", &token, err) != 0 ||
	    opt_i64(doc, "delay_s", 0, &delay_s, err) != 0)
		return -1;
	if (delay_s < 0 || delay_s > RESULT_DELAY_MAX_MS / 1000)
		return mh_err_set(err, MH_E_PROTO, "delay_s: not from 0 to 86400");
	return result_continue(r, token, delay_s * 1000, err);
}

static int take_variables(struct result *r, struct json_object *doc, struct mh_err *err)
{
	json_object_object_foreach(doc, name, value)
	{
		const char *text;

		(void)value;
		if (json_get_str(doc, name, &text, err) != 0 ||
		    result_set_variable(r, name, text, err) != 0)
			return -1;
	}
	return 0;
}

/* An optional member that must be an object, given to `take`. */
static int opt_part(struct result *r, struct json_object *doc, const char *key,
		    int (*take)(struct result *, struct json_object *, struct mh_err *),
		    struct mh_err *err)
{
	struct json_object *part;

	if (!present(doc, key))
		return 0;
	if (json_get_object(doc, key, &part, err) != 0)
		return -1;
	return take(r, part, err) == 0 ? 0 : mh_err_wrap(err, "%s", key);
}

static int take_document(struct result *r, struct json_object *doc, struct mh_err *err)
{
	static const char *const known[] = { "summary",   "percent",  "external_id",
					     "variables", "revision", "continuation",
					     "failure",   NULL };

	if (refuse_unknown(doc, known, err) != 0 ||
	    result_take_progress(r, doc, err) != 0 ||
	    opt_part(r, doc, "variables", take_variables, err) != 0 ||
	    opt_part(r, doc, "revision", take_revision, err) != 0 ||
	    opt_part(r, doc, "continuation", take_continuation, err) != 0)
		return -1;
	return opt_part(r, doc, "failure", take_failure, err);
}

static void take_text(char **field, char **from)
{
	if (!*from)
		return;
	free(*field);
	*field = STEAL_PTR(*from);
}

/* What `from` has wins. */
static void merge(struct result *r, struct result *from)
{
	take_text(&r->summary, &from->summary);
	take_text(&r->external_id, &from->external_id);
	take_text(&r->message, &from->message);
	take_text(&r->token, &from->token);
	if (from->percent >= 0)
		r->percent = from->percent;
	if (from->revision) {
		free(r->revision_summary); /* belongs to the old revision */
		r->revision_summary = STEAL_PTR(from->revision_summary);
		take_text(&r->revision, &from->revision);
		take_text(&r->change_id, &from->change_id);
		r->created_ms = from->created_ms;
	}
	json_object_put(r->variables);
	r->variables = STEAL_PTR(from->variables);
	r->variables_bytes = from->variables_bytes;
	if (from->kind == RESULT_NONE)
		return;
	r->kind = from->kind;
	r->failure = from->failure;
	r->delay_ms = from->delay_ms;
}

int result_apply_document(struct result *r, struct json_object *doc, struct mh_err *err)
{
	CLEAN(result) struct result next = RESULT_INIT;

	/* The limit of the variables counts those set before. */
	if (r->variables &&
	    json_object_deep_copy(r->variables, &next.variables, NULL) != 0)
		MH_BUG("out of memory");
	next.variables_bytes = r->variables_bytes;
	if (take_document(&next, doc, err) != 0)
		return -1;
	if (next.kind != RESULT_NONE && r->kind == RESULT_FAILURE)
		return mh_err_set(err, MH_E_PROTO, "the job has failed already");
	merge(r, &next);
	return 0;
}
