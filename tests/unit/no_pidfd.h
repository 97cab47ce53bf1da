/* A kernel without pidfd_open, for what must work there too. */
#ifndef MH_TESTS_UNIT_NO_PIDFD_H
#define MH_TESTS_UNIT_NO_PIDFD_H

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base/macros.h"
#include "tests/unit/test.h"

/* From here on this process and its children are on one. False where that cannot be
 * played. */
static inline bool take_pidfds_away(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pidfd_open, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = ARRAY_LEN(code), .filter = code };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0 &&
	       syscall(SYS_pidfd_open, getpid(), 0) < 0;
}

/* A test between two rounds of the same tests. */
static void from_here_on_there_are_no_pidfds(void **state)
{
	(void)state;
	if (!take_pidfds_away())
		skip_without("seccomp filters");
}

#endif
