#include "agent/archive/unpack.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/archive/names.h"
#include "lib/base/fsio.h"

#define PERMISSIONS      0777
#define MODE_IMPLIED_DIR 0755
#define MTIME_MAX        253402300799 /* the year 9999 */
#define COPY_BLOCK       (64 * 1024)

static int failed(const char *path, struct mh_err *err)
{
	/* a second name for one file, on a file system that folds case or forms */
	if (errno == EEXIST)
		return mh_err_set(
			err, MH_E_DENIED,
			"%s: this file system takes two names of the archive for "
			"one",
			NAME_SHOWN(path, strlen(path)));
	return mh_err_sys(err, "%s", NAME_SHOWN(path, strlen(path)));
}

static void times_of(int64_t mtime_s, struct timespec times[2])
{
	times[0] = (struct timespec){ .tv_nsec = UTIME_OMIT };
	times[1] = times[0];
	if (mtime_s >= 0 && mtime_s <= MTIME_MAX)
		times[1] = (struct timespec){ .tv_sec = (time_t)mtime_s };
}

/* The name, judged. *ret is "" for the directory itself. */
static int judge(const struct unpack *u, const struct unpack_entry *e, char **ret,
		 struct mh_err *err)
{
	struct name_rules rules = { .depth_max = u->limits->depth, .dos = e->dos };

	return name_judge(&rules, e->name, e->name_len, ret, err);
}

/* Makes a directory of the tree and those above it. */
static int make_dirs(struct unpack *u, uint32_t index, struct mh_err *err)
{
	CLEAN(buf) struct buf path = BUF_INIT(NAME_PATH_MAX);
	uint32_t chain[NAME_PATH_MAX / 2 + 1];
	size_t depth = 0;

	for (; !u->tree.nodes[index].is_made; index = u->tree.nodes[index].parent)
		chain[depth++] = index;
	while (depth) {
		struct node *n = &u->tree.nodes[chain[--depth]];

		(void)tree_path(&u->tree, chain[depth], &path);
		if (beneath_mkdir(&u->dir, path.data, 0700) != 0)
			return failed(path.data, err);
		n->is_made = true;
	}
	return 0;
}

/* Puts a judged entry into the tree and makes the directories it needs. */
static int plant(struct unpack *u, const char *path, const struct unpack_entry *e,
		 enum node_type type, struct mh_err *err)
{
	struct node *n;
	uint32_t index;

	if (path[0] == '\0')
		return mh_err_set(err, MH_E_DENIED,
				  "%s: a file cannot take the directory's own place",
				  NAME_SHOWN(e->name, e->name_len));
	if (tree_add(&u->tree, path, type, &index, err) != 0)
		return -1;
	n = &u->tree.nodes[index];
	n->mode = e->mode & PERMISSIONS;
	n->mtime_s = e->mtime_s;
	return make_dirs(u, type == NODE_DIR ? index : n->parent, err);
}

int unpack_add_dir(struct unpack *u, const struct unpack_entry *e, struct mh_err *err)
{
	CLEAN(free) char *path = NULL;

	if (judge(u, e, &path, err) != 0)
		return -1;
	return path[0] ? plant(u, path, e, NODE_DIR, err) : 0;
}

int unpack_add_link(struct unpack *u, const struct unpack_entry *e, const char *target,
		    size_t target_len, struct mh_err *err)
{
	CLEAN(free) char *path = NULL;
	uint32_t index;

	if (judge(u, e, &path, err) != 0)
		return -1;
	if (path[0] == '\0')
		return plant(u, path, e, NODE_LINK, err); /* says why not */
	if (tree_add_link(&u->tree, path, target, target_len, &index, err) != 0)
		return -1;
	u->tree.nodes[index].mtime_s = e->mtime_s;
	return make_dirs(u, u->tree.nodes[index].parent, err);
}

int unpack_file_begin(struct unpack *u, const struct unpack_entry *e,
		      struct unpack_file *ret, struct mh_err *err)
{
	CLEAN(free) char *path = NULL;
	int fd;

