#include "agent/settings.h"

#include <string.h>

#include "lib/base/macros.h"

#ifndef MH_PLUGINDIR
#define MH_PLUGINDIR "/usr/lib/millhand/plugins"
#endif
#ifndef MH_LIBEXECDIR
#define MH_LIBEXECDIR "/usr/libexec/millhand"
#endif

#define SECOND INT64_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)
#define MiB    (INT64_C(1) << 20)
#define GiB    (INT64_C(1) << 30)
#define TiB    (INT64_C(1) << 40)

const char *const settings_formats[] = { "zip", "tar", "tar.gz", NULL };

static const char *const in_doubt_choices[] = { "fresh", "adopt", "drop", NULL };
static const char *const log_formats[] = { "text", "json", NULL };
static const char *const log_levels[] = { "error", "warn", "info", "debug", NULL };

#define AT(f) .offset = offsetof(struct credentials_settings, f)
static const struct conf_key credentials_keys[] = {
	{ .path = "access_key_id",
	  .type = CONF_STRING,
	  AT(access_key_id),
	  .example = "test",
	  .help = "id of the agent's static credentials" },
	{ .path = "secret_access_key",
	  .type = CONF_STRING,
	  AT(secret_access_key),
	  .secret = true,
	  .example = "test",
	  .help = "their secret half; keep the file from other users (chmod 600)" },
	{ .path = "session_token",
	  .type = CONF_STRING,
	  AT(session_token),
	  .secret = true,
	  .help = "for temporary credentials" },
	{ .path = "profile",
	  .type = CONF_STRING,
	  AT(profile),
	  .help = "a profile of the shared credentials and config files, instead of "
		  "those three; absent: AWS_PROFILE, else \"default\"" },
	{ .path = "role_arn",
	  .type = CONF_STRING,
	  AT(role_arn),
	  .example = "arn:aws:iam::111122223333:role/worker",
	  .help = "a role to assume with the credentials that were found" },
	{ .path = "role_session_name",
	  .type = CONF_STRING,
	  AT(role_session_name),
	  .help = "name of the session that CloudTrail shows; absent: millhand- and "
		  "the host's name" },
	{ .path = "external_id",
	  .type = CONF_STRING,
	  AT(external_id),
	  .help = "what the role's owner asks for, where it is another account's" },
	{ .path = "role_duration",
	  .type = CONF_DURATION,
	  AT(role_duration_ms),
	  .max = 12 * HOUR,
	  .def = "0",
	  .help = "how long the role's credentials are asked for, 15m to 12h; 0: what "
		  "the service gives, an hour" },
	{ .path = "process_timeout",
	  .type = CONF_DURATION,
	  AT(process_timeout_ms),
	  .min = 100,
	  .max = HOUR,
	  .def = "60s",
	  .help = "a credential_process that takes longer is killed" },
	{ 0 },
};
#undef AT

#define AT(f) .offset = offsetof(struct sandbox_settings, f)
static const struct conf_key sandbox_keys[] = {
	{ .path = "read",
	  .type = CONF_STRINGS,
	  AT(read),
	  .help = "absolute paths, kept for a later version: this one does not "
		  "restrict reading" },
	{ .path = "write",
	  .type = CONF_STRINGS,
	  AT(write),
	  .example = "( \"/srv/releases\" )",
	  .help = "absolute paths that a handler may write besides its work "
		  "directory; they must exist" },
	{ .path = "network",
	  .type = CONF_BOOL,
	  AT(network),
	  .def = "true",
	  .help = "whether the handler may use the network" },
	{ .path = "user",
	  .type = CONF_STRING,
	  AT(user),
	  .help = "user that the handler runs as, which takes an agent run by "
		  "root; absent: the agent's" },
	{ .path = "detach",
	  .type = CONF_BOOL,
	  AT(detach),
	  .def = "false",
	  .help = "whether processes that the handler leaves behind live on; "
		  "there are no namespaces then" },
	{ .path = "processes",
	  .type = CONF_INT,
	  AT(processes),
	  .min = 10,
	  .max = 1000000,
	  .def = "4096",
	  .unit = "processes",
	  .help = "most processes at once; counted over all of the user's, for an agent "
		  "run by root over the job's" },
	{ 0 },
};
#undef AT

