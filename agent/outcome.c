#include "agent/outcome.h"

#include <stdio.h>
#include <string.h>

#include "agent/protocol.h"
#include "lib/base/json.h"
#include "lib/base/macros.h"
#include "lib/base/str.h"

/* The API's limits, in characters; bytes are never more permissive. */
#define MESSAGE_MAX         5000
#define SUMMARY_MAX         2048
#define EXTERNAL_ID_MAX     1500
#define TOKEN_MAX           2048
#define REVISION_MAX        1500
#define CHANGE_ID_MAX       100
#define VARIABLES_BYTES_MAX 122880 /* names and values of one action (C5) */
#define DELAY_MAX_MS        (24 * 3600 * INT64_C(1000)) /* an action lives no longer (C11) */
#define TAIL_KEEP           64 /* a log tail shorter than this helps nobody */

static const char *const failure_types[] = { FAIL_JOB,        FAIL_CONFIG,
					     FAIL_PERMISSION, FAIL_OUT_OF_SYNC,
					     FAIL_REVISION,   FAIL_SYSTEM };

static const char *const kind_names[] = {
	[OUTCOME_NONE] = "none",
	[OUTCOME_SUCCESS] = "success",
	[OUTCOME_FAILURE] = "failure",
	[OUTCOME_CONTINUATION] = "continuation",
};

const char *outcome_kind_name(enum outcome_kind kind)
{
	MH_ASSERT(kind < ARRAY_LEN(kind_names));
	return kind_names[kind];
}

bool outcome_kind_parse(const char *name, enum outcome_kind *ret)
{
	for (size_t i = 0; i < ARRAY_LEN(kind_names); i++) {
		if (strcmp(kind_names[i], name) == 0) {
			*ret = (enum outcome_kind)i;
			return true;
		}
	}
	return false;
}

void outcome_done(struct outcome *o)
{
	free(o->text);
	*o = (struct outcome){ 0 };
}

/* The constant of that name; a type of tomorrow is an ordinary failure today. */
static const char *failure_type(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(failure_types); i++) {
		if (strcmp(failure_types[i], name) == 0)
			return failure_types[i];
	}
	return FAIL_JOB;
}

static void note(struct outcome *o, const char *what)
{
	size_t used = strlen(o->note);

	(void)snprintf(o->note + used, sizeof(o->note) - used, "%s%s", used ? "; " : "",
		       what);
}

/* An optional text, held to max bytes; empty means absent (the API's minimum is 1). */
static void put_text(struct outcome *o, struct json_object *out, const char *key,
		     const char *value, size_t max)
{
	size_t len = value ? strlen(value) : 0;
	size_t fit = str_utf8_floor(value ? value : "", len, max);
	CLEAN(free) char *cut = NULL;
	char what[64];

	if (len == 0)
		return;
	if (fit < len) {
		(void)snprintf(what, sizeof(what), "%s cut to %zu bytes", key, max);
		note(o, what);
	}
	cut = mh_strndup(value, fit);
	json_put_str(out, key, cut);
}

static void finish(struct outcome *o, enum outcome_kind kind, struct json_object *doc)
{
	o->kind = kind;
	json_put_str(doc, "kind", kind_names[kind]);
	o->text = mh_strdup(json_text(doc));
}

/* The end of a log, as much as fits into room: a heading, and whole characters. The
 * shim has done the same already, as far as it had room. */
static char *with_tail(const char *message, const char *tail, size_t room)
{
	static const char heading[] = "\n--- end of the log ---\n";
	size_t len = strlen(tail);

	if (len == 0 || room < sizeof(heading) + TAIL_KEEP || strstr(message, tail) ||
	    strstr(message, heading))
		return mh_strdup(message);
	room -= sizeof(heading);
	if (len > room) {
		tail += len - room;
		while (((unsigned char)*tail & 0xc0) == 0x80)
			tail++; /* the rest of a cut character */
	}
	return mh_format("%s%s%s", message, heading, tail);
}

static void fail_into(struct outcome *o, const char *type, const char *message,
		      const char *log_tail, const char *external_id)
{
	CLEAN(json) struct json_object *doc = json_object_new_object();
	CLEAN(free) char *text = NULL;
	size_t used;

	if (!message || !*message)
		message = "the handler gave no reason";
	used = str_utf8_floor(message, strlen(message), MESSAGE_MAX);
	text = with_tail(message, log_tail ? log_tail : "", MESSAGE_MAX - used);
	o->failure = failure_type(type);
	json_put_str(doc, "type", o->failure);
	put_text(o, doc, "message", text, MESSAGE_MAX);
	put_text(o, doc, "external_id", external_id, EXTERNAL_ID_MAX);
	finish(o, OUTCOME_FAILURE, doc);
}

