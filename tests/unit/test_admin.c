/* The admin interface's parts: what it reads, which route answers, and what rules hit. */
#include "tests/unit/test.h"

#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include "emulator/admin/admin.h"
#include "emulator/chance.h"
#include "emulator/engine/engine.h"
#include "emulator/faults.h"
#include "emulator/tree.h"
#include "lib/base/fsio.h"

/* ---- times ---- */

static void times_are_read_strictly(void **state)
{
	static const struct {
		const char *text;
		int64_t ms; /* -1: refused */
	} rows[] = {
		{ "1970-01-01T00:00:00Z", 0 },
		{ "2026-01-01T00:00:00Z", 1767225600000 },
		{ "2026-01-01T00:00:00.5Z", 1767225600500 },
		{ "2026-01-01T00:00:00.123Z", 1767225600123 },
		{ "2024-02-29T23:59:59.999Z", 1709251199999 },
		{ "2026-01-01T00:00:00.1234Z", -1 },
		{ "2026-01-01T00:00:00.Z", -1 },
		{ "2026-01-01T00:00:00", -1 },
		{ "2026-01-01T00:00:00+01:00", -1 },
		{ "2026-01-01 00:00:00Z", -1 },
		{ "2026-13-01T00:00:00Z", -1 },
		{ "2026-02-30T00:00:00Z", -1 },
		{ "2026-01-01T24:00:00Z", -1 },
		{ "1969-12-31T23:59:59Z", -1 },
		{ "26-01-01T00:00:00Z", -1 },
		{ "", -1 },
		{ "Z", -1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct mh_err err = MH_ERR_INIT;
		int64_t ms = -1;

		if (vclock_parse(rows[i].text, &ms, &err) != 0)
			assert_non_null(strstr(err.text, "UTC"));
		if (ms != rows[i].ms)
			fail_msg("%s: %lld", rows[i].text, (long long)ms);
	}
}

/* ---- input ---- */

static struct json_object *parsed(const char *text)
{
	struct mh_err err = MH_ERR_INIT;
	struct json_object *o = NULL;

	assert_ok(json_parse_object(text, strlen(text), &o, &err), &err);
	return o;
}

static void members_of_a_wrong_kind_are_named(void **state)
{
	static const struct {
		const char *in, *says; /* NULL: fine */
	} rows[] = {
		{ "{}", NULL },
		{ "{\"n\":5,\"b\":true,\"s\":\"x\",\"d\":0.5,\"t_ms\":7}", NULL },
		{ "{\"n\":null,\"b\":null,\"s\":null}", NULL },
		{ "{\"n\":0}", "n must be a whole number from 1 to 9" },
		{ "{\"n\":10}", "n must be" },
		{ "{\"n\":\"5\"}", "n must be" },
		{ "{\"n\":5.0}", "n must be" },
		{ "{\"b\":1}", "b must be true or false" },
		{ "{\"s\":\"abcd\"}", "s must be a string of at most 3 bytes" },
		{ "{\"s\":3}", "s must be" },
		{ "{\"d\":2}", "d must be a number from 0 to 1" },
		{ "{\"d\":\"0\"}", "d must be" },
		{ "{\"t\":\"now\"}", "t: 'now' is not a time" },
		{ "{\"t\":\"2026-01-01T00:00:00Z\",\"t_ms\":1}", "give one of them" },
		{ "{\"x\":1}",
		  "'x' is no member here: there may be n, b, s, d, t, t_ms" },
	};
	static const char *const names[] = { "n", "b", "s", "d", "t", "t_ms", NULL };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEAN(json) struct json_object *in = parsed(rows[i].in);
		struct api_error err = { 0 };
		const char *s = NULL;
		int64_t n = 1, t = 0;
		double d = 0;
		bool b = false, given;
		int rc = admin_only(in, names, &err) != 0 ||
					 admin_i64(in, "n", 1, 9, &n, NULL, &err) != 0 ||
					 admin_bool(in, "b", &b, NULL, &err) != 0 ||
					 admin_str(in, "s", 3, &s, &err) != 0 ||
					 admin_number(in, "d", 0, 1, &d, NULL, &err) !=
						 0 ||
					 admin_time(in, "t", &t, &given, &err) != 0
				 ? -1
				 : 0;

		if ((rc == 0) != !rows[i].says ||
		    (rc != 0 && (!strstr(err.message, rows[i].says) ||
				 strcmp(err.code, "ValidationException") != 0)))
			fail_msg("%s: %d %s", rows[i].in, rc, err.message);
	}
}

