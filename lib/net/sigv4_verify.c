/* Verifying: what a request claims, and whether a secret bears it out. */
#include <string.h>
#include <strings.h>

#include "lib/base/clock.h"
#include "lib/base/str.h"
#include "lib/net/sigv4_steps.h"

#define SIGV4_EXPIRES_MAX_S      (7 * 24 * 3600)
#define SIGV4_SIGNED_HEADERS_MAX 100
#define SIGV4_KEY_ID_MAX         256
#define SIGV4_PART_MAX           64

void sigv4_claim_done(struct sigv4_claim *c)
{
	free(c->access_key_id);
	free(c->date);
	free(c->region);
	free(c->service);
	free(c->signed_headers);
	free(c->signature);
	free(c->session_token);
	*c = (struct sigv4_claim){ 0 };
}

/* ---- the parts of a claim ---- */

static int bad(struct mh_err *err, const char *what)
{
	return mh_err_set(err, MH_E_PROTO, "%s", what);
}

static bool only_has(const char *s, const char *extra, size_t max_len)
{
	size_t len = strlen(s);

	for (size_t i = 0; i < len; i++) {
		char c = s[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		      (c >= '0' && c <= '9') || strchr(extra, c)))
			return false;
	}
	return len > 0 && len <= max_len;
}

/* Cuts the part behind the last '/' from text; NULL when there is no more. */
static char *cut_last(char *text)
{
	char *slash = strrchr(text, '/');

	if (!slash)
		return NULL;
	*slash = '\0';
	return slash + 1;
}

/* "AKID/20150830/us-east-1/service/aws4_request"; the id may have slashes itself. */
static int take_credential(struct sigv4_claim *c, const char *credential,
			   struct mh_err *err)
{
	CLEAN(free) char *text = mh_strdup(credential);
	const char *last = cut_last(text);
	const char *service = last ? cut_last(text) : NULL;
	const char *region = service ? cut_last(text) : NULL;
	const char *date = region ? cut_last(text) : NULL;

	if (!date)
		return bad(err, "Credential must be key id/date/region/service/"
				"aws4_request");
	if (strcmp(last, "aws4_request") != 0)
		return bad(err, "Credential must end in aws4_request");
	if (strlen(date) != 8 || strspn(date, "0123456789") != 8)
		return bad(err, "Credential has no date of the form YYYYMMDD");
	if (!only_has(region, "-_", SIGV4_PART_MAX) ||
	    !only_has(service, "-_", SIGV4_PART_MAX))
		return bad(err, "Credential has no usable region or service");
	if (!only_has(text, "-_./+=@:", SIGV4_KEY_ID_MAX))
		return bad(err, "Credential has no usable key id");
	c->date = mh_strdup(date);
	c->region = mh_strdup(region);
	c->service = mh_strdup(service);
	c->access_key_id = mh_strdup(text);
	return 0;
}

static int take_signature(struct sigv4_claim *c, const char *signature,
			  struct mh_err *err)
{
	if (strlen(signature) != SIGV4_HASH_HEX_SIZE - 1 ||
	    strspn(signature, "0123456789abcdef") != SIGV4_HASH_HEX_SIZE - 1)
		return bad(err, "Signature is not 64 hexadecimal digits");
	c->signature = mh_strdup(signature);
	return 0;
}

static int take_signed_headers(struct sigv4_claim *c, const char *names,
			       struct mh_err *err)
{
	size_t count = 1;

	for (const char *p = names; *p; p++) {
		if ((*p >= 'A' && *p <= 'Z') || *p <= ' ' || *p == 0x7f)
			return bad(err,
				   "SignedHeaders is not a list of names in lower case");
		count += *p == ';';
	}
	if (!*names || count > SIGV4_SIGNED_HEADERS_MAX)
		return bad(err, "SignedHeaders is empty or too long");
	c->signed_headers = mh_strdup(names);
	return 0;
}

