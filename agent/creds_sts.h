/*
 * One question to the token service (STS): AssumeRole, signed with keys we have, or
 * AssumeRoleWithWebIdentity, with a token in their place. Query protocol: a form goes
 * there, XML comes back.
 *
 * The endpoint is sts_endpoint of the settings, else AWS's in the region.
 */
#ifndef MH_AGENT_CREDS_STS_H
#define MH_AGENT_CREDS_STS_H

#include "agent/aws.h"
#include "agent/creds_plan.h"
#include "agent/creds_read.h"

struct creds_sts_request { /* all borrowed; aws, http and settings until done */
	struct http_client *http;
	struct aws *aws;
	const struct settings *settings;
	const struct creds_role *role;
	const char *web_token; /* NULL: AssumeRole */
	const struct creds *keys; /* AssumeRole; until done */
};

struct creds_sts;
/* found is the callee's to take from, NULL when it failed; server_ms: the clock of the
 * service then, or -1. */
typedef void (*creds_sts_done_fn)(void *ctx, struct creds_found *found, int64_t server_ms,
				  const struct mh_err *err);

/* Done is called once, never from inside. CONFIG when the endpoint is none. */
int creds_sts_send(const struct creds_sts_request *r, creds_sts_done_fn done, void *ctx,
		   struct creds_sts **ret, struct mh_err *err) MH_MUST_CHECK;
/* NULL is none. */
void creds_sts_cancel(struct creds_sts *s);

/* Exposed for tests: the form. The caller wipes it. */
char *creds_sts_form(const struct creds_role *role, const char *web_token) MH_MUST_CHECK;

#endif
