/*
 * Requests to the admin interface, without a socket: a line with the method, a line with
 * the path behind /_millhand/admin/, and the body. What is not understood gets one error,
 * and no settings change by halves.
 */
#include <sodium.h>
#include <string.h>

#include "emulator/admin/admin.h"
#include "emulator/engine/engine.h"
#include "emulator/faults.h"
#include "emulator/store/store.h"
#include "lib/base/clock.h"
#include "tests/fuzz/fuzz.h"

static int64_t fixed_wall_ms(void)
{
	return INT64_C(1763635143000);
}

static int64_t fixed_mono_ms(void)
{
	return 1000;
}

static struct settings settings;
static struct vclock vclock = VCLOCK_INIT;
static struct admin_options options = { .settings = &settings,
					.fire_due = engine_fire_due,
					.next_due = engine_next_due };
static struct admin *admin;

static void open_admin(void)
{
	static char nowhere[] = "/proc/none"; /* no snapshot can be made there */
	struct writer_options o = { .settings = &settings,
				    .knobs = &settings,
				    .ids = &ids_random,
				    .clock = &vclock,
				    .fire_due = engine_fire_due,
				    .next_due = engine_next_due };
	struct mh_err err = MH_ERR_INIT;

	if (admin)
		return;
	MH_ASSERT(sodium_init() >= 0);
	clock_set_for_test(fixed_wall_ms, fixed_mono_ms);
	MH_ASSERT(settings_read(NULL, &settings, &err) == 0);
	settings.admin = true;
	settings.data_dir = nowhere;
	MH_ASSERT(store_open(":memory:", &o.store, &err) == 0);
	options.bell = o.bell = bell_new();
	options.faults = faults_new();
	MH_ASSERT(writer_start(&o, &options.writer, &err) == 0);
	admin_new(&options, &admin);
}

static struct json_object *ask(const char *method, const char *path, const char *body,
			       size_t len, struct api_error *err)
{
	struct admin_request request = { .method = method,
					 .path = path,
					 .body = body,
					 .body_len = len,
					 .caller_arn = "arn:aws:iam::000000000000:user/x",
					 .local = true };
	struct json_object *answer = NULL;

	*err = (struct api_error){ 0 };
	if (admin_serve(admin, &request, &answer, err) == 0) {
		MH_ASSERT(json_object_is_type(answer, json_type_object));
		return answer;
	}
	MH_ASSERT(!answer && err->status >= 400 && err->status < 600 && err->code[0] &&
		  err->message[0]);
	/* Inside nothing fails but making snapshots, here. */
	MH_ASSERT(err->status < 500 || str_starts_with(path, "snapshots"));
	return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size };
	CLEAN(free) char *method = fuzz_line(&in);
	CLEAN(free) char *path = fuzz_line(&in);
	CLEAN(json) struct json_object *before = NULL;
	CLEAN(json) struct json_object *answer = NULL;
	CLEAN(json) struct json_object *after = NULL;
	struct api_error err;

	open_admin();
	before = ask("GET", "knobs", "", 0, &err);
	answer = ask(method, path, (const char *)in.data, in.left, &err);
	after = ask("GET", "knobs", "", 0, &err);
	MH_ASSERT(answer || json_object_equal(before, after));
	(void)faults_remove(options.faults, 0); /* none is none */
	return 0;
}
