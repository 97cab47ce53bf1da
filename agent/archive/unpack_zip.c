/*
 * The zip reader: the central directory (zipdir.h) says what there is, and each
 * member's bytes must then be exactly that: as many, with that checksum, from
 * exactly as many packed bytes.
 *
 * Members up to limits->whole_bytes are inflated by libdeflate, whole; it takes half
 * of zlib's time, but knows no streams. Longer ones pass through zlib in blocks.
 */
#include "agent/archive/unpack.h"

#include <string.h>
#include <sys/stat.h>

#include <libdeflate.h>
#include <zlib.h>

#include "agent/archive/names.h"
#include "agent/archive/zipdir.h"
#include "agent/archive/zipfmt.h"

#define BLOCK_SIZE (64 * 1024)
#define ROOM_MIN   (4 * 1024)

/* Memory that is kept from member to member. */
struct room {
	unsigned char *data;
	size_t size;
};

struct blocks;

struct reader {
	struct unpack *unpack;
	struct libdeflate_decompressor *inflater;
	struct room packed, content;
	struct blocks *blocks; /* NULL until a member needs it */
};

static unsigned char *room_for(struct room *r, size_t len)
{
	if (len > r->size) {
		while (r->size < len)
			r->size = r->size ? 2 * r->size : ROOM_MIN;
		free(r->data);
		r->data = mh_alloc(r->size);
	}
	return r->data;
}

/* Where a member's content goes: into a file, or into memory for a link's target. */
struct content {
	struct unpack_file *file; /* NULL: into text */
	struct buf text;
	uint64_t len;
	uint32_t crc;
};

static int content_add(struct content *c, const struct zip_member *m, const void *data,
		       size_t len, struct mh_err *err)
{
	if (len > m->size - c->len)
		return mh_err_set(err, MH_E_PROTO, "it is longer than its header says");
	c->crc = libdeflate_crc32(c->crc, data, len);
	if (c->file && unpack_file_write(c->file, c->len, data, len, err) != 0)
		return -1;
	if (!c->file && buf_add(&c->text, data, len, err) != 0)
		return -1;
	c->len += len;
	return 0;
}

static int copy_stored(struct reader *r, const struct zip_member *m, struct content *c,
		       struct mh_err *err)
{
	const struct source *source = r->unpack->source;

	while (c->len < m->size) {
		uint64_t left = m->size - c->len;
		size_t n = left < BLOCK_SIZE ? (size_t)left : BLOCK_SIZE;
		const unsigned char *bytes = NULL;

		if (source_view_at(source, m->data_at + c->len,
				   room_for(&r->content, BLOCK_SIZE), n, &bytes,
				   err) != 0 ||
		    content_add(c, m, bytes, n, err) != 0)
			return -1;
	}
	return 0;
}

/* The whole member at once. */
static int inflate_whole(struct reader *r, const struct zip_member *m, struct content *c,
			 struct mh_err *err)
{
	unsigned char *out = room_for(&r->content, (size_t)m->size + 1);
	const unsigned char *in = NULL;
	size_t used = 0, got = 0;
	enum libdeflate_result rc;

	if (source_view_at(r->unpack->source, m->data_at,
			   room_for(&r->packed, (size_t)m->packed + 1), (size_t)m->packed,
			   &in, err) != 0)
		return -1;
	rc = libdeflate_deflate_decompress_ex(r->inflater, in, (size_t)m->packed, out,
					      (size_t)m->size, &used, &got);
	if (rc == LIBDEFLATE_INSUFFICIENT_SPACE)
		return mh_err_set(err, MH_E_PROTO, "it is longer than its header says");
	if (rc != LIBDEFLATE_SUCCESS)
		return mh_err_set(err, MH_E_PROTO,
				  "its compressed data is damaged or cut off");
	if (used != m->packed)
		return mh_err_set(err, MH_E_PROTO, "bytes follow its compressed data");
	return content_add(c, m, out, got, err);
}

/* What passes through zlib. */
struct blocks {
	z_stream z;
	uint64_t at; /* next packed byte */
	uint64_t left; /* packed bytes not yet read */
	unsigned char in[BLOCK_SIZE];
	unsigned char out[BLOCK_SIZE];
};

