#include "emulator/events/feed.h"

#include "emulator/store/marks.h"

struct reading {
	int64_t at, limit;
	struct feed feed;
};

static int tx_read(struct op_ctx *ctx, void *arg, struct api_error *err)
{
	struct reading *r = arg;
	struct mh_err e = MH_ERR_INIT;
	int64_t last = 0;

	if (events_last(ctx->store, &last, &e) != 0)
		return api_fail_internal(err, &e);
	/* A snapshot was restored: the number it has is not given yet. */
	if (r->at == FEED_NOW || r->at > last)
		r->at = last;
	if (r->at == last)
		return 0;
	if (events_after(ctx->store, r->at, r->limit, &r->feed.list, &e) != 0)
		return api_fail_internal(err, &e);
	if (r->feed.list.count == 0) {
		r->feed.lost = last - r->at;
		r->at = last;
	} else {
		r->feed.lost = r->feed.list.items[0].seq - r->at - 1;
		r->at = r->feed.list.items[r->feed.list.count - 1].seq;
	}
	return 0;
}

int feed_read(struct writer *writer, int64_t *at, int64_t limit, struct feed *ret,
	      struct api_error *err)
{
	struct reading r = { .at = *at, .limit = limit };

	if (writer_call(writer, tx_read, &r, NULL, err) != 0) {
		feed_done(&r.feed);
		return -1;
	}
	*at = r.at;
	*ret = r.feed;
	return 0;
}

void feed_done(struct feed *f)
{
	event_list_done(&f->list);
	*f = (struct feed){ 0 };
}

struct position {
	const char *mark;
	int64_t at;
};

static int tx_position(struct op_ctx *ctx, void *arg, struct api_error *err)
{
	struct position *p = arg;
	struct mh_err e = MH_ERR_INIT;

	/* It holds events back from its first start on. */
	if (marks_get(ctx->store, p->mark, 0, &p->at, &e) != 0 ||
	    marks_set(ctx->store, p->mark, p->at, &e) != 0)
		return api_fail_internal(err, &e);
	return 0;
}

int feed_position(struct writer *writer, const char *mark, int64_t *ret,
		  struct api_error *err)
{
	struct position p = { .mark = mark };

	if (writer_call(writer, tx_position, &p, NULL, err) != 0)
		return -1;
	*ret = p.at;
	return 0;
}

static int tx_advance(struct op_ctx *ctx, void *arg, struct api_error *err)
{
	const struct position *p = arg;
	struct mh_err e = MH_ERR_INIT;
	int64_t last = 0;

	/* Not beyond what is there: a snapshot may have been restored meanwhile. */
	if (events_last(ctx->store, &last, &e) != 0 ||
	    marks_set(ctx->store, p->mark, p->at < last ? p->at : last, &e) != 0)
		return api_fail_internal(err, &e);
	return 0;
}

int feed_advance(struct writer *writer, const char *mark, int64_t at,
		 struct api_error *err)
{
	struct position p = { .mark = mark, .at = at };

	return writer_call(writer, tx_advance, &p, NULL, err);
}

static int tx_keep_marks(struct op_ctx *ctx, void *arg, struct api_error *err)
{
	struct mh_err e = MH_ERR_INIT;

	return events_forget_marks(ctx->store, arg, &e) == 0 ? 0
							     : api_fail_internal(err, &e);
}

int feed_keep_marks(struct writer *writer, const char *const *marks,
		    struct api_error *err)
{
	return writer_call(writer, tx_keep_marks, (void *)(uintptr_t)marks, NULL, err);
}
