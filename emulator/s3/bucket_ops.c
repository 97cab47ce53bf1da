/* Operations on buckets and on the service, but for listings of objects. */
#include <string.h>

#include "emulator/s3/private.h"
#include "emulator/store/multipart.h"

void s3_put_owner(struct s3_request *r, struct buf *b, const char *name)
{
	buf_printf(b, "<%s>", name);
	xml_element(b, "ID", r->s3->settings->account);
	xml_element(b, "DisplayName", r->s3->settings->account);
	buf_printf(b, "</%s>", name);
}

static void put_bucket(void *ctx, const char *name, int64_t created_ms)
{
	struct buf *b = ctx;

	buf_puts(b, "<Bucket>");
	xml_element(b, "Name", name);
	xml_element_time(b, "CreationDate", created_ms);
	buf_puts(b, "</Bucket>");
}

static int tx_list_buckets(struct op_ctx *ctx, void *arg, struct api_error *err)
{
	struct mh_err cause = MH_ERR_INIT;

	if (bucket_each(ctx->store, put_bucket, arg, &cause) != 0)
		return api_fail_internal(err, &cause);
	return 0;
}

int op_list_buckets(struct s3_request *r)
{
	CLEAN(buf) struct buf b = BUF_INIT(S3_XML_MAX);

	buf_puts(&b, XML_HEAD "<ListAllMyBucketsResult" XML_NS ">");
	s3_put_owner(r, &b, "Owner");
	buf_puts(&b, "<Buckets>");
	if (s3_call(r, tx_list_buckets, &b) != 0)
		return -1;
	buf_puts(&b, "</Buckets></ListAllMyBucketsResult>");
	s3_answer_xml(r, 200, &b);
	return 0;
}

static int tx_create_bucket(struct op_ctx *ctx, void *arg, struct api_error *err)
{
	struct mh_err cause = MH_ERR_INIT;
	bool created;

	if (bucket_create(ctx->store, arg, ctx->now_ms, &created, &cause) != 0)
		return api_fail_internal(err, &cause);
	return created ? 0 : api_fail(err, "BucketAlreadyOwnedByYou", "it exists");
}

int op_create_bucket(struct s3_request *r)
{
	CLEAN(free) char *location = NULL;

	if (!bucket_name_is_valid(r->target.bucket)) {
		s3_error_detail(r, "BucketName", "%s", r->target.bucket);
		return s3_fail(r, "InvalidBucketName");
	}
	if (s3_call(r, tx_create_bucket, r->target.bucket) != 0)
		return -1;
	location = mh_format("/%s", r->target.bucket);
	s3_answer_empty(r, 200);
	s3_answer_header(r, MHD_HTTP_HEADER_LOCATION, location);
	return 0;
}

int op_head_bucket(struct s3_request *r)
{
	if (s3_call(r, tx_bucket_must_exist, r->target.bucket) != 0)
		return -1;
	s3_answer_empty(r, 200);
	s3_answer_header(r, "x-amz-bucket-region", r->s3->settings->region);
	return 0;
}

static int tx_delete_bucket(struct op_ctx *ctx, void *arg, struct api_error *err)
{
	struct mh_err cause = MH_ERR_INIT;
	bool empty, uploads;

	if (tx_bucket_must_exist(ctx, arg, err) != 0)
		return -1;
	if (bucket_is_empty(ctx->store, arg, &empty, &cause) != 0 ||
	    multipart_bucket_has(ctx->store, arg, &uploads, &cause) != 0)
		return api_fail_internal(err, &cause);
	if (!empty || uploads)
		return api_fail(err, "BucketNotEmpty", "it holds objects");
	if (bucket_delete(ctx->store, arg, &cause) != 0)
		return api_fail_internal(err, &cause);
	return 0;
}

int op_delete_bucket(struct s3_request *r)
{
	if (s3_call(r, tx_delete_bucket, r->target.bucket) != 0)
		return -1;
	s3_answer_empty(r, 204);
	return 0;
}

/* us-east-1 is told by an empty element, as S3 does. */
int op_bucket_location(struct s3_request *r)
{
	const char *region = r->s3->settings->region;
	CLEAN(buf) struct buf b = BUF_INIT(S3_XML_MAX);

	if (s3_call(r, tx_bucket_must_exist, r->target.bucket) != 0)
		return -1;
	buf_puts(&b, XML_HEAD "<LocationConstraint" XML_NS ">");
	if (strcmp(region, "us-east-1") != 0)
		xml_text(&b, region);
	buf_puts(&b, "</LocationConstraint>");
	s3_answer_xml(r, 200, &b);
	return 0;
}
