/* conf_man(): the list of keys in a manual page, in mdoc(7). */
#include <ctype.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/net/conf_print.h"

#define LINE_MAX_COLUMNS 78 /* mandoc's lint wants at most 80 */

/* A word cannot be taken for a request, nor its backslash for an escape. */
static void put_word(FILE *out, const char *word, size_t len, bool first)
{
	if (first && (*word == '.' || *word == '\''))
		fputs("\\&", out);
	for (size_t i = 0; i < len; i++) {
		if (word[i] == '\\')
			fputs("\\e", out);
		else
			fputc(word[i], out);
	}
}

/* Text lines, broken between words; a sentence begins on a line of its own. */
static void put_text(FILE *out, const char *text)
{
	size_t column = 0;

	while (*text) {
		size_t len = strcspn(text, " ");

		if (column > 0) {
			bool full = column + 1 + len > LINE_MAX_COLUMNS ||
				    text[-2] == '.';

			fputc(full ? '\n' : ' ', out);
			column = full ? 0 : column + 1;
		}
		put_word(out, text, len, column == 0);
		column += len;
		text += len;
		text += strspn(text, " ");
	}
	fputc('\n', out);
}

static void put_help(FILE *out, const char *help)
{
	struct buf b = BUF_INIT(4096);

	buf_putc(&b, (char)toupper((unsigned char)*help));
	buf_puts(&b, help + 1);
	buf_putc(&b, '.');
	put_text(out, buf_text(&b));
	buf_done(&b);
}

static const char *const type_names[] = {
	[CONF_STRING] = "String",
	[CONF_INT] = "Number",
	[CONF_BOOL] = "Boolean",
	[CONF_DURATION] = "Duration",
	[CONF_SIZE] = "Size",
	[CONF_CHOICE] = "One of",
	[CONF_STRINGS] = "List of strings",
	[CONF_PAIR] = "Two numbers, least and most",
	[CONF_MAP] = "Group of any names",
	[CONF_GROUP] = "Group",
	[CONF_GROUPS] = "List of groups",
};

static void add_limits(struct buf *b, const struct conf_key *key)
{
	bool number = key->type == CONF_INT || key->type == CONF_DURATION ||
		      key->type == CONF_SIZE;

	for (size_t i = 0; key->type == CONF_CHOICE && key->choices[i]; i++)
		buf_printf(b, "%s\"%s\"", i ? ", " : " ", key->choices[i]);
	if (number && (key->min || key->max)) {
		CLEAN(free) char *range = conf_format_range(key);

		buf_printf(b, ", %s", range);
	} else if (key->unit) {
		buf_printf(b, ", %s", key->unit);
	}
}

/* "Duration, 10ms to 1h; default "1s"." */
static void put_facts(FILE *out, const struct conf_key *key)
{
	CLEAN(buf) struct buf b = BUF_INIT(4096);
	CLEAN(free) char *value = NULL;

	buf_puts(&b, type_names[key->type]);
	add_limits(&b, key);
	if (key->required)
		buf_puts(&b, "; required");
	if (key->def)
		value = conf_notation(key, key->def);
	else if (key->example)
		value = conf_notation(key, key->example);
	if (value)
		buf_printf(&b, "; %s %s", key->def ? "default" : "for example", value);
	if (key->secret)
		buf_puts(&b, "; secret");
	if (key->reloadable)
		buf_puts(&b, "; taken over on reload");
	buf_putc(&b, '.');
	put_text(out, buf_text(&b));
}

static void put_keys(FILE *out, const struct conf_key *keys)
{
	fputs(".Bl -tag -width Ds\n", out);
	for (const struct conf_key *key = keys; key->path; key++) {
		fprintf(out, ".It Ic %s\n", key->path);
		if (key->help)
			put_help(out, key->help);
		put_facts(out, key);
		if (key->sub)
			put_keys(out, key->sub);
	}
	fputs(".El\n", out);
}

void conf_man(FILE *out, const struct conf_key *keys)
{
	put_keys(out, keys);
}
