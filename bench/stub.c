/*
 * The endpoint that workers are measured against: just enough of CodePipeline and S3,
 * one thread, epoll, keep-alive, no signature checked, so that what a worker costs is
 * not lost behind what a server costs.
 *
 *	stub PORT_FILE [ZIP]
 *
 *	POST /_bench/reset?jobs=N&artifacts=0|1    N jobs to hand out; counters to zero
 *	GET  /_bench/stats                         the counters, as JSON
 *
 * Every job is new (its id is a counter); with artifacts=1 it has an input, the bytes
 * of ZIP, and an output, which is read and thrown away. The object .../zeros/N/... has N
 * bytes, also in ranges; .../checked/N/... tells its CRC-64/NVME besides.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#include "lib/base/macros.h"
#include "lib/base/str.h"

#define HEAD_MAX   16384
#define BODY_KEEP  4096 /* of a body; the rest is thrown away */
#define BATCH_MAX  100
#define JOB_MAX    4096
#define ANSWER_MAX (BATCH_MAX * JOB_MAX + 1024)
#define EVENTS     64

struct connection {
	int fd;
	char in[HEAD_MAX + BODY_KEEP + 1];
	size_t in_len;
	size_t body_at, body_len, body_kept, body_seen; /* once the head is whole */
	bool in_body;
};

struct counters {
	uint64_t polls, empty_polls, acks, successes, failures, gets, puts, put_bytes,
		others;
	uint64_t first_poll_ns, last_result_ns;
};

static struct {
	uint64_t jobs_left, next_job;
	bool artifacts;
	struct counters counters;
	char *zip;
	size_t zip_len;
	int epoll_fd, listen_fd;
} stub;

static char answer[ANSWER_MAX];

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t); /* cannot fail */
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* ---- sending ---- */

static bool send_all(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false; /* the worker went away */
		data += n;
		len -= (size_t)n;
	}
	return true;
}

static bool reply(int fd, const char *status, const char *type, const char *body,
		  size_t len)
{
	static char out[ANSWER_MAX + 512];
	char date[64];
	time_t now = time(NULL);
	struct tm tm;
	int head;

	(void)strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT",
		       gmtime_r(&now, &tm));
	head = snprintf(out, sizeof(out),
			"HTTP/1.1 %s\r\nContent-Type: %s\r\nDate: %s\r\n"
			"x-amzn-RequestId: 5d1e0000-0000-4000-8000-000000000000\r\n"
			"ETag: \"0123456789abcdef0123456789abcdef\"\r\n"
			"Content-Length: %zu\r\n\r\n",
			status, type, date, len);
	if ((size_t)head + len > sizeof(out))
		return send_all(fd, out, (size_t)head) && send_all(fd, body, len);
	if (len)
		memcpy(out + head, body, len);
	return send_all(fd, out, (size_t)head + len);
}

static bool reply_json(int fd, const char *body)
{
	return reply(fd, "200 OK", "application/x-amz-json-1.1", body, strlen(body));
}

/* ---- the service ---- */

static const char artifact_format[] =
	"{\"name\":\"%s\",\"revision\":null,\"location\":{\"type\":\"S3\",\"s3Location\":"
	"{\"bucketName\":\"bench-bucket\",\"objectKey\":\"bench/%s/%012" PRIx64 "\"}}}";

/* About as large as the service's own: 2 KB. */
static int put_job(char *out, uint64_t n)
{
	char in_artifact[512] = "", out_artifact[512] = "";

	if (stub.artifacts) {
		(void)snprintf(in_artifact, sizeof(in_artifact), artifact_format, "Src",
			       "in", n);
		(void)snprintf(out_artifact, sizeof(out_artifact), artifact_format, "Out",
			       "out", n);
	}
	return snprintf(
		out, JOB_MAX,
		"{\"id\":\"00000000-0000-4000-8000-%012" PRIx64 "\",\"nonce\":\"3\","
		"\"accountId\":\"000000000000\",\"data\":{\"actionTypeId\":{\"category\":"
		"\"Build\",\"owner\":\"Custom\",\"provider\":\"Bench\",\"version\":\"1\"}"
		","
		"\"actionConfiguration\":{\"configuration\":{\"ProjectName\":\"measure-"
		"the-agent\",\"Flavour\":\"release\",\"Notes\":\"%0400d\"}},"
		"\"pipelineContext\":{\"pipelineName\":\"bench\",\"pipelineArn\":"
		"\"arn:aws:codepipeline:us-east-1:000000000000:bench\","
		"\"pipelineExecutionId\":\"00000000-0000-4000-9000-%012" PRIx64 "\","
		"\"stage\":{\"name\":\"Build\"},\"action\":{\"name\":\"Compile\","
		"\"actionExecutionId\":\"00000000-0000-4000-a000-%012" PRIx64 "\"}},"
		"\"inputArtifacts\":[%s],\"outputArtifacts\":[%s],"
		"\"artifactCredentials\":{\"accessKeyId\":\"ASIA%016" PRIX64 "\","
		"\"secretAccessKey\":\"%040" PRIx64 "\",\"sessionToken\":\"%0400d\"},"
		"\"encryptionKey\":null}}",
		n, 0, n, n, in_artifact, out_artifact, n, n, 0);
}

