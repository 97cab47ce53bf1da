#include "agent/poller.h"

#include "agent/retry.h"
#include "lib/base/macros.h"

#define EMPTIES_BEFORE_SLOWER 20
#define GROWTH                1.3
#define ERROR_CAP_MS          60000
#define BURST                 10
#define SAFETY_MS             60000 /* between polls of who is told when there is work */

struct entry {
	int max_jobs; /* 0: any; or POLLER_NO_POLLS */
	int used, reserved;
	bool in_flight;
	int64_t due_ms, interval_ms;
	int empties, failures;
	bool full; /* had no free slot before one was given back */
	bool hinted; /* there is said to be work: the next poll follows that */
	bool polled_by_hint;
	int vain; /* polls by a hint in a row that brought nothing */
	int64_t wait_from_ms; /* no hint is asked for before */
	uint64_t polled; /* turn of its last poll: who waits longest goes first */
};

struct poller {
	struct poller_options options;
	struct rate_bucket bucket;
	struct entry *entries;
	size_t count;
	int used, reserved; /* of options.max_jobs */
	int limit; /* -1: none */
	bool waiting; /* hints come */
	uint64_t turn;
};

struct poller *poller_new(const struct poller_options *options, int64_t now_ms)
{
	struct poller *p = mh_alloc(sizeof(*p));

	p->options = *options;
	p->limit = -1;
	rate_init(&p->bucket, options->rate, BURST, now_ms);
	return p;
}

void poller_free(struct poller *p)
{
	if (!p)
		return;
	free(p->entries);
	free(p);
}

size_t poller_add(struct poller *p, int max_jobs)
{
	p->entries = mh_realloc(p->entries, (p->count + 1) * sizeof(*p->entries));
	p->entries[p->count] = (struct entry){ .max_jobs = max_jobs,
					       .interval_ms = p->options.min_ms };
	return p->count++;
}

/* How many jobs a poll of this entry may bring now. */
static int free_slots(const struct poller *p, const struct entry *e)
{
	int n = p->options.max_jobs - p->used - p->reserved;

	if (e->max_jobs == POLLER_NO_POLLS)
		return 0;
	if (e->max_jobs > 0 && e->max_jobs - e->used - e->reserved < n)
		n = e->max_jobs - e->used - e->reserved;
	if (p->limit >= 0 && p->limit - p->reserved < n)
		n = p->limit - p->reserved;
	return n > 0 ? n : 0;
}

/* Of those that are due and have a slot, the one whose last poll is longest ago. */
static struct entry *pick(struct poller *p, int64_t now_ms)
{
	struct entry *best = NULL;

	for (size_t i = 0; i < p->count; i++) {
		struct entry *e = &p->entries[i];

		if (e->in_flight || e->due_ms > now_ms || free_slots(p, e) == 0)
			continue;
		if (!best || e->polled < best->polled)
			best = e;
	}
	return best;
}

static int64_t next_due(const struct poller *p)
{
	int64_t next = POLLER_NEVER;

	for (size_t i = 0; i < p->count; i++) {
		const struct entry *e = &p->entries[i];

		if (!e->in_flight && e->due_ms < next && free_slots(p, e) > 0)
			next = e->due_ms;
	}
	return next;
}

int64_t poller_run(struct poller *p, int64_t now_ms)
{
	struct entry *e;

	while ((e = pick(p, now_ms)) != NULL) {
		int64_t wait = rate_take(&p->bucket, now_ms);

		if (wait > 0)
			return now_ms + wait;
		e->reserved = free_slots(p, e);
		p->reserved += e->reserved;
		e->in_flight = true;
		e->polled = ++p->turn;
		e->polled_by_hint = e->hinted;
		e->hinted = false;
		p->options.poll(p->options.ctx, (size_t)(e - p->entries), e->reserved);
	}
	return next_due(p);
}

/* Answers what had been reserved. */
static int release(struct poller *p, struct entry *e)
{
	int batch = e->reserved;

	MH_ASSERT(e->in_flight);
	e->in_flight = false;
	e->reserved = 0;
	p->reserved -= batch;
	return batch;
}

static int64_t safety_ms(const struct poller *p)
{
	return p->options.max_ms > SAFETY_MS ? p->options.max_ms : SAFETY_MS;
}

static void set_due(struct poller *p, struct entry *e, int jobs, int batch,
		    int64_t now_ms)
{
	int64_t pause = retry_jitter_ms(e->interval_ms);

	if (jobs > 0)
		e->vain = 0;
	else if (e->polled_by_hint)
		e->vain++;
	/* One hint in vain is a race that was lost; after the second it may be no race.
	 */
	e->wait_from_ms = e->vain > 1 ? now_ms + pause : now_ms;
	if (jobs >= batch)
		e->due_ms = now_ms;
	else
		e->due_ms = now_ms + (p->waiting ? retry_jitter_ms(safety_ms(p)) : pause);
}

