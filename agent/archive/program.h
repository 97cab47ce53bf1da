/*
 * The main program of millhand-archive and of millhand-archive-tar, which differ in the
 * formats that they know, and so in the libraries that each start has to load: zip, what
 * nearly every job needs, does without libarchive. The contract, the same for both,
 * stands in docs/architecture.md ("millhand-archive").
 */
#ifndef MH_ARCHIVE_PROGRAM_H
#define MH_ARCHIVE_PROGRAM_H

#include <stdbool.h>

#include "agent/archive/pack.h"
#include "agent/archive/unpack.h"

struct program {
	const char *name;
	bool zip; /* it does zip alone; else all but zip */
	int (*unpack)(struct unpack *u, struct mh_err *err); /* a reader of unpack.h */
	const struct packer *packer;
	void (*before_packing)(void); /* what cannot be done in the sandbox, or NULL */
	/* beside this one, takes its place for the other formats; NULL: none does */
	const char *other;
};

/* What main() answers. */
int program_main(const struct program *program, int argc, char **argv);

#endif
