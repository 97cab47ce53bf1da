#!/usr/bin/python3
"""boto3 alone as operator and as worker, and the stock AWS CLI, against the real server."""
import json
import os
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from botocore.exceptions import ClientError  # noqa: E402
from mh.programs import Place, wait_for  # noqa: E402
from mh.tap import check, equal, raises, run, story  # noqa: E402
from mh.worker import names_in, zip_of  # noqa: E402

ROLE = "arn:aws:iam::000000000000:role/pipeline"
STORE = {"type": "S3", "location": "artifacts"}


def type_id(category, provider, owner="Custom"):
    return {"category": category, "owner": owner, "provider": provider, "version": "1"}


def create_type(cp, category, provider, inputs=0, outputs=0, properties=()):
    cp.create_custom_action_type(
        category=category, provider=provider, version="1", configurationProperties=list(properties),
        inputArtifactDetails={"minimumCount": inputs, "maximumCount": inputs},
        outputArtifactDetails={"minimumCount": outputs, "maximumCount": outputs})


def action(name, type_, inputs=(), outputs=(), **more):
    return dict({"name": name, "actionTypeId": type_, "inputArtifacts": [{"name": n} for n in inputs],
                 "outputArtifacts": [{"name": n} for n in outputs]}, **more)


APPROVAL = {"name": "Approval", "actions": [
    {"name": "ManualApproval", "actionTypeId": type_id("Approval", "Manual", "AWS"), "runOrder": 1,
     "configuration": {"CustomData": "Phê duyệt để deploy lên production"}}]}


def pipeline(name, stages, **more):
    return dict({"name": name, "roleArn": ROLE, "artifactStore": STORE, "stages": stages}, **more)


def poll(cp, type_):
    """One job, acknowledged, or None."""
    for job in cp.poll_for_jobs(actionTypeId=type_, maxBatchSize=1)["jobs"]:
        equal(cp.acknowledge_job(jobId=job["id"], nonce=job["nonce"])["status"], "InProgress", "acknowledgement")
        return job
    return None


def take(cp, type_):
    return wait_for(lambda: poll(cp, type_), what=f"a job of {type_['provider']}")


def stages(cp, name):
    return {s["stageName"]: s for s in cp.get_pipeline_state(name=name)["stageStates"]}


def status(cp, name, execution):
    return cp.get_pipeline_execution(pipelineName=name, pipelineExecutionId=execution)["pipelineExecution"]["status"]


def wait_status(cp, name, execution, wanted):
    def ended():
        now = status(cp, name, execution)
        return now not in ("InProgress", "Stopping") and now
    equal(wait_for(ended, what=f"{name} to end"), wanted, f"how {name} ended")


def newest(cp, name):
    return cp.list_pipeline_executions(pipelineName=name)["pipelineExecutionSummaries"][0]["pipelineExecutionId"]


def token_of(cp, name):
    def look():
        latest = stages(cp, name)["Approval"]["actionStates"][0].get("latestExecution", {})
        return latest.get("token")
    return wait_for(look, what="an approval token")


def location(artifact):
    at = artifact["location"]["s3Location"]
    return {"Bucket": at["bucketName"], "Key": at["objectKey"]}


# ---- a release ----

def set_up_release(cp, s3):
    create_type(cp, "Build", "Mill", 1, 1, [
        {"name": "Target", "required": True, "key": True, "secret": False, "queryable": True},
        {"name": "Password", "required": False, "key": False, "secret": True}])
    for bucket in ("sources", "artifacts", "releases"):
        s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket="sources", Key="app.zip", Body=zip_of({"main.c": b"int main;"}),
                  Metadata={"codepipeline-artifact-revision-summary": "the first one"})
    cp.create_pipeline(pipeline=pipeline("release", [
        {"name": "Source", "actions": [action(
            "Fetch", type_id("Source", "S3", "AWS"), outputs=["Code"], namespace="src",
            configuration={"S3Bucket": "sources", "S3ObjectKey": "app.zip", "PollForSourceChanges": "false"})]},
        {"name": "Build", "actions": [action(
            "Make", type_id("Build", "Mill"), ["Code"], ["Program"], namespace="build",
            configuration={"Target": "all", "Password": "hunter2-secret"})]},
        APPROVAL,
        {"name": "Deploy", "actions": [action(
            "Ship", type_id("Deploy", "S3", "AWS"), ["Program"],
            configuration={"BucketName": "releases", "Extract": "true", "ObjectKey": "v-#{build.Version}"})]},
    ], pipelineType="V2"))


