/* One poll(2) over everything the shim listens to, and the timers. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "agent/job/shim.h"
#include "agent/job/wire.h"
#include "agent/protocol.h"
#include "config.h"
#include "include/millhand/plugin.h"

#define PROGRESS_EVERY_MS 250
/* One source never starves the others. */
#define MESSAGES_PER_TURN 64

int loop_open(struct shim *s, struct mh_err *err)
{
	static const int signals[] = { SIGCHLD, SIGTERM, SIGINT,  SIGHUP,
				       SIGQUIT, SIGPIPE, SIGUSR1, SIGUSR2 };
	sigset_t mask;

	(void)sigemptyset(&mask); /* cannot fail */
	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		(void)sigaddset(&mask, signals[i]);
	if (sigprocmask(SIG_SETMASK, &mask, NULL) != 0)
		return mh_err_sys(err, "sigprocmask");
	s->signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s->signal_fd < 0)
		return mh_err_sys(err, "signalfd");
	return 0;
}

/* --- children and signals --- */

static void child_ended(struct shim *s, pid_t pid, int wait_status)
{
	if (pid == s->archiver.pid)
		shim_archiver_ended(s, wait_status);
	else if (pid == s->handler.pid)
		handler_ended(s, wait_status);
	/* Any other was an orphan of the job that came to us as its subreaper. */
}

static void reap(struct shim *s)
{
	for (;;) {
		siginfo_t info = { .si_pid = 0 };
		int status;

		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
		    info.si_pid == 0)
			return;
		if (waitpid(info.si_pid, &status, 0) == info.si_pid)
			child_ended(s, info.si_pid, status);
	}
}

static void read_signals(struct shim *s)
{
	struct signalfd_siginfo info;

	while (read(s->signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
		if (info.ssi_signo == SIGCHLD)
			reap(s);
		else if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT)
			shim_stop(s, MH_FAIL_SYSTEM_UNAVAILABLE, s->spec.grace_ms,
				  "the job's process was told to end (%s): the host is "
				  "going down, or somebody ended it by hand",
				  strsignal((int)info.ssi_signo));
		/* The others are blocked so that they do no harm. */
	}
}

/* --- agents --- */

/* An agent makes the outcome durable in its ledger, which may lie on another disk or have
 * space kept back, and says so; until then, and without one, the file is tried again. */
void shim_hand_over(struct shim *s)
{
	CLEAN(json) struct json_object *message = wire_new("result");

	json_put_obj(message, "result", shim_result(s));
	if (strlen(json_text(message)) <= WIRE_AGENT_MAX_BYTES)
		agents_broadcast(&s->agents, message);
}

static void greet(struct shim *s, int fd)
{
	CLEAN(json) struct json_object *state = shim_state_message(s);
	CLEAN(json) struct json_object *progress = handler_progress_message(s);

	json_put_i64(state, "protocol", SHIM_PROTOCOL);
	json_put_str(state, "version", PACKAGE_VERSION);
	agents_send(&s->agents, fd, state);
	if (json_object_object_length(progress) > 1)
		agents_send(&s->agents, fd, progress);
	if (s->question >= 0) {
		CLEAN(json) struct json_object *question = wire_new("wanted");

		json_put_i64(question, "id", s->question);
		agents_send(&s->agents, fd, question);
	}
	if (s->step == STEP_FINISH)
		shim_hand_over(s);
}

static void accept_agents(struct shim *s)
{
	int fd;

	for (int i = 0; i < AGENTS_MAX && agents_accept(&s->agents, s->socket_fd, &fd);
	     i++) {
		if (fd >= 0)
			greet(s, fd);
	}
}

static void agent_said(struct shim *s, const char *m, struct json_object *message)
{
	if (strcmp(m, "cancel") == 0)
		shim_stop(s, MH_FAIL_JOB_FAILED, s->spec.grace_ms, "cancelled: %.400s",
			  json_opt_str(message, "reason", "by the agent"));
	else if (strcmp(m, "taken") == 0 && s->step == STEP_FINISH)
		shim_enter_step(s, STEP_DONE); /* it is recorded */
	else if (strcmp(m, "wanted") == 0 && s->question >= 0 &&
		 json_opt_i64(message, "id", -1) == s->question)
		handler_answer_wanted(s, json_opt_bool(message, "wanted", true));
	/* What a newer agent may say besides is no concern of ours. */
}

static void read_agent(struct shim *s, int fd)
{
	for (int i = 0; i < MESSAGES_PER_TURN; i++) {
		CLEAN(json) struct json_object *message = NULL;
		struct mh_err err;
		const char *m;
		enum wire_got got = wire_receive(fd, WIRE_AGENT_MAX_BYTES, MSG_DONTWAIT,
						 &message, &m, &err);

		if (got == WIRE_NOTHING)
			return;
		if (got == WIRE_MESSAGE) {
			agent_said(s, m, message);
			continue;
		}
		for (size_t k = 0; k < s->agents.count; k++) {
			if (s->agents.fds[k] == fd)
				agents_drop(&s->agents, k);
		}
		return;
	}
}

