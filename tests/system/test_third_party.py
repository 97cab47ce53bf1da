#!/usr/bin/python3
"""Third-party actions through boto3: types, client ids and tokens, and a job from poll to end."""
import os
import sys
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh.programs import Place, conf_value, wait_for  # noqa: E402
from mh.tap import check, equal, raises, run, story  # noqa: E402

TYPE = {"category": "Deploy", "owner": "ThirdParty", "provider": "Acme", "version": "1"}
NAME = "Deploy/ThirdParty/Acme/1"
CLIENT = "c11e0000-0000-4000-8000-000000000001"
TOKEN = "the client's secret token"
ACCOUNT = "000000000000"
GATE = {"category": "Source", "owner": "Custom", "provider": "Gate", "version": "1"}


def declaration(**more):
    """What UpdateActionType takes."""
    return dict({
        "id": TYPE,
        "executor": {"type": "JobWorker",
                     "configuration": {"jobWorkerExecutorConfiguration": {"pollingAccounts": [ACCOUNT]}}},
        "inputArtifactDetails": {"minimumCount": 0, "maximumCount": 1},
        "outputArtifactDetails": {"minimumCount": 0, "maximumCount": 1},
        "permissions": {"allowedAccounts": ["*"]},
        "properties": [
            {"name": "Target", "optional": False, "key": True, "noEcho": False},
            {"name": "Password", "optional": True, "key": False, "noEcho": True}],
        "urls": {"entityUrlTemplate": "https://acme.example/{Config:Target}"}}, **more)


class World:
    """An emulator, and a pipeline whose second stage is a third party's."""

    def __init__(self, place, *options, clients=({"type": NAME, "client_id": CLIENT, "client_token": TOKEN},), **keys):
        with open(place.path("emulator.conf"), "w") as f:
            f.write(f"third_party = {conf_value(tuple(clients))};\n" if clients else "")
            f.writelines(f"{key} = {conf_value(value)};\n" for key, value in keys.items())
        self.emulator = place.emulator("--config", place.path("emulator.conf"), *options)
        self.cp = self.emulator.client("codepipeline")

    def pipeline(self, name="P", **configuration):
        cp, counts = self.cp, {"minimumCount": 0, "maximumCount": 1}
        cp.create_custom_action_type(category="Source", provider="Gate", version="1",
                                     inputArtifactDetails={"minimumCount": 0, "maximumCount": 0},
                                     outputArtifactDetails=counts)
        cp.create_pipeline(pipeline={
            "name": name, "roleArn": f"arn:aws:iam::{ACCOUNT}:role/r",
            "artifactStore": {"type": "S3", "location": "artifacts"},
            "stages": [
                {"name": "Source", "actions": [{"name": "Gate", "actionTypeId": GATE,
                                                "outputArtifacts": [{"name": "Src"}]}]},
                {"name": "Deploy", "actions": [{"name": "Acme", "actionTypeId": TYPE,
                                                "inputArtifacts": [{"name": "Src"}],
                                                "configuration": configuration}]}]})
        job = cp.poll_for_jobs(actionTypeId=GATE)["jobs"][0]
        cp.acknowledge_job(jobId=job["id"], nonce=job["nonce"])
        cp.put_job_success_result(jobId=job["id"],
                                  currentRevision={"revision": "r1", "changeIdentifier": "c1"})

    def poll(self):
        return self.cp.poll_for_third_party_jobs(actionTypeId=TYPE, maxBatchSize=5)["jobs"]

    def take(self):
        """The job's id and data, acknowledged."""
        job = self.poll()[0]
        details = self.cp.get_third_party_job_details(jobId=job["jobId"], clientToken=TOKEN)["jobDetails"]
        equal(self.cp.acknowledge_third_party_job(jobId=job["jobId"], nonce=details["nonce"], clientToken=TOKEN)[
            "status"], "InProgress")
        return job["jobId"], details["data"]

    def action(self, name="P"):
        return self.cp.list_action_executions(pipelineName=name)["actionExecutionDetails"][0]

    def status(self, name="P"):
        return self.cp.list_pipeline_executions(pipelineName=name)["pipelineExecutionSummaries"][0]["status"]


