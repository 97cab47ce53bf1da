#include "agent/jobdata.h"

#include <string.h>

#include "lib/base/json.h"
#include "lib/base/macros.h"
#include "lib/base/str.h"

#define LETTERS_DIGITS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
#define KEY_MAX        1024
#define NAME_MAX_BYTES 100
#define CONFIG_MAX     200 /* keys; the API allows 50 */

static bool is_made_of(const char *s, size_t min, size_t max, const char *accept)
{
	size_t len = strlen(s);

	return len >= min && len <= max && strspn(s, accept) == len;
}

/* The text has no NUL inside, which a C string would hide. */
static bool is_whole(struct json_object *o)
{
	return strlen(json_object_get_string(o)) == (size_t)json_object_get_string_len(o);
}

static int read_artifact(struct json_object *item, struct artifact *ret,
			 struct mh_err *err)
{
	struct json_object *location, *s3, *key;
	struct artifact a;

	if (!json_object_is_type(item, json_type_object))
		return mh_err_set(err, MH_E_PROTO, "not an object");
	if (json_get_str(item, "name", &a.name, err) != 0)
		return -1;
	if (!is_made_of(a.name, 1, NAME_MAX_BYTES, LETTERS_DIGITS "_-"))
		return mh_err_set(err, MH_E_PROTO, "\"%s\" is no artifact name", a.name);
	if (json_get_object(item, "location", &location, err) != 0)
		return mh_err_wrap(err, "%s", a.name);
	if (strcmp(json_opt_str(location, "type", "S3"), "S3") != 0)
		return mh_err_set(err, MH_E_PROTO,
				  "%s: location type \"%s\" is not known", a.name,
				  json_opt_str(location, "type", ""));
	if (json_get_object(location, "s3Location", &s3, err) != 0 ||
	    json_get_str(s3, "bucketName", &a.bucket, err) != 0 ||
	    json_get_str(s3, "objectKey", &a.key, err) != 0)
		return mh_err_wrap(err, "%s", a.name);
	if (!is_made_of(a.bucket, 3, 63, LETTERS_DIGITS ".-") || a.bucket[0] == '.' ||
	    strstr(a.bucket, ".."))
		return mh_err_set(err, MH_E_PROTO, "%s: \"%s\" is no bucket name", a.name,
				  a.bucket);
	if (!json_object_object_get_ex(s3, "objectKey", &key) || !is_whole(key) ||
	    !*a.key || strlen(a.key) > KEY_MAX)
		return mh_err_set(err, MH_E_PROTO, "%s: bad object key", a.name);
	*ret = a;
	return 0;
}

static int read_artifacts(struct json_object *data, const char *member,
			  struct artifact *ret, size_t *ret_count, struct mh_err *err)
{
	struct json_object *list = json_opt_array(data, member);
	size_t count = list ? json_object_array_length(list) : 0;

	if (count > JOBDATA_ARTIFACTS_MAX)
		return mh_err_set(err, MH_E_PROTO,
				  "%s: %zu artifacts; at most %d are known", member,
				  count, JOBDATA_ARTIFACTS_MAX);
	for (size_t i = 0; i < count; i++) {
		if (read_artifact(json_object_array_get_idx(list, i), &ret[i], err) != 0)
			return mh_err_wrap(err, "%s[%zu]", member, i);
		for (size_t k = 0; k < i; k++) {
			if (strcmp(ret[k].name, ret[i].name) == 0)
				return mh_err_set(err, MH_E_PROTO,
						  "%s: \"%s\" is there twice", member,
						  ret[i].name);
		}
	}
	*ret_count = count;
	return 0;
}

static int read_config(struct json_object *data, struct json_object **ret,
		       struct mh_err *err)
{
	struct json_object *outer = json_opt_object(data, "actionConfiguration");
	struct json_object *config = json_opt_object(outer, "configuration");

