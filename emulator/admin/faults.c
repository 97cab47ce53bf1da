/* Faults: rules that make requests go wrong (faults.h). */
#include "emulator/admin/handlers.h"

#include <stdio.h>
#include <string.h>

#include "emulator/faults.h"
#include "lib/base/str.h"

#define DAY_MS ((int64_t)24 * 3600 * 1000)

/* ---- reading a rule ---- */

static bool is_operation(const char *name)
{
	static const char *const methods[] = { "GET", "HEAD", "PUT", "POST", "DELETE" };

	if (strcmp(name, FAULT_ANY) == 0)
		return true;
	if (str_starts_with(name, FAULT_S3_PREFIX)) {
		for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
			if (strcmp(name + strlen(FAULT_S3_PREFIX), methods[i]) == 0)
				return true;
		}
		return false;
	}
	for (const struct op *op = op_table; op->name; op++) {
		if (strcmp(op->name, name) == 0)
			return true;
	}
	return false;
}

static int read_operation(struct json_object *in, struct fault *f, struct api_error *err)
{
	const char *name = NULL;

	if (admin_str(in, "operation", sizeof(f->operation) - 1, &name, err) != 0)
		return -1;
	if (!name || !is_operation(name))
		return api_fail(err, "ValidationException",
				"operation must be one of the API's, like "
				"AcknowledgeJob, \"*\" for all of them, or S3 and a "
				"method, like S3:PUT.");
	(void)snprintf(f->operation, sizeof(f->operation), "%s", name); /* it fits */
	return 0;
}

static int read_which(struct json_object *in, struct fault *f, struct api_error *err)
{
	int64_t seed = 0;

	if (admin_i64(in, "skip", 0, 1000000000, &f->skip, NULL, err) != 0 ||
	    admin_i64(in, "count", 1, 1000000000, &f->count, NULL, err) != 0 ||
	    admin_number(in, "probability", 0, 1, &f->probability, NULL, err) != 0 ||
	    admin_i64(in, "seed", 0, INT64_MAX, &seed, NULL, err) != 0)
		return -1;
	f->seed = (uint64_t)seed;
	return 0;
}