def build(emulator, cp):
    """The worker's part: two rounds, the artifacts by the job's own credentials."""
    query = {"Target": "all"}
    type_ = type_id("Build", "Mill")

    def next_job():
        jobs = cp.poll_for_jobs(actionTypeId=type_, maxBatchSize=3, queryParam=query)["jobs"]
        equal(len(jobs), len(jobs[:1]), "jobs")
        return jobs and jobs[0]

    job = wait_for(next_job, what="the build job")
    equal(cp.acknowledge_job(jobId=job["id"], nonce=job["nonce"])["status"], "InProgress")
    equal(job["data"]["actionConfiguration"]["configuration"]["Password"], "hunter2-secret", "the secret, in the job")
    cp.put_job_success_result(jobId=job["id"], continuationToken="round-2",
                              executionDetails={"summary": "half way", "percentComplete": 50,
                                                "externalExecutionId": "build-7"})
    raises("InvalidJobStateException", cp.put_job_success_result, jobId=job["id"])
    second = wait_for(next_job, what="the continued job")
    check(second["id"] != job["id"], "a continuation is another job")
    equal(second["data"]["continuationToken"], "round-2", "continuation token")
    equal(second["data"]["pipelineContext"], job["data"]["pipelineContext"], "context")
    cp.acknowledge_job(jobId=second["id"], nonce=second["nonce"])
    data = cp.get_job_details(jobId=second["id"])["jobDetails"]["data"]
    keys = data["artifactCredentials"]
    own = emulator.client("s3", keys["accessKeyId"], keys["secretAccessKey"], keys["sessionToken"])
    source = own.get_object(**location(data["inputArtifacts"][0]))["Body"].read()
    equal(names_in(source), {"main.c": b"int main;"}, "the source")
    own.put_object(Body=zip_of({"bin/program": b"ELF"}), **location(data["outputArtifacts"][0]))
    raises("AccessDenied", own.get_object, Bucket="sources", Key="app.zip")
    cp.put_job_success_result(jobId=second["id"], outputVariables={"Version": "1.2"},
                              executionDetails={"summary": "built", "percentComplete": 100})


@story
def release_runs_through():
    """boto3 as operator and worker takes a release from S3 source to S3 deploy"""
    with Place() as place:
        emulator = place.emulator()
        cp, s3 = emulator.client("codepipeline"), emulator.client("s3")
        set_up_release(cp, s3)
        execution = newest(cp, "release")
        build(emulator, cp)
        token = token_of(cp, "release")
        seen = stages(cp, "release")
        equal({n: s.get("latestExecution", {}).get("status") for n, s in seen.items()},
              {"Source": "Succeeded", "Build": "Succeeded", "Approval": "InProgress", "Deploy": None}, "stages")
        equal(seen["Build"]["actionStates"][0]["latestExecution"]["summary"], "built", "summary")
        equal(s3.list_objects_v2(Bucket="releases").get("KeyCount"), 0, "nothing deployed yet")
        answer = cp.put_approval_result(pipelineName="release", stageName="Approval", actionName="ManualApproval",
                                        token=token, result={"summary": "Đồng ý", "status": "Approved"})
        check(answer["approvedAt"], "approvedAt")
        raises("ApprovalAlreadyCompletedException", cp.put_approval_result, pipelineName="release",
               stageName="Approval", actionName="ManualApproval", token=token,
               result={"summary": "again", "status": "Approved"})
        wait_status(cp, "release", execution, "Succeeded")
        equal(s3.get_object(Bucket="releases", Key="v-1.2/bin/program")["Body"].read(), b"ELF", "what was deployed")
        look_back(cp, execution)


def look_back(cp, execution):
    """What history shows of it, secrets masked."""
    summary = cp.list_pipeline_executions(pipelineName="release")["pipelineExecutionSummaries"][0]
    equal(summary["trigger"]["triggerType"], "CreatePipeline", "trigger")
    equal(summary["sourceRevisions"][0]["actionName"], "Fetch", "source action")
    equal(summary["sourceRevisions"][0]["revisionSummary"], "the first one", "revision summary")
    details = cp.list_action_executions(pipelineName="release",
                                        filter={"pipelineExecutionId": execution})["actionExecutionDetails"]
    equal([d["actionName"] for d in details], ["Ship", "ManualApproval", "Make", "Fetch"], "actions, newest first")
    equal(details[0]["input"]["resolvedConfiguration"]["ObjectKey"], "v-1.2", "resolved variable")
    equal(details[1]["output"]["executionResult"]["externalExecutionSummary"], "Đồng ý", "approval summary")
    equal(details[2]["input"]["configuration"]["Password"], "****", "the secret, elsewhere")
    equal(details[2]["output"]["outputVariables"], {"Version": "1.2"}, "output variables")
    check("hunter2" not in json.dumps(cp.get_pipeline(name="release"), default=str), "no secret in GetPipeline")
    check("hunter2" not in json.dumps(details, default=str), "no secret in ListActionExecutions")


@story
def release_survives_a_restart():
    """An execution in the middle of its build goes on after the server was killed"""
    with Place() as place:
        emulator = place.emulator()
        cp, s3 = emulator.client("codepipeline"), emulator.client("s3")
        set_up_release(cp, s3)
        execution = newest(cp, "release")
        wait_for(lambda: "latestExecution" in stages(cp, "release")["Build"], what="the build")
        emulator.kill()
        emulator = place.emulator(name="emulator2")
        cp = emulator.client("codepipeline")
        build(emulator, cp)
        token = token_of(cp, "release")
        emulator.kill()
        emulator = place.emulator(name="emulator3")
        cp = emulator.client("codepipeline")
        equal(token_of(cp, "release"), token, "the token")
        cp.put_approval_result(pipelineName="release", stageName="Approval", actionName="ManualApproval", token=token,
                               result={"summary": "", "status": "Rejected"})
        wait_status(cp, "release", execution, "Failed")
        equal(stages(cp, "release")["Deploy"].get("latestExecution"), None, "Deploy")


