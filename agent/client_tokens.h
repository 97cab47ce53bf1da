/*
 * The tokens of third-party clients, by client id: from the file or by the command of
 * the configuration (semantics C14). They stay in memory here, and are wiped.
 *
 *	t = client_tokens_new(loop, &settings->client_tokens);
 *	ask = client_tokens_ask(t, client_id, done, ctx);
 *	... done(ctx, token, NULL) or done(ctx, NULL, &err), once ...
 *	client_ask_cancel(ask);                 instead of waiting for it
 *	client_tokens_refused(t, client_id);    the service does not take it
 *
 * The file is read again when it was replaced or written to; one that makes no sense
 * leaves the tokens there were. The command is run once for all that ask for a client
 * at the same time, for four clients at most at once; what it says is kept a while.
 */
#ifndef MH_AGENT_CLIENT_TOKENS_H
#define MH_AGENT_CLIENT_TOKENS_H

#include "agent/settings.h"
#include "lib/base/err.h"
#include "lib/net/loop.h"

struct client_tokens;
/* loop is borrowed; settings are copied. */
struct client_tokens *client_tokens_new(struct loop *loop,
					const struct client_tokens_settings *s);
/* Others from now on; what was kept is forgotten. What is under way goes on. */
void client_tokens_configure(struct client_tokens *t,
			     const struct client_tokens_settings *s);
/* Ends what is under way, without callbacks. NULL is none. */
void client_tokens_free(struct client_tokens *t);

struct client_ask;
/* token is borrowed for the call; NULL with an error: NOTFOUND for an unknown client. */
typedef void (*client_token_fn)(void *ctx, const char *token, const struct mh_err *err);
/* NULL when done was called before it returned, as it is whenever nothing is to be
 * waited for. */
struct client_ask *client_tokens_ask(struct client_tokens *t, const char *client_id,
				     client_token_fn done, void *ctx);
/* done will not be called. NULL is none. */
void client_ask_cancel(struct client_ask *ask);

/* What the command said of this client is asked for anew. */
void client_tokens_refused(struct client_tokens *t, const char *client_id);

#endif
