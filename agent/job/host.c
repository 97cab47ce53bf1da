#include "agent/job/host.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "agent/job/wire.h"
#include "lib/base/clock.h"
#include "lib/base/fsio.h"
#include "lib/base/str.h"

/* The shim answers on its own before that; this is for a shim that hangs. */
#define WANTED_PATIENCE_MS 20000

/* What the functions below do is trivial; who calls them is not to be trusted with
 * the handle. */
static struct mh_job *checked(struct mh_job *job)
{
	if (!job || job->magic != MH_JOB_MAGIC)
		MH_BUG("a plugin called the host with a job that is none");
	return job;
}

/* Notes the error for last_error(); answers what the ABI wants. */
static int32_t answer(struct mh_job *job, int rc, const struct mh_err *err)
{
	if (rc == 0)
		return 0;
	(void)snprintf(job->last_error, sizeof job->last_error, "%s", err->text);
	return -1;
}

static const char *job_last_error(struct mh_job *job)
{
	return checked(job)->last_error;
}

static void job_log(struct mh_job *job, int32_t level, const char *text)
{
	const char *prefix = level <= MH_LOG_ERROR     ? "error: "
			     : level <= MH_LOG_WARNING ? "warning: "
			     : level >= MH_LOG_DEBUG   ? "debug: "
						       : "";

	(void)fflush(stdout); /* keep the order; trouble shows in the log itself */
	(void)dprintf(STDERR_FILENO, "%s: %s%s\n", checked(job)->plugin->mh->name, prefix,
		      text ? text : ""); /* nowhere to say that this failed */
}

/* --- configuration --- */

static const char *job_config(struct mh_job *job, const char *key)
{
	const struct mh_option *o;
	struct json_object *value;

	if (!key)
		return NULL;
	if (json_object_object_get_ex(checked(job)->spec->config, key, &value))
		return json_object_get_string(value);
	o = plugin_find_option(job->plugin, key);
	return o ? o->fallback : NULL;
}

static int64_t job_config_integer(struct mh_job *job, const char *key, int64_t otherwise)
{
	const char *text = job_config(job, key);
	struct mh_err err;
	int64_t value;

	if (!text || str_to_i64(text, INT64_MIN, INT64_MAX, key, &value, &err) != 0)
		return otherwise; /* wrong ones were refused before run() */
	return value;
}

static int32_t job_config_boolean(struct mh_job *job, const char *key, int32_t otherwise)
{
	const char *text = job_config(job, key);

	return text ? strcmp(text, "true") == 0 : otherwise;
}

static uint32_t job_config_count(struct mh_job *job)
{
	return (uint32_t)json_object_object_length(checked(job)->spec->config);
}

static const char *job_config_key(struct mh_job *job, uint32_t index)
{
	json_object_object_foreach(checked(job)->spec->config, key, value)
	{
		(void)value;
		if (index-- == 0)
			return key;
	}
	return NULL;
}

/* --- context --- */

/* Where each fact stands in the job document, from its top. */
static const char *const info_paths[][4] = {
	[MH_INFO_JOB_ID] = { "id" },
	[MH_INFO_ACCOUNT_ID] = { "accountId" },
	[MH_INFO_PIPELINE] = { "data", "pipelineContext", "pipelineName" },
	[MH_INFO_PIPELINE_ARN] = { "data", "pipelineContext", "pipelineArn" },
	[MH_INFO_EXECUTION_ID] = { "data", "pipelineContext", "pipelineExecutionId" },
	[MH_INFO_STAGE] = { "data", "pipelineContext", "stage", "name" },
	[MH_INFO_ACTION] = { "data", "pipelineContext", "action", "name" },
	[MH_INFO_ACTION_EXECUTION] = { "data", "pipelineContext", "action",
				       "actionExecutionId" },
	[MH_INFO_CONTINUATION_TOKEN] = { "data", "continuationToken" },
	[MH_INFO_CATEGORY] = { "data", "actionTypeId", "category" },
	[MH_INFO_OWNER] = { "data", "actionTypeId", "owner" },
	[MH_INFO_PROVIDER] = { "data", "actionTypeId", "provider" },
	[MH_INFO_TYPE_VERSION] = { "data", "actionTypeId", "version" },
};

