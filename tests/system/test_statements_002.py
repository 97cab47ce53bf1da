#!/usr/bin/python3
"""What another emulator's guide says that it does (semantics H, 002), statement by statement: the floor for ours."""
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh.events import ACTION, PIPELINE, STAGE, short  # noqa: E402
from mh.git import Git  # noqa: E402
from mh.programs import KEY, REGION, SECRET, SHARED, SRC, wait_for  # noqa: E402
from mh.statements import CLIENT_TOKEN, STORE, THIRD, run, statement, type_id, where  # noqa: E402
from mh.tap import check, equal, raises  # noqa: E402
from mh.worker import names_in, zip_of  # noqa: E402

ASKS = {"Source": ["Fetch"], "Approval": ["Ask?"], "Deploy": ["Ship"]}


def own(name, category, provider, inputs=(), outputs=(), **configuration):
    """An action of one of AWS's own types."""
    return {"name": name, "actionTypeId": type_id(category, provider, "AWS"), "configuration": configuration,
            "inputArtifacts": [{"name": n} for n in inputs], "outputArtifacts": [{"name": n} for n in outputs]}


class Guide:
    """The guide's pipeline, from its file: CodeCommit, CodeBuild, CodeDeploy, V2 and QUEUED."""

    def __init__(self, w):
        theirs = os.path.join(SHARED, "data", "guide-pipeline.json")
        ours = os.path.join(SRC, "tests", "fixtures", "pipelines", "offered.json")
        with open(theirs if os.path.exists(theirs) else ours, encoding="utf-8") as f:
            self.declared = json.load(f)["pipeline"]
        self.w, self.declared["name"] = w, w.name
        name = self.declared["stages"][0]["actions"][0]["configuration"]["RepositoryName"]
        if os.path.exists(w.place.path("git", f"{name}.git")):
            self.commit = None
        else:
            self.commit = Git(w.place, name).commit({"build.sh": "echo built\n"}, "first")

    def create(self):
        """With the stock CLI; what it prints."""
        self.w.created.add(self.w.name)
        return self.w.aws.json("create-pipeline", "--cli-input-json", self.w.aws.file("guide.json", {"pipeline": self.declared}))

    def build(self):
        return self.w.take_offered("Build", "CodeBuild")

    def deploy(self):
        return self.w.take_offered("Deploy", "CodeDeploy")


def typed(w, command, *words):
    """A command of the guide about this pipeline."""
    return w.aws(command, "--pipeline-name", w.name, *words)


@statement
def H_002_1_the_stock_cli_needs_the_endpoints_url_alone(w):
    w.create(pipelineType="V1")
    env = {k: v for k, v in w.place.env.items() if not k.startswith("AWS_")}
    env.update(AWS_ACCESS_KEY_ID=KEY, AWS_SECRET_ACCESS_KEY=SECRET, AWS_DEFAULT_REGION=REGION, AWS_PAGER="")
    w.place.env, kept = env, w.place.env
    try:
        base = ["/usr/bin/aws", "--endpoint-url", f"http://localhost:{w.emulator.port}", "codepipeline"]
        listed = json.loads(w.place.run(base + ["list-pipelines"]).stdout)["pipelines"]
        check(w.name in [p["name"] for p in listed], listed)
        state = json.loads(w.place.run(base + ["get-pipeline-state", "--name", w.name]).stdout)
        equal(state["stageStates"][0]["latestExecution"]["status"], "InProgress")
    finally:
        w.place.env = kept


@statement
def H_002_2_create_pipeline_takes_the_guides_file(w):
    guide = Guide(w)
    made = guide.create()["pipeline"]
    equal((made["pipelineType"], made["executionMode"]), ("V2", "QUEUED"))
    equal([s["name"] for s in made["stages"]], ["Source", "Build", "Deploy"])
    equal([a["actionTypeId"]["provider"] for s in made["stages"] for a in s["actions"]],
          ["CodeCommit", "CodeBuild", "CodeDeploy"])
    equal({a["runOrder"] for s in made["stages"] for a in s["actions"]}, {1})
    equal(made["artifactStore"], guide.declared["artifactStore"])
    check(made["roleArn"].startswith("arn:aws:iam::000000000000:role/"), made["roleArn"])


@statement
def H_002_3_creating_a_pipeline_starts_its_first_execution(w):
    w.create()
    shown = list(w.summaries().values())
    equal([(e["status"], e["trigger"]["triggerType"]) for e in shown], [("InProgress", "CreatePipeline")])
    w.done("Fetch")


