/* URIs and queries: what is decoded and encoded again is decoded to the same. */
#include "lib/net/uri.h"
#include "tests/fuzz/fuzz.h"

static void check_encoding(const uint8_t *data, size_t size)
{
	CLEAN(free) char *encoded = uri_encode((const char *)data, size, false);
	CLEAN(free) char *decoded = NULL;
	struct mh_err err = MH_ERR_INIT;

	if (memchr(data, '\0', size)) {
		MH_ASSERT(uri_decode(encoded, strlen(encoded), false, &decoded, &err) ==
			  -1);
		return;
	}
	MH_ASSERT(uri_decode(encoded, strlen(encoded), false, &decoded, &err) == 0);
	MH_ASSERT(strlen(decoded) == size && memcmp(decoded, data, size) == 0);
}

static void check_query(const char *text)
{
	CLEAN(uri_query) struct uri_query q = { 0 }, again = { 0 };
	CLEAN(free) char *first = NULL;
	CLEAN(free) char *second = NULL;
	struct mh_err err = MH_ERR_INIT;

	if (uri_query_parse(text, &q, &err) != 0) {
		MH_ASSERT(err.cls == MH_E_PROTO && q.count == 0);
		return;
	}
	first = uri_query_canonical(&q);
	MH_ASSERT(uri_query_parse(first, &again, &err) == 0 && again.count == q.count);
	second = uri_query_canonical(&again);
	MH_ASSERT(strcmp(first, second) == 0);
	for (size_t i = 0; i < q.count; i++)
		MH_ASSERT(uri_query_get(&again, q.pairs[i].name) != NULL);
}

static void check_uri(const char *text)
{
	CLEAN(uri) struct uri u = { 0 }, again = { 0 };
	CLEAN(free) char *host = NULL;
	CLEAN(free) char *joined = NULL;
	struct mh_err err = MH_ERR_INIT;

	if (uri_parse(text, &u, &err) != 0) {
		MH_ASSERT(err.cls == MH_E_CONFIG && *err.text && !u.host);
		return;
	}
	MH_ASSERT(*u.host && u.port > 0 && u.port <= 65535 && u.path[0] == '/');
	host = uri_host_header(&u);
	(void)uri_is_loopback(&u); /* either answer will do */
	joined = mh_format("%s://%s%s%s%s", u.scheme, host, u.path, u.query ? "?" : "",
			   u.query ? u.query : "");
	MH_ASSERT(uri_parse(joined, &again, &err) == 0);
	MH_ASSERT(strcmp(again.host, u.host) == 0 && again.port == u.port &&
		  strcmp(again.path, u.path) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size };
	CLEAN(free) char *text = fuzz_rest(&in);
	CLEAN(free) char *decoded = NULL;
	struct mh_err err = MH_ERR_INIT;

	check_encoding(data, size);
	check_query(text);
	check_uri(text);
	if (uri_decode((const char *)data, size, true, &decoded, &err) == 0)
		MH_ASSERT(strlen(decoded) <= size);
	return 0;
}
