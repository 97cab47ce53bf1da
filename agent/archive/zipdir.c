#include "agent/archive/zipdir.h"

#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <libdeflate.h>

#include "agent/archive/names.h"
#include "agent/archive/zipfmt.h"
#include "lib/base/macros.h"
#include "lib/base/str.h"

/* A window on the directory; no entry is longer (46 bytes and three fields of 65535). */
#define WINDOW_SIZE (256 * 1024)
/* Read with a local header at once: more than most names and extra fields need. */
#define LOCAL_GUESS (LOCAL_SIZE + 226)

/* The end record and what it says. */
struct end {
	uint64_t at;
	uint64_t dir_at;
	uint64_t dir_size;
	uint64_t dir_end; /* where the directory must stop: the first end record */
	uint64_t count;
};

static int broken(struct mh_err *err, const char *what)
{
	return mh_err_set(err, MH_E_PROTO, "the zip archive's end is damaged: %s", what);
}

/* The last signature in the file's tail must be the record that ends the file. */
static int find_end(const struct source *s, struct end *end,
		    unsigned char record[END_SIZE], struct mh_err *err)
{
	CLEAN(free) unsigned char *tail = NULL;
	size_t len = END_SIZE + COMMENT_MAX, at;

	if (s->size < END_SIZE)
		return broken(err, "it is too short");
	if (s->size < len)
		len = (size_t)s->size;
	tail = mh_alloc(len);
	if (source_read_at(s, s->size - len, tail, len, err) != 0)
		return -1;
	for (at = len - END_SIZE; get32(tail + at) != END_SIG; at--)
		if (at == 0)
			return broken(err, "it is cut off");
	if (at + END_SIZE + get16(tail + at + 20) != len)
		return broken(err, "its comment does not reach the end of the file");
	memcpy(record, tail + at, END_SIZE);
	end->at = s->size - len + at;
	return 0;
}

/* 64-bit values replace those of the end record that are full, and must agree with
 * the others. */
static int merge64(uint64_t *value, uint64_t full, uint64_t value64, struct mh_err *err)
{
	if (*value != full && *value != value64)
		return broken(err, "its two end records differ");
	*value = value64;
	return 0;
}

static int read_end64(const struct source *s, struct end *end, struct mh_err *err)
{
	unsigned char p[END64_SIZE];
	uint64_t at;

	if (end->at < LOCATOR64_SIZE)
		return 0;
	if (source_read_at(s, end->at - LOCATOR64_SIZE, p, LOCATOR64_SIZE, err) != 0)
		return -1;
	if (get32(p) != LOCATOR64_SIG)
		return 0;
	at = get64(p + 8);
	if (get32(p + 4) != 0 || get32(p + 16) > 1)
		return broken(err, "it is one of several volumes");
	if (source_read_at(s, at, p, END64_SIZE, err) != 0 || get32(p) != END64_SIG)
		return broken(err, "its 64-bit end record is missing");
	if (get64(p + 4) > s->size || at + 12 + get64(p + 4) != end->at - LOCATOR64_SIZE)
		return broken(err, "its 64-bit end record has a wrong size");
	if (get32(p + 16) != 0 || get32(p + 20) != 0 || get64(p + 24) != get64(p + 32))
		return broken(err, "it is one of several volumes");
	if (merge64(&end->count, FULL16, get64(p + 32), err) != 0 ||
	    merge64(&end->dir_size, FULL32, get64(p + 40), err) != 0 ||
	    merge64(&end->dir_at, FULL32, get64(p + 48), err) != 0)
		return -1;
	end->dir_end = at;
	return 0;
}

static int read_end(const struct source *s, struct end *end, struct mh_err *err)
{
	unsigned char p[END_SIZE] = { 0 }; /* gcc does not see that find_end fills it */

	if (find_end(s, end, p, err) != 0)
		return -1;
	if (get16(p + 4) != 0 || get16(p + 6) != 0 || get16(p + 8) != get16(p + 10))
		return broken(err, "it is one of several volumes");
	end->count = get16(p + 10);
	end->dir_size = get32(p + 12);
	end->dir_at = get32(p + 16);
	end->dir_end = end->at;
	if (read_end64(s, end, err) != 0)
		return -1;
	if (end->dir_at > end->dir_end || end->dir_size != end->dir_end - end->dir_at)
		return broken(err, "the directory is not where it says");
	if (end->count > end->dir_size / ENTRY_SIZE)
		return broken(err, "it counts more members than there is room for");
	return 0;
}

