#include "tests/unit/http_server.h"

#include <arpa/inet.h>
#include <assert.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_REQUESTS      64
#define MAX_REQUEST_BYTES (4 << 20)

struct http_server {
	const struct http_reply *replies;
	int listen_fd, stop_fds[2], port;
	pthread_t thread;
	char *requests[MAX_REQUESTS];
	size_t count, connections;
	pthread_mutex_t mutex; /* of ended */
	pthread_cond_t changed;
	size_t ended;
	bool stopped;
};

/* Waits until fd can be read; false when the server is to stop. */
static bool wait_readable(const struct http_server *s, int fd, int timeout_ms)
{
	struct pollfd fds[2] = { { .fd = s->stop_fds[0], .events = POLLIN },
				 { .fd = fd, .events = POLLIN } };

	(void)poll(fds, fd < 0 ? 1 : 2, timeout_ms);
	return !(fds[0].revents & POLLIN);
}

static size_t whole_length(const char *text)
{
	const char *end = strstr(text, "\r\n\r\n");
	const char *length = strcasestr(text, "\ncontent-length:");

	if (!end)
		return 0;
	return (size_t)(end + 4 - text) +
	       (length && length < end ? strtoul(length + 16, NULL, 10) : 0);
}

/* One request into s->requests; false at the end of the connection. */
static bool read_request(struct http_server *s, int fd, bool unread)
{
	char *text = calloc(1, MAX_REQUEST_BYTES);
	size_t len = 0, whole = 0;

	while (whole == 0 || (len < whole && !unread)) {
		ssize_t n;

		if (!wait_readable(s, fd, -1))
			break;
		n = recv(fd, text + len, MAX_REQUEST_BYTES - 1 - len, 0);
		if (n <= 0)
			break;
		len += (size_t)n;
		whole = whole_length(text);
	}
	if (len == 0 || s->count == MAX_REQUESTS) {
		free(text);
		return false;
	}
	s->requests[s->count++] = realloc(text, len + 1);
	return true;
}

static bool send_all(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

		if (n <= 0)
			return false;
		data += n;
		len -= (size_t)n;
	}
	return true;
}

static bool send_filler(int fd, size_t len)
{
	char block[4096];

	memset(block, 'x', sizeof block);
	for (; len > 0; len -= len < sizeof block ? len : sizeof block) {
		if (!send_all(fd, block, len < sizeof block ? len : sizeof block))
			return false;
	}
	return true;
}

static bool drip_filler(const struct http_server *s, int fd, const struct http_reply *r)
{
	for (size_t i = 0; i < r->filler; i++) {
		if (!wait_readable(s, -1, r->drip_ms) || !send_all(fd, "x", 1))
			return false;
	}
	return true;
}

static void serve(struct http_server *s, int fd)
{
	static const struct http_reply none;

	for (;;) {
		const struct http_reply *r = &s->replies[0];

		while (r < &s->replies[s->count] &&
		       memcmp(r + 1, &none, sizeof none) != 0)
			r++;
		if (!read_request(s, fd, r->unread))
			return;
		if (r->delay_ms && !wait_readable(s, -1, r->delay_ms))
			return;
		if (r->reset) {
			struct linger now = { .l_onoff = 1, .l_linger = 0 };

			(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
			return;
		}
		if (r->text && !send_all(fd, r->text, strlen(r->text)))
			return;
		if (!(r->drip_ms ? drip_filler(s, fd, r) : send_filler(fd, r->filler)))
			return;
		if (r->hold)
			(void)wait_readable(s, -1, -1);
		if (r->close || r->hold)
			return;
	}
}

static void *run(void *ctx)
{
	struct http_server *s = ctx;

	while (wait_readable(s, s->listen_fd, -1)) {
		int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			continue;
		s->connections++;
		serve(s, fd);
		close(fd);
		pthread_mutex_lock(&s->mutex);
		s->ended++;
		pthread_cond_signal(&s->changed);
		pthread_mutex_unlock(&s->mutex);
	}
	return NULL;
}

struct http_server *http_server_start(const struct http_reply *replies)
{
	struct http_server *s = calloc(1, sizeof *s);
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof address;
	int ok;

	s->replies = replies;
	pthread_mutex_init(&s->mutex, NULL);
	pthread_cond_init(&s->changed, NULL);
	s->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ok = s->listen_fd >= 0 && pipe(s->stop_fds) == 0 &&
	     bind(s->listen_fd, (struct sockaddr *)&address, sizeof address) == 0 &&
	     listen(s->listen_fd, 16) == 0 &&
	     getsockname(s->listen_fd, (struct sockaddr *)&address, &len) == 0 &&
	     pthread_create(&s->thread, NULL, run, s) == 0;
	if (!ok)
		abort();
	s->port = ntohs(address.sin_port);
	return s;
}

int http_server_port(const struct http_server *s)
{
	return s->port;
}

void http_server_stop(struct http_server *s)
{
	if (s->stopped)
		return;
	s->stopped = true;
	if (write(s->stop_fds[1], "x", 1) != 1)
		abort();
	pthread_join(s->thread, NULL);
}

size_t http_server_requests(const struct http_server *s)
{
	return s->count;
}

size_t http_server_connections(const struct http_server *s)
{
	return s->connections;
}

void http_server_await_end(struct http_server *s, size_t connections)
{
	pthread_mutex_lock(&s->mutex);
	while (s->ended < connections)
		pthread_cond_wait(&s->changed, &s->mutex);
	pthread_mutex_unlock(&s->mutex);
}

const char *http_server_request(const struct http_server *s, size_t i)
{
	return i < s->count ? s->requests[i] : "";
}

void http_server_free(struct http_server *s)
{
	http_server_stop(s);
	for (size_t i = 0; i < s->count; i++)
		free(s->requests[i]);
	close(s->listen_fd);
	close(s->stop_fds[0]);
	close(s->stop_fds[1]);
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->mutex);
	free(s);
}
