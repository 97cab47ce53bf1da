#include "agent/job/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#ifndef __NR_landlock_create_ruleset
#define __NR_landlock_create_ruleset 444 /* the same on every architecture */
#define __NR_landlock_add_rule       445
#define __NR_landlock_restrict_self  446
#endif

#define RULE_PATH_BENEATH 1
#define CREATE_VERSION    1u

#define FS_WRITE_FILE  (1ULL << 1)
#define FS_REMOVE_DIR  (1ULL << 4)
#define FS_REMOVE_FILE (1ULL << 5)
#define FS_MAKE_ALL    (0x7fULL << 6) /* char, dir, reg, sock, fifo, block, sym */
#define FS_REFER       (1ULL << 13) /* ABI 2 */
#define FS_TRUNCATE    (1ULL << 14) /* ABI 3 */
#define SCOPE_SIGNAL   (1ULL << 1) /* ABI 6 */

struct ruleset_attr { /* as of ABI 6; the size tells the kernel how much is meant */
	uint64_t handled_access_fs;
	uint64_t handled_access_net; /* ABI 4 */
	uint64_t scoped; /* ABI 6 */
};

struct path_beneath_attr {
	uint64_t allowed_access;
	int32_t parent_fd;
} __attribute__((packed));

struct landlock_rules {
	int fd;
	uint64_t handled;
};

int landlock_abi(void)
{
	long abi = syscall(__NR_landlock_create_ruleset, NULL, 0, CREATE_VERSION);

	return abi < 0 ? 0 : (int)abi;
}

static size_t attr_size(int abi)
{
	if (abi >= 6)
		return sizeof(struct ruleset_attr);
	return abi >= 4 ? 2 * sizeof(uint64_t) : sizeof(uint64_t);
}

int landlock_new(int abi, bool scope_signals, struct landlock_rules **ret,
		 struct mh_err *err)
{
	struct ruleset_attr attr = {
		.handled_access_fs = FS_WRITE_FILE | FS_REMOVE_DIR | FS_REMOVE_FILE |
				     FS_MAKE_ALL,
	};
	struct landlock_rules *rules;
	long fd;

	if (abi >= 2)
		attr.handled_access_fs |= FS_REFER;
	if (abi >= 3)
		attr.handled_access_fs |= FS_TRUNCATE;
	if (abi >= LANDLOCK_ABI_SIGNALS && scope_signals)
		attr.scoped = SCOPE_SIGNAL;
	fd = syscall(__NR_landlock_create_ruleset, &attr, attr_size(abi), 0);
	if (fd < 0)
		return mh_err_sys(err, "Landlock: create rules");
	rules = mh_alloc(sizeof *rules);
	rules->fd = (int)fd; /* the kernel makes it close-on-exec */
	rules->handled = attr.handled_access_fs;
	*ret = rules;
	return 0;
}

void landlock_free(struct landlock_rules *rules)
{
	if (!rules)
		return;
	clean_fd(&rules->fd);
	free(rules);
}

int landlock_allow(struct landlock_rules *rules, const char *path, struct mh_err *err)
{
	CLEAN(fd) int fd = open(path, O_PATH | O_CLOEXEC);
	struct path_beneath_attr attr = { .allowed_access = rules->handled };
	struct stat st;

	if (fd < 0 && errno == ENOENT)
		return mh_err_set(err, MH_E_NOTFOUND, "%s: no such file or directory",
				  path);
	if (fd < 0 || fstat(fd, &st) != 0)
		return mh_err_sys(err, "%s", path);
	/* Rights about a directory's entries make no sense for a file: refused. */
	if (!S_ISDIR(st.st_mode))
		attr.allowed_access &= FS_WRITE_FILE | FS_TRUNCATE;
	attr.parent_fd = fd;
	if (syscall(__NR_landlock_add_rule, rules->fd, RULE_PATH_BENEATH, &attr, 0) != 0)
		return mh_err_sys(err, "Landlock: allow %s", path);
	return 0;
}

int landlock_enter(struct landlock_rules *rules, struct mh_err *err)
{
	if (syscall(__NR_landlock_restrict_self, rules->fd, 0) != 0)
		return mh_err_sys(err, "Landlock: enter");
	return 0;
}
