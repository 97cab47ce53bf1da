/* tar and tar.gz, written by libarchive. */
#include "agent/archive/pack.h"

#include <errno.h>
#include <langinfo.h>
#include <string.h>

#include <archive.h>
#include <archive_entry.h>

#include "agent/archive/names.h"

#define READ_BLOCK (256 * 1024)

struct tar {
	struct pack *pack;
	struct archive *archive;
	char *block; /* READ_BLOCK bytes, owned */
	struct mh_err out_err; /* why writing failed; class OK: it did not */
};

static int check_name(const char *path, struct mh_err *err)
{
	const char *s = path;

	while (*s && (unsigned char)*s < 0x80)
		s++;
	if (*s && strcmp(nl_langinfo(CODESET), "UTF-8") != 0)
		return mh_err_set(
			err, MH_E_SYS,
			"%s: this machine has no UTF-8 locale (C.UTF-8), without "
			"which names beyond ASCII cannot be packed as tar",
			NAME_SHOWN(path, strlen(path)));
	return 0;
}

static la_ssize_t tar_write(struct archive *a, void *data, const void *bytes, size_t len)
{
	struct tar *t = data;

	if (out_write(&t->pack->out, bytes, len, &t->out_err) != 0) {
		archive_set_error(a, EIO, "%s", t->out_err.text);
		return -1;
	}
	return (la_ssize_t)len;
}

static int tar_failed(struct tar *t, const char *path, struct mh_err *err)
{
	const char *text = t->archive ? archive_error_string(t->archive) : "no memory";

	if (t->out_err.cls != MH_OK) {
		*err = t->out_err;
		return -1;
	}
	return mh_err_set(err, MH_E_SYS, "%s: %s", NAME_SHOWN(path, strlen(path)),
			  text ? text : "libarchive failed");
}

static int tar_open(struct tar *t, struct mh_err *err)
{
	struct archive *a = archive_write_new();
	int rc;

	t->archive = a;
	if (!a)
		return tar_failed(t, "", err);
	rc = archive_write_set_format_pax_restricted(a);
	if (rc == ARCHIVE_OK && t->pack->format == PACK_TAR_GZ) {
		rc = archive_write_add_filter_gzip(a);
		if (rc == ARCHIVE_OK) /* no time of day in the gzip header */
			rc = archive_write_set_filter_option(a, "gzip", "timestamp",
							     NULL);
	}
	if (rc != ARCHIVE_OK ||
	    archive_write_set_bytes_per_block(a, 64 * 1024) != ARCHIVE_OK ||
	    archive_write_set_bytes_in_last_block(a, 1) != ARCHIVE_OK ||
	    archive_write_open(a, t, NULL, tar_write, NULL) != ARCHIVE_OK)
		return tar_failed(t, "", err);
	return 0;
}

static int write_content(struct tar *t, const struct node *n, const char *path, int fd,
			 struct mh_err *err)
{
	for (uint64_t left = n->size; left;) {
		size_t len = left < READ_BLOCK ? (size_t)left : READ_BLOCK;

		if (pack_read_file(fd, path, t->block, len, err) != 0)
			return -1;
		if (archive_write_data(t->archive, t->block, len) != (la_ssize_t)len)
			return tar_failed(t, path, err);
		left -= len;
	}
	return 0;
}

static int write_header(struct tar *t, const struct node *n, const char *path,
			struct mh_err *err)
{
	static const mode_t types[] = {
		[NODE_DIR] = AE_IFDIR,
		[NODE_FILE] = AE_IFREG,
		[NODE_LINK] = AE_IFLNK,
	};
	struct archive_entry *e = archive_entry_new();
	int rc;

	if (!e)
		return mh_err_set(err, MH_E_SYS, "no memory");
	archive_entry_copy_pathname(e, path);
	archive_entry_set_mode(e, types[n->type] | n->mode);
	archive_entry_set_mtime(e, (time_t)n->mtime_s, 0);
	archive_entry_set_size(e, (la_int64_t)n->size);
	archive_entry_set_uid(e, 0);
	archive_entry_set_gid(e, 0);
	if (n->type == NODE_LINK)
		archive_entry_copy_symlink(e, n->target);
	rc = archive_write_header(t->archive, e);
	archive_entry_free(e);
	/* a warning is about a name that is kept byte by byte (not UTF-8) */
	return rc == ARCHIVE_OK || rc == ARCHIVE_WARN ? 0 : tar_failed(t, path, err);
}

static int write_node(struct tar *t, uint32_t index, const char *path, struct mh_err *err)
{
	const struct node *n = &t->pack->tree.nodes[index];
	CLEAN(fd) int fd = -1;

	if (n->type != NODE_FILE)
		return write_header(t, n, path, err);
	if (pack_open_file(t->pack, path, &fd, err) != 0 ||
	    write_header(t, n, path, err) != 0 || write_content(t, n, path, fd, err) != 0)
		return -1;
	return archive_write_finish_entry(t->archive) == ARCHIVE_OK
		       ? 0
		       : tar_failed(t, path, err);
}

static int write_all(struct tar *t, struct mh_err *err)
{
	CLEAN(buf) struct buf path = BUF_INIT(NAME_PATH_MAX);
	const struct tree *tree = &t->pack->tree;

	if (tar_open(t, err) != 0)
		return -1;
	for (uint32_t i = 1; i < tree->count; i++)
		if (write_node(t, i, tree_path(tree, i, &path), err) != 0)
			return -1;
	return archive_write_close(t->archive) == ARCHIVE_OK ? 0 : tar_failed(t, "", err);
}

static int write_tar(struct pack *p, struct mh_err *err)
{
	CLEAN(free) char *block = mh_alloc(READ_BLOCK);
	struct tar t = { .pack = p, .block = block };
	int rc = write_all(&t, err);

	if (t.archive)
		(void)archive_write_free(t.archive); /* errors were seen at close */
	return rc;
}

const struct packer pack_tar = { .check_name = check_name, .write = write_tar };
