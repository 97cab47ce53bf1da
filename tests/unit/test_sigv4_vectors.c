/* lib/net/sigv4 against other signers, stage by stage: the official vectors (where
 * MH_SHARED has them), botocore's signatures (tests/fixtures/sigv4, committed), and
 * libcurl's own signer for the shapes of request that it signs rightly. */
#include "tests/unit/test.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include <curl/curl.h>

#include "lib/base/clock.h"
#include "lib/base/fsio.h"
#include "lib/base/json.h"
#include "lib/net/sigv4.h"
#include "tests/unit/http_server.h"
#include "tests/unit/sigv4_wire.h"

static char *read_text(const char *dir, const char *name)
{
	struct mh_err err = MH_ERR_INIT;
	CLEAN(free) char *path = mh_format("%s/%s", dir, name);
	CLEAN(buf) struct buf b = BUF_INIT(1 << 20);

	assert_ok(fs_read_at(AT_FDCWD, path, &b, &err), &err);
	while (b.len > 0 && b.data[b.len - 1] == '\n')
		b.data[--b.len] = '\0';
	return b.len ? buf_steal(&b) : mh_strdup("");
}

static void assert_same_text(const char *where, const char *stage, const char *found,
			     const char *expected)
{
	if (strcmp(found, expected) != 0)
		fail_msg("%s, %s:\n--- expected\n%s\n--- found\n%s", where, stage,
			 expected, found);
}

/* ---- official vectors ---- */

struct vector {
	char *dir;
	struct json_object *context; /* owned */
	struct sigv4_creds creds;
	struct sigv4_scope scope;
	bool sign_body, omit_token;
	struct wire wire;
};

static int64_t time_of(const char *iso)
{
	struct mh_err err = MH_ERR_INIT;
	char amz[CLOCK_AMZ_SIZE];
	int64_t ms = 0;

	snprintf(amz, sizeof amz, "%.4s%.2s%.2sT%.2s%.2s%.2sZ", iso, iso + 5, iso + 8,
		 iso + 11, iso + 14, iso + 17);
	assert_ok(clock_parse_amz(amz, &ms, &err), &err);
	return ms;
}

static void vector_load(struct vector *v, const char *dir)
{
	struct mh_err err = MH_ERR_INIT;
	CLEAN(free) char *context = read_text(dir, "context.json");
	CLEAN(free) char *request = read_text(dir, "request.txt");
	struct json_object *creds;

	*v = (struct vector){ .dir = mh_strdup(dir) };
	assert_ok(json_parse_object(context, strlen(context), &v->context, &err), &err);
	creds = json_opt_object(v->context, "credentials");
	v->creds = (struct sigv4_creds){
		.access_key_id = json_opt_str(creds, "access_key_id", ""),
		.secret_access_key = json_opt_str(creds, "secret_access_key", ""),
		.session_token = json_opt_str(creds, "token", NULL),
	};
	v->scope = (struct sigv4_scope){
		.region = json_opt_str(v->context, "region", ""),
		.service = json_opt_str(v->context, "service", ""),
		.time_ms = time_of(json_opt_str(v->context, "timestamp", "")),
	};
	v->sign_body = json_opt_bool(v->context, "sign_body", false);
	v->omit_token = json_opt_bool(v->context, "omit_session_token", false);
	wire_parse(&v->wire, request);
	v->wire.request.path_as_is = !json_opt_bool(v->context, "normalize", true);
}

static void vector_done(struct vector *v)
{
	wire_done(&v->wire);
	json_object_put(v->context);
	free(v->dir);
}
static void clean_vector(struct vector *v)
{
	vector_done(v);
}

static void check_stage(const struct vector *v, const char *file, const char *found)
{
	CLEAN(free) char *expected = read_text(v->dir, file);

	assert_same_text(v->dir, file, found, expected);
}

