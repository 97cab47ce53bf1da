/*
 * The agent's settings: one file, one table row per key (settings.c).
 *
 *	struct settings s = { 0 };
 *	settings_read(path, NULL, &s, &err);     CONFIG, with file, line and key
 *	settings_done(&s);
 *
 * settings_read() checks what no single key can tell, too: that plugins and
 * programs are there, that no action type is there twice, that the endpoint may
 * be spoken to in the clear. It fills in what other keys or the environment give
 * (endpoint, region, directories), so that readers look at one place.
 */
#ifndef MH_AGENT_SETTINGS_H
#define MH_AGENT_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include <json-c/json.h>

#include "lib/base/log.h"
#include "lib/net/conf.h"

struct sandbox_settings {
	struct conf_strings read, write; /* paths a handler may use besides its own */
	bool network;
	char *user; /* "" or absent: the agent's */
	bool detach;
	int64_t processes; /* most at once */
};

struct action_settings {
	char *category, *owner, *provider, *version;
	char *plugin; /* a name in plugin_dir, or an absolute path */
	int64_t max_jobs; /* 0: as many as the host takes */
	int64_t timeout_ms, grace_ms;
	struct conf_pair inputs, outputs;
	int format; /* index into settings_formats */
	struct json_object *query; /* at most one name and value, or NULL */
	struct json_object *config; /* wins over the pipeline's, or NULL */
	struct conf_strings public_keys; /* configuration that needs no redaction */
	bool idempotent;
	char *exclusive; /* jobs of entries with this name do not overlap; or NULL */
	struct sandbox_settings sandbox;
};

extern const char *const settings_formats[]; /* zip, tar, tar.gz */

struct credentials_settings {
	char *access_key_id, *secret_access_key, *session_token;
	char *profile;
	char *role_arn, *role_session_name, *external_id;
	int64_t role_duration_ms; /* 0: the service's default */
	int64_t process_timeout_ms;
};

/* Where the tokens of third-party clients are; one of the two where any is needed. */
struct client_tokens_settings {
	char *file, *command;
	int64_t timeout_ms; /* of the command */
	int64_t keep_ms; /* what it said */
};

/* Where the bucket's name stands in a request to the store. */
enum s3_style { S3_STYLE_AUTO, S3_STYLE_PATH, S3_STYLE_VIRTUAL };

struct health_settings {
	char *command; /* absent: none */
	int64_t interval_ms, timeout_ms;
};

struct settings {
	char *endpoint; /* absent: the region's */
	int s3_style; /* enum s3_style */
	char *s3_endpoint; /* absent: endpoint, else the region's */
	char *sts_endpoint; /* absent: the region's */
	char *region;
	char *ca_file;
	bool allow_plain_http;
	struct credentials_settings credentials;
	struct client_tokens_settings client_tokens;

	char *lock_dir; /* of `exclusive` between agents of this host; or NULL */
	char *state_dir, *work_dir, *plugin_dir, *libexec_dir;
	int64_t max_jobs;
	int in_doubt; /* enum in_doubt */
	bool allow_command_from_pipeline;

	int64_t poll_interval_min_ms, poll_interval_max_ms;
	int64_t poll_rate; /* polls a second, all action types together */
	int64_t poll_wait_ms; /* at an endpoint that tells when there is work; 0: poll */
	int64_t api_timeout_ms, ack_timeout_ms, stall_timeout_ms;
	int64_t retry_base_ms, result_timeout_ms;
	int64_t watch_interval_ms; /* how often running jobs are looked after; 0: never */
	int64_t drain_timeout_ms, cancel_timeout_ms;
	int64_t keep_failed, keep_succeeded, keep_for_ms, keep_jobs_ms;
	int64_t min_free_bytes, min_free_percent, min_free_inodes;
	struct health_settings health;

	int64_t log_max_bytes, input_max_bytes;
	int64_t download_parts_above_bytes, min_speed_bytes; /* a second */
	int64_t upload_parts_above_bytes, part_size_bytes, transfer_parallel;
	int64_t unpack_max_bytes, unpack_max_entries, unpack_max_ratio;
	char *metrics_listen; /* absent: nowhere */
	int log_format, log_level; /* index into the choices "text", "json" and so on */

	struct conf_list actions; /* struct action_settings */
};

extern const struct conf_key settings_keys[];
/* Parts of it (settings_secrets.c). */
extern const struct conf_key settings_credentials_keys[], settings_client_tokens_keys[];
extern const struct conf_key settings_health_keys[]; /* settings_names.c */

/* text != NULL: instead of the file (tests). *ret is zeroed by the caller, and
 * empty again after -1. */
int settings_read(const char *path, const char *text, struct settings *ret,
		  struct mh_err *err) MH_MUST_CHECK;
void settings_done(struct settings *s);

static inline const struct action_settings *settings_action(const struct settings *s,
							    size_t i)
{
	return (const struct action_settings *)s->actions.items + i;
}
/* "Build/Custom/Make/1", with "?Name=value" where it asks for one value only. Names
 * the entry in the ledger and the log. The caller frees it. */
char *settings_entry_name(const struct action_settings *a) MH_MUST_CHECK;
/* Whether its jobs are a third party's (PollForThirdPartyJobs). */
bool settings_is_third_party(const struct action_settings *a);
/* The plugin's file; the caller frees it. */
char *settings_plugin_path(const struct settings *s,
			   const struct action_settings *a) MH_MUST_CHECK;

/* The file that posix_spawnp() would start for that word, by PATH; NULL when there is
 * none that this user may execute. The caller frees it. */
char *settings_find_program(const char *word) MH_MUST_CHECK;

enum log_level settings_log_level(const struct settings *s);

/* Whether the file holds a secret and others than its owner and group may read it. */
bool settings_exposed(const char *path, const struct settings *s);

/* Parts of settings_read() (settings_check.c): fill in what other keys or the
 * environment give, and hold keys against one another. */
void settings_complete(struct settings *s);
int settings_check(const char *path, const char *text, const struct settings *s,
		   struct mh_err *err) MH_MUST_CHECK;

#endif
