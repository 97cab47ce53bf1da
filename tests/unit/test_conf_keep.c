/* What a reload takes over from a new file, and what it keeps. */
#include "tests/unit/test.h"

#include "lib/base/macros.h"
#include "lib/net/conf.h"

struct credentials {
	char *id, *secret;
};
struct settings {
	char *endpoint;
	int64_t max_jobs, idle_ms, log_max_bytes;
	bool strict;
	int level;
	struct conf_strings types;
	struct credentials credentials;
};

#define AT(type, f) .offset = offsetof(struct type, f)
static const struct conf_key credential_keys[] = {
	{ .path = "id", .type = CONF_STRING, AT(credentials, id) },
	{ .path = "secret",
	  .type = CONF_STRING,
	  AT(credentials, secret),
	  .secret = true },
	{ 0 },
};

static const char *const levels[] = { "error", "info", NULL };

static const struct conf_key keys[] = {
	{ .path = "endpoint", .type = CONF_STRING, AT(settings, endpoint) },
	{ .path = "max_jobs",
	  .type = CONF_INT,
	  AT(settings, max_jobs),
	  .def = "8",
	  .reloadable = true },
	{ .path = "idle", .type = CONF_DURATION, AT(settings, idle_ms), .def = "5s" },
	{ .path = "log_max",
	  .type = CONF_SIZE,
	  AT(settings, log_max_bytes),
	  .def = "1M" },
	{ .path = "strict", .type = CONF_BOOL, AT(settings, strict), .def = "true" },
	{ .path = "level",
	  .type = CONF_CHOICE,
	  AT(settings, level),
	  .choices = levels,
	  .def = "info" },
	{ .path = "types",
	  .type = CONF_STRINGS,
	  AT(settings, types),
	  .reloadable = true },
	{ .path = "credentials",
	  .type = CONF_GROUP,
	  AT(settings, credentials),
	  .sub = credential_keys },
	{ 0 },
};

static const char first[] = "endpoint = \"http://a\"; max_jobs = 2; types = [\"x\"];"
			    "credentials = { id = \"A\"; secret = \"B\"; };";
static const char second[] =
	"endpoint = \"http://b\"; max_jobs = 3; types = [\"y\", \"z\"]; idle = 9;"
	"log_max = 5; strict = false; level = \"error\";"
	"credentials = { id = \"A\"; secret = \"C\"; };";

static void read_ok(const char *text, struct settings *s)
{
	struct mh_err err = MH_ERR_INIT;

	memset(s, 0, sizeof(*s));
	assert_ok(conf_read("t.conf", text, keys, s, &err), &err);
}

static void a_reload_takes_what_is_reloadable_and_keeps_the_rest(void **ctx)
{
	CLEAN(buf) struct buf kept = BUF_INIT(1024);
	struct settings now, next;

	(void)ctx;
	read_ok(first, &now);
	read_ok(second, &next);
	conf_keep(keys, &now, &next, &kept);
	assert_string_equal(buf_text(&kept),
			    "endpoint, idle, log_max, strict, level, credentials");
	assert_string_equal(next.endpoint, "http://a");
	assert_string_equal(next.credentials.secret, "B");
	assert_int_equal(next.idle_ms, 5000);
	assert_int_equal(next.log_max_bytes, 1 << 20);
	assert_true(next.strict);
	assert_string_equal(levels[next.level], "info");
	assert_int_equal(next.max_jobs, 3);
	assert_int_equal(next.types.count, 2);
	conf_free(keys, &now);
	conf_free(keys, &next);
}

/* Jobs go on with the old settings, clients with the strings they borrowed. */
static void what_is_kept_is_whole_in_both(void **ctx)
{
	CLEAN(buf) struct buf kept = BUF_INIT(1024);
	struct settings now, next;
	const char *lent;

	(void)ctx;
	read_ok(first, &now);
	read_ok(second, &next);
	lent = now.endpoint;
	conf_keep(keys, &now, &next, &kept);
	assert_ptr_equal(next.endpoint, lent);
	assert_ptr_not_equal(now.endpoint, lent);
	assert_string_equal(now.endpoint, "http://a");
	assert_int_equal(now.max_jobs, 2);
	assert_int_equal(now.types.count, 1);
	conf_free(keys, &now);
	assert_string_equal(next.endpoint, "http://a");
	conf_free(keys, &next);
}

static void the_same_file_names_no_key(void **ctx)
{
	static const char *const texts[] = { "", first, second };
	struct settings now, next;

	(void)ctx;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		CLEAN(buf) struct buf kept = BUF_INIT(1024);

		read_ok(texts[i], &now);
		read_ok(texts[i], &next);
		conf_keep(keys, &now, &next, &kept);
		assert_int_equal(kept.len, 0);
		conf_free(keys, &now);
		conf_free(keys, &next);
	}
}

static void a_key_that_comes_or_goes_is_kept_as_it_was(void **ctx)
{
	CLEAN(buf) struct buf kept = BUF_INIT(1024);
	struct settings now, next;

	(void)ctx;
	read_ok("", &now);
	read_ok(first, &next);
	conf_keep(keys, &now, &next, &kept);
	assert_null(next.endpoint);
	assert_null(next.credentials.id);
	assert_string_equal(buf_text(&kept), "endpoint, credentials");
	conf_free(keys, &now);
	read_ok("", &now);
	conf_keep(keys, &next, &now, &kept);
	assert_null(now.endpoint);
	conf_free(keys, &now);
	conf_free(keys, &next);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_reload_takes_what_is_reloadable_and_keeps_the_rest),
		cmocka_unit_test(what_is_kept_is_whole_in_both),
		cmocka_unit_test(the_same_file_names_no_key),
		cmocka_unit_test(a_key_that_comes_or_goes_is_kept_as_it_was),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
