/* wordmill [--top N] [FILE...]: counts, then the N most frequent words. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "wordmill.h"

static int usage(FILE *out, int status)
{
	fputs("usage: wordmill [--top N] [FILE...]\n"
	      "Counts lines, words and bytes of the files (or standard input).\n"
	      "  --top N   also the N most frequent words\n"
	      "  --version\n",
	      out);
	return status;
}

static int mill_file(const char *path, struct counts *c, struct table *t)
{
	FILE *in = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
	int status;

	if (!in) {
		fprintf(stderr, "wordmill: %s: %s\n", path, strerror(errno));
		return -1;
	}
	status = mill(in, c, t);
	if (status != 0)
		fprintf(stderr, "wordmill: %s: %s\n", path, strerror(errno));
	if (in != stdin)
		fclose(in);
	return status;
}

static void print_top(const struct table *t, size_t limit)
{
	size_t i, n;
	struct entry *top = table_top(t, limit, &n);

	for (i = 0; i < n; i++)
		printf("%7zu %s\n", top[i].count, top[i].word);
	free(top);
}

int main(int argc, char **argv)
{
	struct counts c = { 0, 0, 0 };
	struct table *t = table_new();
	unsigned long top = 0;
	int i = 1, status = 0;

	for (; i < argc && strncmp(argv[i], "--", 2) == 0; i++) {
		char *end;

		if (strcmp(argv[i], "--help") == 0)
			return usage(stdout, 0);
		if (strcmp(argv[i], "--version") == 0)
			return printf("wordmill %s\n", WORDMILL_VERSION) < 0;
		if (strcmp(argv[i], "--top") != 0 || i + 1 >= argc)
			return usage(stderr, 2);
		top = strtoul(argv[++i], &end, 10);
		if (*end || end == argv[i])
			return usage(stderr, 2);
	}
	if (i == argc)
		status |= mill_file("-", &c, t);
	for (; i < argc; i++)
		status |= mill_file(argv[i], &c, t);
	printf("%zu lines, %zu words, %zu bytes\n", c.lines, c.words, c.bytes);
	print_top(t, top);
	table_free(t);
	return status ? 1 : 0;
}
