"""What the emulator takes in a second, and how often disk and agent are synced."""
import json
import os
import re
import subprocess
import time

from mh.programs import AGENT, KEY, SECRET, client, free_port, wait_for

from measure.machine import child_of, pinned
from measure.scene import DEADLINE_S, TOOLS, Http
from measure.table import Row, Series

ACTIONS = 50  # in the first stage of each pipeline: as many as a stage may have
CONNECTIONS = 32
SOURCE = {"category": "Source", "owner": "Custom", "provider": "Bench", "version": "1"}


class Server:
    """A running emulator with keys, and what is done to it."""

    def __init__(self, scene, name, cpu=None, before=()):
        self.scene, self.port = scene, free_port()
        self.data = scene.path(name)
        self.argv = scene.emulator_argv(self.data, self.port)
        self.program = scene.start(name, list(before) + self.argv, cpu=cpu)
        self.pipelines = 0
        wait_for(self.answers, DEADLINE_S, "the emulator to answer")
        self.cp = client(scene, "codepipeline", f"http://127.0.0.1:{self.port}")

    def answers(self):
        if not self.program.alive():
            raise RuntimeError(f"the emulator ended: {self.program.text()[-800:]}")
        try:
            Http(self.port).call("GET", "/_millhand/health")
            return True
        except OSError:
            return False

    def declare(self):
        self.cp.create_custom_action_type(
            category="Source", provider="Bench", version="1",
            inputArtifactDetails={"minimumCount": 0, "maximumCount": 0},
            outputArtifactDetails={"minimumCount": 0, "maximumCount": 1})

    def create_pipeline(self):
        self.pipelines += 1
        name = f"bench-{self.pipelines}"
        approval = {"category": "Approval", "owner": "AWS", "provider": "Manual", "version": "1"}
        actions = [{"name": f"A{i}", "actionTypeId": SOURCE, "outputArtifacts": [{"name": f"Out{i}"}]}
                   for i in range(ACTIONS)]
        self.cp.create_pipeline(pipeline={
            "name": name, "roleArn": "arn:aws:iam::000000000000:role/bench", "version": 1,
            "artifactStore": {"type": "S3", "location": "bench-artifacts"},
            "stages": [{"name": "Source", "actions": actions},
                       {"name": "Wait", "actions": [{"name": "Ask", "actionTypeId": approval}]}]})

    def jobs(self, count):
        """So many jobs that were handed out and wait to be acknowledged: (id, nonce)."""
        got = []
        for _ in range((count + ACTIONS - 1) // ACTIONS):
            self.create_pipeline()
        while len(got) < count:
            jobs = self.cp.poll_for_jobs(actionTypeId=SOURCE, maxBatchSize=100)["jobs"]
            if not jobs:
                raise RuntimeError(f"only {len(got)} jobs of {count}")
            got += [(job["id"], job["nonce"]) for job in jobs]
        return got[:count]

    def load(self, requests, cpu=None):
        """Sends (operation, body) over 32 connections; what the generator tells."""
        path = self.scene.path("requests")
        with open(path, "w") as f:
            f.writelines(f"{operation}\t{json.dumps(body)}\n" for operation, body in requests)
        argv = [os.path.join(TOOLS, "load"), str(self.port), str(CONNECTIONS), KEY, SECRET, path]
        told = {}

        def run():
            done = subprocess.run(pinned(cpu, argv), capture_output=True, text=True, timeout=DEADLINE_S)
            if done.returncode != 0:
                raise RuntimeError(done.stderr)
            told.update(json.loads(done.stdout))

        cost = self.program.cost_of(run)
        return dict(told, server_ns=cost["cpu_ns"])

    def stop(self):
        self.program.stop()

    def stop_traced(self):
        self.program.stop(child_of(self.program.pid))


def acknowledgements(jobs):
    return [("AcknowledgeJob", {"jobId": job, "nonce": nonce}) for job, nonce in jobs]


def _throughput(scene, plan, what, cpu):
    told = []
    for i in range(plan.rounds):
        server = Server(scene, f"load-{what}-{i}", cpu=cpu)
        server.declare()
        jobs = server.jobs(plan.n(12000) + 500)
        server.load(acknowledgements(jobs[:500]), cpu)  # warm
        plan.noise.wait()
        told.append(server.load(acknowledgements(jobs[500:]), cpu))
        server.stop()
    return told


def emulator(scene, plan):
    """Durable, signed, validated requests a second; and how soon the server answers."""
    rows = []
    for what, cpu, limit in (("all CPUs", None, (">=", 20000, "value")),
                             ("server and load on one CPU", scene.cpu, None)):
        told = _throughput(scene, plan, what.replace(" ", "-"), cpu)
        rate = [t["requests"] / t["wall_ns"] * 1e9 for t in told]
        rows.append(Row(f"emulator: AcknowledgeJob, {CONNECTIONS} connections",
                        Series(what, "req/s", rate, limit=limit),
                        Series("  p50", "ms", [t["p50_us"] / 1000 for t in told]),
                        Series("  p99", "ms", [t["p99_us"] / 1000 for t in told],
                               limit=limit and ("<=", 10, "value")),
                        Series("  server", "us CPU", [t["server_ns"] / t["requests"] / 1000 for t in told])))
    return rows + [_start(scene, plan)]


def _time_to_answer(scene, name, data, port):
    begun = time.monotonic_ns()
    program = scene.start(name, scene.emulator_argv(data, port))
    while True:
        try:
            Http(port).call("GET", "/_millhand/health")
            break
        except OSError:
            if not program.alive():
                raise RuntimeError(program.text()[-800:]) from None
            time.sleep(0.0005)
    took = (time.monotonic_ns() - begun) / 1e6
    program.stop()
    return took


def _start(scene, plan):
    fresh, again = [], []
    for i in range(plan.rounds * 2):
        data, port = scene.path(f"start-{i}"), free_port()
        for times in (fresh, again):
            plan.noise.wait()
            times.append(_time_to_answer(scene, "start", data, port))
    return Row("emulator: start to first answer",
               Series("new data directory", "ms", fresh, limit=("<=", 50, "value")),
               Series("with data", "ms", again, limit=("<=", 50, "value")))


# ---- syncs ----

SYNC_CALLS = "fsync,fdatasync,sync_file_range,syncfs,sync,msync"


class Syncs:
    """Counts the barriers of a program and its children with strace."""

    def __init__(self, path):
        self.path = path

    def before(self):
        return ["strace", "-f", "--seccomp-bpf", "-qq", "-e", f"trace={SYNC_CALLS}", "-o", self.path]

    def count(self):
        with open(self.path) as f:
            return sum(bool(re.search(r"\b\w*sync\w*\(", line)) for line in f)

    def during(self, work):
        before = self.count()
        work()
        return self.count() - before


def _agent_syncs(scene, plan, slots, jobs):
    stub = scene.stub()
    syncs = Syncs(scene.path(f"agent-{slots}.strace"))
    conf = scene.conf(stub.endpoint, name=f"synced{slots}", max_jobs=slots)
    agent = scene.start(f"synced{slots}", syncs.before() + [AGENT, "-c", conf])
    stub.wait_for(lambda c: c["polls"] > 0, agent)
    stub.work_off(10, False, agent)
    n = syncs.during(lambda: stub.work_off(jobs, False, agent))
    agent.stop(child_of(agent.pid))
    return n / jobs


def fsyncs(scene, plan):
    """Barriers (fsync and its like) for each job: what a slower disk multiplies."""
    jobs = plan.n(100)
    agent = [Series(f"agent, {slots} at a time", "per job", [_agent_syncs(scene, plan, slots, jobs)],
                    limit=limit)
             for slots, limit in ((1, ("<=", 3, "value")), (8, ("<=", 1, "value")))]
    syncs = Syncs(scene.path("emulator.strace"))
    server = Server(scene, "synced-emulator", before=syncs.before())
    server.declare()
    serial, loaded = server.jobs(jobs), server.jobs(1000)

    def one_by_one():
        for job, nonce in serial:
            server.cp.acknowledge_job(jobId=job, nonce=nonce)
            server.cp.put_job_success_result(jobId=job)

    one = syncs.during(one_by_one)
    many = syncs.during(lambda: server.load(acknowledgements(loaded)))
    server.stop_traced()
    return [Row("barriers (fsync and its like)", *agent,
                Series("emulator, acknowledge and report", "per job", [one / jobs]),
                Series(f"emulator, {CONNECTIONS} connections", "per request", [many / len(loaded)]))]


ROWS = {"emulator": emulator, "fsyncs": fsyncs}
