/*
 * Loads a server with API requests that are signed ahead, so that the generator's own
 * cost is sending and receiving.
 *
 *	load PORT CONNECTIONS KEY SECRET REQUESTS
 *
 * REQUESTS has a line per request: operation, tab, JSON body. Each keep-alive
 * connection sends one and waits for its answer before it sends the next. Anything but
 * 200 ends the run. Prints one JSON object: requests, seconds, latencies, own CPU.
 */
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <sodium.h>

#include "bench/report.h"
#include "lib/base/clock.h"
#include "lib/base/macros.h"
#include "lib/net/sigv4.h"

#define CONNECTIONS_MAX 1024
#define ANSWER_MAX      65536
#define REGION          "us-east-1"

struct request {
	char *text;
	size_t len;
	int64_t sent_ns, took_ns;
};

struct connection {
	int fd;
	struct request *request; /* under way, or NULL */
	size_t got;
	char answer[ANSWER_MAX + 1];
};

static struct {
	struct request *requests;
	size_t count, next, done;
	struct connection *connections;
	int epoll_fd;
} load;

MH_NORETURN static void die(const char *what)
{
	fprintf(stderr, "load: %s (%s)\n", what, strerror(errno));
	exit(1);
}

/* ---- signing ahead ---- */

static void make_request(struct request *r, const char *host, const char *operation,
			 const char *body, const struct sigv4_creds *creds)
{
	CLEAN(free) char *target = mh_format("CodePipeline_20150709.%s", operation);
	char hash[SIGV4_HASH_HEX_SIZE];
	const struct sigv4_header headers[] = {
		{ "host", host },
		{ "content-type", "application/x-amz-json-1.1" },
		{ "x-amz-target", target },
	};
	struct sigv4_request to_sign = { .method = "POST",
					 .path = "/",
					 .headers = headers,
					 .header_count = ARRAY_LEN(headers),
					 .payload_hash = hash };
	struct sigv4_scope scope = { REGION, "codepipeline", clock_wall_ms() };
	struct sigv4_result s = { 0 };

	sigv4_hash_hex(body, strlen(body), hash);
	sigv4_sign(&to_sign, creds, &scope, &s);
	r->text = mh_format("POST / HTTP/1.1\r\nHost: %s\r\nContent-Type: %s\r\n"
			    "X-Amz-Target: %s\r\n%s\r\nAuthorization: %s\r\n"
			    "Content-Length: %zu\r\n\r\n%s",
			    host, headers[1].value, target, s.added[0], s.authorization,
			    strlen(body), body);
	r->len = strlen(r->text);
	sigv4_result_done(&s);
}

static void read_requests(const char *path, const char *host,
			  const struct sigv4_creds *creds)
{
	FILE *f = fopen(path, "re");
	char *line = NULL;
	size_t size = 0;
	ssize_t len;

	if (!f)
		die(path);
	while ((len = getline(&line, &size, f)) > 0) {
		char *tab = strchr(line, '\t');

		MH_ASSERT(tab);
		*tab = '\0';
		line[len - 1] = '\0'; /* the line feed */
		load.requests = mh_realloc(load.requests,
					   (load.count + 1) * sizeof(*load.requests));
		make_request(&load.requests[load.count++], host, line, tab + 1, creds);
	}
	free(line);
	(void)fclose(f); /* only read */
}

/* ---- sending and receiving ---- */

static void send_next(struct connection *c)
{
	c->request = NULL;
	c->got = 0;
	if (load.next == load.count)
		return;
	c->request = &load.requests[load.next++];
	c->request->sent_ns = cost_clock_ns(CLOCK_MONOTONIC);
	if (send(c->fd, c->request->text, c->request->len, MSG_NOSIGNAL) !=
	    (ssize_t)c->request->len)
		die("send");
}