/* --- timers --- */

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t next_timer(const struct shim *s)
{
	int64_t at = NEVER_MS;

	if (!s->stop.active && s->step < STEP_FINISH)
		at = earlier(at, s->deadline_ms);
	if (s->step == STEP_RUN)
		at = earlier(at, earlier(s->stop.kill_at_ms, s->stop.give_up_at_ms));
	if (s->step == STEP_SWEEP)
		at = earlier(at, s->sweep_at_ms);
	if (s->step == STEP_FINISH)
		at = earlier(at, s->retry_at_ms);
	if (s->step == STEP_PACK)
		at = earlier(at, s->space_at_ms);
	if (s->progress_due)
		at = earlier(at, s->progress_at_ms);
	return earlier(at, s->question_until_ms);
}

static void send_progress(struct shim *s, int64_t now)
{
	CLEAN(json) struct json_object *message = handler_progress_message(s);

	s->progress_due = false;
	s->progress_at_ms = now + PROGRESS_EVERY_MS;
	agents_broadcast(&s->agents, message);
}

static void run_timers(struct shim *s)
{
	int64_t now = clock_mono_ms();

	if (s->question >= 0 && (now >= s->question_until_ms || s->agents.count == 0))
		handler_answer_wanted(s, true); /* nobody can tell */
	if (s->progress_due && now >= s->progress_at_ms)
		send_progress(s, now);
	if (!s->stop.active && s->step < STEP_FINISH && now >= s->deadline_ms)
		shim_deadline_passed(s);
	if (s->step == STEP_RUN && now >= s->stop.kill_at_ms)
		shim_kill(s);
	if (s->step == STEP_RUN && now >= s->stop.give_up_at_ms) {
		logpipe_note(&s->log, "the handler cannot be killed");
		shim_fail(s, s->stop.failure, "%s", s->stop.message);
	}
	if (s->step == STEP_SWEEP && now >= s->sweep_at_ms)
		shim_sweep(s);
	if (now >= s->space_at_ms) {
		s->space_at_ms = NEVER_MS;
		shim_advance(s);
	}
	if (s->step == STEP_FINISH && now >= s->retry_at_ms)
		shim_finish(s);
}

/* --- the turn --- */

static int timeout_ms(const struct shim *s)
{
	int64_t at = next_timer(s), now = clock_mono_ms();

	if (at == NEVER_MS)
		return -1;
	if (at <= now)
		return 0;
	return at - now < 60000 ? (int)(at - now) : 60000;
}

enum source {
	SOURCE_SIGNALS,
	SOURCE_SOCKET,
	SOURCE_LOG,
	SOURCE_CHANNEL,
	SOURCE_VERDICT,
	SOURCE_AGENTS, /* and as many as there are */
};

void loop_turn(struct shim *s)
{
	struct pollfd p[SOURCE_AGENTS + AGENTS_MAX] = {
		[SOURCE_SIGNALS] = { .fd = s->signal_fd, .events = POLLIN },
		[SOURCE_SOCKET] = { .fd = s->socket_fd, .events = POLLIN },
		[SOURCE_LOG] = { .fd = s->log.read_fd, .events = POLLIN },
		[SOURCE_CHANNEL] = { .fd = s->handler.channel_fd, .events = POLLIN },
		[SOURCE_VERDICT] = { .fd = s->archiver.verdict_fd, .events = POLLIN },
	};
	size_t agents = s->agents.count; /* may change below */

	for (size_t i = 0; i < agents; i++)
		p[SOURCE_AGENTS + i] = (struct pollfd){ .fd = s->agents.fds[i],
							.events = POLLIN };
	if (poll(p, SOURCE_AGENTS + agents, timeout_ms(s)) < 0 && errno != EINTR)
		MH_BUG("poll");
	if (p[SOURCE_LOG].revents)
		(void)logpipe_read(&s->log); /* whether more is there, poll says */
	if (p[SOURCE_CHANNEL].revents) {
		int i = 0;

		while (i < MESSAGES_PER_TURN && handler_read(s))
			i++;
	}
	if (p[SOURCE_VERDICT].revents)
		archiver_read(&s->archiver);
	if (p[SOURCE_SOCKET].revents)
		accept_agents(s);
	for (size_t i = 0; i < agents; i++) {
		if (p[SOURCE_AGENTS + i].revents)
			read_agent(s, p[SOURCE_AGENTS + i].fd);
	}
	if (p[SOURCE_SIGNALS].revents)
		read_signals(s);
	run_timers(s);
}
