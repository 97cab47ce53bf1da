/* lib/net/sigv4: its rules one by one, tampering, the cache of keys. */
#include "tests/unit/test.h"

#include <pthread.h>
#include <stdio.h>

#include "lib/base/clock.h"
#include "lib/net/sigv4.h"

#define SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define HASH                                                                             \
	"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a" /* "{}"       \
									    */

static const struct sigv4_creds creds = { .access_key_id = "AKIDEXAMPLE",
					  .secret_access_key = SECRET,
					  .session_token = "token/+=" };
static const struct sigv4_scope scope = { .region = "eu-central-1",
					  .service = "codepipeline",
					  .time_ms = 1795171143250 };
static const struct sigv4_scope s3_scope = { .region = "eu-central-1",
					     .service = "s3",
					     .time_ms = 1795171143250 };

/* A request signed by ourselves, as a server would receive it, to be spoilt. */
struct sent {
	struct sigv4_result made;
	struct sigv4_header headers[12];
	char *added[4]; /* owned: "name\0value" */
	struct uri_query query;
	struct sigv4_request request;
};

static void send_request(struct sent *s, const struct sigv4_scope *for_scope,
			 bool presigned)
{
	struct mh_err err = MH_ERR_INIT;

	*s = (struct sent){
		.headers = { { "Host", "codepipeline.eu-central-1.amazonaws.com" },
			     { "X-Amz-Target", "CodePipeline_20150709.PollForJobs" },
			     { "Content-Type", "application/x-amz-json-1.1" } },
		.request = { .method = "POST",
			     .path = "/a/b",
			     .header_count = 3,
			     .payload_hash = HASH },
	};
	s->request.headers = s->headers;
	s->request.query = &s->query;
	assert_ok(uri_query_parse("x=1&y=%2F", &s->query, &err), &err);
	if (presigned) {
		sigv4_presign(&s->request, &creds, for_scope, 60, &s->made);
		uri_query_done(&s->query);
		assert_ok(uri_query_parse(s->made.query, &s->query, &err), &err);
		return;
	}
	sigv4_sign(&s->request, &creds, for_scope, &s->made);
	for (size_t i = 0; i < s->made.added_count; i++) {
		char *colon;

		s->added[i] = mh_strdup(s->made.added[i]);
		colon = strstr(s->added[i], ": ");
		assert_non_null(colon);
		*colon = '\0';
		s->headers[s->request.header_count++] =
			(struct sigv4_header){ s->added[i], colon + 2 };
	}
	s->headers[s->request.header_count++] =
		(struct sigv4_header){ "Authorization", s->made.authorization };
}

static void clean_sent(struct sent *s)
{
	sigv4_result_done(&s->made);
	uri_query_done(&s->query);
	for (size_t i = 0; i < ARRAY_LEN(s->added); i++)
		free(s->added[i]);
}

static void set_header(struct sent *s, const char *name, const char *value)
{
	for (size_t i = 0; i < s->request.header_count; i++) {
		if (strcmp(s->headers[i].name, name) == 0) {
			s->headers[i].value = value;
			return;
		}
	}
	s->headers[s->request.header_count++] = (struct sigv4_header){ name, value };
}

static int check(const struct sent *s, const char *secret, struct mh_err *err)
{
	CLEAN(sigv4_claim) struct sigv4_claim claim = { 0 };

	if (sigv4_claim_parse(&s->request, &claim, err) != 0)
		return -1;
	return sigv4_verify(&s->request, &claim, secret, err);
}

static void what_is_signed_verifies(void **state)
{
	(void)state;
	for (int presigned = 0; presigned < 2; presigned++) {
		for (int s3 = 0; s3 < 2; s3++) {
			CLEAN(sent) struct sent s = { 0 };
			struct mh_err err = MH_ERR_INIT;

			send_request(&s, s3 ? &s3_scope : &scope, presigned);
			assert_ok(check(&s, SECRET, &err), &err);
		}
	}
}

