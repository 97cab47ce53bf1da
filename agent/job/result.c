#include "agent/job/result.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "include/millhand/plugin.h"
#include "lib/base/str.h"

static const char *const failure_names[] = {
	[MH_FAIL_JOB_FAILED] = "JobFailed",
	[MH_FAIL_CONFIGURATION_ERROR] = "ConfigurationError",
	[MH_FAIL_PERMISSION_ERROR] = "PermissionError",
	[MH_FAIL_REVISION_OUT_OF_SYNC] = "RevisionOutOfSync",
	[MH_FAIL_REVISION_UNAVAILABLE] = "RevisionUnavailable",
	[MH_FAIL_SYSTEM_UNAVAILABLE] = "SystemUnavailable",
};

const char *result_failure_name(int failure)
{
	/* 0 and what is negative have no name either. */
	return failure >= 0 && (size_t)failure < ARRAY_LEN(failure_names)
		       ? failure_names[failure]
		       : NULL;
}

int result_failure_parse(const char *name)
{
	for (size_t i = 1; i < ARRAY_LEN(failure_names); i++) {
		if (strcmp(name, failure_names[i]) == 0)
			return (int)i;
	}
	return 0;
}

void result_done(struct result *r)
{
	free(r->message);
	free(r->token);
	free(r->summary);
	free(r->external_id);
	free(r->revision);
	free(r->change_id);
	free(r->revision_summary);
	json_object_put(r->variables);
	*r = (struct result)RESULT_INIT;
}

static void replace(char **field, char *take_value)
{
	free(*field);
	*field = take_value;
}

char *result_clean_text(const char *text, size_t len)
{
	char *out = mh_alloc(len + 1);
	size_t i = 0;

	while (i < len) {
		size_t n = 1;

		while (n <= 4 && i + n <= len && !str_is_utf8(text + i, n))
			n++;
		if (n > 4 || i + n > len || text[i] == '\0') {
			out[i++] = '?';
			continue;
		}
		memcpy(out + i, text + i, n);
		i += n;
	}
	return out;
}

/* Not empty, UTF-8, and at most max_bytes. */
static int check_text(const char *what, const char *text, size_t max_bytes,
		      struct mh_err *err)
{
	if (!text || !*text)
		return mh_err_set(err, MH_E_PROTO, "%s: empty", what);
	if (!str_is_utf8(text, strlen(text)))
		return mh_err_set(err, MH_E_PROTO, "%s: not UTF-8", what);
	if (strlen(text) > max_bytes)
		return mh_err_set(err, MH_E_PROTO, "%s: %zu bytes, the limit is %zu",
				  what, strlen(text), max_bytes);
	return 0;
}

static char *cut_text(const char *text, size_t max_bytes)
{
	return mh_strndup(text, str_utf8_floor(text, strlen(text), max_bytes));
}

int result_set_summary(struct result *r, const char *text, struct mh_err *err)
{
	if (check_text("summary", text, SIZE_MAX, err) != 0)
		return -1;
	replace(&r->summary, cut_text(text, MH_SUMMARY_MAX_BYTES));
	return 0;
}

int result_set_percent(struct result *r, int64_t percent, struct mh_err *err)
{
	if (percent < 0 || percent > 100)
		return mh_err_set(err, MH_E_PROTO, "percent: %lld is not from 0 to 100",
				  (long long)percent);
	r->percent = (int)percent;
	return 0;
}

int result_set_external_id(struct result *r, const char *id, struct mh_err *err)
{
	if (check_text("external_id", id, MH_EXTERNAL_ID_MAX_BYTES, err) != 0)
		return -1;
	replace(&r->external_id, mh_strdup(id));
	return 0;
}

int result_set_revision(struct result *r, const char *revision, const char *change_id,
			const char *summary, int64_t created_ms, struct mh_err *err)
{
	if (check_text("revision", revision, MH_REVISION_MAX_BYTES, err) != 0 ||
	    check_text("change_id", change_id, MH_CHANGE_ID_MAX_BYTES, err) != 0)
		return -1;
	if (summary && check_text("revision summary", summary, SIZE_MAX, err) != 0)
		return -1;
	if (created_ms < 0)
		return mh_err_set(err, MH_E_PROTO, "created_ms: negative");
	replace(&r->revision, mh_strdup(revision));
	replace(&r->change_id, mh_strdup(change_id));
	replace(&r->revision_summary,
		summary ? cut_text(summary, MH_SUMMARY_MAX_BYTES) : NULL);
	r->created_ms = created_ms;
	return 0;
}

