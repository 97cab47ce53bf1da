#include "emulator/wait.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>

#include "emulator/engine/engine.h"
#include "emulator/type_name.h"
#include "lib/base/clock.h"

struct waiter { /* on the waiting thread's stack */
	uint64_t types;
	int fd; /* an eventfd: readable when there may be something new */
	struct waiter *prev, *next;
};

struct wait_hub {
	pthread_mutex_t lock;
	struct waiter *first;
	int count, limit;
	bool stopping;
};

/* ---- the hub ---- */

struct wait_hub *wait_hub_new(void)
{
	struct wait_hub *hub = mh_alloc(sizeof(*hub));

	pthread_mutex_init(&hub->lock, NULL); /* a plain one cannot fail */
	return hub;
}

void wait_hub_free(struct wait_hub *hub)
{
	if (!hub)
		return;
	MH_ASSERT(!hub->first);
	pthread_mutex_destroy(&hub->lock);
	free(hub);
}

void wait_hub_limit(struct wait_hub *hub, int limit)
{
	pthread_mutex_lock(&hub->lock);
	hub->limit = limit;
	pthread_mutex_unlock(&hub->lock);
}

static void wake(struct waiter *w)
{
	uint64_t one = 1;

	/* It fails when the counter is full: then it is readable anyway. */
	(void)!write(w->fd, &one, sizeof(one));
}

void wait_hub_wake(void *arg, uint64_t types)
{
	struct wait_hub *hub = arg;

	pthread_mutex_lock(&hub->lock);
	for (struct waiter *w = hub->first; w; w = w->next) {
		if (w->types & types)
			wake(w);
	}
	pthread_mutex_unlock(&hub->lock);
}

void wait_hub_stop(struct wait_hub *hub)
{
	if (!hub)
		return;
	pthread_mutex_lock(&hub->lock);
	hub->stopping = true;
	for (struct waiter *w = hub->first; w; w = w->next)
		wake(w);
	pthread_mutex_unlock(&hub->lock);
}

static bool is_stopping(struct wait_hub *hub)
{
	bool stopping;

	pthread_mutex_lock(&hub->lock);
	stopping = hub->stopping;
	pthread_mutex_unlock(&hub->lock);
	return stopping;
}

static int enter(struct wait_hub *hub, struct waiter *w, struct api_error *err)
{
	bool room;

	w->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pthread_mutex_lock(&hub->lock);
	room = w->fd >= 0 && hub->count < hub->limit;
	if (room) {
		hub->count++;
		w->next = hub->first;
		if (w->next)
			w->next->prev = w;
		hub->first = w;
	}
	pthread_mutex_unlock(&hub->lock);
	if (room)
		return 0;
	if (w->fd >= 0)
		(void)close(w->fd); /* nothing was in it */
	(void)api_fail(err, "ServiceUnavailable",
		       "Too many workers wait here already: poll instead.");
	err->status = 503;
	return -1;
}

static void leave(struct wait_hub *hub, struct waiter *w)
{
	pthread_mutex_lock(&hub->lock);
	hub->count--;
	if (w->prev)
		w->prev->next = w->next;
	else
		hub->first = w->next;
	if (w->next)
		w->next->prev = w->prev;
	pthread_mutex_unlock(&hub->lock);
	(void)close(w->fd); /* what is in it nobody needs */
}

/* ---- what is asked ---- */

struct asked {
	char *text; /* taken apart in place */
	const char *types[WAIT_TYPES_MAX];
	size_t count;
	uint64_t bits;
	int64_t ms;
};

static bool has(const struct asked *a, const char *type)
{
	for (size_t i = 0; i < a->count; i++) {
		if (strcmp(a->types[i], type) == 0)
			return true;
	}
	return false;
}

static int take_type(struct asked *a, const char *type, struct api_error *err)
{
	if (!type_name_is(type, "Custom") && !type_name_is(type, "ThirdParty"))
		return api_fail(err, "ValidationException",
				"types: '%.100s' is no custom or third-party action "
				"type: write it like Build/Custom/Make/1",
				type);
	if (has(a, type))
		return 0;
	if (a->count == WAIT_TYPES_MAX)
		return api_fail(err, "ValidationException",
				"types: at most %d can be waited for at once",
				WAIT_TYPES_MAX);
	a->types[a->count++] = type;
	a->bits |= op_work_bit(type);
	return 0;
}