/* The time of the signature must be of the day that the scope names. */
static int check_day(const struct sigv4_claim *c, struct mh_err *err)
{
	char amz[CLOCK_AMZ_SIZE];

	clock_format_amz(c->time_ms, amz);
	if (strncmp(amz, c->date, 8) != 0)
		return bad(err, "the date in Credential is not the day of the request");
	return 0;
}

/* ---- Authorization header ---- */

struct auth_parts {
	char *credential, *signed_headers, *signature; /* owned */
};
static void clean_auth_parts(struct auth_parts *p)
{
	free(p->credential);
	free(p->signed_headers);
	free(p->signature);
}

static int take_part(struct auth_parts *parts, const char *piece, size_t len,
		     struct mh_err *err)
{
	const struct {
		const char *name;
		char **value;
	} known[] = {
		{ "Credential=", &parts->credential },
		{ "SignedHeaders=", &parts->signed_headers },
		{ "Signature=", &parts->signature },
	};

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		size_t name_len = strlen(known[i].name);

		if (len < name_len || memcmp(piece, known[i].name, name_len) != 0)
			continue;
		if (*known[i].value)
			return mh_err_set(err, MH_E_PROTO,
					  "Authorization header has '%.*s' twice",
					  (int)name_len - 1, known[i].name);
		*known[i].value = mh_strndup(piece + name_len, len - name_len);
		return 0;
	}
	return bad(err, "Authorization header has an unknown parameter");
}

static int split_auth(const char *text, struct auth_parts *parts, struct mh_err *err)
{
	while (*text) {
		size_t len = strcspn(text, ",");
		size_t trimmed = len;

		while (trimmed > 0 && text[trimmed - 1] == ' ')
			trimmed--;
		if (take_part(parts, text, trimmed, err) != 0)
			return -1;
		text += len;
		text += strspn(text, ", ");
	}
	if (!parts->credential)
		return bad(err, "Authorization header requires 'Credential' parameter");
	if (!parts->signature)
		return bad(err, "Authorization header requires 'Signature' parameter");
	if (!parts->signed_headers)
		return bad(err,
			   "Authorization header requires 'SignedHeaders' parameter");
	return 0;
}

static int take_date_header(const struct sigv4_request *r, struct sigv4_claim *c,
			    struct mh_err *err)
{
	const char *amz = sigv4_find_header(r, "x-amz-date");
	const char *date = sigv4_find_header(r, "date");
	struct mh_err ignored;

	if (amz && clock_parse_amz(amz, &c->time_ms, &ignored) == 0)
		return 0;
	if (amz)
		return bad(err, "X-Amz-Date is not of the form YYYYMMDDTHHMMSSZ");
	if (date && (clock_parse_amz(date, &c->time_ms, &ignored) == 0 ||
		     clock_parse_http(date, &c->time_ms, &ignored) == 0))
		return 0;
	return bad(err, "Authorization header requires existence of either a "
			"'X-Amz-Date' or a 'Date' header");
}

static int parse_header_claim(const struct sigv4_request *r, const char *authorization,
			      struct sigv4_claim *c, struct mh_err *err)
{
	CLEAN(auth_parts) struct auth_parts parts = { 0 };
	static const char scheme[] = SIGV4_ALGORITHM " ";

	if (strncmp(authorization, scheme, sizeof scheme - 1) != 0)
		return bad(err, "Authorization header is not " SIGV4_ALGORITHM);
	authorization += sizeof scheme - 1;
	authorization += strspn(authorization, " ");
	if (split_auth(authorization, &parts, err) != 0 ||
	    take_credential(c, parts.credential, err) != 0 ||
	    take_signed_headers(c, parts.signed_headers, err) != 0 ||
	    take_signature(c, parts.signature, err) != 0 ||
	    take_date_header(r, c, err) != 0)
		return -1;
	c->session_token = mh_strdup(sigv4_find_header(r, "x-amz-security-token"));
	return check_day(c, err);
}

