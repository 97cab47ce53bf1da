#include "agent/retry.h"

#include <sodium.h>

#include "lib/base/macros.h"

#define STANDARD_CAP_MS    20000
#define HEED_MORE_MS       5000
#define QUOTA_COST         5
#define QUOTA_COST_TIMEOUT 10
#define RATE_FLOOR         0.1 /* of the full rate: a throttled agent still polls */

static double (*random_for_test)(void);

double retry_random(void)
{
	if (random_for_test)
		return random_for_test();
	return randombytes_random() / 4294967296.0;
}

void retry_set_random_for_test(double (*random01)(void))
{
	random_for_test = random01;
}

/* base * 2^attempt, never over cap and never wrapping. */
static int64_t doubled(int attempt, int64_t base_ms, int64_t cap_ms)
{
	int64_t ms = base_ms;

	while (attempt-- > 0 && ms < cap_ms)
		ms *= 2;
	return ms < cap_ms ? ms : cap_ms;
}

int64_t retry_standard_ms(int attempt, int64_t base_ms)
{
	return (int64_t)(retry_random() *
			 (double)doubled(attempt, base_ms, STANDARD_CAP_MS));
}

int64_t retry_patient_ms(int attempt, int64_t base_ms, int64_t cap_ms)
{
	double whole = (double)doubled(attempt, base_ms, cap_ms);

	return (int64_t)(whole / 2 + retry_random() * whole / 2);
}

int64_t retry_heed_ms(int64_t delay_ms, int64_t asked_ms)
{
	if (asked_ms <= delay_ms)
		return delay_ms;
	if (asked_ms > delay_ms + HEED_MORE_MS)
		return delay_ms + HEED_MORE_MS;
	return asked_ms;
}

int64_t retry_jitter_ms(int64_t ms)
{
	return ms + (int64_t)((retry_random() - 0.5) * 0.2 * (double)ms);
}

bool retry_quota_take(struct retry_quota *q, bool after_timeout, int *ret_taken)
{
	int cost = after_timeout ? QUOTA_COST_TIMEOUT : QUOTA_COST;

	if (q->tokens < cost)
		return false;
	q->tokens -= cost;
	*ret_taken = cost;
	return true;
}

void retry_quota_give(struct retry_quota *q, int taken_by_last_retry)
{
	q->tokens += taken_by_last_retry > 0 ? taken_by_last_retry : 1;
	if (q->tokens > RETRY_QUOTA_CAPACITY)
		q->tokens = RETRY_QUOTA_CAPACITY;
}

void retry_outage_failed(struct retry_outage *o)
{
	if (o->failures < RETRY_OUTAGE_FAILURES)
		o->failures++;
}

bool retry_outage_over(struct retry_outage *o)
{
	bool over = o->failures == RETRY_OUTAGE_FAILURES;

	o->failures = 0;
	return over;
}

void rate_init(struct rate_bucket *b, double rate_per_s, double burst, int64_t now_ms)
{
	MH_ASSERT(rate_per_s > 0 && burst >= 1);
	*b = (struct rate_bucket){ .rate = rate_per_s,
				   .rate_max = rate_per_s,
				   .burst = burst,
				   .tokens = burst,
				   .filled_ms = now_ms };
}

static void rate_fill(struct rate_bucket *b, int64_t now_ms)
{
	if (now_ms > b->filled_ms)
		b->tokens += (double)(now_ms - b->filled_ms) / 1000.0 * b->rate;
	if (b->tokens > b->burst)
		b->tokens = b->burst;
	b->filled_ms = now_ms;
}

int64_t rate_take(struct rate_bucket *b, int64_t now_ms)
{
	rate_fill(b, now_ms);
	if (b->tokens < 1)
		return (int64_t)((1 - b->tokens) / b->rate * 1000.0) + 1;
	b->tokens -= 1;
	return 0;
}

void rate_throttled(struct rate_bucket *b, int64_t now_ms)
{
	rate_fill(b, now_ms);
	b->rate /= 2;
	if (b->rate < b->rate_max * RATE_FLOOR)
		b->rate = b->rate_max * RATE_FLOOR;
	if (b->tokens > 1)
		b->tokens = 1; /* no burst right after being told to slow down */
}

void rate_succeeded(struct rate_bucket *b)
{
	b->rate += b->rate_max / 20;
	if (b->rate > b->rate_max)
		b->rate = b->rate_max;
}