static void added_headers_are_those_the_service_wants(void **state)
{
	CLEAN(sent) struct sent api = { 0 };
	CLEAN(sent) struct sent s3 = { 0 };

	(void)state;
	send_request(&api, &scope, false);
	assert_int_equal(api.made.added_count, 2);
	assert_string_equal(api.made.added[0], "x-amz-date: 20261120T103903Z");
	assert_string_equal(api.made.added[1], "x-amz-security-token: token/+=");
	assert_contains(api.made.authorization,
			"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261120/eu-central-1/"
			"codepipeline/aws4_request, SignedHeaders=content-type;host;"
			"x-amz-date;x-amz-security-token;x-amz-target, Signature=");
	assert_null(strstr(api.made.authorization, SECRET));
	send_request(&s3, &s3_scope, false);
	assert_int_equal(s3.made.added_count, 3);
	assert_string_equal(s3.made.added[2], "x-amz-content-sha256: " HASH);
}

static void headers_given_win_over_those_it_would_add(void **state)
{
	const struct sigv4_header headers[] = { { "host", "h" },
						{ "X-AMZ-DATE", "20150830T123600Z" },
						{ "X-Amz-Security-Token", "mine" } };
	const struct sigv4_request r = {
		.method = "GET", .path = "/", .headers = headers, .header_count = 3
	};
	CLEAN(sigv4_result) struct sigv4_result made = { 0 };

	(void)state;
	sigv4_sign(&r, &creds, &scope, &made);
	assert_int_equal(made.added_count, 0);
	assert_contains(made.string_to_sign, "20150830T123600Z\n20150830/eu-central-1");
	assert_contains(made.canonical_request, "x-amz-security-token:mine\n");
	assert_contains(made.canonical_request, sigv4_empty_hash);
}

static void s3_paths_are_read_as_keys(void **state)
{
	static const struct {
		const char *path, *canonical;
	} cases[] = {
		{ "/b/a%20b", "/b/a%20b" },
		{ "/b/a=b+c", "/b/a%3Db%2Bc" },
		{ "/b/%e6%97%a5", "/b/%E6%97%A5" },
		{ "/b/%2F%7e", "/b//~" },
		{ "/b/../c/./d//", "/b/../c/./d//" },
		{ "/b/100%", "/b/100%25" },
		{ "/b/%zz%4", "/b/%25zz%254" },
		{ "/b/%00x", "/b/%00x" },
		{ "/", "/" },
	};
	const struct sigv4_header host = { "host", "h" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct sigv4_request r = { .method = "GET",
						 .path = cases[i].path,
						 .headers = &host,
						 .header_count = 1 };
		CLEAN(sigv4_result) struct sigv4_result made = { 0 };
		CLEAN(free) char *expected = mh_format("GET\n%s\n\n", cases[i].canonical);

		sigv4_sign(&r, &creds, &s3_scope, &made);
		assert_int_equal(
			strncmp(made.canonical_request, expected, strlen(expected)), 0);
	}
}

static void other_paths_are_normalised_and_encoded_again(void **state)
{
	static const struct {
		const char *path, *canonical;
	} cases[] = {
		{ "/", "/" },         { "", "/" },
		{ "//", "/" },        { "/a%20b", "/a%2520b" },
		{ "/a/..", "/" },     { "/a/../..", "/" },
		{ "/../../a", "/a" }, { "/a/./b//c", "/a/b/c" },
		{ "/a/b/", "/a/b/" }, { "/a/b/../", "/a/" },
		{ "/a/b/..", "/a" },  { "/a//", "/a/" },
		{ "/...", "/..." },   { "/.a/..b", "/.a/..b" },
		{ "/a/.", "/a" },
	};
	const struct sigv4_header host = { "host", "h" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct sigv4_request r = { .method = "GET",
						 .path = cases[i].path,
						 .headers = &host,
						 .header_count = 1 };
		CLEAN(sigv4_result) struct sigv4_result made = { 0 };
		CLEAN(free) char *expected = mh_format("GET\n%s\n\n", cases[i].canonical);

		sigv4_sign(&r, &creds, &scope, &made);
		if (strncmp(made.canonical_request, expected, strlen(expected)) != 0)
			fail_msg("'%s' became %s", cases[i].path, made.canonical_request);
	}
}

