/* Canonical request, string to sign, signature. */
#include "lib/net/sigv4_steps.h"

#include <string.h>
#include <strings.h>

#include <sodium.h>

#include "lib/base/sha256.h"
#include "lib/base/str.h"

const char sigv4_empty_hash[SIGV4_HASH_HEX_SIZE] =
	"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

void sigv4_hash_hex(const void *data, size_t len, char out[SIGV4_HASH_HEX_SIZE])
{
	sha256_hex(data, len, out);
}

bool sigv4_name_is(const char *header_name, const char *lower_name)
{
	return strcasecmp(header_name, lower_name) == 0;
}

const char *sigv4_find_header(const struct sigv4_request *r, const char *lower_name)
{
	for (size_t i = 0; i < r->header_count; i++) {
		if (sigv4_name_is(r->headers[i].name, lower_name))
			return r->headers[i].value;
	}
	return NULL;
}

/* ---- path ---- */

/* Without empty and dot segments; a slash at the end stays. */
static char *normalise(const char *path)
{
	size_t len = strlen(path);
	char *out = mh_alloc(len + 2);
	size_t n = 0;

	while (*path) {
		size_t segment = strcspn(path, "/");

		if (segment == 2 && memcmp(path, "..", 2) == 0) {
			while (n > 0 && out[--n] != '/')
				;
		} else if (segment > 0 && !(segment == 1 && *path == '.')) {
			out[n++] = '/';
			memcpy(out + n, path, segment);
			n += segment;
		}
		path += segment;
		if (*path == '/' && path[1] == '\0')
			break;
		path += *path == '/';
	}
	if (n == 0 || *path == '/')
		out[n++] = '/';
	out[n] = '\0';
	return out;
}

/* S3: what the client meant by the path, encoded once. The bytes are decoded first
 * because a client may leave "=" as it is or write "%2f"; S3 signs the key itself.
 * A '%' that begins no escape is a '%'. */
static char *encode_once(const char *path)
{
	size_t len = strlen(path);
	CLEAN(free) char *bytes = mh_alloc(len + 1);
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		bytes[n] = path[i];
		if (path[i] == '%' && len - i > 2 &&
		    str_unhex((char[]){ path[i + 1], path[i + 2], '\0' }, &bytes[n], 1))
			i += 2;
		n++;
	}
	return uri_encode(bytes, n, true);
}

static char *canonical_path(const struct sigv4_request *r, const char *service)
{
	CLEAN(free) char *normal = NULL;

	if (strcmp(service, "s3") == 0)
		return encode_once(r->path);
	if (r->path_as_is)
		return uri_encode(r->path, strlen(r->path), true);
	normal = normalise(r->path);
	return uri_encode(normal, strlen(normal), true);
}

/* ---- headers ---- */

struct item {
	char *name; /* lower case; behind the array, in its memory */
	const char *value;
	size_t position;
};

static int compare_items(const void *a, const void *b)
{
	const struct item *x = a, *y = b;
	int order = strcmp(x->name, y->name);

	if (order != 0)
		return order;
	return x->position < y->position ? -1 : 1; /* repeats keep their order */
}

static struct item *sorted_items(const struct sigv4_header *headers, size_t count)
{
	size_t names_len = 0;
	struct item *items;
	char *end;

	for (size_t i = 0; i < count; i++)
		names_len += strlen(headers[i].name) + 1;
	items = mh_alloc((count + 1) * sizeof *items + names_len);
	end = (char *)(items + count + 1);
	for (size_t i = 0; i < count; i++) {
		items[i] = (struct item){ .name = end,
					  .value = headers[i].value,
					  .position = i };
		for (const char *p = headers[i].name; *p; p++)
			*end++ = (char)(*p >= 'A' && *p <= 'Z' ? *p + 32 : *p);
		*end++ = '\0';
	}
	qsort(items, count, sizeof *items, compare_items);
	return items;
}

/* The room was counted beforehand. */
static void put(struct buf *out, const char *text, size_t len)
{
	struct mh_err err;

	if (buf_add(out, text, len, &err) != 0)
		MH_BUG("canonical request is longer than its parts");
}

