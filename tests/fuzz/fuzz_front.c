/*
 * One API request from its bytes to its answer, without a socket: lines of the input are
 * method, X-Amz-Target, Content-Type, Authorization and X-Amz-Date; the rest is the
 * body. Any operation of this program's table answers nothing.
 */
#include <sodium.h>

#include "emulator/front.h"
#include "emulator/store/store.h"
#include "lib/base/clock.h"
#include "tests/fuzz/fuzz.h"

static int answer_nothing(struct op_ctx *ctx, struct json_object *in,
			  struct json_object *out, struct api_error *err)
{
	(void)ctx; /* nothing to do */
	(void)out;
	(void)err;
	MH_ASSERT(json_object_is_type(in, json_type_object));
	return 0;
}

const struct op op_table[] = {
	{ "AcknowledgeJob", answer_nothing },
	{ "CreatePipeline", answer_nothing },
	{ "PollForJobs", answer_nothing },
	{ "RollbackStage", NULL },
	{ NULL, NULL },
};

static int64_t fixed_wall_ms(void)
{
	return INT64_C(1763635143000);
}

static int64_t fixed_mono_ms(void)
{
	return 1000;
}

static struct settings open_settings, strict_settings;
static struct front front;

static void open_front(void)
{
	static char id[] = "AKIDEXAMPLE", secret[] = "secret";
	static struct settings_key key = { id, secret };
	struct writer_options o = { .settings = &open_settings, .ids = &ids_random };
	struct mh_err err = MH_ERR_INIT;
	struct model *model = NULL;
	struct store *store = NULL;

	if (front.model)
		return;
	MH_ASSERT(sodium_init() >= 0);
	clock_set_for_test(fixed_wall_ms, fixed_mono_ms);
	MH_ASSERT(settings_read(NULL, &open_settings, &err) == 0);
	strict_settings = open_settings;
	strict_settings.keys = (struct conf_list){ .items = &key, .count = 1 };
	MH_ASSERT(model_new(&model, &err) == 0);
	MH_ASSERT(store_open(":memory:", &store, &err) == 0);
	o.store = store;
	MH_ASSERT(writer_start(&o, &front.writer, &err) == 0);
	front.model = model;
}

static void serve(const struct settings *settings, struct front_request *r)
{
	CLEAN(json) struct json_object *doc = NULL;
	struct mh_err err = MH_ERR_INIT;
	struct front_answer a;

	front.settings = settings;
	front_serve(&front, r, &a);
	MH_ASSERT(a.operation && a.body && a.status >= 200 && a.status < 500);
	if (a.status != 200) {
		MH_ASSERT(json_parse_object(a.body, strlen(a.body), &doc, &err) == 0);
		MH_ASSERT(*json_opt_str(doc, "__type", "") &&
			  *json_opt_str(doc, "message", ""));
	}
	front_answer_done(&a);
}

/* An empty line: the header is absent. */
static const char *header(const char *line)
{
	return *line ? line : NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size };
	CLEAN(free) char *method = fuzz_line(&in);
	CLEAN(free) char *target = fuzz_line(&in);
	CLEAN(free) char *type = fuzz_line(&in);
	CLEAN(free) char *authorization = fuzz_line(&in);
	CLEAN(free) char *date = fuzz_line(&in);
	struct sigv4_header headers[4] = { { "host", "localhost" } };
	struct sigv4_request r = { .method = method, .path = "/", .headers = headers };
	struct front_request request = { .target = header(target),
					 .content_type = header(type),
					 .body = (const char *)in.data,
					 .body_len = in.left,
					 .signed_request = &r };

	r.header_count = 1;
	if (*authorization)
		headers[r.header_count++] = (struct sigv4_header){ "authorization",
								   authorization };
	if (*date)
		headers[r.header_count++] = (struct sigv4_header){ "x-amz-date", date };
	open_front();
	serve(&open_settings, &request);
	serve(&strict_settings, &request);
	return 0;
}
