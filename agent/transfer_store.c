/*
 * Outputs: small ones in one request, large ones in parts.
 *
 * In parts: create; then the parts, each hashed before it is sent, in order, so that
 * the hash of the whole file comes from the same reading; then, when every part is
 * confirmed and the whole is what was packed, complete; then a look at what is there.
 * An upload that the store does not know any more is begun anew.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/outcome.h"
#include "agent/transfer_impl.h"
#include "lib/base/log.h"
#include "lib/base/macros.h"
#include "lib/base/sha256.h"
#include "lib/base/str.h"

#define PARTS_MAX  10000 /* of one upload, S3's limit */
#define PART_ROUND (INT64_C(1) << 20)
#define ANEW_MAX   5
#define CHECKS_MAX 3

enum phase { UPLOAD_CREATE, UPLOAD_PARTS, UPLOAD_COMPLETE, UPLOAD_CHECK };
enum part_state { PART_TODO, PART_SENT, PART_STORED };

struct part {
	enum part_state state;
	unsigned failed_run;
	unsigned char sha256[SHA256_SIZE];
	char *etag; /* STORED: owned */
};

struct upload {
	enum phase phase;
	struct journal_head head;
	int journal_fd;
	struct part *parts;
	size_t count, hashed, stored;
	size_t next; /* none before it waits to be sent */
	unsigned next_run; /* of `next` */
	struct sha256 whole, one;
	int checks;
	char etag[S3_ETAG_SIZE]; /* CHECK: what completing gave */
};

/* --- an upload --------------------------------------------------------------------- */

int64_t transfer_part_bytes(int64_t size, int64_t wanted)
{
	int64_t least = (size + PARTS_MAX - 1) / PARTS_MAX;

	least = (least + PART_ROUND - 1) / PART_ROUND * PART_ROUND;
	return least > wanted ? least : wanted;
}

static int64_t part_offset(const struct upload *u, size_t i)
{
	return (int64_t)i * u->head.part_bytes;
}

static int64_t part_size(const struct upload *u, size_t i)
{
	int64_t left = u->head.size - part_offset(u, i);

	return left < u->head.part_bytes ? left : u->head.part_bytes;
}

static void note_stored(void *ctx, size_t i, const char *etag)
{
	struct upload *u = ctx;

	if (i >= u->count || u->parts[i].state == PART_STORED)
		return;
	u->parts[i].state = PART_STORED;
	u->parts[i].etag = mh_strdup(etag);
	u->stored++;
}

static void make_parts(struct upload *u)
{
	u->count = (size_t)((u->head.size + u->head.part_bytes - 1) / u->head.part_bytes);
	u->parts = mh_alloc(u->count * sizeof(*u->parts));
	u->hashed = u->stored = u->next = 0;
	sha256_init(&u->whole);
}

static void upload_reset(struct upload *u)
{
	for (size_t i = 0; i < u->count; i++)
		free(u->parts[i].etag);
	free(u->parts);
	u->parts = NULL;
	u->count = 0;
	u->phase = UPLOAD_CREATE;
	u->checks = 0;
	u->head.upload_id[0] = '\0';
	if (u->journal_fd >= 0)
		(void)close(u->journal_fd); /* it is only a help */
	u->journal_fd = -1;
}

void store_item_done(struct item *item)
{
	if (!item->upload)
		return;
	upload_reset(item->upload);
	free(item->upload);
	item->upload = NULL;
}

/* Goes on with what an earlier agent began, where it left word of it. */
static void new_upload(struct item *item)
{
	struct upload *u = mh_alloc(sizeof(*u));
	int dir = item->transfer->dir_fd;

	u->journal_fd = -1;
	u->head.size = item->size;
	memcpy(u->head.sha256, item->sha256, sizeof(u->head.sha256));
	item->upload = u;
	u->journal_fd = journal_read(dir, item->journal, &u->head);
	if (u->journal_fd < 0 || u->head.size / u->head.part_bytes >= PARTS_MAX) {
		upload_reset(u);
		return;
	}
	make_parts(u);
	journal_each(dir, item->journal, note_stored, u);
	u->phase = UPLOAD_PARTS;
	log_event(LOG_LEVEL_INFO, "upload.resumed",
		  "goes on with an upload that an earlier agent began",
		  LOG_S("artifact", item->name), LOG_I("parts", (int64_t)u->count),
		  LOG_I("stored", (int64_t)u->stored), LOG_END);
}

