#include "agent/creds_plan.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "agent/creds_profile.h"
#include "lib/base/macros.h"
#include "lib/base/str.h"
#include "lib/net/uri.h"

#define CONTAINER_HOST   "http://169.254.170.2"
#define INSTANCE_HOST    "http://169.254.169.254"
#define INSTANCE_HOST_V6 "http://[fd00:ec2::254]"
#define SESSION_NAME_MAX 64
#define DURATION_MIN_S   900
#define DURATION_MAX_S   43200

struct maker {
	const struct credentials_settings *settings;
	struct creds_profiles profiles;
	const char *visited[CREDS_ROLES_MAX]; /* profiles with a role, on the way */
	size_t visited_count;
	struct creds_plan *plan;
	struct mh_err *err;
};

static void role_done(struct creds_role *r)
{
	free(r->arn);
	free(r->session_name);
	free(r->external_id);
	*r = (struct creds_role){ 0 };
}

void creds_plan_done(struct creds_plan *plan)
{
	creds_done(&plan->keys);
	creds_wipe(&plan->process);
	role_done(&plan->web);
	free(plan->token_file);
	free(plan->url);
	for (size_t i = 0; i < plan->role_count; i++)
		role_done(&plan->roles[i]);
	*plan = (struct creds_plan){ 0 };
}

static void name_it(struct maker *m, const char *fmt, ...) MH_PRINTF(2, 3);
static void name_it(struct maker *m, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(m->plan->name, sizeof(m->plan->name), fmt, args); /* may be cut */
	va_end(args);
}

/* --- roles ------------------------------------------------------------------------- */

/* CloudTrail shows it: the host's name, of the characters it may have. */
static char *session_name(const char *wanted)
{
	char host[SESSION_NAME_MAX] = "", *name;

	if (wanted)
		return mh_strdup(wanted);
	if (gethostname(host, sizeof(host) - 1) != 0)
		host[0] = '\0';
	for (char *c = host; *c; c++) {
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
			    "0123456789_=,.@+-",
			    *c))
			*c = '-';
	}
	name = mh_format("millhand-%s", *host ? host : "agent");
	if (strlen(name) > SESSION_NAME_MAX)
		name[SESSION_NAME_MAX] = '\0';
	return name;
}

static void set_role(struct creds_role *r, const char *arn, const char *name,
		     const char *external_id)
{
	role_done(r);
	r->arn = mh_strdup(arn);
	r->session_name = session_name(name);
	r->external_id = mh_strdup(external_id);
}

/* --- profiles ---------------------------------------------------------------------- */

static const char *get(const struct maker *m, const char *profile, const char *key)
{
	return creds_profiles_get(&m->profiles, profile, PROFILE_ANYWHERE, key);
}

static int bad_profile(struct maker *m, const char *profile, const char *fmt, ...)
	MH_PRINTF(3, 4);
static int bad_profile(struct maker *m, const char *profile, const char *fmt, ...)
{
	char text[MH_ERR_TEXT_MAX];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args); /* a long text is cut */
	va_end(args);
	return mh_err_set(m->err, MH_E_CONFIG, "profile \"%.60s\": %s", profile, text);
}

/* 1: taken; 0: there are none; -1: one half alone. */
static int take_static(struct maker *m, const char *profile, enum creds_profile_file file)
{
	const struct creds_profiles *p = &m->profiles;
	const char *id = creds_profiles_get(p, profile, file, "aws_access_key_id");
	const char *secret = creds_profiles_get(p, profile, file,
						"aws_secret_access_key");
	const char *path = file == PROFILE_CONFIG ? p->config_path : p->credentials_path;

	if (!id)
		return 0;
	if (!secret)
		return bad_profile(m, profile,
				   "it has aws_access_key_id, but no "
				   "aws_secret_access_key (%s)",
				   path ? path : "?");
	m->plan->source = CREDS_STATIC;
	creds_set(&m->plan->keys, id, secret,
		  creds_profiles_get(p, profile, file, "aws_session_token"));
	name_it(m, "profile %s of %s", profile, path ? path : "?");
	return 1;
}

