#!/usr/bin/python3
"""What must be durable before what: kill -9 cannot show a sync that is missing, so the calls are recorded.

Agent, shim and emulator run with tests/fixtures/barriers.c preloaded. For each effect that left a process, the
disk is made up as a power failure at that moment would leave it, and must hold what was promised.
"""
import hashlib
import json
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh.barriers import Trace, rows  # noqa: E402
from mh.programs import EMULATOR, JOB, Place, wait_for  # noqa: E402
from mh.stub import Stub  # noqa: E402
from mh.tap import check, equal, run, skip, story  # noqa: E402
from mh.worker import FAST, Marks, action, finished, zip_of  # noqa: E402

ROLE = "arn:aws:iam::000000000000:role/pipeline"
WORK = 'echo out > "$MILLHAND_OUTPUT_OUT/f"'


class Unsynced(AssertionError):
    pass


def need(condition, what):
    if not condition:
        raise Unsynced(what)


# ---- the agent ----

# request or spawn: states of its job of which one must be durable in the ledger before it
BEFORE = {
    "AcknowledgeJob": {"acking", "in_doubt"}, "GetJobDetails": {"owned", "fetching", "storing"},
    "GET": {"fetching"}, "spawn": {"started"}, "PUT": {"storing"},
    "PutJobSuccessResult": {"reporting"}, "PutJobFailureResult": {"reporting"},
}
WITH_OUTCOME = {"PUT", "PutJobSuccessResult", "PutJobFailureResult"}


def effects_of_agent(trace, pid):
    """[(record number, name)] of all that left the agent for its job."""
    found = [(at, "spawn") for at, _ in trace.all("spawn", pid)]
    found += [(at, "spawn") for at, r in trace.all("send", pid) if r.data == b"j"]  # asks the zygote to fork
    for at, record in trace.all("send", pid):
        target = re.search(rb"X-Amz-Target: CodePipeline_20150709\.(\w+)", record.data)
        method = re.match(rb"(GET|PUT) /bucket/", record.data)
        if target or method:
            found.append((at, (target or method).group(1).decode()))
    return sorted(found)


def check_agent(trace, pid, state_dir):
    """Holds every effect against the ledger; answers the names of the effects."""
    seen = set()
    for at, name in effects_of_agent(trace, pid):
        seen.add(name)
        if name not in BEFORE:
            continue
        with trace.disk(at, state_dir) as image:
            found = rows(image, "ledger.db", "SELECT state, outcome, nonce, boot_id FROM jobs")
            if name == "spawn" and not found:
                continue  # asking plugins what they are, before any job
            need(len(found) == 1 and found[0][0] in BEFORE[name], f"before {name} the ledger holds {found}")
            need(name not in WITH_OUTCOME or json.loads(found[0][1]), f"before {name} the outcome")
            need(name != "AcknowledgeJob" or found[0][2] == "1", f"before {name} the nonce")
            need(name != "spawn" or found[0][3], f"before {name} the boot")
    return seen


def run_agent(place, stub, command, **job):
    trace = Trace(place)
    conf = place.agent_conf(stub.endpoint, [action(place, command)], **FAST)
    job = stub.job(**job)
    agent = place.agent(conf, env=trace.env)
    wait_for(lambda: job.result, what="a result")
    equal(agent.stop(), 0, "the agent's end")
    return trace, agent.process.pid, place.path("agent", "state")


@story
def before_each_request_and_each_start_the_ledger_is_durable():
    with Place() as place, Stub() as stub:
        trace, pid, state = run_agent(place, stub, WORK, inputs={"Src": zip_of({"f": b"x"})}, outputs=["Out"])
        seen = check_agent(trace.read(), pid, state)
        equal({"AcknowledgeJob", "GET", "spawn", "PUT", "PutJobSuccessResult"} - seen, set(), "effects that were seen")


@story
def before_a_failure_and_before_a_continuation_is_reported_the_ledger_is_durable():
    for command in ("exit 3", "echo '{\"continuation\":{\"token\":\"t\",\"delay_s\":1}}' > \"$MILLHAND_RESULT\""):
        with Place() as place, Stub() as stub:
            trace, pid, state = run_agent(place, stub, command)
            check({"PutJobSuccessResult", "PutJobFailureResult"} & check_agent(trace.read(), pid, state), "a report was seen")


