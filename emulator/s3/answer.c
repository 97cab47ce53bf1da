/* Answers, by libmicrohttpd. */
#include <string.h>

#include "emulator/s3/private.h"
#include "lib/base/clock.h"
#include "lib/base/fault.h"
#include "lib/base/log.h"

/* The length of a HEAD's answer is told, its bytes are never asked for. */
static ssize_t no_bytes(void *ctx, uint64_t pos, char *buf, size_t max)
{
	(void)ctx;
	(void)pos;
	(void)buf;
	(void)max;
	return MHD_CONTENT_READER_END_WITH_ERROR;
}

static void set_response(struct s3_request *r, int status, struct MHD_Response *response)
{
	MH_ASSERT(response != NULL); /* only without memory */
	if (r->response != NULL)
		MHD_destroy_response(r->response);
	r->response = response;
	r->status = status;
}

void s3_answer_empty(struct s3_request *r, int status)
{
	static char nothing[1];

	set_response(r, status,
		     MHD_create_response_from_buffer(0, nothing, MHD_RESPMEM_PERSISTENT));
}

void s3_answer_xml(struct s3_request *r, int status, struct buf *b)
{
	size_t len = b->len;

	set_response(r, status,
		     MHD_create_response_from_buffer(len, buf_steal(b),
						     MHD_RESPMEM_MUST_FREE));
	s3_answer_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, "application/xml");
}

int s3_answer_file(struct s3_request *r, int status, int take_fd, int64_t start,
		   int64_t size)
{
	struct MHD_Response *response;

	if (take_fd < 0) {
		set_response(r, status,
			     MHD_create_response_from_callback((uint64_t)size, 4096,
							       no_bytes, NULL, NULL));
		return 0;
	}
	if (size == 0) {
		clean_fd(&take_fd);
		s3_answer_empty(r, status);
		return 0;
	}
	response = MHD_create_response_from_fd_at_offset64((uint64_t)size, take_fd,
							   (uint64_t)start);
	set_response(r, status, response);
	return 0;
}

void s3_answer_header(struct s3_request *r, const char *name, const char *value)
{
	/* Refused are control characters, which no stored value has but a tab. */
	if (value != NULL)
		(void)MHD_add_response_header(r->response, name, value);
}

void s3_answer_version(struct s3_request *r, const char *version_id)
{
	if (r->versioned)
		s3_answer_header(r, "x-amz-version-id",
				 version_id ? version_id : OBJECT_VERSION_NULL);
}

void s3_answer_etag(struct s3_request *r, const char *etag)
{
	CLEAN(free) char *quoted = mh_format("\"%s\"", etag);

	s3_answer_header(r, MHD_HTTP_HEADER_ETAG, quoted);
}

static void make_error_answer(struct s3_request *r)
{
	CLEAN(free) char *resource = NULL;
	CLEAN(buf) struct buf b = BUF_INIT(S3_XML_MAX);

	if (r->head || r->error->status == 304) {
		s3_answer_empty(r, r->error->status);
		return;
	}
	resource = mh_format("/%s%s%s", r->target.bucket ? r->target.bucket : "",
			     r->target.key ? "/" : "",
			     r->target.key ? r->target.key : "");
	xml_error_document(&b, &(struct xml_error){
				       .code = r->error->code,
				       .message = r->error_message ? r->error_message
								   : r->error->message,
				       .resource = resource,
				       .request_id = r->id,
				       .details = r->details,
				       .detail_count = r->detail_count,
			       });
	s3_answer_xml(r, r->error->status, &b);
}

/* The query stays out: a presigned one opens the object to whoever reads the log. */
static void log_call(const struct s3_request *r)
{
	log_event(LOG_LEVEL_DEBUG, "s3.call", "answered", LOG_S("request", r->id),
		  LOG_S("method", r->method), LOG_S("path", r->target.path),
		  LOG_S("by", r->by_job ? "job" : "user"), LOG_I("status", r->status),
		  LOG_S("code", r->error ? r->error->code : ""), LOG_END);
}

enum MHD_Result s3_send(struct s3_request *r)
{
	enum MHD_Result result;

	if (r->error != NULL) {
		make_error_answer(r);
		for (size_t i = 0; i < r->error_header_count; i++)
			s3_answer_header(r, r->error_headers[i].name,
					 r->error_headers[i].text);
	}
	MH_ASSERT(r->response != NULL);
	log_call(r);
	s3_answer_header(r, "x-amz-request-id", r->id);
	s3_answer_header(r, "Server", "millhand-emulator");
	FAULT_POINT("s3.answer");
	result = MHD_queue_response(r->connection, (unsigned)r->status, r->response);
	MHD_destroy_response(r->response); /* libmicrohttpd keeps its own reference */
	r->response = NULL;
	return result;
}
