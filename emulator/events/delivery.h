/*
 * Delivers events to where the settings say: a file of JSON lines, HTTP targets, and
 * HTTP targets of approval notifications. A thread for each, never the writer's: one that
 * is slow or away keeps nobody else waiting.
 *
 * At least once, in order: a position is kept in the store after each delivery, and what
 * was delivered behind it comes again after a crash. A target that fails is tried again
 * with a growing pause, for as long as its events are kept (events_backlog).
 *
 *	delivery_start(&options, &delivery, &err)
 *	delivery_stop(delivery)      before the writer: the file gets what is committed
 */
#ifndef MH_EMULATOR_EVENTS_DELIVERY_H
#define MH_EMULATOR_EVENTS_DELIVERY_H

#include "emulator/bell.h"
#include "emulator/settings.h"
#include "emulator/writer.h"

struct delivery;

struct delivery_options { /* all borrowed */
	const struct settings *settings;
	struct writer *writer;
	struct bell *bell; /* when it is stopped, deliveries in hand are cut short */
};

int delivery_start(const struct delivery_options *options, struct delivery **ret,
		   struct mh_err *err) MH_MUST_CHECK;
void delivery_stop(struct delivery *d);

/* What no key can say alone about event_targets and approval_targets. CONFIG. */
int delivery_check(const struct settings *s, struct mh_err *err) MH_MUST_CHECK;

#endif
