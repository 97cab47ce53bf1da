#include "agent/creds_store.h"

#include <stdio.h>
#include <string.h>
#include <sys/queue.h>

#include "agent/metrics.h"
#include "agent/retry.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/macros.h"

#define LEAD_MS        (10 * 60 * INT64_C(1000))
#define REFRESH_MIN_MS 1000
#define RETRY_CAP_MS   60000
#define REFUSED_BASES  10 /* of retry_base: not another set before this */
#define HIDDEN_SETS    4 /* the last so many stay out of the log */

enum wait_state { WAIT_PENDING, WAIT_GOOD, WAIT_BAD };

struct creds_wait {
	struct creds_store *store;
	uint64_t refused; /* the generation that will not do; 0: any will */
	enum wait_state state;
	struct mh_err err;
	creds_wait_fn done;
	void *ctx;
	TAILQ_ENTRY(creds_wait) link;
};

struct creds_store {
	struct creds_tools tools;
	struct creds_plan plan;
	char source[CREDS_SOURCE_SIZE]; /* of the set in use */
	struct creds keys;
	uint64_t generation; /* 0: there never was one */
	int64_t expires_mono_ms; /* CREDS_NEVER */
	struct creds hidden[HIDDEN_SETS];
	size_t next_hidden;

	struct creds_fetch *fetch;
	int64_t asked_mono_ms; /* when the last fetch began; 0: never */
	int failures; /* in a row */
	int64_t retry_mono_ms; /* not before; 0: now */
	struct mh_err last; /* why the last one failed */
	bool said_expired;

	TAILQ_HEAD(creds_waits, creds_wait) waits;
	uv_timer_t refresh, tell;
	int handles;
};

static void begin_fetch(struct creds_store *s);

/* --- what there is ---------------------------------------------------------------------
 */

const struct creds *creds_store_now(const struct creds_store *s)
{
	return s->generation > 0 && clock_mono_ms() < s->expires_mono_ms ? &s->keys
									 : NULL;
}

uint64_t creds_store_generation(const struct creds_store *s)
{
	return s->generation;
}

const char *creds_store_source(const struct creds_store *s)
{
	return s->source;
}

int64_t creds_store_life_ms(const struct creds_store *s)
{
	if (!creds_store_now(s))
		return 0;
	return s->expires_mono_ms == CREDS_NEVER ? CREDS_NEVER
						 : s->expires_mono_ms - clock_mono_ms();
}

int64_t creds_refresh_after_ms(int64_t life_ms)
{
	int64_t after = life_ms > 2 * LEAD_MS ? life_ms - LEAD_MS : life_ms / 2;

	/* Many agents that got theirs at once do not come back at once. */
	after -= (int64_t)(retry_random() * (double)(after / 20));
	return after > REFRESH_MIN_MS ? after : REFRESH_MIN_MS;
}

/* --- who waits -------------------------------------------------------------------------
 */

static void tell_ready(uv_timer_t *timer)
{
	struct creds_store *s = timer->data;
	struct creds_wait *w;

	for (;;) {
		struct creds_wait copy;

		w = TAILQ_FIRST(&s->waits);
		while (w && w->state == WAIT_PENDING)
			w = TAILQ_NEXT(w, link);
		if (!w)
			return;
		copy = *w;
		creds_wait_cancel(w);
		copy.done(copy.ctx, copy.state == WAIT_GOOD ? NULL : &copy.err);
	}
}

static void tell_soon(struct creds_store *s)
{
	uv_update_time(loop_uv(s->tools.loop));
	(void)uv_timer_start(&s->tell, tell_ready, 0, 0); /* fails without a callback */
}

static void settle(struct creds_wait *w, const struct mh_err *why)
{
	struct creds_store *s = w->store;
	bool good = creds_store_now(s) && w->refused != s->generation;

	w->state = good ? WAIT_GOOD : WAIT_BAD;
	if (!good && why)
		w->err = *why;
	else if (!good)
		(void)mh_err_set(&w->err, MH_E_AUTH,
				 "the same credentials were found again");
	tell_soon(s);
}

static void settle_all(struct creds_store *s, const struct mh_err *why)
{
	struct creds_wait *w = TAILQ_FIRST(&s->waits);

	for (; w; w = TAILQ_NEXT(w, link)) {
		if (w->state == WAIT_PENDING)
			settle(w, why);
	}
}

void creds_wait_cancel(struct creds_wait *w)
{
	if (!w)
		return;
	TAILQ_REMOVE(&w->store->waits, w, link);
	free(w);
}

