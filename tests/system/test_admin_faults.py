#!/usr/bin/python3
"""Faults and knobs of the admin interface: what a program under test must survive."""
import http.client
import json
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from botocore.exceptions import BotoCoreError, ClientError  # noqa: E402

from mh import pipes  # noqa: E402
from mh.admin import Admin, Refused  # noqa: E402
from mh.programs import Place  # noqa: E402
from mh.tap import check, equal, raises, run, story  # noqa: E402


class World:
    def __init__(self, place, *options):
        self.emulator = place.emulator("--admin", *options)
        self.admin, self.cp = Admin(self.emulator), self.emulator.client("codepipeline")

    def pipeline(self):
        pipes.create_types(self.cp)
        return pipes.create(self.cp)

    def raw(self, operation, body):
        """A request as it is on the wire; answers status, headers and body."""
        c = http.client.HTTPConnection("127.0.0.1", self.emulator.port, timeout=20)
        c.request("POST", "/", json.dumps(body), {"X-Amz-Target": f"CodePipeline_20150709.{operation}",
                                                  "Content-Type": "application/x-amz-json-1.1"})
        answer = c.getresponse()
        return answer.status, answer.headers, answer.read()


def refused(call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except Refused as e:
        return e
    raise AssertionError("it was not refused")


@story
def errors_of_one_operation_so_many_times():
    with Place() as place:
        w = World(place)
        w.admin.post("faults", operation="ListPipelines", error={"code": "InternalFailure", "message": "ouch"}, count=2, skip=1)
        w.cp.list_pipelines()
        for _ in range(2):
            try:
                w.cp.list_pipelines()
                raise AssertionError("it went well")
            except ClientError as e:
                equal(e.response["Error"], {"Code": "InternalFailure", "Message": "ouch"})
                equal(e.response["ResponseMetadata"]["HTTPStatusCode"], 500)
        w.cp.list_pipelines()
        w.cp.list_action_types()
        told = w.admin.get("faults")["faults"]
        equal((told[0]["hits"], told[0]["count"]), (2, 0))
        check("api.fault" in w.emulator.text(), "the log tells of it")


@story
def throttles_and_a_proxys_page_for_every_operation():
    with Place() as place:
        w = World(place)
        fault = w.admin.post("faults", operation="*", throttle=True, retry_after_ms=1500)["id"]
        status, headers, body = w.raw("ListPipelines", {})
        equal((status, json.loads(body)["__type"], headers["x-amz-retry-after"]), (400, "ThrottlingException", "1500"))
        w.admin.delete(f"faults/{fault}")
        equal(refused(w.admin.delete, f"faults/{fault}").status, 404)
        w.admin.post("faults", operation="*", html=True)
        status, headers, body = w.raw("ListActionTypes", {})
        equal((status, headers["Content-Type"]), (503, "text/html"))
        check(body.startswith(b"<html>"), "a page")
        w.admin.delete("faults")
        equal(w.raw("ListPipelines", {})[0], 200)


@story
def a_delayed_answer_and_a_skewed_date():
    with Place() as place:
        w = World(place)
        w.admin.post("faults", operation="ListPipelines", delay_ms=300, date_skew_ms=-3600000, count=1)
        before = time.monotonic()
        _, headers, _ = w.raw("ListPipelines", {})
        check(time.monotonic() - before >= 0.3, "it took its time")
        sent = time.mktime(time.strptime(headers["Date"], "%a, %d %b %Y %H:%M:%S GMT")) - time.timezone
        check(abs(time.time() - 3600 - sent) < 60, headers["Date"])
        equal(len(headers.get_all("Date")), 1)


@story
def a_stopping_server_does_not_wait_for_a_delay():
    with Place() as place:
        w = World(place)
        w.admin.post("faults", operation="ListPipelines", delay_ms=60000)
        c = http.client.HTTPConnection("127.0.0.1", w.emulator.port, timeout=20)
        c.request("POST", "/", "{}", {"X-Amz-Target": "CodePipeline_20150709.ListPipelines"})
        before = time.monotonic()
        w.emulator.stop()
        check(time.monotonic() - before < 8, "it ends at once")


@story
def an_answer_that_is_dropped_after_the_commit():
    with Place() as place:
        w = World(place)
        w.pipeline()
        job = w.cp.poll_for_jobs(actionTypeId=pipes.type_of("Src"))["jobs"][0]
        w.admin.post("faults", operation="AcknowledgeJob", drop=True, count=1)
        try:
            w.cp.acknowledge_job(jobId=job["id"], nonce=job["nonce"])
            raise AssertionError("there was an answer")
        except BotoCoreError:
            pass
        w.cp.put_job_success_result(jobId=job["id"])  # it is in progress: the acknowledgement was done


@story
def a_body_that_is_cut_short():
    with Place() as place:
        w = World(place)
        for size in (0, 5):
            w.admin.post("faults", operation="ListActionTypes", truncate=size, count=1)
            try:
                w.raw("ListActionTypes", {})
                raise AssertionError("the body is whole")
            except http.client.IncompleteRead as e:
                equal(len(e.partial), size)
        equal(w.raw("ListActionTypes", {})[0], 200)


@story
def the_artifact_store_has_faults_too():
    with Place() as place:
        w = World(place)
        s3 = w.emulator.client("s3")
        s3.create_bucket(Bucket="box")
        w.admin.post("faults", operation="S3:PUT", error={"code": "SlowDown"}, count=1)
        raises("SlowDown", s3.put_object, Bucket="box", Key="a", Body=b"x" * 100000)
        equal(s3.list_objects_v2(Bucket="box")["KeyCount"], 0)
        w.admin.post("faults", operation="S3:PUT", drop=True, count=1)
        try:
            s3.put_object(Bucket="box", Key="b", Body=b"y")
            raise AssertionError("there was an answer")
        except BotoCoreError:
            pass
        equal(s3.get_object(Bucket="box", Key="b")["Body"].read(), b"y")


@story
def a_probability_is_the_same_for_the_same_seed():
    with Place() as place:
        w = World(place)

        def hits(seed):
            fault = w.admin.post("faults", operation="ListPipelines", throttle=True, probability=0.4, seed=seed)["id"]
            statuses = [w.raw("ListPipelines", {})[0] for _ in range(60)]
            w.admin.delete(f"faults/{fault}")
            return statuses

        first = hits(7)
        equal(hits(7), first)
        check(hits(8) != first, "another seed, other requests")
        check(10 < first.count(400) < 40, f"about four of ten: {first.count(400)}")


@story
def a_fault_that_makes_no_sense_is_refused():
    bad = [
        ({"drop": True}, "operation"),
        ({"operation": "Nothing", "drop": True}, "operation"),
        ({"operation": "S3:PATCH", "drop": True}, "operation"),
        ({"operation": "*"}, "Say what"),
        ({"operation": "*", "error": {}}, "error.code"),
        ({"operation": "*", "error": {"code": "a b"}}, "error.code"),
        ({"operation": "*", "error": {"code": "A", "status": 200}}, "status"),
        ({"operation": "*", "error": {"code": "A", "reason": "x"}}, "'reason'"),
        ({"operation": "*", "error": {"code": "A"}, "throttle": True}, "exclude"),
        ({"operation": "*", "drop": True, "truncate": 1}, "exclude"),
        ({"operation": "*", "drop": "yes"}, "drop"),
        ({"operation": "*", "drop": True, "probability": 1.5}, "probability"),
        ({"operation": "*", "drop": True, "count": 0}, "count"),
        ({"operation": "S3:GET", "truncate": 1}, "artifact store"),
        ({"operation": "*", "delay": 5}, "'delay'"),
    ]
    with Place() as place:
        w = World(place)
        for body, part in bad:
            e = refused(w.admin.call, "POST", "faults", body)
            equal((e.status, e.code), (400, "ValidationException"), body)
            check(part in e.message, f"{part!r} in {e.message!r}")
        equal(w.admin.get("faults"), {"faults": []})


# ---- knobs ----

@story
def knobs_change_all_or_none_and_a_restart_forgets_them():
    with Place() as place:
        w = World(place, "--ack-timeout", "5s")
        before = w.admin.get("knobs")
        equal(before["ack_timeout_ms"], 5000)
        equal(w.admin.put("knobs", strict_ack=True, ack_timeout_ms=1)["ack_timeout_ms"], 1)
        for body, part in (({"ack_timeout_ms": 0}, "from 1"), ({"strict_ack": False, "max_batch": 0}, "max_batch"),
                           ({"ack_timeout": 5}, "'ack_timeout'"), ({"listen": "x"}, "'listen'")):
            e = refused(w.admin.put, "knobs", **body)
            check(part in e.message, e.message)
        equal(w.admin.get("knobs"), dict(before, strict_ack=True, ack_timeout_ms=1))
        w.emulator.stop()
        equal(Admin(place.emulator("--admin", "--ack-timeout", "5s", name="again")).get("knobs"), before)


@story
def a_job_is_handed_out_twice_when_it_is_asked_for():
    with Place() as place:
        w = World(place)
        w.admin.put("knobs", duplicate_dispatch=True)
        w.pipeline()
        first, second = (w.cp.poll_for_jobs(actionTypeId=pipes.type_of("Src"))["jobs"][0] for _ in range(2))
        equal(first["id"], second["id"])
        raises("InvalidNonceException", w.cp.acknowledge_job, jobId=first["id"], nonce=first["nonce"])
        equal(w.cp.acknowledge_job(jobId=second["id"], nonce=second["nonce"])["status"], "InProgress")
        equal(w.cp.poll_for_jobs(actionTypeId=pipes.type_of("Src"))["jobs"], [])


@story
def a_second_acknowledgement_and_a_second_result():
    with Place() as place:
        w = World(place)
        w.pipeline()
        job = pipes.take(w.cp, "Src")
        again = {"jobId": job["id"], "nonce": job["nonce"]}
        equal(w.cp.acknowledge_job(**again)["status"], "InProgress")
        w.admin.put("knobs", strict_ack=True, idempotent_results=True)
        raises("InvalidNonceException", w.cp.acknowledge_job, **again)
        result = {"jobId": job["id"], "executionDetails": {"summary": "once"}}
        for _ in range(2):
            w.cp.put_job_success_result(**result)
        raises("InvalidJobStateException", w.cp.put_job_success_result, jobId=job["id"])
        raises("InvalidJobStateException", w.cp.put_job_failure_result, jobId=job["id"],
               failureDetails={"type": "JobFailed", "message": "x"})
        pipes.fail(w.cp, "Make")
        w.admin.put("knobs", idempotent_results=False)
        raises("InvalidJobStateException", w.cp.put_job_success_result, **result)


@story
def a_result_is_its_owners_when_that_is_asked_for():
    with Place() as place:
        w = World(place, "--result-owner-check")
        w.pipeline()
        job = pipes.take(w.cp, "Src")
        other = w.emulator.client("codepipeline", key="other")
        raises("JobNotFoundException", other.put_job_success_result, jobId=job["id"])
        w.cp.put_job_success_result(jobId=job["id"])


@story
def a_continuation_is_delayed_by_a_knob():
    with Place() as place:
        w = World(place)
        w.admin.virtual()
        w.admin.put("knobs", continuation_delay_ms=30000)
        w.pipeline()
        pipes.succeed(w.cp, "Src", continuationToken="more")
        poll = {"actionTypeId": pipes.type_of("Src")}
        equal(w.cp.poll_for_jobs(**poll)["jobs"], [])
        w.admin.advance(seconds=30)
        equal(w.cp.poll_for_jobs(**poll)["jobs"][0]["data"]["continuationToken"], "more")


run()
