/* lib/net/sigv4: what hostile clients put into Authorization and the query. */
#include "tests/unit/test.h"

#include "lib/net/sigv4.h"

#define CREDENTIAL "Credential=AKID/20261120/us-east-1/s3/aws4_request"
#define SIGNED     "SignedHeaders=host;x-amz-date"
#define SIGNATURE                                                                        \
	"Signature=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static int parse_auth(const char *authorization, const char *date,
		      struct sigv4_claim *claim, struct mh_err *err)
{
	const struct sigv4_header headers[] = { { "Host", "h" },
						{ "X-Amz-Date", date },
						{ "Authorization", authorization } };
	const struct sigv4_request r = {
		.method = "GET", .path = "/", .headers = headers, .header_count = 3
	};

	return sigv4_claim_parse(&r, claim, err);
}

static void claims_are_read_however_they_are_spaced(void **state)
{
	static const char *const good[] = {
		"AWS4-HMAC-SHA256 " CREDENTIAL ", " SIGNED ", " SIGNATURE,
		"AWS4-HMAC-SHA256 " CREDENTIAL "," SIGNED "," SIGNATURE,
		"AWS4-HMAC-SHA256   " SIGNATURE " ,  " SIGNED ", " CREDENTIAL,
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		CLEAN(sigv4_claim) struct sigv4_claim claim = { 0 };
		struct mh_err err = MH_ERR_INIT;

		assert_ok(parse_auth(good[i], "20261120T103903Z", &claim, &err), &err);
		assert_string_equal(claim.access_key_id, "AKID");
		assert_string_equal(claim.date, "20261120");
		assert_string_equal(claim.region, "us-east-1");
		assert_string_equal(claim.service, "s3");
		assert_string_equal(claim.signed_headers, "host;x-amz-date");
		assert_int_equal(strlen(claim.signature), 64);
		assert_true(claim.time_ms == 1795171143000);
		assert_false(claim.presigned);
		assert_null(claim.session_token);
	}
}

static void broken_authorization_is_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"AWS4-HMAC-SHA256",
		"AWS4-HMAC-SHA256 ",
		"Basic dXNlcjpwYXNz",
		"AWS AKID:c2ln",
		"AWS4-ECDSA-P256-SHA256 " CREDENTIAL ", " SIGNED ", " SIGNATURE,
		"aws4-hmac-sha256 " CREDENTIAL ", " SIGNED ", " SIGNATURE,
		"AWS4-HMAC-SHA256 " SIGNED ", " SIGNATURE,
		"AWS4-HMAC-SHA256 " CREDENTIAL ", " SIGNATURE,
		"AWS4-HMAC-SHA256 " CREDENTIAL ", " SIGNED,
		"AWS4-HMAC-SHA256 " CREDENTIAL ", " CREDENTIAL ", " SIGNED ", " SIGNATURE,
		"AWS4-HMAC-SHA256 " CREDENTIAL ", " SIGNED ", " SIGNATURE ", x=y",
		"AWS4-HMAC-SHA256 " CREDENTIAL ", " SIGNED ", " SIGNATURE "0",
		"AWS4-HMAC-SHA256 " CREDENTIAL ", " SIGNED ", Signature=ABC",
		"AWS4-HMAC-SHA256 " CREDENTIAL ", SignedHeaders=, " SIGNATURE,
		"AWS4-HMAC-SHA256 " CREDENTIAL ", SignedHeaders=Host, " SIGNATURE,
		"AWS4-HMAC-SHA256 " CREDENTIAL ", SignedHeaders=ho st, " SIGNATURE,
		"AWS4-HMAC-SHA256 " CREDENTIAL ", SignedHeaders=h\xc3\xb6st, " SIGNATURE,
		"AWS4-HMAC-SHA256 Credential=, " SIGNED ", " SIGNATURE,
		"AWS4-HMAC-SHA256 Credential=AKID, " SIGNED ", " SIGNATURE,
		"AWS4-HMAC-SHA256 Credential=/20261120/r/s/aws4_request, " SIGNED
		", " SIGNATURE,
		"AWS4-HMAC-SHA256 Credential=A/2026112/r/s/aws4_request, " SIGNED
		", " SIGNATURE,
		"AWS4-HMAC-SHA256 Credential=A/20261119/r/s/aws4_request, " SIGNED
		", " SIGNATURE,
		"AWS4-HMAC-SHA256 Credential=A/2026112x/r/s/aws4_request, " SIGNED
		", " SIGNATURE,
		"AWS4-HMAC-SHA256 Credential=A/20261120//s/aws4_request, " SIGNED
		", " SIGNATURE,
		"AWS4-HMAC-SHA256 Credential=A/20261120/r/s/aws5_request, " SIGNED
		", " SIGNATURE,
		"AWS4-HMAC-SHA256 Credential=A\nB/20261120/r/s/aws4_request, " SIGNED
		", " SIGNATURE,
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct sigv4_claim claim = { .expires_s = 77 };
		struct mh_err err = MH_ERR_INIT;

		if (parse_auth(bad[i], "20261120T103903Z", &claim, &err) == 0)
			fail_msg("accepted: %s", bad[i]);
		assert_int_equal(err.cls, MH_E_PROTO);
		assert_int_equal(claim.expires_s, 77);
	}
}

