#include "agent/archive/pack.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <langinfo.h>
#include <string.h>
#include <sys/stat.h>

#include <archive.h>
#include <archive_entry.h>

#include "agent/archive/beneath.h"
#include "agent/archive/names.h"
#include "agent/archive/tree.h"
#include "lib/base/sha256.h"
#include "lib/base/fsio.h"
#include "lib/base/str.h"

#define READ_BLOCK (256 * 1024)

struct pack {
	const struct archive_limits *limits;
	enum pack_format format;
	struct beneath dir;
	struct tree tree;
	uint64_t content_bytes;
	struct archive *archive;
	char *block; /* READ_BLOCK bytes; owned by pack_archive() */
	int out_fd;
	uint64_t out_bytes;
	struct sha256 hash;
	struct mh_err out_err; /* why writing failed; class OK: it did not */
};

int pack_format_parse(const char *s, enum pack_format *ret, struct mh_err *err)
{
	static const char *const names[] = {
		[PACK_ZIP] = "zip",
		[PACK_TAR] = "tar",
		[PACK_TAR_GZ] = "tar.gz",
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (strcmp(s, names[i]) == 0) {
			*ret = (enum pack_format)i;
			return 0;
		}
	}
	return mh_err_set(err, MH_E_CONFIG, "%s is no archive format (zip, tar, tar.gz)",
			  NAME_SHOWN(s, strlen(s)));
}

static int open_parent(const char *path, struct pack_from *ret, struct mh_err *err)
{
	const char *slash = strrchr(path, '/');
	CLEAN(free)
	char *parent = slash ? mh_strndup(path, (size_t)(slash - path) + 1)
			     : mh_strdup(".");
	int fd;

	if (fs_open_dir(AT_FDCWD, parent, &fd, err) != 0)
		return -1;
	ret->fd = fd;
	ret->file = mh_strdup(slash ? slash + 1 : path);
	return 0;
}

/* What the job itself has shut is its fault, not the machine's. */
static int unreadable(const char *path, struct mh_err *err)
{
	if (errno == EACCES)
		return mh_err_set(err, MH_E_DENIED,
				  "%s: its permissions forbid to read it",
				  NAME_SHOWN(path, strlen(path)));
	return mh_err_sys(err, "%s", NAME_SHOWN(path, strlen(path)));
}

int pack_open(const char *path, struct pack_from *ret, struct mh_err *err)
{
	struct stat st;
	int fd;

	if (lstat(path, &st) != 0)
		return mh_err_sys(err, "%s", path);
	if (S_ISREG(st.st_mode))
		return open_parent(path, ret, err);
	if (S_ISLNK(st.st_mode))
		return mh_err_set(err, MH_E_DENIED,
				  "%s: it is a symbolic link; it must be a "
				  "directory or a file",
				  path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return unreadable(path, err);
	*ret = (struct pack_from){ .fd = fd };
	return 0;
}

void pack_close(struct pack_from *from)
{
	clean_fd(&from->fd);
	free(from->file);
	*from = (struct pack_from)PACK_FROM_INIT;
}

/* --- first pass: what is there --------------------------------------------------- */

static const char *type_name(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFSOCK:
		return "a socket";
	case S_IFIFO:
		return "a FIFO";
	case S_IFBLK:
	case S_IFCHR:
		return "a device";
	default:
		return "of an unknown type";
	}
}

static bool is_ascii(const char *s)
{
	while (*s && (unsigned char)*s < 0x80)
		s++;
	return *s == '\0';
}

/* The name must be one that unpacking takes, and that the format can hold. */
static int check_name(const struct pack *p, const char *path, struct mh_err *err)
{
	struct name_rules rules = { .depth_max = p->limits->depth };
	CLEAN(free) char *judged = NULL;
	size_t len = strlen(path);

	if (name_judge(&rules, path, len, &judged, err) != 0)
		return -1;
	if (!is_ascii(path) && strcmp(nl_langinfo(CODESET), "UTF-8") != 0)
		return mh_err_set(
			err, MH_E_SYS,
			"%s: this machine has no UTF-8 locale (C.UTF-8), without "
			"which names beyond ASCII cannot be packed",
			NAME_SHOWN(path, len));
	if (p->format == PACK_ZIP && !str_is_utf8(path, len))
		return mh_err_set(
			err, MH_E_DENIED,
			"%s: the name is not UTF-8, as names in a zip archive must "
			"be; rename it or pack as tar",
			NAME_SHOWN(path, len));
	return 0;
}

