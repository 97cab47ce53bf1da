/* conf_dump(), conf_sample() and how single values are written. */
#include "lib/net/conf_print.h"

#include <inttypes.h>
#include <string.h>

#include <json-c/json.h>

#include "lib/base/buf.h"

struct unit {
	const char *suffix;
	int64_t factor;
};
static const struct unit duration_units[] = {
	{ "d", 86400000 }, { "h", 3600000 }, { "m", 60000 }, { "s", 1000 }, { "ms", 1 },
};
static const struct unit size_units[] = {
	{ "T", 1LL << 40 }, { "G", 1 << 30 }, { "M", 1 << 20 },
	{ "k", 1 << 10 },   { "", 1 },
};

static void format_unit(const struct unit *units, int64_t value, char *out)
{
	while (value % units->factor != 0)
		units++;
	(void)snprintf(out, CONF_NUMBER_SIZE, "%" PRId64 "%s", value / units->factor,
		       units->suffix); /* 20 digits and a unit fit */
}

void conf_format_number(enum conf_type type, int64_t value, char out[CONF_NUMBER_SIZE])
{
	if (value == 0)
		(void)snprintf(out, CONF_NUMBER_SIZE, type == CONF_DURATION ? "0s" : "0");
	else if (type == CONF_DURATION)
		format_unit(duration_units, value, out);
	else if (type == CONF_SIZE)
		format_unit(size_units, value, out);
	else
		(void)snprintf(out, CONF_NUMBER_SIZE, "%" PRId64, value); /* fits */
}

char *conf_format_range(const struct conf_key *key)
{
	bool bare = key->type == CONF_INT && key->unit;
	char min[CONF_NUMBER_SIZE], max[CONF_NUMBER_SIZE];

	conf_format_number(key->type, key->min, min);
	conf_format_number(key->type, conf_max(key), max);
	if (conf_max(key) == INT64_MAX)
		return mh_format("at least %s%s%s", min, bare ? " " : "",
				 bare ? key->unit : "");
	return mh_format("%s to %s%s%s", min, max, bare ? " " : "",
			 bare ? key->unit : "");
}

static void print_quoted(struct buf *out, const char *s)
{
	buf_putc(out, '"');
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\')
			buf_printf(out, "\\%c", c);
		else if (c == '\n')
			buf_puts(out, "\\n");
		else if (c == '\t')
			buf_puts(out, "\\t");
		else if (c < 0x20 || c == 0x7f)
			buf_printf(out, "\\x%02X", c);
		else
			buf_putc(out, (char)c);
	}
	buf_putc(out, '"');
}

static char *quoted(const char *s)
{
	struct buf out = BUF_INIT(4 * strlen(s) + 2);

	print_quoted(&out, s);
	return buf_steal(&out);
}

char *conf_notation(const struct conf_key *key, const char *bare)
{
	switch (key->type) {
	case CONF_STRING:
	case CONF_DURATION:
	case CONF_SIZE:
	case CONF_CHOICE:
		return quoted(bare);
	default:
		return mh_strdup(bare);
	}
}

static void write_quoted(FILE *out, const char *s)
{
	CLEAN(free) char *text = quoted(s);

	fputs(text, out);
}

static void write_indent(FILE *out, unsigned depth)
{
	while (depth-- > 0)
		fputc('\t', out);
}

static void write_number(FILE *out, enum conf_type type, int64_t value)
{
	char text[CONF_NUMBER_SIZE];
	const char *long_mark = value > INT32_MAX || value < INT32_MIN ? "L" : "";

	conf_format_number(type, value, text);
	if (type == CONF_INT || type == CONF_PAIR)
		fprintf(out, "%s%s", text, long_mark);
	else
		fprintf(out, "\"%s\"", text);
}

static void write_strings(FILE *out, const struct conf_strings *strings, bool secret)
{
	fputs("(", out);
	for (size_t i = 0; i < strings->count; i++) {
		fputs(i ? ", " : " ", out);
		write_quoted(out, secret ? "****" : strings->items[i]);
	}
	fputs(strings->count ? " )" : ")", out);
}

