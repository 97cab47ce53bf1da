#include "agent/spec.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "agent/protocol.h"
#include "lib/base/json.h"
#include "lib/base/macros.h"

#define KEY_COMMAND "command"

/* In any case: what a plugin would run must not slip through as "Command". */
static bool is_command_key(const char *key)
{
	return strcasecmp(key, KEY_COMMAND) == 0;
}

static bool has_command(struct json_object *config)
{
	if (config) {
		json_object_object_foreach(config, key, value)
		{
			(void)value; /* its presence counts */
			if (is_command_key(key))
				return true;
		}
	}
	return false;
}

struct json_object *spec_merge_config(const struct settings *settings,
				      const struct action_settings *action,
				      const struct jobdata *data)
{
	struct json_object *merged = json_object_new_object();

	if (data->config) {
		json_object_object_foreach(data->config, key, value)
		{
			if (!is_command_key(key) || settings->allow_command_from_pipeline)
				json_put_obj(merged, key, json_object_get(value));
		}
	}
	if (action->config) {
		json_object_object_foreach(action->config, key, value)
		{
			json_put_obj(merged, key, json_object_get(value));
		}
	}
	return merged;
}

static int check_count(const char *what, size_t count, const struct conf_pair *range,
		       struct mh_err *err)
{
	if (!range->set || ((int64_t)count >= range->min && (int64_t)count <= range->max))
		return 0;
	return mh_err_set(
		err, MH_E_CONFIG,
		"the action has %zu %s artifacts; this action type takes %lld to %lld",
		count, what, (long long)range->min, (long long)range->max);
}

int spec_check(const struct settings *settings, const struct action_settings *action,
	       const struct jobdata *data, struct mh_err *err)
{
	if (check_count("input", data->input_count, &action->inputs, err) != 0 ||
	    check_count("output", data->output_count, &action->outputs, err) != 0)
		return -1;
	if (has_command(data->config) && !has_command(action->config) &&
	    !settings->allow_command_from_pipeline)
		return mh_err_set(
			err, MH_E_CONFIG,
			"the pipeline gives a command, and the agent takes none from "
			"pipelines (allow_command_from_pipeline)");
	return 0;
}

static void put_job(struct json_object *spec, const struct spec_input *in)
{
	struct json_object *job = json_object_new_object();

	json_put_str(job, "id", in->job_id);
	json_put_str(job, "accountId", in->data->account_id);
	json_put_obj(job, "data", json_object_get(in->data->doc));
	json_put_obj(spec, "job", job);
}

static void put_strings(struct json_object *o, const char *key,
			const struct conf_strings *list)
{
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; i < list->count; i++)
		json_object_array_add(array, json_object_new_string(list->items[i]));
	json_put_obj(o, key, array);
}

/* Whoever lists processes sees a command line, so the entry's own is no secret: a missing
 * program shall have its name in the log. The pipeline's stays one, and so does the value
 * of the entry's that hides one of the pipeline's: keys are public, not values. */
static void put_public(struct json_object *spec, const struct spec_input *in)
{
	struct json_object *keys;

	put_strings(spec, "public", &in->action->public_keys);
	keys = json_opt_array(spec, "public");
	if (json_opt_str(in->action->config, KEY_COMMAND, NULL) &&
	    !json_object_object_get(in->data->config, KEY_COMMAND))
		json_object_array_add(keys, json_object_new_string(KEY_COMMAND));
}

static void put_artifacts(struct json_object *spec, const struct spec_input *in,
			  bool outputs)
{
	const struct artifact *list = outputs ? in->data->outputs : in->data->inputs;
	size_t count = outputs ? in->data->output_count : in->data->input_count;
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; i < count; i++) {
		struct json_object *item = json_object_new_object();
		char file[32];

		(void)snprintf(file, sizeof(file), "%s/%zu", outputs ? "store" : "fetch",
			       i);
		json_put_str(item, "name", list[i].name);
		json_put_str(item, "file", file);
		if (outputs)
			json_put_str(item, "format",
				     settings_formats[in->action->format]);
		json_object_array_add(array, item);
	}
	json_put_obj(spec, outputs ? "outputs" : "inputs", array);
}

static void put_limits(struct json_object *spec, const struct settings *s)
{
	struct json_object *limits = json_object_new_object();

	json_put_i64(limits, "unpack_bytes", s->unpack_max_bytes);
	json_put_i64(limits, "unpack_entries", s->unpack_max_entries);
	json_put_i64(limits, "unpack_ratio", s->unpack_max_ratio);
	json_put_obj(spec, "limits", limits);
}

static void put_sandbox(struct json_object *spec, const struct sandbox_settings *s)
{
	struct json_object *sandbox = json_object_new_object();

	put_strings(sandbox, "read", &s->read);
	put_strings(sandbox, "write", &s->write);
	json_put_bool(sandbox, "network", s->network);
	json_put_str(sandbox, "user", s->user ? s->user : "");
	json_put_bool(sandbox, "detach", s->detach);
	json_put_i64(sandbox, "processes", s->processes);
	json_put_obj(spec, "sandbox", sandbox);
}

struct json_object *spec_build(const struct spec_input *in)
{
	const struct settings *s = in->settings;
	CLEAN(free) char *plugin = settings_plugin_path(s, in->action);
	CLEAN(free) char *archive = mh_format("%s/millhand-archive", s->libexec_dir);
	struct json_object *spec = json_object_new_object();

	json_put_i64(spec, "version", SPEC_VERSION);
	json_put_i64(spec, "n", in->n);
	put_job(spec, in);
	json_put_str(spec, "plugin", plugin);
	json_put_obj(spec, "config", spec_merge_config(s, in->action, in->data));
	put_public(spec, in);
	json_put_i64(spec, "deadline_ms", in->deadline_ms);
	json_put_i64(spec, "grace_ms", in->action->grace_ms);
	json_put_i64(spec, "log_max_bytes", s->log_max_bytes);
	json_put_str(spec, "work_dir", in->work_dir);
	json_put_str(spec, "archive_program", archive);
	put_artifacts(spec, in, false);
	put_artifacts(spec, in, true);
	/* So many of them must be made; without a rule of the action entry, all. */
	if (in->action->outputs.set)
		json_put_i64(spec, "outputs_min", in->action->outputs.min);
	put_limits(spec, s);
	put_sandbox(spec, &in->action->sandbox);
	return spec;
}