	if (config && json_object_object_length(config) > CONFIG_MAX)
		return mh_err_set(err, MH_E_PROTO,
				  "actionConfiguration: more than %d keys", CONFIG_MAX);
	if (config) {
		json_object_object_foreach(config, key, value)
		{
			if (!json_object_is_type(value, json_type_string) ||
			    !is_whole(value))
				return mh_err_set(
					err, MH_E_PROTO,
					"actionConfiguration: \"%s\" is not a string",
					key);
		}
	}
	*ret = config;
	return 0;
}

/* Into memory of our own, and out of the document. */
static int take_credentials(struct jobdata *d, struct json_object *data,
			    struct mh_err *err)
{
	struct json_object *c = json_opt_object(data, "artifactCredentials");
	const char *id, *secret, *token;

	if (!c) {
		json_object_object_del(data, "artifactCredentials"); /* it may be null */
		return 0;
	}
	if (json_get_str(c, "accessKeyId", &id, err) != 0 ||
	    json_get_str(c, "secretAccessKey", &secret, err) != 0)
		return mh_err_wrap(err, "artifactCredentials");
	token = json_opt_str(c, "sessionToken", "");
	creds_set(&d->creds, id, secret, *token ? token : NULL);
	json_object_object_del(data, "artifactCredentials");
	return 0;
}

static int read_context(struct jobdata *d, struct mh_err *err)
{
	struct json_object *context = json_opt_object(d->doc, "pipelineContext");
	struct json_object *stage = json_opt_object(context, "stage");
	struct json_object *action = json_opt_object(context, "action");
	struct json_object *type, *key;

	if (json_get_object(d->doc, "actionTypeId", &type, err) != 0 ||
	    json_get_str(type, "category", &d->category, err) != 0 ||
	    json_get_str(type, "owner", &d->owner, err) != 0 ||
	    json_get_str(type, "provider", &d->provider, err) != 0 ||
	    json_get_str(type, "version", &d->version, err) != 0)
		return mh_err_wrap(err, "actionTypeId");
	d->pipeline = json_opt_str(context, "pipelineName", "");
	d->stage = json_opt_str(stage, "name", "");
	d->action = json_opt_str(action, "name", "");
	d->execution_id = json_opt_str(context, "pipelineExecutionId", "");
	d->action_execution_id = json_opt_str(action, "actionExecutionId", "");
	key = json_opt_object(d->doc, "encryptionKey");
	d->kms_key_id = json_opt_str(key, "id", NULL);
	/* It becomes a header: nothing but visible ASCII. */
	for (const char *p = d->kms_key_id; p && *p; p++) {
		if (*p <= ' ' || *p > '~')
			return mh_err_set(err, MH_E_PROTO, "encryptionKey: bad id");
	}
	return 0;
}

int jobdata_new(struct json_object *data, const char *account_id, int64_t mono_ms,
		struct jobdata **ret, struct mh_err *err)
{
	CLEAN(jobdata) struct jobdata *d = mh_alloc(sizeof(*d));

	d->doc = json_object_get(data);
	d->account_id = mh_strdup(account_id);
	d->obtained_mono_ms = mono_ms;
	if (take_credentials(d, data, err) != 0 || read_context(d, err) != 0 ||
	    read_config(data, &d->config, err) != 0 ||
	    read_artifacts(data, "inputArtifacts", d->inputs, &d->input_count, err) !=
		    0 ||
	    read_artifacts(data, "outputArtifacts", d->outputs, &d->output_count, err) !=
		    0)
		return mh_err_wrap(err, "job data");
	*ret = STEAL_PTR(d);
	return 0;
}

void jobdata_free(struct jobdata *d)
{
	if (!d)
		return;
	creds_done(&d->creds);
	json_object_put(d->doc);
	free(d->account_id);
	free(d);
}

bool jobdata_creds_usable(const struct jobdata *d, int64_t mono_ms)
{
	return d->creds.access_key_id &&
	       mono_ms - d->obtained_mono_ms < JOBDATA_CREDS_OLD_MS;
}
