#include "agent/archive/out.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/fsio.h"
#include "lib/base/str.h"

void out_init(struct out *o, int fd)
{
	*o = (struct out){ .fd = fd, .block = mh_alloc(OUT_BLOCK) };
	sha256_init(&o->hash);
}

void out_done(struct out *o)
{
	free(STEAL_PTR(o->block));
}

static int write_now(struct out *o, const void *data, size_t len, struct mh_err *err)
{
	if (fs_write_fd(o->fd, data, len, err) != 0)
		return mh_err_wrap(err, "the archive");
	sha256_update(&o->hash, data, len);
	return 0;
}

int out_flush(struct out *o, struct mh_err *err)
{
	size_t len = o->used;

	o->used = 0;
	return len ? write_now(o, o->block, len, err) : 0;
}

int out_write(struct out *o, const void *data, size_t len, struct mh_err *err)
{
	if (len == 0)
		return 0;
	if (len > OUT_BLOCK - o->used && out_flush(o, err) != 0)
		return -1;
	o->bytes += len;
	if (len >= OUT_BLOCK)
		return write_now(o, data, len, err);
	memcpy(o->block + o->used, data, len);
	o->used += len;
	return 0;
}

void out_sha256(struct out *o, char ret_hex[SHA256_HEX_SIZE])
{
	unsigned char digest[SHA256_SIZE];

	sha256_final(&o->hash, digest);
	str_hex(digest, sizeof digest, ret_hex);
}
