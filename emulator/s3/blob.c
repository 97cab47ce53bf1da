#include "emulator/s3/blob.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <sodium.h>

#include "lib/base/fault.h"
#include "lib/base/fsio.h"
#include "lib/base/str.h"

#define SHARD_SIZE    3 /* two digits */
#define PATH_SIZE     (SHARD_SIZE + BLOB_ID_SIZE)
#define COPY_BYTES    (256 * 1024)
#define FLUSH_BYTES   (8 * 1024 * 1024)
#define KERNEL_PIECE  (1 << 20)
#define RESERVE_BYTES (16ULL << 20)
#define SWEEP_IDS     256

static bool is_id(const char *s)
{
	return strlen(s) == BLOB_ID_SIZE - 1 &&
	       strspn(s, "0123456789abcdef") == BLOB_ID_SIZE - 1;
}

static void path_of(const char *id, char out[PATH_SIZE])
{
	MH_ASSERT(is_id(id));
	(void)snprintf(out, PATH_SIZE, "%.2s/%s", id,
		       id); /* fits: both lengths are fixed */
}

/* The name of objects/ must be as durable as what will lie in it. */
static int sync_name(const char *data_dir, struct mh_err *err)
{
	CLEAN(fd) int fd = -1;

	if (fs_open_dir(AT_FDCWD, data_dir, &fd, err) != 0)
		return -1;
	return fs_sync_fd(fd, "the data directory", err);
}

int blobs_open(const char *data_dir, struct blobs *ret, struct mh_err *err)
{
	CLEAN(free) char *root = mh_format("%s/objects", data_dir);
	CLEAN(free) char *tmp = mh_format("%s/objects/tmp", data_dir);
	struct blobs s = BLOBS_INIT;

	if (fs_mkdir_p(tmp, 0700, err) != 0 ||
	    fs_open_dir(AT_FDCWD, root, &s.root_fd, err) != 0)
		return -1;
	if (fs_open_dir(AT_FDCWD, tmp, &s.tmp_fd, err) != 0 ||
	    sync_name(data_dir, err) != 0) {
		blobs_close(&s);
		return -1;
	}
	*ret = s;
	return 0;
}

void blobs_close(struct blobs *s)
{
	clean_fd(&s->root_fd);
	clean_fd(&s->tmp_fd);
	s->root_fd = s->tmp_fd = -1;
}

int blob_create(const struct blobs *s, struct blob *ret, struct mh_err *err)
{
	unsigned char random[(BLOB_ID_SIZE - 1) / 2];
	struct blob b = BLOB_INIT;

	randombytes_buf(random, sizeof(random));
	str_hex(random, sizeof(random), b.id);
	b.fd = openat(s->tmp_fd, b.id, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
		      0600);
	if (b.fd < 0)
		return mh_err_sys(err, "cannot make a file in objects/tmp");
	*ret = b;
	FAULT_POINT("s3.blob.created");
	return 0;
}

/* Files leave the database some room: every call needs it, and above all the deletes
 * that a full disk asks for. */
static int check_room(const struct blob *b, uint64_t more, struct mh_err *err)
{
	struct statvfs fs;

	if (fstatvfs(b->fd, &fs) != 0)
		return mh_err_sys(err, "cannot see how much space is left");
	/* A file system without a limit has no blocks to count. */
	if (fs.f_blocks == 0 || fs.f_frsize == 0 ||
	    fs.f_bavail >= (RESERVE_BYTES + more) / fs.f_frsize)
		return 0;
	return mh_err_set(err, MH_E_FULL,
			  "less than %d MiB would be left for the database",
			  (int)(RESERVE_BYTES >> 20));
}

int blob_write(struct blob *b, const void *data, size_t len, struct mh_err *err)
{
	if (check_room(b, len, err) != 0)
		return -1;
	if (fs_write_fd(b->fd, data, len, err) != 0)
		return -1;
	b->written += (int64_t)len;
	if (b->written - b->flushing >= FLUSH_BYTES) {
		/* Started early, the disk's work is done beside the network's; whether it
		 * went well is what the fsync at the end tells. */
		(void)sync_file_range(b->fd, b->flushing, b->written - b->flushing,
				      SYNC_FILE_RANGE_WRITE);
		b->flushing = b->written;
	}
	return 0;
}

