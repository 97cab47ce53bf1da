/*
 * The zygote: a millhand-job that is loaded already, and forks a shim whenever the
 * agent asks. That costs a fraction of what starting the program costs (exec, dynamic
 * linking, page faults). It holds nothing of any job: it gets three descriptors, forks,
 * and closes them.
 *
 * The agent sends one byte with three descriptors, in the order of enum shim_fd; the
 * answer is the shim's pid, or -errno, as an int. The shim is the agent's child, not
 * the zygote's (CLONE_PARENT), as if the agent had started it. The zygote ends when
 * the agent does; shims are not concerned.
 */
#ifndef MH_JOB_ZYGOTE_H
#define MH_JOB_ZYGOTE_H

/* The socket (SOCK_SEQPACKET) that the agent asks on. */
#define ZYGOTE_FD 3

/* Until the agent is gone: then answers the exit code. In a shim, answers what
 * run_shim() does; `option`, this program's argument, is blanked there, so that a list
 * of processes tells the one from the others. */
int zygote_main(int (*run_shim)(void), char *option);

#endif
