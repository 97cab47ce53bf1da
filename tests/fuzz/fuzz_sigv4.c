/*
 * Who a request claims to be from: its Authorization header, X-Amz-* query and headers.
 * Lines of the input: the path, the query, then headers as "Name: value". A request
 * signed here with the same parts is verified, and not with another secret.
 */
#include <strings.h>

#include <sodium.h>

#include "lib/net/sigv4.h"
#include "tests/fuzz/fuzz.h"

#define HEADERS_MAX 16

struct parts {
	char *path, *query_text;
	struct uri_query query;
	char *lines[HEADERS_MAX];
	struct sigv4_header headers[HEADERS_MAX + 8];
	size_t count;
};

static bool is_token(const char *s)
{
	if (!*s)
		return false;
	for (; *s; s++) {
		if (*s <= ' ' || *s > '~' || strchr("\"(),/:;<=>?@[\\]{}", *s))
			return false;
	}
	return true;
}

/* An HTTP server hands on no others: names are tokens, values begin with no blank. */
static void take_header(struct parts *p, struct fuzz_in *in)
{
	char *line = fuzz_line(in);
	char *colon = strchr(line, ':');

	p->lines[p->count] = line;
	if (colon)
		*colon = '\0';
	p->headers[p->count].name = is_token(line) ? line : "x-amz-odd";
	p->headers[p->count].value = colon ? colon + 1 + strspn(colon + 1, " \t") : "";
	p->count++;
}

static void check_claim(const struct sigv4_request *r)
{
	CLEAN(sigv4_claim) struct sigv4_claim claim = { .presigned = false };
	struct mh_err err = MH_ERR_INIT;

	if (sigv4_claim_parse(r, &claim, &err) != 0) {
		MH_ASSERT(err.cls == MH_E_NOTFOUND || err.cls == MH_E_PROTO);
		MH_ASSERT(!claim.access_key_id);
		return;
	}
	MH_ASSERT(claim.access_key_id && claim.region && claim.service && claim.date);
	MH_ASSERT(!claim.presigned || (claim.expires_s > 0 && claim.expires_s <= 604800));
	MH_ASSERT(sigv4_verify(r, &claim, "no such secret", &err) == -1);
}

/* The same request signed by us. Its own signature, if any, would be in the way. */
static void check_signing(const struct parts *p, struct sigv4_request r)
{
	static const struct sigv4_creds creds = { "AKIDEXAMPLE", "secret", NULL };
	static const struct sigv4_scope scope = { "us-east-1", "codepipeline",
						  INT64_C(1763635143000) };
	struct sigv4_header headers[HEADERS_MAX + 8] = { { "host", "example.com" } };
	CLEAN(sigv4_result) struct sigv4_result res = { .query = NULL };
	CLEAN(sigv4_claim) struct sigv4_claim claim = { .presigned = false };
	struct mh_err err = MH_ERR_INIT;

	r.headers = headers;
	r.header_count = 1;
	for (size_t i = 0; i < p->count; i++) {
		if (strncasecmp(p->headers[i].name, "x-amz-", 6) != 0 &&
		    strcasecmp(p->headers[i].name, "authorization") != 0 &&
		    strcasecmp(p->headers[i].name, "host") != 0 &&
		    strcasecmp(p->headers[i].name, "date") != 0)
			headers[r.header_count++] = p->headers[i];
	}
	for (size_t i = 0; i < p->query.count; i++) {
		if (strncasecmp(p->query.pairs[i].name, "x-amz-", 6) == 0)
			return;
	}
	sigv4_sign(&r, &creds, &scope, &res);
	for (size_t i = 0; i < res.added_count; i++) {
		char *colon = strchr(res.added[i], ':');

		*colon = '\0';
		headers[r.header_count++] = (struct sigv4_header){ res.added[i],
								   colon + 2 };
	}
	headers[r.header_count++] = (struct sigv4_header){ "authorization",
							   res.authorization };
	MH_ASSERT(sigv4_claim_parse(&r, &claim, &err) == 0);
	MH_ASSERT(sigv4_verify(&r, &claim, "secret", &err) == 0);
	MH_ASSERT(sigv4_verify(&r, &claim, "secreu", &err) == -1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size };
	struct parts p = { 0 };
	struct mh_err err = MH_ERR_INIT;

	MH_ASSERT(sodium_init() >= 0);
	p.path = fuzz_line(&in);
	p.query_text = fuzz_line(&in);
	while (in.left > 0 && p.count < HEADERS_MAX)
		take_header(&p, &in);
	if (p.path[0] == '/' && uri_query_parse(p.query_text, &p.query, &err) == 0) {
		struct sigv4_request r = { .method = "POST",
					   .path = p.path,
					   .query = &p.query,
					   .headers = p.headers,
					   .header_count = p.count,
					   .payload_hash = sigv4_empty_hash };

		check_claim(&r);
		r.path_as_is = true;
		check_claim(&r);
		check_signing(&p, r);
		uri_query_done(&p.query);
	}
	for (size_t i = 0; i < p.count; i++)
		free(p.lines[i]);
	free(p.path);
	free(p.query_text);
	return 0;
}