@statement
def H_002_4_start_pipeline_execution_by_name_answers_an_id(w):
    first = w.create(mode="QUEUED")
    e = w.aws.json("start-pipeline-execution", "--name", w.name)["pipelineExecutionId"]
    check(e != first and e in w.summaries(), e)
    equal([w.done("Fetch"), w.done("Fetch")], [first, e])


@statement
def H_002_5_get_pipeline_state_shows_how_far_stages_and_actions_are(w):
    w.create({"Source": ["Fetch"], "Build": ["One", "Two"], "Deploy": ["Ship"]})
    w.done("Fetch", "One")
    state = w.aws.json("get-pipeline-state", "--name", w.name)
    equal([(s["stageName"], s.get("latestExecution", {}).get("status"),
            [(a["actionName"], a.get("latestExecution", {}).get("status")) for a in s["actionStates"]])
           for s in state["stageStates"]],
          [("Source", "Succeeded", [("Fetch", "Succeeded")]),
           ("Build", "InProgress", [("One", "Succeeded"), ("Two", "InProgress")]),
           ("Deploy", None, [("Ship", None)])])


def published(w, bucket):
    return [o["Key"] for o in w.s3.list_objects_v2(Bucket=bucket).get("Contents", [])]


@statement
def H_002_6_executions_go_on_without_any_call_of_a_client(w):
    w.s3.create_bucket(Bucket="background")
    w.s3.put_object(Bucket="background", Key="src.zip", Body=zip_of({"page.html": b"<p>"}))
    w.s3.create_bucket(Bucket="background-site")
    # Nobody speaks to CodePipeline between this call and the end; what is deployed is seen in S3.
    w.cp.create_pipeline(pipeline=w.declaration({
        "Source": [own("Fetch", "Source", "S3", outputs=["Code"], S3Bucket="background", S3ObjectKey="src.zip")],
        "Deploy": [own("Publish", "Deploy", "S3", ["Code"], BucketName="background-site", Extract="true")]}))
    w.created.add(w.name)
    wait_for(lambda: published(w, "background-site") == ["page.html"], 30, "what it deploys")
    w.until(w.newest(), "Succeeded")


@statement
def H_002_7_a_stage_asks_its_transition_first_and_starts_actions_then(w):
    e = w.create({"Source": ["Fetch"], "Build": ["One", "Two"], "Deploy": ["Ship"]})
    w.disable("Build")
    w.done("Fetch")
    equal(w.ran(e), [("Fetch", "Succeeded")], "no action was begun")
    w.idle("One", "Two")
    w.enable("Build")
    equal(w.ran(e)[1:], [("One", "InProgress"), ("Two", "InProgress")])


@statement
def H_002_8_a_group_starts_when_the_one_before_it_is_complete(w):
    w.create({"Source": ["Fetch"], "Build": ["A", "B", "C@2", "D@2", "E@30"]})
    w.done("Fetch")
    for group, later in ((("A", "B"), ("C", "D", "E")), (("C", "D"), ("E",)), (("E",), ())):
        jobs = [w.take(name) for name in group]
        for job in jobs:
            w.idle(*later)
            job.succeed()
    equal(w.status(w.newest()), "Succeeded")


@statement
def H_002_9_what_a_service_backs_is_really_done_and_its_result_mirrored(w):
    guide = Guide(w)
    guide.create()
    build = guide.build()
    source = names_in(w.input_of(build))
    check("build.sh" in source, "the sources are really there")
    made = zip_of({"app.bin": b"made of " + source["build.sh"]})
    w.s3_of(build).put_object(Body=made, ServerSideEncryption="aws:kms", **where(build.data["outputArtifacts"][0]))
    build.succeed(executionDetails={"summary": "built", "externalExecutionId": "my-build:7", "percentComplete": 100})
    shown = w.latest("Build", "CodeBuild")
    equal((shown["status"], shown["summary"], shown["externalExecutionId"]), ("Succeeded", "built", "my-build:7"))
    deploy = guide.deploy()
    equal(w.input_of(deploy), made, "what was built is deployed")
    deploy.fail("no instance left")
    shown = w.latest("Deploy", "CodeDeploy")
    equal((shown["status"], shown["errorDetails"]["message"]), ("Failed", "no instance left"))
    equal(w.status(w.newest()), "Failed")


@statement
def H_002_10_all_groups_done_the_stage_succeeded_and_the_next_begins(w):
    e = w.create({"Source": ["Fetch"], "Build": ["One", "Two@2"], "Deploy": ["Ship"]})
    w.done("Fetch", "One")
    equal((w.stage("Build"), w.stage("Deploy")), ((e, "InProgress"), (None, None)))
    w.done("Two")
    equal((w.stage("Build"), w.stage("Deploy")), ((e, "Succeeded"), (e, "InProgress")))


