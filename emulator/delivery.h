/*
 * Deliveries to webhooks: a POST to a webhook's URL, /_millhand/webhook/<token>
 * (semantics B). In the connection's thread the webhook is looked up, the sender
 * authenticated over the raw body, and the body read; what follows is the engine's
 * (emulator/engine/webhooks.c).
 */
#ifndef MH_EMULATOR_DELIVERY_H
#define MH_EMULATOR_DELIVERY_H

#include <sys/socket.h>

#include "emulator/op.h"
#include "emulator/writer.h"

#define DELIVERY_PREFIX "/_millhand/webhook/"

struct delivery {
	const char *token; /* the last part of the path */
	const char *body;
	size_t body_len;
	/* Headers; NULL when absent. */
	const char *sha1; /* X-Hub-Signature: sha1=<hex> */
	const char *sha256; /* X-Hub-Signature-256: sha256=<hex> */
	const char *event; /* X-GitHub-Event */
	const struct sockaddr *from; /* NULL: not known */
	const struct settings *settings; /* where repositories are */
};

/* *ret: the answer, an object, the caller's: {"pipelineExecutionId"} or {"ignored"}, why
 * it started nothing. 404 NotFound, 403 AccessDenied, 400 SerializationException, and
 * what the start says. */
int delivery_serve(struct writer *writer, const struct creds_key *key,
		   const struct delivery *d, struct json_object **ret,
		   struct api_error *err) MH_MUST_CHECK;

/* ---- pure parts, for tests ---- */

/* Whether a signature is right: the better of the two that was sent counts, and must. */
bool delivery_is_signed(const char *secret, const struct delivery *d);

#define CIDR_TEXT_MAX 100
/* "192.0.2.0/24", "2001:db8::/32", or one address. CONFIG: it is none. */
int cidr_check(const char *range, struct mh_err *err) MH_MUST_CHECK;
/* An IPv4 address that came mapped into IPv6 counts as what it is. */
bool cidr_contains(const char *range, const struct sockaddr *address);

#endif