static bool is_named(const struct conf_strings *strings, const char *name)
{
	for (size_t i = 0; strings && i < strings->count; i++) {
		if (strcmp(strings->items[i], name) == 0)
			return true;
	}
	return false;
}

static void write_map(FILE *out, const struct conf_key *key, const void *field)
{
	struct json_object *map = *(struct json_object *const *)field;
	const char *base = (const char *)field - key->offset;
	const struct conf_strings *shown = key->shown_by
						   ? (const void *)(base + key->shown_by)
						   : NULL;

	fputs("{ ", out);
	json_object_object_foreach(map, name, value)
	{
		fprintf(out, "%s = ", name);
		write_quoted(out, key->secret && !is_named(shown, name)
					  ? "****"
					  : json_object_get_string(value));
		fputs("; ", out);
	}
	fputs("}", out);
}

static void dump_keys(FILE *out, const struct conf_key *keys, const void *base,
		      unsigned depth);

static void write_groups(FILE *out, const struct conf_key *key,
			 const struct conf_list *list, unsigned depth)
{
	fputs("(", out);
	for (size_t i = 0; i < list->count; i++) {
		fputs(i ? ", {\n" : " {\n", out);
		dump_keys(out, key->sub, (const char *)list->items + i * key->sub_size,
			  depth + 1);
		write_indent(out, depth);
		fputs("}", out);
	}
	fputs(list->count ? " )" : ")", out);
}

static void write_value(FILE *out, const struct conf_key *key, const void *field,
			unsigned depth)
{
	const struct conf_pair *pair = field;

	switch (key->type) {
	case CONF_STRING:
		write_quoted(out, key->secret ? "****" : *(char *const *)field);
		break;
	case CONF_BOOL:
		fputs(*(const bool *)field ? "true" : "false", out);
		break;
	case CONF_INT:
	case CONF_DURATION:
	case CONF_SIZE:
		write_number(out, key->type, *(const int64_t *)field);
		break;
	case CONF_CHOICE:
		write_quoted(out, key->choices[*(const int *)field]);
		break;
	case CONF_STRINGS:
		write_strings(out, field, key->secret);
		break;
	case CONF_PAIR:
		fputs("[", out);
		write_number(out, CONF_PAIR, pair->min);
		fputs(", ", out);
		write_number(out, CONF_PAIR, pair->max);
		fputs("]", out);
		break;
	case CONF_MAP:
		write_map(out, key, field);
		break;
	case CONF_GROUP:
		fputs("{\n", out);
		dump_keys(out, key->sub, field, depth + 1);
		write_indent(out, depth);
		fputs("}", out);
		break;
	case CONF_GROUPS:
		write_groups(out, key, field, depth);
		break;
	}
}

static bool is_present(const struct conf_key *key, const void *field);

/* A group whose required keys are absent was not given, and must not be written. */
static bool group_is_present(const struct conf_key *keys, const void *base)
{
	for (const struct conf_key *key = keys; key->path; key++) {
		if (key->required && !is_present(key, (const char *)base + key->offset))
			return false;
	}
	return true;
}

static bool is_present(const struct conf_key *key, const void *field)
{
	switch (key->type) {
	case CONF_STRING:
		return *(char *const *)field != NULL;
	case CONF_PAIR:
		return ((const struct conf_pair *)field)->set;
	case CONF_MAP:
		return *(struct json_object *const *)field != NULL;
	case CONF_GROUP:
		return group_is_present(key->sub, field);
	default:
		return true;
	}
}

static void dump_keys(FILE *out, const struct conf_key *keys, const void *base,
		      unsigned depth)
{
	for (const struct conf_key *key = keys; key->path; key++) {
		const void *field = (const char *)base + key->offset;

		write_indent(out, depth);
		if (!is_present(key, field)) {
			fprintf(out, "# %s is not set\n", key->path);
			continue;
		}
		fprintf(out, "%s = ", key->path);
		write_value(out, key, field, depth);
		fputs(";\n", out);
	}
}

