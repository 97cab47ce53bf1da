#include "emulator/settings.h"

#include <stddef.h>
#include <string.h>

#include "emulator/events/delivery.h"
#include "emulator/offer.h"
#include "emulator/schedules.h"
#include "emulator/third_party.h"
#include "lib/base/buf.h"
#include "lib/base/str.h"

#define DAY_MS (24 * 60 * 60 * 1000LL)

#define AT(field) .offset = offsetof(struct settings, field)

static const char *const log_formats[] = { "text", "json", NULL };
static const char *const log_levels[] = { "error", "warn", "info", "debug", NULL };

static const struct conf_key credential_keys[] = {
	{ .path = "access_key_id",
	  .type = CONF_STRING,
	  .offset = offsetof(struct settings_key, access_key_id),
	  .required = true,
	  .example = "AKIDEXAMPLE",
	  .help = "who signs" },
	{ .path = "secret_access_key",
	  .type = CONF_STRING,
	  .offset = offsetof(struct settings_key, secret_access_key),
	  .required = true,
	  .secret = true,
	  .example = "change me",
	  .help = "what signs" },
	{ 0 },
};

static const struct conf_key offer_keys[] = {
	{ .path = "aws",
	  .type = CONF_STRING,
	  .offset = offsetof(struct settings_offer, aws),
	  .required = true,
	  .example = "Build/CodeBuild/1",
	  .help = "an action type of AWS" },
	{ .path = "as",
	  .type = CONF_STRING,
	  .offset = offsetof(struct settings_offer, as),
	  .required = true,
	  .example = "Build/Custom/CodeBuild/1",
	  .help = "the custom type that workers poll for; need not be created" },
	{ 0 },
};

static const struct conf_key third_party_keys[] = {
	{ .path = "type",
	  .type = CONF_STRING,
	  .offset = offsetof(struct settings_third_party, type),
	  .required = true,
	  .example = "Deploy/ThirdParty/Acme/1",
	  .help = "an action type of a third party; it need not be declared" },
	{ .path = "client_id",
	  .type = CONF_STRING,
	  .offset = offsetof(struct settings_third_party, client_id),
	  .required = true,
	  .example = "c11e0000-0000-4000-8000-000000000001",
	  .help = "what its jobs are offered with" },
	{ .path = "client_token",
	  .type = CONF_STRING,
	  .offset = offsetof(struct settings_third_party, client_token),
	  .required = true,
	  .secret = true,
	  .example = "change me",
	  .help = "what opens them" },
	{ 0 },
};

static const struct conf_key event_target_keys[] = {
	{ .path = "url",
	  .type = CONF_STRING,
	  .offset = offsetof(struct settings_event_target, url),
	  .required = true,
	  .example = "http://127.0.0.1:8080/events",
	  .help = "gets each event as the body of a POST; any 2xx is its receipt" },
	{ .path = "authorization",
	  .type = CONF_STRING,
	  .offset = offsetof(struct settings_event_target, authorization),
	  .secret = true,
	  .example = "Bearer change me",
	  .help = "value of the Authorization header" },
	{ 0 },
};

static const struct conf_key approval_target_keys[] = {
	{ .path = "topic",
	  .type = CONF_STRING,
	  .offset = offsetof(struct settings_approval_target, topic),
	  .required = true,
	  .example = "arn:aws:sns:us-east-1:000000000000:approvals",
	  .help = "the NotificationArn of approval actions; \"*\": whatever they name, "
		  "or name none" },
	{ .path = "url",
	  .type = CONF_STRING,
	  .offset = offsetof(struct settings_approval_target, url),
	  .required = true,
	  .example = "http://127.0.0.1:8080/approvals",
	  .help = "gets SNS's raw message as the body of a POST; any 2xx is its "
		  "receipt" },
	{ .path = "authorization",
	  .type = CONF_STRING,
	  .offset = offsetof(struct settings_approval_target, authorization),
	  .secret = true,
	  .example = "Bearer change me",
	  .help = "value of the Authorization header" },
	{ 0 },
};