@story
def a_job_goes_from_poll_to_success():
    with Place() as place:
        w = World(place)
        w.pipeline(Target="north", Anything="goes")
        jobs = w.poll()
        equal([set(j) for j in jobs], [{"clientId", "jobId"}], "what a poll tells")
        equal(jobs[0]["clientId"], CLIENT)
        equal(w.poll(), [], "handed out once")
        job = jobs[0]["jobId"]
        details = w.cp.get_third_party_job_details(jobId=job, clientToken=TOKEN)["jobDetails"]
        equal((details["id"], details["data"]["actionTypeId"]), (job, TYPE))
        equal(details["data"]["actionConfiguration"]["configuration"], {"Target": "north", "Anything": "goes"})
        equal(sorted(details["data"]["pipelineContext"]), ["action", "pipelineName", "stage"], "no ARN, no execution")
        equal([a["name"] for a in details["data"]["inputArtifacts"]], ["Src"])
        check(details["data"]["artifactCredentials"]["sessionToken"], "credentials for the artifacts")
        raises("InvalidNonceException", w.cp.acknowledge_third_party_job, jobId=job, nonce="77", clientToken=TOKEN)
        raises("InvalidJobStateException", w.cp.put_third_party_job_success_result, jobId=job, clientToken=TOKEN)
        for _ in range(2):  # the winner may ask again
            equal(w.cp.acknowledge_third_party_job(jobId=job, nonce=details["nonce"], clientToken=TOKEN)["status"],
                  "InProgress")
        w.cp.put_third_party_job_success_result(
            jobId=job, clientToken=TOKEN, executionDetails={"summary": "half", "percentComplete": 50},
            continuationToken="more")
        again, data = w.take()
        check(again != job, "a continuation is a new job")
        equal(data["continuationToken"], "more")
        equal(w.action()["output"]["executionResult"]["externalExecutionSummary"], "half")
        w.cp.put_third_party_job_success_result(jobId=again, clientToken=TOKEN,
                                                executionDetails={"summary": "done", "externalExecutionId": "x-1"})
        equal((w.action()["status"], w.status()), ("Succeeded", "Succeeded"))
        raises("InvalidJobStateException", w.cp.put_third_party_job_success_result, jobId=again, clientToken=TOKEN)
        raises("InvalidJobException", w.cp.get_third_party_job_details, jobId=again, clientToken=TOKEN)


@story
def a_failure_fails_the_action_in_the_third_partys_words():
    with Place() as place:
        w = World(place)
        w.pipeline()
        job, _ = w.take()
        w.cp.put_third_party_job_failure_result(jobId=job, clientToken=TOKEN, failureDetails={
            "type": "PermissionError", "message": "not let in"})
        equal(w.action()["output"]["executionResult"].get("errorDetails"),
              {"code": "PermissionError", "message": "not let in"})
        equal(w.status(), "Failed")


@story
def the_families_of_jobs_do_not_see_each_other():
    with Place() as place:
        w = World(place)
        w.pipeline()
        third = w.poll()[0]["jobId"]
        raises("JobNotFoundException", w.cp.get_job_details, jobId=third)
        raises("JobNotFoundException", w.cp.acknowledge_job, jobId=third, nonce="1")
        raises("JobNotFoundException", w.cp.put_job_success_result, jobId=third)
        raises("ValidationException", w.cp.poll_for_jobs, actionTypeId=TYPE)
        message = raises("ValidationException", w.cp.poll_for_third_party_jobs, actionTypeId=GATE)
        equal(message, "ActionType with owner 'Custom' is not supported")
        w.cp.start_pipeline_execution(name="P")
        custom = w.cp.poll_for_jobs(actionTypeId=GATE)["jobs"][0]["id"]
        raises("InvalidJobException", w.cp.get_third_party_job_details, jobId=custom, clientToken=TOKEN)
        raises("JobNotFoundException", w.cp.acknowledge_third_party_job, jobId=custom, nonce="1", clientToken=TOKEN)
        raises("JobNotFoundException", w.cp.put_third_party_job_success_result, jobId=custom, clientToken=TOKEN)
        raises("JobNotFoundException", w.cp.get_third_party_job_details, jobId="nobody's", clientToken=TOKEN)


