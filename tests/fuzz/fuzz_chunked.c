/* The aws-chunked body. However it is cut into pieces, the same bytes, signatures and
 * trailers come out, or the same refusal. */
#include "emulator/s3/chunked.h"
#include "tests/fuzz/fuzz.h"

#define OUT_MAX (1 << 20)

/* What came out of one run. */
struct got {
	struct buf data;
	int chunks;
};

static int take(void *ctx, const void *data, size_t len, struct mh_err *err)
{
	struct got *g = ctx;

	return buf_add(&g->data, data, len, err);
}

static int take_end(void *ctx, const char *signature, struct mh_err *err)
{
	struct got *g = ctx;

	(void)err; /* nothing is refused here */
	MH_ASSERT(strlen(signature) == 0 || strlen(signature) == 64);
	g->chunks++;
	return 0;
}

static int feed(const uint8_t *data, size_t size, size_t piece, struct got *g,
		struct chunked *c)
{
	struct chunked_sink sink = { .data = take, .chunk_end = take_end, .ctx = g };
	struct mh_err err = MH_ERR_INIT;

	buf_init(&g->data, OUT_MAX);
	g->chunks = 0;
	chunked_init(c, &sink);
	for (size_t at = 0; at < size; at += piece) {
		size_t n = size - at < piece ? size - at : piece;

		if (chunked_feed(c, data + at, n, &err) != 0) {
			MH_ASSERT(err.cls == MH_E_PROTO && *err.text);
			return -1;
		}
	}
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct got whole, pieces;
	struct chunked a, b;
	int rc = feed(data, size, size ? size : 1, &whole, &a);
	const char *sum;

	MH_ASSERT(feed(data, size, 1 + size % 5, &pieces, &b) == rc);
	MH_ASSERT(whole.chunks == pieces.chunks && whole.data.len == pieces.data.len);
	MH_ASSERT(whole.data.len == 0 ||
		  memcmp(whole.data.data, pieces.data.data, whole.data.len) == 0);
	if (rc == 0) {
		MH_ASSERT((int64_t)whole.data.len == a.total);
		MH_ASSERT(chunked_is_complete(&a) == chunked_is_complete(&b));
		sum = chunked_trailer(&a, "x-amz-checksum-crc32");
		MH_ASSERT(!sum == !chunked_trailer(&b, "X-Amz-Checksum-CRC32"));
	}
	chunked_done(&a);
	chunked_done(&b);
	buf_done(&whole.data);
	buf_done(&pieces.data);
	return 0;
}
