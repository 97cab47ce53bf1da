/* The keys of what is secret: the agent's credentials, and the tokens of third-party
 * clients. */
#include "agent/settings.h"

#define SECOND INT64_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)

#define AT(f) .offset = offsetof(struct credentials_settings, f)
const struct conf_key settings_credentials_keys[] = {
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

#define AT(f) .offset = offsetof(struct client_tokens_settings, f)
const struct conf_key settings_client_tokens_keys[] = {
	{ .path = "file",
	  .type = CONF_STRING,
	  AT(file),
	  .example = "/etc/millhand/clients",
	  .help = "a file with a line for each client: its id, a blank, its token; for "
		  "its owner alone (chmod 600), read again when it is replaced" },
	{ .path = "command",
	  .type = CONF_STRING,
	  AT(command),
	  .example = "/usr/local/bin/client-token --quiet",
	  .help = "instead of a file: a program, run without a shell and with the client "
		  "id as its last argument, that prints the token" },
	{ .path = "timeout",
	  .type = CONF_DURATION,
	  AT(timeout_ms),
	  .min = 100,
	  .max = HOUR,
	  .def = "10s",
	  .help = "a command that takes longer is killed" },
	{ .path = "keep",
	  .type = CONF_DURATION,
	  AT(keep_ms),
	  .max = DAY,
	  .def = "1m",
	  .help = "how long a token that the command printed is used without asking "
		  "again, unless the service refuses it" },
	{ 0 },
};
#undef AT
