/* The steps of a signature, shared by signing and verifying. Internal to sigv4. */
#ifndef MH_NET_SIGV4_STEPS_H
#define MH_NET_SIGV4_STEPS_H

#include "lib/net/sigv4.h"

#define SIGV4_ALGORITHM "AWS4-HMAC-SHA256"
#define SIGV4_DATE_SIZE 9 /* YYYYMMDD */

/* What one signature is made from. Everything is borrowed. */
struct sigv4_input {
	const struct sigv4_request *request;
	const struct uri_query *query; /* instead of the request's */
	const struct sigv4_header *headers; /* just those to be signed */
	size_t header_count;
	const char *amz_date; /* YYYYMMDDTHHMMSSZ */
	const char *date; /* YYYYMMDD of the scope */
	const char *region, *service;
};

bool sigv4_name_is(const char *header_name, const char *lower_name);
/* The value of the first header of that (lower-case) name, or NULL. Borrowed. */
const char *sigv4_find_header(const struct sigv4_request *r, const char *lower_name);
/* "a;b;c": the lower-case names, sorted, each once. The caller frees it. */
char *sigv4_signed_headers(const struct sigv4_header *headers,
			   size_t count) MH_MUST_CHECK;
/* Fills canonical_request, string_to_sign, signed_headers and signature of ret, which
 * are owned. */
void sigv4_make(const struct sigv4_input *in, const char *secret,
		struct sigv4_result *ret);
/* HMAC key of (secret, date, region, service), from the cache where there is one. */
void sigv4_key(struct sigv4_keys *keys, const char *secret, const struct sigv4_input *in,
	       unsigned char out[32]);

#endif
