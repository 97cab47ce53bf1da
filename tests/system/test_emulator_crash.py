#!/usr/bin/python3
"""kill -9 of the emulator under load: what it answered is there afterwards (design promise 9)."""
import os
import random
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from botocore.exceptions import BotoCoreError, ClientError  # noqa: E402
from mh.programs import Place, wait_for  # noqa: E402
from mh.tap import check, equal, run, story  # noqa: E402
from mh.worker import zip_of  # noqa: E402

ROLE = "arn:aws:iam::000000000000:role/pipeline"
TYPES = {"Source": ("Src", 0, 1), "Build": ("Mill", 1, 1)}
SEED = int(os.environ.get("MH_SEED") or random.SystemRandom().randrange(1 << 32))


def type_id(category):
    return {"category": category, "owner": "Custom", "provider": TYPES[category][0], "version": "1"}


def set_up(cp, s3):
    for category, (provider, inputs, outputs) in TYPES.items():
        cp.create_custom_action_type(category=category, provider=provider, version="1",
                                     inputArtifactDetails={"minimumCount": inputs, "maximumCount": inputs},
                                     outputArtifactDetails={"minimumCount": outputs, "maximumCount": outputs})
    s3.create_bucket(Bucket="loadbucket")
    s3.put_object(Bucket="loadbucket", Key="source.zip", Body=zip_of({"f": b"x"}))
    for name, source in (("custom", {"name": "S", "actionTypeId": type_id("Source")}),
                         ("stored", {"name": "S", "actionTypeId": {"category": "Source", "owner": "AWS", "provider": "S3",
                                                                   "version": "1"},
                                     "configuration": {"S3Bucket": "loadbucket", "S3ObjectKey": "source.zip",
                                                       "PollForSourceChanges": "false"}})):
        source["outputArtifacts"] = [{"name": "Source"}]
        build = {"name": "B", "actionTypeId": type_id("Build"), "inputArtifacts": [{"name": "Source"}],
                 "outputArtifacts": [{"name": "Built"}]}
        cp.create_pipeline(pipeline={"name": name, "roleArn": ROLE, "artifactStore": {"type": "S3", "location": "artifacts"},
                                     "stages": [{"name": "Source", "actions": [source]},
                                                {"name": "Build", "actions": [build]}]})


class Load:
    """Threads that work, and write down what was answered. `pending` = sent, answer unknown."""

    def __init__(self, emulator, name, working=True):
        self.emulator, self.name, self.stopped = emulator, name, threading.Event()
        self.started, self.objects, self.acked, self.reported = [], {}, {}, []
        self.pending_acks, self.pending_results, self.credentials = {}, set(), []
        self.answers = 0
        self.threads = [threading.Thread(target=self.until_down, args=(f,))
                        for f in (self.starter, self.worker, self.worker, self.putter) if working]
        for t in self.threads:
            t.start()

    def until_down(self, work):
        try:
            work(self.emulator.client("codepipeline"), self.emulator.client("s3"))
        except (BotoCoreError, ConnectionError, OSError):
            pass  # the kill

    def join(self):
        self.stopped.set()
        for t in self.threads:
            t.join(30)
            check(not t.is_alive(), "a load thread ends")

    def starter(self, cp, s3):
        while not self.stopped.is_set():
            for name in ("custom", "stored"):
                self.started.append((name, cp.start_pipeline_execution(name=name)["pipelineExecutionId"]))
                self.answers += 1

    def putter(self, cp, s3):
        number = 0
        while not self.stopped.is_set():
            number += 1
            key, body = f"{self.name}-{number % 20}", random.randbytes(random.choice([0, 10, 5000, 200000]))
            self.objects[key] = self.objects.get(key, [None])[-1:] + [body]  # either may be there after the kill
            s3.put_object(Bucket="loadbucket", Key=key, Body=body)
            self.objects[key] = [body]
            self.answers += 1

    def worker(self, cp, s3):
        while not self.stopped.is_set():
            for category in TYPES:
                for job in cp.poll_for_jobs(actionTypeId=type_id(category), maxBatchSize=3)["jobs"]:
                    self.do(cp, job)

    def do(self, cp, job):
        self.pending_acks[job["id"]] = job["nonce"]
        if acknowledge(cp, job["id"], job["nonce"]) != "InProgress":
            return
        self.acked[job["id"]] = self.pending_acks.pop(job["id"])
        data = job["data"]
        keys = data["artifactCredentials"]
        mine = self.emulator.client("s3", keys["accessKeyId"], keys["secretAccessKey"], keys["sessionToken"])
        for artifact in data["inputArtifacts"]:
            at = artifact["location"]["s3Location"]
            if not code_of(mine.get_object, Bucket=at["bucketName"], Key=at["objectKey"]):
                self.credentials = [(keys, at)]  # not there: its producer was cut off by a kill
        for artifact in data["outputArtifacts"]:
            at = artifact["location"]["s3Location"]
            mine.put_object(Bucket=at["bucketName"], Key=at["objectKey"], Body=zip_of({"f": b"y"}))
        self.pending_results.add(job["id"])
        try:
            cp.put_job_success_result(jobId=job["id"])
        except ClientError:
            return
        self.reported.append(job["id"])
        self.pending_results.discard(job["id"])
        self.answers += 1