@statement
def H_002_11_one_failure_and_no_later_group_runs_the_stage_and_the_execution_fail(w):
    e = w.create({"Source": ["Fetch"], "Build": ["One", "Two", "Three@2"], "Deploy": ["Ship"]})
    w.done("Fetch")
    two = w.take("Two")
    w.fail("One")
    equal(w.stage("Build"), (e, "InProgress"), "who is at it may finish")
    two.succeed()
    equal((w.stage("Build"), w.status(e)), ((e, "Failed"), "Failed"))
    w.idle("Three", "Ship")


@statement
def H_002_12_each_provider_does_its_part(w):
    commit = Git(w.place, "providers").commit({"page.html": "<p>"}, "first")
    for bucket in ("providers", "providers-site"):
        w.s3.create_bucket(Bucket=bucket)
    w.s3.put_object(Bucket="providers", Key="more.zip", Body=zip_of({"more": b"m"}))
    counts = {"minimumCount": 0, "maximumCount": 1}
    w.cp.update_action_type(actionType={
        "id": THIRD, "inputArtifactDetails": counts, "outputArtifactDetails": counts,
        "executor": {"type": "JobWorker", "configuration": {"jobWorkerExecutorConfiguration": {
            "pollingAccounts": ["000000000000"]}}}, "permissions": {"allowedAccounts": ["*"]}})
    e = w.create({
        "Source": [own("Git", "Source", "CodeCommit", outputs=["Code"], RepositoryName="providers", BranchName="main"),
                   own("More", "Source", "S3", outputs=["Data"], S3Bucket="providers", S3ObjectKey="more.zip")],
        "Build": [own("Build", "Build", "CodeBuild", ["Code"], ProjectName="p")],
        "Test": [own("Try", "Test", "CodeBuild", ["Code"], ProjectName="p")],
        "Deploy": [own("Roll", "Deploy", "CodeDeploy", ["Code"], ApplicationName="a", DeploymentGroupName="g"),
                   own("Site", "Deploy", "S3", ["Code"], BucketName="providers-site", Extract="true")],
        "Approval": ["Ask?"],
        "Invoke": ["Own", {"name": "Third", "actionTypeId": THIRD}]})
    w.take_offered("Build", "CodeBuild").succeed()
    equal({r["name"]: r["revisionId"] for r in w.execution(e)["artifactRevisions"]}["Code"], commit)
    w.take_offered("Test", "CodeBuild").succeed()
    w.take_offered("Deploy", "CodeDeploy").succeed()
    w.until_in("Approval", e)
    equal(published(w, "providers-site"), ["page.html"])
    w.idle("Own")
    w.answer("Approval", "Approved")
    w.done("Own")
    job = w.cp.poll_for_third_party_jobs(actionTypeId=THIRD)["jobs"][0]
    of = {"jobId": job["jobId"], "clientToken": CLIENT_TOKEN}
    w.cp.acknowledge_third_party_job(nonce=w.cp.get_third_party_job_details(**of)["jobDetails"]["nonce"], **of)
    w.cp.put_third_party_job_success_result(**of)
    equal(w.status(e), "Succeeded")


@statement
def H_002_13_three_modes_and_who_may_have_them(w):
    plain = w.declaration(pipelineType="V1")
    del plain["executionMode"], plain["pipelineType"]
    made = w.cp.create_pipeline(pipeline=plain)["pipeline"]
    w.created.add(w.name)
    equal((made["pipelineType"], made["executionMode"]), ("V1", "SUPERSEDED"))
    first, older, newer = w.newest(), w.start(), w.start()
    equal(w.statuses(first, older, newer), ["InProgress", "Superseded", "InProgress"])
    w.name += "-V1"
    for mode in ("QUEUED", "PARALLEL"):
        text = raises("InvalidStructureException", w.create, None, mode, pipelineType="V1")
        equal(text, "QUEUED or PARALLEL mode can only be used with V2 pipelines")
    ids = [w.create(mode="QUEUED"), w.start(), w.start()]
    equal([w.done("Fetch") for _ in ids], ids, "QUEUED: in order")
    w.update(mode="PARALLEL")
    ids = [w.start(), w.start(), w.start()]
    equal([w.take("Fetch").execution for _ in ids], ids, "PARALLEL: at the same time")
    equal(w.statuses(*ids), ["InProgress"] * 3)


@statement
def H_002_14_an_approval_stage_with_its_text_pauses_the_pipeline(w):
    ask = {"name": "Ask", "actionTypeId": type_id("Approval", "Manual", "AWS"), "runOrder": 1,
           "configuration": {"CustomData": "Please review"}}
    e = w.create(dict(ASKS, Approval=[ask]))
    w.done("Fetch")
    equal((w.stage("Approval"), w.status(e)), ((e, "InProgress"), "InProgress"))
    check(w.token("Approval"), "it asks")
    w.idle("Ship")
    equal(w.cp.get_pipeline(name=w.name)["pipeline"]["stages"][1]["actions"][0]["configuration"],
          {"CustomData": "Please review"})