static void sign_vector_in_headers(const char *dir)
{
	CLEAN(vector) struct vector v = { 0 };
	CLEAN(sigv4_result) struct sigv4_result made = { 0 };
	CLEAN(wire) struct wire is_signed = { 0 };
	CLEAN(free) char *text = NULL;
	struct sigv4_creds creds;

	vector_load(&v, dir);
	if (v.sign_body)
		wire_add(&v.wire, "x-amz-content-sha256", v.wire.hash);
	creds = v.creds;
	if (v.omit_token)
		creds.session_token = NULL; /* it is added after signing */
	sigv4_sign(&v.wire.request, &creds, &v.scope, &made);
	check_stage(&v, "header-canonical-request.txt", made.canonical_request);
	check_stage(&v, "header-string-to-sign.txt", made.string_to_sign);
	check_stage(&v, "header-signature.txt", made.signature);

	text = read_text(v.dir, "header-signed-request.txt");
	wire_parse(&is_signed, text);
	assert_same_text(dir, "Authorization", made.authorization,
			 is_signed.headers[is_signed.header_count - 1].value);
	for (size_t i = 0; i < made.added_count; i++) {
		bool found = false;

		for (size_t j = 0; j < is_signed.header_count; j++) {
			CLEAN(free)
			char *line = mh_format("%s: %s", is_signed.headers[j].name,
					       is_signed.headers[j].value);

			found = found || strcasecmp(line, made.added[i]) == 0;
		}
		if (!found)
			fail_msg("%s: %s is not in the signed request", dir,
				 made.added[i]);
	}
}

static void sign_vector_in_query(const char *dir)
{
	CLEAN(vector) struct vector v = { 0 };
	CLEAN(sigv4_result) struct sigv4_result made = { 0 };
	CLEAN(wire) struct wire is_signed = { 0 };
	CLEAN(uri_query) struct uri_query found = { 0 };
	CLEAN(free) char *text = NULL;
	CLEAN(free) char *query = NULL;
	CLEAN(free) char *expected = NULL;
	struct mh_err err = MH_ERR_INIT;
	struct sigv4_creds creds;

	vector_load(&v, dir);
	creds = v.creds;
	if (v.omit_token)
		creds.session_token = NULL;
	sigv4_presign(&v.wire.request, &creds, &v.scope,
		      json_opt_i64(v.context, "expiration_in_seconds", 0), &made);
	check_stage(&v, "query-canonical-request.txt", made.canonical_request);
	check_stage(&v, "query-string-to-sign.txt", made.string_to_sign);
	check_stage(&v, "query-signature.txt", made.signature);

	text = read_text(v.dir, "query-signed-request.txt");
	wire_parse(&is_signed, text);
	assert_ok(uri_query_parse(made.query, &found, &err), &err);
	if (v.omit_token)
		uri_query_add(&found, "X-Amz-Security-Token", v.creds.session_token);
	query = uri_query_canonical(&found);
	expected = uri_query_canonical(&is_signed.query);
	assert_same_text(dir, "query-signed-request.txt", query, expected);
}

/* The signed requests of the vectors must verify, each way; but for the one whose
 * token was added unsigned, which must not. */
static void verify_vector(const char *dir, const char *file)
{
	CLEAN(vector) struct vector v = { 0 };
	CLEAN(wire) struct wire w = { 0 };
	CLEAN(sigv4_claim) struct sigv4_claim claim = { 0 };
	CLEAN(free) char *text = NULL;
	struct mh_err err = MH_ERR_INIT;

	vector_load(&v, dir);
	text = read_text(v.dir, file);
	wire_parse(&w, text);
	w.request.path_as_is = v.wire.request.path_as_is;
	assert_ok(sigv4_claim_parse(&w.request, &claim, &err), &err);
	assert_string_equal(claim.access_key_id, v.creds.access_key_id);
	assert_string_equal(claim.region, v.scope.region);
	assert_string_equal(claim.service, v.scope.service);
	assert_true(claim.time_ms == v.scope.time_ms);
	assert_int_equal(claim.presigned, file[0] == 'q');
	if (v.creds.session_token)
		assert_string_equal(claim.session_token, v.creds.session_token);
	else
		assert_null(claim.session_token);
	if (v.omit_token) {
		assert_fails(
			sigv4_verify(&w.request, &claim, v.creds.secret_access_key, &err),
			&err, MH_E_AUTH);
		return;
	}
	if (sigv4_verify(&w.request, &claim, v.creds.secret_access_key, &err) != 0)
		fail_msg("%s, %s: %s", dir, file, err.text);
	assert_fails(sigv4_verify(&w.request, &claim, "another secret", &err), &err,
		     MH_E_AUTH);
}