void conf_dump(FILE *out, const struct conf_key *keys, const void *settings)
{
	dump_keys(out, keys, settings, 0);
}

static const char *empty_notation(enum conf_type type)
{
	switch (type) {
	case CONF_BOOL:
		return "false";
	case CONF_INT:
		return "0";
	case CONF_STRINGS:
	case CONF_GROUPS:
		return "()";
	case CONF_PAIR:
		return "[0, 0]";
	case CONF_MAP:
		return "{ }";
	default:
		return "\"\"";
	}
}

#define SAMPLE_COLUMNS 88
#define TAB_COLUMNS    8

/* A comment, broken between words. */
static void sample_comment(FILE *out, const char *text, unsigned depth)
{
	size_t margin = strlen("# ") + (size_t)depth * TAB_COLUMNS, column = 0;

	while (*text) {
		size_t len = strcspn(text, " ");

		if (column > 0 && column + 1 + len > SAMPLE_COLUMNS) {
			fputc('\n', out);
			column = 0;
		}
		if (column == 0) {
			fputs("# ", out);
			write_indent(out, depth);
			column = margin;
		} else {
			fputc(' ', out);
			column++;
		}
		fprintf(out, "%.*s", (int)len, text);
		column += len;
		text += len;
		text += strspn(text, " ");
	}
	fputc('\n', out);
}

static void add_note(struct buf *b, bool *noted, const char *text)
{
	buf_printf(b, "%s%s", *noted ? "; " : " (", text);
	*noted = true;
}

/* What explains a key: help, range or choices, whether it must be there, reload. */
static void sample_help(FILE *out, const struct conf_key *key, unsigned depth)
{
	bool number = key->type == CONF_INT || key->type == CONF_DURATION ||
		      key->type == CONF_SIZE;
	CLEAN(buf) struct buf b = BUF_INIT(4096);
	bool noted = false;

	buf_puts(&b, key->help ? key->help : key->path);
	if (number && (key->min || key->max)) {
		CLEAN(free) char *range = conf_format_range(key);

		add_note(&b, &noted, range);
	} else if (key->unit) {
		add_note(&b, &noted, key->unit);
	}
	for (size_t i = 0; key->type == CONF_CHOICE && key->choices[i]; i++) {
		if (i == 0)
			add_note(&b, &noted, "");
		buf_printf(&b, "%s\"%s\"", i ? " | " : "", key->choices[i]);
	}
	if (key->required)
		add_note(&b, &noted, "required");
	if (key->reloadable)
		add_note(&b, &noted, "taken over on reload");
	if (noted)
		buf_putc(&b, ')');
	sample_comment(out, buf_text(&b), depth);
}

static void sample_keys(FILE *out, const struct conf_key *keys, unsigned depth,
			bool commented);

static void sample_group(FILE *out, const struct conf_key *key, unsigned depth,
			 const char *mark)
{
	bool list = key->type == CONF_GROUPS;

	fprintf(out, "%s\n", list ? "( {" : "{");
	sample_keys(out, key->sub, depth + 1, *mark == '#');
	fputs(mark, out);
	write_indent(out, depth);
	fputs(list ? "} );\n" : "};\n", out);
}

static void sample_keys(FILE *out, const struct conf_key *keys, unsigned depth,
			bool commented)
{
	for (const struct conf_key *key = keys; key->path; key++) {
		const char *bare = key->def ? key->def : key->example;
		const char *mark = key->required && !commented ? "" : "#";
		CLEAN(free) char *text = NULL;

		if (depth == 0 && key != keys)
			fputc('\n', out);
		sample_help(out, key, depth);
		fputs(mark, out);
		write_indent(out, depth);
		fprintf(out, "%s = ", key->path);
		if (!bare && key->sub) {
			sample_group(out, key, depth, mark);
			continue;
		}
		text = bare ? conf_notation(key, bare)
			    : mh_strdup(empty_notation(key->type));
		fprintf(out, "%s;\n", text);
	}
}

void conf_sample(FILE *out, const struct conf_key *keys)
{
	sample_keys(out, keys, 0, false);
}
