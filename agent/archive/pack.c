#include "agent/archive/pack.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/archive/names.h"
#include "lib/base/fsio.h"

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

/* The name must be one that unpacking takes, and that the format can hold. */
static int check_name(const struct pack *p, const char *path, struct mh_err *err)
{
	struct name_rules rules = { .depth_max = p->limits->depth };
	CLEAN(free) char *judged = NULL;

	if (name_judge(&rules, path, strlen(path), &judged, err) != 0)
		return -1;
	return p->packer->check_name(path, err);
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

/* --- second pass: what its writer needs -------------------------------------------- */

int pack_open_file(struct pack *p, const char *path, int *ret_fd, struct mh_err *err)
{
	/* O_NONBLOCK: should a FIFO have taken its place, do not wait for a writer */
	CLEAN(fd) int fd = beneath_open(&p->dir, path, O_RDONLY | O_NONBLOCK, 0);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0)
		return unreadable(path, err);
	if (!S_ISREG(st.st_mode))
		return mh_err_set(err, MH_E_SYS,
				  "%s: it was replaced while it was packed",
				  NAME_SHOWN(path, strlen(path)));
	*ret_fd = STEAL_FD(fd);
	return 0;
}

int pack_read_file(int fd, const char *path, void *data, size_t len, struct mh_err *err)
{
	char *p = data;

	while (len) {
		ssize_t n = read(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return unreadable(path, err);
		if (n == 0)
			return mh_err_set(err, MH_E_SYS,
					  "%s: it shrank while it was packed",
					  NAME_SHOWN(path, strlen(path)));
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int pack_archive(const struct pack_from *from, const struct packer *packer,
		 enum pack_format format, int out_fd, const struct archive_limits *limits,
		 struct pack_result *ret, struct mh_err *err)
{
	struct pack p = { .limits = limits, .packer = packer, .format = format };
	bool is_dir;
	int rc;

	beneath_init(&p.dir, from->fd);
	tree_init(&p.tree, limits);
	out_init(&p.out, out_fd);
	rc = from->file ? scan_entry(&p, from->file, &is_dir, err)
			: scan_dir(&p, "", err);
	if (rc == 0)
		rc = tree_check_links(&p.tree, err);
	if (rc == 0)
		rc = packer->write(&p, err);
	if (rc == 0)
		rc = out_flush(&p.out, err);
	if (rc == 0) {
		ret->bytes = p.out.bytes;
		ret->entries = p.tree.count - 1;
		out_sha256(&p.out, ret->sha256);
	}
	out_done(&p.out);
	beneath_done(&p.dir);
	tree_done(&p.tree);
	return rc;
}