static const char *job_info(struct mh_job *job, int32_t what)
{
	struct json_object *o = checked(job)->spec->job;
	const char *const *path;

	if (what == MH_INFO_WORK_DIR)
		return job->spec->work_dir;
	if (what == MH_INFO_TMP_DIR)
		return job->tmp_dir;
	if (what < MH_INFO_JOB_ID || (size_t)what >= ARRAY_LEN(info_paths))
		return NULL;
	path = info_paths[what];
	/* The last name of the path is the fact's own. */
	for (; path < info_paths[what] + ARRAY_LEN(info_paths[0]) - 1 && path[1]; path++)
		o = json_opt_object(o, *path);
	return json_opt_str(o, *path, NULL);
}

static const char *job_document(struct mh_job *job, uint64_t *size_bytes)
{
	if (size_bytes)
		*size_bytes = checked(job)->document_bytes;
	return checked(job)->document;
}

static int32_t job_document_fd(struct mh_job *job)
{
	return checked(job)->document_fd;
}

/* --- artifacts --- */

static uint32_t job_input_count(struct mh_job *job)
{
	return (uint32_t)checked(job)->spec->input_count;
}

static const char *job_input_name(struct mh_job *job, uint32_t index)
{
	return index < job_input_count(job) ? job->spec->inputs[index].name : NULL;
}

static const char *job_input_dir(struct mh_job *job, uint32_t index)
{
	return index < job_input_count(job) ? job->input_dirs[index] : NULL;
}

static uint32_t job_output_count(struct mh_job *job)
{
	return (uint32_t)checked(job)->spec->output_count;
}

static const char *job_output_name(struct mh_job *job, uint32_t index)
{
	return index < job_output_count(job) ? job->spec->outputs[index].name : NULL;
}

static const char *job_output_dir(struct mh_job *job, uint32_t index)
{
	CLEAN(free) char *path = NULL;
	struct mh_err err;

	if (index >= job_output_count(job))
		return NULL;
	if (job->output_dirs[index])
		return job->output_dirs[index];
	path = mh_format("%s/out/%s", job->spec->work_dir,
			 job->spec->outputs[index].name);
	if (mkdir(path, 0755) != 0 && errno != EEXIST) {
		(void)answer(job, mh_err_sys(&err, "make %s", path), &err);
		return NULL;
	}
	job->output_dirs[index] = STEAL_PTR(path);
	return job->output_dirs[index];
}

/* --- what the pipeline shows --- */

static int32_t job_set_variable(struct mh_job *job, const char *name, const char *value)
{
	struct mh_err err;
	int rc = result_set_variable(&checked(job)->result, name, value, &err);

	return answer(job, rc, &err);
}

static int32_t job_set_summary(struct mh_job *job, const char *summary)
{
	struct mh_err err;

	return answer(job, result_set_summary(&checked(job)->result, summary, &err),
		      &err);
}

static int32_t job_set_percent(struct mh_job *job, int32_t percent)
{
	struct mh_err err;

	return answer(job, result_set_percent(&checked(job)->result, percent, &err),
		      &err);
}

static int32_t job_set_external_id(struct mh_job *job, const char *id)
{
	struct mh_err err;

	return answer(job, result_set_external_id(&checked(job)->result, id, &err), &err);
}

static int32_t job_set_revision(struct mh_job *job, const char *revision,
				const char *change_id, const char *summary,
				int64_t created_ms)
{
	struct mh_err err;
	int rc = result_set_revision(&checked(job)->result, revision, change_id, summary,
				     created_ms, &err);

	return answer(job, rc, &err);
}

static int32_t job_send_progress(struct mh_job *job)
{
	CLEAN(json)
	struct json_object *message = result_progress(&checked(job)->result);
	struct mh_err err;

	json_put_str(message, "m", "progress");
	return answer(job, wire_send(job->channel_fd, message, 0, &err), &err);
}

/* --- cancellation --- */