#define AT(f) .offset = offsetof(struct action_settings, f)
static const struct conf_key action_keys[] = {
	{ .path = "category",
	  .type = CONF_STRING,
	  AT(category),
	  .required = true,
	  .example = "Build",
	  .help = "Source, Build, Deploy, Test or Invoke, as the action type "
		  "says" },
	{ .path = "owner",
	  .type = CONF_STRING,
	  AT(owner),
	  .def = "Custom",
	  .help = "Custom: the owner of action types that workers serve" },
	{ .path = "provider",
	  .type = CONF_STRING,
	  AT(provider),
	  .required = true,
	  .example = "Make",
	  .help = "provider of the action type: letters, digits, '_' and '-'" },
	{ .path = "version",
	  .type = CONF_STRING,
	  AT(version),
	  .required = true,
	  .example = "1",
	  .help = "version of the action type" },
	{ .path = "plugin",
	  .type = CONF_STRING,
	  AT(plugin),
	  .required = true,
	  .example = "command",
	  .help = "a plugin of plugin_dir (its name), or the absolute path of "
		  "one" },
	{ .path = "max_jobs",
	  .type = CONF_INT,
	  AT(max_jobs),
	  .max = 10000,
	  .def = "0",
	  .unit = "jobs",
	  .help = "jobs at once of this type; 0: as many as the host takes" },
	{ .path = "timeout",
	  .type = CONF_DURATION,
	  AT(timeout_ms),
	  .min = 100,
	  .max = 7 * DAY,
	  .def = "1h",
	  .help = "a job that takes longer, counted from its acknowledgement, "
		  "is ended and fails" },
	{ .path = "grace",
	  .type = CONF_DURATION,
	  AT(grace_ms),
	  .max = HOUR,
	  .def = "10s",
	  .help = "time between asking a job to end and killing it" },
	{ .path = "inputs",
	  .type = CONF_PAIR,
	  AT(inputs),
	  .max = 10,
	  .example = "[1, 1]",
	  .unit = "artifacts",
	  .help = "least and most input artifacts of the action type; absent: "
		  "any" },
	{ .path = "outputs",
	  .type = CONF_PAIR,
	  AT(outputs),
	  .max = 10,
	  .example = "[0, 1]",
	  .unit = "artifacts",
	  .help = "the same for output artifacts; beyond the least a job may "
		  "leave one unmade; absent: all must be made" },
	{ .path = "format",
	  .type = CONF_CHOICE,
	  AT(format),
	  .def = "zip",
	  .choices = settings_formats,
	  .help = "how output artifacts are packed" },
	{ .path = "query",
	  .type = CONF_MAP,
	  AT(query),
	  .example = "{ ProjectName = \"shop\"; }",
	  .help = "take only jobs whose queryable property has this value; one "
		  "name at most" },
	{ .path = "config",
	  .type = CONF_MAP,
	  AT(config),
	  .secret = true,
	  .shown_by = offsetof(struct action_settings, public_keys),
	  .example = "{ command = \"make\"; }",
	  .help = "configuration for the plugin; wins over the pipeline's" },
	{ .path = "public",
	  .type = CONF_STRINGS,
	  AT(public_keys),
	  .help = "configuration keys whose values may be shown, in logs and by --dump" },
	{ .path = "idempotent",
	  .type = CONF_BOOL,
	  AT(idempotent),
	  .def = "false",
	  .help = "whether a job whose processes vanished may be started again "
		  "(three times in all), also where the plugin does not say so" },
	{ .path = "exclusive",
	  .type = CONF_STRING,
	  AT(exclusive),
	  .example = "site",
	  .help = "a name: of all jobs of entries with this name one runs at a time, the "
		  "oldest first; the others wait, up to their timeout" },
	{ .path = "sandbox",
	  .type = CONF_GROUP,
	  AT(sandbox),
	  .sub = sandbox_keys,
	  .help = "what the handler and its children may do" },
	{ 0 },
};
#undef AT

