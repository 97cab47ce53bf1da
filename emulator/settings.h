/*
 * The emulator's settings: defaults, then a configuration file (--config), then
 * options of the command line. One table of keys (settings.c) says it all: every
 * scalar key is also an option, `ack_timeout` in the file is `--ack-timeout`.
 *
 *	settings_read(path or NULL, &settings, &err)
 *	settings_set_option(&settings, "ack-timeout", "30s", &err)   as often as wanted
 *	settings_check(&settings, &err)
 *	settings_done(&settings)
 */
#ifndef MH_EMULATOR_SETTINGS_H
#define MH_EMULATOR_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "lib/base/log.h"
#include "lib/net/conf.h"

struct settings_key {
	char *access_key_id;
	char *secret_access_key;
};

struct settings_offer {
	char *aws; /* "Build/CodeBuild/1" */
	char *as; /* "Build/Custom/CodeBuild/1" */
};

struct settings_third_party {
	char *type; /* "Deploy/ThirdParty/Acme/1" */
	char *client_id;
	char *client_token;
};

struct settings_event_target {
	char *url; /* gets each event by POST */
	char *authorization; /* the header's value; absent: none */
};

struct settings_approval_target {
	char *topic; /* the NotificationArn whose notifications it gets; "*": all */
	char *url;
	char *authorization;
};

struct settings_schedule {
	char *pipeline, *cron;
	char *time_zone; /* absent: UTC */
};

struct settings {
	char *listen; /* "127.0.0.1:4599"; port 0 takes a free one */
	char *data_dir; /* everything the emulator keeps */
	char *region; /* "us-east-1" */
	char *account; /* "000000000000" */
	char *git_root; /* directory of bare repositories, <name>.git or <name>; absent:
			   <data_dir>/git */
	char *port_file; /* written with the port once the server answers; absent: none */
	char *tls_cert, *tls_key; /* PEM files; both absent: no TLS */
	struct conf_list
		keys; /* struct settings_key; empty: any credentials are accepted */
	struct conf_list offers; /* struct settings_offer: see offer.h */
	struct conf_list third_parties; /* struct settings_third_party: third_party.h */
	bool events; /* events are written (engine/events.c) */
	char *events_file; /* gets a line for each; absent: none */
	int64_t events_keep; /* the last so many stay, for event streams */
	int64_t events_backlog; /* at most so many stay for a target that is away */
	struct conf_list event_targets; /* struct settings_event_target */
	struct conf_list approval_targets; /* struct settings_approval_target */
	bool register_types; /* UpdateActionType makes types that do not exist (C15) */
	struct conf_list schedules; /* struct settings_schedule: schedules.h */
	bool source_events; /* changes start pipelines whose source says
			       PollForSourceChanges=false, too */
	/* Knobs (semantics G). */
	int64_t ack_timeout_ms; /* 60 s: an unacknowledged job is handed out again */
	int64_t continuation_delay_ms; /* 0 */
	int64_t job_credentials_ms; /* 900 s */
	int64_t custom_timeout_ms; /* 24 h per custom action execution (C11) */
	int64_t third_party_timeout_ms; /* 1 h per third-party action execution (C11) */
	bool duplicate_dispatch; /* a job is handed out to every poll until it is
				    acknowledged (G1) */
	bool idempotent_results; /* G5: a repeated result answers 200 */
	bool result_owner_check; /* C4: a result is taken from who acknowledged alone */
	bool strict_ack; /* C4: a second acknowledgement answers InvalidNonce */
	int64_t max_batch; /* 100 jobs a poll (C6) */
	int64_t max_pipelines; /* 1000, the service's quota; 0 in tests: the same */
	int64_t signature_window_ms; /* 5 min: how far a signature's time may be off (A12)
				      */
	int64_t max_connections;
	int64_t idle_timeout_ms; /* of a connection */
	int64_t max_object_bytes; /* of one S3 object: 5 GiB */
	bool admin; /* the admin interface is on (admin/admin.h) */
	bool admin_remote; /* and answers others than the loopback interface */
	int64_t deterministic; /* a seed, for tests: see chance.h; 0: off */
	bool check_answers; /* answers are held against the service model */
	int log_format, log_level; /* indexes of their choices: settings_log_level() */
};

extern const struct conf_key settings_keys[];

/* path NULL: the defaults. On error *ret needs no settings_done(). */
int settings_read(const char *path, struct settings *ret,
		  struct mh_err *err) MH_MUST_CHECK;
/* The table's row for an option's name (without the dashes), or NULL. */
const struct conf_key *settings_find_option(const char *name);
/* value NULL: for a yes-or-no key, yes. CONFIG names the option, whose key is then
 * absent. */
int settings_set_option(struct settings *s, const char *name, const char *value,
			struct mh_err *err) MH_MUST_CHECK;
/* What no row of the table can check alone. */
int settings_check(const struct settings *s, struct mh_err *err) MH_MUST_CHECK;
void settings_done(struct settings *s);

enum log_level settings_log_level(const struct settings *s);
/* One line per option. */
void settings_print_options(FILE *out);

/* "host:port", "[address]:port": both are the caller's to free. CONFIG. */
int settings_split_listen(const char *listen, char **ret_host, char **ret_port,
			  struct mh_err *err) MH_MUST_CHECK;

#endif
