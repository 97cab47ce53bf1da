#include "tests/fuzz/unpacking.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "agent/archive/unpack.h"
#include "lib/base/fsio.h"
#include "tests/fuzz/fuzz.h"

/* <top>/into, beside which nothing may come. */
static char top[64], into[80];

static void remove_directories(void)
{
	(void)rmdir(into); /* it is empty, or a finding lies in it */
	(void)rmdir(top);
}

/* Made once; in memory where there is such a file system. */
static int open_directory(void)
{
	static int fd = -1;

	if (fd >= 0)
		return fd;
	(void)snprintf(top, sizeof(top), "%s/mh-fuzz-XXXXXX",
		       access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	MH_ASSERT(mkdtemp(top) != NULL);
	(void)snprintf(into, sizeof(into), "%s/into", top);
	MH_ASSERT(mkdir(into, 0700) == 0);
	(void)atexit(remove_directories);
	fd = open(into, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	MH_ASSERT(fd >= 0);
	return fd;
}

int unpacking_file(const void *data, size_t size)
{
	int fd = memfd_create("archive", MFD_CLOEXEC);

	MH_ASSERT(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	return fd;
}

struct found {
	uint64_t entries, bytes;
};

static void look_at(int dir_fd, const char *name, struct found *f);

static void look_into(int dir_fd, const char *name, struct found *f)
{
	int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!dir) { /* a mode that shuts us out, where we are not root */
		clean_fd(&fd);
		return;
	}
	while ((entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			look_at(fd, entry->d_name, f);
	}
	(void)closedir(dir); /* only read */
}

/* As far as it can be followed, when what it names is not there. */
static void check_link(int dir_fd, const char *name)
{
	CLEAN(free)
	char *path = mh_format("/proc/self/fd/%d/%s", dir_fd, name);
	char reached[PATH_MAX] = "";
	size_t len = strlen(into);

	if (!realpath(path, reached))
		MH_ASSERT(errno == ENOENT || errno == ENOTDIR || errno == EACCES);
	MH_ASSERT(!reached[0] || (strncmp(reached, into, len) == 0 &&
				  (reached[len] == '/' || reached[len] == '\0')));
}

static void look_at(int dir_fd, const char *name, struct found *f)
{
	struct stat st;

	MH_ASSERT(fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0);
	MH_ASSERT((st.st_mode & (S_ISUID | S_ISGID | S_ISVTX)) == 0);
	f->entries++;
	if (S_ISLNK(st.st_mode)) {
		check_link(dir_fd, name);
	} else if (S_ISDIR(st.st_mode)) {
		look_into(dir_fd, name, f);
	} else {
		MH_ASSERT(S_ISREG(st.st_mode) && st.st_nlink == 1);
		f->bytes += (uint64_t)st.st_size;
	}
}

static unsigned count_beside(void)
{
	DIR *dir = opendir(top);
	unsigned n = 0;

	MH_ASSERT(dir != NULL);
	while (readdir(dir))
		n++;
	(void)closedir(dir); /* only read */
	return n - 2;
}

static void empty(int dir_fd)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fdopendir(fd);
	struct mh_err err = MH_ERR_INIT;
	struct dirent *entry;

	MH_ASSERT(dir != NULL);
	while ((entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			MH_ASSERT(fs_remove_tree_at(dir_fd, entry->d_name, &err) == 0);
	}
	(void)closedir(dir); /* only read */
}

/* By the format's own reader, as the two programs choose. */
static int unpack_any(const struct source *source, int dir_fd,
		      const struct archive_limits *limits, struct unpack_result *ret,
		      struct mh_err *err)
{
	return unpack_archive(source, source_is_zip(source) ? unpack_zip : unpack_tar,
			      dir_fd, limits, ret, err);
}

/* Whether it was taken; then *ret is what came out. */
static bool try_once(const struct source *source, const struct archive_limits *limits,
		     struct unpack_result *ret)
{
	struct mh_err err = MH_ERR_INIT;
	struct found found = { 0, 0 };
	int dir_fd = open_directory();
	int rc = unpack_any(source, dir_fd, limits, ret, &err);

	look_into(dir_fd, ".", &found);
	MH_ASSERT(count_beside() == 1); /* into itself */
	if (rc != 0) {
		MH_ASSERT(*err.text && strcmp(archive_error_kind(&err), "system") != 0);
		MH_ASSERT(found.entries == 0);
		return false;
	}
	MH_ASSERT(ret->entries <= limits->entries && ret->bytes <= limits->bytes);
	if (geteuid() == 0) /* others cannot look into what is shut */
		MH_ASSERT(found.entries == ret->entries && found.bytes == ret->bytes);
	empty(dir_fd);
	return true;
}

bool unpacking_try(int archive_fd)
{
	struct archive_limits limits = {
		.bytes = 1 << 20,
		.entries = 200,
		.ratio = 200,
		.ratio_from = 1 << 16,
		.depth = 16,
		.whole_bytes = 1 << 20,
	};
	struct unpack_result whole = { 0 }, blocks = { 0 };
	CLEAN(source) struct source source = { .fd = -1 };
	struct mh_err err = MH_ERR_INIT;
	bool taken, again;

	MH_ASSERT(source_open(&source, archive_fd, &err) == 0);
	taken = try_once(&source, &limits, &whole);
	if (!source_is_zip(&source))
		return taken;
	/* the other way through it: from memory, in blocks. zlib and libdeflate differ in
	 * which broken streams they still take, not in what comes out of one. */
	limits.whole_bytes = 0;
	MH_ASSERT(source_load(&source, &err) == 0);
	again = try_once(&source, &limits, &blocks);
	if (again && taken)
		MH_ASSERT(whole.bytes == blocks.bytes && whole.entries == blocks.entries);
	return taken && again;
}
