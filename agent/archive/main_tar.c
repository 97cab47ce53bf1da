/* millhand-archive-tar: what millhand-archive becomes for tar and tar.gz. */
#include "agent/archive/program.h"

#include <locale.h>
#include <stdlib.h>

/* libarchive converts names only to be written from the locale's character set. Names
 * that are read stay the bytes they are, in the C locale (unpack_tar.c). */
static void set_locale(void)
{
	if (!setlocale(LC_CTYPE, "C.UTF-8"))
		(void)setlocale(LC_CTYPE, "en_US.UTF-8"); /* else names must be ASCII */
}

int main(int argc, char **argv)
{
	const struct program program = { .name = "millhand-archive-tar",
					 .unpack = unpack_tar,
					 .packer = &pack_tar,
					 .before_packing = set_locale };

	return program_main(&program, argc, argv);
}