@story
def a_ledger_that_is_not_synced_is_noticed_at_each_effect():
    with Place() as place, Stub() as stub:
        trace, pid, state = run_agent(place, stub, WORK, inputs={"Src": zip_of({"f": b"x"})}, outputs=["Out"])
        syncs = [r.rest[2] for _, r in trace.read().all("sync", pid) if r.path.endswith("ledger.db-wal")]
        check(len(syncs) >= 5, f"commits: {len(syncs)}")
        for left_out in syncs[:-1]:  # the last one belongs to the end
            later = set(syncs[syncs.index(left_out):])
            try:
                check_agent(trace.read(lambda r: r.rest[2] in later), pid, state)
            except Unsynced:
                continue
            raise AssertionError("the checker does not see that commits are not durable")


# ---- the shim ----

def preloaded_job(place, trace):
    """libexec with a millhand-job that is recorded: an agent hands no environment on to it."""
    folder = place.libexec()
    path = os.path.join(folder, "millhand-job")
    os.unlink(path)
    with open(path, "w") as f:
        f.write("#!/bin/sh\n" + "".join(f"export {k}='{v}'\n" for k, v in trace.env.items()) + f'exec {JOB} "$@"\n')
    os.chmod(path, 0o755)


def without_an_agent(place, stub):
    """A job whose agent is killed while it runs; answers the trace and the shim's pid."""
    trace, marks = Trace(place), Marks(place)
    preloaded_job(place, trace)
    conf = place.agent_conf(stub.endpoint, [action(place, f"{marks.command()}; read go < {marks.path}.go; {WORK}")], **FAST)
    job = stub.job(outputs=["Out"])
    first = place.agent(conf, name="first")
    marks.wait()
    pid = int(re.search(r"job\.started .* pid=(\d+)", first.text()).group(1))
    first.kill()
    marks.go()
    wait_for(lambda: trace.read().all("end", pid), what="the shim's end")
    place.agent(conf, name="second")
    finished(job, "success")
    return trace, pid, place.path("agent", "state")


def check_shim(trace, pid, state):
    """result.json is durable when the shim ends, and never before the archives that it names."""
    at = trace.all("end", pid)[0][0]
    with trace.disk(at, os.path.join(state, "jobs")) as image:
        path = os.path.join(image, "1", "result.json")
        need(os.path.exists(path), "result.json at the shim's end")
        with open(path) as f:
            result = json.load(f)
        equal(result["outcome"], "success", "result.json")
    renamed = [i for i, r in trace.all("rename", pid) if r.path.endswith("/result.json")]
    equal(len(renamed), 1, "result.json is written once")
    with trace.disk(renamed[0], os.path.join(state, "jobs", "1", "store")) as image:
        for output in result["outputs"]:
            path = os.path.join(image, os.path.basename(output["file"]))
            need(os.path.exists(path), f"{output['file']} before result.json")
            with open(path, "rb") as f:
                equal(hashlib.sha256(f.read()).hexdigest(), output["sha256"], "the archive's bytes")


@story
def a_result_that_no_agent_waits_for_is_durable_when_the_shim_ends_and_so_are_its_archives():
    with Place() as place, Stub() as stub:
        trace, pid, state = without_an_agent(place, stub)
        check_shim(trace.read(), pid, state)
        for part in (r"/result\.json\..*", "/store/0", "/store", "/jobs/1", "/jobs"):
            try:
                check_shim(trace.read(lambda r: re.search(part + "$", r.path)), pid, state)
            except Unsynced:
                continue
            raise AssertionError(f"the checker does not see that {part} is not synced")


# ---- the emulator ----

class Served:
    """An emulator that is recorded, and which of its answers belongs to which call."""

    def __init__(self, place):
        if not os.path.exists(EMULATOR):
            skip("built without the emulator")
        self.trace = Trace(place)
        self.emulator = place.emulator(env=self.trace.env)
        self.pid = self.emulator.process.pid
        self.cp, self.s3 = self.emulator.client("codepipeline"), self.emulator.client("s3")
        self.facts = []  # (number of the answer's record, what, sql, values)

    def call(self, what, operation, sql, *values, **arguments):
        """Makes the call; sql must find a row on the disk as it was before its answer left."""
        answer = operation(**arguments)
        at = self.trace.read().all("send", self.pid, b"HTTP/1.1 20")[-1][0]
        self.facts.append((at, what, sql, values))
        return answer


