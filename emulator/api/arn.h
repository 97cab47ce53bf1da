/*
 * ARNs of what can have tags (semantics B):
 *
 *	arn:aws:codepipeline:REGION:ACCOUNT:name				a pipeline
 *	arn:aws:codepipeline:REGION:ACCOUNT:actiontype:Custom/Category/Provider/Version
 *	arn:aws:codepipeline:REGION:ACCOUNT:webhook:name
 */
#ifndef MH_EMULATOR_API_ARN_H
#define MH_EMULATOR_API_ARN_H

#include "emulator/op.h"
#include "emulator/store/tags.h"

/* The caller frees them. */
char *arn_of_pipeline(struct op_ctx *ctx, const char *name);
char *arn_of_webhook(struct op_ctx *ctx, const char *name);

/* InvalidArnException: not of these forms, or of another region or account. */
int arn_parse(struct op_ctx *ctx, const char *arn, struct tagged *ret,
	      struct api_error *err);

#endif
