/* The handler as the shim sees it: a child, a channel, and messages not to trust. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "agent/job/handler.h"
#include "agent/job/ns.h"
#include "agent/job/shim.h"
#include "agent/job/wire.h"
#include "include/millhand/plugin.h"
#include "lib/base/fault.h"
#include "lib/base/fsio.h"

#define WANTED_PATIENCE_MS 10000

void handler_done(struct handler *h)
{
	clean_fd(&h->channel_fd);
	clean_fd(&h->cancel_fd);
	clean_fd(&h->status_fd);
	h->channel_fd = h->cancel_fd = h->status_fd = -1;
}

/* --- start --- */

/* Root gets namespaces, unless the job may leave processes behind. */
static pid_t fork_handler(struct shim *s, struct handler_start *start)
{
	pid_t pid = -1;

	if (geteuid() == 0 && !s->spec.detach) {
		start->namespaces = true;
		start->own_network = !s->spec.network;
		pid = ns_fork(start->own_network);
		if (pid >= 0)
			return pid;
		logpipe_note(&s->log,
			     "sandbox: no namespaces (%s): the job's processes are found "
			     "by descent",
			     strerror(errno));
	}
	start->namespaces = start->own_network = false;
	return fork();
}

int handler_start(struct shim *s, struct mh_err *err)
{
	const char *document = json_text(s->spec.job);
	CLEAN(fd) int document_fd = -1, peer_fd = -1, status_fd = -1;
	int channel[2], status[2];
	struct handler_start start;
	struct handler *h = &s->handler;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel) != 0)
		return mh_err_sys(err, "socketpair");
	h->channel_fd = channel[0];
	peer_fd = channel[1];
	if (pipe2(status, O_CLOEXEC) != 0)
		return mh_err_sys(err, "pipe");
	h->status_fd = status[0];
	status_fd = status[1];
	h->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (h->cancel_fd < 0)
		return mh_err_sys(err, "eventfd");
	if (fs_memfd_sealed("job", document, strlen(document), &document_fd, err) != 0)
		return -1;
	start = (struct handler_start){
		.spec = &s->spec,
		.jobdir = s->jobdir,
		.log_fd = s->log.write_fd,
		.channel_fd = peer_fd,
		.cancel_fd = h->cancel_fd,
		.document_fd = document_fd,
		.status_fd = status_fd,
		.shim_pid = getpid(),
		.trusted_uid = geteuid(),
	};
	h->pid = fork_handler(s, &start);
	if (h->pid == 0) {
		handler_main(&start);
	}
	if (h->pid < 0) {
		h->pid = 0;
		return mh_err_sys(err, "start the handler");
	}
	h->namespaces = start.namespaces;
	return 0;
}

/* --- messages --- */

static int take_public(struct shim *s, struct json_object *message, struct mh_err *err)
{
	struct json_object *data = json_opt_object(s->spec.job, "data");
	struct json_object *configs[] = {
		s->spec.config,
		json_opt_object(json_opt_object(data, "actionConfiguration"),
				"configuration"),
	};
	struct json_object *keys;

	if (s->handler.public_seen)
		return mh_err_set(err, MH_E_PROTO, "said twice");
	s->handler.public_seen = true;
	if (json_get_array(message, "keys", &keys, err) != 0)
		return -1;
	for (size_t i = 0; i < json_object_array_length(keys); i++) {
		const char *key = json_object_get_string(
			json_object_array_get_idx(keys, i));

		if (!key || spec_is_public(&s->spec, key)) /* was never added */
			continue;
		for (size_t c = 0; c < ARRAY_LEN(configs); c++) {
			const char *value = json_opt_str(configs[c], key, NULL);

			if (value)
				redact_remove(&s->log.redact, value);
		}
	}
	return 0;
}

static int take_progress(struct shim *s, struct json_object *message, struct mh_err *err)
{
	s->progress_due = true;
	return result_take_progress(&s->result, message, err);
}

struct json_object *handler_progress_message(const struct shim *s)
{
	CLEAN(free)
	char *summary = s->result.summary ? redact_text(&s->log.redact, s->result.summary)
					  : NULL;
	struct json_object *message = result_progress(&s->result);

	json_put_str(message, "m", "progress");
	json_put_str(message, "summary", summary);
	return message;
}

static int take_wanted(struct shim *s, struct json_object *message, struct mh_err *err)
{
	CLEAN(json) struct json_object *question = wire_new("wanted");
	int64_t id;

	if (json_get_i64(message, "id", &id, err) != 0)
		return -1;
	if (id < 0)
		return mh_err_set(err, MH_E_PROTO, "id: negative");
	s->question = id;
	s->question_until_ms = clock_mono_ms() + WANTED_PATIENCE_MS;
	json_put_i64(question, "id", id);
	agents_broadcast(&s->agents, question);
	if (s->agents.count == 0) /* nobody can tell */
		handler_answer_wanted(s, true);
	return 0;
}