void outcome_failure(const char *type, const char *message, struct outcome *ret)
{
	struct outcome o = { 0 };

	fail_into(&o, type, message, NULL, NULL);
	*ret = o;
}

/* --- from a shim's result ------------------------------------------------- */

static void take_revision(struct outcome *o, struct json_object *in,
			  struct json_object *out)
{
	struct json_object *rev = json_opt_object(in, "revision");
	const char *revision = json_opt_str(rev, "revision", "");
	const char *change = json_opt_str(rev, "change_id", "");
	int64_t created = json_opt_i64(rev, "created_ms", 0);
	struct json_object *to;

	if (!*revision)
		return;
	to = json_object_new_object();
	put_text(o, to, "revision", revision, REVISION_MAX);
	put_text(o, to, "change_id", *change ? change : revision, CHANGE_ID_MAX);
	put_text(o, to, "summary", json_opt_str(rev, "summary", NULL), SUMMARY_MAX);
	if (created > 0)
		json_put_i64(to, "created_ms", created);
	json_put_obj(out, "revision", to);
}

static bool is_variable_name(const char *s)
{
	return *s && strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
			       "0123456789@-_") == strlen(s);
}

static bool has_variables(struct json_object *in)
{
	struct json_object *vars = json_opt_object(in, "variables");

	return vars && json_object_object_length(vars) > 0;
}

/* PROTO when no endpoint could take them. */
static int take_variables(struct json_object *in, struct json_object *out,
			  struct mh_err *err)
{
	struct json_object *vars = json_opt_object(in, "variables");
	size_t bytes = 0;

	if (!vars || json_object_object_length(vars) == 0)
		return 0;
	json_object_object_foreach(vars, name, value)
	{
		if (!is_variable_name(name))
			return mh_err_set(
				err, MH_E_PROTO,
				"output variable \"%s\": a name has letters, digits, "
				"'@', '-' and '_' only",
				name);
		if (!json_object_is_type(value, json_type_string))
			return mh_err_set(err, MH_E_PROTO,
					  "output variable \"%s\": not a string", name);
		bytes += strlen(name) + (size_t)json_object_get_string_len(value);
	}
	if (bytes > VARIABLES_BYTES_MAX)
		return mh_err_set(
			err, MH_E_PROTO,
			"the output variables have %zu bytes; an action may have %d",
			bytes, VARIABLES_BYTES_MAX);
	json_put_obj(out, "variables", json_object_get(vars));
	return 0;
}

static void take_details(struct outcome *o, struct json_object *in,
			 struct json_object *out)
{
	int64_t percent = json_opt_i64(in, "percent", -1);

	put_text(o, out, "summary", json_opt_str(in, "summary", NULL), SUMMARY_MAX);
	put_text(o, out, "external_id", json_opt_str(in, "external_id", NULL),
		 EXTERNAL_ID_MAX);
	if (percent >= 0 && percent <= 100)
		json_put_i64(out, "percent", percent);
}

/* The file is opened beneath the job's directory: "store/<digits>" and nothing else. */
static bool is_store_file(const char *file)
{
	const char *digits = file + strlen("store/");

	return str_starts_with(file, "store/") && *digits && strlen(digits) <= 4 &&
	       strspn(digits, "0123456789") == strlen(digits);
}

static int take_output(const struct outcome_expect *expect, struct json_object *item,
		       struct json_object *list, bool *seen, struct mh_err *err)
{
	const char *name, *file, *sha256;
	unsigned char digest[32];
	struct json_object *to;
	int64_t size;
	size_t i = 0;

	if (!json_object_is_type(item, json_type_object))
		return mh_err_set(err, MH_E_PROTO, "outputs: not an object");
	if (json_get_str(item, "name", &name, err) != 0 ||
	    json_get_str(item, "file", &file, err) != 0 ||
	    json_get_str(item, "sha256", &sha256, err) != 0 ||
	    json_get_i64(item, "size", &size, err) != 0)
		return mh_err_wrap(err, "outputs");
	while (i < expect->output_count && strcmp(expect->outputs[i], name) != 0)
		i++;
	if (expect->outputs && (i == expect->output_count || seen[i]))
		return mh_err_set(err, MH_E_PROTO,
				  "outputs: \"%s\" is not one of the job's, or "
				  "is there twice",
				  name);
	if (!is_store_file(file) || size < 0 || strlen(sha256) != 64 ||
	    !str_unhex(sha256, digest, sizeof(digest)))
		return mh_err_set(err, MH_E_PROTO,
				  "outputs: \"%s\": bad file, size or sha256", name);
	seen[i] = true;
	to = json_object_new_object();
	json_put_str(to, "name", name);
	json_put_str(to, "file", file);
	json_put_i64(to, "size", size);
	json_put_str(to, "sha256", sha256);
	json_object_array_add(list, to);
	return 0;
}

