/*
 * Shutting this process in before it looks at a single byte of an archive.
 *
 *	sandbox_early();                        first thing in main()
 *	... open everything that is needed ...
 *	sandbox_enter(path_fd, writable);       from here on: that path alone
 *
 * What the kernel does not have is left out, layer by layer: the checks of the
 * other modules stand without it. Layers: no_new_privs, no core files, death with
 * the parent; Landlock (files beneath path_fd alone, no TCP, no signals to
 * others); a seccomp filter (no new processes, programs, sockets, mounts, device
 * nodes). Builds with AddressSanitizer leave Landlock and seccomp out, because
 * the sanitizer's own leak check needs what they forbid.
 */
#ifndef MH_ARCHIVE_SANDBOX_H
#define MH_ARCHIVE_SANDBOX_H

#include <stdbool.h>

#include "lib/base/err.h"

void sandbox_early(void);

enum sandbox_layer { SANDBOX_LANDLOCK = 1, SANDBOX_SECCOMP = 2 };

/* path_fd: a directory or a regular file, O_PATH will do. Answers which layers are in
 * force. Descriptors that are open stay usable. */
unsigned sandbox_enter(int path_fd, bool writable);

#endif
