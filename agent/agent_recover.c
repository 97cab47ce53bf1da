/* What a starting agent does with the jobs its ledger holds. */
#include "agent/agent_impl.h"
#include "agent/recover.h"
#include "lib/base/log.h"
#include "lib/base/macros.h"

/* Every state but one needs no facts; a started job's are looked at when the
 * effect is carried out, as with any shim that ends. */
static void recover_job(struct agent *a, struct job *job)
{
	const struct recover_facts unseen = { .dir_there = true, .lock_held = true };
	enum recover_action action = recover_decide(job->rec.state, &unseen);

	log_event(LOG_LEVEL_INFO, "job.recovered", "found in the ledger",
		  LOG_S("job", job->rec.id), LOG_I("n", job->rec.n),
		  LOG_S("entry", job->rec.entry),
		  LOG_S("state", job_state_name(job->rec.state)),
		  LOG_S("todo", recover_action_name(action)), LOG_END);
	if (action == RECOVER_FORGET)
		agent_simple_event(a, job, JOB_EV_DECLINE);
	else if (action != RECOVER_NOTHING)
		agent_simple_event(a, job, JOB_EV_RESTART);
}

int agent_recover(struct agent *a, struct mh_err *err)
{
	struct job_record *rows = NULL;
	size_t count = 0;

	if (ledger_load(a->ledger, &rows, &count, err) != 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		struct job *job = agent_add_job(a, &rows[i],
						agent_find_entry(a, rows[i].entry));

		recover_job(a, job);
	}
	free(rows);
	return 0;
}