void store_abandon(struct item *item, const struct jobdata *data)
{
	struct upload *u = item->upload;
	struct transfer *t = item->transfer;
	const struct artifact *artifact;

	if (item->done || !u || !*u->head.upload_id || !data->creds.access_key_id)
		return;
	t->data = data;
	artifact = transfer_artifact(item);
	if (artifact)
		s3_upload_abort(
			t->s3,
			&(struct s3_at){
				.artifact = artifact,
				.creds = &data->creds,
				.upload_id = u->head.upload_id,
				.timeout_ms = s3_settings(t->s3)->stall_timeout_ms });
	upload_reset(u);
}

/* The store knows it no more, or made something else of it. */
static void begin_anew(struct item *item, const struct s3_answer *a)
{
	struct transfer *t = item->transfer;

	item->failed_run = t->run;
	transfer_cancel_item(item);
	/* Parts of it may lie there still; where it is gone, nothing happens. */
	store_abandon(item, t->data);
	upload_reset(item->upload);
	(void)unlinkat(t->dir_fd, item->journal, 0); /* or it is written over */
	if (++item->anew > ANEW_MAX)
		transfer_worse(t, item, TRANSFER_FAILED, FAIL_SYSTEM, a->err.text);
	else
		transfer_take_failure(item, a);
}

/* --- hashing -------------------------------------------------------------------------
 */

static void feed(void *ctx, const void *data, size_t len)
{
	struct item *item = ctx;

	sha256_update(&item->upload->one, data, len);
	sha256_update(&item->upload->whole, data, len);
}

static void check_whole(struct item *item)
{
	unsigned char digest[SHA256_SIZE];
	char hex[SHA256_HEX_SIZE];

	sha256_final(&item->upload->whole, digest);
	str_hex(digest, sizeof(digest), hex);
	if (strcmp(hex, item->sha256) != 0)
		transfer_worse(item->transfer, item, TRANSFER_FAILED, FAIL_SYSTEM,
			       "its file is not what was packed any more");
}

static void hashed(void *ctx, const struct mh_err *err)
{
	struct item *item = ctx;
	struct upload *u = item->upload;

	if (err) {
		transfer_worse(item->transfer, item, TRANSFER_FAILED, FAIL_SYSTEM,
			       err->text);
	} else {
		sha256_final(&u->one, u->parts[u->hashed].sha256);
		if (++u->hashed == u->count)
			check_whole(item);
	}
	transfer_scanned(item);
}

static void hash_next(struct item *item)
{
	struct upload *u = item->upload;

	sha256_init(&u->one);
	item->transfer->running++;
	item->scan = scan_start(s3_loop(item->transfer->s3),
				&(struct scan_job){ .fd = item->fd,
						    .offset = part_offset(u, u->hashed),
						    .len = part_size(u, u->hashed),
						    .feed = feed,
						    .done = hashed,
						    .ctx = item });
}

/* --- requests ----------------------------------------------------------------------- */

static struct s3_at place_of(const struct item *item, const struct artifact *artifact)
{
	return (struct s3_at){ .artifact = artifact,
			       .creds = &item->transfer->data->creds,
			       .upload_id = item->upload->head.upload_id,
			       .timeout_ms = transfer_left_ms(item->transfer) };
}

static void send_whole(struct item *item, const struct artifact *artifact)
{
	struct transfer *t = item->transfer;
	struct work *work = transfer_work(item, 0);

	work->call = s3_put(t->s3,
			    &(struct s3_put){ .artifact = artifact,
					      .creds = &t->data->creds,
					      .fd = item->fd,
					      .size = item->size,
					      .sha256 = item->sha256,
					      .timeout_ms = transfer_left_ms(t),
					      .kms_key_id = t->data->kms_key_id },
			    transfer_answered, work);
}

static void send_part(struct item *item, const struct s3_at *at, size_t i)
{
	struct upload *u = item->upload;
	struct work *work = transfer_work(item, i);

	u->parts[i].state = PART_SENT;
	work->call = s3_upload_part(item->transfer->s3, at,
				    &(struct s3_part){ .number = (int)i + 1,
						       .fd = item->fd,
						       .offset = part_offset(u, i),
						       .size = part_size(u, i),
						       .sha256 = u->parts[i].sha256 },
				    transfer_answered, work);
}

