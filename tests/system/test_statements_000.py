#!/usr/bin/python3
"""What the founding documents say of the concepts (semantics H, 000), statement by statement."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh.git import Git  # noqa: E402
from mh.statements import CLIENT, CLIENT_TOKEN, STORE, THIRD, run, statement, type_id, where  # noqa: E402
from mh.programs import wait_for  # noqa: E402
from mh.tap import check, equal, raises  # noqa: E402
from mh.worker import names_in, zip_of  # noqa: E402

LOCKED = ("SUPERSEDED", "QUEUED")


def each_mode(w, *modes):
    """The same pipeline once more for each mode, under a name of its own."""
    for mode in modes or LOCKED:
        w.name = f"h-{w.tag}-{mode}"
        yield mode


@statement
def H_000_1_an_execution_passes_the_stages_in_their_order(w):
    e = w.create()
    equal([s["stageName"] for s in w.cp.get_pipeline_state(name=w.name)["stageStates"]], ["Source", "Build", "Deploy"])
    for name, stage, later in (("Fetch", "Source", ("Compile", "Ship")), ("Compile", "Build", ("Ship",)),
                               ("Ship", "Deploy", ())):
        equal(w.stage(stage), (e, "InProgress"))
        w.idle(*later)
        equal(w.done(name), e)
        equal(w.stage(stage), (e, "Succeeded"))
    equal(w.status(e), "Succeeded")
    equal([a["stageName"] for a in w.actions(e)], ["Source", "Build", "Deploy"])


@statement
def H_000_2_a_stage_has_an_action_and_holds_one_execution_at_a_time(w):
    raises("InvalidStageDeclarationException", w.create, {"Source": ["Fetch"], "Build": [], "Deploy": ["Ship"]})
    for mode in each_mode(w):
        first = w.create(mode=mode)
        w.done("Fetch")
        second = w.start()
        w.done("Fetch")
        inside = w.take("Compile")
        equal(inside.execution, first)
        w.idle("Compile")
        equal(w.waiting("Build"), [second])
        inside.succeed()
        equal(w.stage("Build"), (second, "InProgress"), "then the next one")
        equal(w.done("Compile"), second)


@statement
def H_000_3_all_categories_of_actions_are_taken(w):
    e = w.create({"Source": ["Fetch"], "Build": ["Compile"], "Test": ["Try"], "Approval": ["Ask?"],
                  "Invoke": ["Call"], "Deploy": ["Ship"]})
    w.done("Fetch", "Compile", "Try")
    w.answer("Approval", "Approved")
    w.done("Call", "Ship")
    equal(w.status(e), "Succeeded")
    equal([a["input"]["actionTypeId"]["category"] for a in w.actions(e)],
          ["Source", "Build", "Test", "Approval", "Invoke", "Deploy"])


@statement
def H_000_4_actions_run_side_by_side_or_one_after_another_by_run_order(w):
    e = w.create({"Source": ["Fetch"], "Build": ["One", "Two", "Third@7", "Last@9"]})
    w.done("Fetch")
    one, two = w.take("One"), w.take("Two")
    one.succeed()
    w.idle("Third", "Last")
    two.succeed()
    w.idle("Last")
    w.done("Third", "Last")
    equal(w.status(e), "Succeeded")


@statement
def H_000_5_every_execution_has_its_own_id_whatever_its_revision(w):
    ids, same = [w.create()], {"revision": "r-1", "changeIdentifier": "c-1"}
    w.take("Fetch").succeed(currentRevision=same)
    for _ in range(2):
        ids.append(w.start())
        w.take("Fetch").succeed(currentRevision=same)
    equal(len(set(ids)), 3, "ids")
    equal([e["sourceRevisions"][0]["revisionId"] for e in w.summaries().values()], ["r-1"] * 3)


@statement
def H_000_6_executions_are_in_progress_in_different_stages_at_once(w):
    first = w.create()
    w.done("Fetch", "Compile")
    second = w.start()
    w.done("Fetch")
    third = w.start()
    equal([w.stage(s) for s in ("Deploy", "Build", "Source")],
          [(first, "InProgress"), (second, "InProgress"), (third, "InProgress")])
    equal(w.statuses(first, second, third), ["InProgress"] * 3)
    jobs = [w.take(name) for name in ("Ship", "Compile", "Fetch")]
    equal([j.execution for j in jobs], [first, second, third], "all of them are worked on")


@statement
def H_000_7_who_waits_at_a_locked_stage_is_shown_as_inbound(w):
    for mode in each_mode(w):
        w.create(mode=mode)
        w.done("Fetch")
        equal(w.waiting("Build"), [])
        second = w.start()
        w.done("Fetch")
        equal(w.waiting("Build"), [second])
        shown = w.state("Build")
        equal(shown["inboundExecutions"][0]["status"], "InProgress")
        if mode == "SUPERSEDED":
            equal(shown["inboundExecution"]["pipelineExecutionId"], second)
        w.done("Compile")
        equal(w.waiting("Build"), [])


@statement
def H_000_8_who_waits_can_fail_be_superseded_or_be_stopped(w):
    w.cp.create_custom_action_type(category="Build", provider="Gone", version="1",
                                   inputArtifactDetails={"minimumCount": 0, "maximumCount": 0},
                                   outputArtifactDetails={"minimumCount": 0, "maximumCount": 0})
    going = {"name": "Compile", "actionTypeId": type_id("Build", "Gone")}
    w.create({"Source": ["Fetch"], "Build": ["Ready", dict(going, runOrder=2)]})
    w.done("Fetch")
    superseded = w.start()
    w.done("Fetch")
    stopped = w.start()
    w.done("Fetch")
    equal(w.waiting("Build"), [stopped])
    w.stop(stopped)
    equal(w.statuses(superseded, stopped), ["Superseded", "Stopped"])
    equal(w.waiting("Build"), [])
    # What its stage needs is taken away while it waits: it fails as soon as it may enter, before any work.
    w.name += "-fails"
    first = w.create({"Source": ["Fetch"], "Build": [going]})
    w.disable("Build")
    w.done("Fetch")
    equal((w.waiting("Build"), w.status(first)), ([first], "InProgress"))
    w.cp.delete_custom_action_type(category="Build", provider="Gone", version="1")
    w.enable("Build")
    equal(w.status(first), "Failed")


@statement
def H_000_9_an_execution_has_one_of_these_statuses(w):
    seen = {w.status(w.create())}
    w.done("Fetch", "Compile")
    seen.add(w.status(w.newest()))
    w.done("Ship")
    seen.add(w.status(w.newest()))  # Succeeded
    failing = w.start()
    w.fail("Fetch")
    stopping = w.start()
    job = w.take("Fetch")
    older, newer = w.start(), w.start()
    w.stop(stopping)
    seen |= {w.status(failing), w.status(stopping), w.status(older)}
    job.succeed()
    seen.add(w.status(stopping))
    w.take("Fetch").succeed()
    last = w.start()
    w.update()
    equal(w.status(newer), "InProgress", "it is inside Build until its action has ended")
    w.done("Fetch")
    seen.add(w.status(last))  # Cancelled
    equal(seen, {"InProgress", "Stopping", "Stopped", "Succeeded", "Superseded", "Failed", "Cancelled"})


@statement
def H_000_10_a_stop_by_hand_is_stopping_until_it_is_stopped(w):
    e = w.create()
    job = w.take("Fetch")
    w.stop(e)
    equal(w.status(e), "Stopping")
    job.succeed()
    equal(w.status(e), "Stopped")
    w.idle("Compile")
    equal(w.ran(e), [("Fetch", "Succeeded")], "it does not go on")


@statement
def H_000_11_a_stopped_execution_can_be_retried(w):
    e = w.create()
    w.done("Fetch")
    w.take("Compile")
    w.stop(e, abandon=True)
    w.retry("Build", e)
    equal(w.status(e), "InProgress")
    w.done("Compile", "Ship")
    equal(w.status(e), "Succeeded")


@statement
def H_000_12_a_stop_waits_or_abandons(w):
    for mode in each_mode(w):
        waits = w.create(mode=mode)
        w.done("Fetch")
        job = w.take("Compile")
        w.stop(waits, abandon=False)
        job.succeed()
        abandons = w.start()
        w.done("Fetch")
        w.take("Compile")
        w.stop(abandons, abandon=True)
        equal(w.statuses(waits, abandons), ["Stopped", "Stopped"])
        equal([w.ran(e)[-1] for e in (waits, abandons)], [("Compile", "Succeeded"), ("Compile", "Abandoned")])


@statement
def H_000_13_a_failed_execution_halts_and_frees_its_stage(w):
    for mode in each_mode(w):
        failed = w.create(mode=mode)
        w.done("Fetch")
        second = w.start()
        w.done("Fetch")
        w.fail("Compile")
        equal(w.status(failed), "Failed")
        w.idle("Ship")
        equal(w.stage("Build"), (second, "InProgress"))


@statement
def H_000_14_a_newer_execution_enters_the_stage_that_failed(w):
    failed = w.create()
    w.done("Fetch")
    w.fail("Compile")
    equal(w.stage("Build"), (failed, "Failed"))
    newer = w.start()
    w.done("Fetch")
    equal(w.stage("Build"), (newer, "InProgress"))
    w.start()
    w.done("Fetch")
    w.take("Compile")
    w.idle("Compile")  # it is locked by the newer one


@statement
def H_000_15_a_failed_execution_can_be_retried_unless_it_cannot(w):
    e = w.create()
    w.done("Fetch")
    w.fail("Compile")
    w.retry("Build", e)
    w.fail("Compile")
    w.start()
    w.done("Fetch")
    w.retry_refused("NotLatestPipelineExecutionException", "Build", e)
    w.name += "-updated"
    e = w.create()
    w.fail("Fetch")
    w.update()
    w.retry_refused("StageNotRetryableException", "Source", e)


@statement
def H_000_16_superseding_happens_between_stages_alone(w):
    inside = w.create()
    w.done("Fetch")
    job = w.take("Compile")
    for _ in range(3):
        last = w.start()
        w.done("Fetch")
        equal((w.status(inside), w.stage("Build")), ("InProgress", (inside, "InProgress")))
    job.succeed()
    equal(w.stage("Deploy"), (inside, "InProgress"), "whoever was inside was not touched")
    equal(sorted(w.statuses(*w.summaries())), ["InProgress", "InProgress", "Superseded", "Superseded"])
    equal(w.stage("Build"), (last, "InProgress"))


@statement
def H_000_17_a_newer_arrival_supersedes_who_waits_at_a_locked_stage(w):
    inside = w.create()
    w.done("Fetch")
    older = w.start()
    w.done("Fetch")
    newer = w.start()
    equal(w.status(older), "InProgress", "while the newer one is not there yet")
    w.done("Fetch")
    equal(w.statuses(inside, older, newer), ["InProgress", "Superseded", "InProgress"])
    equal(w.waiting("Build"), [newer], "it waits until the stage is free")
    w.done("Compile")
    equal(w.stage("Build"), (newer, "InProgress"))
    equal(w.ran(older), [("Fetch", "Succeeded")], "the older one went no further")


@statement
def H_000_18_a_superseded_execution_cannot_be_retried(w):
    w.create()
    w.done("Fetch")
    older = w.start()
    w.done("Fetch")
    w.start()
    w.done("Fetch")
    equal(w.status(older), "Superseded")
    for stage in ("Source", "Build"):
        for mode in ("FAILED_ACTIONS", "ALL_ACTIONS"):
            check(refused(w, stage, older, mode) in ("StageNotRetryableException",
                                                     "NotLatestPipelineExecutionException"), f"{stage} {mode}")
    equal(w.status(older), "Superseded")


def refused(w, stage, execution, mode):
    try:
        w.retry(stage, execution, mode)
    except w.cp.exceptions.ClientError as e:
        return e.response["Error"]["Code"]
    return None


@statement
def H_000_19_a_stage_is_over_when_all_its_actions_are(w):
    wide = {"Source": ["Fetch"], "Build": ["One", "Two"], "Deploy": ["Ship"]}
    seen, e = set(), w.create(wide)
    w.done("Fetch", "One")
    seen.add(w.stage("Build")[1])
    two = w.take("Two")
    w.stop(e)
    seen.add(w.stage("Build")[1])
    two.succeed()
    seen.add(w.stage("Build")[1])
    w.start()
    w.done("Fetch", "One")
    w.fail("Two")
    seen.add(w.stage("Build")[1])
    w.start()
    w.done("Fetch", "One", "Two")
    seen.add(w.stage("Build")[1])
    equal(seen, {"InProgress", "Stopping", "Stopped", "Failed", "Succeeded"})


def chain(w):
    """Source makes Code, Build makes Program of it, Deploy takes that."""
    return {"Source": [w.action("Fetch", "Source", outputs=["Code"])],
            "Build": [w.action("Compile", "Build", ["Code"], ["Program"])],
            "Deploy": [w.action("Ship", "Deploy", ["Program"])]}


def names(artifacts):
    return [a["name"] for a in artifacts]


@statement
def H_000_20_an_action_works_on_its_own_artifacts(w):
    e = w.create(chain(w))
    for name, inputs, outputs in (("Fetch", [], ["Code"]), ("Compile", ["Code"], ["Program"]), ("Ship", ["Program"], [])):
        job = w.take(name)
        equal((names(job.data["inputArtifacts"]), names(job.data["outputArtifacts"])), (inputs, outputs), name)
        job.succeed()
    equal([(names(a["input"]["inputArtifacts"]), names(a["output"]["outputArtifacts"])) for a in w.actions(e)],
          [([], ["Code"]), (["Code"], ["Program"]), (["Program"], [])])


@statement
def H_000_21_the_details_tell_action_execution_trigger_and_artifacts(w):
    e = w.create(chain(w))
    w.done("Fetch")
    job = w.take("Compile")
    job.succeed()
    shown = w.actions(e)[1]
    equal(shown["actionExecutionId"], job.data["pipelineContext"]["action"]["actionExecutionId"])
    equal(shown["actionExecutionId"], w.latest("Build", "Compile")["actionExecutionId"])
    equal(shown["pipelineExecutionId"], e)
    for side, artifacts in (("input", "inputArtifacts"), ("output", "outputArtifacts")):
        told, given = shown[side][artifacts][0], job.data[artifacts][0]
        equal((told["name"], told["s3location"]["bucket"], told["s3location"]["key"]),
              (given["name"], given["location"]["s3Location"]["bucketName"], given["location"]["s3Location"]["objectKey"]))
    equal(w.execution(e)["trigger"]["triggerType"], "CreatePipeline")
    equal(w.execution(w.start())["trigger"]["triggerType"], "StartPipelineExecution")


@statement
def H_000_22_an_action_has_one_of_these_statuses(w):
    e = w.create({"Source": ["Fetch"], "Build": ["One", "Two", "Three"]})
    w.done("Fetch", "One")
    w.fail("Two")
    equal(dict(w.ran(e)), {"Fetch": "Succeeded", "One": "Succeeded", "Two": "Failed", "Three": "InProgress"})
    w.stop(e, abandon=True)
    equal(dict(w.ran(e))["Three"], "Abandoned")


@statement
def H_000_23_an_action_type_is_its_category_owner_provider_and_version(w):
    counts = {"minimumCount": 0, "maximumCount": 0}
    w.categories["Fetch"] = "Source"
    for version, key in (("1", "Colour"), ("2", "Size")):
        made = w.cp.create_custom_action_type(
            category="Build", provider="Versions", version=version, inputArtifactDetails=counts,
            outputArtifactDetails=counts,
            configurationProperties=[{"name": key, "required": True, "key": True, "secret": False}])["actionType"]
        equal(made["id"], {"category": "Build", "owner": "Custom", "provider": "Versions", "version": version})
        equal([p["name"] for p in made["actionConfigurationProperties"]], [key])
    second = {"name": "Compile", "actionTypeId": dict(type_id("Build", "Versions"), version="2")}
    text = raises("InvalidActionDeclarationException", w.create,
                  {"Source": ["Fetch"], "Build": [dict(second, configuration={"Colour": "red"})]})
    check("Size" in text or "Colour" in text, text)
    w.create({"Source": ["Fetch"], "Build": [dict(second, configuration={"Size": "7"})]})
    w.done("Fetch")
    equal(w.cp.poll_for_jobs(actionTypeId=type_id("Build", "Versions"))["jobs"], [], "version 1")
    equal(w.cp.poll_for_jobs(actionTypeId=second["actionTypeId"])["jobs"][0]["data"]["actionConfiguration"][
        "configuration"], {"Size": "7"})


@statement
def H_000_24_a_disabled_transition_keeps_executions_out_until_it_is_enabled(w):
    for mode in each_mode(w, *LOCKED, "PARALLEL"):
        e = w.create(mode=mode)
        w.disable("Build")
        w.done("Fetch")
        w.idle("Compile")
        equal(w.status(e), "InProgress")
        if mode != "PARALLEL":
            equal((w.stage("Build"), w.waiting("Build")), ((None, None), [e]))
        w.enable("Build")
        equal(w.done("Compile", "Ship"), e)
        equal(w.status(e), "Succeeded")


@statement
def H_000_25_of_those_at_a_disabled_transition_only_the_latest_enters(w):
    ids = [w.create()]
    w.disable("Build")
    w.done("Fetch")
    for _ in range(3):
        ids.append(w.start())
        w.done("Fetch")
        equal(w.waiting("Build"), [ids[-1]])
    equal(w.statuses(*ids), ["Superseded"] * 3 + ["InProgress"])
    w.enable("Build")
    equal(w.stage("Build"), (ids[-1], "InProgress"))
    equal(w.done("Compile"), ids[-1])
    w.idle("Compile")


@statement
def H_000_26_artifacts_travel_through_the_bucket_of_the_pipeline(w):
    w.create(chain(w))
    fetch = w.take("Fetch")
    out = where(fetch.data["outputArtifacts"][0])
    equal(out["Bucket"], STORE["location"])
    w.s3_of(fetch).put_object(Body=b"the code", **out)
    fetch.succeed()
    compile_ = w.take("Compile")
    equal(where(compile_.data["inputArtifacts"][0]), out)
    equal(w.input_of(compile_), b"the code")


def aws_source(provider, **configuration):
    return {"name": "Fetch", "actionTypeId": type_id("Source", provider, "AWS"),
            "configuration": dict(configuration, PollForSourceChanges="false"), "outputArtifacts": [{"name": "Code"}]}


@statement
def H_000_27_an_execution_keeps_to_the_source_revision_that_began_it(w):
    repository = Git(w.place, "pinned")
    commits = [repository.commit({"v": "1"}, "one")]
    w.s3.create_bucket(Bucket="pinned")
    w.s3.put_object(Bucket="pinned", Key="src.zip", Body=zip_of({"v": b"1"}))
    sources = (aws_source("CodeCommit", RepositoryName="pinned", BranchName="main"),
               aws_source("S3", S3Bucket="pinned", S3ObjectKey="src.zip"))
    executions = []
    for n, source in enumerate(sources):
        w.name = f"h-{w.tag}-{n}"
        executions.append(w.create({"Source": [source], "Build": [w.action(f"Compile{n}", "Build", ["Code"])]}))
        wait_for(lambda: w.stage("Build")[0], what="the source to be there")
    commits.append(repository.commit({"v": "2"}, "two"))
    w.s3.put_object(Bucket="pinned", Key="src.zip", Body=zip_of({"v": b"2"}))
    for n in range(2):
        w.name = f"h-{w.tag}-{n}"
        equal(names_in(w.input_of(w.take(f"Compile{n}")))["v"], b"1", "the source moved on, the execution did not")
    w.name = f"h-{w.tag}-0"
    equal(w.execution(executions[0])["artifactRevisions"][0]["revisionId"], commits[0])
    w.stop(executions[0], abandon=True)
    later = w.start()
    wait_for(lambda: w.stage("Build")[0] == later, what="the source to be there")
    equal(names_in(w.input_of(w.take("Compile0")))["v"], b"2")
    equal(w.execution(later)["artifactRevisions"][0]["revisionId"], commits[1])


@statement
def H_000_28_a_third_party_owns_action_types_and_its_workers_do_the_jobs(w):
    counts = {"minimumCount": 0, "maximumCount": 1}
    w.cp.update_action_type(actionType={
        "id": THIRD, "inputArtifactDetails": counts, "outputArtifactDetails": counts,
        "executor": {"type": "JobWorker", "configuration": {"jobWorkerExecutorConfiguration": {
            "pollingAccounts": ["000000000000"]}}},
        "permissions": {"allowedAccounts": ["*"]},
        "properties": [{"name": "Target", "optional": False, "key": True, "noEcho": False}]})
    e = w.create({"Source": ["Fetch"], "Deploy": [{"name": "Ship", "actionTypeId": THIRD,
                                                   "configuration": {"Target": "north"}}]})
    w.done("Fetch")
    job = w.cp.poll_for_third_party_jobs(actionTypeId=THIRD)["jobs"][0]
    equal(job["clientId"], CLIENT)
    of = {"jobId": job["jobId"], "clientToken": CLIENT_TOKEN}
    nonce = w.cp.get_third_party_job_details(**of)["jobDetails"]["nonce"]
    equal(w.cp.acknowledge_third_party_job(nonce=nonce, **of)["status"], "InProgress")
    w.cp.put_third_party_job_success_result(**of)
    equal(w.status(e), "Succeeded")


run()
