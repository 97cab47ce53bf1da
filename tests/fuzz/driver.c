/*
 * Runs a fuzz target without libFuzzer, as a test: every seed of its corpus, then so
 * many mutations of them, the same ones each time. Names of files as arguments: those
 * alone, e.g. what a fuzzer found.
 *
 * An input on which the target dies is left in crash-<target>, in the working directory.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/fsio.h"
#include "tests/fuzz/fuzz.h"

#define MUTATIONS     3000
#define SEED_MAX      (256 * 1024)
#define INPUT_MAX     (2 * SEED_MAX)
#define EDITS_MAX     8
#define RANDOM_SEED   UINT64_C(0x9e3779b97f4a7c15)
#define TARGET_PREFIX "fuzz_"
#define HARD_ERROR    99 /* automake: the test could not be run */

struct seeds {
	struct buf *items;
	size_t count;
};

/* The input at hand, where the parent process sees it after the target died. */
struct shown {
	size_t size;
	uint8_t data[INPUT_MAX];
};
static struct shown *shown;

/* From a copy of exactly that size, so that reading past its end is seen. */
static void run(const void *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);

	MH_ASSERT(copy != NULL && size <= sizeof(shown->data));
	if (size > 0) {
		memcpy(copy, data, size);
		memcpy(shown->data, data, size);
	}
	shown->size = size;
	MH_ASSERT(LLVMFuzzerTestOneInput(copy, size) == 0);
	free(copy);
}

/* ---- mutations ---- */

static uint64_t state = RANDOM_SEED;

/* xorshift64*: the same numbers on every machine. */
static uint32_t random_below(uint32_t limit)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return (uint32_t)((state * UINT64_C(0x2545f4914f6cdd1d)) >> 33) % limit;
}

struct input {
	uint8_t data[INPUT_MAX];
	size_t len;
};

static void insert(struct input *in, size_t at, const void *data, size_t len)
{
	if (len > sizeof(in->data) - in->len)
		return;
	memmove(in->data + at + len, in->data + at, in->len - at);
	memcpy(in->data + at, data, len);
	in->len += len;
}

static void erase(struct input *in, size_t at, size_t len)
{
	if (len > in->len - at)
		len = in->len - at;
	memmove(in->data + at, in->data + at + len, in->len - at - len);
	in->len -= len;
}

/* A place, the end included. */
static size_t somewhere(const struct input *in)
{
	return random_below((uint32_t)in->len + 1);
}

static void put_special(struct input *in, size_t at)
{
	static const char specials[][8] = {
		{ 0 },
		"\xff\xff\xff\xff",
		"\x7f\xff\xff\xff",
		"-1",
		"9999999",
		"\\u0000",
		"\xc3\xa9",
		"\xed\xa0\x80",
		"[[[[[[[",
		"{\"a\":{}}",
		"null",
		"..//../",
		"%00%2f",
		"\r\n\r\n",
		"PK\x01\x02",
	};
	const char *s = specials[random_below(ARRAY_LEN(specials))];

	insert(in, at, s, 1 + random_below(sizeof(specials[0])));
}

static void edit(struct input *in, const struct seeds *seeds)
{
	size_t at = somewhere(in), len = 1 + random_below(32);
	const struct buf *other = &seeds->items[random_below((uint32_t)seeds->count)];
	uint8_t piece[32];

	switch (random_below(7)) {
	case 0: /* another bit */
		if (at < in->len)
			in->data[at] ^= (uint8_t)(1U << random_below(8));
		return;
	case 1: /* another byte */
		if (at < in->len)
			in->data[at] = (uint8_t)random_below(256);
		return;
	case 2:
		erase(in, at, len);
		return;
	case 3: /* a piece twice */
		if (len > in->len - at)
			len = in->len - at;
		memcpy(piece, in->data + at, len);
		insert(in, somewhere(in), piece, len);
		return;
	case 4: /* a piece of another seed */
		if (other->len > 0) {
			size_t from = random_below((uint32_t)other->len);

			if (len > other->len - from)
				len = other->len - from;
			insert(in, at, other->data + from, len);
		}
		return;
	case 5:
		put_special(in, at);
		return;
	default: /* cut off */
		if (random_below(4) == 0)
			in->len = at;
	}
}

