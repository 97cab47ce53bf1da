/*
 * Fuzz target: any bytes to unpack_archive(). Whatever they are, it comes back; after
 * a failure the directory is empty, and after success no link in it leads outside.
 *
 * With clang's libFuzzer (dev/build fuzz), or with the driver beside this file, which
 * `make check` runs for a few seconds.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/archive/unpack.h"
#include "lib/base/fsio.h"
#include "tests/fuzz/fuzz.h"

/* Small, so that what goes over them is found soon and costs little. */
static const struct archive_limits limits = { .bytes = 1 << 20,
					      .entries = 200,
					      .ratio = 200,
					      .ratio_from = 64 << 10,
					      .depth = 20 };

static char top[PATH_MAX], into[PATH_MAX]; /* <top>/into, beside which nothing may come */
static size_t found;

static void must(bool holds, const char *what)
{
	if (holds)
		return;
	(void)fprintf(stderr, "fuzz_archive: %s (errno %d)\n", what, errno);
	abort();
}

static void remove_top(void)
{
	struct mh_err err = MH_ERR_INIT;

	if (fs_remove_tree_at(AT_FDCWD, top, &err) != 0)
		(void)fprintf(stderr, "fuzz_archive: %s\n", err.text);
}

static void make_top(void)
{
	const char *tmp = getenv("TMPDIR");
	char name[PATH_MAX];

	(void)snprintf(name, sizeof name, "%s/mh-fuzz-XXXXXX", tmp ? tmp : "/tmp");
	must(mkdtemp(name) != NULL && realpath(name, top) != NULL, "no directory");
	must((size_t)snprintf(into, sizeof into, "%s/into", top) < sizeof into,
	     "TMPDIR is too long");
	must(atexit(remove_top) == 0, "no atexit");
}

/* Where a link leads; as far as it can be followed, when what it names is not there. */
static void judge_link(const char *path)
{
	char reached[PATH_MAX] = "";
	size_t len = strlen(into);

	if (!realpath(path, reached))
		must(errno == ENOENT || errno == ENOTDIR || errno == EACCES,
		     "a bad link");
	must(!reached[0] || (strncmp(reached, into, len) == 0 &&
			     (reached[len] == '/' || reached[len] == '\0')),
	     "a link leads outside");
}

static int judge(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)type;
	if (ftw->level == 0)
		return 0;
	found++;
	must(S_ISREG(st->st_mode) || S_ISDIR(st->st_mode) || S_ISLNK(st->st_mode),
	     "something other than files, directories and links");
	must((st->st_mode & 07000) == 0, "special bits");
	if (S_ISLNK(st->st_mode))
		judge_link(path);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mh_err err = MH_ERR_INIT;
	struct unpack_result result = { 0 };
	struct source source;
	CLEAN(fd) int top_fd = -1, into_fd = -1, memory_fd = -1;
	int rc;

	if (!top[0])
		make_top();
	must(mkdir(into, 0700) == 0, "no directory");
	top_fd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	into_fd = open(into, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	memory_fd = memfd_create("archive", MFD_CLOEXEC);
	must(top_fd >= 0 && into_fd >= 0 && memory_fd >= 0, "no descriptors");
	must(fs_write_fd(memory_fd, data, size, &err) == 0, err.text);
	must(source_open(&source, memory_fd, &err) == 0, err.text);

	rc = unpack_archive(&source, into_fd, &limits, &result, &err);
	found = 0;
	must(nftw(into, judge, 16, FTW_PHYS) == 0, "the tree cannot be read");
	if (rc != 0) {
		must(found == 0, "a failure leaves something");
		must(err.text[0] != '\0', "a failure has no words");
		must(strcmp(archive_error_kind(&err), "system") != 0, err.text);
	} else if (geteuid() == 0) { /* others cannot look into what is shut */
		must(found == result.entries, "other entries than it says");
	}
	must(result.bytes <= limits.bytes && result.entries <= limits.entries,
	     "beyond its limits");
	must(fs_remove_tree_at(top_fd, "into", &err) == 0, err.text);
	must(rmdir(top) == 0, "something lies beside the directory");
	must(mkdir(top, 0700) == 0, "no directory");
	return 0;
}
