#include "agent/archive/sandbox.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#include "lib/base/macros.h"

#if defined(__SANITIZE_ADDRESS__)
#define UNDER_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define UNDER_ASAN 1
#endif
#endif
#ifndef UNDER_ASAN
#define UNDER_ASAN 0
#endif

void sandbox_early(void)
{
	struct rlimit none = { .rlim_cur = 0, .rlim_max = 0 };

	/* Each of these is a layer of its own; none failing makes the others worse. */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	(void)setrlimit(RLIMIT_CORE, &none);
}

/* --- Landlock --------------------------------------------------------------------- */

/* The kernel's interface, by its numbers: Debian 12's header stops at ABI 2. */
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule       445
#define SYS_landlock_restrict_self  446
#endif
#define LL_WRITE_FILE   1
#define LL_READ_FILE    2
#define LL_READ_DIR     3
#define LL_REMOVE_DIR   4
#define LL_REMOVE_FILE  5
#define LL_MAKE_DIR     7
#define LL_MAKE_REG     8
#define LL_MAKE_SYM     12
#define LL_REFER        13 /* ABI 2 */
#define LL_TRUNCATE     14 /* ABI 3 */
#define LL_IOCTL_DEV    15 /* ABI 5 */
#define LL_BIT(n)       (1ULL << (n))
#define LL_FS_ALL       (LL_BIT(13) - 1) /* ABI 1 */
#define LL_NET_ALL      3ULL /* bind and connect TCP, ABI 4 */
#define LL_SCOPE_ALL    3ULL /* abstract sockets and signals, ABI 6 */
#define LL_VERSION      1U
#define LL_PATH_BENEATH 1

struct ll_ruleset {
	uint64_t fs, net, scope;
};

struct ll_path {
	uint64_t access;
	int32_t fd;
} __attribute__((packed));

static int landlock_ruleset(void)
{
	struct ll_ruleset rules = { .fs = LL_FS_ALL };
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LL_VERSION);
	size_t size = sizeof rules.fs;

	if (abi < 1)
		return -1;
	if (abi >= 2)
		rules.fs |= LL_BIT(LL_REFER);
	if (abi >= 3)
		rules.fs |= LL_BIT(LL_TRUNCATE);
	if (abi >= 4) {
		rules.net = LL_NET_ALL;
		size += sizeof rules.net;
	}
	if (abi >= 5)
		rules.fs |= LL_BIT(LL_IOCTL_DEV);
	if (abi >= 6) {
		rules.scope = LL_SCOPE_ALL;
		size += sizeof rules.scope;
	}
	return (int)syscall(SYS_landlock_create_ruleset, &rules, size, 0);
}

static bool is_dir(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool landlock_enter(int path_fd, bool writable)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LL_VERSION);
	struct ll_path path = { .access = LL_BIT(LL_READ_FILE), .fd = path_fd };
	CLEAN(fd) int ruleset = landlock_ruleset();

	if (ruleset < 0)
		return false;
	if (is_dir(path_fd))
		path.access |= LL_BIT(LL_READ_DIR);
	if (writable)
		path.access |= LL_BIT(LL_WRITE_FILE) | LL_BIT(LL_REMOVE_DIR) |
			       LL_BIT(LL_REMOVE_FILE) | LL_BIT(LL_MAKE_DIR) |
			       LL_BIT(LL_MAKE_REG) | LL_BIT(LL_MAKE_SYM) |
			       (abi >= 3 ? LL_BIT(LL_TRUNCATE) : 0);
	return syscall(SYS_landlock_add_rule, ruleset, LL_PATH_BENEATH, &path, 0) == 0 &&
	       syscall(SYS_landlock_restrict_self, ruleset, 0) == 0;
}

/* --- seccomp ---------------------------------------------------------------------- */

#if defined(__x86_64__) && defined(__LP64__)
#define OUR_ARCH AUDIT_ARCH_X86_64
#define CALL_MAX 0x3fffffffU /* above: the x32 ABI, other numbers for the same calls */
#elif defined(__aarch64__)
#define OUR_ARCH AUDIT_ARCH_AARCH64
#define CALL_MAX 0xffffffffU
#endif

#ifdef OUR_ARCH
/* Refused with EPERM. A list of what is refused, not of what is allowed, so that a
 * libc of tomorrow does not break: it is the second wall, behind Landlock. */
/* clang-format off */
static const unsigned refused_calls[] = {
	/* other programs and processes */
	SYS_execve, SYS_execveat, SYS_clone, SYS_clone3, SYS_kill, SYS_ptrace, SYS_pidfd_open,
	SYS_process_vm_readv, SYS_process_vm_writev,
	/* the network */
	SYS_socket, SYS_socketpair, SYS_connect, SYS_bind, SYS_listen,
	/* mounts and other roots */
	SYS_mount, SYS_umount2, SYS_move_mount, SYS_open_tree, SYS_fsopen, SYS_pivot_root,
	SYS_chroot, SYS_setns, SYS_unshare, SYS_open_by_handle_at,
	/* what unpacking never makes or changes */
	SYS_mknodat, SYS_linkat, SYS_fchown, SYS_fchownat,
	/* who this process is */
	SYS_setuid, SYS_setgid, SYS_setresuid, SYS_setresgid, SYS_setgroups, SYS_capset,
	/* wide doors into the kernel */
	SYS_bpf, SYS_perf_event_open, SYS_userfaultfd, SYS_io_uring_setup, SYS_add_key,
	SYS_request_key, SYS_keyctl, SYS_init_module, SYS_finit_module, SYS_kexec_load,
#ifdef SYS_pidfd_getfd
	SYS_pidfd_getfd,
#endif
#ifdef SYS_fork /* architectures with the old calls */
	SYS_fork, SYS_vfork, SYS_mknod, SYS_link, SYS_chown, SYS_lchown,
#endif
};
/* clang-format on */

#define LOAD(field)                                                                      \
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offsetof(struct seccomp_data, field))
#define ANSWER(what) BPF_STMT(BPF_RET | BPF_K, (what))
#define HEAD         6

static bool seccomp_enter(void)
{
	const size_t calls = ARRAY_LEN(refused_calls);
	struct sock_filter filter[HEAD + 2 * ARRAY_LEN(refused_calls) + 1] = {
		LOAD(arch),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OUR_ARCH, 1, 0),
		ANSWER(SECCOMP_RET_KILL_PROCESS),
		LOAD(nr),
		BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, CALL_MAX, 0, 1),
		ANSWER(SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog program = { .len = (unsigned short)ARRAY_LEN(filter),
				      .filter = filter };

	for (size_t i = 0; i < calls; i++) {
		struct sock_filter *f = &filter[HEAD + 2 * i];

		f[0] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
						    refused_calls[i], 0, 1);
		f[1] = (struct sock_filter)ANSWER(SECCOMP_RET_ERRNO | EPERM);
	}
	filter[HEAD + 2 * calls] = (struct sock_filter)ANSWER(SECCOMP_RET_ALLOW);
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}
#else
static bool seccomp_enter(void)
{
	return false;
}
#endif

unsigned sandbox_enter(int path_fd, bool writable)
{
	unsigned layers = 0;

	if (UNDER_ASAN)
		return 0;
	if (landlock_enter(path_fd, writable))
		layers |= SANDBOX_LANDLOCK;
	if (seccomp_enter())
		layers |= SANDBOX_SECCOMP;
	return layers;
}
