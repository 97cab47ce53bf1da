#include "cli/ask.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <libconfig.h>

#include "lib/base/buf.h"
#include "lib/base/macros.h"
#include "lib/net/conf_source.h"

#define USUAL_CONFIG    "/etc/millhand/agent.conf"
#define USUAL_STATE_DIR "/var/lib/millhand"
#define SOCKET_NAME     "control"
#define CHUNK           65536

/* --- where
 * ------------------------------------------------------------------------------- */

/* The one key that is needed; the agent judges the rest of its file. */
static int read_state_dir(const char *path, char **ret, struct mh_err *err)
{
	CLEAN(conf_source) struct conf_source source = CONF_SOURCE_INIT;
	const char *file, *value;
	unsigned line;
	config_t config;
	int rc = 0;

	if (conf_source_load(&source, path, NULL, err) != 0)
		return -1;
	config_init(&config);
	if (!config_read_string(&config, buf_text(&source.text))) {
		conf_source_where(&source, (unsigned)config_error_line(&config), &file,
				  &line);
		rc = mh_err_set(err, MH_E_CONFIG, "%s:%u: %s", file, line,
				config_error_text(&config));
	} else if (config_lookup_string(&config, "state_dir", &value)) {
		*ret = mh_strdup(value);
	} else {
		*ret = mh_strdup(USUAL_STATE_DIR);
	}
	config_destroy(&config);
	return rc;
}

int where_is(const struct place *place, char **ret, struct mh_err *err)
{
	CLEAN(free) char *state_dir = NULL;

	if (place->socket) {
		*ret = mh_strdup(place->socket);
		return 0;
	}
	if (!place->config && access(USUAL_CONFIG, F_OK) != 0)
		state_dir = mh_strdup(USUAL_STATE_DIR);
	else if (read_state_dir(place->config ? place->config : USUAL_CONFIG, &state_dir,
				err) != 0)
		return -1;
	*ret = mh_format("%s/" SOCKET_NAME, state_dir);
	return 0;
}

/* --- one exchange
 * -------------------------------------------------------------------------- */

static int no_agent(const char *path, struct mh_err *err)
{
	switch (errno) {
	case ENOENT:
	case ENOTDIR:
		return mh_err_set(err, MH_E_NOTFOUND,
				  "no agent runs here: there is no %s", path);
	case ECONNREFUSED:
		return mh_err_set(err, MH_E_NOTFOUND,
				  "no agent runs here: %s is left of one that was killed",
				  path);
	case EACCES:
	case EPERM:
		return mh_err_set(err, MH_E_DENIED,
				  "%s: only the agent's user and root may ask it", path);
	case EAGAIN:
		return mh_err_set(err, MH_E_TIMEOUT,
				  "%s: the agent is too busy to answer", path);
	default:
		return mh_err_sys(err, "%s", path);
	}
}

static int set_timeout(int fd, int64_t timeout_ms, struct mh_err *err)
{
	const struct timeval limit = { .tv_sec = timeout_ms / 1000,
				       .tv_usec = timeout_ms % 1000 * 1000 };

	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) != 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) != 0)
		return mh_err_sys(err, "setsockopt");
	return 0;
}

/* By its directory: the path may be longer than an address. */
static int connect_to(const char *path, int64_t timeout_ms, int *ret, struct mh_err *err)
{
	CLEAN(free) char *for_dir = mh_strdup(path);
	CLEAN(free) char *for_name = mh_strdup(path);
	CLEAN(fd)
	int dir_fd = open(dirname(for_dir), O_PATH | O_DIRECTORY | O_CLOEXEC);
	CLEAN(fd) int fd = -1;
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int len;

	if (dir_fd < 0)
		return no_agent(path, err);
	len = snprintf(at.sun_path, sizeof(at.sun_path), "/proc/self/fd/%d/%s", dir_fd,
		       basename(for_name));
	if (len < 0 || (size_t)len >= sizeof(at.sun_path))
		return mh_err_set(err, MH_E_CONFIG, "%s: its name is too long", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return mh_err_sys(err, "socket");
	if (set_timeout(fd, timeout_ms, err) != 0)
		return -1;
	if (connect(fd, (const struct sockaddr *)&at, sizeof(at)) != 0)
		return no_agent(path, err);
	*ret = STEAL_FD(fd);
	return 0;
}

static int say(int fd, struct json_object *request, struct mh_err *err)
{
	CLEAN(free) char *line = mh_format("%s\n", json_text(request));
	size_t len = strlen(line), sent = 0;

	while (sent < len) {
		ssize_t n = send(fd, line + sent, len - sent, MSG_NOSIGNAL);

		if (n > 0)
			sent += (size_t)n;
		else if (errno == EPIPE)
			return 0; /* it may have said why */
		else if (errno != EINTR)
			return mh_err_sys(err, "ask the agent");
	}
	return 0;
}

static int hear(int fd, struct buf *line, struct mh_err *err)
{
	CLEAN(free) char *chunk = mh_alloc(CHUNK);

	for (;;) {
		ssize_t n = recv(fd, chunk, CHUNK, 0);
		char *end;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return mh_err_set(err, MH_E_TIMEOUT,
					  "the agent does not answer; is it stopped?");
		if (n < 0)
			return mh_err_sys(err, "the agent's answer");
		if (n == 0)
			return mh_err_set(err, MH_E_NOTFOUND,
					  "the agent ended before it had answered");
		end = memchr(chunk, '\n', (size_t)n);
		if (buf_add(line, chunk, end ? (size_t)(end - chunk) : (size_t)n, err) !=
		    0)
			return mh_err_wrap(err, "the agent's answer");
		if (end)
			return 0;
	}
}

int ask(const char *path, struct json_object *request, int64_t timeout_ms,
	struct json_object **ret, struct mh_err *err)
{
	CLEAN(buf) struct buf line = BUF_INIT(ASK_ANSWER_MAX);
	CLEAN(fd) int fd = -1;

	if (connect_to(path, timeout_ms, &fd, err) != 0 || say(fd, request, err) != 0 ||
	    hear(fd, &line, err) != 0)
		return -1;
	if (json_parse_object(buf_text(&line), line.len, ret, err) != 0)
		return mh_err_wrap(err, "the agent's answer");
	return 0;
}