/* PROTO when the list is not to be believed, NOTFOUND when outputs are missing. */
static int take_outputs(struct outcome *o, const struct outcome_expect *expect,
			struct json_object *in, struct json_object *out,
			struct mh_err *err)
{
	struct json_object *from = json_opt_array(in, "outputs");
	size_t n = from ? json_object_array_length(from) : 0;
	CLEAN(json) struct json_object *list = json_object_new_array();
	CLEAN(free) bool *seen = mh_alloc((expect->output_count + 1) * sizeof(*seen));

	for (size_t i = 0; i < n; i++) {
		if (take_output(expect, json_object_array_get_idx(from, i), list, seen,
				err) != 0)
			return -1;
	}
	for (size_t i = 0; i < expect->output_count; i++) {
		if (!seen[i] && (int64_t)n < expect->outputs_min)
			return mh_err_set(
				err, MH_E_NOTFOUND,
				"the handler succeeded but made no output \"%s\"",
				expect->outputs[i]);
	}
	o->outputs = n;
	if (n > 0)
		json_put_obj(out, "outputs", STEAL_PTR(list));
	return 0;
}

static int take_success(struct outcome *o, const struct outcome_expect *expect,
			struct json_object *in, struct mh_err *err)
{
	CLEAN(json) struct json_object *doc = json_object_new_object();
	struct mh_err why = MH_ERR_INIT;

	take_details(o, in, doc);
	take_revision(o, in, doc);
	if (expect->no_variables && has_variables(in))
		note(o, "output variables dropped: a third-party action has none");
	else if (take_variables(in, doc, &why) != 0) {
		fail_into(o, FAIL_CONFIG, why.text, NULL, NULL);
		return 0;
	}
	if (take_outputs(o, expect, in, doc, &why) != 0) {
		if (why.cls != MH_E_NOTFOUND)
			return mh_err_set(err, why.cls, "%s", why.text);
		fail_into(o, FAIL_JOB, why.text, json_opt_str(in, "log_tail", NULL),
			  NULL);
		return 0;
	}
	finish(o, OUTCOME_SUCCESS, doc);
	return 0;
}

static void take_continuation(struct outcome *o, struct json_object *in)
{
	CLEAN(json) struct json_object *doc = json_object_new_object();
	const char *token = json_opt_str(in, "token", "");
	int64_t delay = json_opt_i64(in, "delay_ms", 0);
	size_t len = strlen(token);

	if (len == 0 || len > TOKEN_MAX) {
		/* A token that was cut would be a wrong one. */
		fail_into(o, FAIL_CONFIG,
			  len ? "the continuation token has more than 2048 bytes"
			      : "a continuation without a token",
			  NULL, NULL);
		return;
	}
	o->delay_ms = delay < 0 ? 0 : delay > DELAY_MAX_MS ? DELAY_MAX_MS : delay;
	take_details(o, in, doc);
	take_revision(o, in, doc);
	if (json_opt_object(in, "variables"))
		note(o, "output variables dropped: the API takes none beside a token");
	json_put_str(doc, "token", token);
	json_put_i64(doc, "delay_ms", o->delay_ms);
	finish(o, OUTCOME_CONTINUATION, doc);
}

static int from_doc(struct outcome *o, const struct outcome_expect *expect,
		    struct json_object *in, struct mh_err *err)
{
	struct json_object *failure;
	const char *kind;
	int64_t version;

	if (json_get_i64(in, "version", &version, err) != 0 ||
	    json_get_str(in, "outcome", &kind, err) != 0)
		return -1;
	if (version != RESULT_VERSION)
		return mh_err_set(err, MH_E_VERSION,
				  "version %lld is not known; the job's shim was of a "
				  "build that does not go together with this agent's",
				  (long long)version);
	if (strcmp(kind, "success") == 0)
		return take_success(o, expect, in, err);
	if (strcmp(kind, "continuation") == 0) {
		take_continuation(o, in);
		return 0;
	}
	if (strcmp(kind, "failure") != 0)
		return mh_err_set(err, MH_E_PROTO, "outcome: \"%s\" is not known", kind);
	if (json_get_object(in, "failure", &failure, err) != 0)
		return -1;
	fail_into(o, json_opt_str(failure, "type", FAIL_JOB),
		  json_opt_str(failure, "message", NULL),
		  json_opt_str(in, "log_tail", NULL),
		  json_opt_str(in, "external_id", NULL));
	return 0;
}

/* Its file may have served another job before, and after a power failure be that one's
 * again. Shims of the first builds write no number, and have a file of their own. */
static int check_number(struct json_object *in, int64_t n, struct mh_err *err)
{
	if (n == 0 || json_opt_i64(in, "n", n) == n)
		return 0;
	return mh_err_set(err, MH_E_PROTO, "it is of another job");
}

