/*
 * The tar reader: libarchive parses the headers (ustar, GNU, pax), over a byte
 * stream whose gzip layer is ours (source.h).
 *
 * libarchive takes a tar that just stops for a whole one. The end counts here
 * only when the two zero blocks that POSIX asks for are there and nothing but
 * zeros follows: so a cut-off archive is told from a complete one, and no second
 * archive hides behind the first.
 */
#include "agent/archive/unpack.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include <archive.h>
#include <archive_entry.h>

#include "agent/archive/names.h"
#include "agent/archive/stream.h"

#define TAR_BLOCK 512

struct tar {
	struct unpack *unpack;
	struct stream *stream;
	struct archive *archive;
	struct mh_err err; /* why the stream failed; class OK: it did not */
};

static la_ssize_t tar_read(struct archive *a, void *data, const void **ret)
{
	struct tar *t = data;
	size_t len = 0;

	if (stream_next(t->stream, ret, &len, &t->err) != 0) {
		archive_set_error(a, EIO, "%s", t->err.text);
		return -1;
	}
	return (la_ssize_t)len;
}

/* libarchive's error, or the stream's own behind it. */
static int tar_failed(struct tar *t, struct mh_err *err)
{
	const char *text = archive_error_string(t->archive);

	if (t->err.cls != MH_OK) {
		*err = t->err;
		return -1;
	}
	return mh_err_set(err,
			  archive_errno(t->archive) == ENOMEM ? MH_E_SYS : MH_E_PROTO,
			  "the tar archive is damaged: %s", text ? text : "no details");
}

static int tar_open(struct tar *t, struct mh_err *err)
{
	t->archive = archive_read_new();
	if (!t->archive || archive_read_support_format_tar(t->archive) != ARCHIVE_OK)
		return mh_err_set(err, MH_E_SYS, "libarchive cannot start");
	/* looks at the first block, too */
	if (archive_read_open(t->archive, t, NULL, tar_read, NULL) != ARCHIVE_OK)
		return tar_failed(t, err);
	return 0;
}

static bool is_ascii(const char *s)
{
	for (; s && *s; s++)
		if ((unsigned char)*s >= 0x80)
			return false;
	return true;
}

/* libarchive warns about many things that make an archive worthless, and about one
 * that does not matter: this program runs in the C locale, so that names stay the
 * bytes they are (in a UTF-8 locale libarchive would compose them), and pax names
 * beyond ASCII then "can't be converted ... to current locale". */
static bool is_only_charset(struct tar *t, struct archive_entry *entry)
{
	const char *text = archive_error_string(t->archive);

	return text && strstr(text, "current locale") != NULL &&
	       (!is_ascii(archive_entry_pathname(entry)) ||
		!is_ascii(archive_entry_symlink(entry)) ||
		!is_ascii(archive_entry_hardlink(entry)) ||
		!is_ascii(archive_entry_uname(entry)) ||
		!is_ascii(archive_entry_gname(entry)));
}

static int add_file(struct tar *t, struct archive_entry *entry,
		    const struct unpack_entry *e, struct mh_err *err)
{
	CLEAN(unpack_file) struct unpack_file file = UNPACK_FILE_INIT;
	uint64_t size = (uint64_t)archive_entry_size(entry);

	if (archive_entry_size(entry) < 0)
		return mh_err_set(err, MH_E_PROTO, "%s: its size is negative",
				  NAME_SHOWN(e->name, e->name_len));
	if (unpack_file_begin(t->unpack, e, &file, err) != 0)
		return -1;
	for (;;) {
		const void *data;
		size_t len;
		la_int64_t offset;
		int rc = archive_read_data_block(t->archive, &data, &len, &offset);

		if (rc == ARCHIVE_EOF)
			return unpack_file_end(&file, size, err);
		if (rc != ARCHIVE_OK || offset < 0) {
			(void)tar_failed(t, err);
			return mh_err_wrap(err, "%s", NAME_SHOWN(e->name, e->name_len));
		}
		if (unpack_file_write(&file, (uint64_t)offset, data, len, err) != 0)
			return -1;
	}
}

static int add_entry(struct tar *t, struct archive_entry *entry, struct mh_err *err)
{
	const char *name = archive_entry_pathname(entry);
	const char *hard = archive_entry_hardlink(entry);
	const char *target = archive_entry_symlink(entry);
	struct unpack_entry e = { .name = name ? name : "",
				  .mode = archive_entry_perm(entry),
				  .mtime_s = archive_entry_mtime_is_set(entry)
						     ? archive_entry_mtime(entry)
						     : -1 };

	e.name_len = strlen(e.name);
	if (hard)
		return unpack_add_copy(t->unpack, &e, hard, strlen(hard), err);
	switch (archive_entry_filetype(entry)) {
	case AE_IFREG:
		return add_file(t, entry, &e, err);
	case AE_IFDIR:
		return unpack_add_dir(t->unpack, &e, err);
	case AE_IFLNK:
		target = target ? target : "";
		return unpack_add_link(t->unpack, &e, target, strlen(target), err);
	default:
		return mh_err_set(err, MH_E_DENIED,
				  "%s: it is neither file, directory nor symbolic link",
				  NAME_SHOWN(e.name, e.name_len));
	}
}

/* Reads the rest and looks at how the archive ended. */
static int check_end(struct tar *t, struct mh_err *err)
{
	la_int64_t end = archive_read_header_position(t->archive);
	const void *data;
	size_t len;

	do {
		if (stream_next(t->stream, &data, &len, err) != 0)
			return -1;
	} while (len);
	if (end < 0 || t->stream->total % TAR_BLOCK != 0 ||
	    t->stream->total < (uint64_t)end + 2 * TAR_BLOCK)
		return mh_err_set(err, MH_E_PROTO, "the tar archive ends too early");
	if (t->stream->data_end > (uint64_t)end)
		return mh_err_set(err, MH_E_PROTO,
				  "there is garbage after the tar archive's end");
	return 0;
}

static int read_all(struct tar *t, struct mh_err *err)
{
	for (;;) {
		struct archive_entry *entry;
		int rc = archive_read_next_header(t->archive, &entry);

		if (rc == ARCHIVE_EOF)
			return check_end(t, err);
		if (rc != ARCHIVE_OK &&
		    (rc != ARCHIVE_WARN || !is_only_charset(t, entry)))
			return tar_failed(t, err);
		if (add_entry(t, entry, err) != 0)
			return -1;
	}
}

int unpack_tar(struct unpack *u, struct mh_err *err)
{
	CLEAN(stream) struct stream *stream = NULL;
	struct tar t = { .unpack = u, .err = MH_ERR_INIT };
	enum source_format format;
	int rc;

	if (source_detect(u->source, &format, err) != 0)
		return -1;
	if (format == SOURCE_ZIP)
		return mh_err_set(err, MH_E_CONFIG, "this is a zip archive, not a tar");
	if (stream_new(u->source, format == SOURCE_TAR_GZ, u->limits, &stream, err) != 0)
		return -1;
	t.stream = stream;
	rc = tar_open(&t, err);
	if (rc == 0)
		rc = read_all(&t, err);
	if (t.archive)
		(void)archive_read_free(t.archive); /* nothing is written behind it */
	return rc;
}