/* Trimmed, each run of blanks one space: a folded header reads as one line. */
static void put_value(struct buf *out, const char *value)
{
	static const char blanks[] = " \t\r\n";
	bool first = true;

	for (;;) {
		size_t len;

		value += strspn(value, blanks);
		len = strcspn(value, blanks);
		if (len == 0)
			return;
		if (!first)
			buf_putc(out, ' ');
		put(out, value, len);
		first = false;
		value += len;
	}
}

static void put_headers(struct buf *out, const struct item *items, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		bool repeat = i > 0 && strcmp(items[i].name, items[i - 1].name) == 0;

		if (!repeat) {
			buf_puts(out, items[i].name);
			buf_putc(out, ':');
		} else {
			buf_putc(out, ',');
		}
		put_value(out, items[i].value);
		if (i + 1 == count || strcmp(items[i].name, items[i + 1].name) != 0)
			buf_putc(out, '\n');
	}
}

static void put_names(struct buf *out, const struct item *items, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (i > 0 && strcmp(items[i].name, items[i - 1].name) == 0)
			continue;
		if (i > 0)
			buf_putc(out, ';');
		buf_puts(out, items[i].name);
	}
}

static size_t header_bytes(const struct sigv4_header *headers, size_t count)
{
	size_t bytes = 0;

	for (size_t i = 0; i < count; i++)
		bytes += strlen(headers[i].name) + strlen(headers[i].value) + 3;
	return bytes;
}

char *sigv4_signed_headers(const struct sigv4_header *headers, size_t count)
{
	struct item *items = sorted_items(headers, count);
	struct buf out = BUF_INIT(header_bytes(headers, count) + 1);

	put_names(&out, items, count);
	free(items);
	return out.data ? buf_steal(&out) : mh_strdup("");
}

/* ---- the three stages ---- */

static char *canonical_request(const struct sigv4_input *in, char **ret_names)
{
	static const struct uri_query no_query;
	const struct sigv4_request *r = in->request;
	const char *hash = r->payload_hash ? r->payload_hash : sigv4_empty_hash;
	CLEAN(free) char *path = canonical_path(r, in->service);
	CLEAN(free)
	char *query = uri_query_canonical(in->query ? in->query : &no_query);
	struct item *items = sorted_items(in->headers, in->header_count);
	/* The sizes are known, so the maximum cannot be passed. */
	struct buf out = BUF_INIT(strlen(r->method) + strlen(path) + strlen(query) +
				  2 * header_bytes(in->headers, in->header_count) +
				  strlen(hash) + 16);
	size_t names_at;

	buf_puts(&out, r->method);
	buf_putc(&out, '\n');
	buf_puts(&out, path);
	buf_putc(&out, '\n');
	buf_puts(&out, query);
	buf_putc(&out, '\n');
	put_headers(&out, items, in->header_count);
	buf_putc(&out, '\n');
	names_at = out.len;
	put_names(&out, items, in->header_count);
	*ret_names = mh_strndup(out.data + names_at, out.len - names_at);
	buf_putc(&out, '\n');
	buf_puts(&out, hash);
	free(items);
	return buf_steal(&out);
}

void sigv4_make(const struct sigv4_input *in, const char *secret,
		struct sigv4_result *ret)
{
	char hash[SIGV4_HASH_HEX_SIZE];
	unsigned char key[32], signature[32];
	struct hmac_sha256 mac;

	ret->canonical_request = canonical_request(in, &ret->signed_headers);
	sigv4_hash_hex(ret->canonical_request, strlen(ret->canonical_request), hash);
	ret->string_to_sign = mh_concat(SIGV4_ALGORITHM "\n", in->amz_date, "\n",
					in->date, "/", in->region, "/", in->service,
					"/aws4_request\n", hash);
	sigv4_key(in->request->keys, secret, in, key);
	hmac_sha256_init(&mac, key, sizeof key);
	hmac_sha256_update(&mac, ret->string_to_sign, strlen(ret->string_to_sign));
	hmac_sha256_final(&mac, signature);
	sodium_memzero(key, sizeof key);
	ret->signature = mh_alloc(SIGV4_HASH_HEX_SIZE);
	str_hex(signature, sizeof signature, ret->signature);
}