static void send_complete(struct item *item, const struct s3_at *at)
{
	CLEAN(buf) struct buf list = BUF_INIT(S3_COMPLETE_MAX);
	struct upload *u = item->upload;
	struct work *work = transfer_work(item, 0);

	s3_complete_begin(&list);
	for (size_t i = 0; i < u->count; i++)
		s3_complete_add(&list, (int)i + 1, u->parts[i].etag, u->parts[i].sha256);
	s3_complete_end(&list);
	work->call = s3_upload_complete(item->transfer->s3, at, &list, transfer_answered,
					work);
}

/* A part that waits to be sent and did not fail in this run. */
static bool find_part(struct item *item, size_t *ret)
{
	struct upload *u = item->upload;
	unsigned run = item->transfer->run;

	if (u->next_run != run)
		u->next = 0; /* what failed in the last one */
	u->next_run = run;
	while (u->next < u->hashed) {
		const struct part *part = &u->parts[u->next];

		if (part->state == PART_TODO && part->failed_run != run) {
			*ret = u->next;
			return true;
		}
		u->next++;
	}
	return false;
}

static bool begin_parts(struct item *item, const struct s3_at *at)
{
	struct upload *u = item->upload;
	size_t i;

	if (find_part(item, &i)) {
		send_part(item, at, i);
		return true;
	}
	if (u->hashed < u->count && !item->scan) {
		hash_next(item);
		return true;
	}
	if (u->hashed < u->count || u->stored < u->count)
		return false;
	u->phase = UPLOAD_COMPLETE;
	send_complete(item, at);
	return true;
}

static bool begin_upload(struct item *item, const struct artifact *artifact)
{
	struct transfer *t = item->transfer;
	struct s3_at at;
	struct work *work;

	if (!item->upload)
		new_upload(item);
	at = place_of(item, artifact);
	if (item->upload->phase == UPLOAD_PARTS)
		return begin_parts(item, &at);
	if (item->busy > 0)
		return false;
	if (item->upload->phase == UPLOAD_COMPLETE) {
		send_complete(item, &at);
		return true;
	}
	work = transfer_work(item, 0);
	if (item->upload->phase == UPLOAD_CREATE)
		work->call = s3_upload_create(t->s3, &at, t->data->kms_key_id,
					      transfer_answered, work);
	else
		work->call = s3_head(t->s3, &at, transfer_answered, work);
	return true;
}

