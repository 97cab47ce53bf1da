#!/usr/bin/python3
"""The three execution modes as their users see them (semantics E4, E5, E7, E8). The whole product of points and
modes is told by tests/unit/test_engine_modes.c; here is what boto3 shows of it."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh.statements import run, served  # noqa: E402
from mh.tap import check, equal, raises  # noqa: E402

MODES = ("SUPERSEDED", "QUEUED", "PARALLEL")
ASKS = {"Source": ["Fetch"], "Build": ["Compile"], "Approval": ["Ask?"], "Deploy": ["Ship"]}


def each(w, modes=MODES):
    for mode in modes:
        w.name = f"h-{w.tag}-{mode}"
        yield mode


def token(w, e):
    """Of an execution's approval; in PARALLEL the history has it, for the state shows no execution (E4)."""
    asked = w.actions(e)[-1]
    equal(asked["actionName"], "Ask")
    return asked["output"]["executionResult"]["externalExecutionId"]


@served
def parallel_executions_do_not_see_each_other(w):
    ids = [w.create(ASKS, mode="PARALLEL"), w.start(), w.start()]
    jobs = {job.execution: job for job in (w.take("Fetch") for _ in ids)}
    equal(set(jobs), set(ids))
    for stage in w.cp.get_pipeline_state(name=w.name)["stageStates"]:
        check("latestExecution" not in stage and not stage.get("inboundExecutions"), f"the state shows none: {stage}")
        check(all("latestExecution" not in a for a in stage["actionStates"]), "nor their actions")
    jobs[ids[0]].fail()
    w.stop(ids[1], abandon=True)
    jobs[ids[2]].succeed()
    w.done("Compile")
    equal(w.statuses(*ids), ["Failed", "Stopped", "InProgress"])
    w.retry("Source", ids[0])
    w.retry("Source", ids[1])
    for _ in range(2):
        w.done("Fetch")
        w.done("Compile")
    tokens = [token(w, e) for e in ids]
    equal(len(set(tokens)), 3, "tokens")
    for n, status in ((0, "Approved"), (2, "Rejected"), (1, "Approved")):
        w.answer("Approval", status, token=tokens[n])
    equal({w.done("Ship"), w.done("Ship")}, {ids[0], ids[1]})
    equal(w.statuses(*ids), ["Succeeded", "Succeeded", "Failed"])


@served
def parallel_runs_five_actions_of_an_execution_at_once(w):
    names = [f"A{n}" for n in range(7)]
    w.create({"Source": ["Fetch"], "Build": names}, mode="PARALLEL")
    w.done("Fetch")
    first = [w.take(name) for name in names[:5]]
    w.idle(*names[5:])
    first[3].succeed()
    w.done("A5")
    for job in first[:3] + first[4:]:
        job.succeed()
    w.done("A6")
    equal(w.status(w.newest()), "Succeeded")


@served
def fifty_executions_are_the_most_of_queued_and_parallel(w):
    for mode in each(w):
        first = w.create(mode=mode)
        w.fail("Fetch")
        w.disable("Source")
        for _ in range(50):
            w.start()
        if mode == "SUPERSEDED":
            equal(len(w.waiting("Source")), 1)
            continue
        raises("ConcurrentPipelineExecutionsLimitExceededException", w.start)
        raises("ConcurrentPipelineExecutionsLimitExceededException", w.retry, "Source", first)
        w.stop(w.newest())
        w.retry("Source", first)
        raises("ConcurrentPipelineExecutionsLimitExceededException", w.start)


@served
def an_update_cancels_what_is_under_way_but_in_parallel(w):
    for mode in each(w):
        inside = w.create(mode=mode)
        w.done("Fetch")
        job = w.take("Compile")
        behind = w.start()
        w.done("Fetch")
        equal(w.update(mode=mode)["version"], 2)
        if mode == "PARALLEL":
            equal(w.statuses(inside, behind), ["InProgress", "InProgress"])
            job.succeed()
            equal({w.done("Ship"), w.done("Compile"), w.done("Ship")}, {inside, behind})
            equal(w.statuses(inside, behind), ["Succeeded", "Succeeded"])
            continue
        equal(w.statuses(inside, behind), ["InProgress", "Cancelled"])
        job.succeed()
        equal((w.status(inside), w.stage("Build")), ("Cancelled", (inside, "Cancelled")))
        w.idle("Ship")
        for e in (inside, behind):
            raises("StageNotRetryableException", w.retry, "Build", e, "ALL_ACTIONS")
        w.start()
        w.done("Fetch", "Compile", "Ship")
        equal(w.status(w.newest()), "Succeeded")


