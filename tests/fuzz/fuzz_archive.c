/* Archives as the agent gets them, told apart by their content: tar, gzip, zip. */
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/unpacking.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEAN(fd) int fd = unpacking_file(data, size);

	(void)unpacking_try(fd); /* either is right */
	return 0;
}