/* Whether the answer is whole. */
static bool is_whole(const struct connection *c)
{
	const char *end = strstr(c->answer, "\r\n\r\n");
	const char *length = strcasestr(c->answer, "\r\nContent-Length:");

	if (!end)
		return false;
	if (!length || length > end)
		die("an answer without Content-Length");
	return c->got >= (size_t)(end + 4 - c->answer) + strtoul(length + 17, NULL, 10);
}

static void receive(struct connection *c)
{
	ssize_t n = recv(c->fd, c->answer + c->got, ANSWER_MAX - c->got, 0);

	if (n <= 0)
		die("the server closed a connection");
	c->got += (size_t)n;
	c->answer[c->got] = '\0';
	if (!is_whole(c))
		return;
	c->request->took_ns = cost_clock_ns(CLOCK_MONOTONIC) - c->request->sent_ns;
	if (strncmp(c->answer, "HTTP/1.1 200", 12) != 0) {
		fprintf(stderr, "load: %s\n", c->answer);
		exit(1);
	}
	load.done++;
	send_next(c);
}

static void open_connections(size_t count, uint16_t port)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_port = htons(port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int on = 1;

	load.connections = mh_alloc(count * sizeof(*load.connections));
	for (size_t i = 0; i < count; i++) {
		struct connection *c = &load.connections[i];

		c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&at, sizeof(at)) != 0)
			die("connect");
		(void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		if (epoll_ctl(load.epoll_fd, EPOLL_CTL_ADD, c->fd,
			      &(struct epoll_event){ .events = EPOLLIN,
						     .data.ptr = c }) != 0)
			die("epoll_ctl");
	}
}

static void run(size_t connections)
{
	struct epoll_event events[CONNECTIONS_MAX];

	for (size_t i = 0; i < connections; i++)
		send_next(&load.connections[i]);
	while (load.done < load.count) {
		int n = epoll_wait(load.epoll_fd, events, CONNECTIONS_MAX, 10000);

		if (n == 0)
			die("no answer for 10 s");
		for (int i = 0; i < n; i++)
			receive(events[i].data.ptr);
	}
}

/* ---- telling ---- */

static int compare(const void *a, const void *b)
{
	int64_t x = ((const struct request *)a)->took_ns;
	int64_t y = ((const struct request *)b)->took_ns;

	return (x > y) - (x < y);
}

static int64_t percentile_us(size_t per_mille)
{
	return load.requests[(load.count - 1) * per_mille / 1000].took_ns / 1000;
}

int main(int argc, char **argv)
{
	CLEAN(free) char *host = NULL;
	struct sigv4_creds creds;
	struct cost cost;
	size_t connections;
	int64_t wall_ns, cpu_ns;

	if (argc != 6) {
		fputs("usage: load PORT CONNECTIONS KEY SECRET REQUESTS\n", stderr);
		return 2;
	}
	connections = strtoul(argv[2], NULL, 10);
	MH_ASSERT(connections > 0 && connections <= CONNECTIONS_MAX);
	if (sodium_init() < 0)
		die("libsodium");
	host = mh_format("127.0.0.1:%s", argv[1]);
	creds = (struct sigv4_creds){ argv[3], argv[4], NULL };
	read_requests(argv[5], host, &creds);
	load.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	open_connections(connections, (uint16_t)strtoul(argv[1], NULL, 10));
	cost_begin(&cost);
	run(connections);
	wall_ns = cost_clock_ns(CLOCK_MONOTONIC) - cost.wall_ns;
	cpu_ns = cost_clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cost.cpu_ns;
	qsort(load.requests, load.count, sizeof(*load.requests), compare);
	printf("{\"requests\":%zu,\"wall_ns\":%" PRId64 ",\"cpu_ns\":%" PRId64
	       ",\"p50_us\":%" PRId64 ",\"p99_us\":%" PRId64 ",\"max_us\":%" PRId64 "}\n",
	       load.count, wall_ns, cpu_ns, percentile_us(500), percentile_us(990),
	       percentile_us(1000));
	return 0;
}
