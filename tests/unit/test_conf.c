/* lib/net/conf: tables of keys, errors with file and line, dump and sample. */
#include "tests/unit/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <json-c/json.h>

#include "lib/base/buf.h"
#include "lib/base/fsio.h"
#include "lib/net/conf.h"

struct action {
	char *provider;
	int64_t timeout_ms;
	struct conf_pair inputs;
	struct json_object *config;
	struct conf_strings write;
};
struct credentials {
	char *access_key_id;
	char *secret_access_key;
};
struct settings {
	char *endpoint;
	char *state_dir;
	int64_t max_jobs;
	int64_t offset_s;
	bool strict;
	int64_t idle_ms;
	int64_t log_max_bytes;
	int level;
	struct conf_strings types;
	struct conf_pair ports;
	struct json_object *labels;
	struct credentials credentials;
	struct conf_list actions;
};

#define AT(s, f) .offset = offsetof(struct s, f)

static const struct conf_key sandbox_keys[] = {
	{ .path = "write",
	  .type = CONF_STRINGS,
	  AT(action, write),
	  .help = "more places" },
	{ 0 },
};
static const struct conf_key action_keys[] = {
	{ .path = "provider",
	  .type = CONF_STRING,
	  AT(action, provider),
	  .required = true,
	  .example = "Make",
	  .help = "name of the action type" },
	{ .path = "timeout",
	  .type = CONF_DURATION,
	  AT(action, timeout_ms),
	  .min = 1000,
	  .max = 86400000,
	  .def = "1h",
	  .help = "deadline of a job" },
	{ .path = "inputs",
	  .type = CONF_PAIR,
	  AT(action, inputs),
	  .max = 5,
	  .def = "[0, 1]",
	  .help = "input artifacts" },
	{ .path = "config",
	  .type = CONF_MAP,
	  AT(action, config),
	  .help = "for the plugin" },
	{ .path = "sandbox",
	  .type = CONF_GROUP,
	  .offset = 0,
	  .sub = sandbox_keys,
	  .help = "what it may touch" },
	{ 0 },
};
static const struct conf_key credential_keys[] = {
	{ .path = "access_key_id",
	  .type = CONF_STRING,
	  AT(credentials, access_key_id),
	  .required = true,
	  .help = "id" },
	{ .path = "secret_access_key",
	  .type = CONF_STRING,
	  AT(credentials, secret_access_key),
	  .required = true,
	  .secret = true,
	  .help = "key" },
	{ 0 },
};
static const char *const levels[] = { "error", "info", "debug", NULL };

static const struct conf_key keys[] = {
	{ .path = "endpoint",
	  .type = CONF_STRING,
	  AT(settings, endpoint),
	  .required = true,
	  .example = "http://127.0.0.1:4599",
	  .help = "where the service is" },
	{ .path = "state_dir",
	  .type = CONF_STRING,
	  AT(settings, state_dir),
	  .def = "/var/lib/it's \"here\"",
	  .help = "what must survive" },
	{ .path = "max_jobs",
	  .type = CONF_INT,
	  AT(settings, max_jobs),
	  .min = 1,
	  .max = 10000,
	  .def = "8",
	  .unit = "jobs",
	  .reloadable = true,
	  .help = "jobs at once" },
	{ .path = "offset_s",
	  .type = CONF_INT,
	  AT(settings, offset_s),
	  .min = -5000000000,
	  .max = 5000000000,
	  .def = "-5000000000L",
	  .help = "may be below zero" },
	{ .path = "strict",
	  .type = CONF_BOOL,
	  AT(settings, strict),
	  .def = "true",
	  .help = "no mercy" },
	{ .path = "idle",
	  .type = CONF_DURATION,
	  AT(settings, idle_ms),
	  .def = "250ms",
	  .help = "pause" },
	{ .path = "log_max",
	  .type = CONF_SIZE,
	  AT(settings, log_max_bytes),
	  .min = 1024,
	  .max = 1LL << 40,
	  .def = "10M",
	  .help = "bytes of log" },
	{ .path = "level",
	  .type = CONF_CHOICE,
	  AT(settings, level),
	  .def = "info",
	  .choices = levels,
	  .help = "how much is said" },
	{ .path = "types",
	  .type = CONF_STRINGS,
	  AT(settings, types),
	  .def = "(\"a\", \"b c\")",
	  .help = "some words" },
	{ .path = "ports",
	  .type = CONF_PAIR,
	  AT(settings, ports),
	  .max = 65535,
	  .help = "from and to" },
	{ .path = "labels",
	  .type = CONF_MAP,
	  AT(settings, labels),
	  .secret = true,
	  .help = "secret pairs" },
	{ .path = "credentials",
	  .type = CONF_GROUP,
	  AT(settings, credentials),
	  .sub = credential_keys,
	  .help = "absent: the default chain" },
	{ .path = "actions",
	  .type = CONF_GROUPS,
	  AT(settings, actions),
	  .sub = action_keys,
	  .sub_size = sizeof(struct action),
	  .help = "what it does" },
	{ 0 },
};