def code_of(call, **kwargs):
    try:
        call(**kwargs)
    except ClientError as e:
        return e.response["Error"]["Code"]
    return None


def acknowledge(cp, job, nonce):
    try:
        return cp.acknowledge_job(jobId=job, nonce=nonce)["status"]
    except ClientError as e:
        return e.response["Error"]["Code"]


def verify(load, cp, s3):
    for name, execution in load.started:
        cp.get_pipeline_execution(pipelineName=name, pipelineExecutionId=execution)
    for job in load.reported:
        equal(code_of(cp.put_job_success_result, jobId=job), "InvalidJobStateException", "a result answered before the kill")
    for key, bodies in load.objects.items():
        try:
            body = s3.get_object(Bucket="loadbucket", Key=key)["Body"].read()
        except ClientError:
            body = None
        check(body in bodies, f"object {key}")
    for job, nonce in load.acked.items():
        if job in load.reported or job in load.pending_results:
            continue
        equal(acknowledge(cp, job, nonce), "InProgress", "an acknowledgement answered before")
        cp.put_job_success_result(jobId=job)
    for job, nonce in load.pending_acks.items():  # the kill came between request and answer
        if acknowledge(cp, job, nonce) == "InProgress":
            cp.put_job_success_result(jobId=job)
    for job in load.pending_results:  # the same for a result: sent again, as an agent would
        check(code_of(cp.put_job_success_result, jobId=job) in (None, "InvalidJobStateException"), f"result of {job}")


def drain(emulator, cp):
    """With a worker at hand, everything that was under way comes to an end."""
    load = Load(emulator, "drain", working=False)

    def all_done():
        for category in TYPES:
            for job in cp.poll_for_jobs(actionTypeId=type_id(category), maxBatchSize=50)["jobs"]:
                load.do(cp, job)
        for name in ("custom", "stored"):
            for e in cp.list_pipeline_executions(pipelineName=name)["pipelineExecutionSummaries"]:
                if e["status"] == "InProgress":
                    return False
                check(e["status"] in ("Succeeded", "Superseded"), f"execution {e['status']}")
        return True

    wait_for(all_done, 60, "every execution to end")


@story
def nothing_answered_is_lost_over_kills_under_load():
    print(f"# seed {SEED}", flush=True)
    rng = random.Random(SEED)
    with Place() as place:
        emulator = place.emulator("--ack-timeout", "1s")
        set_up(emulator.client("codepipeline"), emulator.client("s3"))
        for number in range(5):
            load = Load(emulator, f"round{number}")
            after = rng.randrange(20, 120)
            wait_for(lambda: load.answers >= after, 60, "answers under load")
            emulator.kill()
            load.join()
            emulator = place.emulator("--ack-timeout", "1s")
            cp, s3 = emulator.client("codepipeline"), emulator.client("s3")
            verify(load, cp, s3)
            for keys, at in load.credentials:
                mine = emulator.client("s3", keys["accessKeyId"], keys["secretAccessKey"], keys["sessionToken"])
                mine.get_object(Bucket=at["bucketName"], Key=at["objectKey"])
            left = os.listdir(os.path.join(emulator.data_dir, "objects", "tmp"))
            equal(left, [], "temporary files after a restart")
        drain(emulator, cp)
        equal(emulator.stop(), 0, "exit code after TERM")


run()