static uint64_t number_after(const char *text, const char *key, uint64_t fallback)
{
	const char *at = strstr(text, key);

	if (!at)
		return fallback;
	at += strlen(key);
	at += strspn(at, " :=\"");
	return strtoull(at, NULL, 10);
}

static bool poll_for_jobs(int fd, const char *body)
{
	uint64_t batch = number_after(body, "\"maxBatchSize\"", 1);
	size_t len = (size_t)snprintf(answer, sizeof(answer), "{\"jobs\":[");
	uint64_t given = 0;

	if (stub.counters.polls++ == 0)
		stub.counters.first_poll_ns = now_ns();
	for (; given < batch && given < BATCH_MAX && stub.jobs_left > 0; given++) {
		if (given)
			answer[len++] = ',';
		len += (size_t)put_job(answer + len, ++stub.next_job);
		stub.jobs_left--;
	}
	stub.counters.empty_polls += given == 0;
	memcpy(answer + len, "]}", 3);
	return reply_json(fd, answer);
}

static bool put_result(int fd, uint64_t *counter)
{
	++*counter;
	stub.counters.last_result_ns = now_ns();
	return reply_json(fd, "");
}

static bool serve_api(int fd, const char *operation, const char *body)
{
	struct counters *c = &stub.counters;

	if (strncmp(operation, "PollForJobs", 11) == 0)
		return poll_for_jobs(fd, body);
	if (strncmp(operation, "AcknowledgeJob", 14) == 0) {
		c->acks++;
		return reply_json(fd, "{\"status\":\"InProgress\"}");
	}
	if (strncmp(operation, "PutJobSuccessResult", 19) == 0)
		return put_result(fd, &c->successes);
	if (strncmp(operation, "PutJobFailureResult", 19) == 0) {
		if (c->failures == 0)
			fprintf(stderr, "a job failed: %s\n", body);
		return put_result(fd, &c->failures);
	}
	c->others++;
	if (strncmp(operation, "ListActionExecutions", 20) == 0)
		return reply_json(fd, "{\"actionExecutionDetails\":[]}");
	return reply(fd, "400 Bad Request", "application/x-amz-json-1.1",
		     "{\"__type\":\"UnknownOperationException\"}", 38);
}

static bool send_stats(int fd)
{
	const struct counters *c = &stub.counters;

	(void)snprintf(
		answer, sizeof(answer),
		"{\"polls\":%" PRIu64 ",\"empty_polls\":%" PRIu64 ",\"acks\":%" PRIu64
		",\"successes\":%" PRIu64 ",\"failures\":%" PRIu64 ",\"gets\":%" PRIu64
		",\"puts\":%" PRIu64 ",\"put_bytes\":%" PRIu64 ",\"others\":%" PRIu64
		",\"first_poll_ns\":%" PRIu64 ",\"last_result_ns\":%" PRIu64 "}",
		c->polls, c->empty_polls, c->acks, c->successes, c->failures, c->gets,
		c->puts, c->put_bytes, c->others, c->first_poll_ns, c->last_result_ns);
	return reply_json(fd, answer);
}

/* The value of a header, not ended; NULL when it is not there. */
static const char *header(const char *head, const char *name)
{
	size_t len = strlen(name);

	for (const char *line = strstr(head, "\r\n"); line; line = strstr(line, "\r\n")) {
		line += 2;
		if (strncasecmp(line, name, len) == 0 && line[len] == ':')
			return line + len + 1 + strspn(line + len + 1, " ");
	}
	return NULL;
}

/* ---- objects of any size ---- */

#define ZEROS_BYTES (1 << 20)

