/* lib/net/uri: escapes, query pairs, URLs; hostile input included. */
#include "tests/unit/test.h"

#include "lib/net/uri.h"

static void encode_leaves_only_unreserved_bytes(void **state)
{
	static const struct {
		const char *in, *out;
		bool keep_slash;
	} cases[] = {
		{ "", "", false },
		{ "AZaz09-._~", "AZaz09-._~", false },
		{ "a b/c", "a%20b%2Fc", false },
		{ "a b/c", "a%20b/c", true },
		{ "+=&%?*'()!@:,;$#[]",
		  "%2B%3D%26%25%3F%2A%27%28%29%21%40%3A%2C%3B%24%23%5B%5D", true },
		{ "\xe1\x88\xb4\xff\x01\x7f", "%E1%88%B4%FF%01%7F", true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEAN(free)
		char *out = uri_encode(cases[i].in, strlen(cases[i].in),
				       cases[i].keep_slash);

		assert_string_equal(out, cases[i].out);
	}
}

static void decode_undoes_encode_for_every_byte(void **state)
{
	(void)state;
	for (int c = 1; c < 256; c++) {
		char one[2] = { (char)c, '\0' };
		struct mh_err err = MH_ERR_INIT;
		CLEAN(free) char *encoded = uri_encode(one, 1, false);
		CLEAN(free) char *decoded = NULL;

		assert_ok(uri_decode(encoded, strlen(encoded), true, &decoded, &err),
			  &err);
		assert_string_equal(decoded, one);
	}
}

static void decode_reads_either_case_and_plus_on_request(void **state)
{
	struct mh_err err = MH_ERR_INIT;
	char *out = NULL;

	(void)state;
	assert_ok(uri_decode("%2f%2F+x", 8, false, &out, &err), &err);
	assert_string_equal(out, "//+x");
	free(out);
	assert_ok(uri_decode("%2f+%2B", 7, true, &out, &err), &err);
	assert_string_equal(out, "/ +");
	free(out);
}

static void decode_refuses_broken_escapes_and_nul(void **state)
{
	static const char *const bad[] = { "%",   "%4",  "a%",  "%zz", "%4g", "%%41",
					   "%00", "a%0", "% 1", "%+1", "%-1", "%0x41" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct mh_err err = MH_ERR_INIT;
		char *out = (char *)&err; /* must stay as it is */

		assert_fails(uri_decode(bad[i], strlen(bad[i]), false, &out, &err), &err,
			     MH_E_PROTO);
		assert_ptr_equal(out, &err);
	}
	{
		struct mh_err err = MH_ERR_INIT;
		char *out;

		assert_fails(uri_decode("a\0b", 3, false, &out, &err), &err, MH_E_PROTO);
		/* The length counts: what lies behind it is not looked at. */
		assert_fails(uri_decode("%41", 2, false, &out, &err), &err, MH_E_PROTO);
	}
}

static void query_keeps_pairs_apart_and_in_order(void **state)
{
	struct mh_err err = MH_ERR_INIT;
	CLEAN(uri_query) struct uri_query q = { 0 };

	(void)state;
	assert_ok(uri_query_parse("a=1&b&&c=%20%3D=+&a=2&=x&d=", &q, &err), &err);
	assert_int_equal(q.count, 6);
	assert_string_equal(uri_query_get(&q, "a"), "1");
	assert_string_equal(uri_query_get(&q, "b"), "");
	assert_string_equal(uri_query_get(&q, "c"), " ==+");
	assert_string_equal(q.pairs[3].value, "2");
	assert_string_equal(uri_query_get(&q, ""), "x");
	assert_string_equal(uri_query_get(&q, "d"), "");
	assert_null(uri_query_get(&q, "A"));
}

static void empty_queries_are_empty(void **state)
{
	static const char *const none[] = { NULL, "", "&", "&&&" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(none); i++) {
		struct mh_err err = MH_ERR_INIT;
		CLEAN(uri_query) struct uri_query q = { 0 };
		CLEAN(free) char *text = NULL;

		assert_ok(uri_query_parse(none[i], &q, &err), &err);
		assert_int_equal(q.count, 0);
		text = uri_query_canonical(&q);
		assert_string_equal(text, "");
	}
}

static void broken_query_is_refused_whole(void **state)
{
	static const char *const bad[] = { "a=%", "a=1&%zz=2", "a=1&b=%00", "%0" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct mh_err err = MH_ERR_INIT;
		struct uri_query q = { .count = 77 };

		assert_fails(uri_query_parse(bad[i], &q, &err), &err, MH_E_PROTO);
		assert_int_equal(q.count, 77);
	}
}

static void canonical_query_sorts_by_encoded_name_then_value(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "b=2&a=1", "a=1&b=2" },
		{ "uploads", "uploads=" },
		{ "a=2&a=1&a=", "a=&a=1&a=2" },
		/* As joined strings these would sort the other way: '-' < '='. */
		{ "job-id=1&job=2", "job=2&job-id=1" },
		{ "prefix=a/b&delimiter=%2f", "delimiter=%2F&prefix=a%2Fb" },
		{ "B=1&a=1&A=1", "A=1&B=1&a=1" },
		{ "%e1%88%b4=bar&z=%7e", "%E1%88%B4=bar&z=~" },
		{ "uploadId=x&partNumber=10", "partNumber=10&uploadId=x" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct mh_err err = MH_ERR_INIT;
		CLEAN(uri_query) struct uri_query q = { 0 };
		CLEAN(free) char *text = NULL;

		assert_ok(uri_query_parse(cases[i].in, &q, &err), &err);
		text = uri_query_canonical(&q);
		assert_string_equal(text, cases[i].out);
	}
}

