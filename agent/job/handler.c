#include "agent/job/handler.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include "agent/job/guard.h"
#include "agent/job/host.h"
#include "agent/job/ns.h"
#include "agent/job/sandbox.h"
#include "agent/job/wire.h"
#include "lib/base/fault.h"
#include "lib/base/fsio.h"

#define EXIT_BROKEN 125 /* no channel to say more */

MH_NORETURN static void broken(const char *what)
{
	(void)dprintf(STDERR_FILENO, "millhand: handler: %s: %s\n", what,
		      strerror(errno));
	_exit(EXIT_BROKEN);
}

/* Puts each descriptor at its place and closes all others: no lock, socket, spec or
 * job directory of the shim stays open here. */
static void arrange_fds(const struct handler_start *start)
{
	int from[] = { open("/dev/null", O_RDONLY | O_CLOEXEC),
		       start->log_fd,
		       start->log_fd,
		       start->channel_fd,
		       start->cancel_fd,
		       start->document_fd,
		       start->status_fd };
	int count = ARRAY_LEN(from);

	for (int i = 0; i < count; i++) {
		/* Out of the way first: the numbers may overlap. */
		from[i] = fcntl(from[i], F_DUPFD_CLOEXEC, 64);
		if (from[i] < 0)
			broken("descriptors");
	}
	for (int i = 0; i < count; i++) {
		if (dup3(from[i], i, i < 3 ? 0 : O_CLOEXEC) < 0)
			broken("descriptors");
	}
	sandbox_close_from((unsigned int)count);
}

static void survive_term(int signal_number)
{
	(void)signal_number; /* calls return EINTR; cancel_fd tells the rest */
}

/* The tree gets SIGTERM at the deadline; the plugin's process lives on to tidy up.
 * A handler function, not SIG_IGN: exec turns it back to the default for children. */
static void catch_term(void)
{
	struct sigaction action = { .sa_handler = survive_term };

	(void)sigaction(SIGTERM, &action, NULL); /* cannot fail */
}

/* Public values may stand in the log; the shim redacts until it hears so. */
static int send_public(const struct plugin *plugin, struct mh_err *err)
{
	CLEAN(json) struct json_object *message = wire_new("public");
	struct json_object *keys = json_object_new_array();

	for (size_t i = 0; i < plugin->option_count; i++) {
		const struct mh_option *o = plugin_option(plugin, i);

		if (o->flags & MH_OPTION_PUBLIC)
			(void)json_object_array_add(keys,
						    json_object_new_string(o->name));
	}
	json_put_obj(message, "keys", keys);
	return wire_send(HANDLER_CHANNEL, message, 0, err);
}

/* A failure before there is a plugin to ask. */
MH_NORETURN static void fail_early(const struct mh_err *err)
{
	CLEAN(result) struct result r = RESULT_INIT;
	CLEAN(json) struct json_object *message = NULL;
	struct mh_err send_err;

	result_force_failure(&r,
			     err->cls == MH_E_CONFIG || err->cls == MH_E_PLUGIN
				     ? MH_FAIL_CONFIGURATION_ERROR
				     : MH_FAIL_SYSTEM_UNAVAILABLE,
			     "%s", err->text);
	message = result_to_json(&r);
	json_put_str(message, "m", "outcome");
	if (wire_send(HANDLER_CHANNEL, message, 0, &send_err) != 0)
		broken(err->text);
	_exit(0);
}

static int enter(const struct handler_start *start, const struct sandbox_ground *ground,
		 struct mh_err *err)
{
	if (sandbox_base(start->spec, err) != 0)
		return -1;
	catch_term();
	/* To the directory first, then away from the user who can reach it. */
	if (chdir(start->spec->work_dir) != 0)
		return mh_err_sys(err, "work directory %s", start->spec->work_dir);
	if (sandbox_enter(start->spec, ground, err) != 0)
		return -1;
	if (start->spec->switch_user &&
	    access(start->spec->work_dir, R_OK | W_OK | X_OK) != 0)
		return mh_err_set(err, MH_E_CONFIG,
				  "sandbox: user '%.64s' cannot reach %s: make the "
				  "directories above it searchable (mode 0711)",
				  start->spec->user, start->spec->work_dir);
	return 0;
}

MH_NORETURN static void run_plugin(const struct handler_start *start,
				   const struct sandbox_ground *ground)
{
	struct plugin plugin;
	struct mh_job job;
	struct mh_err err;

	FAULT_POINT("handler_started");
	if (enter(start, ground, &err) != 0 ||
	    plugin_load(start->spec->plugin, start->trusted_uid, &plugin, &err) != 0 ||
	    plugin_check_config(&plugin, start->spec->config, &err) != 0 ||
	    host_init(&job, start->spec, &plugin, HANDLER_CHANNEL, HANDLER_CANCEL,
		      HANDLER_DOCUMENT, &err) != 0)
		fail_early(&err);
	(void)setvbuf(stdout, NULL, _IOLBF, 0); /* the order of lines, at best effort */
	if (send_public(&plugin, &err) != 0)
		broken(err.text);
	FAULT_POINT("handler_before_run");
	host_run(&job);
	FAULT_POINT("handler_after_run");
	if (host_send(&job, &err) != 0)
		broken(err.text);
	FAULT_POINT("handler_said");
	/* No dlclose, no destructors: the outcome is said, nothing may come after. */
	_exit(0);
}

MH_NORETURN static void tell_status(int status)
{
	struct mh_err err;

	if (fs_write_fd(HANDLER_STATUS, &status, sizeof status, &err) != 0)
		broken(err.text);
	_exit(0);
}

/* Process 1 of the namespaces. Its end kills whatever is left in them. */
MH_NORETURN static void run_init(const struct handler_start *start)
{
	struct sandbox_ground ground;
	pid_t handler;

	ns_prepare(start->spec, start->jobdir, start->own_network, &ground);
	handler = fork();
	if (handler < 0)
		broken("fork");
	if (handler == 0) {
		(void)close(HANDLER_STATUS); /* process 1 alone reports */
		if (setsid() < 0)
			broken("setsid");
		sandbox_die_with_parent(HANDLER_CHANNEL);
		run_plugin(start, &ground);
	}
	/* The channel's end must be the handler's end. */
	(void)close(HANDLER_CHANNEL);
	tell_status(ns_reap_until(handler));
}

/* One session and group for both, so that the group is the job's where nothing else is.
 */
MH_NORETURN static void run_guard(const struct handler_start *start)
{
	struct sandbox_ground ground = { .own_network = false };
	pid_t handler;

	if (setsid() < 0)
		broken("setsid");
	if (guard_prepare(start->spec->detach) != 0)
		broken("guard");
	handler = fork();
	if (handler < 0)
		broken("fork");
	if (handler == 0) {
		(void)close(HANDLER_STATUS); /* the guard alone reports */
		sandbox_die_with_parent(HANDLER_CHANNEL);
		run_plugin(start, &ground);
	}
	(void)close(HANDLER_CHANNEL); /* as above */
	tell_status(guard_until(handler, start->shim_pid));
}

void handler_main(const struct handler_start *start)
{
	arrange_fds(start);
	sandbox_die_with_parent(HANDLER_CHANNEL);
	/* The log's pipe changes hands, so that /dev/stderr can be opened again. */
	if (start->spec->switch_user &&
	    fchown(STDERR_FILENO, start->spec->uid, start->spec->gid) != 0)
		broken("log");
	if (start->namespaces)
		run_init(start);
	run_guard(start);
}
