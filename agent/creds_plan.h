/*
 * Where the agent's credentials come from: a plan, made of the configuration, the
 * environment and the profiles, without asking anybody (pure but for reading files).
 *
 *	struct creds_plan plan = { 0 };
 *	creds_plan_make(&settings->credentials, &plan, &err);
 *	... creds_fetch() carries it out ...
 *	creds_plan_done(&plan);      wipes it
 *
 * The first of these that says anything is taken (design section 4):
 *	1. static keys of the configuration
 *	2. AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN
 *	3. web identity: AWS_WEB_IDENTITY_TOKEN_FILE, AWS_ROLE_ARN
 *	4. the profile: role_arn, web identity, keys of the credentials file,
 *	   credential_process, keys of the config file, in botocore's order
 *	5. the container's endpoint: AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI
 *	6. the instance's metadata service, version 2
 * A profile that the configuration names is meant: then 2 and 3 are left out. A role of
 * the configuration is assumed with whatever was found.
 */
#ifndef MH_AGENT_CREDS_PLAN_H
#define MH_AGENT_CREDS_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/creds.h"
#include "agent/settings.h"

enum creds_source {
	CREDS_STATIC,
	CREDS_PROCESS,
	CREDS_WEB_IDENTITY,
	CREDS_CONTAINER,
	CREDS_INSTANCE,
};

struct creds_role {
	char *arn;
	char *session_name; /* never NULL */
	char *external_id; /* or NULL */
	int64_t duration_s; /* 0: the service's default */
};

#define CREDS_ROLES_MAX   5
#define CREDS_SOURCE_SIZE 256

struct creds_plan {
	enum creds_source source;
	struct creds keys; /* STATIC */
	char *process; /* PROCESS: the command line */
	struct creds_role web; /* WEB_IDENTITY */
	char *token_file; /* WEB_IDENTITY; CONTAINER: its authorization, or NULL */
	char *url; /* CONTAINER: of the credentials; INSTANCE: of the service, no '/' at
		      its end */
	struct creds_role roles[CREDS_ROLES_MAX]; /* then assumed, in this order */
	size_t role_count;
	char name[CREDS_SOURCE_SIZE]; /* "profile x of /path", for the log */
};

/* CONFIG when something is meant but wrong, AUTH when nothing is meant at all: the
 * text says where was looked, and what to do. */
int creds_plan_make(const struct credentials_settings *settings, struct creds_plan *ret,
		    struct mh_err *err) MH_MUST_CHECK;
void creds_plan_done(struct creds_plan *plan);
static inline void clean_creds_plan(struct creds_plan *plan)
{
	creds_plan_done(plan);
}

/* Whether fetching it asks nobody. */
static inline bool creds_plan_is_static(const struct creds_plan *plan)
{
	return plan->source == CREDS_STATIC && plan->role_count == 0;
}

/* Exposed for tests: whether credentials may be asked for at that URL: https, or http
 * to loopback and to the addresses that ECS and EKS use. */
bool creds_plan_host_allowed(const char *url);

#endif