static void for_each_vector(void (*check)(const char *dir))
{
	const char *shared = getenv("MH_SHARED");
	CLEAN(free) char *root = mh_format("%s/data/sigv4", shared ? shared : "");
	DIR *dir = shared ? opendir(root) : NULL;
	struct dirent *entry;
	int count = 0;

	if (!dir)
		skip_without(root);
	while ((entry = readdir(dir))) {
		CLEAN(free) char *path = mh_format("%s/%s", root, entry->d_name);
		struct stat st;

		if (entry->d_name[0] == '.' || stat(path, &st) != 0 ||
		    !S_ISDIR(st.st_mode))
			continue;
		check(path);
		count++;
	}
	closedir(dir);
	assert_true(count >= 38);
}

static void verify_vector_both_ways(const char *dir)
{
	verify_vector(dir, "header-signed-request.txt");
	verify_vector(dir, "query-signed-request.txt");
}

static void official_vectors_sign_in_headers(void **state)
{
	(void)state;
	for_each_vector(sign_vector_in_headers);
}

static void official_vectors_sign_in_the_query(void **state)
{
	(void)state;
	for_each_vector(sign_vector_in_query);
}

static void official_vectors_verify(void **state)
{
	(void)state;
	for_each_vector(verify_vector_both_ways);
}

/* ---- botocore ---- */

struct oracle {
	struct json_object *o;
	struct sigv4_header headers[WIRE_HEADERS_MAX];
	struct uri_query query;
	struct sigv4_request request;
	struct sigv4_creds creds;
	struct sigv4_scope scope;
};

static const char *text_of(const struct oracle *c, const char *key)
{
	return json_opt_str(c->o, key, "");
}

static void oracle_load(struct oracle *c, struct json_object *o, struct sigv4_keys *keys)
{
	struct json_object *headers = json_opt_array(o, "headers");
	struct mh_err err = MH_ERR_INIT;

	*c = (struct oracle){ .o = o };
	for (size_t i = 0; i < json_object_array_length(headers); i++) {
		struct json_object *pair = json_object_array_get_idx(headers, i);

		c->headers[i] = (struct sigv4_header){
			json_object_get_string(json_object_array_get_idx(pair, 0)),
			json_object_get_string(json_object_array_get_idx(pair, 1)),
		};
	}
	assert_ok(uri_query_parse(text_of(c, "query"), &c->query, &err), &err);
	c->request = (struct sigv4_request){
		.method = text_of(c, "method"),
		.path = text_of(c, "path"),
		.query = &c->query,
		.headers = c->headers,
		.header_count = json_object_array_length(headers),
		.payload_hash = text_of(c, "payload_hash"),
		.keys = keys,
	};
	c->creds = (struct sigv4_creds){
		.access_key_id = text_of(c, "access_key_id"),
		.secret_access_key = text_of(c, "secret_access_key"),
		.session_token = json_opt_str(o, "session_token", NULL),
	};
	c->scope = (struct sigv4_scope){
		.region = text_of(c, "region"),
		.service = text_of(c, "service"),
		.time_ms = json_opt_i64(o, "time_ms", 0),
	};
}

