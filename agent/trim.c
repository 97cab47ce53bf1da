#include "agent/trim.h"

#include <link.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#define LARGE_ANSWER_BYTES (512 * 1024)

static bool heap_is_due; /* the agent has one thread */

/* An object whose code itself was changed by the linker, as no library of a
 * distribution does: those changes would be lost. */
static bool has_text_relocations(const struct dl_phdr_info *info)
{
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
		const ElfW(Dyn) *entry = (const void *)(info->dlpi_addr +
							segment->p_vaddr);

		if (segment->p_type != PT_DYNAMIC)
			continue;
		for (; entry->d_tag != DT_NULL; entry++) {
			if (entry->d_tag == DT_TEXTREL ||
			    (entry->d_tag == DT_FLAGS && entry->d_un.d_val & DF_TEXTREL))
				return true;
		}
	}
	return false;
}

/* Segments that no one may write to are the file's own bytes: what the linker changes
 * (RELRO too) lies in writable ones. */
static int trim_object(struct dl_phdr_info *info, size_t size, void *ctx)
{
	uintptr_t page = *(const uintptr_t *)ctx;

	(void)size;
	if (has_text_relocations(info))
		return 0;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
		uintptr_t from = (info->dlpi_addr + segment->p_vaddr + page - 1) & -page;
		uintptr_t to = (info->dlpi_addr + segment->p_vaddr + segment->p_memsz) &
			       -page;

		if (segment->p_type == PT_LOAD && !(segment->p_flags & PF_W) && to > from)
			/* Saves memory or does not: the kernel's own page is refused. */
			(void)madvise((void *)from, to - from, MADV_DONTNEED);
	}
	return 0;
}

void trim_resident(void)
{
	long page = sysconf(_SC_PAGESIZE);
	uintptr_t size = page > 0 ? (uintptr_t)page : 0;

	if (size)
		(void)dl_iterate_phdr(trim_object, &size); /* 0: as trim_object says */
}

void trim_heap_after(size_t answer_bytes)
{
	if (answer_bytes >= LARGE_ANSWER_BYTES)
		heap_is_due = true;
}

void trim_heap(void)
{
	if (!heap_is_due)
		return;
	heap_is_due = false;
#ifdef __GLIBC__
	(void)malloc_trim(0); /* whether there was anything to give back */
#endif
}