static const char everything[] =
	"endpoint = \"http://[::1]:80\"; state_dir = \"/s\\\\\\\"\\n\\t\\x01\xc3\xa9\";\n"
	"max_jobs = 10000; offset_s = 4999999999L; strict = false; idle = 90;\n"
	"log_max = 2048; level = \"debug\"; types = [ \"x\" ]; ports = (1, 65535);\n"
	"labels = { a = \"top-secret\"; n = 5; b = true; };\n"
	"credentials = { access_key_id = \"AKID\"; secret_access_key = \"hush-hush\"; "
	"};\n"
	"actions = ( { provider = \"Make\"; timeout = \"90m\"; inputs = [1, 2];\n"
	"  config = { command = \"make \\\"all\\\"\"; j = 2; };\n"
	"  sandbox = { write = (\"/srv\"); }; }, { provider = \"Test\"; } );\n";

static void read_ok(const char *text, struct settings *s)
{
	struct mh_err err = MH_ERR_INIT;

	memset(s, 0, sizeof *s);
	assert_ok(conf_read("t.conf", text, keys, s, &err), &err);
}

static char *capture(const struct settings *s)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	if (s)
		conf_dump(out, keys, s);
	else
		conf_sample(out, keys);
	assert_int_equal(fclose(out), 0);
	return text;
}

static void defaults_fill_what_the_file_leaves_out(void **state)
{
	struct settings s;

	(void)state;
	read_ok("endpoint = \"http://h\";", &s);
	assert_string_equal(s.endpoint, "http://h");
	assert_string_equal(s.state_dir, "/var/lib/it's \"here\"");
	assert_int_equal(s.max_jobs, 8);
	assert_true(s.offset_s == -5000000000);
	assert_true(s.strict);
	assert_int_equal(s.idle_ms, 250);
	assert_int_equal(s.log_max_bytes, 10 << 20);
	assert_int_equal(s.level, 1);
	assert_int_equal(s.types.count, 2);
	assert_string_equal(s.types.items[1], "b c");
	assert_false(s.ports.set);
	assert_null(s.labels);
	assert_null(s.credentials.access_key_id);
	assert_int_equal(s.actions.count, 0);
	conf_free(keys, &s);
	conf_free(keys, &s); /* twice is once */
}

static void every_type_is_read(void **state)
{
	struct settings s;
	const struct action *a;

	(void)state;
	read_ok(everything, &s);
	assert_string_equal(s.state_dir, "/s\\\"\n\t\x01\xc3\xa9");
	assert_int_equal(s.max_jobs, 10000);
	assert_true(s.offset_s == 4999999999);
	assert_false(s.strict);
	assert_int_equal(s.idle_ms, 90000);
	assert_int_equal(s.log_max_bytes, 2048);
	assert_int_equal(s.level, 2);
	assert_int_equal(s.types.count, 1);
	assert_int_equal(s.ports.min, 1);
	assert_int_equal(s.ports.max, 65535);
	assert_string_equal(json_object_to_json_string(s.labels),
			    "{ \"a\": \"top-secret\", \"n\": \"5\", \"b\": \"true\" }");
	assert_string_equal(s.credentials.secret_access_key, "hush-hush");
	assert_int_equal(s.actions.count, 2);
	a = s.actions.items;
	assert_int_equal(a[0].timeout_ms, 5400000);
	assert_int_equal(a[0].inputs.max, 2);
	assert_string_equal(a[0].write.items[0], "/srv");
	assert_int_equal(a[1].timeout_ms, 3600000);
	assert_int_equal(a[1].inputs.max, 1);
	assert_null(a[1].config);
	conf_free(keys, &s);
}

