"""One emulator for the statements of a document (or other stories), a pipeline of its own for each of them.

    @statement
    def H_000_17_a_newer_arrival_supersedes_who_waits(w):
        w.create(mode="SUPERSEDED")             Source (Fetch), Build (Compile), Deploy (Ship)
        w.done("Fetch")                         polls for that action's job, acknowledges it, reports success
        ...
    run()

Custom actions do all the work, and the story is their worker: nothing happens between two calls, so there is
little to wait for. Every action's job has a queue of its own (the value of a queryable property), so that one
emulator serves many pipelines. `w.cp` is the boto3 client, `w.aws` the stock AWS CLI.
"""
import contextlib
import functools
import itertools
import os
import sys

from mh import js, tap
from mh.admin import Admin
from mh.cli import Cli
from mh.events import check_legal, once, read_file, short
from mh.programs import Place, conf_value, wait_for
from mh.tap import check, equal, raises

ROLE = "arn:aws:iam::000000000000:role/pipeline"
STORE = {"type": "S3", "location": "artifacts"}
PROVIDER = "Hand"
CATEGORIES = ("Source", "Build", "Test", "Deploy", "Invoke")
# AWS's own types that a worker stands in for, and a third party with its client.
OFFERS = tuple({"aws": f"{category}/{provider}/1", "as": f"{category}/Custom/{provider}/1"}
               for category, provider in (("Build", "CodeBuild"), ("Test", "CodeBuild"), ("Deploy", "CodeDeploy")))
CLIENT, CLIENT_TOKEN = "c11e0000-0000-4000-8000-000000000001", "the secret of the client"
THIRD = {"category": "Deploy", "owner": "ThirdParty", "provider": "Acme", "version": "1"}
THREE = {"Source": ["Fetch"], "Build": ["Compile"], "Deploy": ["Ship"]}
OVER = ("Succeeded", "Failed", "Stopped", "Superseded", "Cancelled")


def type_id(category, provider=PROVIDER, owner="Custom"):
    return {"category": category, "owner": owner, "provider": provider, "version": "1"}


def where(artifact):
    """An artifact's place, as boto3's S3 takes it."""
    at = artifact["location"]["s3Location"]
    return {"Bucket": at["bucketName"], "Key": at["objectKey"]}


class Server:
    """The emulator of a file, started by its first statement; or one of a statement's own."""

    def __init__(self, *options):
        self.place, self.options = None, options

    def start(self):
        if self.place:
            return
        self.place = Place()
        with open(self.place.path("emulator.conf"), "w") as f:
            f.write(f"offer = {conf_value(OFFERS)};\nregister_types = true;\n"
                    f"git_root = {conf_value(self.place.path('git'))};\n")
            # Of H_001_1, long after every other statement.
            f.write('schedules = ( { pipeline = "h-001-1"; cron = "0 6 1 1 ? 2099"; } );\n')
            f.write("third_party = " + conf_value((
                {"type": "Deploy/ThirdParty/Acme/1", "client_id": CLIENT, "client_token": CLIENT_TOKEN},)) + ";\n")
        os.makedirs(self.place.path("git"))
        self.events = self.place.path("events.jsonl")
        self.emulator = self.place.emulator("--config", self.place.path("emulator.conf"), "--events-file", self.events,
                                            *self.options)
        self.cp, self.s3 = self.emulator.client("codepipeline"), self.emulator.client("s3")
        if os.environ.get("MH_CLIENT") == "js":
            self.cp = js.Client(self.place, self.emulator.endpoint)
        self.s3.create_bucket(Bucket=STORE["location"])
        counts = {"minimumCount": 0, "maximumCount": 5}
        for category in CATEGORIES:
            self.cp.create_custom_action_type(
                category=category, provider=PROVIDER, version="1", outputArtifactDetails=counts,
                inputArtifactDetails={"minimumCount": 0, "maximumCount": 0} if category == "Source" else counts,
                configurationProperties=[
                    {"name": "Queue", "required": True, "key": True, "secret": False, "queryable": True},
                    {"name": "Note", "required": False, "key": False, "secret": False}])

    def stop(self, *failure):
        place, self.place = self.place, None
        if place:
            if isinstance(self.cp, js.Client):
                self.cp.close()
                print(f"# answered: {' '.join(sorted(self.cp.answered))}", flush=True)
            code = self.emulator.stop()
            if not failure:
                check_legal(read_file(self.events))
            place.__exit__(*(failure or (None, None, None)))
            equal(code, 0, "exit code of the emulator")


