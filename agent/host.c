#include "agent/host.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "lib/base/macros.h"

#define RESERVE_FILE "reserve"
#define FILES_ENOUGH 65536
#define FILES_SPARE  32 /* a reload, credentials, a removal, the zygote */
#define FILES_PER_JOB                                                                    \
	9 /* directory, lock, socket, shim, its end, request, file, connections */

const char *host_lack_name(enum host_lack lack)
{
	static const char *const names[] = { [HOST_LACKS_NOTHING] = "nothing",
					     [HOST_LACKS_BYTES] = "bytes",
					     [HOST_LACKS_INODES] = "inodes" };

	return names[lack];
}

/* --- room ----------------------------------------------------------------------------
 */

int host_measure(int fd, struct host_space *ret, struct mh_err *err)
{
	struct host_space s = { 0 };
	struct statvfs st;

	if (fstatvfs(fd, &st) != 0)
		return mh_err_sys(err, "look for free space");
	if (__builtin_mul_overflow((int64_t)st.f_bavail, (int64_t)st.f_frsize, &s.bytes))
		s.bytes = INT64_MAX;
	if (__builtin_mul_overflow((int64_t)st.f_blocks, (int64_t)st.f_frsize,
				   &s.bytes_all))
		s.bytes_all = INT64_MAX;
	s.inodes = (int64_t)st.f_favail;
	s.inodes_all = (int64_t)st.f_files;
	*ret = s;
	return 0;
}

static bool below(int64_t have, int64_t limit, bool was_low)
{
	int64_t more = was_low ? limit / 4 : 0;

	return have < limit || have - limit < more;
}

static bool below_percent(int64_t have, int64_t all, int64_t percent, bool was_low)
{
	/* Divided first: a hundredth of a disk more or less is nothing. */
	return percent > 0 && all >= 100 && below(have, all / 100 * percent, was_low);
}

enum host_lack host_judge(const struct host_limits *l, const struct host_space *s,
			  bool was_low)
{
	if (below(s->bytes, l->bytes, was_low) ||
	    below_percent(s->bytes, s->bytes_all, l->bytes_percent, was_low))
		return HOST_LACKS_BYTES;
	if (below_percent(s->inodes, s->inodes_all, l->inodes_percent, was_low))
		return HOST_LACKS_INODES;
	return HOST_LACKS_NOTHING;
}

/* --- the reserve ----------------------------------------------------------------------
 */

int host_reserve_make(int state_fd, struct mh_err *err)
{
	CLEAN(fd)
	int fd = openat(state_fd, RESERVE_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
			0600);
	struct stat st = { 0 };
	int rc;

	if (fd < 0)
		return mh_err_sys(err, "make state_dir/" RESERVE_FILE);
	if (fstat(fd, &st) == 0 && st.st_size == HOST_RESERVE_BYTES &&
	    st.st_blocks * 512 >= HOST_RESERVE_BYTES)
		return 0;
	rc = posix_fallocate(fd, 0, HOST_RESERVE_BYTES);
	if (rc == 0)
		return 0;
	/* What it got of it goes back; what there was before is better than nothing. */
	if (st.st_size == 0)
		(void)host_reserve_give(state_fd); /* it may be gone */
	else
		(void)!ftruncate(fd, st.st_size); /* else a little more stays */
	errno = rc;
	return mh_err_sys(err, "keep space back in state_dir/" RESERVE_FILE);
}

bool host_reserve_is_whole(int state_fd)
{
	struct stat st;

	return fstatat(state_fd, RESERVE_FILE, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       st.st_size == HOST_RESERVE_BYTES;
}

bool host_reserve_give(int state_fd)
{
	return unlinkat(state_fd, RESERVE_FILE, 0) == 0;
}

/* --- descriptors ----------------------------------------------------------------------
 */

void host_raise_files(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= FILES_ENOUGH)
		return;
	limit.rlim_cur = limit.rlim_max < FILES_ENOUGH ? limit.rlim_max : FILES_ENOUGH;
	(void)setrlimit(RLIMIT_NOFILE, &limit); /* the old one serves fewer jobs */
}

static int64_t open_files(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int64_t count = 0;

	if (!dir)
		return FILES_SPARE;
	while (readdir(dir))
		count++;
	(void)closedir(dir); /* only read */
	return count;
}

int64_t host_jobs_by_files(int64_t entries)
{
	struct rlimit limit;
	int64_t left;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > INT32_MAX)
		return INT32_MAX;
	left = (int64_t)limit.rlim_cur - open_files() - entries - FILES_SPARE;
	return left < 2 * FILES_PER_JOB ? 1 : left / FILES_PER_JOB;
}
