/* Rows and files of the artifact store. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "emulator/s3/blob.h"
#include "emulator/store/objects.h"
#include "lib/base/fsio.h"
#include "lib/base/str.h"
#include "tests/unit/test.h"

static int open_store(void **state)
{
	struct mh_err err = MH_ERR_INIT;
	struct store *s = NULL;

	if (store_open(":memory:", &s, &err) != 0)
		return -1;
	*state = s;
	return 0;
}

static int close_store(void **state)
{
	store_close(*state);
	return 0;
}

static void make_bucket(struct store *s, const char *name)
{
	struct mh_err err = MH_ERR_INIT;
	bool created;

	assert_ok(bucket_create(s, name, 1000, &created, &err), &err);
}

/* A row whose file is "f-<tag>"; answers the file that it replaced, or NULL. */
static char *put(struct store *s, const char *bucket, const char *key, const char *tag)
{
	CLEAN(free) char *file = mh_format("f-%s-%s-%s", bucket, key, tag);
	CLEAN(free) char *etag = mh_strdup(tag);
	char type[] = "text/plain", meta[] = "{\"a\":\"b\"}", headers[] = "{}";
	struct object_row row = { .file_id = file,
				  .etag = etag,
				  .size = 5,
				  .modified_ms = 2000,
				  .content_type = type,
				  .metadata = meta,
				  .headers = headers };
	struct mh_err err = MH_ERR_INIT;
	char *replaced = NULL;

	assert_ok(object_put(s, bucket, key, &row, &replaced, &err), &err);
	return replaced;
}

static void a_bucket_is_created_once(void **state)
{
	struct store *s = *state;
	struct mh_err err = MH_ERR_INIT;
	bool created, exists;

	assert_ok(bucket_exists(s, "one", &exists, &err), &err);
	assert_false(exists);
	assert_ok(bucket_create(s, "one", 1, &created, &err), &err);
	assert_true(created);
	assert_ok(bucket_create(s, "one", 2, &created, &err), &err);
	assert_false(created);
	assert_ok(bucket_exists(s, "one", &exists, &err), &err);
	assert_true(exists);
}

static void an_object_comes_back_as_it_was_put(void **state)
{
	struct store *s = *state;
	struct mh_err err = MH_ERR_INIT;
	CLEAN(object_row) struct object_row row = { 0 };
	bool found;

	make_bucket(s, "b");
	assert_null(put(s, "b", "k", "1"));
	assert_ok(object_find(s, "b", "k", &row, &found, &err), &err);
	assert_true(found);
	assert_string_equal(row.file_id, "f-b-k-1");
	assert_string_equal(row.etag, "1");
	assert_int_equal(row.size, 5);
	assert_int_equal(row.modified_ms, 2000);
	assert_string_equal(row.content_type, "text/plain");
	assert_string_equal(row.metadata, "{\"a\":\"b\"}");
	assert_string_equal(row.headers, "{}");
	assert_ok(object_find(s, "b", "K", &row, &found, &err), &err);
	assert_false(found);
}

static void replacing_and_deleting_tell_the_file_to_remove(void **state)
{
	struct store *s = *state;
	struct mh_err err = MH_ERR_INIT;
	char *file = NULL;
	bool known;

	make_bucket(s, "b");
	assert_null(put(s, "b", "k", "1"));
	file = put(s, "b", "k", "2");
	assert_string_equal(file, "f-b-k-1");
	free(file);
	assert_ok(object_file_is_known(s, "f-b-k-1", &known, &err), &err);
	assert_false(known);
	assert_ok(object_file_is_known(s, "f-b-k-2", &known, &err), &err);
	assert_true(known);
	assert_ok(object_delete(s, "b", "k", &file, &err), &err);
	assert_string_equal(file, "f-b-k-2");
	free(file);
	assert_ok(object_delete(s, "b", "k", &file, &err), &err);
	assert_null(file);
}

static void a_bucket_with_objects_is_not_empty(void **state)
{
	struct store *s = *state;
	struct mh_err err = MH_ERR_INIT;
	bool empty;

	make_bucket(s, "b");
	make_bucket(s, "other");
	assert_null(put(s, "other", "k", "1"));
	assert_ok(bucket_is_empty(s, "b", &empty, &err), &err);
	assert_true(empty);
	assert_ok(bucket_is_empty(s, "other", &empty, &err), &err);
	assert_false(empty);
	/* The database itself holds rows to their bucket. */
	assert_int_equal(bucket_delete(s, "other", &err), -1);
	assert_ok(bucket_delete(s, "b", &err), &err);
}

static void a_listing_goes_by_bytes_and_stays_under_its_prefix(void **state)
{
	static const char *const keys[] = { "a",  "a!", "a/1",         "a/2",
					    "aa", "b",  "\xe1\xba\xbf" };
	struct store *s = *state;
	struct mh_err err = MH_ERR_INIT;
	CLEAN(buf) struct buf seen = BUF_INIT(256);
	CLEAN(free) char *from = mh_strdup("");
	bool found = true;

	make_bucket(s, "b");
	make_bucket(s, "c");
	assert_null(put(s, "c", "a/3", "1"));
	for (size_t i = ARRAY_LEN(keys); i-- > 0;)
		assert_null(put(s, "b", keys[i], "1"));
	while (found) {
		CLEAN(object_row) struct object_row row = { 0 };
		CLEAN(free) char *key = NULL;

		assert_ok(object_next(s, "b", "a", from, &key, &row, &found, &err), &err);
		if (!found)
			break;
		buf_printf(&seen, "%s,", key);
		free(from);
		from = mh_format("%s\x01", key);
	}
	assert_string_equal(buf_text(&seen), "a,a!,a/1,a/2,aa,");
}

/* ---- files ---- */