	if (judge(u, e, &path, err) != 0 || plant(u, path, e, NODE_FILE, err) != 0)
		return -1;
	/* with its own mode from the start: who may read the whole may read a part */
	fd = beneath_open(&u->dir, path, O_WRONLY | O_CREAT | O_EXCL,
			  e->mode & PERMISSIONS);
	if (fd < 0)
		return failed(path, err);
	*ret = (struct unpack_file){
		.unpack = u, .fd = fd, .mtime_s = e->mtime_s, .path = STEAL_PTR(path)
	};
	return 0;
}

/* Counts the file's growth against the limits: holes and copies of hard links cost an
 * archive next to nothing, so that the readers' own look at the ratio misses them. */
static int grow_to(struct unpack_file *f, uint64_t size, struct mh_err *err)
{
	uint64_t more = size > f->size ? size - f->size : 0;
	struct unpack *u = f->unpack;

	if (archive_limits_bytes(u->limits, u->bytes, more, err) != 0 ||
	    archive_limits_ratio(u->limits, u->bytes + more, u->source->size, err) != 0)
		return mh_err_wrap(err, "%s", NAME_SHOWN(f->path, strlen(f->path)));
	u->bytes += more;
	f->size += more;
	return 0;
}

int unpack_file_write(struct unpack_file *f, uint64_t offset, const void *data,
		      size_t len, struct mh_err *err)
{
	const char *p = data;

	if (offset > INT64_MAX - len)
		return mh_err_set(err, MH_E_PROTO, "%s: a hole is longer than any file",
				  NAME_SHOWN(f->path, strlen(f->path)));
	if (grow_to(f, offset + len, err) != 0)
		return -1;
	while (len) {
		ssize_t n = pwrite(f->fd, p, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return failed(f->path, err);
		p += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

int unpack_file_end(struct unpack_file *f, uint64_t size, struct mh_err *err)
{
	struct timespec times[2];

	if (size > f->size) {
		if (grow_to(f, size, err) != 0)
			return -1;
		if (ftruncate(f->fd, (off_t)size) != 0)
			return failed(f->path, err);
	}
	times_of(f->mtime_s, times);
	if (futimens(f->fd, times) != 0)
		return failed(f->path, err);
	/* network file systems tell of a full disk here */
	if (close(STEAL_FD(f->fd)) != 0)
		return failed(f->path, err);
	return 0;
}

void unpack_file_done(struct unpack_file *f)
{
	clean_fd(&f->fd);
	free(f->path);
	*f = (struct unpack_file)UNPACK_FILE_INIT;
}

static int copy_content(struct unpack_file *to, int from, struct mh_err *err)
{
	CLEAN(free) char *block = mh_alloc(COPY_BLOCK);
	ssize_t n;

	for (uint64_t at = 0;; at += (uint64_t)n) {
		n = pread(from, block, COPY_BLOCK, (off_t)at);
		if (n < 0 && errno == EINTR) {
			n = 0;
			continue;
		}
		if (n < 0)
			return failed(to->path, err);
		if (n == 0)
			return 0;
		if (unpack_file_write(to, at, block, (size_t)n, err) != 0)
			return -1;
	}
}

int unpack_add_copy(struct unpack *u, const struct unpack_entry *e, const char *of,
		    size_t of_len, struct mh_err *err)
{
	CLEAN(unpack_file) struct unpack_file file = UNPACK_FILE_INIT;
	struct unpack_entry original = { .name = of, .name_len = of_len, .dos = e->dos };
	CLEAN(free) char *of_path = NULL;
	CLEAN(fd) int from = -1;
	struct unpack_entry copy = *e;
	uint32_t index;

	if (judge(u, &original, &of_path, err) != 0)
		return mh_err_wrap(err, "hard link %s", NAME_SHOWN(e->name, e->name_len));
	index = of_path[0] ? tree_find(&u->tree, of_path) : 0;
	if (!index || u->tree.nodes[index].type != NODE_FILE)
		return mh_err_set(
			err, MH_E_DENIED,
			"hard link %s: %s is no file that comes before it in the "
			"archive",
			NAME_SHOWN(e->name, e->name_len), NAME_SHOWN(of, of_len));
	copy.mode = u->tree.nodes[index].mode; /* a hard link has no mode of its own */
	copy.mtime_s = u->tree.nodes[index].mtime_s;
	from = beneath_open(&u->dir, of_path, O_RDONLY, 0);
	if (from < 0)
		return failed(of_path, err);
	if (unpack_file_begin(u, &copy, &file, err) != 0 ||
	    copy_content(&file, from, err) != 0)
		return -1;
	return unpack_file_end(&file, file.size, err);
}

static int make_link(struct unpack *u, uint32_t index, const char *path,
		     struct mh_err *err)
{
	const struct node *n = &u->tree.nodes[index];
	struct timespec times[2];
	const char *name;
	int at;

	if (beneath_symlink(&u->dir, path, n->target) != 0)
		return failed(path, err);
	times_of(n->mtime_s, times);
	at = beneath_parent(&u->dir, path, &name);
	/* some file systems keep no times of links; nobody depends on them */
	if (at >= 0)
		(void)utimensat(at, name, times, AT_SYMLINK_NOFOLLOW);
	return 0;
}

static int finish_dir(struct unpack *u, uint32_t index, const char *path,
		      struct mh_err *err)
{
	const struct node *n = &u->tree.nodes[index];
	struct timespec times[2];
	CLEAN(fd) int fd = beneath_open(&u->dir, path, O_RDONLY | O_DIRECTORY, 0);

	times_of(n->mtime_s, times);
	if (fd < 0 || futimens(fd, times) != 0 ||
	    fchmod(fd, n->is_declared ? n->mode : MODE_IMPLIED_DIR) != 0)
		return failed(path, err);
	return 0;
}

/* Links first, then directories from the deepest up, whose modes may shut them. */
static int finish(struct unpack *u, struct mh_err *err)
{
	CLEAN(buf) struct buf path = BUF_INIT(NAME_PATH_MAX);

	if (tree_check_links(&u->tree, err) != 0)
		return -1;
	for (uint32_t i = 1; i < u->tree.count; i++)
		if (u->tree.nodes[i].type == NODE_LINK &&
		    make_link(u, i, tree_path(&u->tree, i, &path), err) != 0)
			return -1;
	for (uint32_t i = u->tree.count; i-- > 1;)
		if (u->tree.nodes[i].type == NODE_DIR &&
		    finish_dir(u, i, tree_path(&u->tree, i, &path), err) != 0)
			return -1;
	return 0;
}

/* Takes out whatever was made; the first error stays the one that is told. */
static void empty_again(int dir_fd, struct mh_err *err)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct mh_err second = MH_ERR_INIT;
	struct dirent *entry;

	while (dir && (entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (fs_remove_tree_at(dir_fd, entry->d_name, &second) != 0)
			break;
	}
	if (!dir || second.cls != MH_OK)
		(void)mh_err_wrap(err, "the directory could not be emptied after this");
	if (dir)
		(void)closedir(dir); /* only read */
	else
		clean_fd(&fd);
}

int unpack_archive(const struct source *source,
		   int (*reader)(struct unpack *u, struct mh_err *err), int dir_fd,
		   const struct archive_limits *limits, struct unpack_result *ret,
		   struct mh_err *err)
{
	CLEAN(free) struct unpack *u = mh_alloc(sizeof *u);
	mode_t mask = umask(0); /* files are made with the modes that they shall have */
	int rc;

	u->limits = limits;
	u->source = source;
	beneath_init(&u->dir, dir_fd);
	tree_init(&u->tree, limits);
	rc = reader(u, err);
	if (rc == 0)
		rc = finish(u, err);
	if (rc == 0)
		*ret = (struct unpack_result){ .bytes = u->bytes,
					       .entries = u->tree.count - 1 };
	beneath_done(&u->dir);
	tree_done(&u->tree);
	(void)umask(mask); /* answers the other one */
	if (rc != 0)
		empty_again(dir_fd, err);
	return rc;
}