static int scan_link(struct pack *p, const char *path, uint32_t *ret, struct mh_err *err)
{
	char target[NAME_PATH_MAX + 1];
	const char *name;
	int at = beneath_parent(&p->dir, path, &name);
	ssize_t n = at < 0 ? -1 : readlinkat(at, name, target, sizeof target);

	if (n < 0)
		return unreadable(path, err);
	return tree_add_link(&p->tree, path, target, (size_t)n, ret, err);
}

/* Files and links; *ret_is_dir asks the caller to go on inside. */
static int scan_entry(struct pack *p, const char *path, bool *ret_is_dir,
		      struct mh_err *err)
{
	const char *name;
	struct stat st;
	struct node *n;
	uint32_t index;
	int at, rc;

	if (check_name(p, path, err) != 0)
		return -1;
	at = beneath_parent(&p->dir, path, &name);
	if (at < 0 || fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return unreadable(path, err);
	if (S_ISLNK(st.st_mode))
		rc = scan_link(p, path, &index, err);
	else if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))
		rc = tree_add(&p->tree, path, S_ISDIR(st.st_mode) ? NODE_DIR : NODE_FILE,
			      &index, err);
	else
		rc = mh_err_set(err, MH_E_DENIED,
				"%s: it is %s, which no archive here may hold",
				NAME_SHOWN(path, strlen(path)), type_name(st.st_mode));
	if (rc != 0)
		return -1;
	n = &p->tree.nodes[index];
	n->mode = st.st_mode & 0777;
	n->mtime_s = st.st_mtim.tv_sec < 0 ? 0 : st.st_mtim.tv_sec;
	n->size = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
	rc = archive_limits_bytes(p->limits, p->content_bytes, n->size, err);
	p->content_bytes += n->size;
	*ret_is_dir = S_ISDIR(st.st_mode);
	return rc;
}

struct listing {
	char **names;
	size_t count;
	size_t cap;
};