static struct creds_wait *new_wait(struct creds_store *s, uint64_t refused,
				   creds_wait_fn done, void *ctx)
{
	struct creds_wait *w = mh_alloc(sizeof(*w));

	*w = (struct creds_wait){
		.store = s, .refused = refused, .done = done, .ctx = ctx
	};
	TAILQ_INSERT_TAIL(&s->waits, w, link);
	return w;
}

struct creds_wait *creds_store_wait(struct creds_store *s, creds_wait_fn done, void *ctx)
{
	struct creds_wait *w = new_wait(s, 0, done, ctx);

	if (creds_store_now(s))
		settle(w, NULL);
	else if (!s->fetch && clock_mono_ms() < s->retry_mono_ms)
		settle(w, &s->last);
	else
		begin_fetch(s);
	return w;
}

struct creds_wait *creds_store_refused(struct creds_store *s, uint64_t generation,
				       creds_wait_fn done, void *ctx)
{
	struct creds_wait *w = new_wait(s, generation, done, ctx);
	int64_t now = clock_mono_ms();
	int64_t again = s->asked_mono_ms +
			REFUSED_BASES * s->tools.settings->retry_base_ms;

	if (generation != s->generation && creds_store_now(s))
		settle(w, NULL);
	else if (!s->fetch && !creds_plan_is_static(&s->plan) &&
		 (now < s->retry_mono_ms || now < again))
		settle(w, s->failures > 0 ? &s->last : NULL);
	else
		begin_fetch(s);
	return w;
}

/* --- a new set
 * --------------------------------------------------------------------------- */

static void hide(struct creds_store *s)
{
	struct creds *oldest = &s->hidden[s->next_hidden++ % HIDDEN_SETS];

	log_unredact(oldest->secret_access_key);
	log_unredact(oldest->session_token);
	creds_set(oldest, "", s->keys.secret_access_key, s->keys.session_token);
	log_redact(s->keys.secret_access_key);
	log_redact(s->keys.session_token);
}

static void say_adopted(const struct creds_store *s, bool is_new_source, bool stale)
{
	int64_t life = creds_store_life_ms(s);
	int64_t life_s = life == CREDS_NEVER ? -1 : life / 1000;

	if (is_new_source)
		log_event(LOG_LEVEL_INFO, "agent.credentials", "credentials found",
			  LOG_S("source", s->source),
			  LOG_S("access_key_id", s->keys.access_key_id),
			  LOG_I("life_s", life_s), LOG_END);
	else
		log_event(s->failures > 0 ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG,
			  "credentials.renewed", "credentials renewed",
			  LOG_S("source", s->source),
			  LOG_S("access_key_id", s->keys.access_key_id),
			  LOG_I("life_s", life_s), LOG_END);
	if (stale)
		log_event(LOG_LEVEL_WARN, "credentials.stale",
			  "the instance's service gives credentials that are over; they "
			  "are used until it has better ones",
			  LOG_S("source", s->source), LOG_END);
}

static void on_refresh(uv_timer_t *timer)
{
	begin_fetch(timer->data);
}

static void refresh_in(struct creds_store *s, int64_t ms)
{
	uv_update_time(loop_uv(s->tools.loop));
	(void)uv_timer_start(&s->refresh, on_refresh, (uint64_t)ms, 0); /* as above */
}

static void adopt(struct creds_store *s, const struct creds *keys, int64_t life_ms,
		  bool stale)
{
	bool is_new_source = strcmp(s->source, s->plan.name) != 0;

	if (!creds_equal(&s->keys, keys)) {
		creds_set(&s->keys, keys->access_key_id, keys->secret_access_key,
			  keys->session_token);
		s->generation++;
		hide(s);
	}
	memcpy(s->source, s->plan.name, sizeof(s->source));
	s->expires_mono_ms = life_ms == CREDS_NEVER ? CREDS_NEVER
						    : clock_mono_ms() + life_ms;
	METRIC_INC(METRIC_CREDS_REFRESHES, "ok");
	say_adopted(s, is_new_source, stale);
	s->failures = 0;
	s->retry_mono_ms = 0;
	s->said_expired = false;
	if (life_ms == CREDS_NEVER)
		(void)uv_timer_stop(&s->refresh); /* cannot fail */
	else
		refresh_in(s, creds_refresh_after_ms(life_ms));
	settle_all(s, NULL);
}

