#!/usr/bin/python3
"""The founding documents' commands, as they stand, through the stock AWS CLI: what each prints, and what
it does. Their pipeline is used where it is there, one of ours with the same shape where it is not."""
import json
import os
import re
import shlex
import shutil
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh.cli import Cli  # noqa: E402
from mh.git import Git  # noqa: E402
from mh.programs import SHARED, SRC, Place, conf_value, wait_for  # noqa: E402
from mh.tap import check, equal, run, story  # noqa: E402

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z")
OFFERS = ({"aws": "Build/CodeBuild/1", "as": "Build/Custom/CodeBuild/1"},
          {"aws": "Deploy/CodeDeploy/1", "as": "Deploy/Custom/CodeDeploy/1"})
VIETNAMESE = "Đồng ý: bản này chạy tốt, triển khai đi ✓"
STATES = "get-pipeline-state --name P --query 'stageStates[].[stageName,latestExecution.status]' --output text"
TOKEN = ("get-pipeline-state --name P --query \"stageStates[?stageName=='Approval'].actionStates[0]."
         "latestExecution.token | [0]\" --output text")
STATUS = ("get-pipeline-execution --pipeline-name P --pipeline-execution-id E --query pipelineExecution.status "
          "--output text")


def data(name, ours):
    theirs = os.path.join(SHARED, "data", name)
    if os.path.exists(theirs):
        return theirs
    print(f"# there is no {theirs}: ours is used", flush=True)
    return os.path.join(SRC, "tests", "fixtures", "pipelines", ours)


class Terminal:
    """The pipeline of the documents, a repository for it, and somebody who types commands: P stands for the
    pipeline's name, E for the execution that was started last."""

    def __init__(self, place):
        self.place = place
        shutil.copy(data("guide-pipeline.json", "offered.json"), place.path("guide-pipeline.json"))
        with open(place.path("guide-pipeline.json"), encoding="utf-8") as f:
            self.declared = json.load(f)["pipeline"]
        self.repository = Git(place, self.declared["stages"][0]["actions"][0]["configuration"]["RepositoryName"])
        self.commit = self.repository.commit({"main.c": "int main(void) { return 0; }\n"}, "Lần đầu: first")
        with open(place.path("emulator.conf"), "w") as f:
            f.write(f"offer = {conf_value(OFFERS)};\n")
        self.emulator = place.emulator("--config", place.path("emulator.conf"), "--git-root", place.path("git"))
        self.aws, self.cp = Cli(place, self.emulator), self.emulator.client("codepipeline")
        self.execution = None

    def words(self, command):
        names = {"P": self.declared["name"], "E": self.execution}
        return [names.get(w, w) for w in shlex.split(command)]

    def type(self, command):
        """What the command prints."""
        return self.aws(*self.words(command), cwd=self.place.dir)

    def refused(self, command):
        return self.aws.refused(*self.words(command))

    def ended(self, command):
        """The command's whole end: output, errors and exit code."""
        return self.place.run(self.aws.base + self.words(command), check=False, cwd=self.place.dir)

    def create(self):
        printed = json.loads(self.type("create-pipeline --cli-input-json file://guide-pipeline.json"))
        self.execution = self.newest()
        return printed

    def start(self):
        self.execution = json.loads(self.type("start-pipeline-execution --name P"))["pipelineExecutionId"]

    def newest(self):
        return self.cp.list_pipeline_executions(pipelineName=self.declared["name"])["pipelineExecutionSummaries"][0][
            "pipelineExecutionId"]

    def create_and_finish(self):
        self.create()
        self.build()
        self.deploy()
        self.until("Succeeded")

    def approval_stage(self):
        """Puts the approval in, and types what the documents type. The first execution ends before, since an
        update cancels what runs; in Build, so that nothing was deployed yet."""
        self.create()
        self.cp.put_job_failure_result(jobId=self.take("Build", "CodeBuild"),
                                       failureDetails={"type": "JobFailed", "message": "not yet"})
        self.until("Failed")
        changed = json.loads(json.dumps(self.declared))
        with open(data("approval-stage.json", "approval.json"), encoding="utf-8") as f:
            changed["stages"].insert(2, json.load(f))
        self.aws.file("with-approval.json", {"pipeline": changed})
        return self.type("update-pipeline --cli-input-json file://with-approval.json --query 'pipeline.stages[].name' "
                         "--output text")

    # ---- workers, quicker than the CLI ----

    def take(self, category, provider):
        type_ = {"category": category, "owner": "Custom", "provider": provider, "version": "1"}
        jobs = wait_for(lambda: self.cp.poll_for_jobs(actionTypeId=type_)["jobs"], what=f"a job for {provider}")
        self.cp.acknowledge_job(jobId=jobs[0]["id"], nonce=jobs[0]["nonce"])
        return jobs[0]["id"]

    def build(self):
        self.cp.put_job_success_result(jobId=self.take("Build", "CodeBuild"))

    def deploy(self):
        self.cp.put_job_success_result(jobId=self.take("Deploy", "CodeDeploy"))

    def until(self, status):
        def now():
            return self.cp.get_pipeline_execution(pipelineName=self.declared["name"], pipelineExecutionId=self.execution)[
                "pipelineExecution"]["status"]

        wait_for(lambda: now() == status, 20, f"the execution to be {status}")

    def until_approval(self):
        def stage():
            states = self.cp.get_pipeline_state(name=self.declared["name"])["stageStates"]
            return states[2].get("latestExecution", {"pipelineExecutionId": ""})

        wait_for(lambda: stage()["pipelineExecutionId"] == self.execution, what="the approval to be asked for")

    def approve(self, token, summary="Looks good", status="Approved"):
        return ("put-approval-result --pipeline-name P --stage-name Approval --action-name ManualApproval --result "
                f"summary=\"{summary}\",status={status} --token {token}")


