/* Uploads in parts: their requests, and the answers that are XML. */
#include <stdio.h>
#include <string.h>

#include "agent/s3_impl.h"
#include "lib/base/log.h"
#include "lib/base/macros.h"
#include "lib/base/sha256.h"
#include "lib/base/str.h"
#include "lib/net/sigv4.h"
#include "lib/net/uri.h"

/* The store puts the parts together before it answers a completion. */
#define COMPLETE_STALLS 5
/* A page of somebody else's is not read to its end. */
#define ANSWER_MAX_BYTES (256 * 1024)

/* --- reading --------------------------------------------------------------------------
 */

/* Whether the document's outermost element is `name`. */
static bool is_document(const char *xml, const char *name)
{
	size_t len = strlen(name);

	/* The store sends blanks while it works, before the prologue even. */
	xml += strspn(xml, " \t\r\n");
	if (str_starts_with(xml, "<?xml")) {
		const char *end = strstr(xml, "?>");

		if (!end)
			return false;
		xml = end + 2;
		xml += strspn(xml, " \t\r\n");
	}
	return xml[0] == '<' && strncmp(xml + 1, name, len) == 0 &&
	       strchr("> \t\r\n", xml[1 + len]) && xml[1 + len] != '\0';
}

/* One of the five entities, or a quotation mark by its number. */
static const char *read_entity(const char *at, char *ret)
{
	static const struct {
		const char *text;
		char c;
	} rows[] = { { "&quot;", '"' }, { "&#34;", '"' },  { "&amp;", '&' },
		     { "&lt;", '<' },   { "&gt;", '>' },   { "&apos;", '\'' },
		     { "&#39;", '\'' }, { "&#x22;", '"' }, { "&#x27;", '\'' } };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (str_starts_with(at, rows[i].text)) {
			*ret = rows[i].c;
			return at + strlen(rows[i].text);
		}
	}
	return NULL;
}

/* The text of the first such element; false when there is none that fits. */
static bool read_element(const char *xml, const char *name, char *ret, size_t size)
{
	CLEAN(free) char *open = mh_format("<%s>", name);
	CLEAN(free) char *close = mh_format("</%s>", name);
	const char *at = strstr(xml, open);
	const char *end = at ? strstr(at, close) : NULL;
	size_t n = 0;

	if (!end)
		return false;
	at += strlen(open);
	while (at < end) {
		char c = *at;

		if (c == '<' || n + 1 >= size)
			return false;
		if (c == '&')
			at = read_entity(at, &c);
		else
			at++;
		if (!at)
			return false;
		ret[n++] = c;
	}
	ret[n] = '\0';
	return n > 0;
}

static void no_such_answer(struct s3_answer *a, const char *what)
{
	a->result = S3_AGAIN;
	(void)mh_err_set(&a->err, MH_E_PROTO, "HTTP 200 without %s", what);
}

void s3_judge_created(const struct http_answer *http, struct s3_answer *a)
{
	const char *xml = buf_text(&http->body);
	bool ok = is_document(xml, "InitiateMultipartUploadResult") &&
		  read_element(xml, "UploadId", a->upload_id, sizeof(a->upload_id));

	for (const char *c = a->upload_id; ok && *c; c++)
		ok = *c > ' ' && *c < 0x7f;
	if (!ok) {
		a->upload_id[0] = '\0';
		no_such_answer(a, "the id of an upload");
	}
}

/* Whole, too: the end is there. */
static bool is_completion(const char *xml, const char *name)
{
	CLEAN(free) char *end = mh_format("</%s>", name);

	return is_document(xml, name) && strstr(xml, end);
}

void s3_judge_completed(const struct s3_call *call, const struct http_answer *http,
			struct s3_answer *a)
{
	const char *xml = buf_text(&http->body);

	if (is_document(xml, "Error")) {
		/* Decided after the status was sent: it stands for a 500. */
		s3_judge_refusal(call, http, 500, a);
		return;
	}
	a->etag[0] = '\0';
	if (!is_completion(xml, "CompleteMultipartUploadResult") &&
	    !is_completion(xml, "CompleteMultipartUploadResponse")) /* moto's name */
		no_such_answer(a, "a CompleteMultipartUploadResult");
	else if (!read_element(xml, "ETag", a->etag, sizeof(a->etag)))
		no_such_answer(a, "an ETag in its CompleteMultipartUploadResult");
	else if (!read_element(xml, "ChecksumSHA256", a->sha256, sizeof(a->sha256)))
		a->sha256[0] = '\0';
}

/* --- requests ----------------------------------------------------------------------- */

struct s3_call *s3_upload_create(struct s3 *s3, const struct s3_at *at,
				 const char *kms_key_id, s3_done_fn done, void *ctx)
{
	CLEAN(uri_query) struct uri_query query = { 0 };
	CLEAN(free)
	char *kms = mh_format("x-amz-server-side-encryption-aws-kms-key-id: %s",
			      kms_key_id ? kms_key_id : "");
	const char *const headers[] = { "Content-Type: application/octet-stream",
					"x-amz-checksum-algorithm: SHA256",
					"x-amz-server-side-encryption: aws:kms",
					kms_key_id ? kms : NULL, NULL };

	uri_query_add(&query, "uploads", "");
	return s3_send(s3, S3_CREATE, at->artifact,
		       &(struct aws_request){ .method = "POST",
					      .query = &query,
					      .creds = at->creds,
					      .headers = headers,
					      .body_fd = -1,
					      .payload_hash = sigv4_empty_hash,
					      .answer_fd = -1,
					      .max_body = ANSWER_MAX_BYTES,
					      .timeout_ms = at->timeout_ms },
		       done, ctx);
}