static void broken_dates_are_refused(void **state)
{
	static const char *const bad[] = { "",
					   "20261120",
					   "20261320T103903Z",
					   "20261120T103903",
					   "2026-11-20T10:39",
					   "20261121T000000Z",
					   "20261120T103903Zx" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct sigv4_claim claim = { 0 };
		struct mh_err err = MH_ERR_INIT;

		assert_fails(parse_auth("AWS4-HMAC-SHA256 " CREDENTIAL "," SIGNED
					"," SIGNATURE,
					bad[i], &claim, &err),
			     &err, MH_E_PROTO);
	}
}

static void date_header_stands_in_for_x_amz_date(void **state)
{
	const struct sigv4_header headers[] = {
		{ "Host", "h" },
		{ "Date", "Fri, 20 Nov 2026 10:39:03 GMT" },
		{ "Authorization",
		  "AWS4-HMAC-SHA256 " CREDENTIAL "," SIGNED "," SIGNATURE },
	};
	struct sigv4_request r = {
		.method = "GET", .path = "/", .headers = headers, .header_count = 3
	};
	CLEAN(sigv4_claim) struct sigv4_claim claim = { 0 };
	struct mh_err err = MH_ERR_INIT;
	const struct sigv4_header dateless[] = { headers[0], headers[2] };

	(void)state;
	assert_ok(sigv4_claim_parse(&r, &claim, &err), &err);
	assert_true(claim.time_ms == 1795171143000);
	r.headers = dateless;
	r.header_count = 2;
	sigv4_claim_done(&claim);
	assert_fails(sigv4_claim_parse(&r, &claim, &err), &err, MH_E_PROTO);
}

#define GOOD_QUERY                                                                       \
	"X-Amz-Credential=AKID/20261120/r/s3/aws4_request&X-Amz-Date=20261120T103903Z"   \
	"&X-Amz-SignedHeaders=host&X-Amz-Signature=0123456789abcdef0123456789abcdef01"   \
	"23456789abcdef0123456789abcdef"

static int parse_query_claim(const char *raw, struct sigv4_claim *claim,
			     struct mh_err *err)
{
	CLEAN(uri_query) struct uri_query query = { 0 };
	const struct sigv4_request r = { .method = "GET", .path = "/", .query = &query };

	assert_ok(uri_query_parse(raw, &query, err), err);
	return sigv4_claim_parse(&r, claim, err);
}

static void presigned_claims_want_every_part_once(void **state)
{
	static const char *const bad[] = {
		"X-Amz-Signature=x",
		"X-Amz-Algorithm=AWS4-HMAC-SHA256",
		GOOD_QUERY "&X-Amz-Expires=60",
		GOOD_QUERY "&X-Amz-Expires=60&X-Amz-Algorithm=AWS4-HMAC-SHA1",
		GOOD_QUERY "&X-Amz-Algorithm=AWS4-HMAC-SHA256",
		GOOD_QUERY "&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires=0",
		GOOD_QUERY "&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires=604801",
		GOOD_QUERY "&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires=-1",
		GOOD_QUERY "&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires=1e3",
		GOOD_QUERY "&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires=60"
			   "&X-Amz-Expires=90",
		GOOD_QUERY
		"&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires=60&" GOOD_QUERY,
	};
	CLEAN(sigv4_claim) struct sigv4_claim good = { 0 };
	struct mh_err err = MH_ERR_INIT;

	(void)state;
	assert_ok(parse_query_claim(GOOD_QUERY "&X-Amz-Algorithm=AWS4-HMAC-SHA256&"
					       "X-Amz-Expires=604800",
				    &good, &err),
		  &err);
	assert_true(good.presigned);
	assert_int_equal(good.expires_s, 604800);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct sigv4_claim claim = { 0 };

		if (parse_query_claim(bad[i], &claim, &err) == 0)
			fail_msg("accepted: %s", bad[i]);
		assert_int_equal(err.cls, MH_E_PROTO);
	}
}

static void endless_signed_headers_are_refused(void **state)
{
	CLEAN(buf) struct buf text = BUF_INIT(1 << 20);
	struct sigv4_claim claim = { 0 };
	struct mh_err err = MH_ERR_INIT;

	(void)state;
	buf_puts(&text,
		 "AWS4-HMAC-SHA256 " CREDENTIAL "," SIGNATURE ",SignedHeaders=host");
	for (int i = 0; i < 100000; i++)
		buf_puts(&text, ";a");
	assert_fails(parse_auth(text.data, "20261120T103903Z", &claim, &err), &err,
		     MH_E_PROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(claims_are_read_however_they_are_spaced),
		cmocka_unit_test(broken_authorization_is_refused),
		cmocka_unit_test(broken_dates_are_refused),
		cmocka_unit_test(date_header_stands_in_for_x_amz_date),
		cmocka_unit_test(presigned_claims_want_every_part_once),
		cmocka_unit_test(endless_signed_headers_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
