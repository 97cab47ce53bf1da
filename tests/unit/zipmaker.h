/*
 * Writes zip archives byte by byte, right ones and wrong ones, into a memory
 * file. A member's local header and directory entry are two records, so that a
 * test can make them differ.
 *
 *	struct zipmaker z; zipmaker_init(&z);
 *	zipmaker_add(&z, "a", "text");            stored, mode 0644
 *	fd = zipmaker_finish(&z);                 the caller closes it
 */
#ifndef MH_TESTS_UNIT_ZIPMAKER_H
#define MH_TESTS_UNIT_ZIPMAKER_H

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <zlib.h>

#include "lib/base/buf.h"

struct zip_record {
	const char *name;
	unsigned system, flags, method, mode;
	unsigned long crc, packed, size, offset;
	const char *extra;
	size_t extra_len;
};

struct zipmaker {
	struct buf file;
	struct buf directory;
	unsigned count;
};

static void zipmaker_init(struct zipmaker *z)
{
	buf_init(&z->file, 1 << 20);
	buf_init(&z->directory, 1 << 20);
	z->count = 0;
}

static void put(struct buf *b, unsigned bytes, unsigned long value)
{
	for (unsigned i = 0; i < bytes; i++)
		buf_putc(b, (char)(value >> (8 * i)));
}

static void put_bytes(struct buf *b, const void *data, size_t len)
{
	struct mh_err err;

	assert_int_equal(buf_add(b, data, len, &err), 0);
}

static void put_local(struct buf *b, const struct zip_record *r)
{
	put(b, 4, 0x04034b50);
	put(b, 2, 20);
	put(b, 2, r->flags);
	put(b, 2, r->method);
	put(b, 4, 0x5a746000); /* 2025-03-20 12:00:00 */
	put(b, 4, r->crc);
	put(b, 4, r->packed);
	put(b, 4, r->size);
	put(b, 2, strlen(r->name));
	put(b, 2, r->extra_len);
	buf_puts(b, r->name);
	put_bytes(b, r->extra, r->extra_len);
}

static void put_entry(struct zipmaker *z, const struct zip_record *r)
{
	struct buf *b = &z->directory;

	put(b, 4, 0x02014b50);
	put(b, 2, 20 | r->system << 8);
	put(b, 2, 20);
	put(b, 2, r->flags);
	put(b, 2, r->method);
	put(b, 4, 0x5a746000);
	put(b, 4, r->crc);
	put(b, 4, r->packed);
	put(b, 4, r->size);
	put(b, 2, strlen(r->name));
	put(b, 2, r->extra_len);
	put(b, 2, 0);
	put(b, 2, 0);
	put(b, 2, 0);
	put(b, 4, (unsigned long)r->mode << 16);
	put(b, 4, r->offset);
	buf_puts(b, r->name);
	put_bytes(b, r->extra, r->extra_len);
	z->count++;
}

/* A stored member as it should be, at the file's present end. */
static struct zip_record zip_record_of(const struct zipmaker *z, const char *name,
				       const char *text)
{
	return (struct zip_record){
		.name = name,
		.system = 3,
		.mode = 0100644,
		.crc = crc32(0, (const unsigned char *)text, (unsigned)strlen(text)),
		.packed = strlen(text),
		.size = strlen(text),
		.offset = z->file.len,
		.extra = "",
	};
}

static void zipmaker_add_mode(struct zipmaker *z, const char *name, unsigned mode,
			      const char *text)
{
	struct zip_record r = zip_record_of(z, name, text);

	r.mode = mode;
	put_local(&z->file, &r);
	buf_puts(&z->file, text);
	put_entry(z, &r);
}

static void zipmaker_add(struct zipmaker *z, const char *name, const char *text)
{
	zipmaker_add_mode(z, name, 0100644, text);
}

static int memory_file(const void *data, size_t len)
{
	int fd = memfd_create("zip", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), (ssize_t)len);
	return fd;
}

static void put_end(struct zipmaker *z, unsigned count, const char *comment)
{
	unsigned long at = z->file.len;

	put_bytes(&z->file, z->directory.data, z->directory.len);
	put(&z->file, 4, 0x06054b50);
	put(&z->file, 4, 0);
	put(&z->file, 2, count);
	put(&z->file, 2, count);
	put(&z->file, 4, z->directory.len);
	put(&z->file, 4, at);
	put(&z->file, 2, strlen(comment));
	buf_puts(&z->file, comment);
}

/* The descriptor of the finished archive; z is done. */
static int zipmaker_close(struct zipmaker *z)
{
	int fd = memory_file(z->file.data, z->file.len);

	buf_done(&z->file);
	buf_done(&z->directory);
	return fd;
}

static MH_UNUSED int zipmaker_finish(struct zipmaker *z)
{
	put_end(z, z->count, "");
	return zipmaker_close(z);
}

#endif