void poller_answered(struct poller *p, size_t entry, int jobs, int64_t now_ms)
{
	struct entry *e = &p->entries[entry];
	int batch = release(p, e);

	e->failures = 0;
	rate_succeeded(&p->bucket);
	if (jobs > 0) {
		e->empties = 0;
		e->interval_ms = p->options.min_ms;
	} else if (++e->empties > EMPTIES_BEFORE_SLOWER) {
		e->interval_ms = (int64_t)((double)e->interval_ms * GROWTH) + 1;
		if (e->interval_ms > p->options.max_ms)
			e->interval_ms = p->options.max_ms;
	}
	set_due(p, e, jobs, batch, now_ms);
}

int64_t poller_failed(struct poller *p, size_t entry, const struct poller_failure *f,
		      int64_t now_ms)
{
	struct entry *e = &p->entries[entry];
	int64_t delay;

	(void)release(p, e); /* no batch came */
	if (f->throttled)
		rate_throttled(&p->bucket, now_ms);
	delay = retry_patient_ms(e->failures++, p->options.retry_base_ms, ERROR_CAP_MS);
	delay = retry_heed_ms(delay, f->asked_ms);
	e->due_ms = now_ms + delay;
	return delay;
}

void poller_recovered(struct poller *p, int64_t now_ms)
{
	for (size_t i = 0; i < p->count; i++) {
		struct entry *e = &p->entries[i];

		if (e->failures > 0 && e->due_ms > now_ms)
			e->due_ms = now_ms;
	}
}

void poller_take(struct poller *p, size_t entry)
{
	p->entries[entry].used++;
	p->used++;
}

void poller_give(struct poller *p, size_t entry, int64_t now_ms)
{
	MH_ASSERT(p->entries[entry].used > 0);
	for (size_t i = 0; i < p->count; i++)
		p->entries[i].full = free_slots(p, &p->entries[i]) == 0;
	p->entries[entry].used--;
	p->used--;
	/* The end of one action is often the beginning of another, of any type. One
	 * that is failing keeps its distance; who had a slot and is told when there is
	 * work is told of that too. */
	for (size_t i = 0; i < p->count; i++) {
		struct entry *e = &p->entries[i];

		if (e->failures > 0 || (p->waiting && !e->full))
			continue;
		e->empties = 0;
		e->interval_ms = p->options.min_ms;
		if (e->due_ms > now_ms)
			e->due_ms = now_ms;
	}
}

/* --- waiting to be told -------------------------------------------------------- */

void poller_waiting(struct poller *p, bool on, int64_t now_ms)
{
	if (p->waiting == on)
		return;
	p->waiting = on;
	for (size_t i = 0; i < p->count; i++) {
		struct entry *e = &p->entries[i];
		int64_t due = now_ms +
			      retry_jitter_ms(on ? safety_ms(p) : e->interval_ms);

		e->vain = 0;
		e->wait_from_ms = now_ms;
		/* One that is due, or failing, goes on as it was. */
		if (e->due_ms > now_ms && e->failures == 0)
			e->due_ms = on || due < e->due_ms ? due : e->due_ms;
	}
}

int64_t poller_may_wait(const struct poller *p, size_t entry, int64_t now_ms)
{
	const struct entry *e = &p->entries[entry];

	if (!p->waiting || e->in_flight || e->failures > 0 || e->due_ms <= now_ms ||
	    free_slots(p, e) == 0)
		return POLLER_NEVER;
	return e->wait_from_ms;
}

void poller_hint(struct poller *p, size_t entry, int64_t now_ms)
{
	struct entry *e = &p->entries[entry];

	if (e->failures > 0)
		return;
	e->hinted = true;
	if (e->due_ms > now_ms)
		e->due_ms = now_ms;
}

size_t poller_poll_now(struct poller *p, int64_t now_ms)
{
	size_t count = 0;

	for (size_t i = 0; i < p->count; i++) {
		struct entry *e = &p->entries[i];

		if (e->due_ms > now_ms)
			e->due_ms = now_ms;
		count += e->in_flight || free_slots(p, e) > 0;
	}
	return count;
}

void poller_limit(struct poller *p, int jobs)
{
	p->limit = jobs;
}

bool poller_has_room(const struct poller *p, size_t entry)
{
	return free_slots(p, &p->entries[entry]) > 0;
}

bool poller_in_flight(const struct poller *p)
{
	for (size_t i = 0; i < p->count; i++) {
		if (p->entries[i].in_flight)
			return true;
	}
	return false;
}
