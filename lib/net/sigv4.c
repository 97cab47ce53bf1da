/* Signing: in headers, and in the query (presigned URLs). */
#include "lib/net/sigv4.h"

#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/str.h"
#include "lib/net/sigv4_steps.h"

#define SIGV4_EXPIRES_MAX_S (7 * 24 * 3600)

/* The given x-amz-date when it is one, else the scope's time. */
static void choose_date(const char *given, const struct sigv4_scope *scope,
			char amz[CLOCK_AMZ_SIZE], char date[SIGV4_DATE_SIZE])
{
	struct mh_err ignored;
	int64_t given_ms;

	if (given && clock_parse_amz(given, &given_ms, &ignored) == 0)
		clock_format_amz(given_ms, amz);
	else
		clock_format_amz(scope->time_ms, amz);
	memcpy(date, amz, SIGV4_DATE_SIZE - 1);
	date[SIGV4_DATE_SIZE - 1] = '\0';
}

struct header_set {
	struct sigv4_header *items; /* owned array of borrowed strings */
	size_t count;
};

/* Adds a header that the request does not bring itself. */
static void add_missing(struct header_set *set, const struct sigv4_request *r,
			const char *name, const char *value, struct sigv4_result *ret)
{
	if (sigv4_find_header(r, name))
		return;
	set->items[set->count++] = (struct sigv4_header){ .name = name, .value = value };
	ret->added[ret->added_count++] = mh_concat(name, ": ", value);
}

static bool has_token(const struct sigv4_creds *creds)
{
	return creds->session_token && *creds->session_token;
}

void sigv4_sign(const struct sigv4_request *r, const struct sigv4_creds *creds,
		const struct sigv4_scope *scope, struct sigv4_result *ret)
{
	struct header_set set = { .items = mh_alloc((r->header_count + 3) *
						    sizeof *set.items),
				  .count = r->header_count };
	char amz[CLOCK_AMZ_SIZE], date[SIGV4_DATE_SIZE];
	struct sigv4_input in;

	*ret = (struct sigv4_result){ 0 };
	choose_date(sigv4_find_header(r, "x-amz-date"), scope, amz, date);
	if (r->header_count)
		memcpy(set.items, r->headers, r->header_count * sizeof *set.items);
	add_missing(&set, r, "x-amz-date", amz, ret);
	if (has_token(creds))
		add_missing(&set, r, "x-amz-security-token", creds->session_token, ret);
	if (strcmp(scope->service, "s3") == 0)
		add_missing(&set, r, "x-amz-content-sha256",
			    r->payload_hash ? r->payload_hash : sigv4_empty_hash, ret);
	in = (struct sigv4_input){ .request = r,
				   .query = r->query,
				   .headers = set.items,
				   .header_count = set.count,
				   .amz_date = amz,
				   .date = date,
				   .region = scope->region,
				   .service = scope->service };
	sigv4_make(&in, creds->secret_access_key, ret);
	ret->authorization = mh_concat(
		SIGV4_ALGORITHM " Credential=", creds->access_key_id, "/", date, "/",
		scope->region, "/", scope->service,
		"/aws4_request, SignedHeaders=", ret->signed_headers,
		", Signature=", ret->signature);
	free(set.items);
}

void sigv4_presign(const struct sigv4_request *r, const struct sigv4_creds *creds,
		   const struct sigv4_scope *scope, int64_t expires_s,
		   struct sigv4_result *ret)
{
	char amz[CLOCK_AMZ_SIZE], date[SIGV4_DATE_SIZE];
	CLEAN(uri_query) struct uri_query query = { 0 };
	CLEAN(free) char *names = sigv4_signed_headers(r->headers, r->header_count);
	CLEAN(free) char *credential = NULL;
	CLEAN(free) char *expires = mh_format("%lld", (long long)expires_s);
	CLEAN(free) char *canonical = NULL;
	struct sigv4_input in;

	MH_ASSERT(expires_s >= 1 && expires_s <= SIGV4_EXPIRES_MAX_S);
	*ret = (struct sigv4_result){ 0 };
	choose_date(NULL, scope, amz, date);
	credential = mh_format("%s/%s/%s/%s/aws4_request", creds->access_key_id, date,
			       scope->region, scope->service);
	for (size_t i = 0; r->query && i < r->query->count; i++)
		uri_query_add(&query, r->query->pairs[i].name, r->query->pairs[i].value);
	uri_query_add(&query, "X-Amz-Algorithm", SIGV4_ALGORITHM);
	uri_query_add(&query, "X-Amz-Credential", credential);
	uri_query_add(&query, "X-Amz-Date", amz);
	uri_query_add(&query, "X-Amz-Expires", expires);
	uri_query_add(&query, "X-Amz-SignedHeaders", names);
	if (has_token(creds))
		uri_query_add(&query, "X-Amz-Security-Token", creds->session_token);
	in = (struct sigv4_input){ .request = r,
				   .query = &query,
				   .headers = r->headers,
				   .header_count = r->header_count,
				   .amz_date = amz,
				   .date = date,
				   .region = scope->region,
				   .service = scope->service };
	sigv4_make(&in, creds->secret_access_key, ret);
	canonical = uri_query_canonical(&query);
	ret->query = mh_format("%s&X-Amz-Signature=%s", canonical, ret->signature);
}

void sigv4_result_done(struct sigv4_result *r)
{
	free(r->canonical_request);
	free(r->string_to_sign);
	free(r->signed_headers);
	free(r->signature);
	free(r->authorization);
	for (size_t i = 0; i < r->added_count; i++)
		free(r->added[i]);
	free(r->query);
	*r = (struct sigv4_result){ 0 };
}