static int inflate_refill(struct blocks *i, const struct source *s, struct mh_err *err)
{
	size_t n = i->left < sizeof i->in ? (size_t)i->left : sizeof i->in;

	if (i->z.avail_in || n == 0)
		return 0;
	if (source_read_at(s, i->at, i->in, n, err) != 0)
		return -1;
	i->at += n;
	i->left -= n;
	i->z.next_in = i->in;
	i->z.avail_in = (uInt)n;
	return 0;
}

static int inflate_all(struct blocks *i, const struct source *s,
		       const struct zip_member *m, struct content *c, struct mh_err *err)
{
	int rc = Z_OK;

	while (rc != Z_STREAM_END) {
		if (inflate_refill(i, s, err) != 0)
			return -1;
		i->z.next_out = i->out;
		i->z.avail_out = sizeof i->out;
		rc = inflate(&i->z, Z_NO_FLUSH);
		if (rc == Z_BUF_ERROR)
			return mh_err_set(err, MH_E_PROTO,
					  "its compressed data is cut off");
		if (rc == Z_MEM_ERROR)
			return mh_err_set(err, MH_E_SYS, "zlib has no memory");
		if (rc != Z_OK && rc != Z_STREAM_END)
			return mh_err_set(
				err, MH_E_PROTO, "its compressed data is damaged (%s)",
				i->z.msg ? i->z.msg : "it asks for a dictionary");
		if (content_add(c, m, i->out, sizeof i->out - i->z.avail_out, err) != 0)
			return -1;
	}
	if (i->z.avail_in || i->left)
		return mh_err_set(err, MH_E_PROTO, "bytes follow its compressed data");
	return 0;
}

static int start_blocks(struct reader *r, struct mh_err *err)
{
	if (r->blocks)
		return inflateReset(&r->blocks->z) == Z_OK
			       ? 0
			       : mh_err_set(err, MH_E_SYS, "zlib cannot start again");
	r->blocks = mh_alloc(sizeof *r->blocks);
	if (inflateInit2(&r->blocks->z, -15) == Z_OK) /* raw deflate, as zip has it */
		return 0;
	free(STEAL_PTR(r->blocks));
	return mh_err_set(err, MH_E_SYS, "zlib cannot start");
}

/* In blocks. */
static int inflate_long(struct reader *r, const struct zip_member *m, struct content *c,
			struct mh_err *err)
{
	if (start_blocks(r, err) != 0)
		return -1;
	r->blocks->at = m->data_at;
	r->blocks->left = m->packed;
	r->blocks->z.avail_in = 0;
	return inflate_all(r->blocks, r->unpack->source, m, c, err);
}

static int read_content(struct reader *r, const struct zip_member *m, struct content *c,
			struct mh_err *err)
{
	uint64_t whole = r->unpack->limits->whole_bytes;
	int rc;

	if (m->method == ZIP_STORED)
		rc = copy_stored(r, m, c, err);
	else if (m->size <= whole && m->packed <= whole)
		rc = inflate_whole(r, m, c, err);
	else
		rc = inflate_long(r, m, c, err);
	if (rc != 0)
		return -1;
	if (c->len != m->size)
		return mh_err_set(err, MH_E_PROTO, "it is shorter than its header says");
	if (c->crc != m->crc)
		return mh_err_set(err, MH_E_PROTO, "its checksum is wrong");
	return 0;
}

static int add_file(struct reader *r, const struct zip_member *m,
		    const struct unpack_entry *e, struct mh_err *err)
{
	CLEAN(unpack_file) struct unpack_file file = UNPACK_FILE_INIT;
	struct content c = { .file = &file };

	if (unpack_file_begin(r->unpack, e, &file, err) != 0)
		return -1;
	if (read_content(r, m, &c, err) != 0)
		return mh_err_wrap(err, "%s", NAME_SHOWN(m->name, m->name_len));
	return unpack_file_end(&file, file.size, err);
}

