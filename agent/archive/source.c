#include "agent/archive/source.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include <sodium.h>

#include "lib/base/sha256.h"
#include "lib/base/str.h"

#define TAR_BLOCK 512

int source_open(struct source *s, int fd, struct mh_err *err)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return mh_err_sys(err, "the archive on standard input");
	if (!S_ISREG(st.st_mode))
		return mh_err_set(
			err, MH_E_SYS,
			"standard input is not a regular file: a zip archive is "
			"read from its end; use `<archive.zip`, not a pipe");
	*s = (struct source){ .fd = fd, .size = (uint64_t)st.st_size };
	return 0;
}

int source_read_at(const struct source *s, uint64_t offset, void *data, size_t len,
		   struct mh_err *err)
{
	char *p = data;

	if (offset > s->size || len > s->size - offset)
		return mh_err_set(err, MH_E_PROTO, "the archive ends too early");
	while (len) {
		ssize_t n = pread(s->fd, p, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return mh_err_sys(err, "read the archive");
		if (n == 0)
			return mh_err_set(err, MH_E_PROTO, "the archive ends too early");
		p += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

int source_sha256(const struct source *s, char ret_hex[SOURCE_SHA256_SIZE],
		  struct mh_err *err)
{
	CLEAN(free) unsigned char *block = mh_alloc(STREAM_BLOCK);
	unsigned char digest[SHA256_SIZE];
	struct sha256 state;

	sha256_init(&state);
	for (uint64_t at = 0; at < s->size;) {
		uint64_t left = s->size - at;
		size_t n = left < STREAM_BLOCK ? (size_t)left : STREAM_BLOCK;

		if (source_read_at(s, at, block, n, err) != 0)
			return -1;
		sha256_update(&state, block, n);
		at += n;
	}
	sha256_final(&state, digest);
	str_hex(digest, sizeof digest, ret_hex);
	return 0;
}

/* A tar header's own checksum: the sum of its bytes, the field itself as blanks. */
static bool is_tar_header(const unsigned char block[TAR_BLOCK])
{
	unsigned long sum = 0, want = 0;
	size_t i = 148;

	while (i < 156 && block[i] == ' ')
		i++;
	for (; i < 156 && block[i] >= '0' && block[i] <= '7'; i++)
		want = want * 8 + (unsigned long)(block[i] - '0');
	for (i = 0; i < TAR_BLOCK; i++)
		sum += i >= 148 && i < 156 ? ' ' : block[i];
	return sum == want;
}

int source_detect(const struct source *s, enum source_format *ret, struct mh_err *err)
{
	unsigned char block[TAR_BLOCK] = { 0 };
	size_t n = s->size < sizeof block ? (size_t)s->size : sizeof block;

	if (n == 0)
		return mh_err_set(err, MH_E_PROTO, "the archive is empty (0 bytes)");
	if (source_read_at(s, 0, block, n, err) != 0)
		return -1;
	if (n >= 4 &&
	    (memcmp(block, "PK\3\4", 4) == 0 || memcmp(block, "PK\5\6", 4) == 0))
		*ret = SOURCE_ZIP;
	else if (n >= 3 && memcmp(block, "\x1f\x8b\x08", 3) == 0)
		*ret = SOURCE_TAR_GZ;
	else if (n == sizeof block &&
		 (is_tar_header(block) || sodium_is_zero(block, sizeof block)))
		*ret = SOURCE_TAR; /* all zeros: a tar without members */
	else
		return mh_err_set(err, MH_E_PROTO,
				  "this is no zip, tar or tar.gz archive (%llu bytes)",
				  (unsigned long long)s->size);
	return 0;
}

int stream_new(const struct source *source, bool gzip,
	       const struct archive_limits *limits, struct stream **ret,
	       struct mh_err *err)
{
	struct stream *st = mh_alloc(sizeof *st);

	st->source = source;
	st->limits = limits;
	st->gzip = gzip;
	if (gzip && inflateInit2(&st->z, 15 + 16) != Z_OK) { /* + 16: gzip alone */
		free(st);
		return mh_err_set(err, MH_E_SYS, "zlib cannot start");
	}
	*ret = st;
	return 0;
}

void stream_free(struct stream *st)
{
	if (st && st->gzip)
		(void)inflateEnd(&st->z); /* only frees */
	free(st);
}

static int refill(struct stream *st, void *data, size_t *ret_len, struct mh_err *err)
{
	uint64_t left = st->source->size - st->at;
	size_t n = left < STREAM_BLOCK ? (size_t)left : STREAM_BLOCK;

	if (source_read_at(st->source, st->at, data, n, err) != 0)
		return -1;
	st->at += n;
	*ret_len = n;
	return 0;
}

/* After a member: zeros may pad the file, another member may follow. */
static int skip_padding(struct stream *st, struct mh_err *err)
{
	while (st->z.avail_in && *st->z.next_in == 0) {
		st->z.next_in++;
		st->z.avail_in--;
	}
	if (st->z.avail_in && *st->z.next_in != 0x1f)
		return mh_err_set(err, MH_E_PROTO,
				  "there is garbage after the gzip data");
	return 0;
}

static int inflate_some(struct stream *st, size_t *ret_len, struct mh_err *err)
{
	int rc;

	st->z.next_out = st->out;
	st->z.avail_out = sizeof st->out;
	rc = inflate(&st->z, Z_NO_FLUSH);
	if (rc == Z_MEM_ERROR)
		return mh_err_set(err, MH_E_SYS, "zlib has no memory");
	if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR)
		return mh_err_set(err, MH_E_PROTO, "the gzip data is damaged (%s)",
				  st->z.msg ? st->z.msg : "it asks for a dictionary");
	st->in_member = rc != Z_STREAM_END;
	if (rc == Z_STREAM_END) {
		st->members++;
		(void)inflateReset(&st->z); /* fails only for a stream that is none */
	}
	*ret_len = sizeof st->out - st->z.avail_out;
	return 0;
}

/* Input for inflate; *ret_more is false at the proper end of the file. */
static int gzip_input(struct stream *st, bool *ret_more, struct mh_err *err)
{
	while (st->z.avail_in == 0) {
		size_t got;

		if (refill(st, st->in, &got, err) != 0)
			return -1;
		if (got == 0 && st->in_member)
			return mh_err_set(err, MH_E_PROTO,
					  "the gzip data ends too early");
		if (got == 0) {
			*ret_more = false;
			return 0;
		}
		st->z.next_in = st->in;
		st->z.avail_in = (uInt)got;
		if (!st->in_member && st->members && skip_padding(st, err) != 0)
			return -1;
	}
	*ret_more = true;
	return 0;
}

static int gunzip(struct stream *st, size_t *ret_len, struct mh_err *err)
{
	bool more = true;
	size_t n = 0;

	while (n == 0) {
		if (!st->in_member && st->members && skip_padding(st, err) != 0)
			return -1;
		if (gzip_input(st, &more, err) != 0)
			return -1;
		if (!more)
			break;
		st->in_member = true;
		if (inflate_some(st, &n, err) != 0)
			return -1;
	}
	*ret_len = n;
	return 0;
}

int stream_next(struct stream *st, const void **ret_data, size_t *ret_len,
		struct mh_err *err)
{
	size_t len = 0, end;

	if ((st->gzip ? gunzip(st, &len, err) : refill(st, st->out, &len, err)) != 0)
		return -1;
	for (end = len; end && st->out[end - 1] == 0;)
		end--;
	if (end)
		st->data_end = st->total + end;
	st->total += len;
	if (st->gzip &&
	    archive_limits_ratio(st->limits, st->total, st->source->size, err) != 0)
		return -1;
	*ret_data = st->out;
	*ret_len = len;
	return 0;
}
