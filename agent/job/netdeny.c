#include "agent/job/netdeny.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#if defined(__x86_64__) && !defined(__ILP32__)
#define FILTER_ARCH AUDIT_ARCH_X86_64
#elif defined(__i386__)
#define FILTER_ARCH AUDIT_ARCH_I386
#elif defined(__aarch64__)
#define FILTER_ARCH AUDIT_ARCH_AARCH64
#elif defined(__arm__)
#define FILTER_ARCH AUDIT_ARCH_ARM
#elif defined(__riscv) && __riscv_xlen == 64
#define FILTER_ARCH AUDIT_ARCH_RISCV64
#elif defined(__powerpc64__) && defined(__LITTLE_ENDIAN__)
#define FILTER_ARCH AUDIT_ARCH_PPC64LE
#elif defined(__s390x__)
#define FILTER_ARCH AUDIT_ARCH_S390X
#endif

int netdeny_loopback_up(struct mh_err *err)
{
	CLEAN(fd) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = { .ifr_name = "lo" };

	if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &ifr) != 0)
		return mh_err_sys(err, "loopback device");
	ifr.ifr_flags = (short)(ifr.ifr_flags | IFF_UP);
	if (ioctl(fd, SIOCSIFFLAGS, &ifr) != 0)
		return mh_err_sys(err, "start the loopback device");
	return 0;
}

#ifdef FILTER_ARCH

/* The first argument of socket() is an int: its low half, wherever that lies. */
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define FAMILY_OFFSET (offsetof(struct seccomp_data, args) + 4)
#else
#define FAMILY_OFFSET offsetof(struct seccomp_data, args)
#endif
/* On x86-64, numbers from here on are the x32 calls in another guise. */
#define X32_CALLS 0x40000000u

#define LOAD(offset)   BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (offset))
#define ANSWER(action) BPF_STMT(BPF_RET | BPF_K, (action))
/* The next statement runs only if the loaded value is (is not, is not below) k. */
#define IF_EQUAL(k)     BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (k), 0, 1)
#define IF_NOT_EQUAL(k) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (k), 1, 0)
#define IF_FROM(k)      BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, (k), 0, 1)
#define REFUSE(number)  ANSWER(SECCOMP_RET_ERRNO | (number))

int netdeny_filter(struct mh_err *err)
{
	static struct sock_filter code[] = {
		LOAD(offsetof(struct seccomp_data, arch)),
		IF_NOT_EQUAL(FILTER_ARCH), /* programs of another word size */
		REFUSE(EPERM),
		LOAD(offsetof(struct seccomp_data, nr)),
		IF_FROM(X32_CALLS),
		REFUSE(EPERM),
		IF_EQUAL(__NR_io_uring_setup), /* it can make sockets by itself */
		REFUSE(EPERM),
#ifdef __NR_socketcall
		IF_EQUAL(__NR_socketcall), /* its arguments cannot be seen */
		REFUSE(EACCES),
#endif
		IF_NOT_EQUAL(__NR_socket),
		ANSWER(SECCOMP_RET_ALLOW),
		LOAD(FAMILY_OFFSET),
		IF_EQUAL(AF_UNIX),
		ANSWER(SECCOMP_RET_ALLOW),
		IF_EQUAL(AF_NETLINK), /* asks the kernel, reaches no host */
		ANSWER(SECCOMP_RET_ALLOW),
		REFUSE(EACCES),
	};
	struct sock_fprog program = {
		.len = ARRAY_LEN(code),
		.filter = code,
	};

	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
		return mh_err_sys(err, "seccomp filter");
	return 0;
}

#else

int netdeny_filter(struct mh_err *err)
{
	return mh_err_set(err, MH_E_SYS,
			  "the network cannot be denied on this kind of processor");
}

#endif