static int open_output(struct item *item, struct mh_err *err)
{
	struct stat st;

	item->fd = openat(item->transfer->dir_fd, item->file,
			  O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (item->fd < 0 || fstat(item->fd, &st) != 0)
		return mh_err_sys(err, "open %s", item->file);
	if (!S_ISREG(st.st_mode) || st.st_size != item->size)
		return mh_err_set(err, MH_E_PROTO,
				  "%s has not the %lld bytes that were packed",
				  item->file, (long long)item->size);
	return 0;
}

bool store_begin(struct item *item)
{
	struct transfer *t = item->transfer;
	const struct artifact *artifact = transfer_artifact(item);
	struct mh_err err = MH_ERR_INIT;

	if (!artifact)
		return false;
	if (item->fd < 0 && open_output(item, &err) != 0) {
		transfer_worse(t, item, TRANSFER_FAILED, FAIL_SYSTEM, err.text);
		return false;
	}
	/* A reload may move the limit: how it was begun decides. */
	if (item->upload || (item->busy == 0 &&
			     item->size > s3_settings(t->s3)->upload_parts_above_bytes))
		return begin_upload(item, artifact);
	if (item->busy > 0)
		return false;
	send_whole(item, artifact);
	return true;
}

/* --- answers -------------------------------------------------------------------------
 */

static void take_created(struct item *item, const struct s3_answer *a)
{
	struct upload *u = item->upload;

	u->head.part_bytes = transfer_part_bytes(
		item->size, s3_settings(item->transfer->s3)->part_size_bytes);
	memcpy(u->head.upload_id, a->upload_id, sizeof(u->head.upload_id));
	u->journal_fd = journal_begin(item->transfer->dir_fd, item->journal, &u->head);
	make_parts(u);
	u->phase = UPLOAD_PARTS;
}

static void take_part(struct item *item, size_t i, const struct s3_answer *a)
{
	struct upload *u = item->upload;

	if (a->result == S3_OK) {
		note_stored(u, i, a->etag);
		journal_add(u->journal_fd, i, a->etag);
		item->transfer->report.bytes += part_size(u, i);
		return;
	}
	u->parts[i].state = PART_TODO;
	u->parts[i].failed_run = item->transfer->run;
	transfer_take_failure(item, a);
}

/* "<digest>-<parts>": the number of parts that an ETag or checksum speaks of, or 0. */
static int64_t parts_in(const char *text)
{
	const char *dash = strrchr(text, '-');
	CLEAN(free)
	char *digits = dash ? mh_strndup(dash + 1, strspn(dash + 1, "0123456789")) : NULL;
	struct mh_err ignored;
	int64_t n;

	if (!digits || str_to_i64(digits, 1, INT32_MAX, "parts", &n, &ignored) != 0)
		return 0;
	return n;
}

/* The SHA-256 of the parts' SHA-256s, as S3 writes it: "<base64>-<parts>". */
static char *checksum_of_parts(const struct upload *u)
{
	unsigned char digest[SHA256_SIZE];
	CLEAN(free) char *base64 = NULL;
	struct sha256 s;

	sha256_init(&s);
	for (size_t i = 0; i < u->count; i++)
		sha256_update(&s, u->parts[i].sha256, SHA256_SIZE);
	sha256_final(&s, digest);
	base64 = str_base64(digest, sizeof(digest));
	return mh_format("%s-%zu", base64, u->count);
}

/* Whether what the store says of the whole agrees with what it was given. Some give
 * the checksum of the whole object in that place, some none, and some an ETag of
 * another form: what says nothing is not held against them. */
static bool agrees(const struct upload *u, const struct s3_answer *a)
{
	CLEAN(free) char *checksum = checksum_of_parts(u);
	int64_t parts = parts_in(a->etag);

	if (parts > 0 && parts != (int64_t)u->count)
		return false;
	return parts_in(a->sha256) == 0 || strcmp(a->sha256, checksum) == 0;
}

static void differs(struct item *item, const char *what)
{
	struct s3_answer a = { .result = S3_CHANGED };

	(void)mh_err_set(&a.err, MH_E_PROTO, "%s", what);
	begin_anew(item, &a);
}

static void take_completed(struct item *item, const struct s3_answer *a)
{
	struct upload *u = item->upload;

	if (!agrees(u, a)) {
		differs(item, "the store made another object of its parts");
		return;
	}
	u->head.upload_id[0] = '\0'; /* nothing to abort any more */
	memcpy(u->etag, a->etag, sizeof(u->etag));
	u->phase = UPLOAD_CHECK;
}

static bool same_etag(const char *a, const char *b)
{
	size_t la, lb;

	a += *a == '"';
	b += *b == '"';
	la = strcspn(a, "\"");
	lb = strcspn(b, "\"");
	return la == lb && memcmp(a, b, la) == 0;
}

/* What is there after it was completed. Who may only write is not told, and some
 * stores do not answer the question: the completion's answer has to do then. */
static void take_check(struct item *item, const struct s3_answer *a)
{
	struct upload *u = item->upload;

	if (a->result == S3_DENIED || a->result == S3_BAD ||
	    (a->result == S3_AGAIN && ++u->checks >= CHECKS_MAX)) {
		item->done = true;
	} else if (a->result == S3_MISSING) {
		differs(item, "the object is not there after its upload");
	} else if (a->result != S3_OK) {
		item->failed_run = item->transfer->run;
		transfer_take_failure(item, a);
	} else if ((a->size >= 0 && a->size != item->size) ||
		   !same_etag(a->etag, u->etag) || !agrees(u, a)) {
		differs(item, "the object is another one after its upload");
	} else {
		item->done = true;
	}
	if (item->done)
		(void)unlinkat(item->transfer->dir_fd, item->journal, 0); /* of no use */
}

void store_take(struct item *item, size_t part, const struct s3_answer *a)
{
	struct upload *u = item->upload;

	if (!u) {
		item->done = a->result == S3_OK;
		if (!item->done) {
			item->failed_run = item->transfer->run;
			transfer_take_failure(item, a);
		}
		return;
	}
	if (u->phase == UPLOAD_CHECK) {
		take_check(item, a);
	} else if (a->result == S3_CHANGED) {
		begin_anew(item, a);
	} else if (u->phase == UPLOAD_PARTS) {
		take_part(item, part, a);
	} else if (a->result != S3_OK) {
		item->failed_run = item->transfer->run;
		transfer_take_failure(item, a);
	} else if (u->phase == UPLOAD_CREATE) {
		take_created(item, a);
	} else {
		take_completed(item, a);
	}
}