# ---- races ----

def start_hammer(emulator, name, count, ids, errors):
    cp = emulator.client("codepipeline")
    try:
        for _ in range(count):
            ids.append(cp.start_pipeline_execution(name=name)["pipelineExecutionId"])
    except ClientError as e:
        errors.append(e)


class Inside:
    """Counts who works on a stage right now."""

    def __init__(self):
        self.lock, self.now, self.most, self.order = threading.Lock(), 0, 0, []

    def enter(self, execution):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
            self.order.append(execution)

    def leave(self):
        with self.lock:
            self.now -= 1


def stage_worker(emulator, type_, inside, stop, errors):
    cp = emulator.client("codepipeline")
    try:
        while not stop.is_set():
            job = poll(cp, type_)
            if not job:
                stop.wait(0.002)
                continue
            inside.enter(job["data"]["pipelineContext"]["pipelineExecutionId"])
            cp.get_job_details(jobId=job["id"])  # work that takes a moment
            inside.leave()
            cp.put_job_success_result(jobId=job["id"])
    except Exception as e:  # shown by the story
        errors.append(e)


@story
def superseding_race():
    """Starts from two threads against two workers a stage: never two in a stage, the newest gets through"""
    with Place() as place:
        emulator = place.emulator()
        cp = emulator.client("codepipeline")
        types = [type_id("Source", "A"), type_id("Build", "B"), type_id("Deploy", "C")]
        for t in types:
            create_type(cp, t["category"], t["provider"])
        cp.create_pipeline(pipeline=pipeline("race", [
            {"name": t["category"], "actions": [action("Act", t)]} for t in types]))
        stop, errors, ids = threading.Event(), [], [[newest(cp, "race")], []]
        inside = [Inside() for _ in types]
        workers = [threading.Thread(target=stage_worker, args=(emulator, t, i, stop, errors))
                   for t, i in zip(types, inside) for _ in range(2)]
        starters = [threading.Thread(target=start_hammer, args=(emulator, "race", 60, ids[n], errors)) for n in (0, 1)]
        for t in workers + starters:
            t.start()
        for t in starters:
            t.join(60)
        last = newest(cp, "race")
        wait_status(cp, "race", last, "Succeeded")
        stop.set()
        for t in workers:
            t.join(30)
        equal(errors, [], "errors of threads")
        look_at_race(cp, inside, set(ids[0] + ids[1]))


def look_at_race(cp, inside, ids):
    rows = cp.get_paginator("list_pipeline_executions").paginate(
        pipelineName="race", PaginationConfig={"PageSize": 7}).search("pipelineExecutionSummaries[]")
    rows = list(rows)
    order = [r["pipelineExecutionId"] for r in reversed(rows)]
    equal(sorted(order), sorted(ids), "executions, each listed once")
    states = {r["pipelineExecutionId"]: r["status"] for r in rows}
    equal(sorted(set(states.values()) - {"Succeeded", "Superseded"}), [], "other states")
    check("Superseded" in states.values(), "somebody was superseded")
    for i in inside:
        equal(i.most, 1, "executions in one stage at once")
        equal(i.order, sorted(i.order, key=order.index), "the order in which they entered")
    equal(inside[2].order, [e for e in order if states[e] == "Succeeded"], "who came through")


def race_for_job(emulator, type_, together, won, lost, errors):
    cp = emulator.client("codepipeline")
    try:
        together.wait(20)
        for _ in range(20):
            for job in cp.poll_for_jobs(actionTypeId=type_, maxBatchSize=5)["jobs"]:
                won.append(job["id"])
                try:
                    cp.acknowledge_job(jobId=job["id"], nonce=job["nonce"])
                except ClientError as e:
                    lost.append(e.response["Error"]["Code"])
    except Exception as e:  # shown by the story
        errors.append(e)


@story
def polling_race():
    """Eight pollers of one type: every job is handed to one of them"""
    with Place() as place:
        emulator = place.emulator()
        cp = emulator.client("codepipeline")
        type_ = type_id("Source", "A")
        create_type(cp, "Source", "A")
        create_type(cp, "Build", "B")
        cp.create_pipeline(pipeline=pipeline("many", [
            {"name": "Source", "actions": [action("S", type_)]},
            {"name": "Build", "actions": [action("B", type_id("Build", "B"))]}],
            pipelineType="V2", executionMode="PARALLEL"))
        for _ in range(29):
            cp.start_pipeline_execution(name="many")
        together, won, lost, errors = threading.Barrier(8), [], [], []
        threads = [threading.Thread(target=race_for_job, args=(emulator, type_, together, won, lost, errors))
                   for _ in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(60)
        equal(errors, [], "errors of threads")
        equal(len(won), 30, "jobs handed out")
        equal(len(set(won)), 30, "jobs handed out once")
        equal(lost, [], "lost acknowledgements")


run()
