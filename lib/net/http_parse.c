#include "lib/net/http_parse.h"

#include <string.h>
#include <strings.h>

#include "lib/base/clock.h"
#include "lib/base/str.h"

#define STATUS_LINE_MIN  12 /* "HTTP/1.1 200" */
#define CHUNK_DIGITS_MAX 15
#define BODY_AT_ONCE     65536 /* so much of an announced body is made room for */

void http_header_list_free(struct http_header_list *list)
{
	if (!list)
		return;
	for (size_t i = 0; !list->whole && i < list->count; i++)
		free(list->items[i].name);
	if (!list->whole)
		free(list->items);
	free(list);
}

const char *http_answer_header(const struct http_answer *a, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; a->headers && i < a->headers->count; i++) {
		const struct http_header *h = &a->headers->items[i];

		if (h->name_len == len && strcasecmp(h->name, name) == 0)
			return h->value;
	}
	return NULL;
}

void http_answer_facts(struct http_answer *answer)
{
	const char *date = http_answer_header(answer, "Date");
	const char *age = http_answer_header(answer, "Age");
	struct mh_err ignored;

	/* What does not parse counts as not sent; the fields keep their -1. */
	if (date)
		(void)!clock_parse_http(date, &answer->server_date_ms, &ignored);
	if (age)
		(void)!str_to_i64(age, 0, INT64_MAX, "age", &answer->age_s, &ignored);
}

/* --- the head --- */

static int no_http(struct mh_err *err)
{
	return mh_err_set(err, MH_E_PROTO, "what came is no HTTP");
}

static int too_many_headers(struct mh_err *err)
{
	return mh_err_set(err, MH_E_PROTO, "the answer has too many headers");
}

