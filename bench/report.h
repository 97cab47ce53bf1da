/*
 * What a stretch of work cost this process:
 *
 *	cost_begin(&c);  ...the work...  cost_print(&c, jobs);
 *
 * prints {"jobs":N,"cpu_ns":..,"wall_ns":..,"max_rss_kb":..} and a line feed.
 */
#ifndef MH_BENCH_REPORT_H
#define MH_BENCH_REPORT_H

#include <stdint.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

struct cost {
	int64_t cpu_ns, wall_ns;
};

static inline int64_t cost_clock_ns(clockid_t id)
{
	struct timespec t = { 0 };

	(void)clock_gettime(id, &t); /* both clocks are always there */
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline void cost_begin(struct cost *c)
{
	c->cpu_ns = cost_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	c->wall_ns = cost_clock_ns(CLOCK_MONOTONIC);
}

static inline void cost_print(const struct cost *c, long jobs)
{
	struct rusage r = { 0 };

	(void)getrusage(RUSAGE_SELF, &r); /* cannot fail */
	printf("{\"jobs\":%ld,\"cpu_ns\":%lld,\"wall_ns\":%lld,\"max_rss_kb\":%ld}\n",
	       jobs, (long long)(cost_clock_ns(CLOCK_PROCESS_CPUTIME_ID) - c->cpu_ns),
	       (long long)(cost_clock_ns(CLOCK_MONOTONIC) - c->wall_ns), r.ru_maxrss);
}

#endif
