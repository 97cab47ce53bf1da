#!/usr/bin/python3
"""Conditions of stages, automatic retry and rollback, as boto3 sees them and real workers serve them."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh.admin import Admin  # noqa: E402
from mh.git import Git  # noqa: E402
from mh.programs import Place, conf_value, wait_for  # noqa: E402
from mh.tap import check, equal, raises, run, story  # noqa: E402
from mh.worker import FAST, action  # noqa: E402

OFFERS = tuple({"aws": aws, "as": f"Invoke/Custom/{name}/1"} for aws, name in (
    ("Rule/LambdaInvoke/1", "Lambda"), ("Rule/Commands/1", "Shell"), ("Deploy/CodeDeploy/1", "Ship")))


def rule(provider, name="Check", **more):
    return dict({"name": name, "ruleTypeId": {"category": "Rule", "owner": "AWS", "provider": provider, "version": "1"}},
                **more)


def gate(result, *rules):
    return {"conditions": [{"result": result, "rules": list(rules)}]}


COMPARE = rule("VariableCheck", "Branch", configuration={
    "Variable": "#{checkout.BranchName}", "Operator": "MATCHES", "Value": "ma[il]n|release/.*"})
LAMBDA = rule("LambdaInvoke", "Probe", configuration={"FunctionName": "probe", "UserParameters": "#{checkout.CommitId}"})
ALARM = rule("CloudWatchAlarm", "Errors", configuration={"AlarmName": "errors", "WaitTime": "10"})


class Wall:
    """A pipeline Source -> Deploy over a git repository, with these gates in front of and behind Deploy."""

    def __init__(self, place, mode="SUPERSEDED", options=(), **gates):
        self.place = place
        self.repository = Git(place, "wall")
        self.repository.commit({"text": "one\n"}, "one")
        with open(place.path("emulator.conf"), "w") as f:
            f.write(f"offer = {conf_value(OFFERS)};\n")
        self.options = ("--config", place.path("emulator.conf"), "--git-root", place.path("git"), "--admin", *options)
        self.emulator = place.emulator(*self.options)
        self.cp = self.emulator.client("codepipeline")
        self.cp.create_pipeline(pipeline=self.declaration(mode, gates))
        self.first = self.latest()["pipelineExecutionId"]

    def declaration(self, mode, gates):
        return {
            "name": "wall", "roleArn": "arn:aws:iam::000000000000:role/wall", "pipelineType": "V2", "executionMode": mode,
            "artifactStore": {"type": "S3", "location": "wall-artifacts"},
            "stages": [
                {"name": "Source", "actions": [{
                    "name": "Checkout", "namespace": "checkout", "outputArtifacts": [{"name": "Stones"}],
                    "configuration": {"RepositoryName": "wall", "BranchName": "main", "PollForSourceChanges": "false"},
                    "actionTypeId": {"category": "Source", "owner": "AWS", "provider": "CodeCommit", "version": "1"}}]},
                dict({"name": "Deploy", "actions": [{
                    "name": "Lay", "inputArtifacts": [{"name": "Stones"}],
                    "configuration": {"ApplicationName": "wall", "DeploymentGroupName": "all"},
                    "actionTypeId": {"category": "Deploy", "owner": "AWS", "provider": "CodeDeploy", "version": "1"}}]},
                     **gates)]}

    def latest(self):
        return self.cp.list_pipeline_executions(pipelineName="wall")["pipelineExecutionSummaries"][0]

    def start(self, text):
        self.repository.commit({"text": text}, text)
        return self.cp.start_pipeline_execution(name="wall")["pipelineExecutionId"]

    def shown(self, execution):
        return self.cp.get_pipeline_execution(pipelineName="wall", pipelineExecutionId=execution)["pipelineExecution"]

    def ended(self, execution, status):
        wait_for(lambda: self.shown(execution)["status"] not in ("InProgress", "Stopping"), 30, "the execution to end")
        equal(self.shown(execution)["status"], status, "status")

    def deploy(self):
        return self.cp.get_pipeline_state(name="wall")["stageStates"][1]

    def condition(self, kind):
        state = self.deploy()[f"{kind}ConditionState"]
        return state.get("latestExecution", {}).get("status")

    def reaches(self, status, kind):
        wait_for(lambda: self.condition(kind) == status, 30, f"the {kind} condition to be {status}")

    def take(self, provider):
        """A job that this story does by hand."""
        jobs = wait_for(lambda: self.cp.poll_for_jobs(actionTypeId={
            "category": "Invoke", "owner": "Custom", "provider": provider, "version": "1"})["jobs"], 30, f"a job of {provider}")
        equal(self.cp.acknowledge_job(jobId=jobs[0]["id"], nonce=jobs[0]["nonce"])["status"], "InProgress")
        return jobs[0]

    def done(self, provider):
        job = self.take(provider)
        self.cp.put_job_success_result(jobId=job["id"])
        return job

    def failed(self, provider):
        job = self.take(provider)
        self.cp.put_job_failure_result(jobId=job["id"], failureDetails={"type": "JobFailed", "message": "no"})
        return job

    def override(self, execution, kind="BEFORE_ENTRY"):
        self.cp.override_stage_condition(pipelineName="wall", stageName="Deploy", pipelineExecutionId=execution,
                                         conditionType=kind)


@story
def a_release_that_its_check_refuses_is_rolled_back_by_a_real_agent():
    with Place() as place:
        w = Wall(place, beforeEntry=gate("FAIL", COMPARE), onSuccess=gate("ROLLBACK", rule(
            "Commands", "Healthy", commands=[f"grep -q good {place.path('site')}/text", "test #{checkout.BranchName} = main"])))
        os.makedirs(place.path("site"))
        lay = f"cp text {place.path('site')}/text; echo $MILLHAND_CONFIG_APPLICATIONNAME >> {place.path('site')}/log"
        place.agent(place.agent_conf(w.emulator.endpoint, [
            action(place, lay, provider="Ship", category="Invoke", inputs=[1, 1], outputs=[0, 0]),
            {"category": "Invoke", "owner": "Custom", "provider": "Shell", "version": "1", "plugin": "command"}],
            allow_command_from_pipeline=True, **FAST))
        w.ended(w.first, "Failed")  # there is nothing to go back to
        equal(w.latest()["pipelineExecutionId"], w.first)
        good = w.start("good two\n")
        w.ended(good, "Succeeded")
        bad = w.start("bad\n")
        w.ended(bad, "Failed")
        back = w.latest()
        equal((back["executionType"], back["trigger"]["triggerType"]), ("ROLLBACK", "AutomatedRollback"))
        equal(back["rollbackMetadata"], {"rollbackTargetPipelineExecutionId": good})
        w.ended(back["pipelineExecutionId"], "Succeeded")
        with open(place.path("site", "text")) as f:
            equal(f.read(), "good two\n", "what is deployed")
        equal(w.deploy()["latestExecution"]["type"], "ROLLBACK")
        rules = w.cp.list_rule_executions(pipelineName="wall", filter={"pipelineExecutionId": bad})["ruleExecutionDetails"]
        equal([(r["ruleName"], r["status"]) for r in rules], [("Healthy", "Failed"), ("Branch", "Succeeded")])
        equal(rules[0]["output"]["executionResult"]["errorDetails"]["code"], "JobFailed")
        equal(rules[1]["input"]["resolvedConfiguration"]["Variable"], "main")


@story
def a_rollback_by_hand_brings_back_what_was_deployed():
    with Place() as place:
        w = Wall(place)
        raises("UnableToRollbackStageException", w.cp.rollback_stage, pipelineName="wall", stageName="Deploy",
               targetPipelineExecutionId=w.first)
        one = w.done("Ship")
        w.ended(w.first, "Succeeded")
        second = w.start("two\n")
        w.done("Ship")
        w.ended(second, "Succeeded")
        back = w.cp.rollback_stage(pipelineName="wall", stageName="Deploy", targetPipelineExecutionId=w.first)[
            "pipelineExecutionId"]
        job = w.take("Ship")
        equal(job["data"]["pipelineContext"]["pipelineExecutionId"], back)
        equal(job["data"]["inputArtifacts"], one["data"]["inputArtifacts"], "its input")
        raises("ConflictException", w.cp.rollback_stage, pipelineName="wall", stageName="Deploy",
               targetPipelineExecutionId=w.first)
        w.cp.put_job_success_result(jobId=job["id"])
        w.ended(back, "Succeeded")
        shown, first = w.shown(back), w.shown(w.first)
        equal(shown["artifactRevisions"], first["artifactRevisions"], "revisions")
        equal(shown["trigger"]["triggerType"], "ManualRollback")
        raises("PipelineExecutionNotFoundException", w.cp.rollback_stage, pipelineName="wall", stageName="Deploy",
               targetPipelineExecutionId="00000000-0000-0000-0000-000000000000")
        raises("StageNotFoundException", w.cp.rollback_stage, pipelineName="wall", stageName="Nowhere",
               targetPipelineExecutionId=w.first)
        w.cp.update_pipeline(pipeline=w.cp.get_pipeline(name="wall")["pipeline"])
        raises("PipelineExecutionOutdatedException", w.cp.rollback_stage, pipelineName="wall", stageName="Deploy",
               targetPipelineExecutionId=w.first)


@story
def a_failed_stage_is_tried_once_more():
    with Place() as place:
        w = Wall(place, onFailure={"result": "RETRY", "retryConfiguration": {"retryMode": "ALL_ACTIONS"}})
        w.failed("Ship")
        equal(w.deploy()["retryStageMetadata"],
              {"autoStageRetryAttempt": 1, "latestRetryTrigger": "AutomatedStageRetry"})
        w.failed("Ship")
        w.ended(w.first, "Failed")
        w.cp.retry_stage_execution(pipelineName="wall", stageName="Deploy", pipelineExecutionId=w.first,
                                   retryMode="FAILED_ACTIONS")
        equal(w.deploy()["retryStageMetadata"], {"autoStageRetryAttempt": 1, "manualStageRetryAttempt": 1,
                                                 "latestRetryTrigger": "ManualStageRetry"})
        w.done("Ship")
        w.ended(w.first, "Succeeded")


@story
def a_condition_is_overridden_and_a_killed_emulator_forgets_nothing_of_it():
    with Place() as place:
        w = Wall(place, mode="QUEUED", beforeEntry=gate("FAIL", LAMBDA), onSuccess=gate("FAIL", LAMBDA))
        job = w.take("Lambda")
        equal(job["data"]["actionConfiguration"]["configuration"]["FunctionName"], "probe")
        second = w.start("two\n")
        w.emulator.kill()
        w.emulator = place.emulator(*w.options, port=w.emulator.port, name="again")
        w.cp = w.emulator.client("codepipeline")
        equal(w.condition("beforeEntry"), "InProgress")
        wait_for(lambda: w.deploy()["inboundExecutions"], what="the second execution to wait")
        equal(w.deploy()["inboundExecutions"][0]["pipelineExecutionId"], second)
        w.override(w.first)
        equal(w.condition("beforeEntry"), "Overridden")
        equal(w.deploy()["beforeEntryConditionState"]["conditionStates"][0]["ruleStates"][0]["latestExecution"]["status"],
              "Abandoned")
        raises("InvalidJobStateException", w.cp.put_job_success_result, jobId=job["id"])
        w.done("Ship")
        w.failed("Lambda")
        w.ended(w.first, "Failed")
        raises("NotLatestPipelineExecutionException", w.override, w.first, "ON_SUCCESS")
        w.done("Lambda")
        w.done("Ship")
        w.failed("Lambda")
        w.ended(second, "Failed")
        w.override(second, "ON_SUCCESS")
        w.ended(second, "Succeeded")
        raises("ConditionNotOverridableException", w.override, second, "ON_SUCCESS")


@story
def an_alarm_is_set_by_the_admin_interface_and_waited_for_in_virtual_time():
    with Place() as place:
        w = Wall(place, beforeEntry=gate("FAIL", ALARM), onFailure=gate("ROLLBACK", rule(
            "CloudWatchAlarm", "Bad", configuration={"AlarmName": "errors"})))
        w.ended(w.first, "Failed")
        equal(w.condition("beforeEntry"), "Errored")  # nobody knows the alarm
        admin = Admin(w.emulator)
        equal(admin.call("PUT", "alarms", {"name": "errors", "state": "OK"}), {"name": "errors", "state": "OK"})
        good = w.start("good\n")
        w.done("Ship")
        w.ended(good, "Succeeded")
        admin.call("PUT", "alarms", {"name": "errors", "state": "ALARM"})
        waits = w.start("waits\n")
        w.reaches("InProgress", "beforeEntry")
        admin.call("PUT", "alarms", {"name": "errors", "state": "OK"})
        w.reaches("Succeeded", "beforeEntry")
        admin.call("PUT", "alarms", {"name": "errors", "state": "ALARM"})
        w.failed("Ship")
        w.ended(waits, "Failed")
        equal(w.condition("onFailure"), "Succeeded")
        back = w.latest()
        equal((back["executionType"], back["rollbackMetadata"]["rollbackTargetPipelineExecutionId"]), ("ROLLBACK", good))
        w.done("Ship")
        admin.call("PUT", "clock", {"mode": "virtual"})
        late = w.start("late\n")
        w.reaches("InProgress", "beforeEntry")
        equal(admin.call("POST", "clock/advance", {"by_ms": 10 * 60 * 1000})["timers_fired"], 1)
        w.ended(late, "Failed")
        equal(admin.get("alarms"), {"alarms": [{"name": "errors", "state": "ALARM"}]})


@story
def a_stage_is_skipped_or_held_by_its_window():
    with Place() as place:
        other = dict(COMPARE, configuration=dict(COMPARE["configuration"], Operator="EQ", Value="other"))
        w = Wall(place, beforeEntry=gate("SKIP", other))
        w.ended(w.first, "Succeeded")
        equal(w.deploy()["latestExecution"]["status"], "Skipped")
        equal(w.deploy()["actionStates"][0].get("latestExecution"), None)
        raises("StageNotRetryableException", w.cp.retry_stage_execution, pipelineName="wall", stageName="Deploy",
               pipelineExecutionId=w.first, retryMode="ALL_ACTIONS")
        raises("ConditionNotOverridableException", w.override, w.first)
        admin = Admin(w.emulator)
        admin.call("PUT", "clock", {"mode": "virtual", "start": "2035-01-06T12:00:00Z"})  # a Saturday
        window = rule("DeploymentWindow", "Office", configuration={"Cron": "* * 9-16 ? * MON-FRI", "TimeZone": "UTC+01:00"})
        w.cp.update_pipeline(pipeline=w.declaration("SUPERSEDED", {"beforeEntry": gate("FAIL", window)}))
        closed = w.start("closed\n")
        w.ended(closed, "Failed")
        check("not in the deployment window" in w.shown(closed)["statusSummary"], w.shown(closed)["statusSummary"])
        admin.call("POST", "clock/advance", {"to": "2035-01-08T08:00:00Z"})  # Monday, 9 o'clock there
        w.start("open\n")
        w.done("Ship")


@story
def what_a_condition_must_be_is_told_when_it_is_declared():
    bad = [
        (gate("SKIP", ALARM), "only LambdaInvoke and VariableCheck"),
        (gate("FAIL", rule("Oracle")), "RuleType (Category: 'Rule', Provider: 'Oracle'"),
        (gate("FAIL", rule("LambdaInvoke", configuration={})), "missing required configuration 'FunctionName'"),
        (gate("FAIL", dict(COMPARE, configuration=dict(COMPARE["configuration"], Value="("))), "no regular expression"),
        (gate("FAIL", rule("Commands", commands=["ls"], inputArtifacts=[{"name": "Nothing"}])), "Nothing"),
    ]
    with Place() as place:
        w = Wall(place)
        for entry, part in bad:
            message = raises("InvalidStageDeclarationException", w.cp.update_pipeline,
                             pipeline=w.declaration("SUPERSEDED", {"beforeEntry": entry}))
            check(part in message, message)
        types = w.cp.list_rule_types(ruleOwnerFilter="AWS")["ruleTypes"]
        equal([t["id"]["provider"] for t in types],
              ["CloudWatchAlarm", "Commands", "DeploymentWindow", "LambdaInvoke", "VariableCheck"])


run()
