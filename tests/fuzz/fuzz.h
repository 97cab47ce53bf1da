/*
 * Fuzz targets: one file each, with one function that takes any bytes as one input and
 * aborts when the code under test breaks a promise. Crashes, leaks and undefined
 * behaviour are the sanitizers' to find; MH_ASSERT in a target is for what must hold
 * besides (what was read can be written and read again, two ways agree, nothing is left
 * behind).
 *
 * Each target is built in two ways (CONTRIBUTING.md): by clang with libFuzzer
 * (`dev/build fuzz`, then `dev/fuzz TARGET`), and in every ordinary build with driver.c,
 * as a test that runs its seeds (tests/fuzz/seeds/<target>/) and mutations of them.
 *
 * A target keeps no state that makes one input depend on those before it, and touches
 * no file but temporary ones of its own.
 */
#ifndef MH_TESTS_FUZZ_FUZZ_H
#define MH_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "lib/base/macros.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* For a target whose library forgets memory when it refuses its input: names that
 * library, so that LeakSanitizer leaves it be. */
#define FUZZ_LEAKS_OF(library)                                                           \
	const char *__lsan_default_suppressions(void);                                   \
	__attribute__((visibility("default"))) const char *__lsan_default_suppressions(  \
		void)                                                                    \
	{                                                                                \
		return "leak:" library;                                                  \
	}                                                                                \
	struct fuzz_leaks_end /* takes the semicolon */

/* An input that is cut into parts, for functions that take several. */
struct fuzz_in {
	const uint8_t *data;
	size_t left;
};

/* The next byte; 0 at the end. */
static inline unsigned fuzz_byte(struct fuzz_in *in)
{
	if (in->left == 0)
		return 0;
	in->left--;
	return *in->data++;
}

/* A copy of len bytes (of all that is left when that is less) with a NUL behind them. */
static inline char *fuzz_take(struct fuzz_in *in, size_t len)
{
	char *text;

	if (len > in->left)
		len = in->left;
	text = mh_alloc(len + 1);
	if (len > 0)
		memcpy(text, in->data, len);
	in->data += len;
	in->left -= len;
	return text;
}

/* Up to the next newline, which is taken too; "" at the end. A NUL ends the text. */
static inline char *fuzz_line(struct fuzz_in *in)
{
	const uint8_t *end = in->left ? memchr(in->data, '\n', in->left) : NULL;
	char *text = fuzz_take(in, end ? (size_t)(end - in->data) : in->left);

	(void)fuzz_byte(in); /* the newline */
	return text;
}

/* All that is left. */
static inline char *fuzz_rest(struct fuzz_in *in)
{
	return fuzz_take(in, in->left);
}

#endif