/* By the kernel, which on some file systems shares the blocks, as far as it can. */
static int copy_in_kernel(struct blob *b, int fd, int64_t max, int64_t *ret_size,
			  struct mh_err *err)
{
	int64_t size = 0;

	while (size < max) {
		int64_t left = max - size;
		size_t piece = left > KERNEL_PIECE ? KERNEL_PIECE : (size_t)left;
		ssize_t n;

		if (check_room(b, piece, err) != 0)
			return -1;
		n = copy_file_range(fd, NULL, b->fd, NULL, piece, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == ENOSPC)
			return mh_err_sys(err, "cannot copy an object's file");
		if (n <= 0)
			break;
		size += n;
	}
	*ret_size = size;
	return 0;
}

static int copy_by_hand(struct blob *b, int fd, int64_t max, struct digests *d,
			int64_t *ret_size, struct mh_err *err)
{
	CLEAN(free) char *piece = mh_alloc(COPY_BYTES);
	int64_t size = 0;

	while (size < max) {
		int64_t left = max - size;
		ssize_t n = read(fd, piece,
				 left > COPY_BYTES ? COPY_BYTES : (size_t)left);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return mh_err_sys(err, "cannot read the bytes to store");
		if (n == 0)
			break;
		if (blob_write(b, piece, (size_t)n, err) != 0)
			return -1;
		if (d != NULL)
			digests_update(d, piece, (size_t)n);
		size += n;
	}
	*ret_size = size;
	return 0;
}

int blob_copy_from(struct blob *b, int fd, int64_t max, struct digests *d,
		   int64_t *ret_size, struct mh_err *err)
{
	int64_t done = 0, rest = 0;

	if (d == NULL && copy_in_kernel(b, fd, max, &done, err) != 0)
		return -1;
	/* What the kernel did not do; usually there is nothing left. */
	if (copy_by_hand(b, fd, max - done, d, &rest, err) != 0)
		return -1;
	*ret_size = done + rest;
	return 0;
}

/* The directory's own name must be as durable as the file in it. */
static int make_shard(const struct blobs *s, const char *id, int *ret_fd,
		      struct mh_err *err)
{
	char name[SHARD_SIZE] = { id[0], id[1], '\0' };

	if (mkdirat(s->root_fd, name, 0700) == 0) {
		if (fs_sync_fd(s->root_fd, "objects", err) != 0)
			return -1;
	} else if (errno != EEXIST) {
		return mh_err_sys(err, "cannot make objects/%s", name);
	}
	return fs_open_dir(s->root_fd, name, ret_fd, err);
}

int blob_keep(const struct blobs *s, struct blob *b, struct mh_err *err)
{
	CLEAN(fd) int shard_fd = -1;

	if (fs_sync_fd(b->fd, "an object's file", err) != 0 ||
	    make_shard(s, b->id, &shard_fd, err) != 0)
		return -1;
	FAULT_POINT("s3.blob.synced");
	if (renameat(s->tmp_fd, b->id, shard_fd, b->id) != 0)
		return mh_err_sys(err, "cannot put an object's file in its place");
	b->kept = true;
	if (fs_sync_fd(shard_fd, "an object's directory", err) != 0) {
		blob_remove(s, b->id);
		return -1;
	}
	FAULT_POINT("s3.blob.kept");
	return 0;
}

void blob_done(const struct blobs *s, struct blob *b)
{
	if (b->fd < 0)
		return;
	if (!b->kept)
		(void)unlinkat(s->tmp_fd, b->id,
			       0); /* the next start's sweep tries again */
	clean_fd(&b->fd);
	b->fd = -1;
}

