/* S3's error codes with their status and wording. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "emulator/s3/private.h"
#include "lib/base/log.h"

static const struct s3_error errors[] = {
	{ "AccessDenied", 403, "Access Denied" },
	{ "AuthorizationHeaderMalformed", 400,
	  "The authorization header is malformed; see the message's detail." },
	{ "AuthorizationQueryParametersError", 400,
	  "The query's authorization parameters are malformed." },
	{ "BadDigest", 400,
	  "The Content-MD5 or checksum value you specified did not match what we "
	  "received." },
	{ "BucketAlreadyOwnedByYou", 409,
	  "Your previous request to create the named bucket succeeded and you already "
	  "own it." },
	{ "BucketNotEmpty", 409, "The bucket you tried to delete is not empty." },
	{ "EntityTooLarge", 400,
	  "Your proposed upload exceeds the maximum allowed object size." },
	{ "EntityTooSmall", 400,
	  "Your proposed upload is smaller than the minimum allowed object size." },
	{ "ExpiredToken", 400, "The provided token has expired." },
	{ "IllegalVersioningConfigurationException", 400,
	  "The versioning configuration specified in the request is invalid." },
	{ "IncompleteBody", 400,
	  "You did not provide the number of bytes specified by the Content-Length HTTP "
	  "header." },
	{ "InternalError", 500, "We encountered an internal error. Please try again." },
	{ "InvalidAccessKeyId", 403,
	  "The AWS Access Key Id you provided does not exist in our records." },
	{ "InvalidArgument", 400, "Invalid Argument" },
	{ "InvalidBucketName", 400, "The specified bucket is not valid." },
	{ "InvalidDigest", 400, "The Content-MD5 you specified is not valid." },
	{ "InvalidPart", 400,
	  "One or more of the specified parts could not be found. The part may not have "
	  "been "
	  "uploaded, or the specified entity tag may not match the part's entity tag." },
	{ "InvalidPartNumber", 416, "The requested partnumber is not satisfiable" },
	{ "InvalidPartOrder", 400,
	  "The list of parts was not in ascending order. Parts must be ordered by part "
	  "number." },
	{ "InvalidRange", 416, "The requested range is not satisfiable" },
	{ "InvalidRequest", 400, "Invalid Request" },
	{ "InvalidTag", 400, "The tag provided was not a valid tag." },
	{ "InvalidToken", 400, "The provided token is malformed or otherwise invalid." },
	{ "InvalidURI", 400, "Couldn't parse the specified URI." },
	{ "KeyTooLongError", 400, "Your key is too long" },
	{ "MalformedXML", 400,
	  "The XML you provided was not well-formed or did not validate against our "
	  "published "
	  "schema" },
	{ "MetadataTooLarge", 400,
	  "Your metadata headers exceed the maximum allowed metadata size" },
	{ "MethodNotAllowed", 405,
	  "The specified method is not allowed against this resource." },
	{ "MissingContentLength", 411,
	  "You must provide the Content-Length HTTP header." },
	{ "NoSuchBucket", 404, "The specified bucket does not exist" },
	{ "NoSuchKey", 404, "The specified key does not exist." },
	{ "NoSuchUpload", 404,
	  "The specified upload does not exist. The upload ID may be invalid, or the "
	  "upload may "
	  "have been aborted or completed." },
	{ "NoSuchVersion", 404, "The specified version does not exist." },
	{ "NotImplemented", 501,
	  "A header or query parameter you provided implies functionality that this "
	  "server does "
	  "not have." },
	{ "PreconditionFailed", 412,
	  "At least one of the pre-conditions you specified did not hold" },
	{ "RequestTimeTooSkewed", 403,
	  "The difference between the request time and the current time is too large." },
	{ "ServiceUnavailable", 503, "Reduce your request rate." },
	{ "SignatureDoesNotMatch", 403,
	  "The request signature we calculated does not match the signature you "
	  "provided. Check "
	  "your key and signing method." },
	{ "XAmzContentChecksumMismatch", 400,
	  "The provided 'x-amz-content-checksum' does not match what was computed." },
	{ "XAmzContentSHA256Mismatch", 400,
	  "The provided 'x-amz-content-sha256' header does not match what was "
	  "computed." },
};

const struct s3_error *s3_error_find(const char *code)
{
	for (size_t i = 0; i < ARRAY_LEN(errors); i++)
		if (strcmp(errors[i].code, code) == 0)
			return &errors[i];
	return NULL;
}

int s3_fail(struct s3_request *r, const char *code)
{
	if (r->error == NULL) {
		r->error = s3_error_find(code);
		MH_ASSERT(r->error != NULL);
	}
	return -1;
}

int s3_fail_text(struct s3_request *r, const char *code, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	if (r->error != NULL)
		return -1;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt,
			ap); /* our own text, cut when too long */
	va_end(ap);
	r->error_message = mh_strdup(text);
	return s3_fail(r, code);
}

int s3_fail_internal(struct s3_request *r, const struct mh_err *err)
{
	log_event(LOG_LEVEL_ERROR, "s3.failed", "a request could not be served",
		  LOG_S("request", r->id), LOG_ERR(err), LOG_END);
	if (err->cls == MH_E_FULL)
		return s3_fail_text(r, "InternalError", "The server has no space left.");
	return s3_fail(r, "InternalError");
}

void s3_error_detail(struct s3_request *r, const char *name, const char *fmt, ...)
{
	char text[4096];
	va_list ap;

	if (r->error != NULL || r->detail_count == S3_DETAILS_MAX)
		return; /* another error came first */
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap); /* cut when too long */
	va_end(ap);
	r->details[r->detail_count++] = (struct xml_detail){ .name = name,
							     .text = mh_strdup(text) };
}

void s3_error_header(struct s3_request *r, const char *name, const char *value)
{
	if (value == NULL || r->error_header_count == S3_DETAILS_MAX)
		return;
	r->error_headers[r->error_header_count++] =
		(struct xml_detail){ .name = name, .text = mh_strdup(value) };
}

/* What the writer's functions say: one of the codes above, or a failure inside. */
int s3_fail_api(struct s3_request *r, const struct api_error *err)
{
	struct mh_err cause = MH_ERR_INIT;

	if (s3_error_find(err->code) != NULL)
		return s3_fail(r, err->code);
	(void)mh_err_set(&cause, err->cause == MH_OK ? MH_E_SYS : err->cause, "%s",
			 err->message); /* told below */
	return s3_fail_internal(r, &cause);
}

int s3_call(struct s3_request *r, writer_fn fn, void *arg)
{
	struct api_error err = { 0 };

	if (writer_call(r->s3->writer, fn, arg, NULL, &err) == 0)
		return 0;
	return s3_fail_api(r, &err);
}
