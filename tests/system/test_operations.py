#!/usr/bin/python3
"""Each operation that works answers well at least once, and its answer is parsed: by boto3, and (test_js_sdk.py)
by the SDK for JavaScript."""
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh.programs import SRC  # noqa: E402
from mh.statements import CLIENT_TOKEN, SERVER, THIRD, run, served  # noqa: E402
from mh.tap import check, equal, story  # noqa: E402

FAILURE = {"type": "JobFailed", "message": "no"}
COUNTS = {"minimumCount": 0, "maximumCount": 1}
_done = set()


def working():
    """The operations that are there."""
    with open(os.path.join(SRC, "emulator", "api", "table.c"), encoding="utf-8") as f:
        return {name for name, function in re.findall(r'\{ "(\w+)", (\w+) \}', f.read()) if function != "NULL"}


class Counting:
    """A client that notes which operations answered."""

    def __init__(self, cp):
        self.cp = cp

    def __getattr__(self, method):
        call = getattr(self.cp, method)

        def counted(**given):
            answer = call(**given)
            _done.add(method)
            return answer

        return counted


def counted(w):
    w.cp = Counting(w.cp)
    return w.cp


@served
def types_pipelines_and_tags(w):
    cp = counted(w)
    cp.create_custom_action_type(category="Test", provider="Once", version="1", inputArtifactDetails=COUNTS,
                                 outputArtifactDetails=COUNTS, tags=[{"key": "a", "value": "b"}])
    check(cp.list_action_types(actionOwnerFilter="Custom")["actionTypes"], "types")
    cp.delete_custom_action_type(category="Test", provider="Once", version="1")
    w.create()
    arn = cp.get_pipeline(name=w.name)["metadata"]["pipelineArn"]
    cp.update_pipeline(pipeline=cp.get_pipeline(name=w.name)["pipeline"])
    check(cp.list_pipelines()["pipelines"], "pipelines")
    cp.tag_resource(resourceArn=arn, tags=[{"key": "k", "value": "v"}])
    equal(cp.list_tags_for_resource(resourceArn=arn)["tags"], [{"key": "k", "value": "v"}])
    cp.untag_resource(resourceArn=arn, tagKeys=["k"])
    cp.delete_pipeline(name=w.name)


@served
def executions_stages_and_approvals(w):
    cp = counted(w)
    w.create({"Source": ["Fetch"], "Build": ["Compile"], "Approval": ["Ask?"], "Deploy": ["Ship"]})
    w.disable("Build")
    w.done("Fetch")
    w.enable("Build")
    w.fail("Compile")
    w.retry("Build", w.newest())
    w.done("Compile")
    w.answer("Approval", "Approved")
    w.done("Ship")
    if "ListDeployActionExecutionTargets" in working():
        shipped = w.actions()[-1]
        equal(cp.list_deploy_action_execution_targets(
            pipelineName=w.name, actionExecutionId=shipped["actionExecutionId"])["targets"], [])
    e = w.start()
    w.take("Fetch")
    w.stop(e, abandon=True)
    equal((w.status(e), len(w.actions(e))), ("Stopped", 1))
    check(cp.get_pipeline_state(name=w.name)["stageStates"], "the state")


@served
def jobs_of_custom_and_of_third_party_types(w):
    cp = counted(w)
    cp.update_action_type(actionType={
        "id": THIRD, "inputArtifactDetails": COUNTS, "outputArtifactDetails": COUNTS,
        "executor": {"type": "JobWorker", "configuration": {"jobWorkerExecutorConfiguration": {
            "pollingAccounts": ["000000000000"]}}}, "permissions": {"allowedAccounts": ["*"]}})
    equal(cp.get_action_type(**THIRD)["actionType"]["id"], THIRD)
    w.create({"Source": ["Fetch"], "Deploy": [{"name": "Ship", "actionTypeId": THIRD}]})
    equal(cp.get_job_details(jobId=w.take("Fetch").id)["jobDetails"]["data"]["pipelineContext"]["stage"]["name"], "Source")
    w.stop(w.newest(), abandon=True)
    for put, more in ((cp.put_third_party_job_success_result, {}),
                      (cp.put_third_party_job_failure_result, {"failureDetails": FAILURE})):
        w.start()
        w.done("Fetch")
        of = {"jobId": cp.poll_for_third_party_jobs(actionTypeId=THIRD)["jobs"][0]["jobId"], "clientToken": CLIENT_TOKEN}
        details = cp.get_third_party_job_details(**of)["jobDetails"]
        cp.acknowledge_third_party_job(nonce=details["nonce"], **of)
        put(**of, **more)


