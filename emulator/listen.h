/* The socket the server listens on. */
#ifndef MH_EMULATOR_LISTEN_H
#define MH_EMULATOR_LISTEN_H

#include "lib/base/err.h"

/* listen: as settings_split_listen() takes it. SYS; the text names the address. */
int listen_open(const char *listen, int *ret_fd, int *ret_port,
		struct mh_err *err) MH_MUST_CHECK;

#endif