static void any_change_breaks_the_signature(void **state)
{
	static const char *const spoil[] = {
		"method",    "path",         "query value", "query pair",
		"body hash", "header value", "host",        "date",
		"token",     "secret",       "signature",   "region",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(spoil); i++) {
		CLEAN(sent) struct sent s = { 0 };
		CLEAN(free) char *authorization = NULL;
		struct mh_err err = MH_ERR_INIT;
		const char *what = spoil[i];
		char *at;

		send_request(&s, &scope, false);
		authorization = mh_strdup(s.made.authorization);
		set_header(&s, "Authorization", authorization);
		if (strcmp(what, "method") == 0)
			s.request.method = "PUT";
		else if (strcmp(what, "path") == 0)
			s.request.path = "/a/c";
		else if (strcmp(what, "query value") == 0)
			s.query.pairs[0].value[0] = '2';
		else if (strcmp(what, "query pair") == 0)
			uri_query_add(&s.query, "z", "");
		else if (strcmp(what, "body hash") == 0)
			s.request.payload_hash = sigv4_empty_hash;
		else if (strcmp(what, "header value") == 0)
			set_header(&s, "X-Amz-Target",
				   "CodePipeline_20150709.DeletePipeline");
		else if (strcmp(what, "host") == 0)
			set_header(&s, "Host", "evil.example");
		else if (strcmp(what, "date") == 0)
			set_header(&s, "x-amz-date", "20261120T103904Z");
		else if (strcmp(what, "token") == 0)
			set_header(&s, "x-amz-security-token", "other");
		else if (strcmp(what, "signature") == 0)
			authorization[strlen(authorization) - 1] ^= 1;
		else if ((at = strstr(authorization, "eu-central-1")) &&
			 strcmp(what, "region") == 0)
			at[1] = 's';
		assert_fails(check(&s, strcmp(what, "secret") == 0 ? "x" SECRET : SECRET,
				   &err),
			     &err, MH_E_AUTH);
		assert_null(strstr(err.text, s.made.signature));
		assert_null(strstr(err.text, SECRET));
	}
}

static void any_change_breaks_a_presigned_url(void **state)
{
	(void)state;
	for (size_t i = 0; i < 8; i++) {
		CLEAN(sent) struct sent s = { 0 };
		struct mh_err err = MH_ERR_INIT;
		char *value;

		send_request(&s, &s3_scope, true);
		assert_true(s.query.count == 9);
		if (strcmp(s.query.pairs[i].name, "X-Amz-Algorithm") == 0 ||
		    strcmp(s.query.pairs[i].name, "X-Amz-Credential") == 0)
			continue; /* other errors, or no part of it */
		value = s.query.pairs[i].value;
		value[strlen(value) - 1] ^= strchr(value, 'Z') ? 0 : 1;
		if (strcmp(s.query.pairs[i].name, "X-Amz-Date") == 0)
			value[14] ^= 1; /* the last digit of the seconds */
		assert_fails(check(&s, SECRET, &err), &err, MH_E_AUTH);
	}
}

static void host_and_every_amz_header_must_be_signed(void **state)
{
	static const struct {
		const char *name, *value, *says;
	} cases[] = {
		{ "x-amz-meta-extra", "1", "x-amz-meta-extra was sent but not signed" },
		{ "X-AMZ-Anything", "", "X-AMZ-Anything was sent but not signed" },
	};

	(void)state;
	for (int presigned = 0; presigned < 2; presigned++) {
		for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
			CLEAN(sent) struct sent s = { 0 };
			struct mh_err err = MH_ERR_INIT;

			send_request(&s, &scope, presigned);
			set_header(&s, cases[i].name, cases[i].value);
			assert_fails(check(&s, SECRET, &err), &err, MH_E_AUTH);
			assert_contains(err.text, cases[i].says);
		}
	}
	{
		/* Signed by the book, but for the host. */
		const struct sigv4_header headers[] = { { "x-amz-date",
							  "20261120T103903Z" } };
		struct sigv4_request r = { .method = "GET",
					   .path = "/",
					   .headers = headers,
					   .header_count = 1 };
		CLEAN(sigv4_result) struct sigv4_result made = { 0 };
		CLEAN(sigv4_claim) struct sigv4_claim claim = { 0 };
		struct sigv4_creds plain = creds;
		struct sigv4_header sent[2] = { headers[0] };
		struct mh_err err = MH_ERR_INIT;

		plain.session_token = NULL;
		sigv4_sign(&r, &plain, &scope, &made);
		sent[1] = (struct sigv4_header){ "authorization", made.authorization };
		r.headers = sent;
		r.header_count = 2;
		assert_ok(sigv4_claim_parse(&r, &claim, &err), &err);
		assert_fails(sigv4_verify(&r, &claim, SECRET, &err), &err, MH_E_AUTH);
		assert_contains(err.text, "host");
	}
}

