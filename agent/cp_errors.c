/* What an answer of the CodePipeline API means, by the code it carries: every
 * modelled error is a 400 (semantics A7), so the status alone says little. */
#include <stdio.h>
#include <string.h>

#include "agent/cp_api.h"
#include "lib/base/json.h"
#include "lib/base/macros.h"
#include "lib/base/str.h"

static const char *const result_names[] = {
#define X(name, text) [CP_##name] = #text,
	CP_RESULTS(X)
#undef X
};

const char *cp_result_name(enum cp_result r)
{
	MH_ASSERT(r < ARRAY_LEN(result_names));
	return result_names[r];
}

struct code_row {
	const char *code; /* without "Exception" at its end */
	enum cp_result result;
	enum mh_err_class cls;
};

/* LimitExceeded is an account's quota here and no throttle, whatever the SDKs'
 * common list says (semantics A11). */
static const struct code_row codes[] = {
	{ "InvalidNonce", CP_NONCE, MH_E_REFUSED },
	{ "InvalidJobState", CP_STATE, MH_E_REFUSED },
	{ "JobNotFound", CP_NOT_FOUND, MH_E_NOTFOUND },
	{ "InvalidJob", CP_NOT_FOUND, MH_E_REFUSED }, /* over, or no third party's */
	{ "ActionTypeNotFound", CP_NO_TYPE, MH_E_NOTFOUND },
	{ "InvalidClientToken", CP_CLIENT, MH_E_AUTH },

	{ "Throttling", CP_THROTTLED, MH_E_THROTTLED },
	{ "Throttled", CP_THROTTLED, MH_E_THROTTLED },
	{ "RequestThrottled", CP_THROTTLED, MH_E_THROTTLED },
	{ "TooManyRequests", CP_THROTTLED, MH_E_THROTTLED },
	{ "ProvisionedThroughputExceeded", CP_THROTTLED, MH_E_THROTTLED },
	{ "TransactionInProgress", CP_THROTTLED, MH_E_THROTTLED },
	{ "RequestLimitExceeded", CP_THROTTLED, MH_E_THROTTLED },
	{ "BandwidthLimitExceeded", CP_THROTTLED, MH_E_THROTTLED },
	{ "SlowDown", CP_THROTTLED, MH_E_THROTTLED },
	{ "PriorRequestNotComplete", CP_THROTTLED, MH_E_THROTTLED },
	{ "EC2Throttled", CP_THROTTLED, MH_E_THROTTLED },

	{ "ExpiredToken", CP_AUTH, MH_E_AUTH },
	{ "UnrecognizedClient", CP_AUTH, MH_E_AUTH },
	{ "InvalidClientTokenId", CP_AUTH, MH_E_AUTH },
	{ "IncompleteSignature", CP_AUTH, MH_E_AUTH },
	{ "MissingAuthenticationToken", CP_AUTH, MH_E_AUTH },
	{ "InvalidSignature", CP_AUTH, MH_E_AUTH },
	{ "SignatureDoesNotMatch", CP_AUTH, MH_E_AUTH },
	{ "AuthFailure", CP_AUTH, MH_E_AUTH },
	{ "RequestTimeTooSkewed", CP_AUTH, MH_E_AUTH },
	{ "RequestExpired", CP_AUTH, MH_E_AUTH },
	{ "RequestInTheFuture", CP_AUTH, MH_E_AUTH },
	{ "AccessDenied", CP_AUTH, MH_E_DENIED },
	{ "NotAuthorized", CP_AUTH, MH_E_DENIED },
	{ "OptInRequired", CP_AUTH, MH_E_DENIED },

	{ "ServiceUnavailable", CP_UNKNOWN, MH_E_SERVER },
	{ "InternalFailure", CP_UNKNOWN, MH_E_SERVER },
	{ "InternalServerError", CP_UNKNOWN, MH_E_SERVER },
	{ "RequestTimeout", CP_UNKNOWN, MH_E_TIMEOUT },

	{ "Validation", CP_REFUSED, MH_E_REFUSED },
	{ "ValidationError", CP_REFUSED, MH_E_REFUSED },
	{ "Serialization", CP_REFUSED, MH_E_REFUSED },
	{ "MalformedHttpRequest", CP_REFUSED, MH_E_REFUSED },
	{ "UnknownOperation", CP_REFUSED, MH_E_REFUSED },
	{ "RequestEntityTooLarge", CP_REFUSED, MH_E_REFUSED },
	{ "RequestAborted", CP_REFUSED, MH_E_REFUSED },
	{ "LimitExceeded", CP_REFUSED, MH_E_REFUSED },
	{ "OutputVariablesSizeExceeded", CP_REFUSED, MH_E_REFUSED },
	{ "PipelineNotFound", CP_REFUSED, MH_E_NOTFOUND },
	{ "PipelineExecutionNotFound", CP_REFUSED, MH_E_NOTFOUND },
};

