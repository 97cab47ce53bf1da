/* Mutex and condition are plain ones: their calls cannot fail. */
#include "emulator/bell.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "lib/base/clock.h"
#include "lib/base/err.h"

struct bell {
	pthread_mutex_t lock;
	pthread_cond_t rang;
	uint64_t count;
	bool stopped;
};

struct bell *bell_new(void)
{
	struct bell *b = mh_alloc(sizeof(*b));
	pthread_condattr_t attributes;

	(void)pthread_condattr_init(&attributes);
	(void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&b->rang, &attributes);
	(void)pthread_condattr_destroy(&attributes);
	(void)pthread_mutex_init(&b->lock, NULL);
	return b;
}

void bell_free(struct bell *b)
{
	if (!b)
		return;
	(void)pthread_cond_destroy(&b->rang);
	(void)pthread_mutex_destroy(&b->lock);
	free(b);
}

void bell_ring(struct bell *b)
{
	if (!b)
		return;
	pthread_mutex_lock(&b->lock);
	b->count++;
	pthread_cond_broadcast(&b->rang);
	pthread_mutex_unlock(&b->lock);
}

void bell_stop(struct bell *b)
{
	if (!b)
		return;
	pthread_mutex_lock(&b->lock);
	b->stopped = true;
	pthread_cond_broadcast(&b->rang);
	pthread_mutex_unlock(&b->lock);
}

bool bell_is_stopped(struct bell *b)
{
	bool stopped;

	pthread_mutex_lock(&b->lock);
	stopped = b->stopped;
	pthread_mutex_unlock(&b->lock);
	return stopped;
}

uint64_t bell_count(struct bell *b)
{
	uint64_t count;

	pthread_mutex_lock(&b->lock);
	count = b->count;
	pthread_mutex_unlock(&b->lock);
	return count;
}

bool bell_wait(struct bell *b, uint64_t *seen, int64_t ms)
{
	struct timespec until;
	bool rang;
	int rc = 0;

	(void)clock_gettime(CLOCK_MONOTONIC, &until); /* always there */
	until.tv_sec += ms / 1000;
	until.tv_nsec += ms % 1000 * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&b->lock);
	while (!b->stopped && b->count == *seen && rc == 0)
		rc = pthread_cond_timedwait(&b->rang, &b->lock, &until);
	rang = !b->stopped && b->count != *seen;
	*seen = b->count;
	pthread_mutex_unlock(&b->lock);
	return rang;
}

bool bell_rest(struct bell *b, int64_t ms)
{
	int64_t until = clock_mono_ms() + ms;
	int64_t left;

	while ((left = until - clock_mono_ms()) > 0 && !bell_is_stopped(b)) {
		uint64_t seen = bell_count(b);

		(void)bell_wait(b, &seen, left); /* the loop looks */
	}
	return !bell_is_stopped(b);
}
