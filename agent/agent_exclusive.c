/* Jobs of entries with one `exclusive` name do not overlap. The oldest comes first,
 * by the ledger's numbers, which a restart keeps; it is waited for as soon as it
 * was offered, so that of two deployments the one that was handed out later is done
 * later, however long the inputs of the first take. It lapses, or ends at its own
 * deadline, so nobody waits for ever; one in doubt may not be ours, and is not
 * waited for. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>

#include "agent/agent_impl.h"
#include "lib/base/fsio.h"
#include "lib/base/log.h"
#include "lib/base/macros.h"

#define TARGET_LOOK_MS 1000 /* at a lock that another agent's job has */

static const char *name_of(const struct agent *a, const struct job *job)
{
	const struct action_settings *action = agent_action(a, job);

	return action ? action->exclusive : NULL;
}

/* The job that must end, or come first, before that one may start. */
static const struct job *in_the_way(const struct agent *a, const struct job *job)
{
	const char *name = name_of(a, job);

	for (const struct job *other = a->jobs; name && other; other = other->next) {
		enum job_state state = other->rec.state;
		const char *its = name_of(a, other);

		if (other == job || !its || strcmp(its, name) != 0)
			continue;
		if (state == JOB_STARTED)
			return other;
		if (other->rec.n < job->rec.n && state <= JOB_QUEUED &&
		    state != JOB_IN_DOUBT)
			return other;
	}
	return NULL;
}

/* --- between the agents of a host --------------------------------------------------- */

void agent_leave_target(struct job_run *run)
{
	if (run->target_fd >= 0)
		(void)close(run->target_fd); /* nothing was written */
	run->target_fd = -1;
}

/* The lock belongs to the open file: it is the shim's once that has it, and the
 * kernel's to drop when the last process that has it is gone. The file stays. */
static int take_target(const struct settings *s, const char *name, bool *ret_got,
		       int *ret_fd, struct mh_err *err)
{
	CLEAN(free) char *path = mh_format("%s/millhand-%s.lock", s->lock_dir, name);
	CLEAN(fd)
	int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0660);

	if (fd < 0)
		return mh_err_sys(err, "exclusive: open %s", path);
	*ret_got = flock(fd, LOCK_EX | LOCK_NB) == 0;
	if (!*ret_got && errno != EWOULDBLOCK && errno != EINTR)
		return mh_err_sys(err, "exclusive: lock %s", path);
	if (*ret_got)
		*ret_fd = STEAL_FD(fd);
	return 0;
}

/* --- turns
 * ------------------------------------------------------------------------------ */

static void say_queued(struct agent *a, struct job *job, const struct job *other)
{
	if (job->run->told_queued)
		return;
	job->run->told_queued = true;
	log_event(LOG_LEVEL_INFO, "job.queued", "waits for another job (exclusive)",
		  LOG_S("job", job->rec.id), LOG_I("n", job->rec.n),
		  LOG_S("exclusive", name_of(a, job)),
		  LOG_I("behind", other ? other->rec.n : 0), LOG_END);
}

static void give_turn(struct agent *a, struct job *job)
{
	const struct settings *s = agent_job_settings(a, job);
	struct job_run *run = job->run;
	struct mh_err err = MH_ERR_INIT;
	bool got = true;

	if (s->lock_dir && name_of(a, job) && run->target_fd < 0) {
		if (run->target_at_ms > clock_mono_ms())
			return;
		/* Nobody tells when another agent's job ends. */
		run->target_at_ms = clock_mono_ms() + retry_jitter_ms(TARGET_LOOK_MS);
		if (take_target(s, name_of(a, job), &got, &run->target_fd, &err) != 0) {
			agent_fail_job(a, job, FAIL_SYSTEM, err.text);
			return;
		}
	}
	if (!got) {
		say_queued(a, job, NULL);
		return;
	}
	agent_simple_event(a, job, JOB_EV_TURN);
	if (job->rec.state != JOB_STARTED)
		agent_leave_target(run); /* too late */
}

void agent_give_turns(struct agent *a)
{
	for (struct job *job = a->jobs; job; job = job->next) {
		const struct job *other;

		if (job->rec.state != JOB_QUEUED)
			continue;
		other = in_the_way(a, job);
		if (other)
			say_queued(a, job, other);
		else
			give_turn(a, job);
	}
}