/* Finds an extra field; *ret is NULL when it is not there. */
static int find_extra(const unsigned char *extra, size_t len, unsigned id,
		      const unsigned char **ret, size_t *ret_len, struct mh_err *err)
{
	*ret = NULL;
	/* up to 3 bytes over are padding that aligners leave */
	while (len >= 4) {
		size_t n = get16(extra + 2);

		if (n > len - 4)
			return mh_err_set(err, MH_E_PROTO, "an extra field is cut off");
		if (get16(extra) == id) {
			*ret = extra + 4;
			*ret_len = n;
			return 0;
		}
		extra += 4 + n;
		len -= 4 + n;
	}
	return 0;
}

/* Takes the next 8 bytes of a zip64 field for a value that is full. */
static int take64(uint64_t *value, const unsigned char **p, size_t *len,
		  struct mh_err *err)
{
	if (*value != FULL32)
		return 0;
	if (*len < 8)
		return mh_err_set(err, MH_E_PROTO, "its 64-bit sizes are missing");
	*value = get64(*p);
	*p += 8;
	*len -= 8;
	return 0;
}

static int apply_zip64(const unsigned char *extra, size_t extra_len, uint64_t *size,
		       uint64_t *packed, uint64_t *header_at, struct mh_err *err)
{
	const unsigned char *p;
	size_t len = 0;

	if (find_extra(extra, extra_len, EXTRA_ZIP64, &p, &len, err) != 0)
		return -1;
	if (!p) /* a value of 0xffffffff may be meant */
		return 0;
	if (take64(size, &p, &len, err) != 0 || take64(packed, &p, &len, err) != 0)
		return -1;
	return header_at ? take64(header_at, &p, &len, err) : 0;
}

/* MS-DOS date and time are local time, as in Info-ZIP's programs. */
static int64_t dos_time(unsigned date, unsigned time)
{
	struct tm tm = { .tm_year = (int)(date >> 9) + 80,
			 .tm_mon = (int)(date >> 5 & 15) - 1,
			 .tm_mday = (int)(date & 31),
			 .tm_hour = (int)(time >> 11),
			 .tm_min = (int)(time >> 5 & 63),
			 .tm_sec = (int)(time & 31) * 2,
			 .tm_isdst = -1 };
	time_t t;

	if (date == 0)
		return -1;
	t = mktime(&tm);
	return t < 0 ? -1 : (int64_t)t;
}

static int read_times(struct zip_member *m, const unsigned char *entry,
		      const unsigned char *extra, size_t extra_len, struct mh_err *err)
{
	const unsigned char *p;
	size_t len = 0;

	if (find_extra(extra, extra_len, EXTRA_TIMES, &p, &len, err) != 0)
		return -1;
	if (p && len >= 5 && (p[0] & 1))
		m->mtime_s = (int32_t)get32(p + 1) < 0 ? -1 : (int64_t)get32(p + 1);
	else
		m->mtime_s = dos_time(get16(entry + 14), get16(entry + 12));
	return 0;
}

/* The name field, or the Unicode path that goes with exactly this name field. */
static int read_name(struct zip_member *m, const unsigned char *name, size_t name_len,
		     size_t extra_len, struct mh_err *err)
{
	const unsigned char *extra = name + name_len, *p;
	size_t len = 0;

	if (find_extra(extra, extra_len, EXTRA_NAME, &p, &len, err) != 0)
		return -1;
	if (p && len > 5 && p[0] == 1 &&
	    get32(p + 1) == libdeflate_crc32(0, name, name_len)) {
		name = p + 5;
		name_len = len - 5;
	}
	m->name = mh_alloc(name_len + 1);
	memcpy(m->name, name, name_len);
	m->name_len = name_len;
	m->ends_in_slash = name_len && name[name_len - 1] == '/';
	return 0;
}

