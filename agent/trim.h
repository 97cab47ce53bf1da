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

void trim_resident(void);

#endif
