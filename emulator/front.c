#include "emulator/front.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "emulator/builtin/watch.h"
#include "emulator/validate.h"
#include "lib/base/clock.h"

struct work { /* one operation on its way through the writer */
	const struct op *op;
	const struct model_op *shapes;
	struct json_object *in, *out;
	const char *base_url;
	bool sources_changed;
};

/* ---- the wire ---- */

static const struct op *find_op(const char *name)
{
	for (const struct op *op = op_table; op->name; op++) {
		if (strcmp(op->name, name) == 0)
			return op;
	}
	return NULL;
}

/* "CodePipeline_20150709.PollForJobs" */
static int read_target(const struct front *f, const char *target, struct work *w,
		       struct api_error *err)
{
	const char *prefix = model_target_prefix(f->model);
	size_t len = strlen(prefix);

	if (!target || *target == '\0')
		return api_fail(
			err, "UnknownOperationException",
			"The X-Amz-Target header is missing. It names the operation, "
			"like %s.ListPipelines.",
			prefix);
	if (strncmp(target, prefix, len) == 0 && target[len] == '.') {
		w->shapes = model_find(f->model, target + len + 1);
		w->op = w->shapes ? find_op(w->shapes->name) : NULL;
	}
	if (!w->op)
		return api_fail(err, "UnknownOperationException",
				"The operation '%.128s' is not known.", target);
	return 0;
}

static int check_content_type(const char *content_type, struct api_error *err)
{
	size_t len = strlen(FRONT_CONTENT_TYPE);

	if (!content_type || (strncasecmp(content_type, FRONT_CONTENT_TYPE, len) == 0 &&
			      strchr("; \t", content_type[len])))
		return 0;
	return api_fail(
		err, "UnknownOperationException",
		"The Content-Type '%.128s' is not understood: send " FRONT_CONTENT_TYPE
		".",
		content_type);
}

static int check_size(const struct front_request *r, struct api_error *err)
{
	if (!r->body_too_large)
		return 0;
	(void)api_fail(err, "RequestEntityTooLargeException",
		       "The request's body is larger than %d bytes.", FRONT_BODY_MAX);
	err->status = 413;
	return -1;
}

static int read_body(const struct front_request *r, struct json_object **ret,
		     struct api_error *err)
{
	struct mh_err why = MH_ERR_INIT;

	if (json_parse_object(r->body, r->body_len, ret, &why) != 0)
		return api_fail(err, "SerializationException", "%s", why.text);
	return 0;
}

/* ---- the operation ---- */

static int fail_wrong_answer(const struct work *w, struct mh_err *why,
			     struct api_error *err)
{
	(void)mh_err_wrap(why, "answer of %s", w->op->name);
	return api_fail_internal(err, why);
}

static int run_work(struct op_ctx *ctx, void *arg, struct api_error *err)
{
	struct work *w = arg;
	struct mh_err why = MH_ERR_INIT;
	int rc;

	ctx->base_url = w->base_url;
	rc = w->op->run(ctx, w->in, w->out, err);
	w->sources_changed = ctx->sources_changed;

	/* Here, so that a wrong answer takes its changes back with it. */
	if (!ctx->settings->check_answers)
		return rc;
	if (rc == 0 && validate_output(w->shapes->output, w->out, &why) != 0)
		return fail_wrong_answer(w, &why, err);
	if (rc != 0 && err->status == 400 && validate_error(w->shapes, err, &why) != 0)
		return fail_wrong_answer(w, &why, err);
	return rc;
}

static int serve(const struct front *f, const struct front_request *r, struct work *w,
		 struct api_error *err)
{
	char hash[SIGV4_HASH_HEX_SIZE], arn[AUTH_ARN_SIZE];

	if (strcmp(r->signed_request->method, "POST") != 0)
		return api_fail(err, "UnknownOperationException",
				"The method %.16s is not understood: send POST.",
				r->signed_request->method);
	if (read_target(f, r->target, w, err) != 0 ||
	    check_content_type(r->content_type, err) != 0 || check_size(r, err) != 0)
		return -1;
	sigv4_hash_hex(r->body, r->body_len, hash);
	r->signed_request->payload_hash = hash;
	if (auth_check(f->settings, f->creds_key, r->signed_request, clock_wall_ms(),
		       writer_now_ms(f->writer), arn, err) != 0)
		return -1;
	if (read_body(r, &w->in, err) != 0 ||
	    validate_input(w->shapes->input, w->in, err) != 0)
		return -1;
	w->out = json_object_new_object();
	if (writer_call(f->writer, run_work, w, arn, err) != 0)
		return -1;
	/* Once a pipeline is answered for, a push is a change. */
	if (w->sources_changed)
		watcher_settle(f->watcher);
	return 0;
}

void front_serve(const struct front *front, const struct front_request *request,
		 struct front_answer *ret)
{
	struct work w = { .base_url = request->base_url };

	*ret = (struct front_answer){ .status = 200 };
	if (serve(front, request, &w, &ret->error) != 0) {
		ret->status = ret->error.status;
		ret->body = front_error_body(&ret->error);
	} else {
		ret->body = mh_strdup(w.shapes->output ? json_text(w.out) : "");
	}
	ret->operation = w.shapes ? w.shapes->name : "";
	json_object_put(w.in);
	json_object_put(w.out);
}

/* What a client sent may stand in a message, and need not be UTF-8, or be cut. */
static char *clean_text(const char *text)
{
	char *clean = mh_strdup(text);

	if (str_is_utf8(clean, strlen(clean)))
		return clean;
	for (char *p = clean; *p; p++) {
		if ((unsigned char)*p >= 0x80)
			*p = '?';
	}
	return clean;
}

char *front_error_body(const struct api_error *err)
{
	CLEAN(json) struct json_object *o = json_object_new_object();
	CLEAN(free) char *message = clean_text(err->message);

	json_put_str(o, "__type", err->code);
	json_put_str(o, "message", message);
	return mh_strdup(json_text(o));
}

void front_answer_done(struct front_answer *a)
{
	free(a->body);
	a->body = NULL;
}