static void fetch_failed(struct creds_store *s, const struct mh_err *err)
{
	int64_t delay = retry_patient_ms(s->failures, s->tools.settings->retry_base_ms,
					 RETRY_CAP_MS);
	int64_t life = creds_store_life_ms(s);

	METRIC_INC(METRIC_CREDS_REFRESHES, "failed");
	s->last = *err;
	(void)mh_err_wrap(&s->last, "credentials");
	s->retry_mono_ms = clock_mono_ms() + delay;
	/* Once, not at every try: it may go on for hours. */
	log_event(s->failures == 0 ? LOG_LEVEL_WARN : LOG_LEVEL_DEBUG,
		  "credentials.failed",
		  life > 0 ? "no new credentials; those there are are used meanwhile"
			   : "no credentials; tried again later",
		  LOG_ERR(err), LOG_I("retry_ms", delay),
		  LOG_I("life_s", life == CREDS_NEVER ? -1 : life / 1000), LOG_END);
	if (life == 0 && s->generation > 0 && !s->said_expired) {
		s->said_expired = true;
		log_event(
			LOG_LEVEL_ERROR, "credentials.expired",
			"the credentials are over and there are no new ones; nothing is "
			"polled until there are, running jobs go on",
			LOG_ERR(err), LOG_END);
	}
	s->failures++;
	refresh_in(s, delay);
	settle_all(s, &s->last);
}

static void fetched(void *ctx, struct creds_result *result, const struct mh_err *err)
{
	struct creds_store *s = ctx;

	s->fetch = NULL;
	if (result)
		adopt(s, &result->keys, result->life_ms, result->stale);
	else
		fetch_failed(s, err);
}

static void begin_fetch(struct creds_store *s)
{
	struct creds_plan plan = { 0 };
	struct mh_err err;

	if (s->fetch)
		return;
	s->asked_mono_ms = clock_mono_ms();
	if (creds_plan_make(&s->tools.settings->credentials, &plan, &err) != 0 ||
	    (creds_plan_is_static(&plan) && creds_check(&plan.keys, &err) != 0)) {
		creds_plan_done(&plan);
		fetch_failed(s, &err);
		return;
	}
	creds_plan_done(&s->plan);
	s->plan = plan;
	if (creds_plan_is_static(&plan))
		adopt(s, &s->plan.keys, CREDS_NEVER, false);
	else
		s->fetch = creds_fetch_start(&s->tools, &s->plan, fetched, s);
}

void creds_store_reload(struct creds_store *s)
{
	creds_fetch_cancel(s->fetch); /* it asks whom the old configuration named */
	s->fetch = NULL;
	begin_fetch(s);
}

/* --- life
 * ---------------------------------------------------------------------------------- */

static void handle_closed(uv_handle_t *handle)
{
	struct creds_store *s = handle->data;

	if (--s->handles > 0)
		return;
	creds_plan_done(&s->plan);
	creds_done(&s->keys);
	for (size_t i = 0; i < HIDDEN_SETS; i++)
		creds_done(&s->hidden[i]);
	free(s);
}

void creds_store_free(struct creds_store *s)
{
	if (!s)
		return;
	creds_fetch_cancel(s->fetch);
	s->fetch = NULL;
	while (!TAILQ_EMPTY(&s->waits))
		creds_wait_cancel(TAILQ_FIRST(&s->waits));
	uv_close((uv_handle_t *)&s->refresh, handle_closed);
	uv_close((uv_handle_t *)&s->tell, handle_closed);
}

static void init_timer(struct creds_store *s, uv_timer_t *timer)
{
	(void)uv_timer_init(loop_uv(s->tools.loop), timer); /* always 0 */
	timer->data = s;
	s->handles++;
}

int creds_store_check(const struct settings *settings, struct mh_err *err)
{
	CLEAN(creds_plan) struct creds_plan plan = { 0 };

	if (creds_plan_make(&settings->credentials, &plan, err) != 0)
		return -1;
	if (creds_plan_is_static(&plan) && creds_check(&plan.keys, err) != 0) {
		err->cls = MH_E_CONFIG;
		return mh_err_wrap(err, "credentials: %s", plan.name);
	}
	return 0;
}

int creds_store_new(const struct creds_tools *tools, struct creds_store **ret,
		    struct mh_err *err)
{
	struct creds_store *s;

	if (creds_store_check(tools->settings, err) != 0)
		return -1;
	s = mh_alloc(sizeof(*s));
	s->tools = *tools;
	TAILQ_INIT(&s->waits);
	init_timer(s, &s->refresh);
	init_timer(s, &s->tell);
	begin_fetch(s);
	*ret = s;
	return 0;
}
