#include "emulator/listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "emulator/settings.h"
#include "lib/base/log.h"

#define BACKLOG          256
#define FDS_A_CONNECTION 3 /* its socket; a copy has two files open */
#define FDS_BESIDES      64 /* the database, the built-in workers */

static int resolve(const char *listen, struct addrinfo **ret, struct mh_err *err)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
					.ai_flags = AI_PASSIVE | AI_NUMERICSERV };
	CLEAN(free) char *host = NULL;
	CLEAN(free) char *port = NULL;
	int rc;

	if (settings_split_listen(listen, &host, &port, err) != 0)
		return -1;
	rc = getaddrinfo(host, port, &hints, ret);
	if (rc != 0)
		return mh_err_set(err, MH_E_SYS, "cannot listen on %s: %s", listen,
				  gai_strerror(rc));
	return 0;
}

/* Not blocking: a client that went away between poll and accept must not hold the
 * accepting thread. */
static int bind_and_listen(const struct addrinfo *a, int *ret_fd)
{
	CLEAN(fd)
	int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int on = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
	    bind(fd, a->ai_addr, a->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0)
		return -1;
	*ret_fd = STEAL_FD(fd);
	return 0;
}

static int port_of(int fd)
{
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} address = { 0 };
	socklen_t len = sizeof(address);

	if (getsockname(fd, &address.any, &len) != 0)
		return -1;
	return ntohs(address.any.sa_family == AF_INET6 ? address.v6.sin6_port
						       : address.v4.sin_port);
}

int listen_open(const char *listen_at, int *ret_fd, int *ret_port, struct mh_err *err)
{
	struct addrinfo *addresses = NULL;
	int fd = -1, rc, saved;

	if (resolve(listen_at, &addresses, err) != 0)
		return -1;
	rc = bind_and_listen(addresses, &fd);
	saved = errno;
	freeaddrinfo(addresses);
	errno = saved;
	if (rc != 0 && errno == EADDRINUSE)
		return mh_err_set(err, MH_E_SYS,
				  "cannot listen on %s: another program has this address "
				  "(port 0 takes a free one)",
				  listen_at);
	if (rc != 0)
		return mh_err_sys(err, "cannot listen on %s", listen_at);
	*ret_port = port_of(fd);
	*ret_fd = fd;
	return 0;
}

/* How many connections there are descriptors for. Without one left, accepting fails and
 * is tried again at once and for ever, and those that are connected cannot be served. */
int listen_connections(const struct settings *settings, unsigned *ret, struct mh_err *err)
{
	rlim_t wanted = (rlim_t)settings->max_connections;
	rlim_t need = wanted * FDS_A_CONNECTION + FDS_BESIDES;
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) != 0)
		return mh_err_sys(err, "cannot see the limit of open files");
	if (files.rlim_cur < need) {
		files.rlim_cur = need < files.rlim_max ? need : files.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &files) != 0)
			return mh_err_sys(err, "cannot set the limit of open files");
	}
	if (files.rlim_cur < FDS_BESIDES + FDS_A_CONNECTION)
		return mh_err_set(err, MH_E_FULL,
				  "%d open files are allowed, %d are needed at least "
				  "(ulimit -n)",
				  (int)files.rlim_cur, FDS_BESIDES + FDS_A_CONNECTION);
	if (files.rlim_cur < need) {
		wanted = (files.rlim_cur - FDS_BESIDES) / FDS_A_CONNECTION;
		log_event(LOG_LEVEL_WARN, "http.few_connections",
			  "the limit of open files (ulimit -n) allows no more",
			  LOG_I("connections", (int64_t)wanted),
			  LOG_I("max_connections", settings->max_connections), LOG_END);
	}
	*ret = (unsigned)wanted;
	return 0;
}
