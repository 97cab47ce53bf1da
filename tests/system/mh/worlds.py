"""One scene, two endpoints: the stub, which shares no code with the product, and the emulator behind a proxy.

    with StubWorld(max_jobs=2) as w:            or EmulatorWorld
        job = w.job(inputs={"Src": zip_bytes}, outputs=["Out"])
        w.start(w.action("make"))               the agent
        finished(job, "success")

A job here has `result` (the one that counted), `results` (all that our agent ever sent, in order)
and `provider`. What an endpoint may do wrong is named as in mh.stub: w.fault("AcknowledgeJob", "drop_after").
"""
import json
import os

from botocore.exceptions import ClientError

from mh.programs import EMULATOR, Place, conf_value, wait_for
from mh.proxy import Proxy, body, cut, instead, say
from mh.stub import CLIENT, Stub
from mh.tap import equal, skip
from mh.worker import FAST, Marks, action, zip_of


class World:
    def __init__(self, **keys):
        self.place, self.keys, self.agent = Place(), dict(FAST, **keys), None
        self.conf = None

    def __enter__(self):
        self.place.__enter__()
        self.marks = Marks(self.place)
        self.open()
        return self

    def __exit__(self, *exc):
        self.close()
        self.place.__exit__(*exc)

    def action(self, command, provider="Make", **keys):
        return action(self.place, command, provider, **keys)

    def start(self, *actions, name="agent"):
        """The agent; once more under another name without actions, as it was."""
        if actions:
            if any(a["owner"] == "ThirdParty" for a in actions):
                self.keys["client_tokens"] = {"file": self.token_file()}
            self.conf = self.place.agent_conf(self.endpoint, actions, **self.keys)
        self.agent = self.place.agent(self.conf, name=name)
        return self.agent

    def token_file(self):
        path = self.place.path("clients")
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as f:
            f.writelines(f"{client} {token}\n" for client, token in self.client_tokens().items())
        return path

    def tries(self, operation):
        """How often this agent's log says that a request failed in the course of a job."""
        return sum("api.failed" in line and operation in line for line in self.agent.text().splitlines())

    def another_worker_takes(self, job, code="InvalidNonceException"):
        """... the job, after it was offered to our agent and before our agent's acknowledgement arrives,
        which is answered by that code."""
        raise NotImplementedError


class StubWorld(World):
    name = "stub"

    def open(self):
        self.stub = Stub()
        self.endpoint = self.stub.endpoint

    def close(self):
        self.stub.close()

    def job(self, provider="Make", **keys):
        return self.stub.job(provider=provider, **keys)

    def third_job(self):
        return self.stub.third_job()

    def third_action(self, command):
        return self.action(command, owner="ThirdParty")

    def client_tokens(self):
        return self.stub.client_tokens

    def third_details_fail(self):
        """For one job of the next poll."""
        self.fault("GetThirdPartyJobDetails", "code:ValidationException")

    def offer_again(self, jobs):
        for job in jobs:
            job.redeliver = job.status == "Dispatched"

    def fault(self, operation, kind, times=1):
        self.stub.fault(operation, kind, times)

    def seen(self, operation, job=None):
        """The agent's requests."""
        return [r for r in self.stub.seen(operation) if job is None or r.get("jobId") == job.id]

    def output(self, job, name):
        return self.stub.objects[("bucket", job.outputs[name])]

    def strict(self):
        """A second acknowledgement of a job is refused."""
        self.stub.strict = True

    def refuse_taken_by(self, code):
        self.stub.taken_code = code

    def refuse_the_next_by(self, code):
        """The answers to acknowledgements that come too late, from the next one on."""
        self.refuse_taken_by(code)

    def another_worker_takes(self, job, code="InvalidNonceException"):
        def take(_):
            job.acked_nonce, job.status = "another worker's", "InProgress"

        self.refuse_taken_by(code)
        self.stub.before["AcknowledgeJob"] = take

    def another_worker_succeeds(self, job):
        """The job must be its to end still."""
        equal(job.status, "InProgress", "the job as the service knows it")
        job.status = "Succeeded"

    def abandon(self, job):
        job.action_status, job.status = "Abandoned", "Abandoned"

    def credentials_expire(self, job):
        job.renew()

    def go_away(self):
        for operation in ("PutJobSuccessResult", "PollForJobs"):
            self.fault(operation, "drop_before", 1000)

    def come_back(self):
        self.stub.clear_faults()

    def ended(self, job):
        return job.result is not None


