/*
 * What millhand-archive says in the end: one line of JSON on descriptor 3, or on standard
 * error where that is not open.
 *
 *	struct report r = { .bytes = 0 };
 *	report_find_fd(&r);             before anything is opened
 *	... fill bytes, entries, sha256 ...
 *	return report_send(&r, "millhand-archive", rc == 0 ? NULL : &err);
 */
#ifndef MH_ARCHIVE_REPORT_H
#define MH_ARCHIVE_REPORT_H

#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/sha256.h"

struct report {
	int fd;
	uint64_t bytes; /* of content (unpack), of the archive (pack) */
	uint64_t entries;
	char sha256[SHA256_HEX_SIZE]; /* of the archive */
};

void report_find_fd(struct report *r);

/* failure: NULL when all went well, and then the numbers count. Answers the exit code. */
int report_send(const struct report *r, const char *program,
		const struct mh_err *failure);

#endif
