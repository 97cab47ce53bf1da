/* An HTTP answer. However it is cut into pieces, the same answer comes out, or the same
 * refusal. */
#include "lib/net/http_parse.h"
#include "tests/fuzz/fuzz.h"

#define BODY_MAX 4096

static int feed(const uint8_t *data, size_t size, size_t piece, struct http_parse *p,
		struct http_answer *a, struct mh_err *err)
{
	*p = (struct http_parse)HTTP_PARSE_INIT;
	*a = (struct http_answer){ .server_date_ms = -1, .age_s = -1 };
	buf_init(&a->body, BODY_MAX);
	for (size_t at = 0; at < size && p->state != PARSE_DONE; at += piece) {
		size_t n = size - at < piece ? size - at : piece;

		if (http_parse_take(p, (const char *)data + at, n, a, err) != 0)
			return -1;
	}
	return p->state == PARSE_DONE ? 0 : http_parse_end(p, err);
}

static size_t count(const struct http_answer *a)
{
	return a->headers ? a->headers->count : 0;
}

static void compare(const struct http_answer *a, const struct http_answer *b)
{
	MH_ASSERT(a->body.len == b->body.len);
	MH_ASSERT(a->body.len == 0 ||
		  memcmp(a->body.data, b->body.data, a->body.len) == 0);
	MH_ASSERT(count(a) == count(b));
	MH_ASSERT(a->server_date_ms == b->server_date_ms && a->age_s == b->age_s);
	for (size_t i = 0; i < count(a); i++) {
		const struct http_header *h = &a->headers->items[i];

		MH_ASSERT(strcmp(h->name, b->headers->items[i].name) == 0);
		MH_ASSERT(strcmp(h->value, b->headers->items[i].value) == 0);
		MH_ASSERT(h->name_len == strlen(h->name) && h->name_len > 0);
		MH_ASSERT(http_answer_header(a, h->name) != NULL);
	}
}

static void drop(struct http_parse *p, struct http_answer *a)
{
	http_parse_done(p);
	buf_done(&a->body);
	http_header_list_free(a->headers);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mh_err first = MH_ERR_INIT, second = MH_ERR_INIT;
	struct http_answer whole, pieces;
	struct http_parse a, b;
	int rc = feed(data, size, size ? size : 1, &a, &whole, &first);

	MH_ASSERT(feed(data, size, 1 + size % 5, &b, &pieces, &second) == rc);
	if (rc == 0) {
		MH_ASSERT(a.status == b.status && a.status >= 200 && a.status <= 999);
		compare(&whole, &pieces);
		/* What comes after the answer is seen where it comes with its end. */
		MH_ASSERT(!a.keep || b.keep);
	} else {
		MH_ASSERT(first.cls == second.cls &&
			  strcmp(first.text, second.text) == 0);
		MH_ASSERT(first.cls == MH_E_PROTO || first.cls == MH_E_NET);
	}
	drop(&a, &whole);
	drop(&b, &pieces);
	return 0;
}