static int check_supported(const struct zip_member *m, struct mh_err *err)
{
	if (m->flags & FLAGS_REFUSED)
		return mh_err_set(err, MH_E_PROTO,
				  "it is encrypted, which is not supported");
	if (m->method != ZIP_STORED && m->method != ZIP_DEFLATED)
		return mh_err_set(
			err, MH_E_PROTO,
			"its compression method %u is not supported (stored and "
			"deflated are)",
			m->method);
	if (m->method == ZIP_STORED && m->packed != m->size)
		return mh_err_set(err, MH_E_PROTO,
				  "it is stored, but its two sizes differ");
	return 0;
}

/* One directory entry: its fixed part, and its name, extra fields and comment. */
static int read_entry(struct zip_member *m, const unsigned char *entry,
		      const unsigned char *name, struct mh_err *err)
{
	size_t name_len = get16(entry + 28), extra_len = get16(entry + 30);
	unsigned system = entry[5];

	/* git says 0 for plain files, system and version, and means no system at all */
	m->dos = get16(entry + 4) != 0 && (system == 0 || system == 6 || system == 10 ||
					   system == 11 || system == 14);
	m->flags = get16(entry + 8);
	m->method = get16(entry + 10);
	m->crc = get32(entry + 16);
	m->packed = get32(entry + 20);
	m->size = get32(entry + 24);
	m->header_at = get32(entry + 42);
	if (system == 3 || system == 19)
		m->mode = get32(entry + 38) >> 16;
	else if (entry[38] & 0x10) /* the directory bit of MS-DOS */
		m->mode = S_IFDIR;
	if (read_name(m, name, name_len, extra_len, err) != 0 ||
	    read_times(m, entry, name + name_len, extra_len, err) != 0 ||
	    apply_zip64(name + name_len, extra_len, &m->size, &m->packed, &m->header_at,
			err) != 0)
		return -1;
	return check_supported(m, err);
}

/* The end of a member's data, or a number past any file when the sum overflows. */
static uint64_t data_end(const struct zip_member *m)
{
	return m->packed > UINT64_MAX - m->data_at ? UINT64_MAX : m->data_at + m->packed;
}

static bool size_agrees(uint64_t local, uint64_t real, bool deferred)
{
	return local == real || (deferred && (local == 0 || local == FULL32));
}

/* The local header with its name and extra field into room, or where it lies in memory.
 */
static int read_local(const struct zip_member *m, const struct source *s, size_t name_len,
		      unsigned char **room, const unsigned char **ret, size_t *ret_extra,
		      struct mh_err *err)
{
	uint64_t left = m->header_at < s->size ? s->size - m->header_at : 0;
	size_t len = left < LOCAL_GUESS ? (size_t)left : LOCAL_GUESS, need;
	const unsigned char *h = NULL;

	if (len < LOCAL_SIZE)
		len = LOCAL_SIZE; /* says that the archive ends */
	*room = mh_realloc(*room, LOCAL_GUESS);
	if (source_view_at(s, m->header_at, *room, len, &h, err) != 0)
		return -1;
	if (get32(h) != LOCAL_SIG || get16(h + 26) != name_len)
		return mh_err_set(err, MH_E_PROTO, "its local header is not there");
	*ret_extra = get16(h + 28);
	need = LOCAL_SIZE + name_len + *ret_extra;
	if (need > len) {
		*room = mh_realloc(*room, need);
		if (source_view_at(s, m->header_at, *room, need, &h, err) != 0)
			return -1;
	}
	*ret = h;
	return 0;
}

/* The local header against the directory entry, whose bytes from the name on are in
 * entry_name. Fills m->data_at. */
static int check_local(struct zip_member *m, const struct source *s,
		       const unsigned char *entry_name, size_t name_len,
		       struct mh_err *err)
{
	CLEAN(free) unsigned char *room = NULL;
	bool deferred = m->flags & FLAG_DESCRIPTOR;
	const unsigned char *h = NULL, *name;
	uint64_t packed, size;
	size_t extra_len = 0;

