/*
 * Patience: how long to wait before trying again, how much retrying the service
 * is asked to bear, and how fast requests may follow one another.
 *
 * All of it is arithmetic on times the caller hands in; tests bring their own
 * clock and their own dice (retry_set_random_for_test).
 */
#ifndef MH_AGENT_RETRY_H
#define MH_AGENT_RETRY_H

#include <stdbool.h>
#include <stdint.h>

/* A number in [0, 1). */
double retry_random(void);
void retry_set_random_for_test(double (*random01)(void)); /* NULL gives it back */

/* The SDKs' standard mode (semantics A11): random * min(base * 2^attempt, 20 s), with
 * 1 s as base; attempt counts from 0. For the first tries, when an error is likely
 * to be a passing one. */
int64_t retry_standard_ms(int attempt, int64_t base_ms);
#define RETRY_STANDARD_TRIES 3

/* For what must get through however long it takes: doubles from base to cap,
 * each time somewhere in the upper half, so that it never becomes a storm. */
int64_t retry_patient_ms(int attempt, int64_t base_ms, int64_t cap_ms);

/* What a server asked for (x-amz-retry-after, Retry-After), held to
 * [delay, delay + 5 s]; asked_ms < 0 when it asked for nothing. */
int64_t retry_heed_ms(int64_t delay_ms, int64_t asked_ms);

/* ms >= 0 moved by up to a tenth either way. */
int64_t retry_jitter_ms(int64_t ms);

/* The retry quota of one client: 500 tokens, a retry costs 5, after a timeout
 * 10; success gives back what the last retry took, or 1 (semantics A11). */
struct retry_quota {
	int tokens;
};
#define RETRY_QUOTA_CAPACITY 500
#define RETRY_QUOTA_INIT                                                                 \
	{                                                                                \
		.tokens = RETRY_QUOTA_CAPACITY                                           \
	}

/* False, and nothing taken, when the bucket is too low: retry slowly then. */
bool retry_quota_take(struct retry_quota *q, bool after_timeout, int *ret_taken);
void retry_quota_give(struct retry_quota *q, int taken_by_last_retry);

/* An outage of one service, seen from its answers: that many calls of all jobs in a row
 * came to nothing. What passes by itself is shorter. */
struct retry_outage {
	int failures;
};
#define RETRY_OUTAGE_FAILURES 5
void retry_outage_failed(struct retry_outage *o);
/* A call got through: true when that is the end of an outage. */
bool retry_outage_over(struct retry_outage *o);

/* A token bucket: `rate` requests a second, up to `burst` at once. A throttle
 * halves the rate, each success brings a twentieth of the full rate back. */
struct rate_bucket {
	double rate, rate_max, burst;
	double tokens;
	int64_t filled_ms; /* mono, when tokens was last brought up to date */
};

void rate_init(struct rate_bucket *b, double rate_per_s, double burst, int64_t now_ms);
/* Takes a token and answers 0, or answers how many ms to wait for one. */
int64_t rate_take(struct rate_bucket *b, int64_t now_ms);
void rate_throttled(struct rate_bucket *b, int64_t now_ms);
void rate_succeeded(struct rate_bucket *b);

#endif
