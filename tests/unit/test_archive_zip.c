/* agent/archive/zipdir: one way to read a zip. */
#include "tests/unit/test.h"

#include <sys/stat.h>

#include "agent/archive/zipdir.h"
#include "tests/unit/zipmaker.h"

static const struct archive_limits limits = ARCHIVE_LIMITS_DEFAULT;

static int read_dir_of(int fd, struct zip_dir *dir, struct mh_err *err)
{
	struct source source;

	assert_ok(source_open(&source, fd, err), err);
	return zip_dir_read(dir, &source, &limits, err);
}

static void expect(struct zipmaker *z, const char *kind, const char *word)
{
	CLEAN(fd) int fd = zipmaker_close(z);
	CLEAN(zip_dir) struct zip_dir dir = { .members = NULL };
	struct mh_err err = MH_ERR_INIT;

	if (read_dir_of(fd, &dir, &err) == 0)
		fail_msg("taken, want: %s", word);
	assert_string_equal(archive_error_kind(&err), kind);
	assert_contains(err.text, word);
}

static void the_directory_is_read(void **state)
{
	CLEAN(zip_dir) struct zip_dir dir = { .members = NULL };
	struct zipmaker z;
	struct mh_err err;
	int fd;

	(void)state;
	zipmaker_init(&z);
	zipmaker_add(&z, "a", "hello");
	zipmaker_add_mode(&z, "d/", 040750, "");
	zipmaker_add_mode(&z, "d/run", 0100755, "#!/bin/sh\n");
	put_end(&z, 3, "a comment, as git archive writes one");
	fd = zipmaker_close(&z);
	assert_ok(read_dir_of(fd, &dir, &err), &err);
	close(fd);
	assert_int_equal(dir.count, 3);
	assert_int_equal(dir.total, 15);
	assert_string_equal(dir.members[1].name, "d/");
	assert_true(dir.members[1].ends_in_slash);
	assert_int_equal(dir.members[2].mode, 0100755);
	assert_int_equal(dir.members[2].size, 10);
}

static void an_archive_without_members_is_one(void **state)
{
	CLEAN(zip_dir) struct zip_dir dir = { .members = NULL };
	struct zipmaker z;
	struct mh_err err;
	CLEAN(fd) int fd = -1;

	(void)state;
	zipmaker_init(&z);
	put_end(&z, 0, "");
	fd = zipmaker_close(&z);
	assert_ok(read_dir_of(fd, &dir, &err), &err);
	assert_int_equal(dir.count, 0);
}

static void counts_must_agree(void **state)
{
	struct zipmaker z;

	(void)state;
	for (unsigned count = 0; count <= 3; count++) {
		if (count == 2)
			continue;
		zipmaker_init(&z);
		zipmaker_add(&z, "a", "hello");
		zipmaker_add(&z, "b", "world");
		put_end(&z, count, "");
		expect(&z, "corrupt", "the zip archive's end is damaged");
	}
}

/* One field of the directory entry differs from the local header. */
static void headers_must_agree(void **state)
{
	enum { NAME, FLAGS, METHOD, CRC, PACKED, SIZE, OFFSET, LAST };

	(void)state;
	for (int field = NAME; field < LAST; field++) {
		struct zip_record r;
		struct zipmaker z;

		zipmaker_init(&z);
		zipmaker_add(&z, "a", "hello");
		r = zip_record_of(&z, "seen", "text");
		put_local(&z.file, &r);
		buf_puts(&z.file, "text");
		r.name = field == NAME ? "hide" : r.name;
		r.flags = field == FLAGS ? 8 : 0;
		r.method = field == METHOD ? 8 : 0;
		r.crc ^= field == CRC;
		r.packed -= field == PACKED;
		r.size -= field == PACKED || field == SIZE;
		r.offset -= field == OFFSET;
		put_entry(&z, &r);
		put_end(&z, 2, "");
		expect(&z, "corrupt", field == SIZE ? "two sizes" : "local header");
	}
}