static void dump_reads_back_as_the_same_settings(void **state)
{
	const char *const texts[] = { everything, "endpoint = \"http://h\";",
				      "endpoint = \"e\"; idle = 0; log_max = \"1T\"; "
				      "types = ();" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct settings s;
		char *first, *second;

		read_ok(texts[i], &s);
		first = capture(&s);
		conf_free(keys, &s);
		read_ok(first, &s);
		second = capture(&s);
		conf_free(keys, &s);
		assert_string_equal(first, second);
		free(first);
		free(second);
	}
}

static void dump_never_shows_a_secret(void **state)
{
	struct settings s;
	char *text;

	(void)state;
	read_ok(everything, &s);
	text = capture(&s);
	assert_contains(text, "secret_access_key = \"****\";");
	assert_contains(text, "a = \"****\";");
	assert_null(strstr(text, "hush"));
	assert_null(strstr(text, "top-secret"));
	assert_contains(text, "idle = \"90s\";");
	assert_contains(text, "timeout = \"90m\";");
	assert_contains(text, "log_max = \"2k\";");
	free(text);
	conf_free(keys, &s);
}

/* Takes the '#' from every setting of a sample. */
static char *uncomment(const char *sample)
{
	char *out = mh_alloc(strlen(sample) + 1);
	size_t n = 0;
	bool line_start = true;

	for (const char *p = sample; *p; p++) {
		if (!(line_start && *p == '#' && p[1] != ' '))
			out[n++] = *p;
		line_start = *p == '\n';
	}
	return out;
}

static void sample_parses_to_the_defaults(void **state)
{
	struct settings s;
	char *sample = capture(NULL);
	char *from_sample, *from_defaults, *all;

	(void)state;
	read_ok(sample, &s);
	from_sample = capture(&s);
	conf_free(keys, &s);
	read_ok("endpoint = \"http://127.0.0.1:4599\";", &s);
	from_defaults = capture(&s);
	conf_free(keys, &s);
	assert_string_equal(from_sample, from_defaults);
	assert_contains(sample, "# jobs at once (1 to 10000 jobs; taken over on reload)\n"
				"#max_jobs = 8;\n");
	assert_contains(sample, "(\"error\" | \"info\" | \"debug\")");

	all = uncomment(sample);
	read_ok(all, &s);
	assert_int_equal(s.actions.count, 1);
	assert_string_equal(((struct action *)s.actions.items)->provider, "Make");
	assert_int_equal(s.max_jobs, 8);
	conf_free(keys, &s);
	free(all);
	free(sample);
	free(from_sample);
	free(from_defaults);
}