#define AT(f) .offset = offsetof(struct settings, f)
const struct conf_key settings_keys[] = {
	{ .path = "endpoint",
	  .type = CONF_STRING,
	  AT(endpoint),
	  .example = "http://127.0.0.1:4599",
	  .help = "URL of the CodePipeline API; absent: "
		  "AWS_ENDPOINT_URL_CODEPIPELINE, AWS_ENDPOINT_URL, else AWS in "
		  "the region" },
	{ .path = "s3_endpoint",
	  .type = CONF_STRING,
	  AT(s3_endpoint),
	  .help = "URL of the artifact store; absent: endpoint, else "
		  "AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, else AWS in the "
		  "region" },
	{ .path = "sts_endpoint",
	  .type = CONF_STRING,
	  AT(sts_endpoint),
	  .help = "URL of the token service that gives roles; absent: "
		  "AWS_ENDPOINT_URL_STS, AWS_ENDPOINT_URL, else AWS in the region" },
	{ .path = "region",
	  .type = CONF_STRING,
	  AT(region),
	  .example = "us-east-1",
	  .help = "the AWS region; absent: AWS_REGION, AWS_DEFAULT_REGION" },
	{ .path = "ca_file",
	  .type = CONF_STRING,
	  AT(ca_file),
	  .help = "file with the certificate authorities to trust (PEM); "
		  "absent: AWS_CA_BUNDLE, else the system's" },
	{ .path = "allow_plain_http",
	  .type = CONF_BOOL,
	  AT(allow_plain_http),
	  .def = "false",
	  .help = "whether http:// endpoints may be off this host" },
	{ .path = "credentials",
	  .type = CONF_GROUP,
	  AT(credentials),
	  .sub = credentials_keys,
	  .help = "credentials of the agent; absent: the environment, web identity, a "
		  "profile, the container, the instance, in this order" },
	{ .path = "state_dir",
	  .type = CONF_STRING,
	  AT(state_dir),
	  .def = "/var/lib/millhand",
	  .help = "directory of the ledger, and of locks, results and logs of "
		  "jobs" },
	{ .path = "work_dir",
	  .type = CONF_STRING,
	  AT(work_dir),
	  .help = "directory of the jobs' work directories; absent: "
		  "<state_dir>/work" },
	{ .path = "plugin_dir",
	  .type = CONF_STRING,
	  AT(plugin_dir),
	  .def = MH_PLUGINDIR,
	  .reloadable = true,
	  .help = "directory of the plugins, <name>.so" },
	{ .path = "libexec_dir",
	  .type = CONF_STRING,
	  AT(libexec_dir),
	  .def = MH_LIBEXECDIR,
	  .help = "directory of millhand-job and millhand-archive" },
	{ .path = "max_jobs",
	  .type = CONF_INT,
	  AT(max_jobs),
	  .min = 1,
	  .max = 10000,
	  .def = "8",
	  .unit = "jobs",
	  .reloadable = true,
	  .help = "jobs at once on this host" },
	{ .path = "in_doubt",
	  .type = CONF_CHOICE,
	  AT(in_doubt),
	  .def = "fresh",
	  .choices = in_doubt_choices,
	  .reloadable = true,
	  .help = "a job whose acknowledgement was lost, and is refused when it "
		  "is repeated: fresh = ours if that is known within 15 s of "
		  "the poll, adopt = ours, drop = not ours" },
	{ .path = "allow_command_from_pipeline",
	  .type = CONF_BOOL,
	  AT(allow_command_from_pipeline),
	  .def = "false",
	  .reloadable = true,
	  .help = "whether the configuration key \"command\" is taken from the "
		  "pipeline" },
	{ .path = "poll_interval_min",
	  .type = CONF_DURATION,
	  AT(poll_interval_min_ms),
	  .min = 10,
	  .max = HOUR,
	  .def = "1s",
	  .reloadable = true,
	  .help = "time between polls while jobs arrive" },
	{ .path = "poll_interval_max",
	  .type = CONF_DURATION,
	  AT(poll_interval_max_ms),
	  .min = 10,
	  .max = HOUR,
	  .def = "10s",
	  .reloadable = true,
	  .help = "time between polls when idle" },
	{ .path = "poll_rate",
	  .type = CONF_INT,
	  AT(poll_rate),
	  .min = 1,
	  .max = 1000,
	  .def = "5",
	  .unit = "polls a second",
	  .reloadable = true,
	  .help = "most polls a second, of all action types together" },
	{ .path = "poll_wait",
	  .type = CONF_DURATION,
	  AT(poll_wait_ms),
	  .max = MINUTE,
	  .def = "20s",
	  .reloadable = true,
	  .help = "an endpoint that tells when there is work, as millhand-emulator does, "
		  "is asked to answer after so long; 0: poll it instead" },
	{ .path = "api_timeout",
	  .type = CONF_DURATION,
	  AT(api_timeout_ms),
	  .min = 100,
	  .max = HOUR,
	  .def = "30s",
	  .reloadable = true,
	  .help = "time limit of one request to the CodePipeline API" },
	{ .path = "ack_timeout",
	  .type = CONF_DURATION,
	  AT(ack_timeout_ms),
	  .min = 100,
	  .max = 14 * SECOND,
	  .def = "5s",
	  .reloadable = true,
	  .help = "time limit of one acknowledgement; short, so that a lost "
		  "answer is noticed early" },
	{ .path = "stall_timeout",
	  .type = CONF_DURATION,
	  AT(stall_timeout_ms),
	  .min = SECOND,
	  .max = HOUR,
	  .def = "60s",
	  .reloadable = true,
	  .help = "a transfer without a byte for so long is begun anew" },
	{ .path = "retry_base",
	  .type = CONF_DURATION,
	  AT(retry_base_ms),
	  .min = 1,
	  .max = MINUTE,
	  .def = "1s",
	  .reloadable = true,
	  .help = "scale of the waits between retries; they double, up to 60 s" },
	{ .path = "result_timeout",
	  .type = CONF_DURATION,
	  AT(result_timeout_ms),
	  .min = MINUTE,
	  .max = 30 * DAY,
	  .def = "2d",
	  .reloadable = true,
	  .help = "a result that could not be delivered for so long is given up" },
	{ .path = "watch_interval",
	  .type = CONF_DURATION,
	  AT(watch_interval_ms),
	  .max = HOUR,
	  .def = "30s",
	  .reloadable = true,
	  .help = "how often to ask whether running actions were abandoned; 0: "
		  "never" },
	{ .path = "drain_timeout",
	  .type = CONF_DURATION,
	  AT(drain_timeout_ms),
	  .max = 7 * DAY,
	  .def = "15m",
	  .reloadable = true,
	  .help = "a drain that takes longer ends and leaves jobs to the next "
		  "agent" },
	{ .path = "cancel_timeout",
	  .type = CONF_DURATION,
	  AT(cancel_timeout_ms),
	  .max = HOUR,
	  .def = "30s",
	  .reloadable = true,
	  .help = "the same for cancelled jobs and for a hand-over" },
	{ .path = "keep_failed",
	  .type = CONF_INT,
	  AT(keep_failed),
	  .max = 1000,
	  .def = "5",
	  .unit = "jobs",
	  .reloadable = true,
	  .help = "how many failed jobs keep their directories, for people to "
		  "look at" },
	{ .path = "keep_jobs",
	  .type = CONF_DURATION,
	  AT(keep_jobs_ms),
	  .min = HOUR,
	  .max = 3650 * DAY,
	  .def = "7d",
	  .reloadable = true,
	  .help = "how long closed jobs stay in the ledger" },
	{ .path = "min_free",
	  .type = CONF_SIZE,
	  AT(min_free_bytes),
	  .max = 1024 * TiB,
	  .def = "100M",
	  .reloadable = true,
	  .help = "no job is taken while a file system of state_dir or work_dir "
		  "has less free" },
	{ .path = "log_max",
	  .type = CONF_SIZE,
	  AT(log_max_bytes),
	  .min = 4096,
	  .max = TiB,
	  .def = "10M",
	  .reloadable = true,
	  .help = "most of one job's log that is kept" },
	{ .path = "input_max",
	  .type = CONF_SIZE,
	  AT(input_max_bytes),
	  .min = 1,
	  .max = 5 * TiB,
	  .def = "7G",
	  .reloadable = true,
	  .help = "largest input artifact as stored" },
	{ .path = "upload_parts_above",
	  .type = CONF_SIZE,
	  AT(upload_parts_above_bytes),
	  .reloadable = true,
	  .min = 5 * MiB,
	  .max = 5 * GiB,
	  .def = "64M",
	  .help = "a larger output artifact is uploaded in parts" },
	{ .path = "part_size",
	  .type = CONF_SIZE,
	  AT(part_size_bytes),
	  .reloadable = true,
	  .min = 5 * MiB,
	  .max = GiB,
	  .def = "16M",
	  .help = "size of such parts; larger where there would be more than 10000" },
	{ .path = "transfer_parallel",
	  .type = CONF_INT,
	  AT(transfer_parallel),
	  .reloadable = true,
	  .min = 1,
	  .max = 8,
	  .def = "4",
	  .unit = "requests",
	  .help = "most requests at once for the artifacts of one job" },
	{ .path = "unpack_max",
	  .type = CONF_SIZE,
	  AT(unpack_max_bytes),
	  .min = 1,
	  .max = 1024 * TiB,
	  .def = "20G",
	  .reloadable = true,
	  .help = "largest input artifact when unpacked" },
	{ .path = "unpack_entries",
	  .type = CONF_INT,
	  AT(unpack_max_entries),
	  .min = 1,
	  .max = 100000000,
	  .def = "500000",
	  .unit = "files",
	  .reloadable = true,
	  .help = "most files, links and directories in one input artifact" },
	{ .path = "unpack_ratio",
	  .type = CONF_INT,
	  AT(unpack_max_ratio),
	  .min = 1,
	  .max = 1000000,
	  .def = "200",
	  .unit = "times",
	  .reloadable = true,
	  .help = "how much an input artifact may grow when it is unpacked" },
	{ .path = "metrics_listen",
	  .type = CONF_STRING,
	  AT(metrics_listen),
	  .example = "127.0.0.1:9464",
	  .help = "loopback address and port where /metrics (for Prometheus), /healthz, "
		  "/readyz and /status.json are shown to whoever asks; absent: "
		  "nowhere" },
	{ .path = "log_format",
	  .type = CONF_CHOICE,
	  AT(log_format),
	  .def = "text",
	  .choices = log_formats,
	  .help = "form of the lines on standard error" },
	{ .path = "log_level",
	  .type = CONF_CHOICE,
	  AT(log_level),
	  .def = "info",
	  .choices = log_levels,
	  .reloadable = true,
	  .help = "the least important lines that are shown" },
	{ .path = "actions",
	  .type = CONF_GROUPS,
	  AT(actions),
	  .sub = action_keys,
	  .sub_size = sizeof(struct action_settings),
	  .reloadable = true,
	  .help = "the action types this host serves" },
	{ 0 },
};
#undef AT

