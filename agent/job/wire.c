#include "agent/job/wire.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

struct json_object *wire_new(const char *m)
{
	struct json_object *message = json_object_new_object();

	json_put_str(message, "m", m);
	return message;
}

int wire_send(int fd, struct json_object *message, int flags, struct mh_err *err)
{
	const char *text = json_text(message);
	ssize_t n;

	do {
		n = send(fd, text, strlen(text), flags | MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? mh_err_sys(err, "send") : 0;
}

enum wire_got wire_receive(int fd, size_t max_bytes, int flags, struct json_object **ret,
			   const char **ret_m, struct mh_err *err)
{
	static char text[WIRE_CHANNEL_MAX_BYTES];
	CLEAN(json) struct json_object *message = NULL;
	ssize_t n;

	MH_ASSERT(max_bytes <= sizeof text);
	do {
		n = recv(fd, text, max_bytes, flags | MSG_TRUNC);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return WIRE_NOTHING;
	if (n == 0 || (n < 0 && errno == ECONNRESET))
		return WIRE_END;
	if (n < 0) {
		(void)mh_err_sys(err, "receive");
		return WIRE_BROKEN;
	}
	if ((size_t)n > max_bytes) {
		(void)mh_err_set(err, MH_E_PROTO, "message of %zd bytes", n);
		return WIRE_BROKEN;
	}
	if (json_parse_object(text, (size_t)n, &message, err) != 0 ||
	    json_get_str(message, "m", ret_m, err) != 0)
		return WIRE_BROKEN;
	*ret = STEAL_PTR(message);
	return WIRE_MESSAGE;
}