/* What was made, verified as a server would see it. */
static void verify_made(struct oracle *c, const struct sigv4_result *made)
{
	struct sigv4_request r = c->request;
	CLEAN(uri_query) struct uri_query query = { 0 };
	CLEAN(sigv4_claim) struct sigv4_claim claim = { 0 };
	char added[4][4096];
	struct mh_err err = MH_ERR_INIT;

	for (size_t i = 0; i < made->added_count; i++) {
		char *colon;

		snprintf(added[i], sizeof added[i], "%s", made->added[i]);
		colon = strstr(added[i], ": ");
		*colon = '\0';
		c->headers[r.header_count++] = (struct sigv4_header){ added[i],
								      colon + 2 };
	}
	if (made->authorization)
		c->headers[r.header_count++] =
			(struct sigv4_header){ "Authorization", made->authorization };
	if (made->query) {
		assert_ok(uri_query_parse(made->query, &query, &err), &err);
		r.query = &query;
	}
	assert_ok(sigv4_claim_parse(&r, &claim, &err), &err);
	assert_ok(sigv4_verify(&r, &claim, c->creds.secret_access_key, &err), &err);
}

static void check_oracle(struct json_object *o, struct sigv4_keys *keys)
{
	struct oracle c;
	CLEAN(sigv4_result) struct sigv4_result made = { 0 };
	int64_t expires_s = json_opt_i64(o, "expires_s", 0);

	oracle_load(&c, o, keys);
	if (expires_s)
		sigv4_presign(&c.request, &c.creds, &c.scope, expires_s, &made);
	else
		sigv4_sign(&c.request, &c.creds, &c.scope, &made);
	assert_same_text(text_of(&c, "name"), "canonical request", made.canonical_request,
			 text_of(&c, "canonical_request"));
	assert_same_text(text_of(&c, "name"), "string to sign", made.string_to_sign,
			 text_of(&c, "string_to_sign"));
	assert_same_text(text_of(&c, "name"), "signature", made.signature,
			 text_of(&c, "signature"));
	if (expires_s) {
		struct mh_err err = MH_ERR_INIT;
		CLEAN(uri_query) struct uri_query theirs = { 0 };
		CLEAN(uri_query) struct uri_query ours = { 0 };
		CLEAN(free) char *expected = NULL;
		CLEAN(free) char *found = NULL;

		assert_ok(uri_query_parse(text_of(&c, "signed_query"), &theirs, &err),
			  &err);
		assert_ok(uri_query_parse(made.query, &ours, &err), &err);
		expected = uri_query_canonical(&theirs);
		found = uri_query_canonical(&ours);
		assert_same_text(text_of(&c, "name"), "query", found, expected);
	} else {
		assert_same_text(text_of(&c, "name"), "Authorization", made.authorization,
				 text_of(&c, "authorization"));
	}
	verify_made(&c, &made);
	uri_query_done(&c.query);
}

static void botocore_signs_the_same(void **state)
{
	const char *source = getenv("MH_SRCDIR");
	CLEAN(free)
	char *dir = mh_format("%s/tests/fixtures/sigv4", source ? source : ".");
	CLEAN(free) char *text = read_text(dir, "cases.json");
	CLEAN(json) struct json_object *cases = NULL;
	struct sigv4_keys *keys = sigv4_keys_new(2); /* fewer than are in use */
	struct mh_err err = MH_ERR_INIT;

	(void)state;
	assert_ok(json_parse(text, strlen(text), &cases, &err), &err);
	assert_true(json_object_array_length(cases) >= 40);
	/* Once without a cache, and twice with one: filled, then used. */
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < json_object_array_length(cases); i++)
			check_oracle(json_object_array_get_idx(cases, i),
				     round ? keys : NULL);
	}
	sigv4_keys_free(keys);
}

/* ---- libcurl ---- */

#if LIBCURL_VERSION_NUM >= 0x074b00
struct curl_case {
	const char *name, *provider, *method, *path, *body;
	const char *headers[4];
	const char *service;
};

