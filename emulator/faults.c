/* The mutex is a plain one: its calls cannot fail. */
#include "emulator/faults.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/err.h"
#include "lib/base/str.h"

struct faults {
	pthread_mutex_t lock;
	struct fault rules[FAULTS_MAX];
	int count;
	int64_t last_id;
};

struct faults *faults_new(void)
{
	struct faults *f = mh_alloc(sizeof(*f));

	(void)pthread_mutex_init(&f->lock, NULL);
	return f;
}

void faults_free(struct faults *f)
{
	if (!f)
		return;
	(void)pthread_mutex_destroy(&f->lock);
	free(f);
}

int64_t faults_add(struct faults *f, const struct fault *rule)
{
	int64_t id = 0;

	pthread_mutex_lock(&f->lock);
	if (f->count < FAULTS_MAX) {
		id = ++f->last_id;
		f->rules[f->count] = *rule;
		f->rules[f->count].id = id;
		f->rules[f->count].hits = 0;
		f->count++;
	}
	pthread_mutex_unlock(&f->lock);
	return id;
}

int faults_remove(struct faults *f, int64_t id)
{
	int kept = 0, removed;

	pthread_mutex_lock(&f->lock);
	for (int i = 0; i < f->count; i++) {
		if (id != 0 && f->rules[i].id != id)
			f->rules[kept++] = f->rules[i];
	}
	removed = f->count - kept;
	f->count = kept;
	pthread_mutex_unlock(&f->lock);
	return removed;
}

int faults_list(struct faults *f, struct fault *ret, int max)
{
	int n;

	pthread_mutex_lock(&f->lock);
	n = f->count < max ? f->count : max;
	memcpy(ret, f->rules, (size_t)n * sizeof(*ret));
	pthread_mutex_unlock(&f->lock);
	return n;
}

/* splitmix64, as the ids of tests: a number from 0 to below 1. */
static double chance(uint64_t *seed)
{
	uint64_t z = *seed += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return (double)((z ^ (z >> 31)) >> 11) / 9007199254740992.0; /* 2^53 */
}

static bool is_for(const struct fault *rule, const char *operation)
{
	if (strcmp(rule->operation, FAULT_ANY) == 0)
		return !str_starts_with(operation, FAULT_S3_PREFIX);
	return strcmp(rule->operation, operation) == 0;
}

static bool hits(struct fault *rule, const char *operation)
{
	if (!is_for(rule, operation) || rule->count == 0)
		return false;
	if (rule->skip > 0) {
		rule->skip--;
		return false;
	}
	if (rule->probability < 1 && chance(&rule->seed) >= rule->probability)
		return false;
	if (rule->count != FAULT_FOR_EVER)
		rule->count--;
	rule->hits++;
	return true;
}

void faults_pick(struct faults *f, const char *operation, struct fault *ret)
{
	ret->id = 0;
	if (!f)
		return;
	pthread_mutex_lock(&f->lock);
	for (int i = 0; i < f->count; i++) {
		if (hits(&f->rules[i], operation)) {
			*ret = f->rules[i];
			break;
		}
	}
	pthread_mutex_unlock(&f->lock);
}