/* A table: one row a key. */
const struct conf_key settings_keys[] = {
	{ .path = "listen",
	  .type = CONF_STRING,
	  AT(listen),
	  .def = "127.0.0.1:4599",
	  .help = "address and port; port 0 takes a free one" },
	{ .path = "data_dir",
	  .type = CONF_STRING,
	  AT(data_dir),
	  .example = "/var/lib/millhand-emulator",
	  .help = "directory of everything the emulator keeps; made when missing" },
	{ .path = "region",
	  .type = CONF_STRING,
	  AT(region),
	  .def = "us-east-1",
	  .help = "the AWS region it plays" },
	{ .path = "account",
	  .type = CONF_STRING,
	  AT(account),
	  .def = "000000000000",
	  .help = "the AWS account it plays, 12 digits" },
	{ .path = "git_root",
	  .type = CONF_STRING,
	  AT(git_root),
	  .example = "/srv/git",
	  .help = "directory of bare git repositories for CodeCommit actions; absent: "
		  "<data_dir>/git" },
	{ .path = "port_file",
	  .type = CONF_STRING,
	  AT(port_file),
	  .example = "/run/millhand-emulator.port",
	  .help = "file that gets the port's number once the server answers" },
	{ .path = "tls_cert",
	  .type = CONF_STRING,
	  AT(tls_cert),
	  .example = "/etc/millhand/emulator.crt",
	  .help = "file with a certificate and its chain (PEM): speak https alone" },
	{ .path = "tls_key",
	  .type = CONF_STRING,
	  AT(tls_key),
	  .example = "/etc/millhand/emulator.key",
	  .help = "file with its key (PEM, without a passphrase)" },
	{ .path = "keys",
	  .type = CONF_GROUPS,
	  AT(keys),
	  .sub = credential_keys,
	  .sub_size = sizeof(struct settings_key),
	  .help = "credentials that may sign; absent: any credentials are accepted" },
	{ .path = "offer",
	  .type = CONF_GROUPS,
	  AT(offers),
	  .sub = offer_keys,
	  .sub_size = sizeof(struct settings_offer),
	  .help = "actions of AWS's own types that workers do; absent: none, such "
		  "actions "
		  "fail" },
	{ .path = "third_party",
	  .type = CONF_GROUPS,
	  AT(third_parties),
	  .sub = third_party_keys,
	  .sub_size = sizeof(struct settings_third_party),
	  .help = "third-party action types and their clients; for types that are not "
		  "here, any client token is accepted" },
	{ .path = "events",
	  .type = CONF_BOOL,
	  AT(events),
	  .def = "true",
	  .help = "write EventBridge's events for every change; they are at "
		  "/_millhand/events" },
	{ .path = "events_file",
	  .type = CONF_STRING,
	  AT(events_file),
	  .example = "/var/log/millhand-events.jsonl",
	  .help = "file that gets a line of JSON for each event and notification" },
	{ .path = "event_targets",
	  .type = CONF_GROUPS,
	  AT(event_targets),
	  .sub = event_target_keys,
	  .sub_size = sizeof(struct settings_event_target),
	  .help = "where events are sent by HTTP" },
	{ .path = "approval_targets",
	  .type = CONF_GROUPS,
	  AT(approval_targets),
	  .sub = approval_target_keys,
	  .sub_size = sizeof(struct settings_approval_target),
	  .help = "where notifications of approvals are sent by HTTP, in place of SNS" },
	{ .path = "events_keep",
	  .type = CONF_INT,
	  AT(events_keep),
	  .min = 1,
	  .max = 1000000,
	  .def = "10000",
	  .unit = "events",
	  .help = "delivered events that stay, for event streams that connect again" },
	{ .path = "events_backlog",
	  .type = CONF_INT,
	  AT(events_backlog),
	  .min = 1,
	  .max = 10000000,
	  .def = "100000",
	  .unit = "events",
	  .help = "most events that are kept for a target that is away" },
	{ .path = "register_types",
	  .type = CONF_BOOL,
	  AT(register_types),
	  .def = "false",
	  .help = "UpdateActionType also makes action types that do not exist" },
	{ .path = "schedules",
	  .type = CONF_GROUPS,
	  AT(schedules),
	  .sub = schedule_keys,
	  .sub_size = sizeof(struct settings_schedule),
	  .help = "when pipelines start by themselves; absent: never" },
	{ .path = "source_events",
	  .type = CONF_BOOL,
	  AT(source_events),
	  .def = "false",
	  .help = "changes start pipelines whose source says "
		  "PollForSourceChanges=false, too, as an event's rule does on AWS" },
	{ .path = "ack_timeout",
	  .type = CONF_DURATION,
	  AT(ack_timeout_ms),
	  .min = 1,
	  .max = DAY_MS,
	  .def = "60s",
	  .help = "a job that nobody acknowledged is offered again after so long; an "
		  "agent whose in_doubt is \"fresh\" counts on more than 15s" },
	{ .path = "continuation_delay",
	  .type = CONF_DURATION,
	  AT(continuation_delay_ms),
	  .min = 0,
	  .max = DAY_MS,
	  .def = "0s",
	  .help = "a continued job is offered after so long (30s on AWS's integration)" },
	{ .path = "job_credentials",
	  .type = CONF_DURATION,
	  AT(job_credentials_ms),
	  .min = 1,
	  .max = DAY_MS,
	  .def = "15m",
	  .help = "life of a job's artifact credentials" },
	{ .path = "custom_timeout",
	  .type = CONF_DURATION,
	  AT(custom_timeout_ms),
	  .min = 1,
	  .max = 30 * DAY_MS,
	  .def = "24h",
	  .help = "a custom action that has not ended after so long fails" },
	{ .path = "third_party_timeout",
	  .type = CONF_DURATION,
	  AT(third_party_timeout_ms),
	  .min = 1,
	  .max = 30 * DAY_MS,
	  .def = "1h",
	  .help = "a third-party action that has not ended after so long fails; a "
		  "jobTimeout of its type wins" },
	{ .path = "strict_ack",
	  .type = CONF_BOOL,
	  AT(strict_ack),
	  .def = "false",
	  .help = "a second acknowledgement of a job answers InvalidNonceException" },
	{ .path = "duplicate_dispatch",
	  .type = CONF_BOOL,
	  AT(duplicate_dispatch),
	  .def = "false",
	  .help = "a job is offered to every poll until it is acknowledged" },
	{ .path = "idempotent_results",
	  .type = CONF_BOOL,
	  AT(idempotent_results),
	  .def = "false",
	  .help = "a result that is sent once more, the same, is answered as the first" },
	{ .path = "result_owner_check",
	  .type = CONF_BOOL,
	  AT(result_owner_check),
	  .def = "false",
	  .help = "a job's result is taken from the access key that acknowledged it "
		  "alone" },
	{ .path = "max_batch",
	  .type = CONF_INT,
	  AT(max_batch),
	  .min = 1,
	  .max = 1000,
	  .def = "100",
	  .unit = "jobs",
	  .help = "most jobs that one poll is given" },
	{ .path = "max_pipelines",
	  .type = CONF_INT,
	  AT(max_pipelines),
	  .min = 1,
	  .max = 1000000,
	  .def = "1000",
	  .unit = "pipelines",
	  .help = "most pipelines that there may be, as the service's quota" },
	{ .path = "signature_window",
	  .type = CONF_DURATION,
	  AT(signature_window_ms),
	  .min = 1000,
	  .max = DAY_MS,
	  .def = "5m",
	  .help = "how far a signature's time may be from ours (with keys alone)" },
	{ .path = "max_connections",
	  .type = CONF_INT,
	  AT(max_connections),
	  .min = 1,
	  .max = 10000,
	  .def = "1500",
	  .unit = "connections",
	  .help = "open at once; each has a thread" },
	{ .path = "idle_timeout",
	  .type = CONF_DURATION,
	  AT(idle_timeout_ms),
	  .min = 1000,
	  .max = DAY_MS,
	  .def = "60s",
	  .help = "a connection on which nothing moves is closed after so long" },
	{ .path = "max_object",
	  .type = CONF_SIZE,
	  AT(max_object_bytes),
	  .min = 1,
	  .max = 5LL << 40,
	  .def = "5G",
	  .help = "largest object of the artifact store" },
	{ .path = "admin",
	  .type = CONF_BOOL,
	  AT(admin),
	  .def = "false",
	  .help = "serve the admin interface under /_millhand/admin/: virtual clock, "
		  "faults and more, for tests" },
	{ .path = "admin_remote",
	  .type = CONF_BOOL,
	  AT(admin_remote),
	  .def = "false",
	  .help = "the admin interface answers other hosts too, not the loopback "
		  "interface alone" },
	{ .path = "deterministic",
	  .type = CONF_INT,
	  AT(deterministic),
	  .min = 0,
	  .max = 1000000000000,
	  .def = "0",
	  .help = "INSECURE, for tests alone: a seed from which ids, nonces, credentials "
		  "and keys follow, and time is virtual, so that the same calls get the "
		  "same answers; 0: off" },
	{ .path = "check_answers",
	  .type = CONF_BOOL,
	  AT(check_answers),
	  .def = "false",
	  .help = "hold every answer against the service model (for tests)" },
	{ .path = "log_format",
	  .type = CONF_CHOICE,
	  AT(log_format),
	  .choices = log_formats,
	  .def = "text",
	  .help = "of the lines on standard error" },
	{ .path = "log_level",
	  .type = CONF_CHOICE,
	  AT(log_level),
	  .choices = log_levels,
	  .def = "info",
	  .help = "the least important lines that are shown" },
	{ 0 },
};