struct place {
	char dir[64];
	struct blobs blobs;
};

static int make_place(void **state)
{
	struct place *p = mh_alloc(sizeof(*p));
	struct mh_err err = MH_ERR_INIT;

	(void)snprintf(p->dir, sizeof(p->dir), "/tmp/mh-s3-store-XXXXXX");
	if (mkdtemp(p->dir) == NULL || blobs_open(p->dir, &p->blobs, &err) != 0)
		return -1;
	*state = p;
	return 0;
}

static int drop_place(void **state)
{
	struct place *p = *state;
	struct mh_err err = MH_ERR_INIT;

	blobs_close(&p->blobs);
	if (fs_remove_tree_at(AT_FDCWD, p->dir, &err) != 0)
		return -1;
	free(p);
	return 0;
}

/* Makes one with this text and keeps it. */
static void keep_text(struct place *p, const char *text, char id[BLOB_ID_SIZE])
{
	struct mh_err err = MH_ERR_INIT;
	struct blob b = BLOB_INIT;

	assert_ok(blob_create(&p->blobs, &b, &err), &err);
	assert_ok(blob_write(&b, text, strlen(text), &err), &err);
	assert_ok(blob_keep(&p->blobs, &b, &err), &err);
	memcpy(id, b.id, BLOB_ID_SIZE);
	blob_done(&p->blobs, &b);
}

static bool blob_exists(struct place *p, const char *id)
{
	struct mh_err err = MH_ERR_INIT;
	CLEAN(fd) int fd = -1;

	if (blob_open(&p->blobs, id, &fd, &err) == 0)
		return true;
	assert_int_equal(err.cls, MH_E_NOTFOUND);
	return false;
}

static void a_kept_file_is_read_back_and_an_unkept_one_is_gone(void **state)
{
	struct place *p = *state;
	struct mh_err err = MH_ERR_INIT;
	CLEAN(buf) struct buf text = BUF_INIT(64);
	char id[BLOB_ID_SIZE];
	struct blob b = BLOB_INIT;
	CLEAN(fd) int fd = -1;

	keep_text(p, "kept", id);
	assert_ok(blob_open(&p->blobs, id, &fd, &err), &err);
	assert_ok(fs_read_fd(fd, &text, &err), &err);
	assert_string_equal(buf_text(&text), "kept");
	assert_ok(blob_create(&p->blobs, &b, &err), &err);
	memcpy(id, b.id, sizeof(id));
	assert_int_equal(faccessat(p->blobs.tmp_fd, id, F_OK, 0), 0);
	blob_done(&p->blobs, &b);
	assert_int_equal(faccessat(p->blobs.tmp_fd, id, F_OK, 0), -1);
	assert_false(blob_exists(p, id));
}

static void a_reader_keeps_a_file_that_is_removed(void **state)
{
	struct place *p = *state;
	struct mh_err err = MH_ERR_INIT;
	CLEAN(buf) struct buf text = BUF_INIT(64);
	char id[BLOB_ID_SIZE];
	CLEAN(fd) int fd = -1;

	keep_text(p, "still here", id);
	assert_ok(blob_open(&p->blobs, id, &fd, &err), &err);
	blob_remove(&p->blobs, id);
	assert_false(blob_exists(p, id));
	assert_ok(fs_read_fd(fd, &text, &err), &err);
	assert_string_equal(buf_text(&text), "still here");
}

static int know_one(void *ctx, char (*ids)[BLOB_ID_SIZE], size_t count, bool *known,
		    struct mh_err *err)
{
	(void)err;
	for (size_t i = 0; i < count; i++)
		known[i] = strcmp(ids[i], ctx) == 0;
	return 0;
}

static void the_sweep_removes_what_has_no_row_and_all_that_is_unfinished(void **state)
{
	struct place *p = *state;
	struct mh_err err = MH_ERR_INIT;
	char known[BLOB_ID_SIZE], unknown[BLOB_ID_SIZE];
	struct blob half = BLOB_INIT;
	int64_t removed = -1;

	keep_text(p, "known", known);
	for (int i = 0; i < 300; i++) /* more than one batch */
		keep_text(p, "unknown", unknown);
	assert_ok(blob_create(&p->blobs, &half, &err), &err);
	assert_int_equal(mkdirat(p->blobs.root_fd, "other", 0700), 0);
	assert_ok(blobs_sweep(&p->blobs, know_one, known, &removed, &err), &err);
	assert_int_equal(removed, 300);
	assert_true(blob_exists(p, known));
	assert_false(blob_exists(p, unknown));
	assert_int_equal(faccessat(p->blobs.tmp_fd, half.id, F_OK, 0), -1);
	assert_int_equal(faccessat(p->blobs.root_fd, "other", F_OK, 0), 0);
	blob_done(&p->blobs, &half);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_bucket_is_created_once, open_store,
						close_store),
		cmocka_unit_test_setup_teardown(an_object_comes_back_as_it_was_put,
						open_store, close_store),
		cmocka_unit_test_setup_teardown(
			replacing_and_deleting_tell_the_file_to_remove, open_store,
			close_store),
		cmocka_unit_test_setup_teardown(a_bucket_with_objects_is_not_empty,
						open_store, close_store),
		cmocka_unit_test_setup_teardown(
			a_listing_goes_by_bytes_and_stays_under_its_prefix, open_store,
			close_store),
		cmocka_unit_test_setup_teardown(
			a_kept_file_is_read_back_and_an_unkept_one_is_gone, make_place,
			drop_place),
		cmocka_unit_test_setup_teardown(a_reader_keeps_a_file_that_is_removed,
						make_place, drop_place),
		cmocka_unit_test_setup_teardown(
			the_sweep_removes_what_has_no_row_and_all_that_is_unfinished,
			make_place, drop_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