@statement
def H_002_15_put_approval_result_goes_on_or_fails(w):
    for status, then in (("Approved", "InProgress"), ("Rejected", "Failed")):
        w.name = f"h-{w.tag}-{status}"
        e = w.create(ASKS)
        w.done("Fetch")
        shown = json.loads(typed(w, "put-approval-result", "--stage-name", "Approval", "--action-name", "Ask", "--result",
                                 f"summary=Looks good,status={status}", "--token", w.token("Approval")))
        check("approvedAt" in shown, shown)
        equal(w.status(e), then)
        equal(w.latest("Approval", "Ask")["summary"], "Looks good")
        if status == "Approved":
            equal(w.done("Ship"), e)
        else:
            w.idle("Ship")


@statement
def H_002_16_disable_and_enable_stage_transition_hold_and_release(w):
    e, of = w.create(), ("--stage-name", "Deploy", "--transition-type", "Inbound")
    equal(typed(w, "disable-stage-transition", *of, "--reason", "Deployment freeze"), "")
    w.done("Fetch", "Compile")
    w.idle("Ship")
    shown = w.state("Deploy")["inboundTransitionState"]
    equal((shown["enabled"], shown["disabledReason"]), (False, "Deployment freeze"))
    equal(typed(w, "enable-stage-transition", *of), "")
    equal(w.done("Ship"), e)


@statement
def H_002_17_stop_pipeline_execution_waits_or_abandons(w):
    e = w.create()
    job = w.take("Fetch")
    of = ("stop-pipeline-execution", "--pipeline-execution-id", e, "--reason", "enough")
    typed(w, *of)
    equal(w.status(e), "Stopping")
    job.succeed()
    equal((w.status(e), w.ran(e)), ("Stopped", [("Fetch", "Succeeded")]))
    e = w.start()
    w.take("Fetch")
    typed(w, "stop-pipeline-execution", "--pipeline-execution-id", e, "--abandon")
    equal((w.status(e), w.ran(e)), ("Stopped", [("Fetch", "Abandoned")]))


@statement
def H_002_18_events_of_three_kinds_tell_every_change(w):
    e = w.create({"Source": ["Fetch"], "Build": ["Compile"]})
    w.done("Fetch", "Compile")
    told = w.told("Pipeline SUCCEEDED", e)
    equal(short(told), ["Pipeline STARTED", "Stage Source STARTED", "Action Source/Fetch STARTED",
                        "Action Source/Fetch SUCCEEDED", "Stage Source SUCCEEDED", "Stage Build STARTED",
                        "Action Build/Compile STARTED", "Action Build/Compile SUCCEEDED", "Stage Build SUCCEEDED",
                        "Pipeline SUCCEEDED"])
    equal({t["detail-type"] for t in told}, {PIPELINE, STAGE, ACTION})
    equal({t["source"] for t in told}, {"aws.codepipeline"})
    failed = w.start()
    w.fail("Fetch")
    equal(short(w.told("Pipeline FAILED", failed))[-3:], ["Action Source/Fetch FAILED", "Stage Source FAILED", "Pipeline FAILED"])
    stopped = w.start()
    w.take("Fetch")
    w.stop(stopped, abandon=True)
    equal(short(w.told("Pipeline STOPPED", stopped))[-5:],
          ["Pipeline STOPPING", "Stage Source STOPPING", "Action Source/Fetch ABANDONED", "Stage Source STOPPED",
           "Pipeline STOPPED"])
    # Other automation follows them: here, what a success starts.
    follower = w.told("Pipeline SUCCEEDED", e)[-1]["detail"]["pipeline"]
    check(w.cp.start_pipeline_execution(name=follower)["pipelineExecutionId"], "a next one")


@statement
def H_002_X_what_the_guide_has_wrong_is_not_copied(w):
    inside = w.create({"Source": ["Fetch"], "Build": ["One", "Two@2", "Three@3"], "Deploy": ["Ship"]})
    w.done("Fetch")
    job = w.take("One")
    w.idle("Two", "Three")  # not all actions of a stage start at its entry
    newer = w.start()
    w.done("Fetch")
    equal(w.status(inside), "InProgress", "who is inside a stage is not superseded")
    job.fail()
    equal(w.ran(inside), [("Fetch", "Succeeded"), ("One", "Failed")], "later groups never start: they are not Abandoned")
    equal(w.stage("Build"), (newer, "InProgress"))


run()
