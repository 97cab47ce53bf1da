/* What must hold in the store after each call (semantics I 1 to 4, 8, 9). */
#include "tests/unit/engine_world.h"

/* So that what is open is found without looking through what is over. */
static const char *const indexes[] = {
	"CREATE INDEX world_stages ON stage_executions (execution)"
	" WHERE status IN ('Inbound','InProgress','Stopping')",
	"CREATE INDEX world_running_stages ON stage_executions (seq)"
	" WHERE status = 'InProgress'",
	"CREATE INDEX world_actions ON action_executions (stage_execution)"
	" WHERE status = 'InProgress'",
	"CREATE INDEX world_jobs ON jobs (action) WHERE ended_ms = 0",
	"CREATE INDEX world_approvals ON approvals (action) WHERE open",
	"CREATE INDEX world_conditions ON conditions (stage_execution)"
	" WHERE status = 'InProgress'",
};

void invariants_prepare(struct world *w)
{
	struct mh_err err = MH_ERR_INIT;

	for (size_t i = 0; i < ARRAY_LEN(indexes); i++)
		assert_ok(store_exec(w->store, NULL, &err, indexes[i], ""), &err);
}

/* Each counts what must not be (semantics I). */
struct invariant {
	const char *what, *sql;
};

/* Of what is open. */
static const struct invariant of_now[] = {
	{ "two executions inside one stage",
	  "SELECT count(*) FROM (SELECT 1 FROM stage_executions WHERE locked AND status "
	  "IN"
	  " ('InProgress','Stopping') GROUP BY pipeline, stage HAVING count(*) > 1)" },
	{ "two inbound executions in front of a stage of a SUPERSEDED pipeline",
	  "SELECT count(*) FROM (SELECT 1 FROM stage_executions s JOIN executions e ON"
	  " e.seq = s.execution WHERE s.status = 'Inbound' AND e.mode = 'SUPERSEDED'"
	  " GROUP BY s.pipeline, s.stage HAVING count(*) > 1)" },
	{ "an open execution that is not at exactly one stage",
	  "SELECT count(*) FROM executions e WHERE status IN ('InProgress','Stopping') "
	  "AND"
	  " (SELECT count(*) FROM stage_executions s WHERE s.execution = e.seq AND "
	  "s.status IN"
	  " ('Inbound','InProgress','Stopping')) <> 1" },
	{ "an ended execution that is at a stage",
	  "SELECT count(*) FROM executions e JOIN stage_executions s ON s.execution = "
	  "e.seq"
	  " WHERE e.status NOT IN ('InProgress','Stopping') AND s.status IN"
	  " ('Inbound','InProgress','Stopping')" },
	{ "an execution that waits in front of an open gate",
	  "SELECT count(*) FROM stage_executions s WHERE s.status = 'Inbound' AND NOT "
	  "EXISTS"
	  " (SELECT 1 FROM transitions t WHERE t.pipeline = s.pipeline AND t.stage = "
	  "s.stage"
	  " AND NOT t.enabled) AND NOT EXISTS (SELECT 1 FROM outbound_transitions o JOIN"
	  " stage_executions b ON b.execution = s.execution AND b.stage_index ="
	  " s.stage_index - 1 AND b.stage = o.stage WHERE o.pipeline = s.pipeline)"
	  " AND (NOT s.locked OR NOT EXISTS (SELECT 1 FROM "
	  "stage_executions"
	  " i WHERE i.pipeline = s.pipeline AND i.stage = s.stage AND i.locked AND "
	  "i.status IN"
	  " ('InProgress','Stopping')))" },
	{ "a stage in progress in which nothing runs",
	  "SELECT count(*) FROM stage_executions s WHERE s.status = 'InProgress' AND NOT "
	  "EXISTS"
	  " (SELECT 1 FROM action_executions a WHERE a.stage_execution = s.seq AND"
	  " a.status = 'InProgress')" },
	{ "a running action outside a running stage",
	  "SELECT count(*) FROM action_executions a JOIN stage_executions s ON"
	  " s.seq = a.stage_execution WHERE a.status = 'InProgress' AND s.status NOT IN"
	  " ('InProgress','Stopping')" },
	{ "a running action without exactly one open job or approval",
	  "SELECT count(*) FROM action_executions a WHERE a.status = 'InProgress' AND"
	  " a.condition = 0 AND"
	  " (SELECT count(*) FROM jobs j WHERE j.action = a.seq AND j.ended_ms = 0) +"
	  " (SELECT count(*) FROM approvals p WHERE p.action = a.seq AND p.open) <> 1" },
	{ "an ended action with an open job, an open approval or a timer",
	  "SELECT (SELECT count(*) FROM jobs j JOIN action_executions a ON a.seq ="
	  " j.action WHERE j.ended_ms = 0 AND a.status <> 'InProgress') + (SELECT "
	  "count(*)"
	  " FROM approvals p JOIN action_executions a ON a.seq = p.action WHERE p.open "
	  "AND"
	  " a.status <> 'InProgress') + (SELECT count(*) FROM timers t CROSS JOIN"
	  " action_executions a ON a.seq = t.action WHERE a.status <> 'InProgress')" },
	{ "a running action without a time limit",
	  "SELECT count(*) FROM action_executions a WHERE a.status = 'InProgress' AND NOT"
	  " EXISTS (SELECT 1 FROM timers t WHERE t.action = a.seq)" },
	{ "more than five running actions in a PARALLEL execution",
	  "SELECT count(*) FROM (SELECT 1 FROM action_executions INDEXED BY world_actions"
	  " WHERE NOT locked AND condition = 0 AND status = 'InProgress' GROUP BY "
	  "execution"
	  " HAVING count(*) > 5)" },
	{ "more than fifty open executions of a QUEUED or PARALLEL pipeline",
	  "SELECT count(*) FROM (SELECT 1 FROM executions WHERE mode <> 'SUPERSEDED' AND "
	  "status"
	  " IN ('InProgress','Stopping') GROUP BY pipeline HAVING count(*) > 50)" },
	{ "a condition that is asked, but not in its phase of a running stage",
	  "SELECT count(*) FROM conditions c WHERE c.status = 'InProgress' AND NOT EXISTS"
	  " (SELECT 1 FROM stage_executions s WHERE s.seq = c.stage_execution AND"
	  " s.condition = c.seq AND s.phase = c.phase AND s.status IN"
	  " ('InProgress','Stopping'))" },
};

