/*
 * The threads of built-in work: claim, work, report, until there is none; then they
 * sleep until a commit says that there is more.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <time.h>

#include "emulator/builtin/task.h"
#include "lib/base/fault.h"
#include "lib/base/fsio.h"
#include "lib/base/log.h"

#define THREADS        2
#define BACKOFF_MS     1000 /* after a writer's error, doubled up to the next line */
#define BACKOFF_MAX_MS 30000

struct builtin_pool {
	pthread_t threads[THREADS];
	size_t thread_count;
	pthread_mutex_t lock; /* of the two below */
	pthread_cond_t changed;
	uint64_t wakes;
	bool stopping;

	int cancel_fd; /* an eventfd, readable from the stop on */
	char epoch[STR_UUID_SIZE]; /* this life of the process */
	struct writer *writer;
	struct s3 *s3;
	const struct settings *settings;
	char *tmp_dir;
};

int builtin_pool_new(struct builtin_pool **ret, struct mh_err *err)
{
	struct builtin_pool *p = mh_alloc(sizeof(*p));
	pthread_condattr_t attributes;

	p->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (p->cancel_fd < 0) {
		(void)mh_err_sys(err, "cannot make an eventfd"); /* -1 below */
		free(p);
		return -1;
	}
	(void)pthread_condattr_init(&attributes);
	(void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&p->changed, &attributes);
	(void)pthread_condattr_destroy(&attributes);
	(void)pthread_mutex_init(&p->lock, NULL);
	str_uuid(p->epoch);
	p->wakes = 1; /* work may have been left by an earlier life */
	*ret = p;
	return 0;
}

void builtin_pool_wake(void *pool)
{
	struct builtin_pool *p = pool;

	pthread_mutex_lock(&p->lock);
	p->wakes++;
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
}

/* Until there was a wake since *seen; false when the pool stops. */
static bool await_wake(struct builtin_pool *p, uint64_t *seen)
{
	bool go_on;

	pthread_mutex_lock(&p->lock);
	while (!p->stopping && p->wakes == *seen)
		pthread_cond_wait(&p->changed, &p->lock);
	*seen = p->wakes;
	go_on = !p->stopping;
	pthread_mutex_unlock(&p->lock);
	return go_on;
}

/* So long, or until the pool stops: then false. */
static bool rest(struct builtin_pool *p, int64_t ms)
{
	struct timespec until;
	bool go_on;
	int rc = 0;

	(void)clock_gettime(CLOCK_MONOTONIC, &until); /* always there */
	until.tv_sec += ms / 1000;
	until.tv_nsec += ms % 1000 * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&p->lock);
	while (!p->stopping && rc != ETIMEDOUT)
		rc = pthread_cond_timedwait(&p->changed, &p->lock, &until);
	go_on = !p->stopping;
	pthread_mutex_unlock(&p->lock);
	return go_on;
}

struct claim {
	const char *epoch;
	struct builtin_job job;
	bool found;
};

static int tx_claim(struct op_ctx *ctx, void *arg, struct api_error *err)
{
	struct claim *c = arg;

	return engine_claim_builtin(ctx, c->epoch, &c->job, &c->found, err);
}

struct report {
	const char *job_id;
	const struct builtin_result *result;
};

static int tx_finish(struct op_ctx *ctx, void *arg, struct api_error *err)
{
	const struct report *r = arg;

	return engine_finish_builtin(ctx, r->job_id, r->result, err);
}

/* The writer's calls fail when the disk is full, say, or when the server stops: the
 * job stays claimed and comes again in the next life. Answers false to give up. */
static bool call_until_done(struct builtin_pool *p, writer_fn fn, void *arg,
			    const char *what)
{
	int64_t backoff_ms = BACKOFF_MS;

	for (;;) {
		struct api_error err = { 0 };

		if (writer_call(p->writer, fn, arg, NULL, &err) == 0)
			return true;
		if (err.status != 503) /* 503: the server is stopping, which is no news */
			log_event(LOG_LEVEL_ERROR, "builtin.writer_failed", what,
				  LOG_S("error", err.message),
				  LOG_I("retry_in_ms", backoff_ms), LOG_END);
		if (!rest(p, backoff_ms))
			return false;
		backoff_ms = backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS
							     : backoff_ms * 2;
	}
}

