/*
 * Which bucket and which key a request names. The request target comes raw;
 * it is split first and decoded after, so an encoded slash stays part of a key.
 * Keys are data: they never become paths.
 */
#ifndef MH_EMULATOR_S3_TARGET_H
#define MH_EMULATOR_S3_TARGET_H

#include <stdbool.h>

#include "lib/net/uri.h"

#define S3_KEY_MAX_BYTES 1024

struct target {
	char *path; /* raw, begins with '/', as signed */
	char *bucket; /* decoded; NULL for the service itself */
	char *key; /* decoded; NULL for a bucket */
	struct uri_query query;
};

/* host is the Host header or NULL: "<bucket>.s3.<anything>", "<bucket>.s3-..." and
 * "<bucket>.localhost" name the bucket there (virtual-host style). PROTO for a broken
 * escape, for a key that is not UTF-8. */
int target_parse(const char *raw_target, const char *host, struct target *ret,
		 struct mh_err *err) MH_MUST_CHECK;
void target_done(struct target *t);

/* S3's naming rules: 3 to 63 of a-z 0-9 . -, letter or digit at both ends, no two
 * dots together, no IPv4 address. */
bool bucket_name_is_valid(const char *name);

#endif
