#include "lib/base/notify.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/err.h"
#include "lib/base/str.h"

#define MESSAGE_MAX 512

/* WATCHDOG_USEC is meant for the process that WATCHDOG_PID names, or for any. */
static int64_t read_watchdog_ms(void)
{
	const char *usec = getenv("WATCHDOG_USEC");
	const char *pid = getenv("WATCHDOG_PID");
	struct mh_err ignored;
	int64_t n, wanted;

	if (!usec ||
	    str_to_i64(usec, 1000, INT64_MAX, "WATCHDOG_USEC", &n, &ignored) != 0)
		return 0;
	if (pid &&
	    (str_to_i64(pid, 1, INT32_MAX, "WATCHDOG_PID", &wanted, &ignored) != 0 ||
	     wanted != (int64_t)getpid()))
		return 0;
	return n / 1000;
}

/* "/run/systemd/notify", or "@name" for one in the abstract name space. */
static bool set_address(struct notify *n, const char *path)
{
	size_t len = strlen(path);

	if ((path[0] != '/' && path[0] != '@') || len < 2 ||
	    len >= sizeof(n->address.sun_path))
		return false;
	n->address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(n->address.sun_path, path, len);
	if (path[0] == '@')
		n->address.sun_path[0] = '\0';
	/* An abstract name ends where the length says, a path with a NUL. */
	n->address_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len +
				     (path[0] == '/' ? 1 : 0));
	return true;
}

static void forget_environment(void)
{
	static const char *const names[] = { "NOTIFY_SOCKET", "WATCHDOG_USEC",
					     "WATCHDOG_PID" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		(void)unsetenv(names[i]); /* valid names */
}

bool notify_init(struct notify *n)
{
	const char *path = getenv("NOTIFY_SOCKET");
	bool good = true;

	*n = (struct notify)NOTIFY_INIT;
	if (path && *path) {
		good = set_address(n, path);
		if (good)
			n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
				       0);
		if (n->fd >= 0)
			n->watchdog_ms = read_watchdog_ms();
		good = good && n->fd >= 0;
	}
	forget_environment();
	return good;
}

void notify_done(struct notify *n)
{
	if (n->fd >= 0)
		(void)close(n->fd);
	*n = (struct notify)NOTIFY_INIT;
}

bool notify_send(const struct notify *n, const char *fmt, ...)
{
	char text[MESSAGE_MAX];
	va_list args;
	int len;

	if (n->fd < 0)
		return false;
	va_start(args, fmt);
	len = vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	MH_ASSERT(len > 0 && (size_t)len < sizeof(text));
	return sendto(n->fd, text, (size_t)len, MSG_NOSIGNAL,
		      (const struct sockaddr *)&n->address, n->address_len) == len;
}
