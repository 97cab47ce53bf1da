/* Answers of the CodePipeline API, read as hostile. */
#include <string.h>

#include "agent/cp_api.h"
#include "lib/base/json.h"
#include "lib/base/macros.h"

#define THIRD_ID_MAX 512 /* characters */

static bool is_wanted(const struct jobdata *d, const struct action_settings *a)
{
	return strcmp(d->category, a->category) == 0 && strcmp(d->owner, a->owner) == 0 &&
	       strcmp(d->provider, a->provider) == 0 &&
	       strcmp(d->version, a->version) == 0;
}

static bool is_nonce(const char *nonce)
{
	return *nonce && str_utf8_count(nonce, strlen(nonce)) <= 50 &&
	       strlen(nonce) < JOB_NONCE_SIZE;
}

/* A third party's poll tells whose job it is, and no more (semantics C14). */
static int read_third_offer(struct json_object *job, struct cp_offer *ret,
			    struct mh_err *err)
{
	const char *id, *client_id;

	if (!json_object_is_type(job, json_type_object))
		return mh_err_set(err, MH_E_PROTO, "a job is not an object");
	if (json_get_str(job, "jobId", &id, err) != 0 ||
	    json_get_str(job, "clientId", &client_id, err) != 0)
		return -1;
	if (!*id || str_utf8_count(id, strlen(id)) > THIRD_ID_MAX ||
	    strlen(id) >= JOB_ID_SIZE)
		return mh_err_set(err, MH_E_PROTO, "jobId: not a job id");
	if (!str_is_uuid(client_id))
		return mh_err_set(err, MH_E_PROTO, "job %.64s: clientId: not a UUID", id);
	*ret = (struct cp_offer){ .data = NULL };
	memcpy(ret->id, id, strlen(id) + 1);
	memcpy(ret->client_id, client_id, sizeof(ret->client_id));
	return 0;
}

static int read_offer(struct json_object *job, const struct action_settings *want,
		      int64_t mono_ms, struct cp_offer *ret, struct mh_err *err)
{
	CLEAN(jobdata) struct jobdata *d = NULL;
	const char *id, *nonce;
	struct json_object *data;

	if (!json_object_is_type(job, json_type_object))
		return mh_err_set(err, MH_E_PROTO, "a job is not an object");
	if (json_get_str(job, "id", &id, err) != 0 ||
	    json_get_str(job, "nonce", &nonce, err) != 0 ||
	    json_get_object(job, "data", &data, err) != 0)
		return -1;
	if (!str_is_uuid(id))
		return mh_err_set(err, MH_E_PROTO, "id: not a job id");
	if (!is_nonce(nonce))
		return mh_err_set(err, MH_E_PROTO, "job %s: bad nonce", id);
	if (jobdata_new(data, json_opt_str(job, "accountId", NULL), mono_ms, &d, err) !=
	    0)
		return mh_err_wrap(err, "job %s", id);
	if (!is_wanted(d, want))
		return mh_err_set(
			err, MH_E_PROTO,
			"job %s is of action type %s/%s/%s/%s, which was not asked for",
			id, d->category, d->owner, d->provider, d->version);
	*ret = (struct cp_offer){ .data = STEAL_PTR(d) };
	memcpy(ret->id, id, strlen(id) + 1);
	memcpy(ret->nonce, nonce, strlen(nonce) + 1);
	return 0;
}

static bool is_there(const struct cp_offer *offers, size_t count, const char *id)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(offers[i].id, id) == 0)
			return true;
	}
	return false;
}

static int read_any(struct json_object *job, const struct action_settings *want,
		    int64_t mono_ms, struct cp_offer *ret, struct mh_err *err)
{
	return settings_is_third_party(want) ? read_third_offer(job, ret, err)
					     : read_offer(job, want, mono_ms, ret, err);
}

int cp_read_offers(struct json_object *body, const struct action_settings *want,
		   size_t max, int64_t mono_ms, struct cp_offer *ret, size_t *ret_count,
		   size_t *ret_bad, struct mh_err *why, struct mh_err *err)
{
	struct json_object *member = NULL;
	size_t count = 0, bad = 0, n;

	if (body)
		(void)json_object_object_get_ex(body, "jobs", &member); /* absent: none */
	if (member && !json_object_is_type(member, json_type_array))
		return mh_err_set(err, MH_E_PROTO, "the poll's answer: jobs: not a list");
	n = member ? json_object_array_length(member) : 0;
	for (size_t i = 0; i < n; i++) {
		struct mh_err one = MH_ERR_INIT;

		if (count == max)
			(void)mh_err_set(&one, MH_E_PROTO,
					 "%zu jobs, but %zu were asked for", n, max);
		else if (read_any(json_object_array_get_idx(member, i), want, mono_ms,
				  &ret[count], &one) == 0) {
			if (!is_there(ret, count, ret[count].id)) {
				count++;
				continue;
			}
			(void)mh_err_set(&one, MH_E_PROTO, "job %.64s is there twice",
					 ret[count].id);
			jobdata_free(ret[count].data);
		}
		if (bad++ == 0)
			*why = one;
	}
	*ret_count = count;
	*ret_bad = bad;
	return 0;
}

int cp_read_status(struct json_object *body, const char **ret, struct mh_err *err)
{
	if (!body)
		return mh_err_set(err, MH_E_PROTO, "AcknowledgeJob: an empty answer");
	if (json_get_str(body, "status", ret, err) != 0)
		return mh_err_wrap(err, "AcknowledgeJob");
	return 0;
}

int cp_read_details(struct json_object *body, const char *job_id, int64_t mono_ms,
		    struct jobdata **ret, const char **ret_nonce, struct mh_err *err)
{
	struct json_object *details, *data;
	const char *id, *nonce = NULL;

	if (!body)
		return mh_err_set(err, MH_E_PROTO, "GetJobDetails: an empty answer");
	if (json_get_object(body, "jobDetails", &details, err) != 0 ||
	    json_get_str(details, "id", &id, err) != 0 ||
	    json_get_object(details, "data", &data, err) != 0)
		return mh_err_wrap(err, "GetJobDetails");
	if (strcmp(id, job_id) != 0)
		return mh_err_set(err, MH_E_PROTO,
				  "GetJobDetails: answers about another job");
	if (ret_nonce && json_get_str(details, "nonce", &nonce, err) != 0)
		return mh_err_wrap(err, "GetThirdPartyJobDetails");
	if (nonce && !is_nonce(nonce))
		return mh_err_set(err, MH_E_PROTO, "GetThirdPartyJobDetails: bad nonce");
	if (jobdata_new(data, json_opt_str(details, "accountId", NULL), mono_ms, ret,
			err) != 0)
		return mh_err_wrap(err, "GetJobDetails");
	if (ret_nonce)
		*ret_nonce = nonce;
	return 0;
}

bool cp_read_abandoned(struct json_object *body, const char *action_execution_id)
{
	struct json_object *list = body ? json_opt_array(body, "actionExecutionDetails")
					: NULL;
	size_t n = list ? json_object_array_length(list) : 0;

	for (size_t i = 0; i < n; i++) {
		struct json_object *item = json_object_array_get_idx(list, i);

		if (!json_object_is_type(item, json_type_object))
			continue;
		if (strcmp(json_opt_str(item, "actionExecutionId", ""),
			   action_execution_id) == 0)
			return strcmp(json_opt_str(item, "status", ""), "Abandoned") == 0;
	}
	return false;
}
