/* Requests as text, for the tests of sigv4: taken apart into what the signer wants. */
#ifndef MH_TESTS_UNIT_SIGV4_WIRE_H
#define MH_TESTS_UNIT_SIGV4_WIRE_H

#include "lib/net/sigv4.h"

#define WIRE_HEADERS_MAX 32

struct wire {
	char *text; /* owned; the strings below point into it or are owned by name */
	char *method, *path, *raw_query, *body;
	struct uri_query query;
	struct sigv4_header headers[WIRE_HEADERS_MAX];
	size_t header_count;
	struct sigv4_request request; /* of all the above; payload_hash of the body */
	char hash[SIGV4_HASH_HEX_SIZE];
};

/* "METHOD target HTTP/1.1", headers (folded ones too), blank line, body. */
void wire_parse(struct wire *w, const char *text);
/* Adds a header, whose strings must stay. */
void wire_add(struct wire *w, const char *name, const char *value);
void wire_done(struct wire *w);
static inline void clean_wire(struct wire *w)
{
	wire_done(w);
}

#endif