static int refuse_sso(struct maker *m, const char *profile)
{
	static const char *const keys[] = { "sso_session", "sso_start_url",
					    "sso_account_id" };

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		if (get(m, profile, keys[i]))
			return bad_profile(m, profile,
					   "%s: signing on takes a person with a "
					   "browser, and an agent has none; use a role, "
					   "credential_process or static keys",
					   keys[i]);
	}
	return 0;
}

static int take_web_identity(struct maker *m, const char *profile)
{
	const char *file = get(m, profile, "web_identity_token_file");
	const char *arn = get(m, profile, "role_arn");

	if (!file)
		return 0;
	if (!arn)
		return bad_profile(m, profile,
				   "it has web_identity_token_file, but no role_arn");
	m->plan->source = CREDS_WEB_IDENTITY;
	m->plan->token_file = mh_strdup(file);
	set_role(&m->plan->web, arn, get(m, profile, "role_session_name"), NULL);
	name_it(m, "web identity of profile %s", profile);
	return 1;
}

/* What a profile says besides roles: 1 taken, 0 nothing, -1 wrong. */
static int take_plain(struct maker *m, const char *profile)
{
	const char *process = get(m, profile, "credential_process");
	int rc = take_web_identity(m, profile);

	if (rc == 0)
		rc = refuse_sso(m, profile);
	if (rc == 0)
		rc = take_static(m, profile, PROFILE_CREDENTIALS);
	if (rc == 0 && process) {
		m->plan->source = CREDS_PROCESS;
		m->plan->process = mh_strdup(process);
		name_it(m, "credential_process of profile %s", profile);
		return 1;
	}
	return rc == 0 ? take_static(m, profile, PROFILE_CONFIG) : rc;
}

static int take_container(struct maker *m);
static int take_instance(struct maker *m);
static int take_environment(struct maker *m);

static int take_credential_source(struct maker *m, const char *profile,
				  const char *source)
{
	int rc;

	if (strcmp(source, "Environment") == 0)
		rc = take_environment(m);
	else if (strcmp(source, "EcsContainer") == 0)
		rc = take_container(m);
	else if (strcmp(source, "Ec2InstanceMetadata") == 0)
		rc = take_instance(m);
	else
		return bad_profile(m, profile,
				   "credential_source \"%.40s\" is none of Environment, "
				   "EcsContainer, Ec2InstanceMetadata",
				   source);
	if (rc == 0)
		return bad_profile(m, profile,
				   "credential_source = %s, but there are no credentials "
				   "there",
				   source);
	return rc;
}

static int push_role(struct maker *m, const char *profile)
{
	const char *duration = get(m, profile, "duration_seconds");
	struct creds_role *r = &m->plan->roles[m->plan->role_count];
	int64_t seconds = 0;

	if (duration && str_to_i64(duration, DURATION_MIN_S, DURATION_MAX_S,
				   "duration_seconds", &seconds, m->err) != 0) {
		m->err->cls = MH_E_CONFIG;
		return mh_err_wrap(m->err, "profile \"%.60s\"", profile);
	}
	m->plan->role_count++; /* room is left for the configuration's own */
	set_role(r, get(m, profile, "role_arn"), get(m, profile, "role_session_name"),
		 get(m, profile, "external_id"));
	r->duration_s = seconds;
	return 1;
}

static bool has_role(const struct maker *m, const char *profile)
{
	return get(m, profile, "role_arn") && !get(m, profile, "web_identity_token_file");
}

static bool has_keys(const struct maker *m, const char *profile)
{
	return get(m, profile, "aws_access_key_id") ||
	       get(m, profile, "aws_secret_access_key");
}

static int take_role(struct maker *m, const char *profile);

/* The profile a role is assumed with: its own keys before its own role. */
static int take_source_profile(struct maker *m, const char *profile, const char *source)
{
	int rc;

	if (!creds_profiles_has(&m->profiles, source))
		return bad_profile(m, profile, "there is no source_profile \"%.60s\"",
				   source);
	if (!has_keys(m, source) && has_role(m, source))
		return take_role(m, source);
	rc = take_plain(m, source);
	if (rc == 0)
		return bad_profile(m, profile,
				   "its source_profile \"%.60s\" has no credentials",
				   source);
	return rc;
}

