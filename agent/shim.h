/*
 * The shim of one job (agent/job): starting it, finding it again after a restart
 * of the agent, and the messages on its socket (docs/architecture.md).
 *
 *	shim_start(&start, &events, &shim, &err);
 *	shim_adopt(loop, dir_fd, pid, &events, &shim, &err);
 *	events.message(ctx, doc)     one datagram, checked to be a JSON object
 *	events.ended(ctx)            once: the process is gone; look for its result
 *	shim_free(shim);             stops looking; the process lives on
 *
 * The agent connects to the socket the shim inherits, right at the start too, so
 * there is one way to talk to a shim and no second one to go wrong. The end of
 * the process is seen on its pidfd, whoever its parent is.
 */
#ifndef MH_AGENT_SHIM_H
#define MH_AGENT_SHIM_H

#include <json-c/json.h>
#include <sys/types.h>

#include "agent/zygote.h"
#include "lib/base/err.h"
#include "lib/net/loop.h"

struct shim;

struct shim_events {
	void (*message)(void *ctx, struct json_object *doc); /* doc is borrowed */
	void (*ended)(void *ctx); /* may call shim_free() */
	void *ctx;
};

struct shim_start {
	struct loop *loop;
	struct zygote *zygote; /* borrowed */
	const char *spec; /* its JSON; goes into a sealed memory file */
	int dir_fd; /* the job's directory; borrowed */
	int *listen_fd; /* the caller's: where it is to listen; -1: made, and left open */
	int keep_fd; /* a lock that the shim keeps to its end; borrowed; -1: none */
};

/* VERSION when the kernel, or who filters its calls, gives no pidfds. Once, before jobs
 * are taken. */
int shim_check_kernel(struct mh_err *err) MH_MUST_CHECK;

/* -1: nothing was started. */
int shim_start(const struct shim_start *start, const struct shim_events *events,
	       struct shim **ret, struct mh_err *err) MH_MUST_CHECK;

/* pid: who holds the job's lock. NOTFOUND when that process is gone meanwhile. */
int shim_adopt(struct loop *loop, int dir_fd, pid_t pid, const struct shim_events *events,
	       struct shim **ret, struct mh_err *err) MH_MUST_CHECK;

/* Sends one message; a shim that cannot take it is not waited for. False then. */
bool shim_send(struct shim *shim, struct json_object *doc);

/* For a shim that takes no messages: SIGTERM, which it takes for the host going down,
 * ends its job, and leaves a result. False when it cannot be sent. */
bool shim_terminate(struct shim *shim);

/* For a shim that does not do its work: SIGKILL. Its handler dies with it. */
void shim_kill(struct shim *shim);

pid_t shim_pid(const struct shim *shim);
void shim_free(struct shim *shim);

#endif
