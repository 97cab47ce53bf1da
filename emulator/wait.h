/*
 * GET /_millhand/wait?types=Build/Custom/Make/1,...&seconds=20 (design section 6): where
 * workers sleep until there is work, instead of polling blind.
 *
 *	{"types":["Build/Custom/Make/1"]}
 *
 * are those of the asked types for which PollForJobs has a job: at once when there is
 * one, else as soon as there is, else none after so many seconds. Nothing is handed out:
 * an ordinary PollForJobs follows, and may find that somebody was quicker, or that the
 * job's queryable property has another value.
 *
 * A waiting thread sleeps on a descriptor of its own. The writer wakes it after a commit
 * that created a job of one of its types (op_work_bit); jobs that become visible by the
 * clock alone (offered again, continued with a delay) it finds by the time that its last
 * look at the store told. It also ends when the client goes away.
 *
 *	hub = wait_hub_new();                 writer_options.wake_workers = wait_hub_wake
 *	wait_for_work(hub, writer, &request, &types, &err);   in a connection's thread
 *	wait_hub_stop(hub);                   whoever waits is answered now
 *	wait_hub_free(hub);                   nobody waits any more
 */
#ifndef MH_EMULATOR_WAIT_H
#define MH_EMULATOR_WAIT_H

#include "emulator/writer.h"

#define WAIT_TYPES_MAX       64
#define WAIT_SECONDS_MAX     60
#define WAIT_SECONDS_DEFAULT 20

struct wait_hub;

struct wait_hub *wait_hub_new(void);
void wait_hub_free(struct wait_hub *hub);
/* How many may wait at the same time; none before this is said. */
void wait_hub_limit(struct wait_hub *hub, int limit);
/* For writer_options; types as in op_ctx.new_work. */
void wait_hub_wake(void *hub, uint64_t types);
void wait_hub_stop(struct wait_hub *hub);

struct wait_request {
	const char *types; /* of the query, decoded; NULL: absent */
	const char *seconds; /* likewise */
	int client_fd; /* the client's socket: watched for its end, not read */
};

/* *ret: an array of strings, the caller's. ValidationException; ServiceUnavailable (503)
 * when too many wait already. */
int wait_for_work(struct wait_hub *hub, struct writer *writer,
		  const struct wait_request *request, struct json_object **ret,
		  struct api_error *err) MH_MUST_CHECK;

#endif