static void members_may_not_overlap(void **state)
{
	struct zip_record outer, inner;
	struct zipmaker z;

	(void)state;
	/* the second member's header and data are the first one's content */
	zipmaker_init(&z);
	inner = zip_record_of(&z, "inner", "x");
	outer = zip_record_of(&z, "outer", "");
	outer.size = outer.packed = 30 + 5 + 1;
	put_local(&z.file, &outer);
	inner.offset = z.file.len;
	put_local(&z.file, &inner);
	buf_puts(&z.file, "x");
	outer.crc = crc32(0, (unsigned char *)z.file.data + inner.offset, 36);
	memcpy(z.file.data + 14, &outer.crc, 4);
	put_entry(&z, &outer);
	put_entry(&z, &inner);
	put_end(&z, 2, "");
	expect(&z, "unsafe", "overlap");

	/* the same member twice */
	zipmaker_init(&z);
	outer = zip_record_of(&z, "same", "y");
	put_local(&z.file, &outer);
	buf_puts(&z.file, "y");
	put_entry(&z, &outer);
	put_entry(&z, &outer);
	put_end(&z, 2, "");
	expect(&z, "unsafe", "overlap");
}

static void nothing_hides_beside_the_listed_members(void **state)
{
	struct zip_record hidden;
	struct zipmaker z;

	(void)state;
	for (int place = 0; place < 3; place++) {
		zipmaker_init(&z);
		for (int i = 0; i < 3; i++) {
			hidden = zip_record_of(&z, "hidden", "boo");
			if (i != place) {
				zipmaker_add(&z, i ? "b" : "a", "hello");
				continue;
			}
			put_local(&z.file, &hidden);
			buf_puts(&z.file, "boo");
		}
		put_end(&z, 2, "");
		expect(&z, "corrupt", "does not list");
	}
}

static void two_ends_are_no_end(void **state)
{
	struct zipmaker z;

	(void)state;
	zipmaker_init(&z);
	zipmaker_add(&z, "a", "hello");
	put_end(&z, 1, "PK\5\6 looks like the end");
	expect(&z, "corrupt", "comment");

	zipmaker_init(&z);
	zipmaker_add(&z, "a", "hello");
	put_end(&z, 1, "");
	buf_puts(&z.file, "trailing");
	expect(&z, "corrupt", "comment");
}