# ---- creating and starting ----

@story
def create_pipeline_prints_the_pipeline_and_a_first_execution_starts_by_itself():
    with Place() as place:
        t = Terminal(place)
        printed = t.create()["pipeline"]
        equal([s["name"] for s in printed["stages"]], ["Source", "Build", "Deploy"])
        for key in ("name", "roleArn", "pipelineType", "executionMode", "artifactStore"):
            equal(printed[key], t.declared[key], key)
        equal((printed["executionMode"], printed["version"]), ("QUEUED", 1))
        t.build()
        t.deploy()
        t.until("Succeeded")
        shown = json.loads(t.type("list-pipeline-executions --pipeline-name P"))["pipelineExecutionSummaries"]
        equal([(e["status"], e["trigger"]["triggerType"]) for e in shown], [("Succeeded", "CreatePipeline")])


@story
def start_and_the_views_show_each_stage_and_action():
    with Place() as place:
        t = Terminal(place)
        t.create_and_finish()
        t.start()
        check(UUID.match(t.execution), f"an execution id: {t.execution}")
        equal(t.type(STATUS), "InProgress")
        t.build()
        t.deploy()
        t.until("Succeeded")
        equal(t.type(STATUS), "Succeeded")
        state = json.loads(t.type("get-pipeline-state --name P"))
        equal([(s["stageName"], [(a["actionName"], a["latestExecution"]["status"]) for a in s["actionStates"]])
               for s in state["stageStates"]],
              [(s["name"], [(a["name"], "Succeeded") for a in s["actions"]]) for s in t.declared["stages"]])
        equal(state["stageStates"][0]["actionStates"][0]["currentRevision"]["revisionId"], t.commit)


@story
def the_lists_show_status_trigger_and_source_revision():
    with Place() as place:
        t = Terminal(place)
        t.create_and_finish()
        t.start()
        listed = json.loads(t.type("list-pipeline-executions --pipeline-name P"))["pipelineExecutionSummaries"]
        equal([e["trigger"]["triggerType"] for e in listed], ["StartPipelineExecution", "CreatePipeline"])
        equal([e["status"] for e in listed], ["InProgress", "Succeeded"])
        equal(listed[1]["sourceRevisions"][0]["revisionId"], t.commit)
        check("Lần đầu: first" in listed[1]["sourceRevisions"][0]["revisionSummary"], "the commit's message")
        actions = json.loads(t.type(f"list-action-executions --pipeline-name P --filter pipelineExecutionId={listed[1]['pipelineExecutionId']}"))
        equal([(a["stageName"], a["status"]) for a in actions["actionExecutionDetails"]],
              [("Deploy", "Succeeded"), ("Build", "Succeeded"), ("Source", "Succeeded")])


# ---- approvals ----

@story
def an_approval_pauses_the_pipeline_until_it_is_given():
    with Place() as place:
        t = Terminal(place)
        equal(t.approval_stage().split(), ["Source", "Build", "Approval", "Deploy"])
        t.start()
        t.build()
        t.until_approval()
        equal([line.split("\t") for line in t.type(STATES).splitlines()],
              [["Source", "Succeeded"], ["Build", "Succeeded"], ["Approval", "InProgress"], ["Deploy", "None"]])
        token = t.type(TOKEN)
        check(UUID.match(token), f"a token: {token}")
        shown = json.loads(t.type("get-pipeline --name P"))["pipeline"]["stages"][2]
        with open(data("approval-stage.json", "approval.json"), encoding="utf-8") as f:
            equal(shown["actions"][0]["configuration"], json.load(f)["actions"][0]["configuration"], "CustomData")
        check("approvedAt" in json.loads(t.type(t.approve(token))), "approvedAt")
        equal(t.type(STATUS), "InProgress")
        t.deploy()
        t.until("Succeeded")
        equal(t.type(STATUS), "Succeeded")


