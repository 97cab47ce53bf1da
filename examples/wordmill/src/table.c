/* A hash table of words with open addressing; it doubles when it is half full. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "wordmill.h"

struct slot {
	char *word;
	size_t count;
};

struct table {
	struct slot *slots;
	size_t capacity, used;
};

static void *must(void *p)
{
	if (!p)
		abort();
	return p;
}

struct table *table_new(void)
{
	struct table *t = must(calloc(1, sizeof *t));

	t->capacity = 64;
	t->slots = must(calloc(t->capacity, sizeof *t->slots));
	return t;
}

void table_free(struct table *t)
{
	size_t i;

	for (i = 0; i < t->capacity; i++)
		free(t->slots[i].word);
	free(t->slots);
	free(t);
}

size_t table_size(const struct table *t)
{
	return t->used;
}

static size_t hash(const char *word)
{
	size_t h = 14695981039346656037u;

	for (; *word; word++)
		h = (h ^ (unsigned char)*word) * 1099511628211u;
	return h;
}

static struct slot *find(struct slot *slots, size_t capacity, const char *word)
{
	size_t i = hash(word) & (capacity - 1);

	while (slots[i].word && strcmp(slots[i].word, word) != 0)
		i = (i + 1) & (capacity - 1);
	return &slots[i];
}

static void grow(struct table *t)
{
	size_t capacity = t->capacity * 2, i;
	struct slot *slots = must(calloc(capacity, sizeof *slots));

	for (i = 0; i < t->capacity; i++) {
		if (t->slots[i].word)
			*find(slots, capacity, t->slots[i].word) = t->slots[i];
	}
	free(t->slots);
	t->slots = slots;
	t->capacity = capacity;
}

void table_add(struct table *t, const char *word, size_t len)
{
	char *folded = must(malloc(len + 1));
	struct slot *slot;
	size_t i;

	for (i = 0; i < len; i++)
		folded[i] = (char)tolower((unsigned char)word[i]);
	folded[len] = '\0';
	slot = find(t->slots, t->capacity, folded);
	slot->count++;
	if (slot->word) {
		free(folded);
		return;
	}
	slot->word = folded;
	if (++t->used * 2 > t->capacity)
		grow(t);
}

static int more_frequent(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->count != y->count)
		return x->count < y->count ? 1 : -1;
	return strcmp(x->word, y->word);
}

struct entry *table_top(const struct table *t, size_t limit, size_t *ret_count)
{
	struct entry *all = must(malloc((t->used + 1) * sizeof *all));
	size_t i, n = 0;

	for (i = 0; i < t->capacity; i++) {
		if (t->slots[i].word)
			all[n++] = (struct entry){ t->slots[i].word, t->slots[i].count };
	}
	qsort(all, n, sizeof *all, more_frequent);
	*ret_count = n < limit ? n : limit;
	return all;
}