/* What such errors come with (semantics A8). */
static int usual_status(const char *code)
{
	static const struct {
		const char *code;
		int status;
	} rows[] = {
		{ "AccessDeniedException", 403 },
		{ "ExpiredTokenException", 403 },
		{ "InternalError", 500 },
		{ "InternalFailure", 500 },
		{ "InternalServerError", 500 },
		{ "RequestTimeoutException", 408 },
		{ "ServiceUnavailable", 503 },
		{ "SlowDown", 503 },
		{ "UnrecognizedClientException", 403 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (strcmp(rows[i].code, code) == 0)
			return rows[i].status;
	}
	return 400;
}

static int set_error(struct fault *f, const char *code, const char *message,
		     int64_t status)
{
	(void)snprintf(f->code, sizeof(f->code), "%s", code); /* both were measured */
	(void)snprintf(f->message, sizeof(f->message), "%s", message);
	f->status = status ? (int)status : usual_status(code);
	return 0;
}

static int read_error(struct json_object *in, struct fault *f, struct api_error *err)
{
	static const char *const names[] = { "code", "message", "status", NULL };
	const char *code = NULL, *message = "A fault that was asked for.";
	struct json_object *error = NULL;
	int64_t status = 0;

	if (admin_object(in, "error", &error, err) != 0)
		return -1;
	if (!error)
		return 0;
	if (admin_only(error, names, err) != 0 ||
	    admin_str(error, "code", sizeof(f->code) - 1, &code, err) != 0 ||
	    admin_str(error, "message", sizeof(f->message) - 1, &message, err) != 0 ||
	    admin_i64(error, "status", 400, 599, &status, NULL, err) != 0)
		return -1;
	if (!code || *code == '\0' ||
	    code[strspn(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
			      "0123456789.")] != '\0')
		return api_fail(err, "ValidationException",
				"error.code must be letters and digits, like "
				"ServiceUnavailable.");
	return set_error(f, code, message, status);
}

/* Two errors that have names of their own. */
static int read_shorthands(struct json_object *in, struct fault *f, struct api_error *err)
{
	bool throttle = false;

	if (admin_bool(in, "throttle", &throttle, NULL, err) != 0 ||
	    admin_bool(in, "html", &f->html, NULL, err) != 0)
		return -1;
	if ((f->code[0] != '\0') + throttle + f->html > 1)
		return api_fail(err, "ValidationException",
				"error, throttle and html exclude each other.");
	if (throttle)
		return set_error(f, "ThrottlingException", "Rate exceeded", 400);
	return f->html ? set_error(f, "ServiceUnavailable", "", 503) : 0;
}

static int read_what(struct json_object *in, struct fault *f, struct api_error *err)
{
	if (read_error(in, f, err) != 0 || read_shorthands(in, f, err) != 0 ||
	    admin_i64(in, "delay_ms", 1, DAY_MS, &f->delay_ms, NULL, err) != 0 ||
	    admin_bool(in, "drop", &f->drop, NULL, err) != 0 ||
	    admin_i64(in, "truncate", 0, INT32_MAX, &f->truncate, NULL, err) != 0 ||
	    admin_i64(in, "date_skew_ms", -366 * DAY_MS, 366 * DAY_MS, &f->date_skew_ms,
		      NULL, err) != 0 ||
	    admin_i64(in, "retry_after_ms", 1, DAY_MS, &f->retry_after_ms, NULL, err) !=
		    0)
		return -1;
	if (!f->code[0] && !f->delay_ms && !f->drop && f->truncate < 0 &&
	    !f->date_skew_ms && !f->retry_after_ms)
		return api_fail(err, "ValidationException",
				"Say what happens: error, throttle, html, delay_ms, "
				"drop, truncate, date_skew_ms or retry_after_ms.");
	if (f->drop && f->truncate >= 0)
		return api_fail(err, "ValidationException",
				"drop and truncate exclude each other.");
	if (str_starts_with(f->operation, FAULT_S3_PREFIX) &&
	    (f->html || f->truncate >= 0 || f->date_skew_ms || f->retry_after_ms))
		return api_fail(err, "ValidationException",
				"The artifact store knows error, throttle, delay_ms and "
				"drop.");
	return 0;
}

static int read_rule(struct json_object *in, struct fault *f, struct api_error *err)
{
	static const char *const names[] = {
		"operation", "skip",         "count",          "probability", "seed",
		"error",     "throttle",     "html",           "delay_ms",    "drop",
		"truncate",  "date_skew_ms", "retry_after_ms", NULL,
	};

	*f = (struct fault){ .count = FAULT_FOR_EVER,
			     .probability = 1,
			     .truncate = FAULT_NO_TRUNCATE };
	if (admin_only(in, names, err) != 0 || read_operation(in, f, err) != 0 ||
	    read_which(in, f, err) != 0)
		return -1;
	return read_what(in, f, err);
}

/* ---- telling ---- */

static void put_above(struct json_object *o, const char *key, int64_t value,
		      int64_t unless)
{
	if (value != unless)
		json_put_i64(o, key, value);
}

static struct json_object *rule_to_json(const struct fault *f)
{
	struct json_object *o = json_object_new_object();

	json_put_i64(o, "id", f->id);
	json_put_str(o, "operation", f->operation);
	json_put_i64(o, "hits", f->hits);
	put_above(o, "skip", f->skip, 0);
	put_above(o, "count", f->count, FAULT_FOR_EVER);
	if (f->probability < 1)
		json_put_obj(o, "probability", json_object_new_double(f->probability));
	if (f->html) {
		json_put_bool(o, "html", true);
	} else if (f->code[0]) {
		struct json_object *error = json_object_new_object();

		json_put_str(error, "code", f->code);
		json_put_str(error, "message", f->message);
		json_put_i64(error, "status", f->status);
		json_put_obj(o, "error", error);
	}
	put_above(o, "delay_ms", f->delay_ms, 0);
	if (f->drop)
		json_put_bool(o, "drop", true);
	put_above(o, "truncate", f->truncate, FAULT_NO_TRUNCATE);
	put_above(o, "date_skew_ms", f->date_skew_ms, 0);
	put_above(o, "retry_after_ms", f->retry_after_ms, 0);
	return o;
}

/* ---- the handlers ---- */

int admin_faults_get(const struct admin_call *call, struct json_object *out,
		     struct api_error *err)
{
	CLEAN(free) struct fault *rules = mh_alloc(FAULTS_MAX * sizeof(*rules));
	struct json_object *list = json_object_new_array();
	int count = faults_list(admin_options_of(call->admin)->faults, rules, FAULTS_MAX);

	(void)err; /* nothing can go wrong */
	for (int i = 0; i < count; i++)
		(void)json_object_array_add(list, rule_to_json(&rules[i]));
	json_put_obj(out, "faults", list);
	return 0;
}

int admin_faults_post(const struct admin_call *call, struct json_object *out,
		      struct api_error *err)
{
	struct fault rule;
	int64_t id;

	if (read_rule(call->in, &rule, err) != 0)
		return -1;
	id = faults_add(admin_options_of(call->admin)->faults, &rule);
	if (id == 0)
		return admin_fail(err, 409, "Conflict",
				  "There are %d faults already: DELETE some.",
				  FAULTS_MAX);
	json_put_i64(out, "id", id);
	return 0;
}

int admin_faults_clear(const struct admin_call *call, struct json_object *out,
		       struct api_error *err)
{
	(void)err; /* none is none */
	json_put_i64(out, "removed",
		     faults_remove(admin_options_of(call->admin)->faults, 0));
	return 0;
}

int admin_fault_delete(const struct admin_call *call, struct json_object *out,
		       struct api_error *err)
{
	struct mh_err why = MH_ERR_INIT;
	int64_t id = 0;

	if (str_to_i64(call->name, 1, INT64_MAX, "id", &id, &why) != 0 ||
	    faults_remove(admin_options_of(call->admin)->faults, id) == 0)
		return admin_fail(err, 404, "NotFound", "There is no fault %.40s.",
				  call->name);
	json_put_i64(out, "removed", 1);
	return 0;
}