class _PipelineJob:
    """The job of the one custom action of a pipeline, and what continues it."""

    def __init__(self, pipeline, provider):
        self.pipeline, self.provider = pipeline, provider
        self.offers = []  # as PollForJobs gave them to our agent
        self.results, self.result, self.rounds = [], None, []

    @property
    def id(self):
        return self.offers[-1]["id"]

    def hear(self, kind, request, taken):
        self.results.append((kind, request))
        if not taken:
            return
        if "continuationToken" in request:
            self.rounds.append(request)
        elif not self.result:
            self.result = (kind, request)


THIRD = "Build/ThirdParty/Acme/1"  # the emulator's one third-party type


def _json_error(status, code):
    return instead(body(json.dumps({"__type": code, "message": "played"}).encode(), status))


FAULTS = {
    "drop_after": cut(0), "drop_before": instead(say(b"")), "error500": instead(body(b"", "500 Internal Server Error")),
    "throttle": _json_error("400 Bad Request", "ThrottlingException"),
    "invalid": _json_error("400 Bad Request", "ValidationException"),
    "denied": instead(body(b"<Error><Code>AccessDenied</Code></Error>", "403 Forbidden")),
}


class EmulatorWorld(World):
    """options: of the emulator. Faults are played by a proxy; whatever can really happen there, does."""
    name = "emulator"
    bucket = "artifacts"

    def __init__(self, options=(), **keys):
        super().__init__(**keys)
        self.options, self.jobs, self.providers = tuple(options), [], set()

    def open(self):
        if not os.path.exists(EMULATOR):
            skip("no emulator in this build")
        with open(self.place.path("emulator.conf"), "w") as f:
            f.write("third_party = " + conf_value(tuple({"type": THIRD, "client_id": client, "client_token": token}
                                                        for client, token in self.client_tokens().items())) + ";\n")
        self.options = ("--config", self.place.path("emulator.conf"), *self.options)
        self.emulator = self.place.emulator(*self.options)
        self.proxy = Proxy(self.emulator.port, self.before_it)
        self.proxy.heard = self.hear
        self.hooks = {}
        self.endpoint = self.proxy.endpoint
        self.connect()
        self.s3.create_bucket(Bucket=self.bucket)

    def connect(self):
        self.cp, self.s3 = self.emulator.client("codepipeline"), self.emulator.client("s3")

    def close(self):
        if hasattr(self, "proxy"):
            self.proxy.close()

    def strict(self):
        self.emulator.stop()
        self.options += ("--strict-ack",)
        self.come_back()

    # ---- a third party's ----

    def third_job(self):
        return self.job("Acme", owner="ThirdParty")

    def third_action(self, command):
        return self.action(command, "Acme", owner="ThirdParty")

    def client_tokens(self):
        return {CLIENT: "a client's secret"}

    def third_details_fail(self):
        self.fault("GetThirdPartyJobDetails", "invalid")

    def offer_again(self, jobs):
        """The emulator does, after a short --ack-timeout."""

    # ---- jobs ----

    def job(self, provider="Make", inputs=None, outputs=(), configuration=None, owner="Custom"):
        if provider not in self.providers and owner == "Custom":
            self.providers.add(provider)
            self.make_type(provider, configuration or {})
        job = _PipelineJob(f"p{len(self.jobs)}", provider)
        self.jobs.append(job)
        sources = {name: self.source(job, name, data) for name, data in (inputs or {}).items()}
        extra = {} if sources else {"Nothing": self.source(job, "Nothing", zip_of({"f": b""}))}
        build = self.step("A", "Build", owner, provider, sources, outputs, configuration or {})
        self.cp.create_pipeline(pipeline={
            "name": job.pipeline, "roleArn": "arn:aws:iam::000000000000:role/x",
            "artifactStore": {"type": "S3", "location": self.bucket},
            "stages": [{"name": "Source", "actions": list({**sources, **extra}.values())},
                       {"name": "Build", "actions": [build]}]})
        return job

    def make_type(self, provider, configuration):
        details = {"minimumCount": 0, "maximumCount": 5}
        self.cp.create_custom_action_type(
            category="Build", provider=provider, version="1", inputArtifactDetails=details,
            outputArtifactDetails=details, configurationProperties=[
                {"name": k, "required": False, "key": True, "secret": False} for k in configuration])

    def source(self, job, name, data):
        key = f"{job.pipeline}-{name}.zip"
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=data)
        return self.step(name, "Source", "AWS", "S3", [], [name],
                         {"S3Bucket": self.bucket, "S3ObjectKey": key, "PollForSourceChanges": "false"})

    @staticmethod
    def step(name, category, owner, provider, inputs, outputs, configuration):
        return {"name": name, "configuration": configuration,
                "actionTypeId": {"category": category, "owner": owner, "provider": provider, "version": "1"},
                "inputArtifacts": [{"name": n} for n in inputs], "outputArtifacts": [{"name": n} for n in outputs]}

    def status(self, job):
        """What the pipeline's action says."""
        found = self.cp.list_action_executions(pipelineName=job.pipeline)["actionExecutionDetails"]
        return next((d["status"] for d in found if d["stageName"] == "Build"), None)

    def ended(self, job):
        return self.status(job) in ("Succeeded", "Failed", "Abandoned")

    def output(self, job, name):
        artifact = next(a for a in job.offers[0]["data"]["outputArtifacts"] if a["name"] == name)
        where = artifact["location"]["s3Location"]
        return self.s3.get_object(Bucket=where["bucketName"], Key=where["objectKey"])["Body"].read()

    # ---- what passes the proxy ----

    def before_it(self, request):
        hook = self.hooks.pop(request.operation, None)
        return hook(request) if hook else None

    def hear(self, request, answer):
        taken = answer.head.startswith(b"HTTP/1.1 200")
        if request.operation == "PollForJobs" and taken:
            for offer in json.loads(answer.body).get("jobs", []):
                name = offer["data"]["pipelineContext"]["pipelineName"]
                next(j for j in self.jobs if j.pipeline == name).offers.append(offer)
        for kind in ("success", "failure"):
            if request.operation == f"PutJob{kind.title()}Result":
                self.whose(request.json()["jobId"]).hear(kind, request.json(), taken)

    def whose(self, job_id):
        return next(j for j in self.jobs if job_id in [o["id"] for o in j.offers])

    def seen(self, operation, job=None):
        ids = [o["id"] for o in job.offers] if job else []
        found = [r.json() if r.body.startswith(b"{") else r.target for r in self.proxy.seen(operation)]
        return [r for r in found if job is None or r.get("jobId") in ids]

    def fault(self, operation, kind, times=1):
        self.proxy.fault(operation, *[FAULTS[kind]] * times)

    def refuse_taken_by(self, code):
        """The emulator's answer to whoever is too late, in the words of another service."""
        def translate(wire, answer):
            if b"InvalidNonce" in answer.body:
                body(json.dumps({"__type": code, "message": "played"}).encode(), "400 Bad Request")(wire, answer)
            else:
                wire.send(answer.raw)

        return translate

    def refuse_the_next_by(self, code):
        """In the queue, behind the faults that are planned; for that one and for all that follow."""
        self.proxy.fault("AcknowledgeJob", *[self.refuse_taken_by(code)] * 20)

    def another_worker_takes(self, job, code="InvalidNonceException"):
        """Needs a short --ack-timeout, so that the job is offered again while ours is held."""
        type_id = {"category": "Build", "owner": "Custom", "provider": job.provider, "version": "1"}

        def take(_):
            offer = wait_for(lambda: self.cp.poll_for_jobs(actionTypeId=type_id)["jobs"], what="the job to be offered again")[0]
            equal(self.cp.acknowledge_job(jobId=offer["id"], nonce=offer["nonce"])["status"], "InProgress")
            return self.refuse_taken_by(code)

        self.hooks["AcknowledgeJob"] = take

    def another_worker_succeeds(self, job):
        self.cp.put_job_success_result(jobId=job.id)
        wait_for(lambda: self.status(job) == "Succeeded", what="the other worker's result to count")

    def abandon(self, job):
        execution = self.cp.list_pipeline_executions(pipelineName=job.pipeline)["pipelineExecutionSummaries"][0]
        try:
            self.cp.stop_pipeline_execution(pipelineName=job.pipeline, abandon=True,
                                            pipelineExecutionId=execution["pipelineExecutionId"])
        except ClientError as e:
            if e.response["Error"]["Code"] != "UnknownOperationException":
                raise
            skip("the emulator has no StopPipelineExecution, so nothing can be abandoned there")

    def credentials_expire(self, job):
        """Needs short --job-credentials: waits until the store takes them no longer."""
        keys = job.offers[-1]["data"]["artifactCredentials"]
        s3 = self.emulator.client("s3", keys["accessKeyId"], keys["secretAccessKey"], keys["sessionToken"])

        def expired():
            try:
                s3.get_object(Bucket=self.bucket, Key="none")
            except ClientError as e:
                return e.response["Error"]["Code"] == "ExpiredToken"

        wait_for(expired, what="the artifact credentials to expire")

    def go_away(self):
        self.emulator.kill()

    def come_back(self):
        self.emulator = self.place.emulator(*self.options, port=self.emulator.port)
        self.connect()
