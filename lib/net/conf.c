#include "lib/net/conf.h"

#include <stdarg.h>
#include <string.h>

#include <json-c/json.h>
#include <libconfig.h>

#include "lib/base/str.h"
#include "lib/net/conf_print.h"
#include "lib/net/conf_source.h"

struct reader {
	const struct conf_source *source;
	struct mh_err *err;
};

static int read_group(const struct reader *r, const config_setting_t *group,
		      const struct conf_key *keys, void *base);
static void set_defaults(const struct conf_key *keys, void *base);

static void *field_of(const struct conf_key *key, void *base)
{
	return (char *)base + key->offset;
}

/* "actions[0].timeout" */
static void print_name(struct buf *out, const config_setting_t *s)
{
	const config_setting_t *parent = config_setting_parent(s);

	if (!parent)
		return;
	print_name(out, parent);
	if (!config_setting_name(s)) {
		buf_printf(out, "[%d]", config_setting_index(s));
		return;
	}
	buf_printf(out, "%s%s", out->len ? "." : "", config_setting_name(s));
}

/* One error: "file:line: name text". */
static int fail(const struct reader *r, const config_setting_t *at, const char *fmt, ...)
	MH_PRINTF(3, 4);
static int fail(const struct reader *r, const config_setting_t *at, const char *fmt, ...)
{
	CLEAN(buf) struct buf name = BUF_INIT(CONF_SOURCE_MAX_BYTES);
	char text[MH_ERR_TEXT_MAX];
	const char *file;
	unsigned line;
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof text, fmt, args); /* a long text is cut */
	va_end(args);
	conf_source_where(r->source, config_setting_source_line(at), &file, &line);
	print_name(&name, at);
	return mh_err_set(r->err, MH_E_CONFIG, "%s:%u: %s%s%s", file, line,
			  buf_text(&name), name.len ? " " : "", text);
}

static const char *type_found(const config_setting_t *s)
{
	switch (config_setting_type(s)) {
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		return "a number";
	case CONFIG_TYPE_FLOAT:
		return "a fraction";
	case CONFIG_TYPE_STRING:
		return "a string";
	case CONFIG_TYPE_BOOL:
		return "true or false";
	case CONFIG_TYPE_ARRAY:
		return "an array";
	case CONFIG_TYPE_LIST:
		return "a list";
	case CONFIG_TYPE_GROUP:
		return "a group";
	default:
		return "nothing";
	}
}

static int wrong_type(const struct reader *r, const config_setting_t *s, const char *want)
{
	return fail(r, s, "must be %s, not %s", want, type_found(s));
}

static bool is_whole(const config_setting_t *s)
{
	int type = config_setting_type(s);

	return type == CONFIG_TYPE_INT || type == CONFIG_TYPE_INT64;
}

static bool is_sequence(const config_setting_t *s)
{
	return config_setting_is_array(s) || config_setting_is_list(s);
}

static int check_text(const struct reader *r, const config_setting_t *s)
{
	const char *text = config_setting_get_string(s);

	if (!str_is_utf8(text, strlen(text)))
		return fail(r, s, "is not UTF-8 text");
	return 0;
}

static int read_string(const struct reader *r, const config_setting_t *s, char **field)
{
	if (config_setting_type(s) != CONFIG_TYPE_STRING)
		return wrong_type(r, s, "a string");
	if (check_text(r, s) != 0)
		return -1;
	*field = mh_strdup(config_setting_get_string(s));
	return 0;
}

static int check_range(const struct reader *r, const config_setting_t *s,
		       const struct conf_key *key, int64_t value)
{
	CLEAN(free) char *allowed = NULL;
	char found[CONF_NUMBER_SIZE];

	if (value >= key->min && value <= conf_max(key))
		return 0;
	allowed = conf_format_range(key);
	conf_format_number(key->type, value, found);
	return fail(r, s, "must be %s, not %s", allowed, found);
}

static int read_int(const struct reader *r, const config_setting_t *s,
		    const struct conf_key *key, int64_t *field)
{
	int64_t value;

	if (!is_whole(s))
		return wrong_type(r, s, "a whole number");
	value = config_setting_get_int64(s);
	if (check_range(r, s, key, value) != 0)
		return -1;
	*field = value;
	return 0;
}