static int take_types(struct asked *a, const char *types, struct api_error *err)
{
	char *rest;

	a->text = mh_strdup(types ? types : "");
	rest = a->text;
	do {
		char *type = strsep(&rest, ",");

		if (take_type(a, type, err) != 0)
			return -1;
	} while (rest);
	return 0;
}

static int take_seconds(struct asked *a, const char *text, struct api_error *err)
{
	struct mh_err why = MH_ERR_INIT;
	int64_t seconds = WAIT_SECONDS_DEFAULT;

	if (text && str_to_i64(text, 0, WAIT_SECONDS_MAX, "seconds", &seconds, &why) != 0)
		return api_fail(err, "ValidationException", "%s", why.text);
	a->ms = seconds * 1000;
	return 0;
}

/* ---- waiting ---- */

struct look {
	const struct asked *asked;
	struct json_object *found; /* names of types that have work */
	int64_t next_ms; /* until one has by the clock alone; -1: none will */
};

static int look_in_store(struct op_ctx *ctx, void *arg, struct api_error *err)
{
	struct look *l = arg;

	for (size_t i = 0; i < l->asked->count; i++) {
		int64_t at;

		if (engine_next_visible(ctx, l->asked->types[i], &at, err) != 0)
			return -1;
		if (at >= 0 && at <= ctx->now_ms)
			json_object_array_add(l->found,
					      json_object_new_string(l->asked->types[i]));
		else if (at >= 0 && (l->next_ms < 0 || at - ctx->now_ms < l->next_ms))
			l->next_ms = at - ctx->now_ms;
	}
	return 0;
}

/* Until it is woken, the time is over, or the client is gone; false for the last. */
static bool sleep_until_woken(const struct waiter *w, int client_fd, int64_t ms)
{
	struct pollfd fds[] = { { .fd = w->fd, .events = POLLIN },
				{ .fd = client_fd, .events = POLLRDHUP } };
	uint64_t count;

	/* Errors are a signal's, and no harm: the caller looks again. */
	if (poll(fds, ARRAY_LEN(fds), ms > INT32_MAX ? INT32_MAX : (int)ms) <= 0)
		return true;
	(void)!read(w->fd, &count, sizeof(count)); /* empty: it was not this one */
	return fds[1].revents == 0;
}

static int wait_as(struct wait_hub *hub, struct writer *writer, const struct waiter *w,
		   const struct asked *asked, int client_fd, struct json_object *found,
		   struct api_error *err)
{
	int64_t until = clock_mono_ms() + asked->ms;

	for (;;) {
		struct look l = { .asked = asked, .found = found, .next_ms = -1 };
		int64_t left;

		if (is_stopping(hub))
			return 0;
		if (writer_call(writer, look_in_store, &l, NULL, err) != 0)
			return -1;
		left = until - clock_mono_ms();
		if (json_object_array_length(found) > 0 || left <= 0)
			return 0;
		if (l.next_ms >= 0 && l.next_ms < left)
			left = l.next_ms;
		if (!sleep_until_woken(w, client_fd, left))
			return 0;
	}
}

int wait_for_work(struct wait_hub *hub, struct writer *writer,
		  const struct wait_request *request, struct json_object **ret,
		  struct api_error *err)
{
	struct asked asked = { 0 };
	struct waiter w = { 0 };
	CLEAN(json) struct json_object *found = json_object_new_array();
	int rc = -1;

	if (take_types(&asked, request->types, err) == 0 &&
	    take_seconds(&asked, request->seconds, err) == 0) {
		w.types = asked.bits;
		/* In the hub before the first look: what comes in between wakes it. */
		if (enter(hub, &w, err) == 0) {
			rc = wait_as(hub, writer, &w, &asked, request->client_fd, found,
				     err);
			leave(hub, &w);
		}
	}
	free(asked.text);
	if (rc == 0)
		*ret = STEAL_PTR(found);
	return rc;
}
