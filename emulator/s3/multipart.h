/*
 * Multipart uploads. Each part is a file with a row of its own (emulator/store/
 * multipart.h); completing copies the parts into one file, and one transaction puts
 * the object's row and takes the upload's away.
 */
#ifndef MH_EMULATOR_S3_MULTIPART_H
#define MH_EMULATOR_S3_MULTIPART_H

#include "emulator/s3/private.h"
#include "emulator/store/multipart.h"

#define PARTS_MAX           S3_PARTS_MAX
#define MULTIPART_ALGORITHM "x-amz-checksum-algorithm"

/* The request's uploadId, or "". */
const char *multipart_id(struct s3_request *r);
/* In the writer thread. NoSuchUpload when there is none for that object. */
int multipart_need(struct op_ctx *ctx, const char *id, const struct target *t,
		   struct multipart_row *ret, struct api_error *err);

struct file_list {
	char **ids; /* owned */
	size_t count;
};
/* In the writer thread: takes the upload's rows away; files says what to remove after
 * the commit. */
int multipart_drop(struct op_ctx *ctx, const char *id, struct file_list *files,
		   struct api_error *err);
/* Frees the list; removes the files when they are of no use any more. */
void file_list_done(struct s3 *s3, struct file_list *files, bool remove);

#endif
