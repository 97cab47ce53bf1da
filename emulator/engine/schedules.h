/* Scheduled starts, for the engine's timers. */
#ifndef MH_EMULATOR_ENGINE_SCHEDULES_H
#define MH_EMULATOR_ENGINE_SCHEDULES_H

#include "emulator/op.h"

/* Starts what the first due row is for; *ret_fired false when none is due. */
int schedule_fire(struct op_ctx *ctx, bool *ret_fired,
		  struct api_error *err) MH_MUST_CHECK;

#endif
