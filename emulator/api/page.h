/*
 * nextToken: opaque, bound to operation and query, tamper-evident. An offset
 * would skip or repeat rows when new ones arrive; a token therefore holds the
 * key of the last row given out.
 */
#ifndef MH_EMULATOR_API_PAGE_H
#define MH_EMULATOR_API_PAGE_H

#include "emulator/op.h"

/* The token that continues after `last_key` (any text up to 300 bytes) in the listing
 * `what` (operation name plus whatever the query filters by). The caller frees it. */
char *page_token(struct op_ctx *ctx, const char *what, const char *last_key);
/* *ret_last_key is NULL when token is NULL (first page). InvalidNextTokenException. */
int page_open(struct op_ctx *ctx, const char *what, const char *token,
	      char **ret_last_key, struct api_error *err);

#endif
