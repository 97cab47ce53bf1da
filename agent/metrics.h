/*
 * What the agent counts, as Prometheus reads it: one table of metrics (metrics.c,
 * peers.md section 5 for the names), each with at most three labels.
 *
 *	METRIC_INC(METRIC_POLLS, entry, "jobs");
 *	METRIC_TIME(METRIC_POLL_DURATION, ms, NULL);
 *	METRIC_SET(METRIC_JOBS_RUNNING, 3, NULL);      gauges, when they are asked for
 *	metrics_text(&buf);                            the whole exposition
 *
 * Like the log there is one set per process, and it is used by one thread. Counters
 * are exact within the life of the process and begin at 0 with the next.
 *
 * Label values come from the configuration and from tables of our own alone, never
 * from the endpoint or a job: no ids, no pipelines, nothing secret, and a bounded
 * number of them. What goes over the bound is counted under "other".
 */
#ifndef MH_AGENT_METRICS_H
#define MH_AGENT_METRICS_H

#include <stdint.h>

#include "lib/base/buf.h"

#define METRIC_LABELS      3
#define METRIC_SAMPLES_MAX 2000 /* of one metric */
#define METRICS_TEXT_MAX   (8u << 20)

/* In the order in which they are shown. */
#define METRICS(X)                                                                       \
	X(BUILD_INFO)                                                                    \
	X(START_TIME)                                                                    \
	X(POLLS)                                                                         \
	X(POLL_DURATION)                                                                 \
	X(POLL_WAIT)                                                                     \
	X(LAST_POLL)                                                                     \
	X(API_REQUESTS)                                                                  \
	X(API_DURATION)                                                                  \
	X(API_RETRIES)                                                                   \
	X(THROTTLED)                                                                     \
	X(RETRY_QUOTA)                                                                   \
	X(CLOCK_SKEW)                                                                    \
	X(ACKS)                                                                          \
	X(DOUBTS)                                                                        \
	X(JOBS)                                                                          \
	X(JOBS_RUNNING)                                                                  \
	X(JOBS_STARTED)                                                                  \
	X(JOBS_ENDED)                                                                    \
	X(JOB_DURATION)                                                                  \
	X(JOB_STAGE_DURATION)                                                            \
	X(SLOTS)                                                                         \
	X(SLOTS_USED)                                                                    \
	X(HOST_SLOTS)                                                                    \
	X(HOST_SLOTS_USED)                                                               \
	X(ARTIFACT_BYTES)                                                                \
	X(ARTIFACT_DURATION)                                                             \
	X(RESULTS_PENDING)                                                               \
	X(RESULT_OLDEST)                                                                 \
	X(CREDS_REFRESHES)                                                               \
	X(CREDS_EXPIRY)                                                                  \
	X(CLIENT_TOKENS)                                                                 \
	X(LEDGER_COMMITS)                                                                \
	X(LEDGER_FAILURES)                                                               \
	X(LEDGER_DURATION)                                                               \
	X(CONFIG_RELOADS)                                                                \
	X(DRAINING)                                                                      \
	X(PAUSED)                                                                        \
	X(READY)                                                                         \
	X(DISK_FREE)                                                                     \
	X(DISK_FREE_INODES)                                                              \
	X(DISK_RESERVE)                                                                  \
	X(COLLECTED)                                                                     \
	X(HEALTH_RUNS)                                                                   \
	X(OPEN_FDS)                                                                      \
	X(MAX_FDS)                                                                       \
	X(JOBS_BY_FDS)                                                                   \
	X(RESIDENT)                                                                      \
	X(CPU)                                                                           \
	X(LOOP_TURNS)

enum metric {
#define X(name) METRIC_##name,
	METRICS(X)
#undef X
		METRIC_COUNT
};

/* labels: as many values as the metric has labels, then NULL. Copied. */
void metric_add(enum metric m, uint64_t n, const char *const labels[METRIC_LABELS + 1]);
void metric_set(enum metric m, int64_t value,
		const char *const labels[METRIC_LABELS + 1]);
void metric_time(enum metric m, int64_t ms, const char *const labels[METRIC_LABELS + 1]);

#define METRIC_VALUES(...)     ((const char *const[METRIC_LABELS + 1]){ __VA_ARGS__ })
#define METRIC_ADD(m, n, ...)  metric_add((m), (n), METRIC_VALUES(__VA_ARGS__))
#define METRIC_INC(m, ...)     METRIC_ADD(m, 1, __VA_ARGS__)
#define METRIC_SET(m, v, ...)  metric_set((m), (v), METRIC_VALUES(__VA_ARGS__))
#define METRIC_TIME(m, t, ...) metric_time((m), (t), METRIC_VALUES(__VA_ARGS__))

/* Forgets the values of all gauges: what is not set anew is not shown. */
void metrics_clear_gauges(void);

/* The text exposition format, version 0.0.4; b holds up to METRICS_TEXT_MAX. */
void metrics_text(struct buf *b);
#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* Everything back to nothing: at the end of the process, and between tests. */
void metrics_free(void);

#endif