static void headers_not_signed_may_change(void **state)
{
	CLEAN(sent) struct sent s = { 0 };
	struct mh_err err = MH_ERR_INIT;

	(void)state;
	send_request(&s, &scope, false);
	set_header(&s, "User-Agent", "anything");
	set_header(&s, "Accept-Encoding", "gzip");
	assert_ok(check(&s, SECRET, &err), &err);
}

static void repeated_header_counts(void **state)
{
	CLEAN(sent) struct sent s = { 0 };
	struct mh_err err = MH_ERR_INIT;

	(void)state;
	send_request(&s, &scope, false);
	s.headers[s.request.header_count++] = (struct sigv4_header){ "x-amz-target",
								     "smuggled" };
	assert_fails(check(&s, SECRET, &err), &err, MH_E_AUTH);
}

/* The list is not part of what we compute the signature over: a name that was added to
 * it, or stands there twice or out of order, must be seen for itself. */
static void list_of_signed_headers_must_be_the_one_signed(void **state)
{
	static const char *const lists[] = {
		"content-type;host;x-amz-date;x-amz-security-token;x-amz-target;z",
		"content-type;host;host;x-amz-date;x-amz-security-token;x-amz-target",
		"host;content-type;x-amz-date;x-amz-security-token;x-amz-target",
		"content-type;host;x-amz-date;x-amz-security-token;x-amz-target;",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		CLEAN(sent) struct sent s = { 0 };
		CLEAN(free) char *text = NULL;
		struct mh_err err = MH_ERR_INIT;

		send_request(&s, &scope, false);
		text = mh_format("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261120/"
				 "eu-central-1/codepipeline/aws4_request, "
				 "SignedHeaders=%s, Signature=%s",
				 lists[i], s.made.signature);
		set_header(&s, "Authorization", text);
		assert_fails(check(&s, SECRET, &err), &err, MH_E_AUTH);
		assert_contains(err.text, "SignedHeaders");
	}
}

static void content_hash_header_must_be_the_payload_hash(void **state)
{
	CLEAN(sent) struct sent s = { 0 };
	struct mh_err err = MH_ERR_INIT;

	(void)state;
	send_request(&s, &s3_scope, false);
	assert_ok(check(&s, SECRET, &err), &err);
	s.request.payload_hash = sigv4_empty_hash; /* the body that came was another */
	assert_fails(check(&s, SECRET, &err), &err, MH_E_AUTH);
	assert_contains(err.text, "x-amz-content-sha256");
}

static void unsigned_requests_are_told_apart_from_bad_ones(void **state)
{
	const struct sigv4_header headers[] = { { "Host", "h" } };
	const struct sigv4_request r = {
		.method = "GET", .path = "/", .headers = headers, .header_count = 1
	};
	struct sigv4_claim claim = { 0 };
	struct mh_err err = MH_ERR_INIT;
	CLEAN(sent) struct sent twice = { 0 };
	CLEAN(sent) struct sent both = { 0 };

	(void)state;
	assert_fails(sigv4_claim_parse(&r, &claim, &err), &err, MH_E_NOTFOUND);
	send_request(&twice, &scope, false);
	twice.headers[twice.request.header_count++] =
		(struct sigv4_header){ "authorization", twice.made.authorization };
	assert_fails(sigv4_claim_parse(&twice.request, &claim, &err), &err, MH_E_PROTO);
	send_request(&both, &scope, true);
	set_header(&both, "Authorization", twice.made.authorization);
	assert_fails(sigv4_claim_parse(&both.request, &claim, &err), &err, MH_E_PROTO);
}

/* Every byte of a good header damaged, and every prefix of it: refused or, where the
 * damage hits what carries no meaning, at least not verified. */
