/*
 * The pipeline engine (semantics E): what happens to executions, stages, actions
 * and jobs when something occurs. Functions of (transaction, now, ids) alone.
 * Operations (emulator/api/) translate between the API and these functions.
 */
#ifndef MH_EMULATOR_ENGINE_ENGINE_H
#define MH_EMULATOR_ENGINE_ENGINE_H

#include "emulator/builtin.h"
#include "emulator/op.h"

/* For writer_options. */
int engine_fire_due(struct op_ctx *ctx, bool *ret_fired, struct api_error *err);
int64_t engine_next_due(struct op_ctx *ctx);

#endif
