#include "agent/archive/stream.h"

#include <stdlib.h>

#include "lib/base/macros.h"

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
