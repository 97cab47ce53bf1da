/*
 * The HTTP server: libmicrohttpd, a thread per connection. A request with
 * X-Amz-Target is the API's, /_millhand/ is our own, all else is the artifact
 * store's. Headers are limited to 64 KiB, a body of JSON to 1 MiB.
 *
 *	server_start(&options, &server, &err)   answers requests from here on
 *	server_port(server)                     the real one, when 0 was asked for
 *	server_stop(server)                     lets requests end (10 s at most)
 */
#ifndef MH_EMULATOR_SERVER_H
#define MH_EMULATOR_SERVER_H

#include "emulator/admin/admin.h"
#include "emulator/events/stream.h"
#include "emulator/front.h"
#include "emulator/s3/s3.h"
#include "emulator/wait.h"

struct server;

struct server_options {
	struct front front;
	struct s3 *s3; /* borrowed */
	struct wait_hub *hub; /* borrowed; server_stop() ends what waits there */
	struct streams *streams; /* borrowed; the bell's stop ends them */
	struct faults *faults; /* borrowed; NULL: there are none */
	struct bell *bell; /* borrowed; its stop ends delays */
	struct admin *admin; /* borrowed; NULL: there is none */
};

/* SYS when the address cannot be had; the text names it. */
int server_start(const struct server_options *options, struct server **ret,
		 struct mh_err *err) MH_MUST_CHECK;
int server_port(const struct server *s);
void server_stop(struct server *s);

#endif
