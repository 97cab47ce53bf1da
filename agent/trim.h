/*
 * Memory that only starting needed.
 *
 * Linking and initializing some forty libraries touches most of their code and symbol
 * tables once, and all of it would count as resident from then on. trim_resident()
 * takes the pages of code and constants out of this process's page tables; what is
 * used again comes back from the page cache, without reading. Call it once, when the
 * start is over. Nothing that was written to is touched.
 */
#ifndef MH_AGENT_TRIM_H
#define MH_AGENT_TRIM_H

#include <stddef.h>

void trim_resident(void);

/*
 * What one large answer of a service needed while it was read, many times its length,
 * would stay with the process: freed memory below the last block in use is not given
 * back by itself. Note each answer, and call trim_heap() once a turn, when all of it is
 * freed; it does nothing unless a large one was noted.
 */
void trim_heap_after(size_t answer_bytes);
void trim_heap(void);

#endif
