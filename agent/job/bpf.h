/*
 * What the seccomp filters of a job are made of: small programs over struct
 * seccomp_data. FILTER_ARCH is absent where no filter of ours knows the processor.
 */
#ifndef MH_JOB_BPF_H
#define MH_JOB_BPF_H

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>

#include "lib/base/err.h"

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

/* The first argument as an int: its low half, wherever that lies. */
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define FIRST_INT (offsetof(struct seccomp_data, args) + 4)
#else
#define FIRST_INT offsetof(struct seccomp_data, args)
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

/* The calling thread is under the filter from now on, and what it starts. */
static inline int bpf_enter(struct sock_filter *code, unsigned short len,
			    struct mh_err *err)
{
	struct sock_fprog program = { .len = len, .filter = code };

	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
		return mh_err_sys(err, "seccomp filter");
	return 0;
}

#endif
