/* agent/archive/unpack and its readers: no damage passes, whichever way a member takes.
 */
#include "tests/unit/test.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "agent/archive/unpack.h"
#include "lib/base/fsio.h"
#include "tests/unit/zipmaker.h"

struct scratch {
	char path[64];
	int fd;
	bool loaded; /* the archive lies in memory */
	struct archive_limits limits;
};

static int scratch_make(void **state, bool loaded, uint64_t whole_bytes)
{
	struct scratch *s = mh_alloc(sizeof *s);

	s->loaded = loaded;
	s->limits = (struct archive_limits)ARCHIVE_LIMITS_DEFAULT;
	s->limits.whole_bytes = whole_bytes;
	(void)snprintf(s->path, sizeof s->path, "/tmp/mh-unzip-XXXXXX");
	if (!mkdtemp(s->path))
		return -1;
	s->fd = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = s;
	return s->fd < 0 ? -1 : 0;
}

/* As millhand-archive has it for a small archive... */
static int make_whole(void **state)
{
	return scratch_make(state, true, 4 << 20);
}

/* ... for a large one... */
static int make_read(void **state)
{
	return scratch_make(state, false, 4 << 20);
}

/* ... and for its large members. */
static int make_blocks(void **state)
{
	return scratch_make(state, false, 0);
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
	CLEAN(source) struct source source = { .fd = -1 };
	struct unpack_result result;

	assert_ok(source_open(&source, fd, err), err);
	if (s->loaded)
		assert_ok(source_load(&source, err), err);
	return unpack_archive(&source, source_is_zip(&source) ? unpack_zip : unpack_tar,
			      s->fd, &s->limits, &result, err);
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

#define IN_EACH_WAY(test)                                                                \
	cmocka_unit_test_setup_teardown(test, make_whole, scratch_drop),                 \
		cmocka_unit_test_setup_teardown(test, make_read, scratch_drop),          \
		cmocka_unit_test_setup_teardown(test, make_blocks, scratch_drop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_EACH_WAY(every_truncation_is_corrupt_and_leaves_nothing),
		IN_EACH_WAY(a_tar_is_whole_with_its_two_zero_blocks),
		IN_EACH_WAY(no_flipped_bit_changes_what_a_file_holds),
		IN_EACH_WAY(content_must_match_size_and_checksum),
	};

	return cmocka_run_group_tests_name("archive unpack", tests, NULL, NULL);
}