int settings_read(const char *path, struct settings *ret, struct mh_err *err)
{
	struct settings s = { 0 };
	int rc = conf_read(path ? path : "defaults", path ? NULL : "", settings_keys, &s,
			   err);

	if (rc == 0)
		*ret = s;
	return rc;
}

void settings_done(struct settings *s)
{
	conf_free(settings_keys, s);
}

enum log_level settings_log_level(const struct settings *s)
{
	static const enum log_level levels[] = { LOG_LEVEL_ERROR, LOG_LEVEL_WARN,
						 LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

	return levels[s->log_level];
}

/* ---- options ---- */

static bool is_option_of(const char *name, const char *path)
{
	for (; *name && *path; name++, path++) {
		if (*name != (*path == '_' ? '-' : *path))
			return false;
	}
	return *name == *path;
}

const struct conf_key *settings_find_option(const char *name)
{
	for (const struct conf_key *k = settings_keys; k->path; k++) {
		if (k->type != CONF_GROUPS && is_option_of(name, k->path))
			return k;
	}
	return NULL;
}

/* The value as libconfig writes it; numbers and yes-or-no stand bare. */
static void put_value(struct buf *b, const struct conf_key *key, const char *value)
{
	if (key->type == CONF_BOOL || key->type == CONF_INT) {
		buf_puts(b, value);
		return;
	}
	buf_putc(b, '"');
	for (; *value; value++) {
		if (*value == '"' || *value == '\\')
			buf_putc(b, '\\');
		buf_putc(b, *value);
	}
	buf_putc(b, '"');
}

static int check_bare(const struct conf_key *key, const char *value, struct mh_err *err)
{
	int64_t n;

	if (key->type == CONF_INT)
		return str_to_i64(value, key->min, key->max, "the value", &n, err);
	if (key->type == CONF_BOOL && strcmp(value, "true") != 0 &&
	    strcmp(value, "false") != 0)
		return mh_err_set(err, MH_E_CONFIG, "'%s' is not true or false", value);
	return 0;
}

/* The reader speaks of files: "--x:1: x is ..." becomes "--x is ...". */
static void speak_of_option(const char *where, const struct conf_key *key,
			    struct mh_err *err)
{
	CLEAN(free) char *prefix = mh_format("%s:1: %s ", where, key->path);
	CLEAN(free) char *text = mh_strdup(err->text);