static void damaged_authorization_never_verifies(void **state)
{
	CLEAN(sent) struct sent s = { 0 };
	CLEAN(free) char *good = NULL;
	size_t len;

	(void)state;
	send_request(&s, &scope, false);
	good = mh_strdup(s.made.authorization);
	len = strlen(good);
	for (size_t i = 0; i < len; i++) {
		static const char damage[] = {
			'x', ' ', ',', ';', '/', '=', 1, (char)0xff
		};

		for (size_t j = 0; j < sizeof damage; j++) {
			CLEAN(free) char *text = mh_strdup(good);
			struct mh_err err = MH_ERR_INIT;
			bool key_id =
				i >= strlen("AWS4-HMAC-SHA256 Credential=") &&
				i < strlen("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE");

			if (text[i] == damage[j] || key_id)
				continue;
			text[i] = damage[j];
			set_header(&s, "Authorization", text);
			/* The comma's space may go; all else must matter. */
			if (check(&s, SECRET, &err) == 0 && good[i] != ' ')
				fail_msg("verified: %s", text);
		}
	}
	for (size_t i = 0; i < len; i++) {
		CLEAN(free) char *text = mh_strndup(good, i);
		struct mh_err err = MH_ERR_INIT;

		set_header(&s, "Authorization", text);
		assert_int_equal(check(&s, SECRET, &err), -1);
	}
}

static void keys_are_cached_apart(void **state)
{
	const struct sigv4_header host = { "host", "h" };
	struct sigv4_request r = {
		.method = "GET", .path = "/", .headers = &host, .header_count = 1
	};
	const struct {
		const char *secret, *region, *service;
		int64_t time_ms;
	} cases[] = {
		{ "s", "r", "v", 1795171143000 },  { "s", "r", "v", 1795171143000 },
		{ "s2", "r", "v", 1795171143000 }, { "s", "r2", "v", 1795171143000 },
		{ "s", "r", "v2", 1795171143000 }, { "s", "r", "v", 1795257543000 },
		{ "sr", "", "v", 1795171143000 },  { "s", "rv", "", 1795171143000 },
		{ "", "sr", "v", 1795171143000 },
	};

	(void)state;
	/* First with room for all, then with one slot, where each pushes the other out.
	 */
	for (size_t slots = 64; slots > 0; slots /= 64) {
		struct sigv4_keys *keys = sigv4_keys_new(slots);

		for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
			const struct sigv4_creds c = {
				.access_key_id = "A", .secret_access_key = cases[i].secret
			};
			const struct sigv4_scope sc = { .region = cases[i].region,
							.service = cases[i].service,
							.time_ms = cases[i].time_ms };
			CLEAN(sigv4_result) struct sigv4_result cached = { 0 };
			CLEAN(sigv4_result) struct sigv4_result fresh = { 0 };

			r.keys = NULL;
			sigv4_sign(&r, &c, &sc, &fresh);
			r.keys = keys;
			sigv4_sign(&r, &c, &sc, &cached);
			assert_string_equal(cached.signature, fresh.signature);
		}
		sigv4_keys_free(keys);
	}
	sigv4_keys_free(NULL);
}

static void *verify_many(void *ctx)
{
	for (int i = 0; i < 200; i++) {
		CLEAN(sent) struct sent s = { 0 };
		struct sigv4_scope mine = scope;
		struct mh_err err = MH_ERR_INIT;

		mine.time_ms += (i % 5) * 86400000LL;
		send_request(&s, &mine, false);
		s.request.keys = ctx;
		if (check(&s, SECRET, &err) != 0)
			return ctx; /* anything but NULL */
	}
	return NULL;
}

static void cache_serves_many_threads(void **state)
{
	struct sigv4_keys *keys = sigv4_keys_new(3);
	pthread_t threads[4];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, verify_many, keys), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
		void *result;

		assert_int_equal(pthread_join(threads[i], &result), 0);
		assert_null(result);
	}
	sigv4_keys_free(keys);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_signed_verifies),
		cmocka_unit_test(added_headers_are_those_the_service_wants),
		cmocka_unit_test(headers_given_win_over_those_it_would_add),
		cmocka_unit_test(s3_paths_are_read_as_keys),
		cmocka_unit_test(other_paths_are_normalised_and_encoded_again),
		cmocka_unit_test(any_change_breaks_the_signature),
		cmocka_unit_test(any_change_breaks_a_presigned_url),
		cmocka_unit_test(host_and_every_amz_header_must_be_signed),
		cmocka_unit_test(headers_not_signed_may_change),
		cmocka_unit_test(repeated_header_counts),
		cmocka_unit_test(list_of_signed_headers_must_be_the_one_signed),
		cmocka_unit_test(content_hash_header_must_be_the_payload_hash),
		cmocka_unit_test(unsigned_requests_are_told_apart_from_bad_ones),
		cmocka_unit_test(damaged_authorization_never_verifies),
		cmocka_unit_test(keys_are_cached_apart),
		cmocka_unit_test(cache_serves_many_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
