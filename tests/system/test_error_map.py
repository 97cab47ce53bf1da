#!/usr/bin/python3
"""What operations of workers answer to each condition of the error map (semantics C5), through boto3."""
import os
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from botocore.exceptions import ClientError  # noqa: E402
from mh.statements import CLIENT_TOKEN, THIRD, run, served, type_id  # noqa: E402
from mh.tap import check, equal, raises  # noqa: E402

UNKNOWN = "11111111-1111-4111-8111-111111111111"
FAILURE = {"type": "JobFailed", "message": "no"}
COUNTS = {"minimumCount": 0, "maximumCount": 1}


def custom(w, job, nonce="1"):
    """Every operation of custom jobs about that job."""
    return {"AcknowledgeJob": lambda: w.cp.acknowledge_job(jobId=job, nonce=nonce),
            "GetJobDetails": lambda: w.cp.get_job_details(jobId=job),
            "PutJobSuccessResult": lambda: w.cp.put_job_success_result(jobId=job),
            "PutJobFailureResult": lambda: w.cp.put_job_failure_result(jobId=job, failureDetails=FAILURE)}


def third(w, job, nonce="1", token=CLIENT_TOKEN):
    of = {"jobId": job, "clientToken": token}
    return {"AcknowledgeThirdPartyJob": lambda: w.cp.acknowledge_third_party_job(nonce=nonce, **of),
            "GetThirdPartyJobDetails": lambda: w.cp.get_third_party_job_details(**of),
            "PutThirdPartyJobSuccessResult": lambda: w.cp.put_third_party_job_success_result(**of),
            "PutThirdPartyJobFailureResult": lambda: w.cp.put_third_party_job_failure_result(failureDetails=FAILURE, **of)}


def results(calls):
    return {name: call for name, call in calls.items() if name.startswith("Put")}


def all_raise(code, calls):
    check(calls, "there are calls")
    for name, call in calls.items():
        try:
            raises(code, call)
        except AssertionError as e:
            raise AssertionError(f"{name}: {e}") from e


def third_party_job(w):
    """The id of one that is offered to the client."""
    w.cp.update_action_type(actionType={
        "id": THIRD, "inputArtifactDetails": COUNTS, "outputArtifactDetails": COUNTS,
        "executor": {"type": "JobWorker", "configuration": {"jobWorkerExecutorConfiguration": {
            "pollingAccounts": ["000000000000"]}}}, "permissions": {"allowedAccounts": ["*"]}})
    w.create({"Source": ["Fetch"], "Deploy": [{"name": "Ship", "actionTypeId": THIRD}]})
    w.done("Fetch")
    return w.cp.poll_for_third_party_jobs(actionTypeId=THIRD)["jobs"][0]["jobId"]


@served
def a_job_id_that_is_none_is_a_validation_error(w):
    for wrong in ("x", UNKNOWN.upper().replace("1", "A"), UNKNOWN + "0"):
        all_raise("ValidationException", custom(w, wrong))


@served
def a_job_that_is_unknown_or_of_the_other_family_is_not_found(w):
    all_raise("JobNotFoundException", custom(w, UNKNOWN))
    all_raise("JobNotFoundException", {n: c for n, c in third(w, UNKNOWN).items()})
    theirs = third_party_job(w)
    all_raise("JobNotFoundException", custom(w, theirs))
    w.name += "-own"
    w.create()
    ours = w.offered("Fetch")[0]
    others = third(w, ours["id"], ours["nonce"])
    raises("InvalidJobException", others.pop("GetThirdPartyJobDetails"))  # it has an error of its own for that
    all_raise("JobNotFoundException", others)
    equal(w.cp.acknowledge_job(jobId=ours["id"], nonce=ours["nonce"])["status"], "InProgress", "nothing was changed")


@served
def a_nonce_that_is_not_the_winning_one_is_invalid(w):
    w.create()
    job = w.offered("Fetch")[0]
    for wrong in ("0", job["nonce"] + "0", "x" * 50):
        raises("InvalidNonceException", w.cp.acknowledge_job, jobId=job["id"], nonce=wrong)
    for _ in range(2):
        equal(w.cp.acknowledge_job(jobId=job["id"], nonce=job["nonce"])["status"], "InProgress", "the winner may ask again")
    raises("InvalidNonceException", w.cp.acknowledge_job, jobId=job["id"], nonce=job["nonce"] + "0")


@served
def an_acknowledgement_that_comes_too_late_tells_the_final_status(w):
    e = w.create()
    job = w.offered("Fetch")[0]
    w.stop(e, abandon=True)
    equal(w.cp.acknowledge_job(jobId=job["id"], nonce=job["nonce"])["status"], "Failed", "an abandoned one")
    for status, end in (("Succeeded", "succeed"), ("Failed", "fail")):
        w.start()
        job = w.take("Fetch")
        getattr(job, end)()
        equal(w.cp.acknowledge_job(jobId=job.id, nonce=job.nonce)["status"], status)