static int check_role(struct maker *m, const char *profile, const char *source_profile,
		      const char *source)
{
	if (get(m, profile, "mfa_serial"))
		return bad_profile(m, profile,
				   "mfa_serial: a code would have to be typed in, and an "
				   "agent has nobody to ask; use a role without MFA");
	if (source && source_profile)
		return bad_profile(m, profile,
				   "it has both source_profile and credential_source; "
				   "keep one");
	if (!source && !source_profile)
		return bad_profile(m, profile,
				   "it has role_arn, but neither source_profile nor "
				   "credential_source says who assumes it");
	for (size_t i = 0; i < m->visited_count; i++) {
		if (strcmp(m->visited[i], profile) == 0)
			return bad_profile(m, profile,
					   "source_profile leads back to itself");
	}
	if (m->visited_count + 1 >= CREDS_ROLES_MAX)
		return bad_profile(m, profile, "more than %d roles one after the other",
				   CREDS_ROLES_MAX - 1);
	return 0;
}

static int take_role(struct maker *m, const char *profile)
{
	const char *source_profile = get(m, profile, "source_profile");
	const char *source = get(m, profile, "credential_source");
	int rc;

	if (check_role(m, profile, source_profile, source) != 0)
		return -1;
	m->visited[m->visited_count++] = profile;
	rc = source ? take_credential_source(m, profile, source)
		    : take_source_profile(m, profile, source_profile);
	if (rc <= 0)
		return rc;
	name_it(m, "role of profile %s", profile);
	return push_role(m, profile);
}

static int take_profile(struct maker *m, const char *profile)
{
	return has_role(m, profile) ? take_role(m, profile) : take_plain(m, profile);
}

/* --- the other sources ----------------------------------------------------------------
 */

static int take_environment(struct maker *m)
{
	const char *id = creds_env("AWS_ACCESS_KEY_ID");
	const char *secret = creds_env("AWS_SECRET_ACCESS_KEY");
	const char *token = creds_env("AWS_SESSION_TOKEN");

	if (!id)
		return 0;
	if (!secret)
		return mh_err_set(m->err, MH_E_CONFIG,
				  "AWS_ACCESS_KEY_ID is set, but AWS_SECRET_ACCESS_KEY "
				  "is not");
	m->plan->source = CREDS_STATIC;
	creds_set(&m->plan->keys, id, secret,
		  token ? token : creds_env("AWS_SECURITY_TOKEN"));
	name_it(m, "environment");
	return 1;
}

static int take_env_web_identity(struct maker *m)
{
	const char *file = creds_env("AWS_WEB_IDENTITY_TOKEN_FILE");
	const char *arn = creds_env("AWS_ROLE_ARN");

	if (!file)
		return 0;
	if (!arn)
		return mh_err_set(m->err, MH_E_CONFIG,
				  "AWS_WEB_IDENTITY_TOKEN_FILE is set, but AWS_ROLE_ARN "
				  "is not");
	m->plan->source = CREDS_WEB_IDENTITY;
	m->plan->token_file = mh_strdup(file);
	set_role(&m->plan->web, arn, creds_env("AWS_ROLE_SESSION_NAME"), NULL);
	name_it(m, "web identity of the environment");
	return 1;
}

bool creds_plan_host_allowed(const char *url)
{
	static const char *const hosts[] = { "169.254.170.2", "169.254.170.23",
					     "fd00:ec2::23" };
	CLEAN(uri) struct uri u = { 0 };
	struct mh_err ignored;

	if (uri_parse(url, &u, &ignored) != 0)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
		if (strcmp(u.host, hosts[i]) == 0)
			return true;
	}
	return strcmp(u.scheme, "https") == 0 || uri_is_loopback(&u);
}

