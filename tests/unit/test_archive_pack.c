/* agent/archive/pack_zip and zipwrite: what is written is what is read again. */
#include "tests/unit/test.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include "agent/archive/pack.h"
#include "agent/archive/unpack.h"
#include "agent/archive/zipdir.h"
#include "agent/archive/zipfmt.h"
#include "agent/archive/zipwrite.h"
#include "lib/base/fsio.h"

#define GIB (1ULL << 30)

static const struct archive_limits limits = ARCHIVE_LIMITS_DEFAULT;

struct scratch {
	char path[64];
	int fd; /* with the directories "from" and "to" in it */
};

static int scratch_make(void **state)
{
	struct scratch *s = mh_alloc(sizeof *s);

	(void)snprintf(s->path, sizeof s->path, "/tmp/mh-pack-XXXXXX");
	if (!mkdtemp(s->path))
		return -1;
	s->fd = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = s;
	if (s->fd < 0 || mkdirat(s->fd, "from", 0755) != 0 ||
	    mkdirat(s->fd, "to", 0755) != 0)
		return -1;
	return 0;
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

/* Text (seed 0), which shrinks, or bytes that do not. */
static char *make_content(size_t len, unsigned seed)
{
	static const char line[] = "the quick brown fox jumps over the lazy dog\n";
	char *data = mh_alloc(len + 1);

	for (size_t i = 0; i < len; i++) {
		seed = seed * 1103515245 + 12345 * (seed != 0);
		data[i] = seed ? (char)(seed >> 16) : line[i % (sizeof line - 1)];
	}
	return data;
}

static void make_file(const struct scratch *s, const char *name, size_t len,
		      unsigned seed)
{
	CLEAN(free) char *path = mh_format("from/%s", name);
	CLEAN(free) char *data = make_content(len, seed);
	CLEAN(fd)
	int fd = openat(s->fd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
	struct mh_err err;

	assert_true(fd >= 0);
	assert_ok(fs_write_fd(fd, data, len, &err), &err);
}

static void check_file(const struct scratch *s, const char *name, size_t len,
		       unsigned seed)
{
	CLEAN(free) char *path = mh_format("to/%s", name);
	CLEAN(free) char *data = make_content(len, seed);
	CLEAN(buf) struct buf got = BUF_INIT(16 << 20);
	struct mh_err err;

	assert_ok(fs_read_at(s->fd, path, &got, &err), &err);
	assert_int_equal(got.len, len);
	if (len)
		assert_memory_equal(got.data, data, len);
}

static int pack_from_dir(const struct scratch *s, const struct archive_limits *l)
{
	CLEAN(free) char *path = mh_format("%s/from", s->path);
	CLEAN(pack_from) struct pack_from from = PACK_FROM_INIT;
	int fd = memfd_create("zip", MFD_CLOEXEC);
	struct pack_result result;
	struct mh_err err;
	struct stat st;

	assert_ok(pack_open(path, &from, &err), &err);
	assert_ok(pack_archive(&from, &pack_zip, PACK_ZIP, fd, l, &result, &err), &err);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, result.bytes);
	return fd;
}

static void read_dir_of(int fd, struct zip_dir *dir)
{
	struct source source;
	struct mh_err err;

	assert_ok(source_open(&source, fd, &err), &err);
	assert_ok(zip_dir_read(dir, &source, &limits, &err), &err);
}

/* What the writer should do with each file, in memory and in blocks. */
static const struct {
	const char *name;
	size_t len;
	unsigned seed;
	unsigned method;
	bool deferred; /* when it goes in blocks */
} files[] = {
	{ "empty", 0, 0, ZIP_STORED, false },
	{ "letter", 1, 0, ZIP_STORED, true },
	{ "text", 20000, 0, ZIP_DEFLATED, true },
	{ "noise", 20000, 7, ZIP_STORED, true },
	{ "text.long", 700000, 0, ZIP_DEFLATED, true },
	{ "noise.long", 700000, 7, ZIP_STORED, false }, /* seen by its samples */
};

static void check_members(int fd, bool blocks)
{
	CLEAN(zip_dir) struct zip_dir dir = { .members = NULL };

	read_dir_of(fd, &dir);
	assert_int_equal(dir.count, ARRAY_LEN(files));
	for (uint32_t i = 0; i < dir.count; i++) {
		const struct zip_member *m = &dir.members[i];
		size_t f = 0;

		while (strcmp(files[f].name, m->name) != 0)
			f++;
		assert_int_equal(m->size, files[f].len);
		assert_int_equal(m->mode, 0100640);
		if (blocks && files[f].deferred)
			assert_int_equal(m->flags, FLAG_DESCRIPTOR);
		else
			assert_int_equal(m->flags, 0);
		if (!blocks)
			assert_int_equal(m->method, files[f].method);
		if (m->method == ZIP_DEFLATED && m->size > 10000 && files[f].seed == 0)
			assert_true(m->packed < m->size / 20);
	}
}

static void what_is_packed_is_unpacked(void **state)
{
	static const uint64_t ways[] = { 4 << 20, 0, 30000 };
	const struct scratch *s = *state;

	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		make_file(s, files[i].name, files[i].len, files[i].seed);
	for (size_t pack = 0; pack < ARRAY_LEN(ways); pack++) {
		struct archive_limits l = limits;
		CLEAN(fd) int fd = -1;

		l.whole_bytes = ways[pack];
		fd = pack_from_dir(s, &l);
		if (pack < 2)
			check_members(fd, pack == 1);
		for (size_t unpack = 0; unpack < ARRAY_LEN(ways); unpack++) {
			CLEAN(fd)
			int to = openat(s->fd, "to", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			struct unpack_result result;
			struct source source;
			struct mh_err err;

			l.whole_bytes = ways[unpack];
			assert_ok(source_open(&source, fd, &err), &err);
			assert_ok(unpack_archive(&source, unpack_zip, to, &l, &result,
						 &err),
				  &err);
			for (size_t i = 0; i < ARRAY_LEN(files); i++)
				check_file(s, files[i].name, files[i].len, files[i].seed);
			assert_ok(fs_remove_tree_at(s->fd, "to", &err), &err);
			assert_int_equal(mkdirat(s->fd, "to", 0755), 0);
		}
	}
}

/* A stored member of 5 GiB (a hole, here), one behind it, and one of unknown length. */
static void numbers_over_32_bits_are_kept(void **state)
{
	const struct node file = { .type = NODE_FILE, .mode = 0644, .mtime_s = 1e9 };
	const uint64_t sizes[] = { 5 * GIB, 3, 6 * GIB };
	CLEAN(zip_dir) struct zip_dir dir = { .members = NULL };
	CLEAN(fd) int fd = memfd_create("zip", MFD_CLOEXEC);
	struct archive_limits l = limits;
	struct zip_written m[3] = { 0 };
	struct source source;
	struct mh_err err;
	uint64_t dir_at;
	struct out o;

	(void)state;
	out_init(&o, fd);
	for (int i = 0; i < 3; i++) {
		m[i].size = sizes[i];
		m[i].packed = i == 2 ? 0 : sizes[i];
		m[i].crc = i == 2 ? 0 : 7;
		m[i].deferred = i == 2;
		assert_ok(zip_write_local(&o, &m[i], &file, i ? "b" : "a", &err), &err);
		assert_ok(out_flush(&o, &err), &err);
		assert_true(lseek(fd, (off_t)sizes[i], SEEK_CUR) > 0);
		o.bytes += sizes[i];
		m[i].packed = sizes[i];
		m[i].crc = 7;
		if (i == 2)
			assert_ok(zip_write_descriptor(&o, &m[i], &err), &err);
	}
	dir_at = o.bytes;
	for (int i = 0; i < 3; i++)
		assert_ok(zip_write_entry(&o, &m[i], &file, i ? "b" : "a", &err), &err);
	assert_ok(zip_write_end(&o, 3, dir_at, &err), &err);
	assert_ok(out_flush(&o, &err), &err);
	out_done(&o);

	l.bytes = 20 * GIB;
	assert_ok(source_open(&source, fd, &err), &err);
	assert_ok(zip_dir_read(&dir, &source, &l, &err), &err);
	assert_int_equal(dir.count, 3);
	for (int i = 0; i < 3; i++) {
		assert_true(dir.members[i].size == sizes[i]);
		assert_true(dir.members[i].packed == sizes[i]);
		assert_true(dir.members[i].header_at == m[i].at);
	}
}

static void more_than_65535_members_are_counted(void **state)
{
	static const unsigned counts[] = { 65534, 65535, 65536, 70000 };
	const struct node file = { .type = NODE_FILE, .mode = 0644, .mtime_s = 1e9 };

	(void)state;
	for (size_t c = 0; c < ARRAY_LEN(counts); c++) {
		CLEAN(free)
		struct zip_written *m = mh_alloc(counts[c] * sizeof *m);
		CLEAN(zip_dir) struct zip_dir dir = { .members = NULL };
		CLEAN(fd) int fd = memfd_create("zip", MFD_CLOEXEC);
		struct mh_err err;
		char name[16];
		uint64_t dir_at;
		struct out o;

		out_init(&o, fd);
		for (unsigned i = 0; i < counts[c]; i++) {
			(void)snprintf(name, sizeof name, "%u", i);
			assert_ok(zip_write_local(&o, &m[i], &file, name, &err), &err);
		}
		dir_at = o.bytes;
		for (unsigned i = 0; i < counts[c]; i++) {
			(void)snprintf(name, sizeof name, "%u", i);
			assert_ok(zip_write_entry(&o, &m[i], &file, name, &err), &err);
		}
		assert_ok(zip_write_end(&o, counts[c], dir_at, &err), &err);
		assert_ok(out_flush(&o, &err), &err);
		out_done(&o);
		read_dir_of(fd, &dir);
		assert_int_equal(dir.count, counts[c]);
	}
}

/* To the second while the extended timestamp can say it, then to two, up to 2107. */
static void times_come_back(void **state)
{
	static const struct {
		int64_t put, got;
	} times[] = {
		{ 0, 0 },
		{ 1, 1 },
		{ 1000000001, 1000000001 },
		{ 2147483647, 2147483647 },
		{ 2147483649, 2147483648 },
		{ 4354819198, 4354819198 },
		{ 4354819300, 4354819198 }, /* what MS-DOS times end with */
		{ 253402300800, 4354819198 },
	};

	(void)state;
	assert_int_equal(setenv("TZ", "UTC0", 1), 0);
	tzset();
	for (size_t i = 0; i < ARRAY_LEN(times); i++) {
		const struct node file = { .type = NODE_FILE, .mtime_s = times[i].put };
		CLEAN(zip_dir) struct zip_dir dir = { .members = NULL };
		CLEAN(fd) int fd = memfd_create("zip", MFD_CLOEXEC);
		struct zip_written m = { 0 };
		struct mh_err err;
		uint64_t dir_at;
		struct out o;

		out_init(&o, fd);
		assert_ok(zip_write_local(&o, &m, &file, "a", &err), &err);
		dir_at = o.bytes;
		assert_ok(zip_write_entry(&o, &m, &file, "a", &err), &err);
		assert_ok(zip_write_end(&o, 1, dir_at, &err), &err);
		assert_ok(out_flush(&o, &err), &err);
		out_done(&o);
		read_dir_of(fd, &dir);
		assert_int_equal(dir.members[0].mtime_s, times[i].got);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_packed_is_unpacked, scratch_make,
						scratch_drop),
		cmocka_unit_test(numbers_over_32_bits_are_kept),
		cmocka_unit_test(more_than_65535_members_are_counted),
		cmocka_unit_test(times_come_back),
	};

	return cmocka_run_group_tests_name("archive pack", tests, NULL, NULL);
}