SERVER = Server()


def told_of(tag, function):
    """The story of a function of a world with that tag."""
    @functools.wraps(function)
    def told():
        SERVER.start()
        w = World(tag)
        try:
            function(w)
        except BaseException as e:
            if not isinstance(e, tap.Skip):
                for line in SERVER.emulator.text().splitlines()[-15:]:
                    print(f"# emulator: {line}", flush=True)
            raise e
        finally:
            w.delete()
    return tap.story(told)


def statement(function):
    """Marks a story of one statement: H_<document>_<number>_<what it says>(w)."""
    document, number = function.__name__.split("_")[1:3]
    return told_of(f"{document}-{number}", function)


_tags = itertools.count(1)


def served(function):
    """Marks any other story about a pipeline of its own in the shared emulator."""
    return told_of(f"s{next(_tags)}", function)


def run():
    """The stories of this file; the emulator's own end is the last of them."""
    @tap.story
    def the_emulator_ends_as_it_should():
        SERVER.stop()

    if sys.argv[1:]:
        sys.argv.append("the_emulator_ends_as_it_should")
    tap.run()


def _pipeline_of(detail):
    return detail.get("pipeline") or detail["message"]["approval"]["pipelineName"]


class Job:
    """One that was acknowledged."""

    def __init__(self, cp, offer):
        self.cp, self.id, self.nonce, self.data = cp, offer["id"], offer["nonce"], offer["data"]
        self.execution = self.data["pipelineContext"]["pipelineExecutionId"]
        self.config = self.data["actionConfiguration"]["configuration"]

    def succeed(self, **result):
        self.cp.put_job_success_result(jobId=self.id, **result)
        return self.execution

    def fail(self, message="it broke", kind="JobFailed"):
        self.cp.put_job_failure_result(jobId=self.id, failureDetails={"type": kind, "message": message})
        return self.execution


