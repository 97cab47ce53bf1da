/*
 * Judging the names in an archive, and showing them.
 *
 *	char *path = NULL;
 *	if (name_judge(&rules, raw, raw_len, &path, err) != 0) ...   unsafe or limit
 *
 * The judged path is relative, has no "." or ".." components, no doubled and no
 * trailing slashes, and holds no control characters: joined to a directory it
 * names something beneath it. "" is that directory itself (tar's "./").
 *
 * A backslash is a letter on this system, and real trees hold it (systemd's
 * "dev-disk\x2d1.swap"), so it may stand in a name; but no name may climb, be
 * absolute or name a drive when the backslash is read as a separator, and
 * archives made on DOS and Windows, where it is one, may not use it at all.
 */
#ifndef MH_ARCHIVE_NAMES_H
#define MH_ARCHIVE_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/err.h"

#define NAME_PART_MAX 255 /* bytes of one component: what file systems take */
#define NAME_PATH_MAX 4095 /* bytes of a whole name or link target: PATH_MAX */

struct name_rules {
	unsigned depth_max; /* components */
	bool dos; /* the archive comes from a system with backslashes */
};

/* *ret is the caller's to free. */
int name_judge(const struct name_rules *rules, const char *raw, size_t len, char **ret,
	       struct mh_err *err) MH_MUST_CHECK;

/* The same rules for where a symbolic link points, as far as they can be told from
 * the text alone; tree_check_links() follows the path. */
int name_judge_target(const char *raw, size_t len, struct mh_err *err) MH_MUST_CHECK;

#define NAME_SHOWN_SIZE 200
/* The bytes fit for a message: quoted, controls and broken UTF-8 as \xNN, long names
 * cut. Answers out. */
const char *name_show(char out[NAME_SHOWN_SIZE], const char *raw, size_t len);
/* The same in an expression: mh_err_set(err, cls, "%s: ...", NAME_SHOWN(raw, len)). */
#define NAME_SHOWN(raw, len) name_show((char[NAME_SHOWN_SIZE]){ 0 }, (raw), (len))

#endif
