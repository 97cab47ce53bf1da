/*
 * How a job ended, and what it says about itself on the way.
 *
 * The handler fills one of these through the functions it lends to the plugin, and
 * sends it over its channel; the shim fills another from those messages, which it
 * does not trust, and writes it as result.json (docs/architecture.md). Both use the
 * setters below, so that every limit stands in one place.
 *
 *	struct result r = RESULT_INIT;
 *	result_set_summary(&r, text, err) ...
 *	result_to_json(&r)    ->  result_from_json(&other, doc, err)
 *	result_done(&r);
 *
 * Setters answer -1 with PROTO and leave the result as it was.
 */
#ifndef MH_JOB_RESULT_H
#define MH_JOB_RESULT_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/json.h"

/* A continuation may be put off by this long at most. */
#define RESULT_DELAY_MAX_MS ((int64_t)24 * 60 * 60 * 1000)

enum result_kind {
	RESULT_NONE, /* the handler has not said yet */
	RESULT_SUCCESS,
	RESULT_CONTINUATION,
	RESULT_FAILURE,
};

struct result {
	enum result_kind kind;
	int failure; /* MH_FAIL_*, FAILURE only */
	char *message; /* FAILURE only */
	char *token; /* CONTINUATION only */
	int64_t delay_ms;

	char *summary; /* these may be NULL */
	int percent; /* -1: none */
	char *external_id;
	char *revision;
	char *change_id;
	char *revision_summary;
	int64_t created_ms;

	struct json_object *variables; /* name -> string; NULL while there are none */
	size_t variables_bytes;
};

#define RESULT_INIT                                                                      \
	{                                                                                \
		.kind = RESULT_NONE, .percent = -1                                       \
	}

void result_done(struct result *r);
static inline void clean_result(struct result *r)
{
	result_done(r);
}

/* CodePipeline's FailureType for MH_FAIL_*, NULL for any other number; and back,
 * 0 for any other text. */
const char *result_failure_name(int failure);
int result_failure_parse(const char *name);

/* Cut at a character when too long; must be UTF-8 and not empty. */
int result_set_summary(struct result *r, const char *text,
		       struct mh_err *err) MH_MUST_CHECK;
int result_set_percent(struct result *r, int64_t percent,
		       struct mh_err *err) MH_MUST_CHECK;
/* Refused when too long: a cut id is another id. */
int result_set_external_id(struct result *r, const char *id,
			   struct mh_err *err) MH_MUST_CHECK;
int result_set_revision(struct result *r, const char *revision, const char *change_id,
			const char *summary, int64_t created_ms,
			struct mh_err *err) MH_MUST_CHECK;
/* Replaces a variable of that name. */
int result_set_variable(struct result *r, const char *name, const char *value,
			struct mh_err *err) MH_MUST_CHECK;
/* Appends to it (or makes it): long values travel in pieces. */
int result_add_variable(struct result *r, const char *name, const char *piece,
			struct mh_err *err) MH_MUST_CHECK;
/* Answers whether there were any. */
bool result_drop_variables(struct result *r);

/* Outcomes. Each replaces the one before, but none replaces a failure. */
int result_succeed(struct result *r, struct mh_err *err) MH_MUST_CHECK;
int result_continue(struct result *r, const char *token, int64_t delay_ms,
		    struct mh_err *err) MH_MUST_CHECK;
/* Bytes that are no UTF-8 become '?': losing the failure would be worse. */
int result_fail(struct result *r, int failure, const char *message,
		struct mh_err *err) MH_MUST_CHECK;
/* The shim's word, over everything that was said before. */
void result_force_failure(struct result *r, int failure, const char *fmt, ...)
	MH_PRINTF(3, 4);

/* Without the variables. Caller puts. */
struct json_object *result_to_json(const struct result *r);
/* Checks every member, refuses unknown ones; r must be fresh, variables excepted. */
int result_from_json(struct result *r, struct json_object *doc,
		     struct mh_err *err) MH_MUST_CHECK;
/* summary, percent and external_id alone, as progress carries them. */
struct json_object *result_progress(const struct result *r);
int result_take_progress(struct result *r, struct json_object *doc,
			 struct mh_err *err) MH_MUST_CHECK;

/* The document that a program may leave (plugin.h, apply_result): all of it is taken,
 * or nothing. */
int result_apply_document(struct result *r, struct json_object *doc,
			  struct mh_err *err) MH_MUST_CHECK;

/* The text with every byte that is no UTF-8 as '?'. Caller frees. */
char *result_clean_text(const char *text, size_t len) MH_MUST_CHECK;

#endif