/* The API's pattern for names of output variables: [A-Za-z0-9@\-_]+ */
static int check_variable_name(const char *name, struct mh_err *err)
{
	static const char allowed[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789@-_";

	if (!name || !*name)
		return mh_err_set(err, MH_E_PROTO, "variable: empty name");
	if (strspn(name, allowed) != strlen(name))
		return mh_err_set(err, MH_E_PROTO,
				  "variable '%.64s': a name has only A-Z a-z 0-9 @ - _",
				  str_is_utf8(name, strlen(name)) ? name : "?");
	return 0;
}

static struct json_object *variable(const struct result *r, const char *name)
{
	struct json_object *value = NULL;

	if (r->variables)
		(void)json_object_object_get_ex(r->variables, name, &value);
	return value;
}

int result_set_variable(struct result *r, const char *name, const char *value,
			struct mh_err *err)
{
	struct json_object *old;
	size_t bytes;

	if (check_variable_name(name, err) != 0)
		return -1;
	if (!value || !str_is_utf8(value, strlen(value)))
		return mh_err_set(err, MH_E_PROTO, "variable '%.64s': not UTF-8", name);
	old = variable(r, name);
	bytes = r->variables_bytes + strlen(name) + strlen(value);
	if (old)
		bytes -= strlen(name) + (size_t)json_object_get_string_len(old);
	if (bytes > MH_VARIABLES_MAX_BYTES)
		return mh_err_set(err, MH_E_PROTO,
				  "variable '%.64s': all variables together would have "
				  "%zu bytes, the limit is %d",
				  name, bytes, MH_VARIABLES_MAX_BYTES);
	if (!r->variables)
		r->variables = json_object_new_object();
	json_put_str(r->variables, name, value);
	r->variables_bytes = bytes;
	return 0;
}

int result_add_variable(struct result *r, const char *name, const char *piece,
			struct mh_err *err)
{
	struct json_object *old = name ? variable(r, name) : NULL;
	CLEAN(free) char *joined = NULL;

	if (!old)
		return result_set_variable(r, name, piece, err);
	joined = mh_format("%s%s", json_object_get_string(old), piece);
	return result_set_variable(r, name, joined, err);
}

bool result_drop_variables(struct result *r)
{
	bool any = r->variables != NULL;

	json_object_put(r->variables);
	r->variables = NULL;
	r->variables_bytes = 0;
	return any;
}

static int refuse_after_failure(const struct result *r, struct mh_err *err)
{
	if (r->kind == RESULT_FAILURE)
		return mh_err_set(err, MH_E_PROTO, "the job has failed already");
	return 0;
}

int result_succeed(struct result *r, struct mh_err *err)
{
	if (refuse_after_failure(r, err) != 0)
		return -1;
	r->kind = RESULT_SUCCESS;
	return 0;
}

int result_continue(struct result *r, const char *token, int64_t delay_ms,
		    struct mh_err *err)
{
	if (refuse_after_failure(r, err) != 0 ||
	    check_text("continuation token", token, MH_TOKEN_MAX_BYTES, err) != 0)
		return -1;
	if (delay_ms < 0 || delay_ms > RESULT_DELAY_MAX_MS)
		return mh_err_set(err, MH_E_PROTO,
				  "continuation delay: not from 0 to 24 hours");
	replace(&r->token, mh_strdup(token));
	r->delay_ms = delay_ms;
	r->kind = RESULT_CONTINUATION;
	return 0;
}

/* Takes any bytes; answers clean text within the limit. */
static char *message_text(const char *message)
{
	CLEAN(free) char *clean = NULL;

	if (!message || !*message)
		return mh_strdup("no message was given");
	clean = result_clean_text(message, strlen(message));
	return cut_text(clean, MH_MESSAGE_MAX_BYTES);
}

int result_fail(struct result *r, int failure, const char *message, struct mh_err *err)
{
	if (refuse_after_failure(r, err) != 0)
		return -1;
	if (!result_failure_name(failure))
		return mh_err_set(err, MH_E_PROTO, "failure: %d is no kind of failure",
				  failure);
	replace(&r->message, message_text(message));
	r->failure = failure;
	r->kind = RESULT_FAILURE;
	return 0;
}

void result_force_failure(struct result *r, int failure, const char *fmt, ...)
{
	char text[MH_MESSAGE_MAX_BYTES + 1];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof text, fmt, args); /* cut is fine */
	va_end(args);
	replace(&r->message, message_text(text));
	r->failure = failure;
	r->kind = RESULT_FAILURE;
}