class World:
    """One statement's pipeline, its operator and its workers."""

    def __init__(self, tag, server=None):
        server = server or SERVER
        self.tag, self.name = tag, f"h-{tag}"
        self.place, self.emulator, self.cp, self.s3 = server.place, server.emulator, server.cp, server.s3
        self.server = server
        self.categories, self.created, self.names = {}, set(), []

    @contextlib.contextmanager
    def apart(self, *options):
        """The same world in an emulator of its own, whose clock may be moved: (world, its admin interface)."""
        server = Server("--admin", *options)
        server.start()
        try:
            yield World(self.tag, server), Admin(server.emulator)
        except BaseException:
            server.stop(*sys.exc_info())
            raise
        server.stop()

    @property
    def aws(self):
        return Cli(self.place, self.emulator)

    # ---- declaring ----

    def action(self, text, category, inputs=(), outputs=(), **more):
        """'Name', or 'Name@2' with a runOrder; 'Name?' is an approval."""
        name, _, order = text.partition("@")
        more.setdefault("runOrder", int(order or 1))
        if name.endswith("?"):
            return dict({"name": name[:-1], "actionTypeId": type_id("Approval", "Manual", "AWS")}, **more)
        self.categories[name] = category
        configuration = dict({"Queue": self.queue(name)}, **more.pop("configuration", {}))
        return dict({"name": name, "actionTypeId": type_id(category), "configuration": configuration,
                     "inputArtifacts": [{"name": n} for n in inputs],
                     "outputArtifacts": [{"name": n} for n in outputs]}, **more)

    def queue(self, name):
        """Of an action of the pipeline of now: a statement may have several, one after another."""
        if self.name not in self.names:
            self.names.append(self.name)
        return f"{self.tag}{'abcdefghij'[self.names.index(self.name)]}-{name}"[:20]

    def stages(self, spec):
        """{'Source': ['Fetch'], ...} as the API's stages; an action may be a whole one already."""
        out = []
        for n, (stage, actions) in enumerate(spec.items()):
            category = "Source" if n == 0 else stage if stage in CATEGORIES else "Build"
            out.append({"name": stage, "actions": [
                a if isinstance(a, dict) else self.action(a, category) for a in actions]})
        return out

    def declaration(self, spec=None, mode="SUPERSEDED", **more):
        return dict({"name": self.name, "roleArn": ROLE, "artifactStore": STORE, "pipelineType": "V2",
                     "executionMode": mode, "stages": self.stages(spec or THREE)}, **more)

    def create(self, spec=None, mode="SUPERSEDED", **more):
        """Creates the pipeline; answers its first execution."""
        self.cp.create_pipeline(pipeline=self.declaration(spec, mode, **more))
        self.created.add(self.name)
        return self.newest()

    def delete(self):
        """Whatever it created: nothing of it is left to be worked on by others."""
        for name in self.created:
            self.cp.delete_pipeline(name=name)

    def update(self, spec=None, mode="SUPERSEDED", **more):
        return self.cp.update_pipeline(pipeline=self.declaration(spec, mode, **more))["pipeline"]

    # ---- operating ----

    def start(self, **more):
        return self.cp.start_pipeline_execution(name=self.name, **more)["pipelineExecutionId"]

    def stop(self, execution, abandon=None, **more):
        if abandon is not None:
            more["abandon"] = abandon
        return self.cp.stop_pipeline_execution(pipelineName=self.name, pipelineExecutionId=execution, **more)

    def stop_refused(self, code, execution, abandon=False):
        return raises(code, self.stop, execution, abandon)

    def retry(self, stage, execution, mode="FAILED_ACTIONS"):
        answer = self.cp.retry_stage_execution(pipelineName=self.name, stageName=stage, retryMode=mode,
                                               pipelineExecutionId=execution)
        equal(answer["pipelineExecutionId"], execution, "a retry keeps the execution's id")

    def retry_refused(self, code, stage, execution, mode="FAILED_ACTIONS"):
        return raises(code, self.retry, stage, execution, mode)

    def disable(self, stage, reason="freeze"):
        self.cp.disable_stage_transition(pipelineName=self.name, stageName=stage, transitionType="Inbound",
                                         reason=reason)

    def enable(self, stage):
        self.cp.enable_stage_transition(pipelineName=self.name, stageName=stage, transitionType="Inbound")

    def token(self, stage, action="Ask"):
        return self.latest(stage, action).get("token")

    def answer(self, stage, status, token=None, action="Ask", summary="seen"):
        return self.cp.put_approval_result(pipelineName=self.name, stageName=stage, actionName=action,
                                           token=token or self.token(stage, action),
                                           result={"summary": summary, "status": status})

    # ---- working ----

    def offered(self, name, most=1):
        """What a poll for that action's jobs is given."""
        return self.cp.poll_for_jobs(actionTypeId=type_id(self.categories[name]), maxBatchSize=most,
                                     queryParam={"Queue": self.queue(name)})["jobs"]

    def take(self, name):
        """The job of that action, acknowledged; it must be there already."""
        jobs = self.offered(name)
        check(jobs, f"a job for {name} of {self.name}")
        job = Job(self.cp, jobs[0])
        equal(self.cp.acknowledge_job(jobId=job.id, nonce=job.nonce)["status"], "InProgress", "acknowledgement")
        return job

    def take_offered(self, category, provider):
        """The job of one of AWS's own actions, which a worker stands in for; acknowledged."""
        jobs = wait_for(lambda: self.cp.poll_for_jobs(actionTypeId=type_id(category, provider))["jobs"],
                        what=f"a job for {provider}")
        equal(jobs[0]["data"]["pipelineContext"]["pipelineName"], self.name, "whose job it is")
        self.cp.acknowledge_job(jobId=jobs[0]["id"], nonce=jobs[0]["nonce"])
        return Job(self.cp, jobs[0])

    def s3_of(self, job):
        """S3 with the job's own credentials."""
        keys = job.data["artifactCredentials"]
        return self.emulator.client("s3", keys["accessKeyId"], keys["secretAccessKey"], keys["sessionToken"])

    def input_of(self, job):
        """The bytes of its first input."""
        return self.s3_of(job).get_object(**where(job.data["inputArtifacts"][0]))["Body"].read()

    def idle(self, *names):
        """None of these actions has work for anybody."""
        for name in names:
            equal(self.offered(name), [], f"jobs for {name}")

    def done(self, *names):
        """Takes and finishes each; the execution of the last."""
        for name in names:
            execution = self.take(name).succeed()
        return execution

    def fail(self, name, **more):
        return self.take(name).fail(**more)

    # ---- looking ----

    def newest(self):
        return self.cp.list_pipeline_executions(pipelineName=self.name, maxResults=1)[
            "pipelineExecutionSummaries"][0]["pipelineExecutionId"]

    def execution(self, execution):
        return self.cp.get_pipeline_execution(pipelineName=self.name, pipelineExecutionId=execution)["pipelineExecution"]

    def status(self, execution):
        return self.execution(execution)["status"]

    def statuses(self, *executions):
        return [self.status(e) for e in executions]

    def summaries(self):
        """ListPipelineExecutions by execution id."""
        return {e["pipelineExecutionId"]: e for e in
                self.cp.list_pipeline_executions(pipelineName=self.name)["pipelineExecutionSummaries"]}

    def state(self, stage):
        return {s["stageName"]: s for s in self.cp.get_pipeline_state(name=self.name)["stageStates"]}[stage]

    def stage(self, stage):
        """(execution, status) of who is in the stage or was last; (None, None) when it never ran."""
        latest = self.state(stage).get("latestExecution", {})
        return latest.get("pipelineExecutionId"), latest.get("status")

    def latest(self, stage, action):
        """The action's latest execution as GetPipelineState shows it; {} when there is none."""
        for a in self.state(stage)["actionStates"]:
            if a["actionName"] == action:
                return a.get("latestExecution", {})
        raise AssertionError(f"no action {action} in stage {stage}")

    def waiting(self, stage):
        """Who waits in front of the stage."""
        return [e["pipelineExecutionId"] for e in self.state(stage).get("inboundExecutions", [])]

    def actions(self, execution=None, **more):
        """The history of actions, oldest first."""
        filtered = {"filter": {"pipelineExecutionId": execution}} if execution else {}
        found = self.cp.list_action_executions(pipelineName=self.name, **filtered, **more)["actionExecutionDetails"]
        return found[::-1]

    def ran(self, execution):
        """[(action, status)] of an execution, oldest first."""
        return [(a["actionName"], a["status"]) for a in self.actions(execution)]

    # ---- what the emulator does itself takes a moment ----

    def told(self, last=None, execution=None, count=1):
        """The events of this pipeline (of an execution), short; waits until `last` is among them so often."""
        def look():
            events = [e for e in once(read_file(self.server.events)) if self.name == _pipeline_of(e["detail"])
                      and execution in (None, e["detail"].get("execution-id"))]
            return last is None or short(events).count(last) >= count and events

        return wait_for(look, what=f"the event {last} of {self.name}")

    def until(self, execution, status, seconds=30):
        def over():
            return self.status(execution) in (status, *OVER)

        wait_for(over, seconds, f"{self.name} to be {status}")
        equal(self.status(execution), status, f"the execution of {self.name}")

    def until_in(self, stage, execution):
        wait_for(lambda: self.stage(stage)[0] == execution, what=f"the execution to be in {stage} of {self.name}")