def drive(served):
    cp, s3 = served.cp, served.s3
    make = {"category": "Build", "owner": "Custom", "provider": "Make", "version": "1"}
    served.call("CreateBucket", s3.create_bucket, "SELECT 1 FROM s3_bucket WHERE name = 'barriers'", Bucket="barriers")
    for size in (10, 300000):  # the second replaces the first
        body = os.urandom(size)
        served.call("PutObject", s3.put_object, "SELECT 1 FROM s3_object WHERE etag = ?", hashlib.md5(body).hexdigest(),
                    Bucket="barriers", Key="source.zip", Body=body)
    served.call("CreateCustomActionType", cp.create_custom_action_type, "SELECT 1 FROM action_types", category="Build",
                provider="Make", version="1", inputArtifactDetails={"minimumCount": 1, "maximumCount": 1},
                outputArtifactDetails={"minimumCount": 0, "maximumCount": 0})
    source = {"name": "S", "outputArtifacts": [{"name": "Src"}],
              "actionTypeId": {"category": "Source", "owner": "AWS", "provider": "S3", "version": "1"},
              "configuration": {"S3Bucket": "barriers", "S3ObjectKey": "source.zip", "PollForSourceChanges": "false"}}
    build = {"name": "B", "inputArtifacts": [{"name": "Src"}], "actionTypeId": make}
    served.call("CreatePipeline", cp.create_pipeline, "SELECT 1 FROM pipelines", pipeline={
        "name": "p", "roleArn": ROLE, "artifactStore": {"type": "S3", "location": "barriers"},
        "stages": [{"name": "Source", "actions": [source]}, {"name": "Work", "actions": [build]}]})
    for kind in ("success", "failure"):
        job = wait_for(lambda: served.cp.poll_for_jobs(actionTypeId=make)["jobs"], what="a job")[0]
        state = "SELECT 1 FROM jobs WHERE id = ? AND state = ?"
        served.call("AcknowledgeJob", cp.acknowledge_job, state, job["id"], "InProgress", jobId=job["id"], nonce=job["nonce"])
        if kind == "success":
            served.call("PutJobSuccessResult", cp.put_job_success_result, state, job["id"], "Succeeded", jobId=job["id"])
            served.call("StartPipelineExecution", cp.start_pipeline_execution, "SELECT 1 FROM executions WHERE seq = 2", name="p")
        else:
            served.call("PutJobFailureResult", cp.put_job_failure_result, state, job["id"], "Failed", jobId=job["id"],
                        failureDetails={"type": "JobFailed", "message": "no"})
    served.call("DeleteObject", s3.delete_object, "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM s3_object WHERE key = 'source.zip')",
                Bucket="barriers", Key="source.zip")


def named_objects(image):
    return rows(image, "emulator.db", "SELECT file_id, size, etag FROM s3_object")


def check_answers(served):
    for at, what, sql, values in served.facts:
        with served.trace.disk(at, served.emulator.data_dir) as image:
            need(rows(image, "emulator.db", sql, *values), f"{what} is answered, and not durable")
            need(os.path.exists(os.path.join(image, "creds.key")), f"{what}: the key of the data directory")


def check_objects(served):
    """A commit may reach the disk from its first write on: its objects are durable by then, and stay until it is."""
    trace, top = served.trace, served.emulator.data_dir
    log = os.path.join(os.path.realpath(top), "emulator.db-wal")
    first, checked = None, 0
    for at, record in enumerate(trace.records):
        if record.kind == "write" and record.path == log and first is None:
            first = at
        elif record.kind == "sync" and record.path == log and first is not None:
            with trace.disk(at + 1, top) as after:
                names = named_objects(after)
            with trace.disk(first, top) as before:
                for file, size, _ in names:
                    path = os.path.join(before, "objects", file[:2], file)
                    need(os.path.exists(path) and os.path.getsize(path) == size, f"object file {file} before its row")
                    checked += 1
            first = None
        elif record.kind == "remove" and re.search(r"/objects/[0-9a-f]{2}/", record.path):
            with trace.disk(at, top) as image:
                need(os.path.basename(record.path) not in {n[0] for n in named_objects(image)},
                     "a file is removed while a durable row names it")
                checked += 1
    check(checked >= 4, f"objects were seen: {checked}")


@story
def every_answer_of_the_emulator_is_durable_and_every_object_before_its_row():
    with Place() as place:
        served = Served(place)
        drive(served)
        served.trace.read()
        check_answers(served)
        check_objects(served)


@story
def an_emulator_that_does_not_sync_is_noticed():
    with Place() as place:
        served = Served(place)
        drive(served)
        for part, checker in (("emulator.db-wal", check_answers), ("creds.key", check_answers), ("/objects/", check_objects)):
            served.trace.read(lambda r: part in r.path)
            try:
                checker(served)
            except Unsynced:
                continue
            raise AssertionError(f"the checker does not see that {part} is not synced")


run()
