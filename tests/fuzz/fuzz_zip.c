/* Zip archives: the central directory alone, held to what its header promises, then the
 * whole archive unpacked. */
#include "agent/archive/zipdir.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/unpacking.h"

static void read_directory(int fd)
{
	const struct archive_limits limits = ARCHIVE_LIMITS_DEFAULT;
	CLEAN(zip_dir) struct zip_dir dir = { .members = NULL };
	struct mh_err err = MH_ERR_INIT;
	struct source source;
	uint64_t end = 0;

	MH_ASSERT(source_open(&source, fd, &err) == 0);
	if (zip_dir_read(&dir, &source, &limits, &err) != 0) {
		MH_ASSERT(*err.text && dir.members == NULL);
		return;
	}
	for (uint32_t i = 0; i < dir.count; i++) {
		const struct zip_member *m = &dir.members[i];

		MH_ASSERT(m->header_at >= end && m->data_at > m->header_at);
		MH_ASSERT(m->data_at <= source.size &&
			  m->packed <= source.size - m->data_at);
		end = m->data_at + m->packed;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEAN(fd) int fd = unpacking_file(data, size);

	read_directory(fd);
	unpacking_try(fd);
	return 0;
}
