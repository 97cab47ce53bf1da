/*
 * The admin interface: what testers do to the emulator, under /_millhand/admin/. Off
 * unless the setting `admin` turns it on; it answers clients on the loopback interface
 * alone unless `admin_remote` says otherwise. JSON in and out; one error for bad input.
 *
 *	admin_new(&options, &admin)
 *	admin_serve(admin, &request, &answer, &err)    in a connection's thread
 *	admin_free(admin)                              nobody is served any more
 *
 * A concern is a file: its handlers, and a row for each in the table of routes
 *(routes.c). A handler runs in the thread of its connection and may wait; what it does to
 *the store it does by writer_call(), as everybody.
 */
#ifndef MH_EMULATOR_ADMIN_ADMIN_H
#define MH_EMULATOR_ADMIN_ADMIN_H

#include <stdbool.h>

#include "emulator/bell.h"
#include "emulator/settings.h"
#include "emulator/writer.h"

#define ADMIN_PREFIX "/_millhand/admin/"

/* All borrowed. */
struct admin_options {
	const struct settings *settings;
	struct writer *writer;
	struct bell *bell;
	struct faults *faults;
	/* As in writer_options: the virtual clock goes from timer to timer. */
	int (*fire_due)(struct op_ctx *ctx, bool *ret_fired, struct api_error *err);
	int64_t (*next_due)(struct op_ctx *ctx);
};

struct admin;

void admin_new(const struct admin_options *options, struct admin **ret);
void admin_free(struct admin *a);

struct admin_request {
	const char *method;
	const char *path; /* behind ADMIN_PREFIX, without the query, not decoded */
	const char *body; /* JSON; nothing counts as {} */
	size_t body_len;
	const char *caller_arn;
	bool local; /* from the loopback interface */
};
/* *ret: the answer, an object, the caller's. 400 ValidationException or
 * SerializationException, 403 AccessDenied, 404 NotFound, 405 MethodNotAllowed, 409
 * Conflict, and what a handler says. */
int admin_serve(struct admin *a, const struct admin_request *request,
		struct json_object **ret, struct api_error *err) MH_MUST_CHECK;

/* ---- for the handlers ---- */

struct admin_call {
	struct admin *admin;
	struct json_object *in; /* an object, never NULL */
	const char *name; /* what stands for "*" in the path, decoded; else NULL */
	const char *caller_arn;
};

/* A row of the table. `out` starts as an empty object. */
struct admin_route {
	const char *method;
	const char *path; /* "clock/advance"; one segment may be "*" */
	int (*handle)(const struct admin_call *call, struct json_object *out,
		      struct api_error *err);
};
/* Ends with a NULL method. */
extern const struct admin_route admin_routes[];

const struct admin_options *admin_options_of(const struct admin *a);
/* Held while a handler does what must not be done by two at a time. */
void admin_lock(struct admin *a);
void admin_unlock(struct admin *a);

/* Runs in the writer: 0, or -1 with *err. */
int admin_write(const struct admin_call *call, writer_fn fn, void *arg,
		struct api_error *err) MH_MUST_CHECK;

/* Errors with a status of their own; answer -1. */
int admin_fail(struct api_error *err, int status, const char *code, const char *fmt, ...)
	MH_PRINTF(4, 5);

/* ---- input: each says what is wrong in one ValidationException ---- */

/* No members but these (NULL ends them). */
int admin_only(struct json_object *in, const char *const *names,
	       struct api_error *err) MH_MUST_CHECK;
/* *ret keeps its value when the member is absent; *ret_given may be NULL. */
int admin_i64(struct json_object *in, const char *key, int64_t min, int64_t max,
	      int64_t *ret, bool *ret_given, struct api_error *err) MH_MUST_CHECK;
int admin_bool(struct json_object *in, const char *key, bool *ret, bool *ret_given,
	       struct api_error *err) MH_MUST_CHECK;
int admin_number(struct json_object *in, const char *key, double min, double max,
		 double *ret, bool *ret_given, struct api_error *err) MH_MUST_CHECK;
/* Borrowed from `in`; at most max_bytes. */
int admin_str(struct json_object *in, const char *key, size_t max_bytes, const char **ret,
	      struct api_error *err) MH_MUST_CHECK;
int admin_object(struct json_object *in, const char *key, struct json_object **ret,
		 struct api_error *err) MH_MUST_CHECK;
/* "<key>" as 2026-01-31T12:34:56Z, or "<key>_ms" since 1970; not both. */
int admin_time(struct json_object *in, const char *key, int64_t *ret_ms, bool *ret_given,
	       struct api_error *err) MH_MUST_CHECK;
/* "<key>": "2026-...Z" and "<key>_ms". */
void admin_put_time(struct json_object *out, const char *key, int64_t ms);

#endif