static const struct curl_case curl_cases[] = {
	{ "codepipeline post",
	  "aws:amz:us-east-1:codepipeline",
	  "POST",
	  "/",
	  "{\"a\":1}",
	  { "X-Amz-Target: CodePipeline_20150709.PollForJobs" },
	  "codepipeline" },
	{ "codepipeline post with session token",
	  "aws:amz:us-east-1:codepipeline",
	  "POST",
	  "/",
	  "{}",
	  { "X-Amz-Target: CodePipeline_20150709.PollForJobs",
	    "X-Amz-Security-Token: AQoDYXdz/token+with==" },
	  "codepipeline" },
	{ "s3 get with given hash",
	  "aws:amz:us-east-1:s3",
	  "GET",
	  "/bucket/a%20b/c.zip",
	  NULL,
	  { "x-amz-content-sha256: "
	    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
	  "s3" },
	{ "s3 put with given hash and token",
	  "aws:amz:us-east-1:s3",
	  "PUT",
	  "/bucket/a.zip",
	  "{\"a\":1}",
	  { "x-amz-content-sha256: "
	    "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862",
	    "X-Amz-Security-Token: token" },
	  "s3" },
};

/* The request that libcurl signs and sends, as the server read it. */
static void curl_signs(const struct curl_case *c, struct http_server *server)
{
	CURL *easy = curl_easy_init();
	struct curl_slist *headers = NULL;
	CLEAN(free)
	char *url = mh_format("http://127.0.0.1:%d%s", http_server_port(server), c->path);

	for (size_t i = 0; i < ARRAY_LEN(c->headers) && c->headers[i]; i++)
		headers = curl_slist_append(headers, c->headers[i]);
	curl_easy_setopt(easy, CURLOPT_URL, url);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_PROXY, "");
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, 10000L);
	curl_easy_setopt(easy, CURLOPT_AWS_SIGV4, c->provider);
	curl_easy_setopt(easy, CURLOPT_USERPWD, "AKIDCURL:the/curl+secret");
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
	if (c->body)
		curl_easy_setopt(easy, CURLOPT_POSTFIELDS, c->body);
	curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, c->method);
	assert_int_equal(curl_easy_perform(easy), CURLE_OK);
	curl_slist_free_all(headers);
	curl_easy_cleanup(easy);
}

static void requests_signed_by_libcurl_verify(void **state)
{
	static const struct http_reply replies[] = {
		{ .text = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", .close = true },
		{ 0 },
	};
	struct http_server *server = http_server_start(replies);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(curl_cases); i++)
		curl_signs(&curl_cases[i], server);
	http_server_stop(server);
	assert_int_equal(http_server_requests(server), ARRAY_LEN(curl_cases));
	for (size_t i = 0; i < ARRAY_LEN(curl_cases); i++) {
		CLEAN(wire) struct wire w = { 0 };
		CLEAN(sigv4_claim) struct sigv4_claim claim = { 0 };
		struct mh_err err = MH_ERR_INIT;

		wire_parse(&w, http_server_request(server, i));
		assert_ok(sigv4_claim_parse(&w.request, &claim, &err), &err);
		assert_string_equal(claim.access_key_id, "AKIDCURL");
		assert_string_equal(claim.service, curl_cases[i].service);
		if (sigv4_verify(&w.request, &claim, "the/curl+secret", &err) != 0)
			fail_msg("%s: %s", curl_cases[i].name, err.text);
		assert_fails(sigv4_verify(&w.request, &claim, "the/curl+secreT", &err),
			     &err, MH_E_AUTH);
	}
	http_server_free(server);
}
#else
static void requests_signed_by_libcurl_verify(void **state)
{
	(void)state;
	skip_without("libcurl that can sign");
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(official_vectors_sign_in_headers),
		cmocka_unit_test(official_vectors_sign_in_the_query),
		cmocka_unit_test(official_vectors_verify),
		cmocka_unit_test(botocore_signs_the_same),
		cmocka_unit_test(requests_signed_by_libcurl_verify),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
