/*
 * The control socket: where the millhand program asks the agent. One JSON object per
 * line, one answer per line, in order, over a stream socket <state_dir>/control that the
 * agent's user and root alone may use.
 *
 *	control_open(loop, state_dir, handle, ctx, &control, &err);
 *	control_again(control);     once a turn: asks anew what was put off
 *	control_close(control);     takes the socket away; before loop_free()
 *
 * What a client can cost is bounded: so many clients, bytes in a request, requests of
 * one client, and seconds for a request to come in and its answer to go out. Nothing is
 * read from a client while its answer is on its way.
 */
#ifndef MH_AGENT_CONTROL_H
#define MH_AGENT_CONTROL_H

#include <sys/types.h>

#include "lib/base/err.h"
#include "lib/base/json.h"
#include "lib/net/loop.h"

#define CONTROL_NAME         "control" /* in the state directory */
#define CONTROL_CLIENTS_MAX  16
#define CONTROL_REQUEST_MAX  4096 /* bytes */
#define CONTROL_REQUESTS_MAX 100 /* of one client */
#define CONTROL_CLIENT_MS    5000 /* for one request and its answer */

struct control;

struct control_request {
	struct json_object *doc; /* borrowed */
	pid_t pid; /* of who asks */
	uid_t uid;
	bool again; /* it was put off before */
};

/* Answers an object that the socket takes over, or NULL to be asked again: the client
 * waits, however long that takes. */
typedef struct json_object *(*control_handler)(void *ctx,
					       const struct control_request *request);

/* A socket that an agent left behind is replaced: the caller has the state directory
 * for itself. */
int control_open(struct loop *loop, const char *state_dir, control_handler handler,
		 void *ctx, struct control **ret, struct mh_err *err) MH_MUST_CHECK;
void control_again(struct control *control);
/* Freed by the loop's next turn, or its end. */
void control_close(struct control *control);

/* {"ok":false,"code":"...","error":"..."}; code is for programs, text for people. */
struct json_object *control_refusal(const char *code, const char *text) MH_MUST_CHECK;

#endif