def check_variable(value):
    return {"name": "Same", "ruleTypeId": {"category": "Rule", "owner": "AWS", "provider": "VariableCheck", "version": "1"},
            "configuration": {"Variable": "#{variables.colour}", "Value": value, "Operator": "EQ"}}


@served
def conditions_rules_and_rollbacks(w):
    cp = counted(w)
    equal({t["id"]["category"] for t in cp.list_rule_types()["ruleTypes"]}, {"Rule"})
    stages = w.stages({"Source": ["Fetch"], "Build": ["Compile"], "Deploy": ["Ship"]})
    stages[1]["beforeEntry"] = {"conditions": [{"result": "FAIL", "rules": [check_variable("red")]}]}
    w.cp.create_pipeline(pipeline=w.declaration(variables=[{"name": "colour", "defaultValue": "red"}], stages=stages))
    w.created.add(w.name)
    good = w.newest()
    w.done("Fetch", "Compile", "Ship")
    rules = cp.list_rule_executions(pipelineName=w.name)["ruleExecutionDetails"]
    equal([(r["ruleName"], r["status"]) for r in rules], [("Same", "Succeeded")])
    barred = w.start(variables=[{"name": "colour", "value": "blue"}])
    w.done("Fetch")
    equal(w.status(barred), "Failed")
    cp.override_stage_condition(pipelineName=w.name, stageName="Build", pipelineExecutionId=barred,
                                conditionType="BEFORE_ENTRY")
    w.done("Compile")
    w.fail("Ship")
    back = cp.rollback_stage(pipelineName=w.name, stageName="Deploy", targetPipelineExecutionId=good)["pipelineExecutionId"]
    equal(w.done("Ship"), back)
    equal((w.status(back), w.execution(back)["executionType"]), ("Succeeded", "ROLLBACK"))


@served
def webhooks_and_revisions(w):
    cp = counted(w)
    w.create()
    name = f"hook-{w.tag}"
    made = cp.put_webhook(webhook={
        "name": name, "targetPipeline": w.name, "targetAction": "Fetch", "filters": [{"jsonPath": "$.ref"}],
        "authentication": "GITHUB_HMAC", "authenticationConfiguration": {"SecretToken": "hidden"}})["webhook"]
    check(made["url"].startswith("http"), made)
    equal([h["definition"]["name"] for h in cp.list_webhooks()["webhooks"]], [name])
    cp.register_webhook_with_third_party(webhookName=name)
    cp.deregister_webhook_with_third_party(webhookName=name)
    cp.delete_webhook(name=name)
    revision = {"revisionId": "r1", "revisionChangeId": "c1", "created": 1700000000}
    for new in (True, False):
        equal(cp.put_action_revision(pipelineName=w.name, stageName="Source", actionName="Fetch",
                                     actionRevision=revision)["newRevision"], new)


@story
def no_operation_that_works_was_left_out():
    if sys.argv[1:] and sys.argv[1] != "the_emulator_ends_as_it_should":
        return  # not all of them were told
    names = SERVER.cp.operations if hasattr(SERVER.cp, "operations") else SERVER.cp.meta.method_to_api_mapping
    equal(sorted(working() - {names[method] for method in _done}), [], "operations that work and were not called here")


run()
