/* The operations of job workers, for custom and for third-party actions (semantics C). */
#include "emulator/api/ops.h"
#include "emulator/engine/engine.h"
#include "emulator/offer.h"
#include "emulator/settings.h"
#include "emulator/third_party.h"
#include "emulator/type_name.h"
#include "lib/base/sha256.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- PollForJobs ---- */

static int check_owner(struct json_object *id, bool custom, struct api_error *err)
{
	const char *owner = json_opt_str(id, "owner", "");

	if ((strcmp(owner, "Custom") == 0) == custom)
		return 0;
	return api_fail(err, "ValidationException",
			"ActionType with owner '%s' is not supported", owner);
}

/* A type that is offered need not exist: *ret is then empty. */
static int check_type(struct op_ctx *ctx, struct json_object *id, const char *text,
		      struct action_type *ret, struct api_error *err)
{
	struct action_type type = { 0 };
	bool found;

	if (check_owner(id, true, err) != 0)
		return -1;
	if (action_type_load(ctx, id, &type, &found, err) != 0)
		return -1;
	if (found && !type.deleted) {
		*ret = type;
		return 0;
	}
	if (found)
		action_type_done(&type);
	if (offer_has(ctx->settings, text))
		return 0;
	return action_type_not_available(id, err);
}

/* Exactly one entry, named as the type's queryable property, when it has one; none when
 * it has not (semantics C5, C7). */
static int check_query(const struct action_type *type, struct json_object *query,
		       const char **ret_value, struct api_error *err)
{
	const char *queryable = action_type_queryable(type);
	int count = query ? json_object_object_length(query) : 0;
	struct json_object *value = NULL;

	if (!queryable && count > 0)
		return api_fail(err, "ValidationException",
				"The action type has no queryable property: queryParam "
				"cannot be used");
	if (queryable &&
	    (count == 0 || !json_object_object_get_ex(query, queryable, &value)))
		return api_fail(err, "ValidationException",
				"queryParam must hold the queryable property '%s' of the "
				"action type",
				queryable);
	*ret_value = value ? json_object_get_string(value) : NULL;
	return 0;
}

static void put_nonce(struct json_object *o, const struct job *j)
{
	char nonce[24];

	(void)snprintf(nonce, sizeof(nonce), "%" PRId64, j->dispatches); /* it fits */
	json_put_str(o, "nonce", nonce);
}

static int add_job(struct op_ctx *ctx, const struct job *j, struct json_object *list,
		   struct api_error *err)
{
	struct json_object *o = json_object_new_object(), *data = NULL;

	json_object_array_add(list, o);
	if (engine_job_data(ctx, j, &data, err) != 0)
		return -1;
	json_put_str(o, "id", j->id);
	json_put_obj(o, "data", data);
	put_nonce(o, j);
	json_put_str(o, "accountId", ctx->settings->account);
	return 0;
}

static int64_t batch(struct op_ctx *ctx, struct json_object *in)
{
	int64_t wanted = json_opt_i64(in, "maxBatchSize", 1);

	return wanted < ctx->settings->max_batch ? wanted : ctx->settings->max_batch;
}

int op_poll_for_jobs(struct op_ctx *ctx, struct json_object *in, struct json_object *out,
		     struct api_error *err)
{
	struct json_object *id = json_opt_object(in, "actionTypeId");
	struct json_object *list = json_object_new_array();
	CLEAN(action_type) struct action_type type = { 0 };
	CLEAN(job_list) struct job_list jobs = { 0 };
	CLEAN(free) char *text = NULL;
	const char *value = NULL;

	json_put_obj(out, "jobs", list);
	text = type_name_of(id);
	if (check_type(ctx, id, text, &type, err) != 0 ||
	    check_query(&type, json_opt_object(in, "queryParam"), &value, err) != 0)
		return -1;
	if (engine_poll(ctx, text, value, batch(ctx, in), &jobs, err) != 0)
		return -1;
	for (size_t i = 0; i < jobs.count; i++) {
		if (add_job(ctx, &jobs.items[i], list, err) != 0)
			return -1;
	}
	return 0;
}

/* ---- PollForThirdPartyJobs ---- */

/* The type must be there, and this account one that may ask for its jobs. */
static int check_third_party_type(struct op_ctx *ctx, struct json_object *id,
				  struct api_error *err)
{
	CLEAN(action_type) struct action_type type = { 0 };
	bool found;

	if (check_owner(id, false, err) != 0 ||
	    action_type_load(ctx, id, &type, &found, err) != 0)
		return -1;
	return found && type.polled && type.may_poll ? 0
						     : action_type_not_available(id, err);
}

int op_poll_for_third_party_jobs(struct op_ctx *ctx, struct json_object *in,
				 struct json_object *out, struct api_error *err)
{
	struct json_object *id = json_opt_object(in, "actionTypeId");
	struct json_object *list = json_object_new_array();
	CLEAN(free) char *text = type_name_of(id);
	CLEAN(job_list) struct job_list jobs = { 0 };
	char client_id[STR_UUID_SIZE];

	json_put_obj(out, "jobs", list);
	if (check_third_party_type(ctx, id, err) != 0 ||
	    engine_poll(ctx, text, NULL, batch(ctx, in), &jobs, err) != 0)
		return -1;
	third_party_client_id(ctx->settings, text, client_id);
	for (size_t i = 0; i < jobs.count; i++) {
		struct json_object *o = json_object_new_object();

		json_put_str(o, "clientId", client_id);
		json_put_str(o, "jobId", jobs.items[i].id);
		json_object_array_add(list, o);
	}
	return 0;
}

/* ---- the others: custom jobs have no client token ---- */

