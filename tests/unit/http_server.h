/*
 * A scripted HTTP server in a thread, sharing no code with the product: it reads
 * a request, sends the next answer of its script byte for byte, and notes what it
 * read. It answers connections one after the other unless `parallel`.
 */
#ifndef MH_TESTS_UNIT_HTTP_SERVER_H
#define MH_TESTS_UNIT_HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>

struct http_reply {
	const char *text; /* sent as it is; NULL: nothing */
	size_t filler; /* so many 'x' after it */
	bool close; /* then the connection is closed */
	bool reset; /* closed by RST, before anything is sent */
	bool hold; /* nothing is sent until the server stops */
	int delay_ms; /* before the answer */
	int drip_ms; /* this long between the filler's bytes */
	bool unread; /* the request's body is left unread */
};

struct http_server;

/* replies ends with an all-zero element; the last one is used again and again. */
struct http_server *http_server_start(const struct http_reply *replies);
int http_server_port(const struct http_server *s);
/* Waits for the thread. What it read stays until http_server_free(). */
void http_server_stop(struct http_server *s);
size_t http_server_requests(const struct http_server *s);
size_t http_server_connections(const struct http_server *s);
/* Until it has closed so many connections. */
void http_server_await_end(struct http_server *s, size_t connections);
/* The whole i-th request, its body included; "" when there was none. */
const char *http_server_request(const struct http_server *s, size_t i);
void http_server_free(struct http_server *s);

#endif