/* DURATION and SIZE: a number, or text with a unit. */
static int read_measure(const struct reader *r, const config_setting_t *s,
			const struct conf_key *key, int64_t *field)
{
	bool duration = key->type == CONF_DURATION;
	const char *want = duration ? "a duration (\"30s\", \"5m\", or seconds)"
				    : "a size (\"10M\", \"2G\", or bytes)";
	int64_t value;
	struct mh_err err;

	if (is_whole(s)) {
		value = config_setting_get_int64(s);
		if (duration && __builtin_mul_overflow(value, 1000, &value))
			return fail(r, s, "is too large");
	} else if (config_setting_type(s) == CONFIG_TYPE_STRING) {
		const char *text = config_setting_get_string(s);

		if ((duration ? str_to_duration_ms(text, &value, &err)
			      : str_to_size(text, &value, &err)) != 0)
			return fail(r, s, "must be %s, not '%s'", want, text);
	} else {
		return wrong_type(r, s, want);
	}
	if (check_range(r, s, key, value) != 0)
		return -1;
	*field = value;
	return 0;
}

static int read_bool(const struct reader *r, const config_setting_t *s, bool *field)
{
	if (config_setting_type(s) != CONFIG_TYPE_BOOL)
		return wrong_type(r, s, "true or false");
	*field = config_setting_get_bool(s);
	return 0;
}

static int read_choice(const struct reader *r, const config_setting_t *s,
		       const struct conf_key *key, int *field)
{
	CLEAN(buf) struct buf allowed = BUF_INIT(MH_ERR_TEXT_MAX * 4);
	const char *text;

	if (config_setting_type(s) != CONFIG_TYPE_STRING)
		return wrong_type(r, s, "a string");
	text = config_setting_get_string(s);
	for (int i = 0; key->choices[i]; i++) {
		if (strcmp(key->choices[i], text) == 0) {
			*field = i;
			return 0;
		}
		buf_printf(&allowed, "%s\"%s\"", i ? ", " : "", key->choices[i]);
	}
	return fail(r, s, "must be one of %s, not '%s'", buf_text(&allowed), text);
}

static int read_strings(const struct reader *r, const config_setting_t *s,
			struct conf_strings *field)
{
	int count;

	if (!is_sequence(s))
		return wrong_type(r, s, "a list of strings");
	count = config_setting_length(s);
	if (count == 0)
		return 0;
	field->items = mh_alloc((size_t)count * sizeof *field->items);
	for (int i = 0; i < count; i++) {
		const config_setting_t *item = config_setting_get_elem(s, (unsigned)i);

		if (read_string(r, item, &field->items[i]) != 0)
			return -1;
		field->count++;
	}
	return 0;
}

static int read_pair(const struct reader *r, const config_setting_t *s,
		     const struct conf_key *key, struct conf_pair *field)
{
	int64_t ends[2];

	if (!is_sequence(s) || config_setting_length(s) != 2)
		return fail(r, s, "must be two numbers, [least, most]");
	for (unsigned i = 0; i < 2; i++) {
		if (read_int(r, config_setting_get_elem(s, i), key, &ends[i]) != 0)
			return -1;
	}
	if (ends[0] > ends[1])
		return fail(r, s, "has its least (%lld) above its most (%lld)",
			    (long long)ends[0], (long long)ends[1]);
	*field = (struct conf_pair){ .min = ends[0], .max = ends[1], .set = true };
	return 0;
}

/* A scalar as text, the way the pipeline's configuration would give it. */
static int read_scalar_text(const struct reader *r, const config_setting_t *s, char **ret)
{
	switch (config_setting_type(s)) {
	case CONFIG_TYPE_STRING:
		return read_string(r, s, ret);
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		*ret = mh_format("%lld", (long long)config_setting_get_int64(s));
		return 0;
	case CONFIG_TYPE_BOOL:
		*ret = mh_strdup(config_setting_get_bool(s) ? "true" : "false");
		return 0;
	default:
		return wrong_type(r, s, "a string, a whole number, true or false");
	}
}

static int read_map(const struct reader *r, const config_setting_t *s,
		    struct json_object **field)
{
	int count;

