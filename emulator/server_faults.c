/* What a fault makes of a request and of its answer (faults.h). */
#include "emulator/server_impl.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/clock.h"

void server_fault_delay(const struct request *r, struct MHD_Connection *connection,
			const struct fault *f)
{
	if (f->id == 0 || f->delay_ms == 0)
		return;
	server_allow_idle(r, connection, true);
	bell_rest(r->server->o.bell, f->delay_ms);
	server_allow_idle(r, connection, false);
}

bool server_fault_error(const struct fault *f, struct api_error *ret)
{
	if (f->id == 0 || !f->code[0])
		return false;
	(void)api_fail(ret, f->code, "%s", f->message); /* it fills *ret */
	ret->status = f->status;
	return true;
}

/* A body that ends before the length that was announced. */
struct cut_body {
	char *text;
	size_t len;
};

static ssize_t read_cut(void *cls, uint64_t at, char *buf, size_t max)
{
	const struct cut_body *c = cls;
	size_t n = c->len - (size_t)at;

	if (n == 0)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	if (n > max)
		n = max;
	memcpy(buf, c->text + at, n);
	return (ssize_t)n;
}

static void free_cut(void *cls)
{
	struct cut_body *c = cls;

	free(c->text);
	free(c);
}

static struct MHD_Response *cut_response(char *take_body, int64_t bytes)
{
	struct cut_body *c = mh_alloc(sizeof(*c));
	struct MHD_Response *response;
	size_t len = strlen(take_body);

	c->text = take_body;
	c->len = (uint64_t)bytes < len ? (size_t)bytes : len;
	/* At least a byte is missing, of an empty body too. */
	response = MHD_create_response_from_callback(c->len < len ? len : len + 1, 4096,
						     read_cut, c, free_cut);
	if (!response)
		free_cut(c);
	return response;
}

static void add_headers(struct MHD_Response *response, const struct fault *f)
{
	char text[CLOCK_HTTP_SIZE];

	if (f->date_skew_ms) {
		clock_format_http(clock_wall_ms() + f->date_skew_ms, text);
		(void)MHD_add_response_header(response, "Date",
					      text); /* as in server.c */
	}
	if (f->retry_after_ms) {
		(void)snprintf(text, sizeof(text), "%lld", (long long)f->retry_after_ms);
		(void)MHD_add_response_header(response, "x-amz-retry-after", text);
	}
}

enum MHD_Result server_send_faulty(const struct request *r,
				   struct MHD_Connection *connection,
				   const struct fault *f, int status,
				   const char *error_type, char *take_body)
{
	struct MHD_Response *response;
	enum MHD_Result rc;

	if (f->drop) {
		free(take_body);
		return MHD_NO;
	}
	if (f->html) {
		free(take_body);
		take_body = mh_strdup("<html><body><h1>503 Service Unavailable</h1>"
				      "</body></html>\n");
	}
	response = f->truncate != FAULT_NO_TRUNCATE
			   ? cut_response(take_body, f->truncate)
			   : MHD_create_response_from_buffer(strlen(take_body), take_body,
							     MHD_RESPMEM_MUST_FREE);
	if (!response)
		return MHD_NO; /* no memory */
	(void)MHD_add_response_header(response, "Content-Type",
				      f->html ? "text/html" : FRONT_CONTENT_TYPE);
	(void)MHD_add_response_header(response, "x-amzn-RequestId", r->id);
	if (error_type && !f->html)
		(void)MHD_add_response_header(response, "x-amzn-ErrorType", error_type);
	add_headers(response, f);
	rc = MHD_queue_response(connection, (unsigned)status, response);
	MHD_destroy_response(response);
	return rc;
}

/* ---- the artifact store ---- */

static enum MHD_Result send_s3_error(const struct request *r,
				     struct MHD_Connection *connection,
				     const struct fault *f)
{
	char *body = mh_format("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>"
			       "<Code>%s</Code><Message>A fault that was asked for."
			       "</Message><RequestId>%s</RequestId></Error>",
			       f->code, r->id);

	return server_send_text(r, connection, f->status, "application/xml", body, NULL);
}

enum MHD_Result server_finish_s3(struct request *r, struct MHD_Connection *connection,
				 const char *method)
{
	CLEAN(free) char *operation = mh_format(FAULT_S3_PREFIX "%s", method);
	struct fault f;
	enum MHD_Result rc;

	faults_pick(r->server->o.faults, operation, &f);
	server_fault_delay(r, connection, &f);
	if (f.id != 0 && f.code[0] && f.drop)
		return MHD_NO;
	if (f.id != 0 && f.code[0])
		return send_s3_error(r, connection, &f);
	rc = s3_request_finish(r->s3, connection);
	return f.id != 0 && f.drop ? MHD_NO : rc;
}