static const struct code_row *find_code(const char *code)
{
	size_t len = strlen(code);

	if (str_ends_with(code, "Exception"))
		len -= strlen("Exception");
	for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
		if (strlen(codes[i].code) == len &&
		    strncmp(codes[i].code, code, len) == 0)
			return &codes[i];
	}
	return NULL;
}

const char *cp_code_label(const struct cp_answer *a, long status)
{
	const struct code_row *row = find_code(a->code);

	if (a->result == CP_OK)
		return "ok";
	if (status == 0)
		return "no_answer";
	if (row)
		return row->code;
	if (status >= 500)
		return "http_5xx";
	if (status >= 400)
		return "http_4xx";
	return status >= 300 ? "http_3xx" : "bad_answer";
}

/* "namespace#Code:uri" to "Code"; only what a code is made of is kept (semantics A6). */
static void trim_code(const char *raw, char *ret, size_t size)
{
	size_t len = strcspn(raw, ":");
	size_t begin = 0, n = 0;

	for (size_t i = 0; i < len; i++) {
		if (raw[i] == '#')
			begin = i + 1;
	}
	for (size_t i = begin; i < len && n + 1 < size; i++) {
		if ((raw[i] >= '0' && raw[i] <= '9') ||
		    (raw[i] >= 'A' && raw[i] <= 'Z') ||
		    (raw[i] >= 'a' && raw[i] <= 'z') || raw[i] == '.' || raw[i] == '_')
			ret[n++] = raw[i];
	}
	ret[n] = '\0';
}

/* "Value 'x' at 'nonce' failed ...": the value may be a nonce or a token, and the
 * text goes to the log. */
static void hide_values(char *text)
{
	static const char begin[] = "Value '", end[] = "' at '";
	char *from = text;

	while ((from = strstr(from, begin)) != NULL) {
		char *value = from + strlen(begin);
		char *stop = strstr(value, end);
		size_t len = stop ? (size_t)(stop - value) : strlen(value);

		memset(value, '*', len < 4 ? len : 4);
		if (len > 4)
			memmove(value + 4, value + len, strlen(value + len) + 1);
		from = value;
	}
}

static void read_error(const struct cp_raw *raw, struct cp_answer *ret)
{
	CLEAN(json) struct json_object *doc = NULL;
	struct mh_err ignored = MH_ERR_INIT;
	CLEAN(free) char *shown = NULL;
	const char *message = "";

	/* No JSON (a proxy's page): the status is all there is. */
	if (raw->len > 0 && json_parse_object(raw->body, raw->len, &doc, &ignored) == 0) {
		message = json_opt_str(doc, "message", json_opt_str(doc, "Message", ""));
		trim_code(json_opt_str(doc, "__type", json_opt_str(doc, "code", "")),
			  ret->code, sizeof(ret->code));
	}
	if (!*ret->code && raw->error_type)
		trim_code(raw->error_type, ret->code, sizeof(ret->code));
	if (!*ret->code)
		(void)snprintf(ret->code, sizeof(ret->code), "%ld", raw->status);
	shown = mh_strdup(message);
	hide_values(shown);
	(void)mh_err_set(&ret->err, MH_E_PROTO, "HTTP %ld %s%s%s", raw->status, ret->code,
			 *message ? ": " : "", shown);
}

static void judge_error(const struct cp_raw *raw, struct cp_answer *ret)
{
	const struct code_row *row = find_code(ret->code);

	if (row) {
		ret->result = row->result;
		ret->err.cls = row->cls;
	} else if (raw->status == 429) {
		ret->result = CP_THROTTLED;
		ret->err.cls = MH_E_THROTTLED;
	} else if (raw->status >= 500) {
		ret->result = CP_UNKNOWN;
		ret->err.cls = MH_E_SERVER;
	} else {
		/* A redirect, or a 4xx nobody knows: not the service's own refusal, so
		 * nothing may be concluded for good. */
		ret->result = CP_AGAIN;
	}
}

void cp_classify(const struct cp_raw *raw, struct cp_answer *ret)
{
	if (raw->status == 0) {
		ret->result = raw->sent ? CP_UNKNOWN : CP_AGAIN;
		ret->err = *raw->transport;
		return;
	}
	if (raw->status < 200 || raw->status > 299) {
		read_error(raw, ret);
		judge_error(raw, ret);
		return;
	}
	/* An empty body stands for {} (semantics A3). */
	if (raw->len > 0 &&
	    json_parse_object(raw->body, raw->len, &ret->body, &ret->err) != 0) {
		(void)mh_err_wrap(&ret->err, "HTTP %ld, but no JSON object", raw->status);
		ret->result = CP_UNKNOWN;
		return;
	}
	ret->result = CP_OK;
}
