#include "agent/job/netdeny.h"

#include <errno.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "agent/job/bpf.h"

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
		LOAD(FIRST_INT),
		IF_EQUAL(AF_UNIX),
		ANSWER(SECCOMP_RET_ALLOW),
		IF_EQUAL(AF_NETLINK), /* asks the kernel, reaches no host */
		ANSWER(SECCOMP_RET_ALLOW),
		REFUSE(EACCES),
	};

	return bpf_enter(code, ARRAY_LEN(code), err);
}

#else

int netdeny_filter(struct mh_err *err)
{
	return mh_err_set(err, MH_E_SYS,
			  "the network cannot be denied on this kind of processor");
}

#endif