int outcome_from_result(const char *text, size_t len, const struct outcome_expect *expect,
			struct outcome *ret, struct mh_err *err)
{
	CLEAN(json) struct json_object *in = NULL;
	CLEAN(outcome) struct outcome o = { 0 };

	if (json_parse_object(text, len, &in, err) != 0 ||
	    check_number(in, expect->n, err) != 0 || from_doc(&o, expect, in, err) != 0)
		return mh_err_wrap(err, "result.json");
	*ret = o;
	o = (struct outcome){ 0 };
	return 0;
}

/* --- from the ledger, to the API ------------------------------------------ */

int outcome_doc(const char *text, struct json_object **ret, struct mh_err *err)
{
	if (json_parse_object(text, strlen(text), ret, err) != 0)
		return mh_err_wrap(err, "recorded outcome");
	return 0;
}

int outcome_parse(const char *text, struct outcome *ret, struct mh_err *err)
{
	CLEAN(json) struct json_object *doc = NULL;
	struct json_object *outputs;
	struct outcome o = { 0 };

	if (outcome_doc(text, &doc, err) != 0)
		return -1;
	if (!outcome_kind_parse(json_opt_str(doc, "kind", ""), &o.kind) ||
	    o.kind == OUTCOME_NONE)
		return mh_err_set(err, MH_E_PROTO, "recorded outcome: no known kind");
	if (o.kind == OUTCOME_FAILURE)
		o.failure = failure_type(json_opt_str(doc, "type", ""));
	outputs = json_opt_array(doc, "outputs");
	o.outputs = outputs ? json_object_array_length(outputs) : 0;
	o.delay_ms = json_opt_i64(doc, "delay_ms", 0);
	o.text = mh_strdup(text);
	*ret = o;
	return 0;
}

int outcome_output_at(struct json_object *doc, size_t i, struct outcome_output *ret,
		      struct mh_err *err)
{
	struct json_object *list = json_opt_array(doc, "outputs");
	struct json_object *item = list ? json_object_array_get_idx(list, i) : NULL;
	struct outcome_output o;

	if (!item || json_get_str(item, "name", &o.name, err) != 0 ||
	    json_get_str(item, "file", &o.file, err) != 0 ||
	    json_get_str(item, "sha256", &o.sha256, err) != 0 ||
	    json_get_i64(item, "size", &o.size, err) != 0 || !is_store_file(o.file))
		return mh_err_set(err, MH_E_PROTO,
				  "recorded outcome: outputs are damaged");
	*ret = o;
	return 0;
}

static struct json_object *failure_body(struct json_object *doc, const char *job_id)
{
	struct json_object *body = json_object_new_object();
	struct json_object *details = json_object_new_object();

	json_put_str(body, "jobId", job_id);
	json_put_str(details, "type", json_opt_str(doc, "type", FAIL_JOB));
	json_put_str(details, "message", json_opt_str(doc, "message", "failed"));
	json_put_str(details, "externalExecutionId",
		     json_opt_str(doc, "external_id", NULL));
	json_put_obj(body, "failureDetails", details);
	return body;
}

struct json_object *outcome_put_body(struct json_object *doc, const char *job_id)
{
	struct json_object *body, *details, *rev, *to;
	int64_t percent = json_opt_i64(doc, "percent", -1);

	if (strcmp(json_opt_str(doc, "kind", ""), kind_names[OUTCOME_FAILURE]) == 0)
		return failure_body(doc, job_id);
	body = json_object_new_object();
	details = json_object_new_object();
	json_put_str(body, "jobId", job_id);
	json_put_str(body, "continuationToken", json_opt_str(doc, "token", NULL));
	json_put_str(details, "summary", json_opt_str(doc, "summary", NULL));
	json_put_str(details, "externalExecutionId",
		     json_opt_str(doc, "external_id", NULL));
	if (percent >= 0)
		json_put_i64(details, "percentComplete", percent);
	if (json_object_object_length(details) > 0)
		json_put_obj(body, "executionDetails", details);
	else
		json_object_put(details);
	rev = json_opt_object(doc, "revision");
	if (rev) {
		to = json_object_new_object();
		json_put_str(to, "revision", json_opt_str(rev, "revision", NULL));
		json_put_str(to, "changeIdentifier",
			     json_opt_str(rev, "change_id", NULL));
		json_put_str(to, "revisionSummary", json_opt_str(rev, "summary", NULL));
		if (json_opt_i64(rev, "created_ms", 0) > 0)
			json_put_time(to, "created", json_opt_i64(rev, "created_ms", 0));
		json_put_obj(body, "currentRevision", to);
	}
	if (json_opt_object(doc, "variables"))
		json_put_obj(body, "outputVariables",
			     json_object_get(json_opt_object(doc, "variables")));
	return body;
}