@served
def a_result_needs_a_job_that_is_in_progress(w):
    e = w.create()
    equal(w.cp.get_pipeline_state(name=w.name)["stageStates"][0]["latestExecution"]["status"], "InProgress")
    offered = w.offered("Fetch")[0]
    all_raise("InvalidJobStateException", results(custom(w, offered["id"])))  # handed out, not acknowledged
    w.cp.acknowledge_job(jobId=offered["id"], nonce=offered["nonce"])
    w.cp.put_job_success_result(jobId=offered["id"], continuationToken="more")
    all_raise("InvalidJobStateException", results(custom(w, offered["id"])))  # it succeeded
    continued = w.take("Fetch")
    w.stop(e, abandon=True)
    all_raise("InvalidJobStateException", results(custom(w, continued.id)))  # abandoned
    w.start()
    failed = w.take("Fetch")
    failed.fail()
    all_raise("InvalidJobStateException", results(custom(w, failed.id)))
    w.name += "-theirs"
    theirs = third_party_job(w)
    all_raise("InvalidJobStateException", results(third(w, theirs)))


@served
def output_variables_go_without_a_token_and_within_their_size(w):
    w.create()
    job = w.take("Fetch")
    raises("ValidationException", job.succeed, continuationToken="more", outputVariables={"a": "b"})
    raises("OutputVariablesSizeExceededException", job.succeed,
           outputVariables={f"v{n}": "x" * 10240 for n in range(12)})
    equal(w.cp.acknowledge_job(jobId=job.id, nonce=job.nonce)["status"], "InProgress", "it is still open")
    job.succeed(outputVariables={f"v{n:02}": "x" * (10240 - 3) for n in range(12)})  # 122 880 bytes, names and all
    equal(len(w.actions()[0]["output"]["outputVariables"]), 12)


@served
def a_clients_token_opens_its_own_jobs_alone(w):
    job = third_party_job(w)
    nonce = w.cp.get_third_party_job_details(jobId=job, clientToken=CLIENT_TOKEN)["jobDetails"]["nonce"]
    for wrong in ("x", CLIENT_TOKEN + " ", CLIENT_TOKEN.upper()):
        all_raise("InvalidClientTokenException", third(w, job, nonce, wrong))
    mine = third(w, job, nonce)
    equal(mine["AcknowledgeThirdPartyJob"]()["status"], "InProgress")
    all_raise("InvalidClientTokenException", third(w, job, nonce, "x"))
    mine["PutThirdPartyJobSuccessResult"]()
    raises("InvalidJobException", mine["GetThirdPartyJobDetails"])  # it has ended
    all_raise("InvalidJobStateException", results(mine))


@served
def polls_say_what_is_wrong_with_the_type(w):
    for owner in ("AWS", "ThirdParty"):
        equal(raises("ValidationException", w.cp.poll_for_jobs, actionTypeId=type_id("Build", "CodeBuild", owner)),
              f"ActionType with owner '{owner}' is not supported")
    missing = "ActionType (Category: 'Build', Owner: 'Custom', Provider: '%s', Version: '1') is not available"
    equal(raises("ActionTypeNotFoundException", w.cp.poll_for_jobs, actionTypeId=type_id("Build", "X")), missing % "X")
    w.cp.create_custom_action_type(category="Build", provider="Buried", version="1", inputArtifactDetails=COUNTS,
                                   outputArtifactDetails=COUNTS)
    buried = type_id("Build", "Buried")
    equal(w.cp.poll_for_jobs(actionTypeId=buried)["jobs"], [])
    raises("ValidationException", w.cp.poll_for_jobs, actionTypeId=buried, queryParam={"P": "v"})  # none is queryable
    w.cp.delete_custom_action_type(category="Build", provider="Buried", version="1")
    equal(raises("ActionTypeNotFoundException", w.cp.poll_for_jobs, actionTypeId=buried), missing % "Buried")
    raises("ActionTypeNotFoundException", w.cp.poll_for_third_party_jobs, actionTypeId=dict(THIRD, provider="Nobody"))


@served
def a_query_names_the_queryable_property_and_a_legal_value(w):
    ours = type_id("Build")
    for wrong in ({"Note": "v"}, {"queue": "v"}, {"Queue": "a b"}, {"Queue": "x" * 51}, {"Queue": "a", "Note": "b"}):
        raises("ValidationException", w.cp.poll_for_jobs, actionTypeId=ours, queryParam=wrong)
    equal(w.cp.poll_for_jobs(actionTypeId=ours, queryParam={"Queue": "x" * 50})["jobs"], [])


@served
def tags_and_a_deletion_at_the_same_time_leave_no_half_of_either(w):
    w.create()
    arn = w.cp.get_pipeline(name=w.name)["metadata"]["pipelineArn"]
    codes, together = [], threading.Barrier(3)

    def tag(n):
        cp = w.emulator.client("codepipeline")
        together.wait(20)
        for i in range(20):
            try:
                cp.tag_resource(resourceArn=arn, tags=[{"key": f"k{n}-{i % 3}", "value": "v"}])
            except ClientError as e:
                codes.append(e.response["Error"]["Code"])

    threads = [threading.Thread(target=tag, args=(n,)) for n in range(2)]
    for t in threads:
        t.start()
    together.wait(20)
    w.cp.delete_pipeline(name=w.name)
    for t in threads:
        t.join(60)
    # One writer takes them one after another: the answer is that of an order, never of a collision.
    check(set(codes) <= {"ResourceNotFoundException", "ConcurrentModificationException"}, codes)
    w.create()
    equal(w.cp.list_tags_for_resource(resourceArn=arn)["tags"], [], "tags of the one that was deleted")


run()