	if (read_local(m, s, name_len, &room, &h, &extra_len, err) != 0)
		return -1;
	name = h + LOCAL_SIZE;
	packed = get32(h + 18);
	size = get32(h + 22);
	if (apply_zip64(name + name_len, extra_len, &size, &packed, NULL, err) != 0)
		return -1;
	if (memcmp(name, entry_name, name_len) != 0)
		return mh_err_set(err, MH_E_PROTO, "its local header says %s",
				  NAME_SHOWN((const char *)name, name_len));
	if (get16(h + 8) != m->method ||
	    ((get16(h + 6) ^ m->flags) & (FLAG_ENCRYPTED | FLAG_DESCRIPTOR)) ||
	    !size_agrees(packed, m->packed, deferred) ||
	    !size_agrees(size, m->size, deferred) ||
	    !(get32(h + 14) == m->crc || (deferred && get32(h + 14) == 0)))
		return mh_err_set(err, MH_E_PROTO,
				  "its local header and the directory do not agree");
	m->data_at = m->header_at + LOCAL_SIZE + name_len + extra_len;
	return 0;
}

/* What is being read of the directory. */
struct window {
	const struct source *source;
	unsigned char *room; /* owned; WINDOW_SIZE bytes, or the whole directory */
	const unsigned char *bytes; /* of the file from `at` on, `len` of them */
	uint64_t at;
	size_t len;
};

static void clean_window(struct window *w)
{
	free(w->room);
}

/* len (at most WINDOW_SIZE) bytes of the directory from `at` on, which do not reach over
 * its end. *ret is borrowed until the next call. */
static int window_look(struct window *w, const struct end *end, uint64_t at, size_t len,
		       const unsigned char **ret, struct mh_err *err)
{
	if (at < w->at || at - w->at > w->len || len > w->len - (size_t)(at - w->at)) {
		uint64_t left = end->dir_end - at;

		w->at = at;
		w->len = left < WINDOW_SIZE ? (size_t)left : WINDOW_SIZE;
		if (source_view_at(w->source, at, w->room, w->len, &w->bytes, err) != 0)
			return -1;
	}
	*ret = w->bytes + (at - w->at);
	return 0;
}

/* Reads the next entry, at *at, which moves behind it. */
static int next_member(struct zip_dir *dir, struct window *w, const struct end *end,
		       uint64_t *at, struct mh_err *err)
{
	struct zip_member *m = &dir->members[dir->count];
	const unsigned char *entry = NULL, *name;
	size_t len;

	if (end->dir_end - *at < ENTRY_SIZE)
		return broken(err, "the directory holds fewer members than it says");
	if (window_look(w, end, *at, ENTRY_SIZE, &entry, err) != 0)
		return -1;
	if (get32(entry) != ENTRY_SIG)
		return broken(err, "the directory holds fewer members than it says");
	len = ENTRY_SIZE + (size_t)get16(entry + 28) + get16(entry + 30) +
	      get16(entry + 32);
	if (end->dir_end - *at < len)
		return broken(err, "a directory entry is cut off");
	if (window_look(w, end, *at, len, &entry, err) != 0)
		return -1;
	name = entry + ENTRY_SIZE;
	*at += len;
	dir->count++; /* from here on zip_dir_done() sees the member */
	if (read_entry(m, entry, name, err) == 0 &&
	    check_local(m, w->source, name, get16(entry + 28), err) == 0)
		return 0;
	return mh_err_wrap(err, "%s",
			   NAME_SHOWN(m->name ? m->name : (const char *)name,
				      m->name ? m->name_len : get16(entry + 28)));
}

static int by_place(const void *a, const void *b)
{
	const struct zip_member *x = a, *y = b;

	return x->header_at < y->header_at ? -1 : x->header_at > y->header_at;
}

/* Length of the data descriptor behind m's data, 0 when none there fits. It comes with
 * or without a signature and with 4- or 8-byte sizes (APPNOTE 4.3.9). */
static size_t descriptor_length(const struct zip_member *m, const unsigned char *p,
				size_t len)
{
	for (int form = 0; form < 4; form++) {
		size_t sig = form & 1 ? 0 : 4, wide = form & 2 ? 8 : 4;
		const unsigned char *q = p + sig;

		if (len < sig + 4 + 2 * wide || (sig && get32(p) != DESCRIPTOR_SIG) ||
		    get32(q) != m->crc)
			continue;
		if ((wide == 8 ? get64(q + 4) : get32(q + 4)) == m->packed &&
		    (wide == 8 ? get64(q + 12) : get32(q + 8)) == m->size)
			return sig + 4 + 2 * wide;
	}
	return 0;
}