void handler_answer_wanted(struct shim *s, bool wanted)
{
	CLEAN(json) struct json_object *answer = wire_new("wanted");
	struct mh_err err;

	json_put_i64(answer, "id", s->question);
	json_put_bool(answer, "wanted", wanted);
	s->question = -1;
	s->question_until_ms = NEVER_MS;
	/* A handler that does not read its answer is its own trouble. */
	if (s->handler.channel_fd < 0 ||
	    wire_send(s->handler.channel_fd, answer, MSG_DONTWAIT, &err) != 0)
		return;
}

static int take_variable(struct shim *s, struct json_object *message, struct mh_err *err)
{
	const char *name, *value;

	if (json_get_str(message, "name", &name, err) != 0 ||
	    json_get_str(message, "value", &value, err) != 0)
		return -1;
	return result_add_variable(&s->result, name, value, err);
}

static int take_outcome(struct shim *s, struct json_object *message, struct mh_err *err)
{
	s->handler.outcome_seen = true;
	FAULT_POINT("job_outcome_read");
	return result_from_json(&s->result, message, err);
}

static const struct {
	const char *m;
	int (*take)(struct shim *, struct json_object *, struct mh_err *);
} messages[] = {
	{ "public", take_public },   { "progress", take_progress },
	{ "wanted", take_wanted },   { "variable", take_variable },
	{ "outcome", take_outcome },
};

static int dispatch(struct shim *s, const char *m, struct json_object *message,
		    struct mh_err *err)
{
	if (s->handler.outcome_seen)
		return mh_err_set(err, MH_E_PROTO, "a message after the outcome");
	for (size_t i = 0; i < ARRAY_LEN(messages); i++) {
		if (strcmp(m, messages[i].m) == 0)
			return messages[i].take(s, message, err) == 0
				       ? 0
				       : mh_err_wrap(err, "message '%s'", m);
	}
	return mh_err_set(err, MH_E_PROTO, "message '%.32s' is unknown", m);
}

static void breach(struct shim *s, const struct mh_err *err)
{
	(void)close(STEAL_FD(s->handler.channel_fd)); /* it is not listened to again */
	(void)snprintf(s->handler.breach, sizeof s->handler.breach, "%s", err->text);
	shim_stop(s, MH_FAIL_SYSTEM_UNAVAILABLE, 0,
		  "the plugin's process broke the protocol: %.400s", err->text);
}

bool handler_read(struct shim *s)
{
	CLEAN(json) struct json_object *message = NULL;
	struct mh_err err;
	const char *m;

	if (s->handler.channel_fd < 0)
		return false;
	switch (wire_receive(s->handler.channel_fd, WIRE_CHANNEL_MAX_BYTES, MSG_DONTWAIT,
			     &message, &m, &err)) {
	case WIRE_MESSAGE:
		if (dispatch(s, m, message, &err) == 0)
			return true;
		breach(s, &err);
		return false;
	case WIRE_NOTHING:
		return false;
	case WIRE_END:
		(void)close(STEAL_FD(s->handler.channel_fd)); /* its exit comes next */
		return false;
	case WIRE_BROKEN:
		break;
	}
	breach(s, &err);
	return false;
}

/* --- end --- */

void handler_ended(struct shim *s, int wait_status)
{
	struct handler *h = &s->handler;
	int status;

	FAULT_POINT("job_handler_ended");
	h->reaped = true;
	h->pid = 0;
	h->wait_status = wait_status;
	/* Process 1, or the guard, tells how the handler ended, unless it was killed. */
	if (WIFEXITED(wait_status) &&
	    read(h->status_fd, &status, sizeof status) == (ssize_t)sizeof status)
		h->wait_status = status;
	s->sweep_at_ms = clock_mono_ms();
	shim_enter_step(s, STEP_SWEEP);
}

/* The table of (outcome, wait status): a plugin that dies is the host's fault, even
 * after it claimed success, and only a failure it announced stands in any case. */
static void judge(struct shim *s)
{
	const char *plugin = strrchr(s->spec.plugin, '/') + 1;
	int status = s->handler.wait_status;

	if (s->handler.outcome_seen && s->result.kind == RESULT_FAILURE)
		return;
	if (WIFSIGNALED(status))
		result_force_failure(
			&s->result, MH_FAIL_SYSTEM_UNAVAILABLE,
			"plugin %s crashed: killed by signal %d (%s)%s", plugin,
			WTERMSIG(status), strsignal(WTERMSIG(status)),
			WTERMSIG(status) == SIGKILL ? ", perhaps for lack of memory"
						    : "");
	else if (WEXITSTATUS(status) != 0 || !s->handler.outcome_seen)
		result_force_failure(&s->result, MH_FAIL_SYSTEM_UNAVAILABLE,
				     "plugin %s ended its process (exit code %d) without "
				     "saying how the job ended",
				     plugin, WEXITSTATUS(status));
}

void handler_conclude(struct shim *s)
{
	while (handler_read(s)) /* what it said last may still be there */
		;
	logpipe_drain(&s->log);
	if (!s->stop.active)
		judge(s);
}
