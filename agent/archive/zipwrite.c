#include "agent/archive/zipwrite.h"

#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "agent/archive/names.h"
#include "agent/archive/zipfmt.h"

#define MADE_ON_UNIX (3 << 8)
#define SIZE64_FROM  0xff000000u /* what is packed may come out a little longer */
#define EXTRA_MAX    (4 + 3 * 8 + 4 + 5)
#define NAME_MAX_LEN (NAME_PATH_MAX + 1) /* a directory's ends in a slash */

/* MS-DOS date and time as one number. They have no time zone; it is UTC here, so that the
 * same tree gives the same bytes everywhere. EXTRA_TIMES says it better. */
static uint32_t dos_time(int64_t mtime_s)
{
	time_t t = (time_t)mtime_s;
	struct tm tm;

	if (!gmtime_r(&t, &tm) || tm.tm_year > 207)
		return 0xff9fbf7d; /* 2107-12-31 23:59:58 */
	if (tm.tm_year < 80)
		return 0x00210000; /* 1980-01-01 */
	return (uint32_t)(tm.tm_year - 80) << 25 | (uint32_t)(tm.tm_mon + 1) << 21 |
	       (uint32_t)tm.tm_mday << 16 | (uint32_t)tm.tm_hour << 11 |
	       (uint32_t)tm.tm_min << 5 | (uint32_t)tm.tm_sec / 2;
}

static unsigned char *put_times(unsigned char *p, int64_t mtime_s)
{
	if (mtime_s > INT32_MAX)
		return p;
	p = put16(put16(p, EXTRA_TIMES), 5);
	*p++ = 1; /* the modification time alone */
	return put32(p, (uint32_t)mtime_s);
}

static uint32_t low32(uint64_t value)
{
	return value < FULL32 ? (uint32_t)value : FULL32;
}

static bool is_ascii(const unsigned char *s, size_t len)
{
	while (len && s[len - 1] < 0x80)
		len--;
	return len == 0;
}

static size_t put_name(unsigned char *p, const struct node *n, const char *path)
{
	size_t len = strlen(path);

	memcpy(p, path, len);
	if (n->type == NODE_DIR)
		p[len++] = '/';
	return len;
}

static bool is_wide(const struct zip_written *m)
{
	return m->size >= SIZE64_FROM || m->packed >= FULL32;
}

/* Version, flags, method, time, checksum and sizes: the same in both headers. */
static unsigned char *put_common(unsigned char *p, const struct zip_written *m,
				 const struct node *n, bool ascii, bool wide, bool local)
{
	bool later = m->deferred && local;
	unsigned version = wide ? 45 : m->method || n->type == NODE_DIR ? 20 : 10;

	p = put16(p, version);
	p = put16(p, (ascii ? 0 : FLAG_UTF8) | (m->deferred ? FLAG_DESCRIPTOR : 0u));
	p = put16(p, m->method);
	p = put32(p, dos_time(n->mtime_s));
	p = put32(p, later ? 0 : m->crc);
	if (local && wide)
		return put32(put32(p, FULL32), FULL32);
	p = put32(p, later ? 0 : low32(m->packed));
	return put32(p, later ? 0 : low32(m->size));
}

int zip_write_local(struct out *o, struct zip_written *m, const struct node *n,
		    const char *path, struct mh_err *err)
{
	unsigned char head[LOCAL_SIZE + NAME_MAX_LEN + EXTRA_MAX], *p;
	unsigned char *name = head + LOCAL_SIZE, *extra, *end;
	size_t len = put_name(name, n, path);

	m->at = o->bytes;
	extra = end = name + len;
	if (is_wide(m)) {
		end = put16(put16(end, EXTRA_ZIP64), 16);
		end = put64(end, m->deferred ? 0 : m->size);
		end = put64(end, m->deferred ? 0 : m->packed);
	}
	end = put_times(end, n->mtime_s);
	p = put_common(put32(head, LOCAL_SIG), m, n, is_ascii(name, len), is_wide(m),
		       true);
	put16(put16(p, (unsigned)len), (unsigned)(end - extra));
	return out_write(o, head, (size_t)(end - head), err);
}

int zip_write_descriptor(struct out *o, const struct zip_written *m, struct mh_err *err)
{
	unsigned char record[24], *p = put32(put32(record, DESCRIPTOR_SIG), m->crc);

	if (is_wide(m))
		p = put64(put64(p, m->packed), m->size);
	else
		p = put32(put32(p, (uint32_t)m->packed), (uint32_t)m->size);
	return out_write(o, record, (size_t)(p - record), err);
}

static unsigned char *put_zip64(unsigned char *p, const struct zip_written *m)
{
	unsigned char *head = p;

	p += 4;
	if (m->size >= FULL32)
		p = put64(p, m->size);
	if (m->packed >= FULL32)
		p = put64(p, m->packed);
	if (m->at >= FULL32)
		p = put64(p, m->at);
	if (p == head + 4)
		return head;
	put16(put16(head, EXTRA_ZIP64), (unsigned)(p - head - 4));
	return p;
}

/* The member's entry in the directory. */
int zip_write_entry(struct out *o, const struct zip_written *m, const struct node *n,
		    const char *path, struct mh_err *err)
{
	static const mode_t types[] = {
		[NODE_DIR] = S_IFDIR,
		[NODE_FILE] = S_IFREG,
		[NODE_LINK] = S_IFLNK,
	};
	unsigned char head[ENTRY_SIZE + NAME_MAX_LEN + EXTRA_MAX], *p;
	unsigned char *name = head + ENTRY_SIZE, *extra, *end;
	bool wide = is_wide(m) || m->at >= FULL32;
	size_t len = put_name(name, n, path);

	extra = name + len;
	end = put_times(put_zip64(extra, m), n->mtime_s);
	p = put16(put32(head, ENTRY_SIG), MADE_ON_UNIX | (wide ? 45 : 20));
	p = put_common(p, m, n, is_ascii(name, len), wide, false);
	p = put16(put16(p, (unsigned)len), (unsigned)(end - extra));
	p = put16(put16(put16(p, 0), 0), 0); /* comment, volume, text or not */
	p = put16(p, n->type == NODE_DIR ? 0x10 : 0); /* MS-DOS attributes */
	put32(put16(p, types[n->type] | n->mode), low32(m->at));
	return out_write(o, head, (size_t)(end - head), err);
}

int zip_write_end(struct out *o, uint64_t count, uint64_t dir_at, struct mh_err *err)
{
	uint64_t dir_end = o->bytes, dir_size = dir_end - dir_at;
	unsigned char end[END64_SIZE + LOCATOR64_SIZE + END_SIZE], *p = end;
	unsigned low_count = count < FULL16 ? (unsigned)count : FULL16;

	if (count >= FULL16 || dir_at >= FULL32 || dir_size >= FULL32) {
		p = put64(put32(p, END64_SIG), END64_SIZE - 12);
		p = put16(put16(p, MADE_ON_UNIX | 45), 45);
		p = put32(put32(p, 0), 0); /* volumes */
		p = put64(put64(p, count), count);
		p = put64(put64(p, dir_size), dir_at);
		p = put32(put32(p, LOCATOR64_SIG), 0);
		p = put32(put64(p, dir_end), 1);
	}
	p = put32(put32(p, END_SIG), 0); /* volumes */
	p = put16(put16(p, low_count), low_count);
	p = put32(put32(p, low32(dir_size)), low32(dir_at));
	p = put16(p, 0); /* comment */
	return out_write(o, end, (size_t)(p - end), err);
}