/* What lies between m's data (NULL: the start of the file) and the next member. */
static int check_gap(const struct zip_member *m, const struct source *s, uint64_t next,
		     struct mh_err *err)
{
	uint64_t at = m ? data_end(m) : 0;
	unsigned char p[24];
	size_t len, used = 0;

	if (at > next)
		return mh_err_set(err, MH_E_DENIED, "members of the archive overlap");
	len = next - at < sizeof p ? (size_t)(next - at) : sizeof p;
	if (source_read_at(s, at, p, len, err) != 0)
		return -1;
	if (m && (m->flags & FLAG_DESCRIPTOR)) {
		used = descriptor_length(m, p, len);
		if (!used)
			return mh_err_set(err, MH_E_PROTO,
					  "its data descriptor and the directory do not "
					  "agree");
		at += used;
		len = next - at < sizeof p ? (size_t)(next - at) : sizeof p;
		if (source_read_at(s, at, p, len, err) != 0)
			return -1;
	}
	if (len >= 2 && memcmp(p, "PK", 2) == 0)
		return mh_err_set(
			err, MH_E_PROTO,
			"the archive holds a member that its directory does not "
			"list");
	return 0;
}

static int check_layout(const struct zip_dir *dir, const struct source *s,
			const struct end *end, struct mh_err *err)
{
	uint64_t first = dir->count ? dir->members[0].header_at : end->dir_at;

	if (check_gap(NULL, s, first, err) != 0)
		return -1;
	for (uint32_t i = 0; i < dir->count; i++) {
		const struct zip_member *m = &dir->members[i];
		uint64_t next = i + 1 < dir->count ? m[1].header_at : end->dir_at;

		if (check_gap(m, s, next, err) != 0)
			return mh_err_wrap(err, "%s", NAME_SHOWN(m->name, m->name_len));
	}
	return 0;
}

static int read_members(struct zip_dir *dir, const struct source *s,
			const struct end *end, const struct archive_limits *limits,
			struct mh_err *err)
{
	CLEAN(window) struct window w = { .source = s };
	uint64_t at = end->dir_at;

	if (!s->whole)
		w.room = mh_alloc(end->dir_size < WINDOW_SIZE ? (size_t)end->dir_size + 1
							      : WINDOW_SIZE);
	while (dir->count < end->count) {
		if (next_member(dir, &w, end, &at, err) != 0)
			return -1;
		if (archive_limits_bytes(limits, dir->total,
					 dir->members[dir->count - 1].size, err) != 0)
			return -1;
		dir->total += dir->members[dir->count - 1].size;
	}
	if (at != end->dir_end)
		return broken(err, "the directory holds more than it says");
	return archive_limits_ratio(limits, dir->total, s->size, err);
}

int zip_dir_read(struct zip_dir *ret, const struct source *source,
		 const struct archive_limits *limits, struct mh_err *err)
{
	CLEAN(zip_dir) struct zip_dir dir = { .members = NULL };
	struct end end = { .at = 0 };

	if (read_end(source, &end, err) != 0)
		return -1;
	if (end.count > limits->entries || end.count > UINT32_MAX / 2)
		return mh_err_set(err, MH_E_FULL,
				  "the archive holds more than %" PRIu64
				  " files and directories",
				  limits->entries);
	dir.members = mh_alloc(end.count * sizeof *dir.members);
	if (read_members(&dir, source, &end, limits, err) != 0)
		return -1;
	qsort(dir.members, dir.count, sizeof *dir.members, by_place);
	if (check_layout(&dir, source, &end, err) != 0)
		return -1;
	*ret = dir;
	dir = (struct zip_dir){ .members = NULL };
	return 0;
}

void zip_dir_done(struct zip_dir *dir)
{
	for (uint32_t i = 0; i < dir->count; i++)
		free(dir->members[i].name);
	free(dir->members);
	*dir = (struct zip_dir){ .members = NULL };
}