static void mistakes_name_file_line_and_remedy(void **state)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{ "endpoint=\"e\";\nmax_job = 3;",
		  "t.conf:2: max_job is an unknown key; did you mean 'max_jobs'?" },
		{ "endpoint=\"e\";\n\nzzzzzzz = 3;",
		  "t.conf:3: zzzzzzz is an unknown key" },
		{ "endpoint=\"e\"; actions = (\n{ provider = \"p\"; },\n{ provider = "
		  "\"p\";\n"
		  "inputz = [0,1]; });",
		  "t.conf:4: actions[1].inputz is an unknown key; did you mean "
		  "'inputs'?" },
		{ "max_jobs = 1;", "lacks 'endpoint': where the service is" },
		{ "endpoint=\"e\"; actions = (\n{ timeout = 5; } );",
		  "actions[0] lacks 'provider'" },
		{ "endpoint=\"e\"; credentials = { access_key_id = \"a\"; };",
		  "credentials lacks 'secret_access_key'" },
		{ "endpoint=\"e\"; max_jobs = 0;",
		  "t.conf:1: max_jobs must be 1 to 10000 jobs, not 0" },
		{ "endpoint=\"e\"; max_jobs = -1;", "not -1" },
		{ "endpoint=\"e\"; max_jobs = \"8\";",
		  "max_jobs must be a whole number, not a string" },
		{ "endpoint=\"e\"; max_jobs = 8.5;", "not a fraction" },
		{ "endpoint=\"e\"; max_jobs = 1e3;", "not a fraction" },
		{ "endpoint=\"e\";\nmax_jobs = 5000000000;",
		  "t.conf:2: 5000000000 is past 32 bits: write 5000000000L" },
		{ "endpoint=\"e\"; max_jobs = 0x1FFFFFFFF;", "past 32 bits" },
		{ "endpoint=\"e\"; max_jobs = 99999999999999999999L;", "too large" },
		{ "endpoint=\"e\"; offset_s = -2147483649;", "past 32 bits" },
		{ "endpoint=\"e\"; offset_s = 5000000001L;",
		  "must be -5000000000 to 5000000000, not 5000000001" },
		{ "endpoint=8;", "endpoint must be a string, not a number" },
		{ "endpoint=\"e\"; strict = 1;", "must be true or false, not a number" },
		{ "endpoint=\"e\"; idle = \"10 s\";", "not '10 s'" },
		{ "endpoint=\"e\"; idle = -1;", "idle must be at least 0s, not -1s" },
		{ "endpoint=\"e\"; idle = 9223372036854775807L;", "idle is too large" },
		{ "endpoint=\"e\"; idle = [1];", "not an array" },
		{ "endpoint=\"e\"; log_max = \"1\";", "log_max must be 1k to 1T, not 1" },
		{ "endpoint=\"e\"; log_max = \"2T\";", "must be 1k to 1T, not 2T" },
		{ "endpoint=\"e\"; level = \"loud\";",
		  "level must be one of \"error\", \"info\", \"debug\", not 'loud'" },
		{ "endpoint=\"e\"; types = \"a\";", "must be a list of strings" },
		{ "endpoint=\"e\"; types = (\"a\", 1);",
		  "types[1] must be a string, not a number" },
		{ "endpoint=\"e\"; ports = [1];", "must be two numbers" },
		{ "endpoint=\"e\"; ports = [2, 1];", "above its most" },
		{ "endpoint=\"e\"; ports = [1, 65536];",
		  "ports[1] must be 0 to 65535, not 65536" },
		{ "endpoint=\"e\"; labels = \"x\";", "must be a group" },
		{ "endpoint=\"e\"; labels = { a = { }; };", "labels.a must be a string" },
		{ "endpoint=\"e\"; credentials = \"x\";", "must be a group" },
		{ "endpoint=\"e\"; actions = { };", "must be a list of groups" },
		{ "endpoint=\"e\"; actions = ( 3 );", "actions[0] must be a group" },
		{ "endpoint=\"e\";\nendpoint=\"f\";",
		  "t.conf:2: duplicate setting name" },
		{ "endpoint=\"e\";\nmax_jobs = ;", "t.conf:2: syntax error" },
		{ "endpoint=\"e\n\n", "t.conf:1: this string has no end" },
		{ "\n/* endpoint=\"e\";\n", "t.conf:2: this comment has no end" },
		{ "endpoint=\"\xff\";", "is not UTF-8" },
		{ "@include nothing", "t.conf:1: @include wants a file name in quotes" },
		{ "@include \"/nowhere/x.conf\"",
		  "t.conf:1: /nowhere/x.conf: no such file" },
		{ "@include \"/tmp\" x", "nothing may follow" },
		{ "", "lacks 'endpoint'" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct settings s = { 0 };
		struct mh_err err = MH_ERR_INIT;
		static const struct settings nothing;

		assert_fails(conf_read("t.conf", cases[i].text, keys, &s, &err), &err,
			     MH_E_CONFIG);
		assert_contains(err.text, cases[i].says);
		assert_null(strstr(err.text, "hush"));
		assert_null(s.endpoint); /* everything released */
		assert_ptr_equal(s.actions.items, nothing.actions.items);
	}
}

static void comments_and_strings_are_not_taken_for_numbers(void **state)
{
	struct settings s;

	(void)state;
	read_ok("# 99999999999999999999999\n// 99999999999999999999999\n"
		"/* 99999999999\n99999999999 \" */ endpoint = \"99999999999 \\\" # // "
		"/*\";\n"
		"labels = { a-99999999999 = \"x\"; };\r\n"
		"  state_dir = \"a\"\n\"b\"; # @include\n",
		&s);
	assert_string_equal(s.endpoint, "99999999999 \" # // /*");
	assert_string_equal(s.state_dir, "ab");
	conf_free(keys, &s);
}

static void write_file(const char *dir, const char *name, const char *text)
{
	struct mh_err err = MH_ERR_INIT;
	CLEAN(free) char *path = mh_format("%s/%s", dir, name);

	assert_ok(fs_write_atomic_at(AT_FDCWD, path, text, strlen(text), 0600, &err),
		  &err);
}