static void run_mutations(const struct seeds *seeds)
{
	struct input *in = mh_alloc(sizeof(*in));

	for (int i = 0; i < MUTATIONS; i++) {
		const struct buf *from =
			&seeds->items[random_below((uint32_t)seeds->count)];

		if (from->len > 0)
			memcpy(in->data, from->data, from->len);
		in->len = from->len;
		for (uint32_t n = 1 + random_below(EDITS_MAX); n > 0; n--)
			edit(in, seeds);
		run(in->data, in->len);
	}
	free(in);
}

/* ---- seeds ---- */

static int is_seed(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static int load(const char *dir, struct seeds *ret, struct mh_err *err)
{
	struct dirent **names;
	int n = scandir(dir, &names, is_seed, alphasort), rc = 0;

	if (n < 0)
		return mh_err_sys(err, "%s", dir);
	ret->items = mh_alloc(((size_t)n + 1) * sizeof(*ret->items));
	for (int i = 0; i < n; i++) {
		CLEAN(free) char *path = mh_format("%s/%s", dir, names[i]->d_name);
		struct buf *b = &ret->items[ret->count];

		buf_init(b, SEED_MAX);
		if (rc == 0 && fs_read_at(AT_FDCWD, path, b, err) != 0)
			rc = -1;
		ret->count++;
		free(names[i]);
	}
	free(names);
	return rc;
}

static void seeds_done(struct seeds *s)
{
	for (size_t i = 0; i < s->count; i++)
		buf_done(&s->items[i]);
	free(s->items);
}

/* ---- main ---- */

static int run_files(char **names, struct mh_err *err)
{
	for (; *names; names++) {
		CLEAN(buf) struct buf b = BUF_INIT(INPUT_MAX);

		if (fs_read_at(AT_FDCWD, *names, &b, err) != 0)
			return -1;
		run(buf_text(&b), b.len);
	}
	return 0;
}

static int run_corpus(const char *target, struct mh_err *err)
{
	const char *source = getenv("MH_SRCDIR");
	CLEAN(free)
	char *dir = mh_format("%s/tests/fuzz/seeds/%s", source ? source : ".", target);
	struct seeds seeds = { NULL, 0 };
	int rc = load(dir, &seeds, err);

	if (rc == 0 && seeds.count == 0)
		rc = mh_err_set(err, MH_E_NOTFOUND, "%s has no seeds", dir);
	for (size_t i = 0; rc == 0 && i < seeds.count; i++)
		run(buf_text(&seeds.items[i]), seeds.items[i].len);
	if (rc == 0) {
		printf("1..2\nok 1 - %s holds with %zu seeds\n", target, seeds.count);
		run_mutations(&seeds);
		printf("ok 2 - %s holds with %d mutations of them\n", target, MUTATIONS);
	}
	seeds_done(&seeds);
	return rc;
}

static int run_all(const char *target, char **names)
{
	struct mh_err err = MH_ERR_INIT;
	int rc = *names ? run_files(names, &err) : run_corpus(target, &err);

	if (rc == 0)
		return 0;
	printf("Bail out! %s\n", err.text);
	return HARD_ERROR;
}

static int report_death(const char *target)
{
	CLEAN(free) char *name = mh_format("crash-%s", target);
	CLEAN(fd) int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	bool kept = fd >= 0 &&
		    write(fd, shown->data, shown->size) == (ssize_t)shown->size;

	printf("not ok - %s died; %s %s\n", target,
	       kept ? "the input is in" : "the input could not be written to", name);
	return 1;
}

int main(int argc, char **argv)
{
	const char *target = program_invocation_short_name;
	int status = 0;
	pid_t child;

	(void)argc; /* argv ends with NULL */
	if (strncmp(target, TARGET_PREFIX, strlen(TARGET_PREFIX)) == 0)
		target += strlen(TARGET_PREFIX);
	shown = mmap(NULL, sizeof(*shown), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	MH_ASSERT(shown != MAP_FAILED);
	child = fork();
	MH_ASSERT(child >= 0);
	if (child == 0)
		exit(run_all(target, argv + 1));
	MH_ASSERT(waitpid(child, &status, 0) == child);
	if (WIFEXITED(status) &&
	    (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == HARD_ERROR))
		return WEXITSTATUS(status);
	return report_death(target);
}