static void report_work(struct builtin_pool *p, const struct task *t)
{
	struct builtin_result result = {
		.failure_type = t->failure_type,
		.message = t->message,
		.summary = t->summary,
		.revision_id = t->revision_id,
		.revision_summary = t->revision_summary,
		.revision_created_ms = t->revision_created_ms,
		.variables = t->failure_type == NULL ? t->variables : NULL,
	};
	struct report report = { .job_id = t->job->id, .result = &result };

	log_event(t->failure_type ? LOG_LEVEL_WARN : LOG_LEVEL_INFO,
		  t->failure_type ? "builtin.failed" : "builtin.done",
		  t->failure_type ? t->message : "built-in action finished",
		  LOG_S("job", t->job->id), LOG_S("pipeline", t->job->pipeline),
		  LOG_S("provider", t->job->provider), LOG_END);
	FAULT_POINT("builtin.worked");
	(void)call_until_done(
		p, tx_finish, &report,
		"a built-in action's result could not be stored"); /* told there */
	FAULT_POINT("builtin.reported");
}

/* One job, if there is one. */
static bool work_once(struct builtin_pool *p)
{
	struct claim c = { .epoch = p->epoch };
	struct task t;

	if (!call_until_done(p, tx_claim, &c, "built-in work could not be claimed") ||
	    !c.found)
		return false;
	FAULT_POINT("builtin.claimed");
	t = (struct task){ .job = &c.job,
			   .s3 = p->s3,
			   .settings = p->settings,
			   .tmp_dir = p->tmp_dir,
			   .cancel_fd = p->cancel_fd };
	task_run(&t);
	if (!t.cancelled)
		report_work(p, &t);
	task_done(&t);
	builtin_job_done(&c.job);
	return true;
}

static bool is_stopping(struct builtin_pool *p)
{
	bool stopping;

	pthread_mutex_lock(&p->lock);
	stopping = p->stopping;
	pthread_mutex_unlock(&p->lock);
	return stopping;
}

static void *worker_main(void *arg)
{
	struct builtin_pool *p = arg;
	uint64_t seen = 0;

	while (await_wake(p, &seen))
		while (!is_stopping(p) && work_once(p))
			;
	return NULL;
}

/* What a crash left behind goes. */
static int clean_tmp(struct builtin_pool *p, struct mh_err *err)
{
	if (fs_remove_tree_at(AT_FDCWD, p->tmp_dir, err) != 0)
		return -1;
	return fs_mkdir_p(p->tmp_dir, 0700, err);
}

int builtin_pool_start(struct builtin_pool *p, struct writer *writer, struct s3 *s3,
		       const struct settings *settings, struct mh_err *err)
{
	p->writer = writer;
	p->s3 = s3;
	p->settings = settings;
	p->tmp_dir = mh_format("%s/tmp/builtin", settings->data_dir);
	if (clean_tmp(p, err) != 0)
		return -1;
	/* One thread does things in their order. */
	while (p->thread_count < (settings->deterministic ? 1 : THREADS)) {
		int rc = pthread_create(&p->threads[p->thread_count], NULL, worker_main,
					p);

		if (rc != 0) {
			errno = rc;
			return mh_err_sys(err, "cannot start a thread for built-in work");
		}
		p->thread_count++;
	}
	return 0;
}

void builtin_pool_stop(struct builtin_pool *p)
{
	if (p == NULL)
		return;
	pthread_mutex_lock(&p->lock);
	p->stopping = true;
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
	(void)eventfd_write(p->cancel_fd, 1); /* it cannot be full */
	for (size_t i = 0; i < p->thread_count; i++)
		pthread_join(p->threads[i], NULL);
	(void)pthread_cond_destroy(&p->changed);
	(void)pthread_mutex_destroy(&p->lock);
	clean_fd(&p->cancel_fd);
	free(p->tmp_dir);
	free(p);
}