@story
def a_rejection_ends_the_execution_and_an_older_pauses_token_is_refused():
    with Place() as place:
        t = Terminal(place)
        t.approval_stage()
        t.start()
        t.build()
        t.until_approval()
        old = t.type(TOKEN)
        t.type(t.approve(old, "No", "Rejected"))
        t.until("Failed")
        equal([line.split("\t") for line in t.type(STATES).splitlines()],
              [["Source", "Succeeded"], ["Build", "Succeeded"], ["Approval", "Failed"], ["Deploy", "None"]])
        t.start()
        t.build()
        t.until_approval()
        check("(InvalidApprovalTokenException)" in t.refused(t.approve(old)), "the older token is refused")
        equal(t.type(STATUS), "InProgress")
        equal(t.type(STATES).splitlines()[2].split("\t"), ["Approval", "InProgress"], "nothing was approved")
        token = t.type(TOKEN)
        check(token not in (old, "None"), "a token of its own")


@story
def a_summary_in_vietnamese_comes_back_unchanged():
    with Place() as place:
        t = Terminal(place)
        t.approval_stage()
        t.start()
        t.build()
        t.until_approval()
        token = t.type(TOKEN)
        t.type("put-approval-result --pipeline-name P --stage-name Approval --action-name ManualApproval --result "
               f"'{json.dumps({'summary': VIETNAMESE, 'status': 'Approved'}, ensure_ascii=False)}' --token {token}")
        equal(t.type("get-pipeline-state --name P --query \"stageStates[?stageName=='Approval'].actionStates[0]."
                     "latestExecution.summary | [0]\" --output text"), VIETNAMESE)


# ---- workers by hand ----

@story
def a_jobs_whole_life_by_hand():
    with Place() as place:
        t = Terminal(place)
        made = json.loads(t.type("create-custom-action-type --category Build --provider Hand --action-version 1 "
                                 "--configuration-properties name=Target,required=true,key=true,secret=false "
                                 "--input-artifact-details minimumCount=0,maximumCount=1 "
                                 "--output-artifact-details minimumCount=0,maximumCount=1"))
        equal(made["actionType"]["id"], {"category": "Build", "owner": "Custom", "provider": "Hand", "version": "1"})
        build = t.declared["stages"][1]["actions"][0]
        build.update(actionTypeId=made["actionType"]["id"], configuration={"Target": "tất cả"})
        t.aws.file("guide-pipeline.json", {"pipeline": t.declared})
        t.create()
        poll = "poll-for-jobs --action-type-id category=Build,owner=Custom,provider=Hand,version=1"
        job = wait_for(lambda: json.loads(t.type(poll))["jobs"], what="a job")[0]
        equal(job["data"]["actionConfiguration"]["configuration"], {"Target": "tất cả"})
        equal(t.type(f"acknowledge-job --job-id {job['id']} --nonce {job['nonce']} --query status --output text"),
              "InProgress")
        details = json.loads(t.type(f"get-job-details --job-id {job['id']}"))["jobDetails"]
        equal((details["id"], details["data"]["pipelineContext"]["stage"]["name"]), (job["id"], "Build"))
        equal(t.type(f"put-job-success-result --job-id {job['id']} --execution-details "
                     "summary=xong,externalExecutionId=run-7,percentComplete=100"), "")
        failing = t.take("Deploy", "CodeDeploy")
        equal(t.type(f"put-job-failure-result --job-id {failing} --failure-details type=JobFailed,message='hết chỗ'"), "")
        t.until("Failed")
        state = json.loads(t.type("get-pipeline-state --name P"))["stageStates"]
        done = state[1]["actionStates"][0]["latestExecution"]
        equal((done["summary"], done["externalExecutionId"], done["percentComplete"]), ("xong", "run-7", 100))
        equal(state[2]["actionStates"][0]["latestExecution"]["errorDetails"], {"code": "JobFailed", "message": "hết chỗ"})
        check("(InvalidJobStateException)" in t.refused(f"put-job-success-result --job-id {job['id']}"), "a second result")


# ---- what holds and stops executions ----