static void includes_count_from_the_file_that_has_them(void **state)
{
	char dir[] = "/tmp/test_conf.XXXXXX";
	CLEAN(free) char *main_path = NULL;
	CLEAN(free) char *sub = NULL;
	struct settings s = { 0 };
	struct mh_err err = MH_ERR_INIT;

	(void)state;
	assert_non_null(mkdtemp(dir));
	main_path = mh_format("%s/main.conf", dir);
	sub = mh_format("%s/sub", dir);
	assert_int_equal(mkdir(sub, 0700), 0);
	write_file(dir, "main.conf",
		   "\n  @include \"sub/a.conf\" # more\nmax_jobs = 3;\n");
	write_file(dir, "sub/a.conf", "endpoint = \"e\";\n@include \"b.conf\"");
	write_file(dir, "sub/b.conf", "\nstrict = false;");
	assert_ok(conf_read(main_path, NULL, keys, &s, &err), &err);
	assert_int_equal(s.max_jobs, 3);
	assert_false(s.strict);
	conf_free(keys, &s);

	write_file(dir, "sub/b.conf", "\n\nstrict = 7;");
	assert_fails(conf_read(main_path, NULL, keys, &s, &err), &err, MH_E_CONFIG);
	assert_contains(err.text, "sub/b.conf:3: strict must be true or false");
	write_file(dir, "main.conf", "@include \"sub/a.conf\"\nmax_jobs = 0;");
	write_file(dir, "sub/b.conf", "strict = true;");
	assert_fails(conf_read(main_path, NULL, keys, &s, &err), &err, MH_E_CONFIG);
	assert_contains(err.text, "main.conf:2: max_jobs");
	write_file(dir, "sub/b.conf", "@include \"a.conf\"");
	assert_fails(conf_read(main_path, NULL, keys, &s, &err), &err, MH_E_CONFIG);
	assert_contains(err.text, "nested includes");
	write_file(dir, "main.conf", "@include \"sub\"");
	assert_fails(conf_read(main_path, NULL, keys, &s, &err), &err, MH_E_CONFIG);
	assert_contains(err.text, "main.conf:1: ");
	assert_contains(err.text, "Is a directory");
	assert_ok(fs_remove_tree_at(AT_FDCWD, dir, &err), &err);
	assert_fails(conf_read(main_path, NULL, keys, &s, &err), &err, MH_E_CONFIG);
	assert_contains(err.text, "main.conf: no such file");
}

/* A help text that begins like a request, holds a backslash, and is long. */
static void a_manual_pages_list_is_text_and_no_requests(void **state)
{
	static const char *const sizes[] = { "small", "large", NULL };
	static const struct conf_key size_keys[] = {
		{ .path = "size",
		  .type = CONF_CHOICE,
		  .choices = sizes,
		  .def = "small",
		  .help = ".so many \\ words that they do not fit on one line of the "
			  "page, "
			  "which has less than eighty columns" },
		{ 0 },
	};
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	(void)state;
	assert_non_null(out);
	conf_man(out, size_keys);
	assert_int_equal(fclose(out), 0);
	assert_string_equal(
		text,
		".Bl -tag -width Ds\n.It Ic size\n"
		"\\&.so many \\e words that they do not fit on one line of the page, "
		"which has less\nthan eighty columns.\n"
		"One of \"small\", \"large\"; default \"small\".\n.El\n");
	free(text);
}

static void a_value_found_wrong_later_can_be_placed(void **state)
{
	static const char text[] =
		"a = 1;\nlist = (\n\t{ b = 1; },\n\t{ b = 2;\n\t  c = 3; }\n);\n";
	static const struct {
		const char *text, *key, *want;
	} cases[] = {
		{ text, "a", "t.conf:1" },
		{ text, "list.[1].c", "t.conf:5" },
		{ text, "list.[2].c", "t.conf" },
		{ text, "absent", "t.conf" },
		{ "a = ;", "a", "t.conf" },
		{ NULL, "a", "t.conf" }, /* no such file */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEAN(free)
		char *got = conf_where("t.conf", cases[i].text, cases[i].key);

		assert_string_equal(got, cases[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_fill_what_the_file_leaves_out),
		cmocka_unit_test(every_type_is_read),
		cmocka_unit_test(dump_reads_back_as_the_same_settings),
		cmocka_unit_test(dump_never_shows_a_secret),
		cmocka_unit_test(sample_parses_to_the_defaults),
		cmocka_unit_test(a_manual_pages_list_is_text_and_no_requests),
		cmocka_unit_test(mistakes_name_file_line_and_remedy),
		cmocka_unit_test(comments_and_strings_are_not_taken_for_numbers),
		cmocka_unit_test(includes_count_from_the_file_that_has_them),
		cmocka_unit_test(a_value_found_wrong_later_can_be_placed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
