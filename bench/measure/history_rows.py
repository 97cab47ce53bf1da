"""Whether the emulator slows down with what it has done before, and how it does beside moto."""
import concurrent.futures
import http.client
import json
import os
import shutil
import subprocess
import time

from mh.programs import client, free_port, wait_for

from measure.emulator_rows import SOURCE, Server
from measure.machine import pinned, status
from measure.scene import DEADLINE_S, TOOLS, Http
from measure.table import Row, Series

PIPELINES, EXECUTIONS, UNDER_WAY = 10_000, 10, 1000
FEW = (100, 1, 10)
REQUESTS = 4000
FILL_S = 600


def _fill(scene, name, pipelines, executions, under_way):
    path = scene.path(name)
    done = subprocess.run(pinned(None, [os.path.join(TOOLS, "history"), path, str(pipelines), str(executions),
                                        str(under_way)]), capture_output=True, text=True, timeout=FILL_S)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    return path


class Filled(Server):
    """An emulator over a data directory that is there; how long it took to answer."""

    def __init__(self, scene, name):
        begun = time.monotonic_ns()
        super().__init__(scene, name)
        self.start_ms = (time.monotonic_ns() - begun) / 1e6

    def rate(self, operation, bodies):
        return self.load([(operation, body) for body in bodies])


def _names(count, of):
    """So many pipelines, spread over all."""
    return [{"name": f"p-{n * 7919 % of * (count // of):06}"} for n in range(REQUESTS)]


POLL = [{"actionTypeId": SOURCE}] * REQUESTS


def history(scene, plan):
    """10 000 pipelines with 100 000 past executions and 1 000 under way, against 100 pipelines with 100."""
    many = (max(1000, plan.n(PIPELINES)), EXECUTIONS, max(100, plan.n(UNDER_WAY)))
    for name, numbers in (("few", FEW), ("many", many)):
        _fill(scene, name, *numbers)
    got = {(name, what): [] for name in ("few", "many") for what in ("start", "state", "all", "poll", "rss")}
    for _ in range(plan.rounds):
        for name, numbers in (("few", FEW), ("many", many)):
            plan.noise.wait()
            server = Filled(scene, name)
            got[name, "start"].append(server.start_ms)
            server.rate("GetPipelineState", _names(numbers[0], 100)[:REQUESTS // 4])  # warm
            for what, operation, bodies in (("state", "GetPipelineState", _names(numbers[0], 100)),
                                            ("all", "GetPipelineState", _names(numbers[0], numbers[0])),
                                            ("poll", "PollForJobs", POLL)):
                got[name, what].append(server.rate(operation, bodies)["server_ns"] / REQUESTS / 1000)
            got[name, "rss"].append(status(server.program.pid)["rss_kb"] / 1024)
            server.stop()
    rows = []
    for what, title in (("state", "GetPipelineState of 100 pipelines"), ("poll", "PollForJobs, nothing there")):
        few = Series("  the same with little history", "us CPU", got["few", what])
        rows += [Series(title, "us CPU", got["many", what], base=few, limit=("<=", 1.25, "ratio")), few]
    rows.insert(2, Series("  of all pipelines in turn", "us CPU", got["many", "all"]))
    return [Row(f"emulator: {many[0]} pipelines, {many[0] * many[1]} past executions, {many[2]} under way",
                Series("start to first answer", "ms", got["many", "start"], limit=("<=", 1000, "value")),
                Series("resident memory after it all", "MB", got["many", "rss"], limit=("<=", 64, "value")), *rows)]


# ---- moto ----

LISTED = 20


def _list_request():
    return ("POST", "/", "{}", {"Content-Type": "application/x-amz-json-1.1",
                                "X-Amz-Target": "CodePipeline_20150709.ListPipelines",
                                "Authorization": "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260101/us-east-1/codepipeline/"
                                                 "aws4_request, SignedHeaders=host, Signature=" + "0" * 64})


def _ask_moto(port, count):
    for _ in range(count):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request(*_list_request())
        answer = connection.getresponse()
        if answer.status != 200 or len(json.loads(answer.read())["pipelines"]) != LISTED:
            raise RuntimeError(f"moto answered {answer.status}")
        connection.close()


def _moto_rate(scene, plan):
    """ListPipelines a second of moto's server, by four clients; None where there is no moto."""
    program, port = shutil.which("moto_server"), free_port()
    if not program:
        return None
    server = scene.start("moto", [program, "-H", "127.0.0.1", "-p", str(port)], cpu=None)

    def answers():
        if not server.alive():
            raise RuntimeError(server.text()[-500:])
        try:
            Http(port).call("GET", "/moto-api/data.json")
            return True
        except OSError:
            return False

    wait_for(answers, DEADLINE_S, "moto to answer")
    iam = client(scene, "iam", f"http://127.0.0.1:{port}")
    trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole",
                                                     "Principal": {"Service": "codepipeline.amazonaws.com"}}]}
    role = iam.create_role(RoleName="bench", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    _create(client(scene, "codepipeline", f"http://127.0.0.1:{port}"), role)
    count = max(20, plan.n(400) // 4)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: _ask_moto(port, 5), range(4)))  # warm
        begun = time.monotonic()
        list(pool.map(lambda _: _ask_moto(port, count), range(4)))
        took = time.monotonic() - begun
    server.stop()
    return 4 * count / took


def _create(cp, role):
    for n in range(LISTED):
        stages = [{"name": name, "actions": [{
            "name": "A", "actionTypeId": {"category": category, "owner": "AWS", "provider": provider, "version": "1"},
            "configuration": configuration, **artifacts}]} for name, category, provider, configuration, artifacts in (
                ("Source", "Source", "S3", {"S3Bucket": "b", "S3ObjectKey": "k", "PollForSourceChanges": "false"},
                 {"outputArtifacts": [{"name": "Src"}]}),
                ("Wait", "Approval", "Manual", {}, {}))]
        cp.create_pipeline(pipeline={"name": f"listed-{n}", "roleArn": role, "version": 1, "stages": stages,
                                     "artifactStore": {"type": "S3", "location": "bench-artifacts"}})


def moto(scene, plan):
    """ListPipelines a second, against moto's server; needs moto_server."""
    theirs, ours = [], []
    for i in range(plan.rounds):
        plan.noise.wait()
        rate = _moto_rate(scene, plan)
        if rate is None:
            print("bench: no moto_server here: the row has no peer", flush=True)
        else:
            theirs.append(rate)
        server = Server(scene, f"listing-{i}")
        _create(server.cp, "arn:aws:iam::000000000000:role/bench")
        server.load([("ListPipelines", {})] * 500)
        told = server.load([("ListPipelines", {})] * plan.n(10_000))
        ours.append(told["requests"] / told["wall_ns"] * 1e9)
        server.stop()
    peer = Series("moto", "req/s", theirs) if theirs else None
    return [Row(f"ListPipelines of {LISTED} pipelines",
                Series("emulator, 32 connections", "req/s", ours, base=peer, limit=(">=", 40, "ratio") if peer else None),
                *([peer] if peer else []))]


ROWS = {"history": history, "moto": moto}
