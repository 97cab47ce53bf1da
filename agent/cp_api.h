/*
 * The CodePipeline operations a job worker needs: requests written, answers
 * checked as hostile, errors classified by code (semantics A6 to A8, A11).
 *
 *	cp_new(&options, &cp, &err);
 *	call = cp_poll(cp, &type, batch, query, done, ctx);
 *	...
 *	static void done(void *ctx, const struct cp_answer *a) { switch (a->result) ... }
 *
 * A call is retried here only where the service certainly did nothing, at once
 * and once: after a clock-skew error that taught us the right time, and after
 * refused credentials when there are others by then. Everything else is the caller's.
 * While there are no credentials, a call waits for them; it fails with AUTH when the
 * next try at getting some does.
 */
#ifndef MH_AGENT_CP_API_H
#define MH_AGENT_CP_API_H

#include <json-c/json.h>

#include "agent/aws.h"
#include "agent/creds_store.h"
#include "agent/job.h"
#include "agent/jobdata.h"
#include "agent/settings.h"

#define CP_RESULTS(X)                                                                    \
	X(OK, ok)                                                                        \
	X(AGAIN, again) /* certainly not processed; later it may be */                   \
	X(THROTTLED, throttled) /* the same, and the service asks for patience */        \
	X(AUTH, auth) /* not processed: credentials or permissions */                    \
	X(UNKNOWN, unknown) /* may have been processed: no whole answer, or 5xx */       \
	X(NONCE, nonce) /* InvalidNonce */                                               \
	X(STATE, state) /* InvalidJobState */                                            \
	X(NOT_FOUND, not_found) /* JobNotFound */                                        \
	X(NO_TYPE, no_type) /* ActionTypeNotFound */                                     \
	X(CLIENT, client) /* no client token, or one that is refused: not processed */   \
	X(REFUSED, refused) /* understood, and refused for good */

enum cp_result {
#define X(name, text) CP_##name,
	CP_RESULTS(X)
#undef X
};
const char *cp_result_name(enum cp_result r);
struct cp_answer;
/* "ok", a code as this program knows it, or what kind of answer it was: for metrics,
 * so never a word of the endpoint's own. */
const char *cp_code_label(const struct cp_answer *a, long status);

struct cp_answer {
	enum cp_result result;
	struct json_object *body; /* OK: the object, borrowed; NULL for an empty answer */
	char code[80]; /* the service's error code, or "" */
	char request_id[64];
	struct mh_err err; /* set unless OK */
	int64_t asked_ms; /* what the server asked us to wait, or -1 */
	int64_t sent_wall_ms, sent_mono_ms; /* when the (last) request left */
};

struct cp;
struct cp_options {
	struct aws *aws; /* borrowed */
	const struct settings *settings; /* borrowed */
	struct creds_store *creds; /* borrowed */
	/* Told how each call ends, before its own callback; or NULL. */
	void (*heard)(void *ctx, enum cp_result result);
	void *heard_ctx;
};
int cp_new(const struct cp_options *o, struct cp **ret, struct mh_err *err) MH_MUST_CHECK;
/* Cancels what is under way, without callbacks. */
void cp_free(struct cp *cp);

struct cp_call;
typedef void (*cp_done_fn)(void *ctx, const struct cp_answer *a);

/* Any operation; body is borrowed. name is used in kill points: "<name>.send" before
 * the request leaves, "<name>.sent" after, "<name>.answer" when its answer was read. */
struct cp_op {
	const char *operation, *name;
	bool quick; /* ack_timeout applies, not api_timeout */
};
extern const struct cp_op cp_op_poll, cp_op_ack, cp_op_details, cp_op_put_success,
	cp_op_put_failure, cp_op_list_actions;
/* The same for a third party's jobs; each but the poll takes a clientToken. */
extern const struct cp_op cp_op_third_poll, cp_op_third_ack, cp_op_third_details,
	cp_op_third_put_success, cp_op_third_put_failure;
struct cp_call *cp_send(struct cp *cp, const struct cp_op *op, struct json_object *body,
			cp_done_fn done, void *ctx);
void cp_cancel(struct cp_call *call);

/* GET <endpoint>/_millhand/wait, signed as the operations are: answers when one of the
 * types ("Build/Custom/Make/1,...") has work, after so many seconds at the latest. For
 * agent_wait.c, which reads the answer; ends by done or aws_cancel(), the latest before
 * cp_free(). To be called only while there are credentials. */
struct aws_call *cp_wait(struct cp *cp, const char *types, int64_t seconds,
			 aws_done_fn done, void *ctx);

/* Bodies; the caller owns them. */
struct json_object *cp_poll_body(const struct action_settings *a,
				 int batch) MH_MUST_CHECK;
struct json_object *cp_ack_body(const char *job_id, const char *nonce) MH_MUST_CHECK;
struct json_object *cp_details_body(const char *job_id) MH_MUST_CHECK;
struct json_object *cp_list_actions_body(const char *pipeline, const char *execution_id,
					 const char *next_token) MH_MUST_CHECK;

/* --- answers ------------------------------------------------------------------ */

/* One offered job. */
struct cp_offer {
	char id[JOB_ID_SIZE];
	char nonce[JOB_NONCE_SIZE];
	struct jobdata *data; /* owned */
	char client_id[STR_UUID_SIZE]; /* a third party's has this and its id, no more */
};
/* Up to max offers of the wanted action type. What breaks a rule is left out and
 * counted in *ret_bad, the first reason in *why: one bad job does not cost the
 * good ones. PROTO when the answer as a whole makes no sense. */
int cp_read_offers(struct json_object *body, const struct action_settings *want,
		   size_t max, int64_t mono_ms, struct cp_offer *ret, size_t *ret_count,
		   size_t *ret_bad, struct mh_err *why, struct mh_err *err) MH_MUST_CHECK;

/* The status of an acknowledgement; borrowed from body. */
int cp_read_status(struct json_object *body, const char **ret,
		   struct mh_err *err) MH_MUST_CHECK;
/* The data of the job that was asked for. ret_nonce, borrowed from body, is for a third
 * party's offer, and NULL otherwise. */
int cp_read_details(struct json_object *body, const char *job_id, int64_t mono_ms,
		    struct jobdata **ret, const char **ret_nonce,
		    struct mh_err *err) MH_MUST_CHECK;
/* Whether the list says that this action execution was abandoned. */
bool cp_read_abandoned(struct json_object *body, const char *action_execution_id);

/* Exposed for tests: what an HTTP answer means. ret->body is then owned by the caller. */
struct cp_raw {
	long status; /* 0: no whole answer, `transport` says why */
	bool sent;
	const struct mh_err *transport;
	const char *body;
	size_t len;
	const char *error_type; /* x-amzn-ErrorType, or NULL */
};
void cp_classify(const struct cp_raw *raw, struct cp_answer *ret);

#endif