	if (str_starts_with(text, prefix))
		(void)mh_err_set(err, MH_E_CONFIG, "%s %s", where, text + strlen(prefix));
}

int settings_set_option(struct settings *s, const char *name, const char *value,
			struct mh_err *err)
{
	const struct conf_key *key = settings_find_option(name);
	struct conf_key row[] = { key ? *key : (struct conf_key){ 0 }, { 0 } };
	CLEAN(buf) struct buf b = BUF_INIT(64 * 1024);
	CLEAN(free) char *where = mh_format("--%s", name);

	if (!key)
		return mh_err_set(err, MH_E_CONFIG, "%s is no option", where);
	if (!value && key->type == CONF_BOOL)
		value = "true";
	if (!value || strlen(value) > 4096)
		return mh_err_set(err, MH_E_CONFIG, "%s wants a value", where);
	if (check_bare(key, value, err) != 0) {
		err->cls = MH_E_CONFIG;
		return mh_err_wrap(err, "%s", where);
	}
	buf_printf(&b, "%s = ", key->path);
	put_value(&b, key, value);
	buf_puts(&b, ";");
	/* A table of this row alone: the old value goes, the new one takes its place. */
	conf_free(row, s);
	if (conf_read(where, buf_text(&b), row, s, err) != 0) {
		speak_of_option(where, key, err);
		return -1;
	}
	return 0;
}

static const char *value_name(const struct conf_key *k)
{
	switch (k->type) {
	case CONF_BOOL:
		return "";
	case CONF_INT:
		return " N";
	case CONF_DURATION:
		return " TIME";
	case CONF_SIZE:
		return " SIZE";
	case CONF_CHOICE:
		return " NAME";
	default:
		return " TEXT";
	}
}

void settings_print_options(FILE *out)
{
	for (const struct conf_key *k = settings_keys; k->path; k++) {
		char option[40];
		int n;

		if (k->type == CONF_GROUPS)
			continue;
		n = snprintf(option, sizeof(option), "--%s%s", k->path, value_name(k));
		for (char *p = option; *p; p++) {
			if (*p == '_')
				*p = '-';
		}
		(void)fprintf(out, "  %-26s%s%s", option,
			      n > 25 ? "\n                            " : "",
			      k->help); /* a closed stdout is seen by the caller */
		if (k->def && k->type != CONF_BOOL)
			(void)fprintf(out, " (%s)", k->def); /* as above */
		(void)fputc('\n', out); /* as above */
	}
}

/* ---- what no row can check alone ---- */

int settings_split_listen(const char *listen, char **ret_host, char **ret_port,
			  struct mh_err *err)
{
	const char *colon = strrchr(listen, ':');
	const char *host = listen, *end = colon;
	struct mh_err why = MH_ERR_INIT;
	int64_t port;

