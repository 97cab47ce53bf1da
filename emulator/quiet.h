/* Waits until the emulator's own workers have nothing in hand and nothing to do. */
#ifndef MH_EMULATOR_QUIET_H
#define MH_EMULATOR_QUIET_H

#include "emulator/writer.h"

/* Conflict (409) when they are still at it after ms (real time); ServiceUnavailable
 * (503) when the server stops. */
int quiet_wait(struct writer *writer, struct bell *bell, int64_t ms,
	       struct api_error *err) MH_MUST_CHECK;

#endif