/* ---- query ---- */

static int one_of(const struct uri_query *q, const char *name, const char **ret,
		  struct mh_err *err)
{
	const char *found = NULL;

	for (size_t i = 0; i < q->count; i++) {
		if (strcmp(q->pairs[i].name, name) != 0)
			continue;
		if (found)
			return mh_err_set(err, MH_E_PROTO, "%s is in the query twice",
					  name);
		found = q->pairs[i].value;
	}
	if (!found)
		return mh_err_set(err, MH_E_PROTO, "%s is not in the query", name);
	*ret = found;
	return 0;
}

static int parse_query_claim(const struct uri_query *q, struct sigv4_claim *c,
			     struct mh_err *err)
{
	const char *algorithm, *credential, *date, *expires, *names, *signature;
	struct mh_err ignored;

	if (one_of(q, "X-Amz-Algorithm", &algorithm, err) != 0 ||
	    one_of(q, "X-Amz-Credential", &credential, err) != 0 ||
	    one_of(q, "X-Amz-Date", &date, err) != 0 ||
	    one_of(q, "X-Amz-Expires", &expires, err) != 0 ||
	    one_of(q, "X-Amz-SignedHeaders", &names, err) != 0 ||
	    one_of(q, "X-Amz-Signature", &signature, err) != 0)
		return -1;
	if (strcmp(algorithm, SIGV4_ALGORITHM) != 0)
		return bad(err, "X-Amz-Algorithm is not " SIGV4_ALGORITHM);
	if (take_credential(c, credential, err) != 0 ||
	    take_signed_headers(c, names, err) != 0 ||
	    take_signature(c, signature, err) != 0 ||
	    str_to_i64(expires, 1, SIGV4_EXPIRES_MAX_S, "X-Amz-Expires", &c->expires_s,
		       err) != 0)
		return -1;
	if (clock_parse_amz(date, &c->time_ms, &ignored) != 0)
		return bad(err, "X-Amz-Date is not of the form YYYYMMDDTHHMMSSZ");
	c->presigned = true;
	c->session_token = mh_strdup(uri_query_get(q, "X-Amz-Security-Token"));
	return check_day(c, err);
}

static size_t count_headers(const struct sigv4_request *r, const char *lower_name)
{
	size_t count = 0;

	for (size_t i = 0; i < r->header_count; i++)
		count += sigv4_name_is(r->headers[i].name, lower_name);
	return count;
}

int sigv4_claim_parse(const struct sigv4_request *r, struct sigv4_claim *ret,
		      struct mh_err *err)
{
	CLEAN(sigv4_claim) struct sigv4_claim c = { 0 };
	const char *authorization = sigv4_find_header(r, "authorization");
	bool in_query = r->query && (uri_query_get(r->query, "X-Amz-Algorithm") ||
				     uri_query_get(r->query, "X-Amz-Signature"));

	if (!authorization && !in_query)
		return mh_err_set(err, MH_E_NOTFOUND, "the request is not signed");
	if (count_headers(r, "authorization") > 1)
		return bad(err, "the request has two Authorization headers");
	if (authorization && in_query)
		return bad(err, "the request is signed in a header and in the query");
	if ((in_query ? parse_query_claim(r->query, &c, err)
		      : parse_header_claim(r, authorization, &c, err)) != 0)
		return -1;
	*ret = c;
	c = (struct sigv4_claim){ 0 };
	return 0;
}

/* ---- verification ---- */

static bool is_listed(const char *list, const char *header_name)
{
	size_t len = strlen(header_name);

	for (;;) {
		size_t one = strcspn(list, ";");

		if (one == len && strncasecmp(list, header_name, len) == 0)
			return true;
		if (list[one] == '\0')
			return false;
		list += one + 1;
	}
}