static void many_pairs_are_kept(void **state)
{
	CLEAN(uri_query) struct uri_query q = { 0 };
	CLEAN(free) char *text = NULL;

	(void)state;
	for (int i = 999; i >= 0; i--) {
		CLEAN(free) char *name = mh_format("n%03d", i);

		uri_query_add(&q, name, "v");
	}
	text = uri_query_canonical(&q);
	assert_int_equal(q.count, 1000);
	assert_int_equal(strncmp(text, "n000=v&n001=v&", 14), 0);
	assert_int_equal(strlen(text), 1000 * 7 - 1);
}

static void urls_are_taken_apart(void **state)
{
	static const struct {
		const char *text, *scheme, *host;
		int port;
		const char *path, *query, *header;
		bool loopback;
	} cases[] = {
		{ "http://h", "http", "h", 80, "/", NULL, "h", false },
		{ "HTTPS://Example.COM/", "https", "example.com", 443, "/", NULL,
		  "example.com", false },
		{ "http://127.0.0.1:4599", "http", "127.0.0.1", 4599, "/", NULL,
		  "127.0.0.1:4599", true },
		{ "http://127.255.3.4/a%20b?x=1?y", "http", "127.255.3.4", 80, "/a%20b",
		  "x=1?y", "127.255.3.4", true },
		{ "http://[::1]:80/", "http", "::1", 80, "/", NULL, "[::1]", true },
		{ "https://[FE80::1]:8443?q", "https", "fe80::1", 8443, "/", "q",
		  "[fe80::1]:8443", false },
		{ "http://localhost:443", "http", "localhost", 443, "/", NULL,
		  "localhost:443", true },
		{ "https://h:80?", "https", "h", 80, "/", "", "h:80", false },
		{ "http://localhost.evil.example", "http", "localhost.evil.example", 80,
		  "/", NULL, "localhost.evil.example", false },
		{ "http://127.0.0.1.evil.example", "http", "127.0.0.1.evil.example", 80,
		  "/", NULL, "127.0.0.1.evil.example", false },
		{ "http://128.0.0.1", "http", "128.0.0.1", 80, "/", NULL, "128.0.0.1",
		  false },
		{ "http://127.1", "http", "127.1", 80, "/", NULL, "127.1", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct mh_err err = MH_ERR_INIT;
		CLEAN(uri) struct uri u = { 0 };
		CLEAN(free) char *header = NULL;

		assert_ok(uri_parse(cases[i].text, &u, &err), &err);
		assert_string_equal(u.scheme, cases[i].scheme);
		assert_string_equal(u.host, cases[i].host);
		assert_int_equal(u.port, cases[i].port);
		assert_string_equal(u.path, cases[i].path);
		if (cases[i].query)
			assert_string_equal(u.query, cases[i].query);
		else
			assert_null(u.query);
		header = uri_host_header(&u);
		assert_string_equal(header, cases[i].header);
		assert_int_equal(uri_is_loopback(&u), cases[i].loopback);
	}
}

static void unusable_urls_are_refused_without_their_secrets(void **state)
{
	static const char *const bad[] = {
		"",
		"h",
		"//h",
		"ftp://h",
		"file:///etc/passwd",
		"http:/h",
		"http://",
		"http:///x",
		"http://?x",
		"http://user:pass@h/",
		"http://user@h",
		"http://pass word@h",
		"http://h:",
		"http://h:0",
		"http://h:65536",
		"http://h:-1",
		"http://h:+80",
		"http://h:80x",
		"http://h:000000080",
		"http://:80",
		"http://[::1",
		"http://[::1]x",
		"http://[]",
		"http://[1.2.3.4]",
		"http://[::1%25eth0]",
		"http://a b/",
		"http://h/\r\nX: y",
		"http://h/\x80",
		"http://h\\x",
		"http://h/#f",
		"http://h%41",
		"http://h/ ?sig=secret-thing",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct mh_err err = MH_ERR_INIT;
		struct uri u = { .port = 77 };

		assert_fails(uri_parse(bad[i], &u, &err), &err, MH_E_CONFIG);
		assert_int_equal(u.port, 77);
		assert_null(strstr(err.text, "user:pass"));
		assert_null(strstr(err.text, "pass word"));
		assert_null(strstr(err.text, "secret-thing"));
	}
}

static void endless_url_is_refused(void **state)
{
	struct mh_err err = MH_ERR_INIT;
	struct uri u;
	CLEAN(free) char *text = mh_alloc(100001);

	(void)state;
	memset(text, 'a', 100000);
	memcpy(text, "http://h/", 9);
	assert_fails(uri_parse(text, &u, &err), &err, MH_E_CONFIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(encode_leaves_only_unreserved_bytes),
		cmocka_unit_test(decode_undoes_encode_for_every_byte),
		cmocka_unit_test(decode_reads_either_case_and_plus_on_request),
		cmocka_unit_test(decode_refuses_broken_escapes_and_nul),
		cmocka_unit_test(query_keeps_pairs_apart_and_in_order),
		cmocka_unit_test(empty_queries_are_empty),
		cmocka_unit_test(broken_query_is_refused_whole),
		cmocka_unit_test(canonical_query_sorts_by_encoded_name_then_value),
		cmocka_unit_test(many_pairs_are_kept),
		cmocka_unit_test(urls_are_taken_apart),
		cmocka_unit_test(unusable_urls_are_refused_without_their_secrets),
		cmocka_unit_test(endless_url_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
