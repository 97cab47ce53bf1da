/*
 * Zip archives: the central directory alone, held to what its header promises, then the
 * whole archive unpacked. An input of odd length is a member's packed bytes besides, in a
 * sound archive around them, for nearly every mutation of an archive ends at its
 * checksum.
 */
#include <libdeflate.h>
#include <zlib.h>

#include "agent/archive/zipdir.h"
#include "agent/archive/zipfmt.h"
#include "agent/archive/zipwrite.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/unpacking.h"

static void read_directory(int fd)
{
	const struct archive_limits limits = ARCHIVE_LIMITS_DEFAULT;
	CLEAN(zip_dir) struct zip_dir dir = { .members = NULL };
	struct mh_err err = MH_ERR_INIT;
	struct source source;
	uint64_t end = 0;

	MH_ASSERT(source_open(&source, fd, &err) == 0);
	if (zip_dir_read(&dir, &source, &limits, &err) != 0) {
		MH_ASSERT(*err.text && dir.members == NULL);
		return;
	}
	for (uint32_t i = 0; i < dir.count; i++) {
		const struct zip_member *m = &dir.members[i];

		MH_ASSERT(m->header_at >= end && m->data_at > m->header_at);
		MH_ASSERT(m->data_at <= source.size &&
			  m->packed <= source.size - m->data_at);
		end = m->data_at + m->packed;
	}
}

#define CONTENT_MAX (32 * 1024)

/* What zlib makes of the bytes, when they are one whole stream; else -1. */
static ssize_t inflate_stream(const uint8_t *data, size_t size, unsigned char *content)
{
	z_stream z = { .next_in = (Bytef *)(uintptr_t)data,
		       .avail_in = (uInt)size,
		       .next_out = content,
		       .avail_out = CONTENT_MAX };
	int rc;

	MH_ASSERT(inflateInit2(&z, -15) == Z_OK);
	rc = inflate(&z, Z_FINISH);
	(void)inflateEnd(&z); /* only frees */
	if (rc != Z_STREAM_END || z.avail_in)
		return -1;
	return (ssize_t)CONTENT_MAX - z.avail_out;
}

static void try_deflated(const uint8_t *data, size_t size)
{
	const struct node file = { .type = NODE_FILE, .mode = 0644, .mtime_s = 1 };
	CLEAN(free) unsigned char *content = mh_alloc(CONTENT_MAX);
	ssize_t len = inflate_stream(data, size, content);
	struct zip_written m = { .size = len < 0 ? size : (size_t)len,
				 .packed = size,
				 .method = ZIP_DEFLATED };
	CLEAN(fd) int fd = unpacking_file("", 0);
	struct mh_err err;
	uint64_t dir_at;
	struct out out;

	m.crc = libdeflate_crc32(0, content, len < 0 ? 0 : (size_t)len);
	out_init(&out, fd);
	MH_ASSERT(zip_write_local(&out, &m, &file, "a", &err) == 0 &&
		  out_write(&out, data, size, &err) == 0);
	dir_at = out.bytes;
	MH_ASSERT(zip_write_entry(&out, &m, &file, "a", &err) == 0 &&
		  zip_write_end(&out, 1, dir_at, &err) == 0 &&
		  out_flush(&out, &err) == 0);
	out_done(&out);
	/* what zlib takes is taken, in both ways */
	MH_ASSERT(unpacking_try(fd) || len < 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEAN(fd) int fd = unpacking_file(data, size);

	read_directory(fd);
	(void)unpacking_try(fd); /* either is right */
	if (size % 2)
		try_deflated(data, size);
	return 0;
}
