/*
 * Makes a failing random run short. A run is a list of steps by their numbers; each plays
 * the same dice whatever was played before it, so any of them can be left out.
 *
 *	count = shrink(steps, count, still_fails, arg, 60000);
 */
#ifndef MH_TESTS_UNIT_SHRINK_H
#define MH_TESTS_UNIT_SHRINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Leaves out, in place, whatever the failure does not need: first halves, then ever
 * smaller pieces, single steps at last. The whole list must fail. Answers how many are
 * left: none of them can go without the failure, unless the time was over. */
size_t shrink(uint32_t *steps, size_t count,
	      bool (*fails)(void *arg, const uint32_t *steps, size_t count), void *arg,
	      int64_t budget_ms);

/* Runs this program once more in a process of its own, with `script` in MH_SCRIPT
 * (NULL: as it is) and its output in the file `output` (NULL: nowhere). Whether it
 * failed. */
bool shrink_rerun(const char *script, const char *output);

#endif
