/*
 * The emulator's settings: defaults, then a configuration file (--config), then
 * command-line options. The table of keys is in settings.c.
 */
#ifndef MH_EMULATOR_SETTINGS_H
#define MH_EMULATOR_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/net/conf.h"

struct settings_key {
	char *access_key_id;
	char *secret_access_key;
};

struct settings {
	char *listen; /* "127.0.0.1:4599"; port 0 takes a free one */
	char *data_dir; /* everything the emulator keeps */
	char *region; /* "us-east-1" */
	char *account; /* "000000000000" */
	char *git_root; /* directory of bare repositories, <name>.git or <name>; absent:
			   <data_dir>/git */
	char *port_file; /* written with the port once the server answers; absent: none */
	struct conf_list
		keys; /* struct settings_key; empty: any credentials are accepted */
	/* Knobs (semantics G). */
	int64_t ack_timeout_ms; /* 60 s: an unacknowledged job is handed out again */
	int64_t continuation_delay_ms; /* 0 */
	int64_t job_credentials_ms; /* 900 s */
	int64_t custom_timeout_ms; /* 24 h per custom action execution (C11) */
	bool strict_ack; /* C4: a second acknowledgement answers InvalidNonce */
	int64_t max_batch; /* 100 jobs a poll (C6) */
	int log_format, log_level;
	int64_t max_connections;
	int64_t max_object_bytes; /* of one S3 object: 5 GiB */
};

extern const struct conf_key settings_keys[];

#endif