/* CRC-64/NVME of so many zero bytes, base64. Of the last size asked for. */
static const char *crc_of_zeros(uint64_t size)
{
	static uint64_t table[256], known = UINT64_MAX;
	static char text[16];
	uint64_t crc = UINT64_MAX;
	unsigned char bytes[8];
	CLEAN(free) char *base64 = NULL;

	if (size == known)
		return text;
	for (uint64_t b = 0; b < 256; b++) {
		table[b] = b;
		for (int bit = 0; bit < 8; bit++)
			table[b] = table[b] >> 1 ^
				   (table[b] & 1 ? 0x9a6c9329ac4bc9b5 : 0);
	}
	for (uint64_t i = 0; i < size; i++)
		crc = crc >> 8 ^ table[crc & 0xff];
	for (int i = 0; i < 8; i++)
		bytes[i] = (unsigned char)(~crc >> (56 - 8 * i));
	base64 = str_base64(bytes, sizeof(bytes));
	(void)snprintf(text, sizeof(text), "%s", base64);
	known = size;
	return text;
}

static bool send_zeros(struct connection *c, uint64_t size, bool checked)
{
	static const char zeros[ZEROS_BYTES];
	const char *range = header(c->in, "Range");
	uint64_t from = range ? number_after(range, "bytes", 0) : 0, to = size - 1;
	const char *dash = range ? strchr(range, '-') : NULL;
	char head[512];
	int len;

	if (dash && dash[1] >= '0' && dash[1] <= '9')
		to = strtoull(dash + 1, NULL, 10);
	len = snprintf(head, sizeof(head),
		       "HTTP/1.1 %s\r\nContent-Type: application/octet-stream\r\n"
		       "ETag: \"0123456789abcdef0123456789abcdef\"\r\n%s%s%s"
		       "Last-Modified: Fri, 20 Nov 2026 12:00:00 GMT\r\n"
		       "Content-Length: %" PRIu64 "\r\n",
		       range ? "206 Partial Content" : "200 OK",
		       checked ? "x-amz-checksum-crc64nvme: " : "",
		       checked ? crc_of_zeros(size) : "", checked ? "\r\n" : "",
		       to - from + 1);
	if (range)
		len += snprintf(head + len, sizeof(head) - (size_t)len,
				"Content-Range: bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64
				"\r\n",
				from, to, size);
	len += snprintf(head + len, sizeof(head) - (size_t)len, "\r\n");
	if (!send_all(c->fd, head, (size_t)len))
		return false;
	if (strncmp(c->in, "HEAD ", 5) == 0)
		return true;
	for (uint64_t left = to - from + 1; left > 0;) {
		size_t n = left < ZEROS_BYTES ? (size_t)left : ZEROS_BYTES;

		if (!send_all(c->fd, zeros, n))
			return false;
		left -= n;
	}
	return true;
}

static bool send_object(struct connection *c)
{
	const char *end = strstr(c->in, " HTTP/");
	const char *zeros = strstr(c->in, "/zeros/"),
		   *checked = strstr(c->in, "/checked/");

	stub.counters.gets++;
	if (zeros && zeros < end)
		return send_zeros(c, strtoull(zeros + 7, NULL, 10), false);
	if (checked && checked < end)
		return send_zeros(c, strtoull(checked + 9, NULL, 10), true);
	return reply(c->fd, "200 OK", "application/zip", stub.zip, stub.zip_len);
}

static bool serve_path(struct connection *c)
{
	if (strncmp(c->in, "POST /_bench/reset", 18) == 0) {
		stub.jobs_left = number_after(c->in, "jobs=", 0);
		stub.artifacts = number_after(c->in, "artifacts=", 0) != 0;
		stub.counters = (struct counters){ 0 };
		return reply_json(c->fd, "{}");
	}
	if (strncmp(c->in, "GET /_bench/stats", 17) == 0)
		return send_stats(c->fd);
	if (strncmp(c->in, "GET ", 4) == 0 || strncmp(c->in, "HEAD ", 5) == 0)
		return send_object(c);
	if (strncmp(c->in, "PUT ", 4) == 0) {
		stub.counters.puts++;
		stub.counters.put_bytes += c->body_len;
		return reply(c->fd, "200 OK", "application/xml", "", 0);
	}
	return reply(c->fd, "400 Bad Request", "text/plain", "", 0);
}

/* ---- one connection ---- */