static void clean_listing(struct listing *l)
{
	for (size_t i = 0; i < l->count; i++)
		free(l->names[i]);
	free(l->names);
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int list_sorted(struct pack *p, const char *path, struct listing *l,
		       struct mh_err *err)
{
	int fd = beneath_open(&p->dir, path, O_RDONLY | O_DIRECTORY, 0);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!dir) {
		(void)unreadable(path, err);
		clean_fd(&fd);
		return -1;
	}
	while (errno = 0, (entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (l->count == l->cap) {
			l->cap = l->cap ? 2 * l->cap : 32;
			l->names = mh_realloc(l->names, l->cap * sizeof *l->names);
		}
		l->names[l->count++] = mh_strdup(entry->d_name);
	}
	if (errno != 0) {
		(void)unreadable(path, err);
		(void)closedir(dir); /* only read */
		return -1;
	}
	(void)closedir(dir); /* only read */
	if (l->count)
		qsort(l->names, l->count, sizeof *l->names, by_bytes);
	return 0;
}

/* Recursion is as deep as limits->depth, which check_name() holds. */
static int scan_dir(struct pack *p, const char *path, struct mh_err *err)
{
	CLEAN(listing) struct listing list = { .names = NULL };

	if (list_sorted(p, path, &list, err) != 0)
		return -1;
	for (size_t i = 0; i < list.count; i++) {
		CLEAN(free)
		char *child = path[0] ? mh_format("%s/%s", path, list.names[i])
				      : mh_strdup(list.names[i]);
		bool is_dir;

		if (scan_entry(p, child, &is_dir, err) != 0)
			return -1;
		if (is_dir && scan_dir(p, child, err) != 0)
			return -1;
	}
	return 0;
}

/* --- second pass: writing it ------------------------------------------------------ */

static la_ssize_t out_write(struct archive *a, void *data, const void *bytes, size_t len)
{
	struct pack *p = data;

	if (fs_write_fd(p->out_fd, bytes, len, &p->out_err) != 0) {
		archive_set_error(a, EIO, "%s", p->out_err.text);
		return -1;
	}
	sha256_update(&p->hash, bytes, len);
	p->out_bytes += len;
	return (la_ssize_t)len;
}

static int out_failed(struct pack *p, const char *path, struct mh_err *err)
{
	const char *text = p->archive ? archive_error_string(p->archive) : "no memory";

	if (p->out_err.cls != MH_OK) {
		*err = p->out_err;
		return mh_err_wrap(err, "the archive");
	}
	return mh_err_set(err, MH_E_SYS, "%s: %s", NAME_SHOWN(path, strlen(path)),
			  text ? text : "libarchive failed");
}

static int out_open(struct pack *p, struct mh_err *err)
{
	struct archive *a = archive_write_new();
	int rc;

	p->archive = a;
	if (!a)
		return out_failed(p, "", err);
	if (p->format == PACK_ZIP)
		rc = archive_write_set_format_zip(a);
	else
		rc = archive_write_set_format_pax_restricted(a);
	if (rc == ARCHIVE_OK && p->format == PACK_TAR_GZ) {
		rc = archive_write_add_filter_gzip(a);
		if (rc == ARCHIVE_OK) /* no time of day in the gzip header */
			rc = archive_write_set_filter_option(a, "gzip", "timestamp",
							     NULL);
	}
	if (rc != ARCHIVE_OK ||
	    archive_write_set_bytes_per_block(a, 64 * 1024) != ARCHIVE_OK ||
	    archive_write_set_bytes_in_last_block(a, 1) != ARCHIVE_OK ||
	    archive_write_open(a, p, NULL, out_write, NULL) != ARCHIVE_OK)
		return out_failed(p, "", err);
	return 0;
}

static int write_content(struct pack *p, const struct node *n, const char *path, int fd,
			 struct mh_err *err)
{
	for (uint64_t left = n->size; left;) {
		size_t want = left < READ_BLOCK ? (size_t)left : READ_BLOCK;
		ssize_t got = read(fd, p->block, want);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return unreadable(path, err);
		if (got == 0)
			return mh_err_set(err, MH_E_SYS,
					  "%s: it shrank while it was packed",
					  NAME_SHOWN(path, strlen(path)));
		if (archive_write_data(p->archive, p->block, (size_t)got) != got)
			return out_failed(p, path, err);
		left -= (uint64_t)got;
	}
	return 0;
}

static int write_header(struct pack *p, const struct node *n, const char *path,
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
	rc = archive_write_header(p->archive, e);
	archive_entry_free(e);
	/* a warning is about a name that is kept byte by byte (tar, not UTF-8) */
	return rc == ARCHIVE_OK || rc == ARCHIVE_WARN ? 0 : out_failed(p, path, err);
}

static int write_node(struct pack *p, uint32_t index, const char *path,
		      struct mh_err *err)
{
	const struct node *n = &p->tree.nodes[index];
	CLEAN(fd) int fd = -1;
	struct stat st;

	if (n->type != NODE_FILE)
		return write_header(p, n, path, err);
	/* O_NONBLOCK: should a FIFO have taken its place, do not wait for a writer */
	fd = beneath_open(&p->dir, path, O_RDONLY | O_NONBLOCK, 0);
	if (fd < 0 || fstat(fd, &st) != 0)
		return unreadable(path, err);
	if (!S_ISREG(st.st_mode))
		return mh_err_set(err, MH_E_SYS,
				  "%s: it was replaced while it was packed",
				  NAME_SHOWN(path, strlen(path)));
	if (write_header(p, n, path, err) != 0 || write_content(p, n, path, fd, err) != 0)
		return -1;
	return archive_write_finish_entry(p->archive) == ARCHIVE_OK
		       ? 0
		       : out_failed(p, path, err);
}

static int write_all(struct pack *p, struct mh_err *err)
{
	CLEAN(buf) struct buf path = BUF_INIT(NAME_PATH_MAX);

	if (out_open(p, err) != 0)
		return -1;
	for (uint32_t i = 1; i < p->tree.count; i++)
		if (write_node(p, i, tree_path(&p->tree, i, &path), err) != 0)
			return -1;
	return archive_write_close(p->archive) == ARCHIVE_OK ? 0 : out_failed(p, "", err);
}

static void result_of(struct pack *p, struct pack_result *ret)
{
	unsigned char digest[SHA256_SIZE];

	sha256_final(&p->hash, digest);
	str_hex(digest, sizeof digest, ret->sha256);
	ret->bytes = p->out_bytes;
	ret->entries = p->tree.count - 1;
}

int pack_archive(const struct pack_from *from, enum pack_format format, int out_fd,
		 const struct archive_limits *limits, struct pack_result *ret,
		 struct mh_err *err)
{
	CLEAN(free) char *block = mh_alloc(READ_BLOCK);
	struct pack p = {
		.limits = limits, .format = format, .block = block, .out_fd = out_fd
	};
	bool is_dir;
	int rc;

	sha256_init(&p.hash);
	beneath_init(&p.dir, from->fd);
	tree_init(&p.tree, limits);
	rc = from->file ? scan_entry(&p, from->file, &is_dir, err)
			: scan_dir(&p, "", err);
	if (rc == 0)
		rc = tree_check_links(&p.tree, err);
	if (rc == 0)
		rc = write_all(&p, err);
	if (rc == 0)
		result_of(&p, ret);
	if (p.archive)
		(void)archive_write_free(p.archive); /* errors were seen at close */
	beneath_done(&p.dir);
	tree_done(&p.tree);
	return rc;
}