const char *sigv4_unsigned_header(const struct sigv4_request *r,
				  const struct sigv4_claim *claim)
{
	if (!is_listed(claim->signed_headers, "host"))
		return "host";
	for (size_t i = 0; i < r->header_count; i++) {
		const char *name = r->headers[i].name;

		if (strncasecmp(name, "x-amz-", 6) == 0 &&
		    !is_listed(claim->signed_headers, name))
			return name;
	}
	return NULL;
}

static int check_headers(const struct sigv4_request *r, const struct sigv4_claim *claim,
			 struct mh_err *err)
{
	const char *hash = sigv4_find_header(r, "x-amz-content-sha256");
	const char *name = sigv4_unsigned_header(r, claim);

	if (name && strcmp(name, "host") == 0)
		return mh_err_set(err, MH_E_AUTH, "the host header must be signed");
	if (name)
		return mh_err_set(err, MH_E_AUTH, "the header %s was sent but not signed",
				  name);
	if (hash &&
	    strcmp(hash, r->payload_hash ? r->payload_hash : sigv4_empty_hash) != 0)
		return mh_err_set(err, MH_E_AUTH,
				  "x-amz-content-sha256 is not the hash of the body");
	return 0;
}

/* All headers of the list, repeats included; the caller frees the array. */
static struct sigv4_header *signed_only(const struct sigv4_request *r, const char *list,
					size_t *ret_count)
{
	struct sigv4_header *headers = mh_alloc((r->header_count + 1) * sizeof *headers);

	*ret_count = 0;
	for (size_t i = 0; i < r->header_count; i++) {
		if (is_listed(list, r->headers[i].name))
			headers[(*ret_count)++] = r->headers[i];
	}
	return headers;
}

static void copy_query(const struct uri_query *from, struct uri_query *to)
{
	for (size_t i = 0; from && i < from->count; i++) {
		if (strcmp(from->pairs[i].name, "X-Amz-Signature") != 0)
			uri_query_add(to, from->pairs[i].name, from->pairs[i].value);
	}
}

/* The list as we would write it must be the list as it is: so each header named was
 * sent, and none is named twice or out of order. */
static int check_list(const struct sigv4_header *headers, size_t count, const char *list,
		      struct mh_err *err)
{
	CLEAN(free) char *names = sigv4_signed_headers(headers, count);

	if (strcmp(names, list) == 0)
		return 0;
	return mh_err_set(
		err, MH_E_AUTH,
		"SignedHeaders names a header that was not sent, or is not sorted");
}

int sigv4_verify(const struct sigv4_request *r, const struct sigv4_claim *claim,
		 const char *secret_access_key, struct mh_err *err)
{
	CLEAN(sigv4_result) struct sigv4_result made = { 0 };

	return sigv4_verify_made(r, claim, secret_access_key, &made, err);
}

int sigv4_verify_made(const struct sigv4_request *r, const struct sigv4_claim *claim,
		      const char *secret_access_key, struct sigv4_result *made,
		      struct mh_err *err)
{
	CLEAN(uri_query) struct uri_query unsigned_query = { 0 };
	CLEAN(free) struct sigv4_header *headers = NULL;
	char amz[CLOCK_AMZ_SIZE];
	struct sigv4_input in = { .request = r,
				  .query = r->query,
				  .amz_date = amz,
				  .date = claim->date,
				  .region = claim->region,
				  .service = claim->service };

	if (check_headers(r, claim, err) != 0)
		return -1;
	in.headers = headers = signed_only(r, claim->signed_headers, &in.header_count);
	if (check_list(headers, in.header_count, claim->signed_headers, err) != 0)
		return -1;
	clock_format_amz(claim->time_ms, amz);
	if (claim->presigned) {
		copy_query(r->query, &unsigned_query);
		in.query = &unsigned_query;
	}
	sigv4_make(&in, secret_access_key, made);
	if (!str_equal_secret(made->signature, claim->signature))
		return mh_err_set(err, MH_E_AUTH,
				  "the signature is not the one that the request and "
				  "the secret key give");
	return 0;
}