struct s3_call *s3_upload_part(struct s3 *s3, const struct s3_at *at,
			       const struct s3_part *part, s3_done_fn done, void *ctx)
{
	CLEAN(uri_query) struct uri_query query = { 0 };
	CLEAN(free) char *base64 = str_base64(part->sha256, SHA256_SIZE);
	CLEAN(free) char *checksum = mh_format("x-amz-checksum-sha256: %s", base64);
	const char *const headers[] = { checksum, NULL };
	char number[16], hex[SHA256_HEX_SIZE];

	(void)snprintf(number, sizeof(number), "%d", part->number);
	str_hex(part->sha256, SHA256_SIZE, hex);
	uri_query_add(&query, "partNumber", number);
	uri_query_add(&query, "uploadId", at->upload_id);
	return s3_send(s3, S3_PART, at->artifact,
		       &(struct aws_request){ .method = "PUT",
					      .query = &query,
					      .creds = at->creds,
					      .headers = headers,
					      .body_fd = part->fd,
					      .body_offset = part->offset,
					      .body_len = (size_t)part->size,
					      .payload_hash = hex,
					      .answer_fd = -1,
					      .max_body = ANSWER_MAX_BYTES,
					      .timeout_ms = at->timeout_ms },
		       done, ctx);
}

void s3_complete_begin(struct buf *b)
{
	buf_puts(b, "<CompleteMultipartUpload "
		    "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
}

void s3_complete_add(struct buf *b, int number, const char *etag,
		     const unsigned char *sha256)
{
	CLEAN(free) char *checksum = str_base64(sha256, SHA256_SIZE);

	buf_printf(b, "<Part><ChecksumSHA256>%s</ChecksumSHA256><ETag>", checksum);
	for (; *etag; etag++) {
		if (*etag == '&')
			buf_puts(b, "&amp;");
		else if (*etag == '<')
			buf_puts(b, "&lt;");
		else if (*etag == '>')
			buf_puts(b, "&gt;");
		else
			buf_putc(b, *etag);
	}
	buf_printf(b, "</ETag><PartNumber>%d</PartNumber></Part>", number);
}

void s3_complete_end(struct buf *b)
{
	buf_puts(b, "</CompleteMultipartUpload>");
}

struct s3_call *s3_upload_complete(struct s3 *s3, const struct s3_at *at,
				   const struct buf *list, s3_done_fn done, void *ctx)
{
	CLEAN(uri_query) struct uri_query query = { 0 };
	const char *const headers[] = { "Content-Type: application/xml", NULL };
	struct aws_request r = { .method = "POST",
				 .query = &query,
				 .creds = at->creds,
				 .headers = headers,
				 .body = list->data,
				 .body_len = list->len,
				 .body_fd = -1,
				 .answer_fd = -1,
				 .max_body = ANSWER_MAX_BYTES,
				 .timeout_ms = at->timeout_ms };

	r.stall_ms = COMPLETE_STALLS * s3->settings->stall_timeout_ms;
	uri_query_add(&query, "uploadId", at->upload_id);
	return s3_send(s3, S3_COMPLETE, at->artifact, &r, done, ctx);
}

struct s3_call *s3_head(struct s3 *s3, const struct s3_at *at, s3_done_fn done, void *ctx)
{
	const char *const headers[] = { "x-amz-checksum-mode: ENABLED", NULL };

	return s3_send(s3, S3_HEAD, at->artifact,
		       &(struct aws_request){ .method = "HEAD",
					      .creds = at->creds,
					      .headers = headers,
					      .body_fd = -1,
					      .payload_hash = sigv4_empty_hash,
					      .answer_fd = -1,
					      .timeout_ms = at->timeout_ms },
		       done, ctx);
}

static void aborted(void *ctx, struct http_answer *http)
{
	struct s3_call *call = ctx;
	struct s3_answer a = { .result = S3_OK };

	if (http->status == 0)
		a.err = http->err;
	else if (http->status / 100 != 2)
		s3_judge_refusal(call, http, http->status, &a);
	if (a.err.cls != MH_OK && a.result != S3_CHANGED)
		log_event(LOG_LEVEL_WARN, "upload.not_aborted",
			  "an unfinished upload was left in the store",
			  LOG_S("upload", call->upload_id), LOG_ERR(&a.err), LOG_END);
	TAILQ_REMOVE(&call->s3->aborts, call, link);
	free(call->upload_id);
	free(call);
}

void s3_upload_abort(struct s3 *s3, const struct s3_at *at)
{
	CLEAN(uri_query) struct uri_query query = { 0 };
	struct aws_request r = { .method = "DELETE",
				 .query = &query,
				 .creds = at->creds,
				 .body_fd = -1,
				 .payload_hash = sigv4_empty_hash,
				 .answer_fd = -1,
				 .max_body = ANSWER_MAX_BYTES,
				 .timeout_ms = at->timeout_ms };
	struct s3_call *call;

	uri_query_add(&query, "uploadId", at->upload_id);
	call = s3_send_abort(s3, at->artifact, &r, aborted);
	call->upload_id = mh_strdup(at->upload_id);
	TAILQ_INSERT_TAIL(&s3->aborts, call, link);
}