@story
def another_clients_token_opens_nothing():
    with Place() as place:
        w = World(place)
        w.pipeline()
        job = w.poll()[0]["jobId"]
        cp, wrong = w.cp, dict(jobId=job, clientToken="guessed")
        raises("InvalidClientTokenException", cp.get_third_party_job_details, **wrong)
        raises("InvalidClientTokenException", cp.acknowledge_third_party_job, nonce="1", **wrong)
        raises("InvalidClientTokenException", cp.put_third_party_job_success_result, **wrong)
        raises("InvalidClientTokenException", cp.put_third_party_job_failure_result,
               failureDetails={"type": "JobFailed", "message": "m"}, **wrong)
        check(TOKEN not in w.emulator.text(), "the token is in no log")


@story
def a_type_is_declared_and_its_pipelines_held_against_it():
    with Place() as place:
        w = World(place, "--register-types", clients=())
        raises("ActionTypeNotFoundException", w.cp.get_action_type, **TYPE)
        raises("ActionTypeNotFoundException", w.poll)
        w.cp.update_action_type(actionType=declaration())
        equal(w.cp.get_action_type(**TYPE)["actionType"], declaration(), "as it was declared")
        listed = w.cp.list_action_types(actionOwnerFilter="ThirdParty")["actionTypes"]
        equal([t["id"] for t in listed], [TYPE])
        equal([(p["name"], p["required"], p["secret"]) for p in listed[0]["actionConfigurationProperties"]],
              [("Target", True, False), ("Password", False, True)])
        w.pipeline(Target="north", Password="open sesame")
        shown = w.cp.get_pipeline(name="P")["pipeline"]["stages"][1]["actions"][0]["configuration"]
        equal(shown, {"Target": "north", "Password": "****"})
        equal(w.poll()[0]["clientId"], f"00000000-0000-4000-8000-{ACCOUNT}", "no client is configured")
        equal(w.cp.get_pipeline_state(name="P")["stageStates"][1]["actionStates"][0]["entityUrl"],
              "https://acme.example/north")
        told = w.cp.get_pipeline(name="P")["pipeline"]
        told["name"] = "Q"
        told["stages"][1]["actions"][0]["configuration"] = {"Aim": "south", "Target": "x"}
        check("unknown configuration 'Aim'" in raises("InvalidActionDeclarationException", w.cp.create_pipeline,
                                                      pipeline=told), "an unknown key is refused")


@story
def a_declaration_that_would_break_what_there_is_is_refused():
    with Place() as place:
        w = World(place)

        def refused(code, part, **more):
            message = raises(code, w.cp.update_action_type, actionType=declaration(**more))
            check(part in message, f"{part!r} in {message!r}")

        other = dict(TYPE, provider="Nobody")
        refused("ActionTypeNotFoundException", "'Nobody'", id=other)
        refused("RequestFailedException", "CodeBuild",
                id={"category": "Build", "owner": "AWS", "provider": "CodeBuild", "version": "1"})
        refused("ValidationException", "Lambda", executor={"type": "Lambda", "configuration": {
            "jobWorkerExecutorConfiguration": {"pollingAccounts": [ACCOUNT]}}})
        refused("ValidationException", "minimum (2)", inputArtifactDetails={"minimumCount": 2, "maximumCount": 1})
        w.cp.update_action_type(actionType=declaration())  # a row of the settings is enough to be declared
        flag = {"key": False, "noEcho": False}
        refused("ValidationException", "'Password' is optional", properties=[
            {"name": "Password", "optional": False, **flag}])
        refused("ValidationException", "'New' is new", properties=[{"name": "New", "optional": False, **flag}])
        refused("ValidationException", "Queryable", properties=[
            {"name": "Target", "optional": True, "queryable": True, **flag}])
        refused("ValidationException", "more than once", properties=[{"name": "A", "optional": True, **flag}] * 2)
        equal(w.cp.get_action_type(**TYPE)["actionType"], declaration(), "still the one before")
        aws = w.cp.get_action_type(category="Build", owner="AWS", provider="CodeBuild", version="1")["actionType"]
        equal(aws["properties"][0], {"name": "ProjectName", "optional": False, "key": True, "noEcho": False,
                                     "queryable": False})


