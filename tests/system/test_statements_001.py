#!/usr/bin/python3
"""What the founding documents say of how executions run (semantics H, 001), statement by statement."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh.events import short  # noqa: E402
from mh.git import Git  # noqa: E402
from mh.programs import wait_for  # noqa: E402
from mh.statements import run, statement, type_id  # noqa: E402
from mh.tap import check, equal, raises  # noqa: E402

LOCKED = ("SUPERSEDED", "QUEUED")
ASKS = {"Source": ["Fetch"], "Approval": ["Ask?", "After@2"], "Deploy": ["Ship"]}


def at_build(w, mode="SUPERSEDED", spec=None):
    """A pipeline whose first execution is inside Build, its job taken: (execution, job)."""
    w.name = f"h-{w.tag}-{mode}"
    e = w.create(spec, mode=mode)
    w.done("Fetch")
    return e, w.take("Compile")


def views(w, e, stage="Build", action="Compile"):
    """The execution and the action as each view shows them."""
    return {"execution": (w.status(e), w.summaries()[e]["status"]),
            "action": (w.latest(stage, action).get("status"), dict(w.ran(e)).get(action))}


def shows(w, e, execution, action):
    equal(views(w, e), {"execution": (execution, execution), "action": (action, action)})


@statement
def H_001_1_an_execution_starts_by_a_change_by_hand_or_by_schedule(w):
    repository = Git(w.place, "changes")
    repository.commit({"a": "0"}, "first")
    w.create({"Source": [{"name": "Fetch", "actionTypeId": type_id("Source", "CodeCommit", "AWS"),
                          "configuration": {"RepositoryName": "changes", "BranchName": "main"},
                          "outputArtifacts": [{"name": "Code"}]}], "Build": ["Compile"]}, mode="QUEUED")
    w.start()
    repository.commit({"a": "1"}, "a change")
    wait_for(lambda: len(w.summaries()) == 3, what="the execution that the change starts")
    equal([e["trigger"]["triggerType"] for e in w.summaries().values()],
          ["PollForSourceChanges", "StartPipelineExecution", "CreatePipeline"])
    with w.apart() as (v, admin):  # the row of the settings is in mh/statements.py
        admin.virtual("2098-12-31T00:00:00Z")
        v.create()
        admin.advance(hours=29)
        equal(len(v.summaries()), 1)
        admin.advance(hours=1)
        equal([e["trigger"]["triggerType"] for e in v.summaries().values()], ["CloudWatchEvent", "CreatePipeline"])


@statement
def H_001_2_all_sources_run_again_though_one_has_changed(w):
    revisions = [{"revision": f"r{n}", "changeIdentifier": f"c{n}"} for n in range(3)]
    w.create({"Source": ["One", "Two"], "Build": ["Compile"]})
    w.take("One").succeed(currentRevision=revisions[0])
    w.take("Two").succeed(currentRevision=revisions[1])
    w.done("Compile")
    e = w.start()
    w.take("One").succeed(currentRevision=revisions[0])
    w.idle("Compile")
    w.take("Two").succeed(currentRevision=revisions[2])
    equal({r["actionName"]: r["revisionId"] for r in w.summaries()[e]["sourceRevisions"]}, {"One": "r0", "Two": "r2"})


@statement
def H_001_3_stop_and_wait_lets_actions_end_and_starts_no_other(w):
    for mode in LOCKED:
        spec = {"Source": ["Fetch"], "Build": ["Compile", "Beside", "Then@2"], "Deploy": ["Ship"]}
        e, job = at_build(w, mode, spec)
        beside = w.take("Beside")
        w.stop(e)
        job.succeed()
        equal(w.status(e), "Stopping")
        w.idle("Then", "Ship")
        beside.succeed()
        equal(w.status(e), "Stopped")
        w.idle("Then", "Ship")
        equal(sorted(w.ran(e)), [("Beside", "Succeeded"), ("Compile", "Succeeded"), ("Fetch", "Succeeded")])


@statement
def H_001_4_stop_and_wait_is_refused_while_stopping(w):
    e, _ = at_build(w)
    w.stop(e)
    w.stop_refused("DuplicatedStopRequestException", e)


@statement
def H_001_5_stop_and_abandon_ends_actions_at_once_and_starts_no_other(w):
    spec = {"Source": ["Fetch"], "Build": ["Compile", "Then@2"], "Deploy": ["Ship"]}
    for mode in LOCKED:
        e, _ = at_build(w, mode, spec)
        w.stop(e, abandon=True)
        equal(w.ran(e), [("Fetch", "Succeeded"), ("Compile", "Abandoned")])
        w.idle("Compile", "Then", "Ship")


@statement
def H_001_6_stop_and_abandon_is_taken_while_stopping(w):
    e, _ = at_build(w)
    w.stop(e)
    w.stop(e, abandon=True)
    equal((w.status(e), w.ran(e)[-1]), ("Stopped", ("Compile", "Abandoned")))


@statement
def H_001_7_while_it_waits_the_action_is_in_progress_and_the_execution_stopping(w):
    e, _ = at_build(w)
    w.stop(e)
    shows(w, e, "Stopping", "InProgress")


@statement
def H_001_8_afterwards_the_action_succeeded_the_execution_is_stopped_and_can_be_retried(w):
    e, job = at_build(w, spec={"Source": ["Fetch"], "Build": ["Compile", "Then@2"], "Deploy": ["Ship"]})
    w.stop(e)
    job.succeed()
    shows(w, e, "Stopped", "Succeeded")
    equal(w.latest("Build", "Then"), {}, "what follows never started")
    w.retry("Build", e)
    w.done("Then", "Ship")
    equal(w.status(e), "Succeeded")


@statement
def H_001_9_an_abandoning_execution_is_stopping_with_its_action_in_progress_before(w):
    # For us that moment lies inside one commit: a view shows what is before or after it; events tell both.
    e, _ = at_build(w)
    w.stop(e, abandon=True)
    shows(w, e, "Stopped", "Abandoned")
    equal(short(w.told("Pipeline STOPPED", e))[-5:],
          ["Pipeline STOPPING", "Stage Build STOPPING", "Action Build/Compile ABANDONED", "Stage Build STOPPED",
           "Pipeline STOPPED"])


@statement
def H_001_10_after_abandoning_the_action_is_abandoned_the_execution_stopped_and_retryable(w):
    e, _ = at_build(w)
    w.stop(e, abandon=True)
    shows(w, e, "Stopped", "Abandoned")
    w.retry("Build", e)
    shows(w, e, "InProgress", "InProgress")


@statement
def H_001_11_a_late_result_for_an_abandoned_action_changes_nothing(w):
    for late in ("succeed", "fail"):
        w.tag += late[0]
        e, job = at_build(w)
        w.stop(e, abandon=True)
        before = (w.execution(e), w.actions(e), w.state("Build"))
        raises("InvalidJobStateException", getattr(job, late))
        equal((w.execution(e), w.actions(e), w.state("Build")), before)
        w.retry("Build", e)
        raises("InvalidJobStateException", getattr(job, late))
        equal(w.latest("Build", "Compile")["status"], "InProgress", "nor the attempt after it")


@statement
def H_001_12_a_newer_execution_enters_at_once_where_one_was_abandoned(w):
    for mode in LOCKED:
        slow, _ = at_build(w, mode)
        fix = w.start()
        w.done("Fetch")
        equal(w.waiting("Build"), [fix])
        w.stop(slow, abandon=True, reason="Stopping execution for a bug fix")
        equal(w.stage("Build"), (fix, "InProgress"))
        equal(w.done("Compile", "Ship"), fix)
        equal(w.statuses(slow, fix), ["Stopped", "Succeeded"])


@statement
def H_001_13_a_stage_is_locked_while_it_works_and_then_the_execution_moves_on(w):
    e, job = at_build(w)
    w.start()
    w.done("Fetch")
    w.idle("Compile")
    job.succeed()
    equal(w.stage("Deploy"), (e, "InProgress"))


@statement
def H_001_14_who_waits_is_held_until_all_actions_of_the_stage_succeeded(w):
    spec = {"Source": ["Fetch"], "Build": ["Compile", "Beside", "Then@2"], "Deploy": ["Ship"]}
    first, job = at_build(w, spec=spec)
    second = w.start()
    w.done("Fetch")
    for finish in (job.succeed, lambda: w.done("Beside"), lambda: w.done("Then")):
        equal((w.waiting("Build"), w.stage("Build")), ([second], (first, "InProgress")))
        finish()
    equal((w.waiting("Build"), w.stage("Build")), ([], (second, "InProgress")))


@statement
def H_001_15_a_failure_and_a_stop_free_the_stage_and_the_execution_goes_no_further(w):
    for mode in LOCKED:
        failed, job = at_build(w, mode)
        stopped = w.start()
        w.done("Fetch")
        job.fail()
        equal(w.stage("Build"), (stopped, "InProgress"))
        third = w.start()
        w.done("Fetch")
        w.stop(stopped, abandon=True)
        equal(w.stage("Build"), (third, "InProgress"))
        w.idle("Ship")
        equal(w.statuses(failed, stopped), ["Failed", "Stopped"])


def freed_but_disabled(w, mode):
    """A transition is disabled, then the stage behind it freed by a stop: (the stopped one, who waits)."""
    stopped, _ = at_build(w, mode)
    waiting = w.start()
    w.done("Fetch")
    w.disable("Build")
    w.stop(stopped, abandon=True)
    equal((w.stage("Build"), w.waiting("Build")), ((stopped, "Stopped"), [waiting]))
    w.idle("Compile")
    w.enable("Build")
    equal(w.stage("Build"), (waiting, "InProgress"))


@statement
def H_001_16_a_transition_disabled_before_the_stop_keeps_the_next_out(w):
    for mode in LOCKED:
        freed_but_disabled(w, mode)


@statement
def H_001_17_one_waits_at_a_locked_stage_and_a_third_takes_its_place(w):
    first, job = at_build(w)
    second = w.start()
    w.done("Fetch")
    third = w.start()
    w.done("Fetch")
    equal((w.status(second), w.waiting("Build")), ("Superseded", [third]))
    job.succeed()
    equal(w.stage("Build"), (third, "InProgress"))
    equal(w.stage("Deploy"), (first, "InProgress"))


@statement
def H_001_18_executions_are_processed_apart_and_in_order(w):
    order, ids = [], [w.create(mode="QUEUED")]
    ids += [w.start() for _ in range(3)]
    for name in ("Fetch", "Compile", "Ship"):
        order = [w.done(name) for _ in ids]
        equal(order, ids, name)
    equal(w.statuses(*ids), ["Succeeded"] * 4)
    w.name += "-S"
    ids = [w.create()]
    ids += [w.start() for _ in range(3)]
    equal(w.statuses(*ids), ["InProgress", "Superseded", "Superseded", "InProgress"])
    equal([w.done("Fetch"), w.done("Fetch")], [ids[0], ids[3]], "a later one may overtake by superseding alone")


@statement
def H_001_19_enabling_lets_who_waits_in_at_once_and_locks_the_stage(w):
    e = w.create()
    w.disable("Build")
    w.done("Fetch")
    w.enable("Build")
    equal(w.stage("Build"), (e, "InProgress"))
    second = w.start()
    w.done("Fetch")
    equal(w.waiting("Build"), [second], "the stage is locked")


@statement
def H_001_20_who_waits_at_a_disabled_transition_can_be_superseded(w):
    older = w.create()
    w.disable("Build")
    w.done("Fetch")
    newer = w.start()
    w.done("Fetch")
    equal((w.status(older), w.waiting("Build")), ("Superseded", [newer]))
    w.enable("Build")
    equal(w.stage("Build"), (newer, "InProgress"))


@statement
def H_001_21_an_approval_holds_the_next_action_of_its_stage(w):
    e = w.create(ASKS)
    w.done("Fetch")
    w.idle("After", "Ship")
    w.answer("Approval", "Approved")
    w.idle("Ship")
    equal(w.done("After", "Ship"), e)
    equal(w.status(e), "Succeeded")


@statement
def H_001_22_a_stage_with_an_open_approval_is_locked_until_it_is_over(w):
    for answer, status in (("Approved", "InProgress"), ("Rejected", "Failed")):
        w.name = f"h-{w.tag}-{answer}"
        first = w.create({"Source": ["Fetch"], "Approval": ["Ask?"], "Deploy": ["Ship"]})
        w.done("Fetch")
        second = w.start()
        w.done("Fetch")
        equal((w.stage("Approval"), w.waiting("Approval")), ((first, "InProgress"), [second]))
        w.answer("Approval", answer)
        equal(w.status(first), status)
        equal((w.stage("Approval"), w.waiting("Approval")), ((second, "InProgress"), []))
    with w.apart() as (v, admin):
        admin.virtual()
        first = v.create({"Source": ["Fetch"], "Approval": ["Ask?"], "Deploy": ["Ship"]})
        v.done("Fetch")
        second = v.start()
        v.done("Fetch")
        admin.advance(days=7, ms=-1)
        equal((v.status(first), v.waiting("Approval")), ("InProgress", [second]))
        token = v.token("Approval")
        admin.advance(ms=1)
        equal((v.status(first), v.stage("Approval")), ("Failed", (second, "InProgress")))
        asked = v.actions(first)[-1]
        equal((asked["status"], asked["output"]["executionResult"]["errorDetails"]["code"]), ("Failed", "Timeout"))
        raises("InvalidApprovalTokenException", v.answer, "Approval", "Approved", token)
        v.idle("Ship")


@statement
def H_001_23_a_failure_takes_the_revision_neither_to_the_next_action_nor_stage(w):
    e, job = at_build(w, spec={"Source": ["Fetch"], "Build": ["Compile", "Then@2"], "Deploy": ["Ship"]})
    job.fail()
    w.idle("Then", "Ship")
    equal((w.latest("Build", "Then"), w.stage("Deploy")), ({}, (None, None)))
    equal(w.ran(e), [("Fetch", "Succeeded"), ("Compile", "Failed")])


@statement
def H_001_24_a_retry_runs_what_failed_and_the_execution_goes_on(w):
    spec = {"Source": ["Fetch"], "Build": ["Compile", "Beside", "Then@2"], "Deploy": ["Ship"]}
    e, job = at_build(w, spec=spec)
    w.done("Beside")
    job.fail()
    w.retry("Build", e)
    w.idle("Beside")
    w.done("Compile", "Then", "Ship")
    equal(w.status(e), "Succeeded")
    equal(sorted(w.ran(e)), [("Beside", "Succeeded"), ("Compile", "Failed"), ("Compile", "Succeeded"),
                             ("Fetch", "Succeeded"), ("Ship", "Succeeded"), ("Then", "Succeeded")])


@statement
def H_001_25_no_retry_once_another_execution_has_entered_the_stage(w):
    failed, job = at_build(w)
    job.fail()
    w.start()
    w.retry("Build", failed)  # the other one is still in front of it
    w.fail("Compile")
    w.done("Fetch")
    for mode in ("FAILED_ACTIONS", "ALL_ACTIONS"):
        w.retry_refused("NotLatestPipelineExecutionException", "Build", failed, mode)
    w.done("Compile")
    w.retry_refused("NotLatestPipelineExecutionException", "Build", failed)


@statement
def H_001_26_the_actions_of_a_stage_see_the_same_execution(w):
    w.create({"Source": ["Fetch"], "Deploy": ["Ship", "Try@2"], "Test": ["Last"]})
    ids = [w.newest()]
    w.done("Fetch")
    for _ in range(3):  # each is deployed and tried before the next one gets in
        ids.append(w.start())
        w.done("Fetch")
        deployed = w.take("Ship")
        w.idle("Ship")
        deployed.succeed()
        w.idle("Ship")
        equal(w.done("Try"), deployed.execution, "what was tried is what was deployed")
    check(len(set(ids)) == 4, "four executions")


run()
