/*
 * millhand-archive: unpacks the inputs and packs the outputs of one job, shut in to one
 * directory (docs/architecture.md).
 */
#include "agent/archive/program.h"

int main(int argc, char **argv)
{
	const struct program program = { .name = "millhand-archive",
					 .zip = true,
					 .unpack = unpack_zip,
					 .packer = &pack_zip,
					 .other = "millhand-archive-tar" };

	return program_main(&program, argc, argv);
}