@served
def a_stop_while_a_continuation_is_pending_waits_for_it_or_ends_it(w):
    for mode in each(w):
        for abandon in (False, True):
            e = w.start() if abandon else w.create(mode=mode)
            w.done("Fetch")
            w.take("Compile").succeed(continuationToken="more", executionDetails={"summary": "half", "percentComplete": 50})
            w.stop(e, abandon=abandon)
            if abandon:
                equal((w.status(e), w.ran(e)[-1]), ("Stopped", ("Compile", "Abandoned")))
                w.idle("Compile")
                continue
            equal(w.status(e), "Stopping")
            w.done("Compile")
            equal((w.status(e), w.ran(e)[-1]), ("Stopped", ("Compile", "Succeeded")))


@served
def a_retried_execution_of_a_queue_goes_in_front_of_who_waits(w):
    first = w.create(mode="QUEUED")
    w.fail("Fetch")
    w.disable("Source")
    waiting = [w.start(), w.start()]
    w.retry("Source", first)
    equal(w.waiting("Source"), waiting)
    w.enable("Source")
    equal([w.done("Fetch") for _ in range(3)], [first, *waiting])


def roll_back(w, stage, target):
    return w.cp.rollback_stage(pipelineName=w.name, stageName=stage, targetPipelineExecutionId=target)[
        "pipelineExecutionId"]


@served
def a_stage_is_rolled_back_after_a_failure_and_after_either_stop(w):
    for mode in each(w):
        good = w.create(mode=mode)
        w.done("Fetch", "Compile", "Ship")
        if mode == "PARALLEL":
            raises("UnableToRollbackStageException", roll_back, w, "Deploy", good)
            continue
        for end in ("fail", "abandon", "wait"):
            bad = w.start()
            w.done("Fetch", "Compile")
            job = w.take("Ship")
            raises("UnableToRollbackStageException", roll_back, w, "Deploy", good)  # it is in use
            if end != "fail":
                w.stop(bad, abandon=end == "abandon")
            if end != "abandon":
                job.fail()
            equal(w.status(bad), "Failed" if end == "fail" else "Stopped")
            back = roll_back(w, "Deploy", good)
            equal(w.execution(back)["rollbackMetadata"], {"rollbackTargetPipelineExecutionId": good})
            w.idle("Fetch", "Compile")
            equal(w.done("Ship"), back)
            equal((w.status(back), [a["stageName"] for a in w.actions(back)]), ("Succeeded", ["Deploy"]))
            raises("NotLatestPipelineExecutionException", w.retry, "Deploy", bad)
            raises("UnableToRollbackStageException", roll_back, w, "Deploy", back)  # a rollback is no target
        raises("UnableToRollbackStageException", roll_back, w, "Source", good)
        w.update(mode=mode)
        raises("PipelineExecutionOutdatedException", roll_back, w, "Deploy", good)


@served
def a_transition_disabled_for_more_than_30_days_lets_nobody_in_who_waited(w):
    with w.apart() as (v, admin):
        admin.virtual()
        for mode in each(v):
            e = v.create(mode=mode)
            v.disable("Build")
            v.done("Fetch")
            admin.advance(days=30)
            v.enable("Build")
            equal(v.done("Compile", "Ship"), e, "30 days are not more than 30 days")
            late = v.start()
            v.disable("Build")
            v.done("Fetch")
            admin.advance(days=30, ms=1)
            v.enable("Build")
            v.idle("Compile")
            equal(v.status(late), "Stopped")
            check("30 days" in v.summaries()[late]["stopTrigger"]["reason"], "it says why")
            raises("StageNotRetryableException", v.retry, "Build", late)
            again = v.start()
            equal(v.done("Fetch", "Compile", "Ship"), again, "whoever is started anew goes through")


run()