@story
def a_disabled_transition_holds_the_stage_until_it_is_enabled():
    with Place() as place:
        t = Terminal(place)
        t.create()
        t.type("disable-stage-transition --pipeline-name P --stage-name Deploy --transition-type Inbound "
               "--reason \"Deployment freeze\"")
        t.build()
        wait_for(lambda: "inboundExecution" in t.cp.get_pipeline_state(name=t.declared["name"])["stageStates"][2]
                 or t.cp.get_pipeline_state(name=t.declared["name"])["stageStates"][2].get("inboundExecutions"),
                 what="the execution to wait")
        held = json.loads(t.type("get-pipeline-state --name P"))["stageStates"][2]
        equal((held["inboundTransitionState"]["enabled"], held["inboundTransitionState"]["disabledReason"]),
              (False, "Deployment freeze"))
        equal(t.type(STATES).splitlines()[2].split("\t"), ["Deploy", "None"])
        t.type("enable-stage-transition --pipeline-name P --stage-name Deploy --transition-type Inbound")
        t.deploy()
        t.until("Succeeded")


@story
def stop_lets_the_running_action_end_and_starts_nothing_after_it():
    for more in ("", " --no-abandon"):
        with Place() as place:
            t = Terminal(place)
            t.create()
            job = t.take("Build", "CodeBuild")
            stop = ("stop-pipeline-execution --pipeline-name P --pipeline-execution-id E --reason \"Stopping execution "
                    "after the build action is done\"" + more)
            done = t.ended(stop)
            equal(json.loads(done.stdout)["pipelineExecutionId"], t.execution)
            equal(t.type(STATUS), "Stopping")
            check("(DuplicatedStopRequestException)" in t.refused(stop), "the same again is refused")
            t.cp.put_job_success_result(jobId=job)
            t.until("Stopped")
            equal(t.type(STATES).splitlines()[2].split("\t"), ["Deploy", "None"], "nothing after it starts")
            reason = t.type("list-pipeline-executions --pipeline-name P --query "
                            "'pipelineExecutionSummaries[0].stopTrigger.reason' --output text")
            equal(reason, "Stopping execution after the build action is done")
            retried = t.ended("retry-stage-execution --pipeline-name P --stage-name Build --pipeline-execution-id E "
                             "--retry-mode FAILED_ACTIONS")
            equal(retried.returncode, 0, f"retry ({retried.stderr})")


@story
def stop_and_abandon_ends_the_action_at_once_also_after_a_plain_stop():
    with Place() as place:
        t = Terminal(place)
        t.create()
        job = t.take("Build", "CodeBuild")
        t.type("stop-pipeline-execution --pipeline-name P --pipeline-execution-id E")
        t.type("stop-pipeline-execution --pipeline-name P --pipeline-execution-id E --abandon --reason \"Stopping "
               "execution for a bug fix\"")
        t.until("Stopped")
        shown = json.loads(t.type("list-action-executions --pipeline-name P"))["actionExecutionDetails"]
        equal([(a["stageName"], a["status"]) for a in shown], [("Build", "Abandoned"), ("Source", "Succeeded")])
        check("(InvalidJobStateException)" in t.refused(f"put-job-success-result --job-id {job}"), "its late result")
        t.start()
        t.build()
        t.deploy()
        t.until("Succeeded")


@story
def git_push_starts_pipelines_with_triggers():
    with Place() as place:
        t = Terminal(place)
        source = t.declared["stages"][0]["actions"][0]
        source.update(name="Source", actionTypeId=dict(source["actionTypeId"], provider="CodeStarSourceConnection"),
                      configuration={"ConnectionArn": "arn:aws:codestar-connections:us-east-1:000000000000:connection/c",
                                     "FullRepositoryId": "me/app", "BranchName": "main"})
        with open(data("triggers.json", "triggers.json"), encoding="utf-8") as f:
            t.declared["triggers"] = json.load(f)
        repository = Git(place, "me/app")
        repository.commit({"a": "0"}, "first")
        t.aws.file("guide-pipeline.json", {"pipeline": t.declared})
        t.create()
        wanted = []
        for n, branch in enumerate(("main", "feature/x", "release/x")):
            commit = repository.commit({"a": str(n + 1)}, branch, branch)
            wanted += [commit] if branch != "feature/x" else []

        def started():
            listed = json.loads(t.type("list-pipeline-executions --pipeline-name P"))["pipelineExecutionSummaries"]
            return [e["sourceRevisions"][0]["revisionId"] for e in reversed(listed)
                    if e["trigger"]["triggerType"] == "WebhookV2" and e.get("sourceRevisions")]

        wait_for(lambda: len(started()) >= 2, what="the executions that the pushes start")
        equal(started(), wanted)


run()
