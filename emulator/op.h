/*
 * What an operation sees. An operation is one function from validated input to
 * output; it runs in the writer thread, inside a savepoint of the open
 * transaction, and touches no clock, random source, file or socket but through
 * its context (design section 6). The engine's functions take the same context.
 */
#ifndef MH_EMULATOR_OP_H
#define MH_EMULATOR_OP_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/json.h"
#include "lib/base/str.h"

struct store;
struct settings;
struct creds_key;
struct vclock;

/* An error as the API tells it: code, HTTP status, message. */
struct api_error {
	int status; /* 400 for every modelled exception (semantics A7) */
	enum mh_err_class cause; /* of InternalFailure; else MH_OK */
	char code[80];
	char message[4096];
};

/* Fills *err with status 400; answers -1. code is the full name with "Exception". */
int api_fail(struct api_error *err, const char *code, const char *fmt, ...)
	MH_PRINTF(3, 4);
/* InternalFailure, 500, for what should not happen (a store error). Answers -1. */
int api_fail_internal(struct api_error *err, const struct mh_err *cause);

/* Random things, injected: a seeded source makes runs repeatable. */
struct ids {
	void (*uuid)(struct ids *self, char out[STR_UUID_SIZE]);
	/* n characters of A-Za-z0-9, NUL-terminated (artifact keys, semantics E19). */
	void (*name)(struct ids *self, size_t n, char *out);
	uint64_t seed; /* used by the seeded source */
};
extern struct ids
	ids_random; /* from libsodium: the operating system, or a seed (chance.h) */
void ids_init_seeded(struct ids *ids, uint64_t seed);

struct op_ctx {
	struct store *store; /* inside an open transaction */
	int64_t now_ms; /* the emulator's time of this call: real or virtual (vclock.h) */
	struct ids *ids;
	const struct settings *settings;
	const struct creds_key *creds_key; /* seals job credentials and secret
					      configuration, tags page tokens */
	const char *base_url; /* how the caller reaches this server, for URLs that it is
				 told ("http://127.0.0.1:4599"); NULL: not over HTTP */
	const char *caller_arn; /* of the request's access key; "" for the engine's own
				   calls */
	bool wake_builtin; /* set: after the commit, built-in workers look for work */
	bool sources_changed; /* set: after the commit, the watcher of sources looks which
				 there are */
	uint64_t new_work; /* op_work_bit()s: after the commit, whoever waits for jobs of
			      these types looks */
	bool changed; /* set: the state of an execution, stage or action changed; after
			 the commit, the bell rings */
	/* For the admin interface alone; NULL in tests of operations. */
	struct vclock *clock;
	struct settings *knobs; /* what `settings` points to, for changing its knobs */
};

/* The bit that stands for a type ("Build/Custom/Make/1"). Some share one: who waits for
 * the other looks in vain. */
uint64_t op_work_bit(const char *type);

struct op {
	const char *name; /* as in the service model */
	/* *out starts as an empty object, owned by the caller; 0, or -1 with *err set
	 * (the savepoint is rolled back). */
	int (*run)(struct op_ctx *ctx, struct json_object *in, struct json_object *out,
		   struct api_error *err);
};
/* Sorted by name, ends with a NULL name; all operations of the model are there. */
extern const struct op op_table[];

#endif