@story
def who_may_poll_and_use_a_type_is_the_declarations_to_say():
    with Place() as place:
        w = World(place, "--register-types")
        other = {"jobWorkerExecutorConfiguration": {"pollingAccounts": ["111111111111"]}}
        w.cp.update_action_type(actionType=declaration(executor={"type": "JobWorker", "configuration": other}))
        raises("ActionTypeNotFoundException", w.poll)
        w.cp.update_action_type(actionType=declaration(permissions={"allowedAccounts": ["111111111111"]}))
        equal(w.cp.list_action_types(actionOwnerFilter="ThirdParty")["actionTypes"], [])
        check("is not available in region 'US_EAST_1'" in raises("InvalidActionDeclarationException", w.pipeline,
                                                                 Target="x"), "not for this account")


@story
def the_time_of_a_third_partys_action_is_limited():
    with Place() as place:
        w = World(place, third_party_timeout="300ms")
        w.pipeline()
        job, _ = w.take()
        wait_for(lambda: w.status() == "Failed", what="the time to be over")
        equal(w.action()["output"]["executionResult"]["errorDetails"]["code"], "Timeout")
        raises("InvalidJobStateException", w.cp.put_third_party_job_success_result, jobId=job, clientToken=TOKEN)


@story
def a_types_own_time_is_each_jobs():
    with Place() as place:
        # Another type, without a time of its own, says when the settings' has passed.
        other = dict(TYPE, provider="Other")
        row = {"client_id": CLIENT, "client_token": TOKEN}
        w = World(place, third_party_timeout="300ms",
                  clients=({"type": NAME, **row}, {"type": "Deploy/ThirdParty/Other/1", **row}))
        executor = dict(declaration()["executor"], jobTimeout=60)
        w.cp.update_action_type(actionType=declaration(executor=executor))
        w.pipeline(Target="x")
        job, _ = w.take()
        told = w.cp.get_pipeline(name="P")["pipeline"]
        told["name"] = "Q"
        told["stages"][1]["actions"][0].update(actionTypeId=other, configuration={})
        w.cp.create_pipeline(pipeline=told)
        gate = w.cp.poll_for_jobs(actionTypeId=GATE)["jobs"][0]
        w.cp.acknowledge_job(jobId=gate["id"], nonce=gate["nonce"])
        w.cp.put_job_success_result(jobId=gate["id"], currentRevision={"revision": "r1", "changeIdentifier": "c1"})
        wait_for(lambda: w.status("Q") == "Failed", what="the settings' time to pass")
        w.cp.put_third_party_job_success_result(jobId=job, clientToken=TOKEN, continuationToken="more")
        equal(w.action()["status"], "InProgress", "60 s, not 300 ms")
        w.cp.put_third_party_job_success_result(jobId=w.take()[0], clientToken=TOKEN)
        equal(w.status(), "Succeeded")


@story
def third_parties_that_cannot_be_are_named_at_the_start():
    good = {"type": NAME, "client_id": CLIENT, "client_token": TOKEN}
    for change, part in (({"type": "Deploy/Custom/Acme/1"}, "no third-party action type"),
                         ({"client_id": "me"}, "a UUID in lower case"),
                         ({"client_token": ""}, "0 characters")):
        with Place() as place:
            with open(place.path("e.conf"), "w") as f:
                f.write(f"third_party = {conf_value((dict(good, **change),))};\n")
            done = place.run([os.path.join(os.environ["MH_BUILDDIR"], "emulator", "millhand-emulator"), "--config",
                              place.path("e.conf"), "--data-dir", place.path("d"), "--check"], check=False)
            equal(done.returncode, 78, done.stderr)
            check(part in done.stderr, f"{part!r} in {done.stderr!r}")


@story
def waiting_tells_of_third_party_work_too():
    with Place() as place:
        w = World(place)
        w.pipeline()
        with urllib.request.urlopen(f"{w.emulator.endpoint}/_millhand/wait?types={NAME}&seconds=0") as answer:
            check(NAME in answer.read().decode(), "its type is named")


run()