static bool serve(struct connection *c)
{
	const char *target = header(c->in, "X-Amz-Target");
	const char *operation = target ? strchr(target, '.') : NULL;

	return operation ? serve_api(c->fd, operation + 1, c->in + c->body_at)
			 : serve_path(c);
}

/* The head is whole: how long is the body, and does the client wait to be asked for it?
 */
static bool begin_body(struct connection *c)
{
	const char *length = header(c->in, "Content-Length");
	const char *expect = header(c->in, "Expect");

	c->in_body = true;
	c->body_len = length ? strtoull(length, NULL, 10) : 0;
	c->body_seen = 0;
	if (expect && strncasecmp(expect, "100-continue", 12) == 0)
		return send_all(c->fd, "HTTP/1.1 100 Continue\r\n\r\n", 25);
	return true;
}

/* Moves what lies behind the head into the body's count; keeps its beginning only. */
static void take_body(struct connection *c, size_t arrived)
{
	size_t room = c->body_at + BODY_KEEP;

	c->body_seen += arrived;
	if (c->in_len > room)
		c->in_len = room;
}

/* False: the connection is over. */
static bool read_some(struct connection *c)
{
	ssize_t n = recv(c->fd, c->in + c->in_len, sizeof(c->in) - 1 - c->in_len, 0);
	char *end;

	if (n <= 0)
		return n < 0 && (errno == EAGAIN || errno == EINTR);
	c->in_len += (size_t)n;
	c->in[c->in_len] = '\0';
	if (c->in_body) {
		take_body(c, (size_t)n);
	} else {
		end = strstr(c->in, "\r\n\r\n");
		if (!end)
			return c->in_len < HEAD_MAX;
		c->body_at = (size_t)(end - c->in) + 4;
		end[2] = '\0'; /* headers are looked for up to here */
		if (!begin_body(c))
			return false;
		take_body(c, c->in_len - c->body_at);
	}
	if (c->body_seen < c->body_len)
		return true;
	/* Nobody here sends the next request before the answer. */
	c->in[c->in_len] = '\0';
	if (!serve(c))
		return false;
	c->in_len = 0;
	c->in_body = false;
	return true;
}

static void accept_one(void)
{
	int fd = accept4(stub.listen_fd, NULL, NULL, SOCK_CLOEXEC);
	struct connection *c;
	int on = 1;

	if (fd < 0)
		return; /* gone again */
	c = mh_alloc(sizeof(*c));
	c->fd = fd;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* for speed */
	if (epoll_ctl(stub.epoll_fd, EPOLL_CTL_ADD, fd,
		      &(struct epoll_event){ .events = EPOLLIN, .data.ptr = c }) != 0)
		die("epoll_ctl");
}

/* ---- starting ---- */

static void read_zip(const char *path)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) != 0)
		die(path);
	stub.zip = mh_alloc((size_t)st.st_size + 1);
	stub.zip_len = (size_t)st.st_size;
	if (read(fd, stub.zip, stub.zip_len) != st.st_size)
		die(path);
	(void)close(fd); /* only read */
}

static void open_port(const char *port_file)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(at);
	FILE *f;

	stub.listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (stub.listen_fd < 0 ||
	    bind(stub.listen_fd, (struct sockaddr *)&at, sizeof(at)) != 0 ||
	    listen(stub.listen_fd, 64) != 0 ||
	    getsockname(stub.listen_fd, (struct sockaddr *)&at, &len) != 0)
		die("listen");
	f = fopen(port_file, "we");
	if (!f || fprintf(f, "%d\n", ntohs(at.sin_port)) < 0 || fclose(f) != 0)
		die(port_file);
}

int main(int argc, char **argv)
{
	struct epoll_event events[EVENTS];

	if (argc < 2 || argc > 3) {
		fputs("usage: stub PORT_FILE [ZIP]\n", stderr);
		return 2;
	}
	if (argc == 3)
		read_zip(argv[2]);
	open_port(argv[1]);
	stub.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (stub.epoll_fd < 0 ||
	    epoll_ctl(stub.epoll_fd, EPOLL_CTL_ADD, stub.listen_fd,
		      &(struct epoll_event){ .events = EPOLLIN }) != 0)
		die("epoll");
	for (;;) {
		int n = epoll_wait(stub.epoll_fd, events, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			struct connection *c = events[i].data.ptr;

			if (!c) {
				accept_one();
			} else if (!read_some(c)) {
				(void)close(c->fd); /* takes it out of the epoll, too */
				free(c);
			}
		}
	}
}