	if (!config_setting_is_group(s))
		return wrong_type(r, s, "a group");
	*field = json_object_new_object();
	count = config_setting_length(s);
	for (int i = 0; i < count; i++) {
		const config_setting_t *item = config_setting_get_elem(s, (unsigned)i);
		CLEAN(free) char *text = NULL;

		if (read_scalar_text(r, item, &text) != 0)
			return -1;
		json_object_object_add(*field, config_setting_name(item),
				       json_object_new_string(text));
	}
	return 0;
}

static int read_groups(const struct reader *r, const config_setting_t *s,
		       const struct conf_key *key, struct conf_list *field)
{
	int count = config_setting_length(s);

	if (!config_setting_is_list(s))
		return wrong_type(r, s, "a list of groups, ( { ... }, { ... } )");
	if (count == 0)
		return 0;
	field->items = mh_alloc((size_t)count * key->sub_size);
	for (int i = 0; i < count; i++) {
		const config_setting_t *item = config_setting_get_elem(s, (unsigned)i);
		char *one = (char *)field->items + (size_t)i * key->sub_size;

		if (!config_setting_is_group(item))
			return wrong_type(r, item, "a group, { ... }");
		field->count++; /* what it holds is released from here on */
		if (read_group(r, item, key->sub, one) != 0)
			return -1;
	}
	return 0;
}

static int read_value(const struct reader *r, const config_setting_t *s,
		      const struct conf_key *key, void *base)
{
	void *field = field_of(key, base);

	switch (key->type) {
	case CONF_STRING:
		return read_string(r, s, field);
	case CONF_INT:
		return read_int(r, s, key, field);
	case CONF_BOOL:
		return read_bool(r, s, field);
	case CONF_DURATION:
	case CONF_SIZE:
		return read_measure(r, s, key, field);
	case CONF_CHOICE:
		return read_choice(r, s, key, field);
	case CONF_STRINGS:
		return read_strings(r, s, field);
	case CONF_PAIR:
		return read_pair(r, s, key, field);
	case CONF_MAP:
		return read_map(r, s, field);
	case CONF_GROUP:
		if (!config_setting_is_group(s))
			return wrong_type(r, s, "a group, { ... }");
		return read_group(r, s, key->sub, field);
	case CONF_GROUPS:
		return read_groups(r, s, key, field);
	}
	MH_BUG("unknown type in a table of keys");
}

/* A default goes the same way as a value from the file. */
static void set_default(const struct conf_key *key, void *base)
{
	CLEAN(free) char *notation = NULL;
	CLEAN(free) char *text = NULL;
	CLEAN(conf_source) struct conf_source source = CONF_SOURCE_INIT;
	struct mh_err err = MH_ERR_INIT;
	struct reader r = { .source = &source, .err = &err };
	config_t config;

	if (key->type == CONF_GROUP)
		set_defaults(key->sub, field_of(key, base));
	if (!key->def)
		return;
	notation = conf_notation(key, key->def);
	text = mh_format("%s = %s;", key->path, notation);
	config_init(&config);
	if (conf_source_load(&source, "default", text, &err) != 0 ||
	    !config_read_string(&config, text) ||
	    read_value(&r, config_lookup(&config, key->path), key, base) != 0)
		MH_BUG(key->path);
	config_destroy(&config);
}

static void set_defaults(const struct conf_key *keys, void *base)
{
	for (const struct conf_key *key = keys; key->path; key++)
		set_default(key, base);
}

