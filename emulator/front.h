/*
 * The API's front: from the bytes of one request to the bytes of its answer, without
 * a socket. Order of judgement (semantics G22): wire, caller, service model, then the
 * operation itself in the writer.
 */
#ifndef MH_EMULATOR_FRONT_H
#define MH_EMULATOR_FRONT_H

#include "emulator/auth.h"
#include "emulator/model.h"
#include "emulator/writer.h"

#define FRONT_BODY_MAX     (1024 * 1024) /* bytes of JSON */
#define FRONT_CONTENT_TYPE "application/x-amz-json-1.1"

/* Borrowed by every request; read by many threads at once. */
struct front {
	const struct settings *settings;
	const struct model *model;
	struct writer *writer;
	const struct creds_key *creds_key; /* tells a job's credentials */
	struct watcher *watcher; /* NULL: nobody watches sources */
};

struct front_request {
	const char *target; /* X-Amz-Target, or NULL */
	const char *content_type; /* or NULL */
	const char *base_url; /* as in struct op_ctx */
	const char *body;
	size_t body_len;
	bool body_too_large; /* more than FRONT_BODY_MAX came; body is not looked at */
	/* Everything of it but the payload's hash, which is computed here. */
	struct sigv4_request *signed_request;
};

struct front_answer {
	int status;
	const char
		*operation; /* as the model names it, or "" when the target is unknown */
	char *body; /* owned; "" for the operations without output */
	struct api_error error; /* when status is not 200 */
};

void front_serve(const struct front *front, const struct front_request *request,
		 struct front_answer *ret);
void front_answer_done(struct front_answer *a);

/* The body of an error's answer; the caller frees it. */
char *front_error_body(const struct api_error *err);

#endif