static int add_link(struct reader *r, const struct zip_member *m,
		    const struct unpack_entry *e, struct mh_err *err)
{
	struct content c = { .file = NULL, .text = BUF_INIT(NAME_PATH_MAX) };
	int rc = -1;

	if (m->size > NAME_PATH_MAX)
		return mh_err_set(
			err, MH_E_FULL,
			"%s: a symbolic link points to a name of more than %d bytes",
			NAME_SHOWN(m->name, m->name_len), NAME_PATH_MAX);
	if (read_content(r, m, &c, err) != 0)
		(void)mh_err_wrap(err, "%s", NAME_SHOWN(m->name, m->name_len));
	else
		rc = unpack_add_link(r->unpack, e, buf_text(&c.text), c.text.len, err);
	buf_done(&c.text);
	return rc;
}

/* S_IFMT of a member: what its maker said, else what its name says. */
static mode_t type_of(const struct zip_member *m)
{
	mode_t type = m->mode & S_IFMT;

	if (type)
		return type;
	return m->ends_in_slash ? S_IFDIR : S_IFREG;
}

static mode_t permissions_of(const struct zip_member *m, mode_t type)
{
	mode_t bits = m->mode & 07777;

	/* none: made where there are no modes, or by a program that set none */
	if (bits == 0 && (m->mode & S_IFMT) != S_IFREG)
		return type == S_IFDIR ? 0755 : 0644;
	return bits;
}

/* What can be said before anything is unpacked. */
static int check_member(const struct unpack *u, const struct zip_member *m,
			struct mh_err *err)
{
	struct name_rules rules = { .depth_max = u->limits->depth, .dos = m->dos };
	CLEAN(free) char *path = NULL;
	mode_t type = type_of(m);

	if (name_judge(&rules, m->name, m->name_len, &path, err) != 0)
		return -1;
	if (type != S_IFREG && type != S_IFLNK && type != S_IFDIR)
		return mh_err_set(err, MH_E_DENIED,
				  "%s: it is neither file, directory nor symbolic link",
				  NAME_SHOWN(m->name, m->name_len));
	if (m->ends_in_slash && type != S_IFDIR)
		return mh_err_set(err, MH_E_PROTO,
				  "%s: the name is a directory's, but the member is none",
				  NAME_SHOWN(m->name, m->name_len));
	if (type == S_IFDIR && m->size != 0)
		return mh_err_set(err, MH_E_PROTO, "%s: a directory with content",
				  NAME_SHOWN(m->name, m->name_len));
	return 0;
}

static int add_member(struct reader *r, const struct zip_member *m, struct mh_err *err)
{
	mode_t type = type_of(m);
	struct unpack_entry e = { .name = m->name,
				  .name_len = m->name_len,
				  .dos = m->dos,
				  .mode = permissions_of(m, type),
				  .mtime_s = m->mtime_s };

	if (type == S_IFDIR)
		return unpack_add_dir(r->unpack, &e, err);
	if (type == S_IFLNK)
		return add_link(r, m, &e, err);
	return add_file(r, m, &e, err);
}

static int add_members(struct reader *r, const struct zip_dir *dir, struct mh_err *err)
{
	for (uint32_t i = 0; i < dir->count; i++)
		if (check_member(r->unpack, &dir->members[i], err) != 0)
			return -1;
	for (uint32_t i = 0; i < dir->count; i++)
		if (add_member(r, &dir->members[i], err) != 0)
			return -1;
	return 0;
}

static void reader_done(struct reader *r)
{
	libdeflate_free_decompressor(r->inflater);
	if (r->blocks)
		(void)inflateEnd(&r->blocks->z); /* only frees */
	free(r->blocks);
	free(r->packed.data);
	free(r->content.data);
}

int unpack_zip(struct unpack *u, struct mh_err *err)
{
	CLEAN(zip_dir) struct zip_dir dir = { .members = NULL };
	struct reader r = { .unpack = u };
	int rc;

	if (!source_is_zip(u->source))
		return mh_err_set(err, MH_E_CONFIG, "this is no zip archive");
	if (zip_dir_read(&dir, u->source, u->limits, err) != 0)
		return -1;
	r.inflater = libdeflate_alloc_decompressor();
	rc = r.inflater ? add_members(&r, &dir, err)
			: mh_err_set(err, MH_E_SYS, "libdeflate has no memory");
	reader_done(&r);
	return rc;
}