/* How many single-byte edits lie between two names; only small answers matter. */
static unsigned edit_distance(const char *a, const char *b)
{
	unsigned row[64];
	size_t width = strlen(b);

	if (width >= ARRAY_LEN(row))
		return ARRAY_LEN(row);
	for (size_t j = 0; j <= width; j++)
		row[j] = (unsigned)j;
	for (; *a; a++) {
		unsigned diagonal = row[0]++;

		for (size_t j = 1; j <= width; j++) {
			unsigned best = diagonal + (*a != b[j - 1]);

			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[width];
}

static int unknown_key(const struct reader *r, const config_setting_t *s,
		       const struct conf_key *keys)
{
	const char *name = config_setting_name(s);
	const char *near = NULL;
	unsigned least = 4; /* past that it would be another word */

	for (const struct conf_key *key = keys; key->path; key++) {
		unsigned distance = edit_distance(name, key->path);

		if (distance < least && distance < strlen(name)) {
			least = distance;
			near = key->path;
		}
	}
	if (near)
		return fail(r, s, "is an unknown key; did you mean '%s'?", near);
	return fail(r, s, "is an unknown key");
}

static int check_keys(const struct reader *r, const config_setting_t *group,
		      const struct conf_key *keys)
{
	int count = config_setting_length(group);

	for (int i = 0; i < count; i++) {
		const config_setting_t *s = config_setting_get_elem(group, (unsigned)i);
		const struct conf_key *key = keys;

		while (key->path && strcmp(key->path, config_setting_name(s)) != 0)
			key++;
		if (!key->path)
			return unknown_key(r, s, keys);
	}
	return 0;
}

static int read_group(const struct reader *r, const config_setting_t *group,
		      const struct conf_key *keys, void *base)
{
	if (check_keys(r, group, keys) != 0)
		return -1;
	for (const struct conf_key *key = keys; key->path; key++) {
		const config_setting_t *s = config_setting_get_member(group, key->path);

		if (s) {
			if (read_value(r, s, key, base) != 0)
				return -1;
		} else if (key->required) {
			return fail(r, group, "lacks '%s': %s", key->path,
				    key->help ? key->help : "it is required");
		} else {
			set_default(key, base);
		}
	}
	return 0;
}

static int read_source(const struct conf_source *source, const struct conf_key *keys,
		       void *settings, struct mh_err *err)
{
	struct reader r = { .source = source, .err = err };
	const char *file;
	unsigned line;
	config_t config;
	int result;

	config_init(&config);
	if (config_read_string(&config, buf_text(&source->text))) {
		result = read_group(&r, config_root_setting(&config), keys, settings);
	} else {
		conf_source_where(source, (unsigned)config_error_line(&config), &file,
				  &line);
		result = mh_err_set(err, MH_E_CONFIG, "%s:%u: %s", file, line,
				    config_error_text(&config));
	}
	config_destroy(&config);
	return result;
}

int conf_read(const char *path, const char *text, const struct conf_key *keys,
	      void *settings, struct mh_err *err)
{
	CLEAN(conf_source) struct conf_source source = CONF_SOURCE_INIT;

	if (conf_source_load(&source, path, text, err) != 0)
		return -1;
	if (read_source(&source, keys, settings, err) != 0) {
		conf_free(keys, settings);
		return -1;
	}
	return 0;
}

char *conf_where(const char *path, const char *text, const char *key)
{
	CLEAN(conf_source) struct conf_source source = CONF_SOURCE_INIT;
	const config_setting_t *at = NULL;
	struct mh_err ignored;
	const char *file = path;
	unsigned line = 0;
	config_t config;
	char *result;

	config_init(&config);
	if (conf_source_load(&source, path, text, &ignored) == 0 &&
	    config_read_string(&config, buf_text(&source.text)))
		at = config_lookup(&config, key);
	if (at)
		conf_source_where(&source, config_setting_source_line(at), &file, &line);
	result = at ? mh_format("%s:%u", file, line) : mh_strdup(path);
	config_destroy(&config);
	return result;
}

static void free_strings(struct conf_strings *s)
{
	for (size_t i = 0; i < s->count; i++)
		free(s->items[i]);
	free(s->items);
	*s = (struct conf_strings){ 0 };
}

static void free_list(const struct conf_key *key, struct conf_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		conf_free(key->sub, (char *)list->items + i * key->sub_size);
	free(list->items);
	*list = (struct conf_list){ 0 };
}

static void free_secret(char *s)
{
	if (s)
		explicit_bzero(s, strlen(s));
	free(s);
}

void conf_free(const struct conf_key *keys, void *settings)
{
	for (const struct conf_key *key = keys; key->path; key++) {
		void *field = field_of(key, settings);

		switch (key->type) {
		case CONF_STRING:
			free_secret(*(char **)field);
			*(char **)field = NULL;
			break;
		case CONF_STRINGS:
			free_strings(field);
			break;
		case CONF_MAP:
			json_object_put(*(struct json_object **)field);
			*(struct json_object **)field = NULL;
			break;
		case CONF_GROUP:
			conf_free(key->sub, field);
			break;
		case CONF_GROUPS:
			free_list(key, field);
			break;
		default: /* owns nothing */
			break;
		}
	}
}