static int acknowledge(struct op_ctx *ctx, struct json_object *in, const char *token,
		       struct json_object *out, struct api_error *err)
{
	enum job_state state;

	if (engine_acknowledge(ctx, json_opt_str(in, "jobId", ""), token,
			       json_opt_str(in, "nonce", ""), &state, err) != 0)
		return -1;
	json_put_str(out, "status", job_state_name(state));
	return 0;
}

int op_acknowledge_job(struct op_ctx *ctx, struct json_object *in,
		       struct json_object *out, struct api_error *err)
{
	return acknowledge(ctx, in, NULL, out, err);
}

int op_acknowledge_third_party_job(struct op_ctx *ctx, struct json_object *in,
				   struct json_object *out, struct api_error *err)
{
	return acknowledge(ctx, in, json_opt_str(in, "clientToken", ""), out, err);
}

int op_get_job_details(struct op_ctx *ctx, struct json_object *in,
		       struct json_object *out, struct api_error *err)
{
	struct json_object *o = json_object_new_object(), *data = NULL;
	CLEAN(job) struct job j = { 0 };

	json_put_obj(out, "jobDetails", o);
	if (engine_job_find(ctx, json_opt_str(in, "jobId", ""), NULL, &j, err) != 0 ||
	    engine_job_data(ctx, &j, &data, err) != 0)
		return -1;
	json_put_str(o, "id", j.id);
	json_put_obj(o, "data", data);
	json_put_str(o, "accountId", ctx->settings->account);
	return 0;
}

int op_get_third_party_job_details(struct op_ctx *ctx, struct json_object *in,
				   struct json_object *out, struct api_error *err)
{
	struct json_object *o = json_object_new_object(), *data = NULL;
	CLEAN(job) struct job j = { 0 };

	json_put_obj(out, "jobDetails", o);
	if (engine_third_party_job(ctx, json_opt_str(in, "jobId", ""),
				   json_opt_str(in, "clientToken", ""), &j, err) != 0 ||
	    engine_job_data(ctx, &j, &data, err) != 0)
		return -1;
	json_put_str(o, "id", j.id);
	json_put_obj(o, "data", data);
	put_nonce(o, &j);
	return 0;
}

#define LAST_SECOND 253402300799.0 /* of the year 9999 */

/* Times come as seconds, whole or not (semantics A5); 0 when absent. */
static int64_t time_ms(struct json_object *o, const char *key)
{
	struct json_object *value;
	double seconds;

	if (!o || !json_object_object_get_ex(o, key, &value))
		return 0;
	seconds = json_object_get_double(value);
	if (!(seconds >= 0 && seconds <= LAST_SECOND))
		return 0; /* no time that anybody means */
	return (int64_t)(seconds * 1000 + 0.5);
}

/* What tells a repeated result: a success and a failure have different members. */
static void digest_of(struct json_object *in, char ret[SHA256_HEX_SIZE])
{
	const char *text = json_text(in);

	sha256_hex(text, strlen(text), ret);
}

static int put_success(struct op_ctx *ctx, struct json_object *in, const char *token,
		       struct api_error *err)
{
	struct json_object *details = json_opt_object(in, "executionDetails");
	struct json_object *revision = json_opt_object(in, "currentRevision");
	char digest[SHA256_HEX_SIZE];
	struct job_success result = {
		.digest = digest,
		.continuation_token = json_opt_str(in, "continuationToken", NULL),
		.summary = json_opt_str(details, "summary", NULL),
		.external_id = json_opt_str(details, "externalExecutionId", NULL),
		.percent = json_opt_i64(details, "percentComplete", -1),
		.revision = json_opt_str(revision, "revision", NULL),
		.change_id = json_opt_str(revision, "changeIdentifier", NULL),
		.revision_summary = json_opt_str(revision, "revisionSummary", NULL),
		.revision_created_ms = time_ms(revision, "created"),
		.variables = json_opt_object(in, "outputVariables"),
	};

	digest_of(in, digest);
	return engine_job_success(ctx, json_opt_str(in, "jobId", ""), token, &result,
				  err);
}

int op_put_job_success_result(struct op_ctx *ctx, struct json_object *in,
			      struct json_object *out, struct api_error *err)
{
	(void)out; /* the operation answers nothing */
	return put_success(ctx, in, NULL, err);
}

int op_put_third_party_job_success_result(struct op_ctx *ctx, struct json_object *in,
					  struct json_object *out, struct api_error *err)
{
	(void)out; /* as above */
	return put_success(ctx, in, json_opt_str(in, "clientToken", ""), err);
}

static int put_failure(struct op_ctx *ctx, struct json_object *in, const char *token,
		       struct api_error *err)
{
	struct json_object *details = json_opt_object(in, "failureDetails");
	char digest[SHA256_HEX_SIZE];
	const struct job_failure result = {
		.type = json_opt_str(details, "type", "JobFailed"),
		.message = json_opt_str(details, "message", ""),
		.external_id = json_opt_str(details, "externalExecutionId", NULL),
		.digest = digest,
	};

	digest_of(in, digest);
	return engine_job_failure(ctx, json_opt_str(in, "jobId", ""), token, &result,
				  err);
}

int op_put_job_failure_result(struct op_ctx *ctx, struct json_object *in,
			      struct json_object *out, struct api_error *err)
{
	(void)out; /* the operation answers nothing */
	return put_failure(ctx, in, NULL, err);
}

int op_put_third_party_job_failure_result(struct op_ctx *ctx, struct json_object *in,
					  struct json_object *out, struct api_error *err)
{
	(void)out; /* the operation answers nothing */
	return put_failure(ctx, in, json_opt_str(in, "clientToken", ""), err);
}
