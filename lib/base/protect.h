/*
 * What a process that holds secrets does first.
 *
 *	protect_process();
 *	protect_environment(names);      before the first thread, and before what
 *	                                 reads these variables
 *
 * A core file, /proc/<pid>/mem and /proc/<pid>/environ show a process's secrets to
 * whoever may read them. Neither call can fail in a way that matters: each is a wall
 * of its own, and a program runs without.
 */
#ifndef MH_BASE_PROTECT_H
#define MH_BASE_PROTECT_H

/* New files are for the user alone (umask 077); no core file, not even through a
 * pipe; not to be traced, and /proc/<pid> root's alone. Inherited by fork, but an
 * exec keeps only umask and the limit of core files. A leak checker must trace the
 * process, so sanitized builds stay traceable. */
void protect_process(void);

/* Moves the values of these variables out of the block that the kernel shows as
 * /proc/<pid>/environ; getenv() answers as before. names ends with NULL. */
void protect_environment(const char *const *names);

#endif