static int take_container(struct maker *m)
{
	const char *relative = creds_env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
	const char *full = creds_env("AWS_CONTAINER_CREDENTIALS_FULL_URI");
	CLEAN(free) char *url = NULL;

	if (!relative && !full)
		return 0;
	url = relative ? mh_format(CONTAINER_HOST "%s", relative) : mh_strdup(full);
	if (relative && *relative != '/')
		return mh_err_set(m->err, MH_E_CONFIG,
				  "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI must begin "
				  "with '/'");
	if (!creds_plan_host_allowed(url))
		return mh_err_set(m->err, MH_E_CONFIG,
				  "AWS_CONTAINER_CREDENTIALS_FULL_URI: http:// goes to "
				  "this host and to the addresses of ECS and EKS alone; "
				  "use https://");
	m->plan->source = CREDS_CONTAINER;
	m->plan->url = STEAL_PTR(url);
	m->plan->token_file = mh_strdup(
		creds_env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"));
	name_it(m, "container");
	return 1;
}

static int take_instance(struct maker *m)
{
	const char *disabled = creds_env("AWS_EC2_METADATA_DISABLED");
	const char *endpoint = creds_env("AWS_EC2_METADATA_SERVICE_ENDPOINT");
	const char *mode = creds_env("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");
	CLEAN(uri) struct uri u = { 0 };
	size_t len;

	if (disabled && strcasecmp(disabled, "true") == 0)
		return 0;
	if (mode && strcasecmp(mode, "ipv4") != 0 && strcasecmp(mode, "ipv6") != 0)
		return mh_err_set(m->err, MH_E_CONFIG,
				  "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE must be IPv4 "
				  "or IPv6");
	if (!endpoint)
		endpoint = mode && strcasecmp(mode, "ipv6") == 0 ? INSTANCE_HOST_V6
								 : INSTANCE_HOST;
	if (uri_parse(endpoint, &u, m->err) != 0)
		return mh_err_wrap(m->err, "AWS_EC2_METADATA_SERVICE_ENDPOINT");
	len = strlen(endpoint);
	while (len > 0 && endpoint[len - 1] == '/')
		len--;
	m->plan->source = CREDS_INSTANCE;
	m->plan->url = mh_strndup(endpoint, len);
	name_it(m, "instance metadata");
	return 1;
}

/* --- the order ------------------------------------------------------------------------
 */

static int nothing_found(struct maker *m, const char *profile)
{
	return mh_err_set(m->err, MH_E_AUTH,
			  "no credentials: none in the configuration (credentials), in "
			  "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, in "
			  "AWS_WEB_IDENTITY_TOKEN_FILE, in profile \"%.60s\", of a "
			  "container, and AWS_EC2_METADATA_DISABLED forbids to ask the "
			  "instance",
			  profile);
}

static int take_first(struct maker *m)
{
	const struct credentials_settings *s = m->settings;
	const char *named = s->profile ? s->profile : creds_env("AWS_PROFILE");
	const char *profile = named ? named : "default";
	int rc = 0;

	if (s->access_key_id && s->secret_access_key) {
		creds_set(&m->plan->keys, s->access_key_id, s->secret_access_key,
			  s->session_token);
		name_it(m, "configuration");
		return 1;
	}
	if (!s->profile)
		rc = take_environment(m);
	if (rc == 0 && !s->profile)
		rc = take_env_web_identity(m);
	if (rc != 0)
		return rc;
	if (creds_profiles_read(&m->profiles, m->err) != 0)
		return -1;
	if (named && !creds_profiles_has(&m->profiles, named))
		return mh_err_set(m->err, MH_E_CONFIG,
				  "there is no profile \"%.60s\" in %s or %s", named,
				  m->profiles.credentials_path
					  ? m->profiles.credentials_path
					  : "~/.aws/credentials",
				  m->profiles.config_path ? m->profiles.config_path
							  : "~/.aws/config");
	rc = take_profile(m, profile);
	if (rc == 0)
		rc = take_container(m);
	if (rc == 0)
		rc = take_instance(m);
	return rc == 0 ? nothing_found(m, profile) : rc;
}

int creds_plan_make(const struct credentials_settings *settings, struct creds_plan *ret,
		    struct mh_err *err)
{
	struct creds_plan plan = { 0 };
	struct maker m = { .settings = settings, .plan = &plan, .err = err };
	int rc = take_first(&m);

	creds_profiles_done(&m.profiles);
	if (rc < 0) {
		creds_plan_done(&plan);
		return mh_err_wrap(err, "credentials");
	}
	if (settings->role_arn) {
		struct creds_role *r = &plan.roles[plan.role_count++];

		set_role(r, settings->role_arn, settings->role_session_name,
			 settings->external_id);
		r->duration_s = settings->role_duration_ms / 1000;
	}
	*ret = plan;
	return 0;
}
