/*
 * Runs a fuzz target without libFuzzer: archives of each format, made here by the
 * product's packer, spoilt again and again at random. It says its seed; the same seed
 * spoils the same way.
 *
 *	fuzz_archive [--seed N] [--rounds N] [FILE...]
 *
 * A FILE is given to the target as it is, to see a finding again.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <sodium.h>
#include <zlib.h>

#include "agent/archive/pack.h"
#include "lib/base/buf.h"
#include "lib/base/fsio.h"
#include "lib/base/str.h"
#include "tests/fuzz/fuzz.h"

#define TAR_BLOCK 512

static uint64_t state; /* of the random numbers */
static const char *last = "mh-fuzz-last"; /* what was given last, when it aborts */

static void must(int rc, const struct mh_err *err)
{
	if (rc == 0)
		return;
	(void)fprintf(stderr, "fuzz: %s\n", err->text);
	exit(1);
}

/* splitmix64: any seed will do */
static uint64_t draw(uint64_t below)
{
	uint64_t z = (state += 0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return (z ^ (z >> 31)) % below;
}

/* A small tree with what matters: depth, a link, modes, content that deflates. */
static void plant_tree(int dir_fd)
{
	struct mh_err err = MH_ERR_INIT;
	static const char text[] =
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

	if (mkdirat(dir_fd, "d", 0755) != 0 || mkdirat(dir_fd, "d/e", 0700) != 0 ||
	    symlinkat("../f", dir_fd, "d/link") != 0)
		must(mh_err_sys(&err, "plant a tree"), &err);
	must(fs_write_atomic_at(dir_fd, "f", text, sizeof text, 0755, &err), &err);
	must(fs_write_atomic_at(dir_fd, "g", "", 0, 0644, &err), &err);
}

static void pack(const char *dir, enum pack_format format, struct buf *ret)
{
	struct archive_limits limits = ARCHIVE_LIMITS_DEFAULT;
	CLEAN(pack_from) struct pack_from from = PACK_FROM_INIT;
	CLEAN(fd) int fd = memfd_create("packed", MFD_CLOEXEC);
	struct mh_err err = MH_ERR_INIT;
	struct pack_result result;

	must(fd < 0 ? mh_err_sys(&err, "memory file") : 0, &err);
	must(pack_open(dir, &from, &err), &err);
	must(pack_archive(&from, format, fd, &limits, &result, &err), &err);
	must(lseek(fd, 0, SEEK_SET) != 0 ? mh_err_sys(&err, "seek") : 0, &err);
	must(fs_read_fd(fd, ret, &err), &err);
}

static void make_corpus(struct buf corpus[2])
{
	char dir[] = "/tmp/mh-fuzz-corpus-XXXXXX";
	struct mh_err err = MH_ERR_INIT;
	CLEAN(fd) int fd = -1;

	must(mkdtemp(dir) ? 0 : mh_err_sys(&err, "%s", dir), &err);
	must(fs_open_dir(AT_FDCWD, dir, &fd, &err), &err);
	plant_tree(fd);
	pack(dir, PACK_ZIP, &corpus[0]);
	pack(dir, PACK_TAR, &corpus[1]);
	must(fs_remove_tree_at(AT_FDCWD, dir, &err), &err);
}

static void edit(struct buf *b)
{
	static const char *const words[] = { "../", "/", "d/link/x", "..", "\n", "d" };
	static const uint32_t numbers[] = { 0, 1, 0x7fffffff, 0xffffffff, 0x80000000 };
	size_t at = draw(b->len), n = 1 + draw(64);
	const char *word = words[draw(sizeof words / sizeof *words)];

	n = n < b->len - at ? n : b->len - at;
	switch (draw(6)) {
	case 0:
		b->data[at] ^= (char)(1 << draw(8));
		break;
	case 1:
		b->data[at] = (char)draw(256);
		break;
	case 2:
		if (b->len - at >= 4)
			memcpy(b->data + at, &numbers[draw(5)], 4);
		break;
	case 3:
		memcpy(b->data + at, word, n < strlen(word) ? n : strlen(word));
		break;
	case 4:
		memmove(b->data + draw(b->len - n + 1), b->data + at, n);
		break;
	default:
		if (draw(8) == 0)
			b->len = at + 1;
	}
}

/* Else nearly every edit of a tar would end at its header's checksum. */
static void mend_checksums(struct buf *b)
{
	for (size_t at = 0; at + TAR_BLOCK <= b->len; at += TAR_BLOCK) {
		unsigned char *block = (unsigned char *)b->data + at;
		unsigned sum = 0;
		char octal[8];

		if (memcmp(block + 257, "ustar", 5) != 0)
			continue;
		memset(block + 148, ' ', 8);
		for (size_t i = 0; i < TAR_BLOCK; i++)
			sum += block[i];
		(void)snprintf(octal, sizeof octal, "%06o", sum & 0777777);
		memcpy(block + 148, octal, 7);
	}
}

static void give(const struct buf *b)
{
	struct mh_err err = MH_ERR_INIT;

	must(fs_write_atomic_at(AT_FDCWD, last, b->data, b->len, 0600, &err), &err);
	(void)LLVMFuzzerTestOneInput((const uint8_t *)b->data, b->len);
}

/* One gzip member; deflated, so that inflate has something to do. */
static void give_gzipped(const struct buf *b)
{
	size_t room = compressBound(b->len) + 32;
	CLEAN(free) char *out = mh_alloc(room);
	z_stream z = { .next_in = (unsigned char *)b->data,
		       .avail_in = (uInt)b->len,
		       .next_out = (unsigned char *)out,
		       .avail_out = (uInt)room };
	struct buf packed = BUF_INIT(room);

	if (deflateInit2(&z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK ||
	    deflate(&z, Z_FINISH) != Z_STREAM_END)
		abort();
	packed.data = out;
	packed.len = room - z.avail_out;
	(void)deflateEnd(&z);
	if (draw(4) == 0)
		edit(&packed);
	give(&packed);
}

static void round_of(const struct buf corpus[2])
{
	const struct buf *from = &corpus[draw(2)];
	CLEAN(buf) struct buf b = BUF_INIT(from->max);
	struct mh_err err = MH_ERR_INIT;

	must(buf_add(&b, from->data, from->len, &err), &err);
	for (uint64_t edits = draw(5); edits; edits--)
		edit(&b);
	if (from == &corpus[1] && draw(4))
		mend_checksums(&b);
	if (from == &corpus[1] && draw(2))
		give_gzipped(&b);
	else
		give(&b);
}

static void give_file(const char *path)
{
	CLEAN(buf) struct buf b = BUF_INIT(1 << 30);
	struct mh_err err = MH_ERR_INIT;

	must(fs_read_at(AT_FDCWD, path, &b, &err), &err);
	(void)LLVMFuzzerTestOneInput((const uint8_t *)buf_text(&b), b.len);
}

int main(int argc, char **argv)
{
	struct buf corpus[2] = { BUF_INIT(1 << 20), BUF_INIT(1 << 20) };
	struct mh_err err = MH_ERR_INIT;
	int64_t seed = (int64_t)time(NULL), rounds = 1500;

	if (sodium_init() < 0)
		return 1;
	for (; argc > 2 && argv[1][0] == '-'; argc -= 2, argv += 2)
		must(str_to_i64(argv[2], 0, INT64_MAX, argv[1],
				strcmp(argv[1], "--seed") == 0 ? &seed : &rounds, &err),
		     &err);
	if (argc > 1) {
		for (int i = 1; i < argc; i++)
			give_file(argv[i]);
		return 0;
	}
	(void)printf("1..1\n# seed %" PRId64 ", %" PRId64
		     " rounds; what was given last: %s\n",
		     seed, rounds, last);
	(void)fflush(stdout);
	state = (uint64_t)seed;
	make_corpus(corpus);
	for (; rounds; rounds--)
		round_of(corpus);
	(void)unlink(last);
	(void)printf("ok 1 - no archive harms, whatever its bytes\n");
	buf_done(&corpus[0]);
	buf_done(&corpus[1]);
	return 0;
}