/* ---- routes ---- */

static void a_request_finds_its_route_or_a_clear_error(void **state)
{
	static const struct {
		bool on, remote_too, local;
		const char *method, *path, *body;
		int status; /* 0: answered */
		const char *says;
	} rows[] = {
		{ true, false, true, "GET", "faults", "", 0, NULL },
		{ true, false, true, "GET", "faults", "{}", 0, NULL },
		{ false, false, true, "GET", "faults", "", 404, "--admin" },
		{ true, false, false, "GET", "faults", "", 403, "loopback" },
		{ true, true, false, "GET", "faults", "", 0, NULL },
		{ true, false, true, "PATCH", "faults", "", 405, "PATCH" },
		{ true, false, true, "GET", "faults/", "", 404, "no path" },
		{ true, false, true, "GET", "", "", 404, "no path" },
		{ true, false, true, "GET", "/faults", "", 404, "no path" },
		{ true, false, true, "DELETE", "faults/7", "", 404, "no fault 7" },
		{ true, false, true, "DELETE", "faults/%37", "", 404, "no fault 7" },
		{ true, false, true, "DELETE", "faults/%3", "", 400, "path" },
		{ true, false, true, "DELETE", "faults/7/8", "", 404, "no path" },
		{ true, false, true, "POST", "faults", "[]", 400, "body" },
		{ true, false, true, "POST", "faults", "{\"a\":1,\"a\":2}", 400, "body" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct settings settings = { .admin = rows[i].on,
					     .admin_remote = rows[i].remote_too };
		struct admin_options options = { .settings = &settings,
						 .faults = faults_new() };
		struct admin_request request = { .method = rows[i].method,
						 .path = rows[i].path,
						 .body = rows[i].body,
						 .body_len = strlen(rows[i].body),
						 .caller_arn = "",
						 .local = rows[i].local };
		CLEAN(json) struct json_object *answer = NULL;
		struct api_error err = { 0 };
		struct admin *admin = NULL;
		int rc;

		admin_new(&options, &admin);
		rc = admin_serve(admin, &request, &answer, &err);
		if (rc != (rows[i].status ? -1 : 0) ||
		    (rc != 0 && (err.status != rows[i].status ||
				 !strstr(err.message, rows[i].says))))
			fail_msg("row %zu: %d %d %s", i, rc, err.status, err.message);
		admin_free(admin);
		faults_free(options.faults);
	}
}

/* ---- faults ---- */

static int64_t pick(struct faults *f, const char *operation)
{
	struct fault hit;

	faults_pick(f, operation, &hit);
	return hit.id;
}

static void rules_hit_in_their_order_and_so_often(void **state)
{
	struct fault first = {
		.operation = "PollForJobs", .skip = 1, .count = 2, .probability = 1
	};
	struct fault any = { .operation = FAULT_ANY,
			     .count = FAULT_FOR_EVER,
			     .probability = 1 };
	struct faults *f = faults_new();
	static const int64_t want[] = { 2, 1, 1, 2, 2 };

	(void)state;
	assert_int_equal(pick(NULL, "PollForJobs"), 0);
	assert_int_equal(faults_add(f, &first), 1);
	assert_int_equal(faults_add(f, &any), 2);
	for (size_t i = 0; i < ARRAY_LEN(want); i++)
		assert_int_equal(pick(f, "PollForJobs"), want[i]);
	assert_int_equal(pick(f, "S3:PUT"), 0); /* any operation of the API */
	assert_int_equal(faults_remove(f, 2), 1);
	assert_int_equal(faults_remove(f, 2), 0);
	assert_int_equal(pick(f, "PollForJobs"), 0);
	assert_int_equal(faults_remove(f, 0), 1);
	faults_free(f);
}

static void there_is_an_end_to_rules(void **state)
{
	struct fault rule = { .operation = FAULT_ANY, .count = 1, .probability = 0 };
	struct faults *f = faults_new();

	(void)state;
	for (int i = 0; i < FAULTS_MAX; i++)
		assert_true(faults_add(f, &rule) > 0);
	assert_int_equal(faults_add(f, &rule), 0);
	assert_int_equal(pick(f, "ListPipelines"), 0); /* none has a chance */
	faults_free(f);
}

/* ---- chance ---- */

static void the_same_seed_gives_the_same_sequence(void **state)
{
	unsigned char a[37], b[37];
	char id[STR_UUID_SIZE], again[STR_UUID_SIZE];
	uint64_t at;

	(void)state;
	assert_true(sodium_init() >= 0);
	chance_seed(7);
	randombytes_buf(a, sizeof(a));
	at = chance_state();
	ids_random.uuid(&ids_random, id);
	assert_true(str_is_uuid(id));
	chance_seed(7);
	randombytes_buf(b, sizeof(b));
	assert_memory_equal(a, b, sizeof(a));
	chance_restore(at);
	ids_random.uuid(&ids_random, again);
	assert_string_equal(id, again);
	chance_seed(8);
	randombytes_buf(b, sizeof(b));
	assert_memory_not_equal(a, b, sizeof(a));
}

/* ---- copies of directories ---- */

static void put_file(const char *dir, const char *name, const char *text)
{
	CLEAN(free) char *path = mh_format("%s/%s", dir, name);
	struct mh_err err = MH_ERR_INIT;

	assert_ok(fs_write_durable_at(AT_FDCWD, path, text, strlen(text), 0640, &err),
		  &err);
}

static void check_copy(const char *root, const char *to, bool link)
{
	CLEAN(free) char *from = mh_format("%s/from", root);
	CLEAN(free) char *copy = mh_format("%s/%s", root, to);
	CLEAN(free) char *file = mh_format("%s/a/b/file", copy);
	CLEAN(free) char *symlink_path = mh_format("%s/link", copy);
	CLEAN(buf) struct buf text = BUF_INIT(100);
	struct mh_err err = MH_ERR_INIT;
	char target[16] = "";
	struct stat st;

	for (int i = 0; i < 2; i++) /* what is there already stays */
		assert_ok(tree_copy(from, copy, link, &err), &err);
	assert_ok(fs_read_at(AT_FDCWD, file, &text, &err), &err);
	assert_string_equal(buf_text(&text), "inside");
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_nlink, link ? 2 : 1);
	assert_int_equal(st.st_mode & 0777, 0640);
	assert_int_equal(readlink(symlink_path, target, sizeof(target) - 1), 8);
	assert_string_equal(target, "a/b/file");
}

