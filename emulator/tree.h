/* Copies of directories: for snapshots. */
#ifndef MH_EMULATOR_TREE_H
#define MH_EMULATOR_TREE_H

#include <stdbool.h>

#include "lib/base/err.h"

/*
 * Everything under `from` also under `to`, which is made when it is not there: ordinary
 * files, directories and symbolic links; what is there already stays. link: files are
 * hard links where that can be, which is right for files that never change.
 */
int tree_copy(const char *from, const char *to, bool link,
	      struct mh_err *err) MH_MUST_CHECK;

#endif
