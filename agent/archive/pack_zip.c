/*
 * The zip writer. What a member is, its local header says in full: size, packed size and
 * checksum, so that readers of every kind can take it from the front. The exception are
 * files over limits->whole_bytes that shrink: they pass through zlib in blocks, and a
 * data descriptor follows them (the output may be a pipe: there is no way back to the
 * header).
 *
 * libdeflate at LEVEL gives what zlib gives at its default 6, in about half the time.
 */
#include "agent/archive/pack.h"

#include <fcntl.h>
#include <string.h>

#include <libdeflate.h>
#include <zlib.h>

#include "agent/archive/names.h"
#include "agent/archive/zipfmt.h"
#include "agent/archive/zipwrite.h"
#include "lib/base/str.h"

#define LEVEL       5
#define BLOCK_SIZE  (64 * 1024)
#define SAMPLE_FROM (256 * 1024)
#define SAMPLE_SIZE (16 * 1024)
#define SAMPLES     8

struct zip {
	struct pack *pack;
	struct zip_written *members; /* one for each node of the tree; owned */
	struct libdeflate_compressor *deflater;
	unsigned char *content, *packed; /* room for one member each; owned */
	size_t room;
};

static int check_name(const char *path, struct mh_err *err)
{
	if (str_is_utf8(path, strlen(path)))
		return 0;
	return mh_err_set(err, MH_E_DENIED,
			  "%s: the name is not UTF-8, as names in a zip archive must "
			  "be; rename it or pack as tar",
			  NAME_SHOWN(path, strlen(path)));
}

/* --- content ------------------------------------------------------------------------ */

static void make_room(struct zip *z, size_t len)
{
	if (len <= z->room)
		return;
	while (z->room < len)
		z->room = z->room ? 2 * z->room : SAMPLE_FROM;
	free(z->content);
	free(z->packed);
	z->content = mh_alloc(z->room);
	z->packed = mh_alloc(z->room);
}

/* What is compressed already (jar, png, zip) is not worth the time: looks at pieces. */
static int is_worth_it(struct zip *z, int fd, const struct node *n, const char *path,
		       bool *ret, struct mh_err *err)
{
	unsigned char sample[SAMPLE_SIZE], packed[SAMPLE_SIZE];
	uint64_t step = (n->size - sizeof sample) / (SAMPLES - 1);

	*ret = true;
	for (unsigned i = 0; i < SAMPLES; i++) {
		if (lseek(fd, (off_t)(i * step), SEEK_SET) < 0)
			return mh_err_sys(err, "%s", NAME_SHOWN(path, strlen(path)));
		if (pack_read_file(fd, path, sample, sizeof sample, err) != 0)
			return -1;
		if (libdeflate_deflate_compress(z->deflater, sample, sizeof sample,
						packed,
						sizeof packed - sizeof packed / 64))
			return 0;
	}
	*ret = false;
	return 0;
}

static int rewind_file(int fd, const char *path, struct mh_err *err)
{
	if (lseek(fd, 0, SEEK_SET) < 0)
		return mh_err_sys(err, "%s", NAME_SHOWN(path, strlen(path)));
	return 0;
}

static int write_whole(struct zip *z, struct zip_written *m, const struct node *n,
		       const char *path, int fd, bool deflate, struct mh_err *err)
{
	size_t size = (size_t)n->size, packed = 0;

	make_room(z, size);
	if (pack_read_file(fd, path, z->content, size, err) != 0)
		return -1;
	m->crc = libdeflate_crc32(0, z->content, size);
	if (deflate && size > 1) /* 0: it does not become smaller */
		packed = libdeflate_deflate_compress(z->deflater, z->content, size,
						     z->packed, size - 1);
	m->method = packed ? ZIP_DEFLATED : ZIP_STORED;
	m->packed = packed ? packed : size;
	if (zip_write_local(&z->pack->out, m, n, path, err) != 0)
		return -1;
	return out_write(&z->pack->out, packed ? z->packed : z->content,
			 (size_t)m->packed, err);
}

/* Calls back with the file's content in blocks; answers its checksum. */
static int read_blocks(struct zip *z, struct zip_written *m, const char *path, int fd,
		       int (*take)(struct zip *z, void *data, size_t len, bool last,
				   void *arg, struct mh_err *err),
		       void *arg, struct mh_err *err)
{
	uint32_t crc = 0;

	for (uint64_t left = m->size; left;) {
		size_t len = left < BLOCK_SIZE ? (size_t)left : BLOCK_SIZE;

		left -= len;
		if (pack_read_file(fd, path, z->content, len, err) != 0)
			return -1;
		crc = libdeflate_crc32(crc, z->content, len);
		if (take && take(z, z->content, len, left == 0, arg, err) != 0)
			return -1;
	}
	m->crc = crc;
	return 0;
}

static int take_as_it_is(struct zip *z, void *data, size_t len, bool last, void *arg,
			 struct mh_err *err)
{
	(void)last;
	(void)arg;
	return out_write(&z->pack->out, data, len, err);
}