static void a_tree_is_copied_or_linked(void **state)
{
	char root[] = "/tmp/mh-tree-XXXXXX";
	CLEAN(free) char *from = NULL;
	CLEAN(free) char *deep = NULL;
	CLEAN(free) char *link = NULL;
	CLEAN(free) char *nowhere = NULL;
	struct mh_err err = MH_ERR_INIT;

	(void)state;
	assert_non_null(mkdtemp(root));
	from = mh_format("%s/from", root);
	deep = mh_format("%s/a/b", from);
	link = mh_format("%s/link", from);
	nowhere = mh_format("%s/nowhere", root);
	assert_ok(fs_mkdir_p(deep, 0700, &err), &err);
	put_file(deep, "file", "inside");
	assert_int_equal(symlink("a/b/file", link), 0);
	check_copy(root, "copy", false);
	check_copy(root, "links", true);
	assert_int_equal(tree_copy(nowhere, from, false, &err), -1);
	assert_ok(fs_remove_tree_at(AT_FDCWD, root, &err), &err);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(times_are_read_strictly),
		cmocka_unit_test(members_of_a_wrong_kind_are_named),
		cmocka_unit_test(a_request_finds_its_route_or_a_clear_error),
		cmocka_unit_test(rules_hit_in_their_order_and_so_often),
		cmocka_unit_test(there_is_an_end_to_rules),
		cmocka_unit_test(a_tree_is_copied_or_linked),
		cmocka_unit_test(the_same_seed_gives_the_same_sequence),
	};

	return cmocka_run_group_tests_name("admin", tests, NULL, NULL);
}