	if (colon && *host == '[' && colon > host && colon[-1] == ']') {
		host++;
		end--;
	} else if (colon && memchr(host, ':', (size_t)(colon - host))) {
		colon = NULL; /* an IPv6 address without brackets: which is the port? */
	}
	if (!colon || end == host ||
	    str_to_i64(colon + 1, 0, 65535, "port", &port, &why) != 0)
		return mh_err_set(err, MH_E_CONFIG,
				  "listen: '%s' is not an address and a port, like "
				  "127.0.0.1:4599 or [::1]:4599",
				  listen);
	*ret_host = mh_strndup(host, (size_t)(end - host));
	*ret_port = mh_strdup(colon + 1);
	return 0;
}

static bool all_of(const char *s, const char *chars)
{
	return *s != '\0' && s[strspn(s, chars)] == '\0';
}

int settings_check(const struct settings *s, struct mh_err *err)
{
	CLEAN(free) char *host = NULL;
	CLEAN(free) char *port = NULL;

	if (!s->data_dir || *s->data_dir == '\0')
		return mh_err_set(err, MH_E_CONFIG,
				  "data_dir: missing: say where to keep the data "
				  "(--data-dir DIR)");
	if (strlen(s->account) != 12 || !all_of(s->account, "0123456789"))
		return mh_err_set(err, MH_E_CONFIG, "account: '%s' is not 12 digits",
				  s->account);
	if (strlen(s->region) > 30 ||
	    !all_of(s->region, "abcdefghijklmnopqrstuvwxyz0123456789-"))
		return mh_err_set(err, MH_E_CONFIG,
				  "region: '%s' is not the name of a region", s->region);
	if (!s->tls_cert != !s->tls_key)
		return mh_err_set(err, MH_E_CONFIG,
				  "tls_cert and tls_key belong together: %s is missing",
				  s->tls_cert ? "tls_key" : "tls_cert");
	if (offers_check(s, err) != 0 || third_party_check(s, err) != 0 ||
	    schedules_check(s, err) != 0 || delivery_check(s, err) != 0)
		return -1;
	return settings_split_listen(s->listen, &host, &port, err);
}
