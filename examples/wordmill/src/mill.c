/* Reads a text once: lines, words, bytes. A word is a run of letters, digits and
 * apostrophes; bytes past ASCII belong to words, so that UTF-8 text works. */
#include <ctype.h>

#include "wordmill.h"

#define WORD_MAX 256 /* longer ones are counted, but kept cut to this */

static int is_word_byte(int c)
{
	return isalnum(c) || c == '\'' || c >= 0x80;
}

int mill(FILE *in, struct counts *c, struct table *t)
{
	char word[WORD_MAX];
	size_t len = 0;
	int byte, inside = 0;

	while ((byte = getc(in)) != EOF) {
		c->bytes++;
		c->lines += byte == '\n';
		if (is_word_byte(byte)) {
			inside = 1;
			if (len < sizeof word)
				word[len++] = (char)byte;
			continue;
		}
		if (inside) {
			c->words++;
			if (t)
				table_add(t, word, len);
		}
		inside = 0;
		len = 0;
	}
	if (inside) { /* the text ends in a word */
		c->words++;
		if (t)
			table_add(t, word, len);
	}
	return ferror(in) ? -1 : 0;
}
