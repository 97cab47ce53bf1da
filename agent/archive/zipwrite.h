/*
 * A zip's records on their way out: what stands before and after a member's data, and in
 * the directory. 64-bit fields (zip64) come where numbers ask for them, and nowhere else.
 *
 *	struct zip_written m = { .size = ..., .packed = ..., .crc = ..., .method = ... };
 *	zip_write_local(&out, &m, node, path, err);      notes the place in m
 *	... exactly m.packed bytes ...
 *	... the other members ...
 *	dir_at = out.bytes;
 *	zip_write_entry(&out, &m, node, path, err);      each
 *	zip_write_end(&out, count, dir_at, err);
 *
 * A member whose packed size and checksum are not known before its data is written is
 * `deferred`: they are set after it, and zip_write_descriptor() follows the data.
 */
#ifndef MH_ARCHIVE_ZIPWRITE_H
#define MH_ARCHIVE_ZIPWRITE_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/archive/out.h"
#include "agent/archive/tree.h"
#include "lib/base/err.h"

struct zip_written {
	uint64_t at; /* local header */
	uint64_t size;
	uint64_t packed;
	uint32_t crc;
	uint16_t method; /* enum zip_method */
	bool deferred; /* packed and crc follow the data */
};

/* Of the node: type, mode and mtime_s. A directory's path gets its slash here. */
int zip_write_local(struct out *o, struct zip_written *m, const struct node *n,
		    const char *path, struct mh_err *err) MH_MUST_CHECK;
int zip_write_descriptor(struct out *o, const struct zip_written *m,
			 struct mh_err *err) MH_MUST_CHECK;
int zip_write_entry(struct out *o, const struct zip_written *m, const struct node *n,
		    const char *path, struct mh_err *err) MH_MUST_CHECK;
int zip_write_end(struct out *o, uint64_t count, uint64_t dir_at,
		  struct mh_err *err) MH_MUST_CHECK;

#endif
