/* agent/archive/zipdir and unpack: one way to read a zip, and no damage that passes. */
#include "tests/unit/test.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <sodium.h>

#include "agent/archive/unpack.h"
#include "agent/archive/zipdir.h"
#include "lib/base/fsio.h"
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

/* --- whole archives, damaged ------------------------------------------------------ */

struct scratch {
	char path[64];
	int fd;
};

static int scratch_make(void **state)
{
	struct scratch *s = mh_alloc(sizeof *s);

	(void)snprintf(s->path, sizeof s->path, "/tmp/mh-unzip-XXXXXX");
	if (!mkdtemp(s->path))
		return -1;
	s->fd = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = s;
	return s->fd < 0 ? -1 : 0;
}

static int scratch_drop(void **state)
{
	struct scratch *s = *state;
	struct mh_err err;
	int rc = fs_remove_tree_at(AT_FDCWD, s->path, &err);

	close(s->fd);
	free(s);
	return rc;
}

static unsigned names_in(const struct scratch *s)
{
	DIR *dir = opendir(s->path);
	unsigned n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n - 2;
}

static int unpack_bytes(const struct scratch *s, const struct buf *bytes,
			struct mh_err *err)
{
	CLEAN(fd) int fd = memory_file(bytes->data, bytes->len);
	struct unpack_result result;
	struct source source;

	assert_ok(source_open(&source, fd, err), err);
	return unpack_archive(&source, s->fd, &limits, &result, err);
}

static void make_deflated(struct zipmaker *z, const char *name, const char *text)
{
	struct zip_record r = zip_record_of(z, name, text);
	unsigned char packed[256];
	z_stream d = { .next_in = (unsigned char *)(uintptr_t)text,
		       .avail_in = (unsigned)r.size,
		       .next_out = packed,
		       .avail_out = sizeof packed };

	assert_int_equal(deflateInit2(&d, 9, Z_DEFLATED, -15, 8, 0), Z_OK);
	assert_int_equal(deflate(&d, Z_FINISH), Z_STREAM_END);
	r.packed = d.total_out;
	r.method = 8;
	(void)deflateEnd(&d);
	put_local(&z->file, &r);
	put_bytes(&z->file, packed, r.packed);
	put_entry(z, &r);
}

static void make_sample(struct buf *bytes)
{
	struct zipmaker z;

	zipmaker_init(&z);
	zipmaker_add_mode(&z, "d/", 040755, "");
	zipmaker_add(&z, "d/stored", "stored content");
	make_deflated(&z, "d/deflated", "deflated deflated deflated deflated content");
	zipmaker_add_mode(&z, "link", 0120777, "d/stored");
	put_end(&z, z.count, "");
	buf_init(bytes, 1 << 20);
	put_bytes(bytes, z.file.data, z.file.len);
	buf_done(&z.file);
	buf_done(&z.directory);
}

static void every_truncation_is_corrupt_and_leaves_nothing(void **state)
{
	const struct scratch *s = *state;
	CLEAN(buf) struct buf whole;
	struct mh_err err;

	make_sample(&whole);
	for (size_t len = 0; len < whole.len; len++) {
		struct buf part = { .data = whole.data, .len = len };

		if (unpack_bytes(s, &part, &err) == 0)
			fail_msg("cut at %zu of %zu: taken", len, whole.len);
		assert_string_equal(archive_error_kind(&err), "corrupt");
		assert_int_equal(names_in(s), 0);
	}
	assert_ok(unpack_bytes(s, &whole, &err), &err);
	assert_int_equal(names_in(s), 2);
}

static bool has_text(const struct scratch *s, const char *name, const char *text)
{
	CLEAN(buf) struct buf got = BUF_INIT(1000);
	struct mh_err err;

	return fs_read_at(s->fd, name, &got, &err) == 0 &&
	       strcmp(buf_text(&got), text) == 0;
}

