/* wordmill: counts lines, words and bytes, and finds the most frequent words. */
#ifndef WORDMILL_H
#define WORDMILL_H

#include <stddef.h>
#include <stdio.h>

struct counts {
	size_t lines, words, bytes;
};

struct table; /* how often each word came */

struct table *table_new(void);
void table_free(struct table *t);
/* Counts one word of len bytes; letters are folded to lower case. */
void table_add(struct table *t, const char *word, size_t len);
size_t table_size(const struct table *t);

struct entry {
	const char *word; /* borrowed from the table */
	size_t count;
};
/* The `limit` most frequent words, most frequent first, ties in alphabetical order.
 * The caller frees the array. */
struct entry *table_top(const struct table *t, size_t limit, size_t *ret_count);

/* Reads to the end; t may be NULL when words need not be kept. 0, or -1 on a read error.
 */
int mill(FILE *in, struct counts *c, struct table *t);

#endif
