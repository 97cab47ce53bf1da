/*
 * How a job ended, in the form the ledger keeps and the API takes.
 *
 * The shim's result.json is read as hostile: outcome_from_result() checks every
 * member, holds texts to the API's limits at character boundaries (D16), drops
 * variables beside a token with a word in `note` (D17), and turns what can never
 * be accepted into a failure here, once, so that no report is refused for its
 * form later.
 *
 * The text is one JSON object:
 *	{"kind":"success","summary":..,"percent":..,"external_id":..,"revision":{..},
 *	 "variables":{..},"outputs":[{"name":..,"file":..,"size":..,"sha256":..}]}
 *	{"kind":"continuation","token":..,"delay_ms":..,"summary":..,...}
 *	{"kind":"failure","type":"JobFailed","message":"..","external_id":..}
 */
#ifndef MH_AGENT_OUTCOME_H
#define MH_AGENT_OUTCOME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <json-c/json.h>

#include "lib/base/err.h"

enum outcome_kind {
	OUTCOME_NONE,
	OUTCOME_SUCCESS,
	OUTCOME_FAILURE,
	OUTCOME_CONTINUATION
};
const char *outcome_kind_name(enum outcome_kind kind);
bool outcome_kind_parse(const char *name, enum outcome_kind *ret);

/* The API's six, by the names it uses. */
#define FAIL_JOB         "JobFailed"
#define FAIL_CONFIG      "ConfigurationError"
#define FAIL_PERMISSION  "PermissionError"
#define FAIL_OUT_OF_SYNC "RevisionOutOfSync"
#define FAIL_REVISION    "RevisionUnavailable"
#define FAIL_SYSTEM      "SystemUnavailable"

struct outcome {
	enum outcome_kind kind;
	char *text; /* owned */
	const char *failure; /* FAIL_*; NULL unless a failure */
	int64_t delay_ms; /* continuation */
	size_t outputs; /* success: how many files are to be stored */
	char note[160]; /* what was dropped or cut, "" when nothing; for the log */
};
void outcome_done(struct outcome *o);
static inline void clean_outcome(struct outcome *o)
{
	outcome_done(o);
}

/* What the job declared, to hold a result against. */
struct outcome_expect {
	const char *const
		*outputs; /* names of the job's output artifacts; NULL: not known here */
	size_t output_count;
	int64_t outputs_min; /* of the action entry: so many must be there */
	int64_t n; /* the job's number; 0: any */
	bool no_variables; /* a third party's: its operation takes none */
};

/* The result.json of a shim. PROTO when it is not one. */
int outcome_from_result(const char *text, size_t len, const struct outcome_expect *expect,
			struct outcome *ret, struct mh_err *err) MH_MUST_CHECK;

/* A failure of our own; type is one of FAIL_*, message is cut to fit. */
void outcome_failure(const char *type, const char *message, struct outcome *ret);

/* One that was kept in the ledger. PROTO when damaged. */
int outcome_parse(const char *text, struct outcome *ret,
		  struct mh_err *err) MH_MUST_CHECK;

/* One output of a success: borrowed from doc. */
struct outcome_output {
	const char *name, *file, *sha256;
	int64_t size;
};
/* The text as a document; the caller owns it. */
int outcome_doc(const char *text, struct json_object **ret,
		struct mh_err *err) MH_MUST_CHECK;
int outcome_output_at(struct json_object *doc, size_t i, struct outcome_output *ret,
		      struct mh_err *err) MH_MUST_CHECK;
/* The body of PutJobSuccessResult or PutJobFailureResult for it; the caller owns it. */
struct json_object *outcome_put_body(struct json_object *doc,
				     const char *job_id) MH_MUST_CHECK;

#endif
