/*
 * Carries a plan out, on the loop: asks its source, then assumes its roles one after
 * the other. Nothing is retried here but a signature that a wrong clock spoilt;
 * creds_store.c says when to try again.
 *
 *	f = creds_fetch_start(&tools, &plan, done, ctx);
 *	... done(ctx, &result, NULL) or done(ctx, NULL, &err), once, never from inside ...
 *	creds_fetch_cancel(f);      instead of waiting for it
 */
#ifndef MH_AGENT_CREDS_FETCH_H
#define MH_AGENT_CREDS_FETCH_H

#include "agent/aws.h"
#include "agent/creds_plan.h"
#include "agent/creds_read.h"
#include "lib/net/http.h"
#include "lib/net/loop.h"

struct creds_tools { /* borrowed */
	struct loop *loop;
	struct http_client *http;
	struct aws *aws;
	const struct settings *settings;
};

struct creds_result {
	struct creds keys; /* the callee's to take */
	int64_t life_ms; /* left from now on; CREDS_NEVER: no end was named */
	bool stale; /* over already, as the instance's service gives them in an outage */
};

struct creds_fetch;
typedef void (*creds_fetch_done_fn)(void *ctx, struct creds_result *result,
				    const struct mh_err *err);

/* The plan is borrowed until done or cancel. */
struct creds_fetch *creds_fetch_start(const struct creds_tools *tools,
				      const struct creds_plan *plan,
				      creds_fetch_done_fn done, void *ctx);
/* NULL is none. */
void creds_fetch_cancel(struct creds_fetch *f);

#endif
