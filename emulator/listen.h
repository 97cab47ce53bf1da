/* The socket the server listens on, and how many may connect. */
#ifndef MH_EMULATOR_LISTEN_H
#define MH_EMULATOR_LISTEN_H

#include "lib/base/err.h"

/* listen: as settings_split_listen() takes it. SYS; the text names the address. */
int listen_open(const char *listen, int *ret_fd, int *ret_port,
		struct mh_err *err) MH_MUST_CHECK;

struct settings;
/* How many connections may be open at once: max_connections, or less when there are not
 * descriptors for so many (the limit of open files is raised as far as it goes). */
int listen_connections(const struct settings *settings, unsigned *ret,
		       struct mh_err *err) MH_MUST_CHECK;

#endif