static void what_is_not_supported_is_said(void **state)
{
	static const struct {
		unsigned flags, method;
		const char *word;
	} cases[] = {
		{ 1, 0, "encrypted" },
		{ 0x41, 0, "encrypted" },
		{ 0, 12, "compression method 12" },
		{ 0, 99, "compression method 99" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct zip_record r;
		struct zipmaker z;

		zipmaker_init(&z);
		r = zip_record_of(&z, "a", "hello");
		r.flags = cases[i].flags;
		r.method = cases[i].method;
		put_local(&z.file, &r);
		buf_puts(&z.file, "hello");
		put_entry(&z, &r);
		put_end(&z, 1, "");
		expect(&z, "corrupt", cases[i].word);
	}
}

/* Sizes behind the data, in all four forms, and a wrong one. */
static void data_descriptors_are_compared(void **state)
{
	(void)state;
	for (int form = 0; form < 6; form++) {
		CLEAN(zip_dir) struct zip_dir dir = { .members = NULL };
		unsigned wide = form & 2 ? 8 : 4;
		struct zip_record r, local;
		struct mh_err err;
		struct zipmaker z;
		CLEAN(fd) int fd = -1;

		zipmaker_init(&z);
		r = zip_record_of(&z, "a", "hello");
		r.flags = 8;
		local = r;
		local.crc = local.packed = local.size = 0;
		put_local(&z.file, &local);
		buf_puts(&z.file, "hello");
		if (!(form & 1))
			put(&z.file, 4, 0x08074b50);
		put(&z.file, 4, r.crc);
		put(&z.file, wide, r.packed);
		put(&z.file, wide, r.size + (form >= 4)); /* 4 and 5 are wrong */
		put_entry(&z, &r);
		put_end(&z, 1, "");
		if (form >= 4) {
			expect(&z, "corrupt", "data descriptor");
			continue;
		}
		fd = zipmaker_close(&z);
		assert_ok(read_dir_of(fd, &dir, &err), &err);
	}
}

static void a_unicode_path_takes_the_names_place(void **state)
{
	CLEAN(zip_dir) struct zip_dir dir = { .members = NULL };
	CLEAN(buf) struct buf extra = BUF_INIT(100);
	CLEAN(fd) int fd = -1;
	struct zip_record r;
	struct mh_err err;
	struct zipmaker z;

	(void)state;
	zipmaker_init(&z);
	r = zip_record_of(&z, "a", "hello");
	put(&extra, 2, 0x7075);
	put(&extra, 2, 5 + 5);
	put(&extra, 1, 1);
	put(&extra, 4, crc32(0, (const unsigned char *)"a", 1));
	buf_puts(&extra, "../up");
	r.extra = extra.data;
	r.extra_len = extra.len;
	put_local(&z.file, &r);
	buf_puts(&z.file, "hello");
	put_entry(&z, &r);
	fd = zipmaker_finish(&z);
	assert_ok(read_dir_of(fd, &dir, &err), &err);
	assert_string_equal(dir.members[0].name, "../up"); /* and so it is judged */
}

static void limits_count_before_anything_is_unpacked(void **state)
{
	struct archive_limits tight = ARCHIVE_LIMITS_DEFAULT;
	CLEAN(zip_dir) struct zip_dir dir = { .members = NULL };
	struct source source;
	struct mh_err err;
	struct zipmaker z;
	CLEAN(fd) int fd = -1;

	(void)state;
	zipmaker_init(&z);
	zipmaker_add(&z, "a", "hello");
	zipmaker_add(&z, "b", "world");
	fd = zipmaker_finish(&z);
	assert_ok(source_open(&source, fd, &err), &err);
	tight.entries = 1;
	assert_fails(zip_dir_read(&dir, &source, &tight, &err), &err, MH_E_FULL);
	tight.entries = 2;
	tight.bytes = 9;
	assert_fails(zip_dir_read(&dir, &source, &tight, &err), &err, MH_E_FULL);
	tight.bytes = 10;
	assert_ok(zip_dir_read(&dir, &source, &tight, &err), &err);
}

static void zip64_records_are_read(void **state)
{
	CLEAN(zip_dir) struct zip_dir dir = { .members = NULL };
	CLEAN(buf) struct buf extra = BUF_INIT(100);
	struct zip_record r;
	unsigned long dir_at, end_at;
	struct zipmaker z;
	struct mh_err err;
	CLEAN(fd) int fd = -1;

	(void)state;
	zipmaker_init(&z);
	r = zip_record_of(&z, "a", "hello");
	put(&extra, 2, 1);
	put(&extra, 2, 16);
	put(&extra, 8, 5);
	put(&extra, 8, 5);
	r.extra = extra.data;
	r.extra_len = extra.len;
	r.packed = r.size = 0xffffffff;
	put_local(&z.file, &r);
	buf_puts(&z.file, "hello");
	put_entry(&z, &r);
	dir_at = z.file.len;
	put_bytes(&z.file, z.directory.data, z.directory.len);
	end_at = z.file.len;
	put(&z.file, 4, 0x06064b50);
	put(&z.file, 8, 44);
	put(&z.file, 4, 0x2d032d);
	put(&z.file, 8, 0);
	put(&z.file, 8, 1);
	put(&z.file, 8, 1);
	put(&z.file, 8, z.directory.len);
	put(&z.file, 8, dir_at);
	put(&z.file, 4, 0x07064b50);
	put(&z.file, 4, 0);
	put(&z.file, 8, end_at);
	put(&z.file, 4, 1);
	put(&z.file, 4, 0x06054b50);
	put(&z.file, 4, 0);
	put(&z.file, 4, 0xffffffff);
	put(&z.file, 8, 0xffffffffffffffff);
	put(&z.file, 2, 0);
	fd = zipmaker_close(&z);
	assert_ok(read_dir_of(fd, &dir, &err), &err);
	assert_int_equal(dir.count, 1);
	assert_int_equal(dir.members[0].size, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_directory_is_read),
		cmocka_unit_test(an_archive_without_members_is_one),
		cmocka_unit_test(counts_must_agree),
		cmocka_unit_test(headers_must_agree),
		cmocka_unit_test(members_may_not_overlap),
		cmocka_unit_test(nothing_hides_beside_the_listed_members),
		cmocka_unit_test(two_ends_are_no_end),
		cmocka_unit_test(what_is_not_supported_is_said),
		cmocka_unit_test(data_descriptors_are_compared),
		cmocka_unit_test(a_unicode_path_takes_the_names_place),
		cmocka_unit_test(limits_count_before_anything_is_unpacked),
		cmocka_unit_test(zip64_records_are_read),
	};

	return cmocka_run_group_tests_name("archive zip", tests, NULL, NULL);
}
