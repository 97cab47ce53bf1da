/*
 * Requests and answers held against the service model (semantics A9): a new operation
 * adds no validation code.
 */
#ifndef MH_EMULATOR_VALIDATE_H
#define MH_EMULATOR_VALIDATE_H

#include "emulator/model.h"
#include "emulator/op.h"

/*
 * A request's input. Wrong JSON types are a SerializationException; a missing required
 * member, a length, range, enumeration or pattern that does not hold, a
 * ValidationException that lists every violation in AWS's words. Members the model
 * does not know are ignored, null counts as absent (semantics A4): both are taken out
 * of *in when it is well, so that an operation may keep what it got.
 */
int validate_input(const struct shape *shape, struct json_object *in,
		   struct api_error *err) MH_MUST_CHECK;
/* The taking out, at every depth. */
void validate_prune(const struct shape *shape, struct json_object *v);

/*
 * An answer of ours: the same rules, and neither unknown members nor nulls. shape NULL:
 * it must be empty. PROTO with the violations' paths, never with values (they may be
 * secret).
 */
int validate_output(const struct shape *shape, struct json_object *out,
		    struct mh_err *err) MH_MUST_CHECK;
/* An operation's refusal (status 400): one of the errors that it declares, or
 * ValidationException, and with a message. PROTO when it is not. */
int validate_error(const struct model_op *op, const struct api_error *refusal,
		   struct mh_err *err) MH_MUST_CHECK;

#endif
