/*
 * JSON objects as datagrams over a SOCK_SEQPACKET socket: the channel between shim
 * and handler, and the socket between shim and agent. The member "m" names the
 * message. What arrives is checked strictly and has a maximum.
 */
#ifndef MH_JOB_WIRE_H
#define MH_JOB_WIRE_H

#include <stdbool.h>

#include "lib/base/err.h"
#include "lib/base/json.h"

#define WIRE_AGENT_MAX_BYTES   (64 * 1024) /* docs/architecture.md */
#define WIRE_CHANNEL_MAX_BYTES (128 * 1024) /* an outcome of escapes alone fits */
/* A variable's value travels in pieces of at most this. */
#define WIRE_PIECE_BYTES (16 * 1024)

enum wire_got {
	WIRE_MESSAGE, /* *ret is the caller's */
	WIRE_NOTHING, /* would block */
	WIRE_END, /* the other side is gone */
	WIRE_BROKEN, /* not what a message may be; *err says how */
};

/* A new message of that name; the caller puts it. */
struct json_object *wire_new(const char *m);

/* Never raises SIGPIPE. flags: MSG_DONTWAIT or 0. */
int wire_send(int fd, struct json_object *message, int flags,
	      struct mh_err *err) MH_MUST_CHECK;
/* At most max_bytes, which is at most WIRE_CHANNEL_MAX_BYTES. *ret_m borrows. */
enum wire_got wire_receive(int fd, size_t max_bytes, int flags, struct json_object **ret,
			   const char **ret_m, struct mh_err *err) MH_MUST_CHECK;

#endif
