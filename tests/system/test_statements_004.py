#!/usr/bin/python3
"""What the founding documents say of stopping an execution (semantics H, 004), statement by statement."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh.statements import run, statement  # noqa: E402
from mh.tap import check, equal, raises  # noqa: E402

LOCKED = ("SUPERSEDED", "QUEUED")
REASONS = ("Stopping execution after the build action is done", "Stopping execution for a bug fix",
           "Dừng lại: sửa lỗi, \"gấp\"/now_! ✓", "r" * 200)


def at_build(w, mode="SUPERSEDED", spec=None):
    """A pipeline whose first execution is inside Build, its job taken: (execution, job)."""
    w.name = f"h-{w.tag}-{mode}"
    e = w.create(spec, mode=mode)
    w.done("Fetch")
    return e, w.take("Compile")


@statement
def H_004_1_an_execution_enters_one_stage_at_a_time_and_locks_it(w):
    for mode in LOCKED:
        e, job = at_build(w, mode)
        inside = [s["stageName"] for s in w.cp.get_pipeline_state(name=w.name)["stageStates"]
                  if s.get("latestExecution", {}).get("status") == "InProgress"]
        equal(inside, ["Build"])
        w.start()
        w.done("Fetch")
        w.idle("Compile")
        job.succeed()
        equal((w.stage("Build")[0] != e, w.stage("Deploy")), (True, (e, "InProgress")))


@statement
def H_004_2_stop_and_wait_is_stopping_until_all_actions_ended_and_frees_the_stage_then(w):
    for mode in LOCKED:
        e, job = at_build(w, mode, {"Source": ["Fetch"], "Build": ["Compile", "Beside"], "Deploy": ["Ship"]})
        second = w.start()
        w.done("Fetch")
        w.stop(e)
        for finish in (job.succeed, lambda: w.fail("Beside")):
            equal((w.status(e), w.stage("Build"), w.waiting("Build")), ("Stopping", (e, "Stopping"), [second]))
            w.idle("Compile")
            finish()
        equal((w.status(e), w.stage("Build"), w.waiting("Build")), ("Stopped", (second, "InProgress"), []))


@statement
def H_004_3_a_waiting_stop_may_become_an_abandoning_one(w):
    for mode in LOCKED:
        e, _ = at_build(w, mode)
        w.stop(e)
        equal(w.status(e), "Stopping")
        w.stop(e, abandon=True)
        equal(w.status(e), "Stopped")


@statement
def H_004_4_stop_and_abandon_is_soon_stopped_with_its_actions_abandoned_and_the_stage_free(w):
    for mode in LOCKED:
        e, _ = at_build(w, mode, {"Source": ["Fetch"], "Build": ["Compile", "Beside"], "Deploy": ["Ship"]})
        second = w.start()
        w.done("Fetch")
        w.stop(e, abandon=True)
        equal(w.status(e), "Stopped")
        equal(dict(w.ran(e)), {"Fetch": "Succeeded", "Compile": "Abandoned", "Beside": "Abandoned"})
        equal(w.stage("Build"), (second, "InProgress"))


@statement
def H_004_5_the_stage_where_it_stopped_can_be_retried_and_no_other(w):
    e, _ = at_build(w)
    w.stop(e, abandon=True)
    w.retry_refused("StageNotRetryableException", "Source", e)
    w.retry_refused("StageNotRetryableException", "Deploy", e)
    w.retry("Build", e, "ALL_ACTIONS")
    equal(w.done("Compile", "Ship"), e)
    equal(w.status(e), "Succeeded")


@statement
def H_004_6_only_what_is_in_progress_can_be_stopped(w):
    e = w.create()
    w.done("Fetch", "Compile", "Ship")
    failed = w.start()
    w.fail("Fetch")
    stopped = w.start()
    w.take("Fetch")
    w.stop(stopped, abandon=True)
    w.start()
    superseded = w.start()
    w.start()
    equal(w.statuses(e, failed, stopped, superseded), ["Succeeded", "Failed", "Stopped", "Superseded"])
    for over in (e, failed, stopped, superseded):
        for abandon in (False, True):
            w.stop_refused("PipelineExecutionNotStoppableException", over, abandon)
    w.stop_refused("PipelineExecutionNotStoppableException", "11111111-1111-4111-8111-111111111111")


@statement
def H_004_7_the_same_stop_again_is_refused(w):
    e, job = at_build(w)
    w.stop(e)
    for _ in range(2):
        w.stop_refused("DuplicatedStopRequestException", e)
    job.succeed()
    equal(w.status(e), "Stopped", "as it would have been")


@statement
def H_004_8_a_comment_may_be_given_and_is_shown_in_the_history(w):
    silent, _ = at_build(w)
    w.stop(silent, abandon=True)
    told = w.start()
    w.take("Fetch")
    w.stop(told, abandon=True, reason=REASONS[1])
    summaries = w.summaries()
    equal(summaries[told]["stopTrigger"]["reason"], REASONS[1])
    equal(summaries[told]["status"], "Stopped")
    check("reason" not in summaries[silent].get("stopTrigger", {}), "no comment was given")


@statement
def H_004_9_a_stop_cannot_be_undone(w):
    e, job = at_build(w)
    w.stop(e)
    w.retry_refused("StageNotRetryableException", "Build", e)
    w.enable("Build")
    job.succeed()
    equal(w.status(e), "Stopped")
    w.stop_refused("PipelineExecutionNotStoppableException", e)


@statement
def H_004_10_an_action_that_fails_in_a_waiting_stop_leaves_the_execution_stopped(w):
    for mode in LOCKED:
        e, job = at_build(w, mode)
        w.stop(e)
        job.fail()
        equal((w.status(e), w.stage("Build"), w.ran(e)[-1]), ("Stopped", (e, "Stopped"), ("Compile", "Failed")))


@statement
def H_004_11_the_status_is_in_the_list_and_in_the_actions_view(w):
    e, _ = at_build(w)
    w.stop(e)
    equal((w.summaries()[e]["status"], w.stage("Build"), w.actions(e)[-1]["status"]),
          ("Stopping", (e, "Stopping"), "InProgress"))
    w.stop(e, abandon=True)
    equal((w.summaries()[e]["status"], w.stage("Build"), w.actions(e)[-1]["status"]),
          ("Stopped", (e, "Stopped"), "Abandoned"))


@statement
def H_004_12_the_command_needs_pipeline_and_execution_and_takes_reason_and_abandon(w):
    e, job = at_build(w)
    stop, of = "stop-pipeline-execution", ("--pipeline-name", w.name, "--pipeline-execution-id", e)
    for missing in (of[:2], of[2:]):
        check("the following arguments are required" in w.aws.refused(stop, *missing), "both are required")
    equal(w.aws.json(stop, *of, "--no-abandon"), {"pipelineExecutionId": e})
    equal(w.status(e), "Stopping", "it waits")
    job.succeed()
    equal(w.status(e), "Stopped")
    second = w.start()
    w.done("Fetch")
    job = w.take("Compile")
    of = of[:3] + (second,)
    equal(w.aws.json(stop, *of), {"pipelineExecutionId": second})
    equal(w.status(second), "Stopping", "to wait is the default")
    equal(w.aws.json(stop, *of, "--abandon", "--reason", REASONS[1]), {"pipelineExecutionId": second})
    equal(w.status(second), "Stopped")


@statement
def H_004_13_reasons_are_free_text_of_at_most_200_characters(w):
    w.create()
    for reason in REASONS:
        e = w.newest()
        w.stop(e, abandon=True, reason=reason)
        equal(w.summaries()[e]["stopTrigger"]["reason"], reason)
        w.start()
    text = raises("ValidationException", w.stop, w.newest(), True, reason="r" * 201)
    check("less than or equal to 200" in text, text)
    equal(w.status(w.newest()), "InProgress", "nothing was stopped")


@statement
def H_004_14_a_transition_disabled_before_a_stop_leaves_the_stage_free(w):
    for mode in LOCKED:
        e, job = at_build(w, mode)
        second = w.start()
        w.done("Fetch")
        w.disable("Build")
        w.stop(e)
        job.succeed()
        equal((w.status(e), w.stage("Build"), w.waiting("Build")), ("Stopped", (e, "Stopped"), [second]))
        w.idle("Compile")
        w.enable("Build")
        equal(w.done("Compile"), second)


run()
