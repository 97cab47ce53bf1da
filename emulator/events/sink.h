/* Where events go: what delivery.c needs to know of a file or an HTTP target. */
#ifndef MH_EMULATOR_EVENTS_SINK_H
#define MH_EMULATOR_EVENTS_SINK_H

#include "emulator/bell.h"
#include "emulator/settings.h"
#include "emulator/store/events.h"

struct sink {
	const struct sink_kind *kind;
	char *mark; /* of its position in the store */
	char *name; /* in the log: a path, or a URL without what may be secret */
	/* Of the file: */
	const char *path;
	/* Of HTTP targets: */
	const char *url, *authorization; /* the latter may be NULL */
	const char *topic; /* of notifications: an ARN, or "*"; NULL: events */
	void *handle; /* curl's */
	struct bell *bell; /* cuts a request short when it is stopped */
};

struct sink_kind {
	bool (*wants)(const struct sink *s, const struct event *e);
	/* Delivers all of these, or some from their beginning: *ret_done says how many,
	 * on failure too. */
	int (*deliver)(struct sink *s, const struct event *const *events, size_t count,
		       size_t *ret_done, struct mh_err *err);
	void (*close)(struct sink *s);
	bool drains; /* gets what is there when the server stops */
};

extern const struct sink_kind sink_file; /* file.c */
extern const struct sink_kind sink_http; /* http.c */

/* Before the first HTTP target is used, in a program with one thread. */
int sink_http_init(struct mh_err *err) MH_MUST_CHECK;

#endif
