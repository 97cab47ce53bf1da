/* Secrets in a stream: the first two lines are secrets, the rest is the stream. None of
 * them comes out, and how the stream is cut into pieces makes no difference. */
#include "agent/job/redact.h"
#include "tests/fuzz/fuzz.h"

#define STREAM_MAX (1 << 20)

static void take(void *ctx, const char *data, size_t len)
{
	struct mh_err err = MH_ERR_INIT;

	MH_ASSERT(buf_add(ctx, data, len, &err) == 0);
}

static void feed(struct redact *r, const struct fuzz_in *in, size_t piece,
		 struct buf *out)
{
	for (size_t at = 0; at < in->left; at += piece) {
		size_t n = in->left - at < piece ? in->left - at : piece;

		redact_feed(r, (const char *)in->data + at, n, take, out);
	}
	redact_flush(r, take, out);
}

static void check_absent(const struct buf *out, const char *secret)
{
	size_t len = strlen(secret);

	/* Stars next to stars may spell a secret made of stars. */
	if (len >= REDACT_MIN_BYTES && !strchr(secret, '*') && out->len > 0)
		MH_ASSERT(!memmem(out->data, out->len, secret, len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size };
	CLEAN(free) char *first = fuzz_line(&in);
	CLEAN(free) char *second = fuzz_line(&in);
	CLEAN(buf) struct buf whole = BUF_INIT(STREAM_MAX);
	CLEAN(buf) struct buf pieces = BUF_INIT(STREAM_MAX);
	struct redact r = REDACT_INIT;
	size_t piece = 1 + size % 7;

	if (in.left > REDACT_FEED_MAX)
		in.left = REDACT_FEED_MAX;
	redact_add(&r, first);
	redact_add(&r, second);
	feed(&r, &in, REDACT_FEED_MAX, &whole);
	feed(&r, &in, piece, &pieces);
	MH_ASSERT(whole.len == pieces.len);
	MH_ASSERT(whole.len == 0 || memcmp(whole.data, pieces.data, whole.len) == 0);
	check_absent(&whole, first);
	check_absent(&whole, second);
	redact_remove(&r, first);
	redact_remove(&r, second);
	MH_ASSERT(r.count == 0);
	redact_done(&r);
	return 0;
}
