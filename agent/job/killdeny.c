#include "agent/job/killdeny.h"

#include <errno.h>
#include <sys/syscall.h>

#include "agent/job/bpf.h"

#ifdef FILTER_ARCH

int killdeny_filter(struct mh_err *err)
{
	static struct sock_filter code[] = {
		LOAD(offsetof(struct seccomp_data, arch)),
		IF_NOT_EQUAL(FILTER_ARCH), /* programs of another word size */
		ANSWER(SECCOMP_RET_ALLOW),
		LOAD(offsetof(struct seccomp_data, nr)),
		IF_NOT_EQUAL(__NR_kill),
		ANSWER(SECCOMP_RET_ALLOW),
		LOAD(FIRST_INT),
		IF_EQUAL(0xffffffffu),
		REFUSE(EPERM),
		ANSWER(SECCOMP_RET_ALLOW),
	};

	return bpf_enter(code, ARRAY_LEN(code), err);
}

#else

int killdeny_filter(struct mh_err *err)
{
	return mh_err_set(err, MH_E_SYS, "not on this kind of processor");
}

#endif