int blob_open(const struct blobs *s, const char *id, int *ret_fd, struct mh_err *err)
{
	char path[PATH_SIZE];
	int fd;

	path_of(id, path);
	fd = openat(s->root_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT)
		return mh_err_set(err, MH_E_NOTFOUND, "no object file %s", id);
	if (fd < 0)
		return mh_err_sys(err, "cannot open object file %s", id);
	*ret_fd = fd;
	return 0;
}

void blob_remove(const struct blobs *s, const char *id)
{
	char path[PATH_SIZE];

	if (id == NULL)
		return;
	path_of(id, path);
	FAULT_POINT("s3.blob.remove");
	(void)unlinkat(s->root_fd, path,
		       0); /* left behind, it goes with the next sweep */
	FAULT_POINT("s3.blob.removed");
}

struct sweep {
	const struct blobs *blobs;
	blob_known_fn known;
	void *ctx;
	int64_t removed;
	char ids[SWEEP_IDS][BLOB_ID_SIZE];
	size_t count;
};

static int sweep_batch(struct sweep *w, struct mh_err *err)
{
	bool known[SWEEP_IDS] = { false };

	if (w->count == 0)
		return 0;
	if (w->known(w->ctx, w->ids, w->count, known, err) != 0)
		return -1;
	for (size_t i = 0; i < w->count; i++) {
		if (known[i])
			continue;
		blob_remove(w->blobs, w->ids[i]);
		w->removed++;
	}
	w->count = 0;
	return 0;
}

static void clean_dir(DIR **dir)
{
	if (*dir != NULL)
		(void)closedir(*dir); /* only read from */
}

/* take_fd is closed. */
static int each_name(int take_fd,
		     int (*fn)(struct sweep *w, const char *name, struct mh_err *err),
		     struct sweep *w, struct mh_err *err)
{
	CLEAN(dir) DIR *dir = fdopendir(take_fd);

	if (dir == NULL) {
		(void)close(take_fd); /* the error told is fdopendir's */
		return mh_err_sys(err, "cannot list the object files");
	}
	for (;;) {
		struct dirent *entry;

		errno = 0;
		entry = readdir(dir);
		if (entry == NULL)
			return errno == 0
				       ? 0
				       : mh_err_sys(err, "cannot list the object files");
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (fn(w, entry->d_name, err) != 0)
			return -1;
	}
}

static int sweep_file(struct sweep *w, const char *name, struct mh_err *err)
{
	if (!is_id(name))
		return 0; /* nothing of ours */
	memcpy(w->ids[w->count++], name, BLOB_ID_SIZE);
	return w->count == SWEEP_IDS ? sweep_batch(w, err) : 0;
}

static int sweep_shard(struct sweep *w, const char *name, struct mh_err *err)
{
	int fd;

	if (strlen(name) != 2 || strspn(name, "0123456789abcdef") != 2)
		return 0;
	if (fs_open_dir(w->blobs->root_fd, name, &fd, err) != 0)
		return -1;
	return each_name(fd, sweep_file, w, err);
}

static int sweep_tmp(struct sweep *w, const char *name, struct mh_err *err)
{
	return fs_remove_tree_at(w->blobs->tmp_fd, name, err);
}

static int reopen_dir(int dirfd, int *ret_fd, struct mh_err *err)
{
	return fs_open_dir(dirfd, ".", ret_fd, err); /* with an offset of its own */
}

int blobs_sweep(const struct blobs *s, blob_known_fn known, void *ctx,
		int64_t *ret_removed, struct mh_err *err)
{
	CLEAN(free) struct sweep *w = mh_alloc(sizeof(*w));
	int tmp_fd, root_fd;

	*w = (struct sweep){ .blobs = s, .known = known, .ctx = ctx };
	if (reopen_dir(s->tmp_fd, &tmp_fd, err) != 0 ||
	    each_name(tmp_fd, sweep_tmp, w, err) != 0)
		return -1;
	if (reopen_dir(s->root_fd, &root_fd, err) != 0 ||
	    each_name(root_fd, sweep_shard, w, err) != 0 || sweep_batch(w, err) != 0)
		return -1;
	*ret_removed = w->removed;
	return 0;
}