static int32_t job_cancelled(struct mh_job *job)
{
	struct pollfd p = { .fd = checked(job)->cancel_fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

static int32_t job_cancel_fd(struct mh_job *job)
{
	return checked(job)->cancel_fd;
}

/* Reads until the answer to our question is there; false when there will be none. */
static bool read_answer(struct mh_job *job, bool *ret_wanted)
{
	for (;;) {
		CLEAN(json) struct json_object *message = NULL;
		struct mh_err err;
		const char *m;

		if (wire_receive(job->channel_fd, WIRE_CHANNEL_MAX_BYTES, MSG_DONTWAIT,
				 &message, &m, &err) != WIRE_MESSAGE)
			return false;
		if (strcmp(m, "wanted") == 0 &&
		    json_opt_i64(message, "id", -1) == job->question) {
			*ret_wanted = json_opt_bool(message, "wanted", true);
			return true;
		}
	}
}

static int32_t job_wanted(struct mh_job *job)
{
	CLEAN(json) struct json_object *message = wire_new("wanted");
	int64_t until_ms = clock_mono_ms() + WANTED_PATIENCE_MS;
	bool wanted = true;
	struct mh_err err;

	json_put_i64(message, "id", ++checked(job)->question);
	if (job_cancelled(job) || wire_send(job->channel_fd, message, 0, &err) != 0)
		return !job_cancelled(job);
	for (;;) {
		struct pollfd p[] = { { .fd = job->channel_fd, .events = POLLIN },
				      { .fd = job->cancel_fd, .events = POLLIN } };
		int64_t left_ms = until_ms - clock_mono_ms();

		if (read_answer(job, &wanted))
			return wanted && !job_cancelled(job);
		if (left_ms <= 0)
			return 1; /* nobody can tell */
		if (poll(p, ARRAY_LEN(p), (int)left_ms) < 0 && errno != EINTR)
			return 1;
		if (p[1].revents & POLLIN)
			return 0;
		if (p[0].revents & POLLHUP)
			return 1;
	}
}

/* --- outcome --- */

static int32_t job_succeed(struct mh_job *job)
{
	struct mh_err err;

	return answer(job, result_succeed(&checked(job)->result, &err), &err);
}

static int32_t job_fail(struct mh_job *job, int32_t kind, const char *message)
{
	struct mh_err err;

	return answer(job, result_fail(&checked(job)->result, kind, message, &err), &err);
}

static int32_t job_continue_later(struct mh_job *job, const char *token, int64_t delay_ms)
{
	struct mh_err err;
	int rc = result_continue(&checked(job)->result, token, delay_ms, &err);

	return answer(job, rc, &err);
}

static int32_t job_outcome(struct mh_job *job)
{
	static const int32_t outcomes[] = {
		[RESULT_NONE] = MH_OUTCOME_NONE,
		[RESULT_SUCCESS] = MH_OUTCOME_SUCCESS,
		[RESULT_CONTINUATION] = MH_OUTCOME_CONTINUATION,
		[RESULT_FAILURE] = MH_OUTCOME_FAILURE,
	};

	return outcomes[checked(job)->result.kind];
}

static int32_t job_apply_result(struct mh_job *job, const char *json, uint64_t size_bytes)
{
	CLEAN(json) struct json_object *doc = NULL;
	struct mh_err err;
	int rc = json_parse_object(json, size_bytes, &doc, &err);

	if (rc == 0)
		rc = result_apply_document(&checked(job)->result, doc, &err);
	return answer(job, rc, &err);
}

const struct mh_host host_functions = {
	.abi = MH_ABI,
	.size = sizeof(struct mh_host),
	.last_error = job_last_error,
	.log = job_log,
	.config = job_config,
	.config_integer = job_config_integer,
	.config_boolean = job_config_boolean,
	.config_count = job_config_count,
	.config_key = job_config_key,
	.info = job_info,
	.document = job_document,
	.document_fd = job_document_fd,
	.input_count = job_input_count,
	.input_name = job_input_name,
	.input_dir = job_input_dir,
	.output_count = job_output_count,
	.output_name = job_output_name,
	.output_dir = job_output_dir,
	.set_variable = job_set_variable,
	.set_summary = job_set_summary,
	.set_percent = job_set_percent,
	.set_external_id = job_set_external_id,
	.set_revision = job_set_revision,
	.send_progress = job_send_progress,
	.cancelled = job_cancelled,
	.cancel_fd = job_cancel_fd,
	.wanted = job_wanted,
	.succeed = job_succeed,
	.fail = job_fail,
	.continue_later = job_continue_later,
	.outcome = job_outcome,
	.apply_result = job_apply_result,
};

/* --- one job --- */

int host_init(struct mh_job *job, const struct spec *spec, const struct plugin *plugin,
	      int channel_fd, int cancel_fd, int document_fd, struct mh_err *err)
{
	CLEAN(buf) struct buf text = BUF_INIT(SPEC_MAX_BYTES);

	*job = (struct mh_job){
		.magic = MH_JOB_MAGIC,
		.spec = spec,
		.plugin = plugin,
		.channel_fd = channel_fd,
		.cancel_fd = cancel_fd,
		.document_fd = document_fd,
		.result = RESULT_INIT,
	};
	if (fs_read_fd(document_fd, &text, err) != 0)
		return mh_err_wrap(err, "job document");
	if (lseek(document_fd, 0, SEEK_SET) != 0) /* whoever dups it reads from 0 */
		return mh_err_sys(err, "job document");
	job->document_bytes = text.len;
	job->document = buf_steal(&text);
	job->tmp_dir = mh_format("%s/tmp", spec->work_dir);
	for (size_t i = 0; i < spec->input_count; i++)
		job->input_dirs[i] = mh_format("%s/in/%s", spec->work_dir,
					       spec->inputs[i].name);
	return 0;
}

void host_done(struct mh_job *job)
{
	free(job->document);
	free(job->tmp_dir);
	for (size_t i = 0; i < SPEC_MAX_ARTIFACTS; i++) {
		free(job->input_dirs[i]);
		free(job->output_dirs[i]);
	}
	result_done(&job->result);
	job->magic = 0;
}

void host_run(struct mh_job *job)
{
	const struct mh_plugin *mh = job->plugin->mh;
	int32_t rc = mh->run(job, &host_functions);
	struct result *r = &job->result;

	(void)fflush(NULL); /* what the plugin printed; trouble has nowhere to go */
	if (rc != 0 && r->kind != RESULT_FAILURE)
		result_force_failure(r, MH_FAIL_SYSTEM_UNAVAILABLE,
				     "plugin %s answered %d%s%s", mh->name, (int)rc,
				     *job->last_error ? ": " : "", job->last_error);
	else if (r->kind == RESULT_NONE)
		result_force_failure(r, MH_FAIL_SYSTEM_UNAVAILABLE,
				     "plugin %s returned without saying how the job "
				     "ended",
				     mh->name);
	/* The API refuses variables beside a token (semantics C5, defect D17). */
	if (r->kind == RESULT_CONTINUATION && result_drop_variables(r))
		job_log(job, MH_LOG_WARNING,
			"output variables are dropped: a continuation cannot have them");
}

static int send_variable(struct mh_job *job, const char *name, const char *value,
			 struct mh_err *err)
{
	size_t left = strlen(value);

	do {
		CLEAN(json) struct json_object *message = wire_new("variable");
		size_t n = str_utf8_floor(value, left, WIRE_PIECE_BYTES);

		json_put_str(message, "name", name);
		json_put_obj(message, "value", json_object_new_string_len(value, (int)n));
		if (wire_send(job->channel_fd, message, 0, err) != 0)
			return -1;
		value += n;
		left -= n;
	} while (left);
	return 0;
}

int host_send(struct mh_job *job, struct mh_err *err)
{
	CLEAN(json) struct json_object *message = result_to_json(&job->result);

	if (job->result.variables && job->result.kind == RESULT_SUCCESS) {
		json_object_object_foreach(job->result.variables, name, value)
		{
			if (send_variable(job, name, json_object_get_string(value),
					  err) != 0)
				return -1;
		}
	}
	json_put_str(message, "m", "outcome");
	return wire_send(job->channel_fd, message, 0, err);
}