/* Where the head's blank line ends, looking from that byte on; 0: it is not there. */
static size_t end_of_head(const char *text, size_t len, size_t from)
{
	const char *end = text + len;
	const char *at = text + from;

	while ((at = memchr(at, '\n', (size_t)(end - at)))) {
		at++;
		if (at < end && *at == '\n')
			return (size_t)(at + 1 - text);
		if (at + 1 < end && at[0] == '\r' && at[1] == '\n')
			return (size_t)(at + 2 - text);
	}
	return 0;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* "HTTP/1.1 200 ...": the status, or -1. */
static long read_status(const char *text, size_t len)
{
	const char *d = text + 9;

	if (len <= STATUS_LINE_MIN || memcmp(text, "HTTP/1.", 7) != 0 ||
	    !is_digit(text[7]) || text[8] != ' ' || d[0] < '1' || d[0] > '9' ||
	    !is_digit(d[1]) || !is_digit(d[2]) || !strchr(" \r\n", d[3]) || !d[3])
		return -1;
	return (d[0] - '0') * 100L + (d[1] - '0') * 10L + (d[2] - '0');
}

static size_t count_lines(const char *text, size_t len)
{
	const char *end = text + len;
	size_t count = 0;

	while ((text = memchr(text, '\n', (size_t)(end - text)))) {
		text++;
		count++;
	}
	return count;
}

static void add_line(struct http_header_list *list, char *line, size_t len)
{
	char *colon = memchr(line, ':', len);
	struct http_header *h;

	while (len > 0 &&
	       (line[len - 1] == '\r' || line[len - 1] == ' ' || line[len - 1] == '\t'))
		len--;
	/* No header: as good as not sent. */
	if (!colon || colon == line || colon >= line + len || *line == ' ' ||
	    *line == '\t' || memchr(line, '\0', len))
		return;
	line[len] = '\0'; /* there is a line's end at least */
	*colon = '\0';
	h = &list->items[list->count++];
	h->name = line;
	h->name_len = (size_t)(colon - line);
	h->value = colon + 1 + strspn(colon + 1, " \t");
}

/* The head without its blank line and status line. */
static int read_headers(const char *text, size_t len, struct http_answer *answer,
			struct mh_err *err)
{
	size_t lines = count_lines(text, len);
	struct http_header_list *list;
	char *at, *end;

	if (lines > HTTP_MAX_HEADERS + 1) /* with the blank one */
		return too_many_headers(err);
	list = mh_alloc(sizeof *list + lines * sizeof *list->items + len + 1);
	list->whole = true;
	list->items = (struct http_header *)(list + 1);
	at = (char *)(list->items + lines);
	memcpy(at, text, len);
	end = at + len;
	while (at < end) {
		char *newline = memchr(at, '\n', (size_t)(end - at));

		if (!newline)
			break;
		add_line(list, at, (size_t)(newline - at));
		at = newline + 1;
	}
	http_header_list_free(answer->headers);
	answer->headers = list;
	return 0;
}

/* --- how the body is framed --- */

static int read_length(const char *value, struct http_parse *p, struct mh_err *err)
{
	struct mh_err ignored;
	int64_t length;

	if (str_to_i64(value, 0, INT64_MAX, "length", &length, &ignored) != 0 ||
	    (p->state == PARSE_COUNTED && length != p->left))
		return mh_err_set(err, MH_E_PROTO,
				  "the answer's Content-Length makes no sense");
	p->state = PARSE_COUNTED;
	p->left = length;
	return 0;
}

static bool says_close(const char *value)
{
	while (*value) {
		size_t len = strcspn(value, ", \t");

		if (len == 5 && strncasecmp(value, "close", 5) == 0)
			return true;
		value += len;
		value += strspn(value, ", \t");
	}
	return false;
}

static int read_framing(struct http_parse *p, const struct http_answer *answer,
			struct mh_err *err)
{
	bool chunked = false;

	p->state = PARSE_TO_END;
	for (size_t i = 0; i < answer->headers->count; i++) {
		const struct http_header *h = &answer->headers->items[i];

		if (h->name_len == 14 && strcasecmp(h->name, "Content-Length") == 0) {
			if (read_length(h->value, p, err) != 0)
				return -1;
		} else if (h->name_len == 17 &&
			   strcasecmp(h->name, "Transfer-Encoding") == 0) {
			if (chunked || strcasecmp(h->value, "chunked") != 0)
				return mh_err_set(err, MH_E_PROTO,
						  "a transfer encoding that was not "
						  "asked for");
			chunked = true;
		} else if (h->name_len == 10 && strcasecmp(h->name, "Connection") == 0 &&
			   says_close(h->value)) {
			p->keep = false;
		}
	}
	if (chunked) {
		/* Both: one of them is a lie, and so may be what follows. */
		p->keep = p->keep && p->state == PARSE_TO_END;
		p->state = PARSE_CHUNK_SIZE;
		p->digits = 0;
		p->left = 0;
	}
	return 0;
}

static int refuse_size(struct http_answer *answer, struct mh_err *err)
{
	answer->too_large = true;
	return mh_err_set(err, MH_E_PROTO, "the answer is larger than allowed");
}

static int begin_body(struct http_parse *p, struct http_answer *answer,
		      struct mh_err *err)
{
	if (p->status == 204 || p->status == 304) {
		p->state = PARSE_DONE;
		return 0;
	}
	p->keep = p->keep && p->state != PARSE_TO_END;
	if (p->state != PARSE_COUNTED)
		return 0;
	if ((uint64_t)p->left > answer->body.max)
		return refuse_size(answer, err);
	buf_reserve(&answer->body,
		    p->left < BODY_AT_ONCE ? (size_t)p->left : BODY_AT_ONCE);
	if (p->left == 0)
		p->state = PARSE_DONE;
	return 0;
}

static int take_head(struct http_parse *p, const char *text, size_t len,
		     struct http_answer *answer, struct mh_err *err)
{
	const char *line = (const char *)memchr(text, '\n', len) + 1; /* it is there */

	p->status = read_status(text, len);
	if (p->status < 0)
		return no_http(err);
	p->keep = text[7] != '0';
	p->head_bytes += len;
	if (p->head_bytes > HTTP_MAX_HEADER_BYTES)
		return too_many_headers(err);
	answer->received_ms = clock_wall_ms();
	if (p->status == 101)
		return mh_err_set(err, MH_E_PROTO, "another protocol was not asked for");
	if (p->status < 200)
		return 0; /* 100 Continue and its like: the answer is still to come */
	if (read_headers(line, len - (size_t)(line - text), answer, err) != 0)
		return -1;
	http_answer_facts(answer);
	if (read_framing(p, answer, err) != 0)
		return -1;
	return begin_body(p, answer, err);
}

/* Whether it may become a status line. */
static bool may_be_http(const char *text, size_t len)
{
	return memcmp(text, "HTTP/1.", len < 7 ? len : 7) == 0;
}

/* How many bytes of data were the head's; 0 with an error. */
static int read_head(struct http_parse *p, const char *data, size_t len,
		     struct http_answer *answer, size_t *ret_used, struct mh_err *err)
{
	size_t before = p->head.len;
	size_t end;
	int rc;

	if (before == 0) {
		end = may_be_http(data, len) ? end_of_head(data, len, 0) : 0;
		if (end) {
			*ret_used = end;
			return take_head(p, data, end, answer, err);
		}
	}
	if (buf_add(&p->head, data, len, err) != 0)
		return too_many_headers(err);
	if (!may_be_http(p->head.data, p->head.len))
		return no_http(err);
	end = end_of_head(p->head.data, p->head.len, before > 2 ? before - 2 : 0);
	*ret_used = end ? end - before : len;
	if (!end)
		return 0;
	rc = take_head(p, p->head.data, end, answer, err);
	buf_clear(&p->head);
	return rc;
}

/* --- the body --- */

static int add_body(struct http_answer *answer, const char *data, size_t len,
		    struct mh_err *err)
{
	if (buf_add(&answer->body, data, len, err) != 0)
		return refuse_size(answer, err);
	return 0;
}

static int add_counted(struct http_parse *p, const char *data, size_t len,
		       struct http_answer *answer, size_t *ret_used, struct mh_err *err)
{
	size_t n = (uint64_t)p->left < len ? (size_t)p->left : len;

	if (add_body(answer, data, n, err) != 0)
		return -1;
	p->left -= (int64_t)n;
	*ret_used = n;
	return 0;
}

static int bad_chunk(struct mh_err *err)
{
	return mh_err_set(err, MH_E_PROTO, "the answer's chunks make no sense");
}

static int take_size_digit(struct http_parse *p, char c, struct mh_err *err)
{
	int digit = str_hex_digit(c);

	if (digit >= 0) {
		if (++p->digits > CHUNK_DIGITS_MAX)
			return bad_chunk(err);
		p->left = 16 * p->left + digit;
		return 0;
	}
	if (p->digits == 0 || !strchr(";\r\n \t", c) || !c)
		return bad_chunk(err);
	p->state = PARSE_CHUNK_EXTENSION;
	return 0;
}

static void end_size_line(struct http_parse *p)
{
	p->state = p->left > 0 ? PARSE_CHUNK : PARSE_TRAILER;
	p->line_bytes = 0;
	p->head_bytes++; /* so that nobody sends them for ever */
}

static int take_trailer(struct http_parse *p, char c, struct mh_err *err)
{
	if (++p->head_bytes > HTTP_MAX_HEADER_BYTES)
		return too_many_headers(err);
	if (c == '\n') {
		if (p->line_bytes == 0)
			p->state = PARSE_DONE;
		p->line_bytes = 0;
	} else if (c != '\r') {
		p->line_bytes++;
	}
	return 0;
}

/* One byte of what is around the chunks. */
static int take_framing(struct http_parse *p, char c, struct mh_err *err)
{
	switch (p->state) {
	case PARSE_CHUNK_SIZE:
		if (take_size_digit(p, c, err) != 0)
			return -1;
		if (p->state == PARSE_CHUNK_EXTENSION && c == '\n')
			end_size_line(p);
		return 0;
	case PARSE_CHUNK_EXTENSION:
		if (++p->head_bytes > HTTP_MAX_HEADER_BYTES)
			return too_many_headers(err);
		if (c == '\n')
			end_size_line(p);
		return 0;
	case PARSE_CHUNK_END:
		if (c == '\n') {
			p->state = PARSE_CHUNK_SIZE;
			p->digits = 0;
			p->left = 0;
		} else if (c != '\r') {
			return bad_chunk(err);
		}
		return 0;
	default:
		return take_trailer(p, c, err);
	}
}

static int take_some(struct http_parse *p, const char *data, size_t len,
		     struct http_answer *answer, size_t *ret_used, struct mh_err *err)
{
	switch (p->state) {
	case PARSE_HEAD:
		return read_head(p, data, len, answer, ret_used, err);
	case PARSE_COUNTED:
	case PARSE_CHUNK:
		if (add_counted(p, data, len, answer, ret_used, err) != 0)
			return -1;
		if (p->left == 0)
			p->state = p->state == PARSE_CHUNK ? PARSE_CHUNK_END : PARSE_DONE;
		return 0;
	case PARSE_TO_END:
		*ret_used = len;
		return add_body(answer, data, len, err);
	default:
		*ret_used = 1;
		return take_framing(p, *data, err);
	}
}

int http_parse_take(struct http_parse *p, const char *data, size_t len,
		    struct http_answer *answer, struct mh_err *err)
{
	while (len > 0 && p->state != PARSE_DONE) {
		size_t used = 0;

		if (take_some(p, data, len, answer, &used, err) != 0)
			return -1;
		data += used;
		len -= used;
	}
	if (len > 0)
		p->keep = false; /* nobody asked for what came after it */
	return 0;
}

int http_parse_end(struct http_parse *p, struct mh_err *err)
{
	if (p->state == PARSE_TO_END) {
		p->state = PARSE_DONE;
		return 0;
	}
	if (p->state == PARSE_HEAD && p->head.len == 0 && p->head_bytes == 0)
		return mh_err_set(err, MH_E_NET,
				  "the connection ended without an answer");
	return mh_err_set(err, MH_E_NET, "the answer broke off");
}

void http_parse_done(struct http_parse *p)
{
	buf_done(&p->head);
}