char *settings_entry_name(const struct action_settings *a)
{
	if (a->query && json_object_object_length(a->query) > 0) {
		json_object_object_foreach(a->query, name, value)
		{
			return mh_format("%s/%s/%s/%s?%s=%s", a->category, a->owner,
					 a->provider, a->version, name,
					 json_object_get_string(value));
		}
	}
	return mh_format("%s/%s/%s/%s", a->category, a->owner, a->provider, a->version);
}

char *settings_plugin_path(const struct settings *s, const struct action_settings *a)
{
	if (a->plugin[0] == '/')
		return mh_strdup(a->plugin);
	return mh_format("%s/%s.so", s->plugin_dir, a->plugin);
}

enum log_level settings_log_level(const struct settings *s)
{
	static const enum log_level levels[] = { LOG_LEVEL_ERROR, LOG_LEVEL_WARN,
						 LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

	return levels[s->log_level]; /* an index into log_levels */
}

int settings_read(const char *path, const char *text, struct settings *ret,
		  struct mh_err *err)
{
	if (conf_read(path, text, settings_keys, ret, err) != 0)
		return -1;
	settings_complete(ret);
	if (settings_check(path, text, ret, err) != 0) {
		settings_done(ret);
		return -1;
	}
	return 0;
}

void settings_done(struct settings *s)
{
	conf_free(settings_keys, s);
	*s = (struct settings){ 0 };
}