/* They look through all that ever was. */
static const struct invariant of_history[] = {
	{ "an execution entered a stage after a newer one",
	  "SELECT count(*) FROM (SELECT s.execution, max(s.execution) OVER (PARTITION BY"
	  " s.pipeline, s.stage ORDER BY s.seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1"
	  " PRECEDING) AS newer FROM stage_executions s JOIN executions e ON e.seq ="
	  " s.execution WHERE s.locked AND s.entered_ms > 0 AND e.rollback_target IS "
	  "NULL)"
	  " WHERE execution < newer" },
	{ "a stage that Succeeded with an action that did not",
	  "SELECT count(*) FROM action_executions a JOIN stage_executions s ON"
	  " s.seq = a.stage_execution WHERE s.status = 'Succeeded' AND a.condition = 0"
	  " AND a.status <> "
	  "'Succeeded' AND NOT EXISTS (SELECT 1 FROM action_executions b WHERE"
	  " b.stage_execution = a.stage_execution AND b.action = a.action AND"
	  " b.seq > a.seq)" },
	{ "a condition that is asked without a running rule, or one with a running rule"
	  " that is not asked",
	  "SELECT count(*) FROM conditions c WHERE (c.status = 'InProgress') <> EXISTS"
	  " (SELECT 1 FROM action_executions a WHERE a.condition = c.seq AND a.condition "
	  "<> 0 AND"
	  " a.status = 'InProgress')" },
	{ "a condition that is met with a rule that is not",
	  "SELECT count(*) FROM conditions c WHERE c.status = 'Succeeded' AND EXISTS"
	  " (SELECT 1 FROM action_executions a WHERE a.condition = c.seq AND a.condition "
	  "<> 0 AND"
	  " a.status <> 'Succeeded')" },
	{ "an action that ran before the entry to its stage was granted",
	  "SELECT count(*) FROM stage_executions s WHERE (s.phase = 'entry' OR s.status ="
	  " 'Skipped') AND EXISTS (SELECT 1 FROM action_executions a WHERE"
	  " a.stage_execution = s.seq AND a.condition = 0)" },
	{ "a rollback that is not of one stage and of a STANDARD execution that succeeded"
	  " in it",
	  "SELECT count(*) FROM executions e WHERE e.rollback_target IS NOT NULL AND"
	  " ((SELECT count(*) FROM stage_executions s WHERE s.execution = e.seq) <> 1 OR"
	  " NOT EXISTS (SELECT 1 FROM executions t JOIN stage_executions o ON o.execution"
	  " = t.seq JOIN stage_executions s ON s.execution = e.seq AND s.stage = o.stage"
	  " WHERE t.id = e.rollback_target AND t.rollback_target IS NULL AND t.version ="
	  " e.version AND o.status = 'Succeeded'))" },
	{ "more than one automatic retry",
	  "SELECT count(*) FROM stage_executions WHERE auto_retries > 1" },
};

static void check(struct world *w, const struct invariant *all, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (count_rows(w, all[i].sql) != 0)
			fail_msg("broken invariant: %s", all[i].what);
	}
}

/* Whether anything was written since the last look. */
static bool was_written(struct world *w)
{
	int64_t changes = count_rows(w, "SELECT total_changes()");
	bool more = changes != w->changes;

	w->changes = changes;
	return more;
}

void check_invariants(struct world *w)
{
	if (!was_written(w))
		return;
	check(w, of_now, ARRAY_LEN(of_now));
	if (w->history_every == 0 || ++w->checks % w->history_every == 0)
		check(w, of_history, ARRAY_LEN(of_history));
	event_paths_check(&w->events, w->store);
}