/* Twice through the file, because its checksum comes before it. */
static int write_long_stored(struct zip *z, struct zip_written *m, const struct node *n,
			     const char *path, int fd, struct mh_err *err)
{
	uint32_t crc;

	m->method = ZIP_STORED;
	m->packed = m->size;
	if (read_blocks(z, m, path, fd, NULL, NULL, err) != 0 ||
	    rewind_file(fd, path, err) != 0 ||
	    zip_write_local(&z->pack->out, m, n, path, err) != 0)
		return -1;
	crc = m->crc;
	if (read_blocks(z, m, path, fd, take_as_it_is, NULL, err) != 0)
		return -1;
	if (crc != m->crc)
		return mh_err_set(err, MH_E_SYS, "%s: it changed while it was packed",
				  NAME_SHOWN(path, strlen(path)));
	return 0;
}

static int take_deflated(struct zip *z, void *data, size_t len, bool last, void *arg,
			 struct mh_err *err)
{
	z_stream *s = arg;

	s->next_in = data;
	s->avail_in = (uInt)len;
	do {
		s->next_out = z->packed;
		s->avail_out = BLOCK_SIZE;
		if (deflate(s, last ? Z_FINISH : Z_NO_FLUSH) == Z_STREAM_ERROR)
			return mh_err_set(err, MH_E_SYS, "zlib failed");
		if (out_write(&z->pack->out, z->packed, BLOCK_SIZE - s->avail_out, err) !=
		    0)
			return -1;
	} while (s->avail_out == 0);
	return 0;
}

static int write_long_deflated(struct zip *z, struct zip_written *m, const struct node *n,
			       const char *path, int fd, struct mh_err *err)
{
	z_stream s = { .next_in = NULL };
	uint64_t begin;
	int rc;

	m->method = ZIP_DEFLATED;
	m->deferred = true;
	if (zip_write_local(&z->pack->out, m, n, path, err) != 0)
		return -1;
	if (deflateInit2(&s, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -15, 8,
			 Z_DEFAULT_STRATEGY) != Z_OK)
		return mh_err_set(err, MH_E_SYS, "zlib cannot start");
	begin = z->pack->out.bytes;
	rc = read_blocks(z, m, path, fd, take_deflated, &s, err);
	(void)deflateEnd(&s); /* only frees */
	m->packed = z->pack->out.bytes - begin;
	return rc == 0 ? zip_write_descriptor(&z->pack->out, m, err) : -1;
}

static int write_file(struct zip *z, struct zip_written *m, const struct node *n,
		      const char *path, struct mh_err *err)
{
	CLEAN(fd) int fd = -1;
	bool deflate = true;

	if (pack_open_file(z->pack, path, &fd, err) != 0)
		return -1;
	m->size = n->size;
	if (n->size >= SAMPLE_FROM && (is_worth_it(z, fd, n, path, &deflate, err) != 0 ||
				       rewind_file(fd, path, err) != 0))
		return -1;
	if (n->size <= z->pack->limits->whole_bytes || n->size == 0)
		return write_whole(z, m, n, path, fd, deflate, err);
	make_room(z, BLOCK_SIZE);
	return deflate ? write_long_deflated(z, m, n, path, fd, err)
		       : write_long_stored(z, m, n, path, fd, err);
}

/* A directory, or a link, whose content is where it points. */
static int write_small(struct zip *z, struct zip_written *m, const struct node *n,
		       const char *path, struct mh_err *err)
{
	const char *content = n->type == NODE_LINK ? n->target : "";

	m->method = ZIP_STORED;
	m->size = m->packed = strlen(content);
	m->crc = libdeflate_crc32(0, content, (size_t)m->size);
	if (zip_write_local(&z->pack->out, m, n, path, err) != 0)
		return -1;
	return out_write(&z->pack->out, content, (size_t)m->size, err);
}

static int write_members(struct zip *z, struct mh_err *err)
{
	CLEAN(buf) struct buf path = BUF_INIT(NAME_PATH_MAX);
	const struct tree *tree = &z->pack->tree;
	uint64_t dir_at;

	for (uint32_t i = 1; i < tree->count; i++) {
		const struct node *n = &tree->nodes[i];
		const char *name = tree_path(tree, i, &path);

		if ((n->type == NODE_FILE
			     ? write_file(z, &z->members[i], n, name, err)
			     : write_small(z, &z->members[i], n, name, err)) != 0)
			return -1;
	}
	dir_at = z->pack->out.bytes;
	for (uint32_t i = 1; i < tree->count; i++)
		if (zip_write_entry(&z->pack->out, &z->members[i], &tree->nodes[i],
				    tree_path(tree, i, &path), err) != 0)
			return -1;
	return zip_write_end(&z->pack->out, tree->count - 1, dir_at, err);
}

static int write_zip(struct pack *p, struct mh_err *err)
{
	struct zip z = { .pack = p };
	int rc;

	z.members = mh_alloc(p->tree.count * sizeof *z.members);
	z.deflater = libdeflate_alloc_compressor(LEVEL);
	rc = z.deflater ? write_members(&z, err)
			: mh_err_set(err, MH_E_SYS, "libdeflate has no memory");
	libdeflate_free_compressor(z.deflater);
	free(z.members);
	free(z.content);
	free(z.packed);
	return rc;
}

const struct packer pack_zip = { .check_name = check_name, .write = write_zip };