/* One block of a ustar archive, with a sound checksum. */
static void put_tar_header(struct buf *b, const char *name, size_t size)
{
	char block[512] = { 0 };
	unsigned sum = 0;

	(void)snprintf(block, 100, "%s", name);
	(void)snprintf(block + 100, 8, "%07o", 0644);
	(void)snprintf(block + 124, 12, "%011zo", size);
	memset(block + 148, ' ', 8);
	block[156] = '0';
	memcpy(block + 257, "ustar\00000", 8);
	for (size_t i = 0; i < sizeof block; i++)
		sum += (unsigned char)block[i];
	(void)snprintf(block + 148, 8, "%06o", sum);
	put_bytes(b, block, sizeof block);
}

static void a_tar_is_whole_with_its_two_zero_blocks(void **state)
{
	CLEAN(buf) struct buf whole = BUF_INIT(1 << 20);
	const struct scratch *s = *state;
	char content[512] = "content";
	struct mh_err err;

	put_tar_header(&whole, "a", 7);
	put_bytes(&whole, content, sizeof content);
	put_tar_header(&whole, "zeros", 512); /* look like the end, and are not */
	memset(content, 0, sizeof content);
	for (int i = 0; i < 3; i++)
		put_bytes(&whole, content, sizeof content);
	for (size_t len = 0; len < whole.len; len++) {
		struct buf part = { .data = whole.data, .len = len };

		if (unpack_bytes(s, &part, &err) == 0)
			fail_msg("cut at %zu of %zu: taken", len, whole.len);
		assert_string_equal(archive_error_kind(&err), "corrupt");
		assert_int_equal(names_in(s), 0);
	}
	assert_ok(unpack_bytes(s, &whole, &err), &err);
	assert_int_equal(names_in(s), 2);
}

/* A flipped bit is refused, or it is in a field that does not touch the content (a mode,
 * a time, "made by"): then files that are there under their names hold their text. */
static void no_flipped_bit_changes_what_a_file_holds(void **state)
{
	const struct scratch *s = *state;
	unsigned taken = 0, refused = 0;
	CLEAN(buf) struct buf whole;
	struct stat st;

	make_sample(&whole);
	for (size_t bit = 0; bit < 8 * whole.len; bit++) {
		struct mh_err err = MH_ERR_INIT;

		whole.data[bit / 8] ^= (char)(1 << bit % 8);
		if (unpack_bytes(s, &whole, &err) != 0) {
			refused++;
			assert_int_equal(names_in(s), 0);
		} else {
			taken++;
			/* modes may have changed; reading needs some */
			if (fstatat(s->fd, "d", &st, 0) == 0)
				assert_int_equal(fchmodat(s->fd, "d", 0700, 0), 0);
			if (fstatat(s->fd, "d/stored", &st, 0) == 0) {
				assert_int_equal(fchmodat(s->fd, "d/stored", 0600, 0), 0);
				assert_true(has_text(s, "d/stored", "stored content"));
			}
			if (fstatat(s->fd, "link", &st, AT_SYMLINK_NOFOLLOW) == 0)
				assert_ok(fs_remove_tree_at(s->fd, "link", &err), &err);
			assert_ok(fs_remove_tree_at(s->fd, "d", &err), &err);
			assert_int_equal(names_in(s), 0);
		}
		whole.data[bit / 8] ^= (char)(1 << bit % 8);
	}
	assert_true(refused > 2 * taken);
}

static void content_must_match_size_and_checksum(void **state)
{
	const struct scratch *s = *state;
	CLEAN(buf) struct buf whole;
	struct mh_err err;
	char *text;

	make_sample(&whole);
	text = memmem(whole.data, whole.len, "stored content", 14);
	assert_non_null(text);
	*text = 'S';
	assert_fails(unpack_bytes(s, &whole, &err), &err, MH_E_PROTO);
	assert_contains(err.text, "checksum");
	assert_contains(err.text, "\"d/stored\"");
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
		cmocka_unit_test_setup_teardown(
			every_truncation_is_corrupt_and_leaves_nothing, scratch_make,
			scratch_drop),
		cmocka_unit_test_setup_teardown(a_tar_is_whole_with_its_two_zero_blocks,
						scratch_make, scratch_drop),
		cmocka_unit_test_setup_teardown(no_flipped_bit_changes_what_a_file_holds,
						scratch_make, scratch_drop),
		cmocka_unit_test_setup_teardown(content_must_match_size_and_checksum,
						scratch_make, scratch_drop),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests_name("archive zip", tests, NULL, NULL);
}
