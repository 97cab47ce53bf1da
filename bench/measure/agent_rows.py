"""What the agent costs, beside what others cost for the same."""
import io
import os
import random
import time
import zipfile

from mh.programs import AGENT

from measure.machine import status
from measure.table import Row, Series

QUIET_S = 5


# ---- idle ----

def idle(scene, plan):
    """Memory, threads and wakeups of an agent that waits for its next poll."""
    stub = scene.stub()
    found = []
    for i in range(plan.rounds):
        plan.noise.wait()
        stub.reset(0)
        conf = scene.conf(stub.endpoint, name=f"idle{i}", poll_interval_min="1h", poll_interval_max="1h")
        agent = scene.start(f"idle{i}", [AGENT, "-c", conf])
        stub.wait_for(lambda c: c["polls"] > 0, agent)
        time.sleep(0.5)  # the answer was read
        before = status(agent.pid)
        time.sleep(QUIET_S)
        after = status(agent.pid)
        found.append(dict(after, wakeups=after["switches"] - before["switches"]))
        agent.stop()
    column = lambda key, by=1: [f[key] / by for f in found]  # noqa: E731
    return [Row("idle agent, after its first poll",
                Series("resident memory", "MB", column("rss_kb", 1024), limit=("<=", 12, "value")),
                Series("  its share (PSS)", "MB", column("pss_kb", 1024)),
                Series("  of it private", "MB", column("anon_kb", 1024)),
                Series("threads", "", column("threads"), limit=("<=", 3, "value")),
                Series(f"wakeups in {QUIET_S} s between polls", "", column("wakeups"), limit=("<=", 0, "value")))]


def first_poll(scene, plan):
    """From the start of the process to its first poll at the endpoint."""
    stub = scene.stub()
    fresh, again = [], []
    for i in range(plan.rounds * 2):
        conf = scene.conf(stub.endpoint, name=f"start{i}")
        for times in (fresh, again):
            plan.noise.wait()
            stub.reset(0)
            begun = time.monotonic_ns()
            agent = scene.start("start", [AGENT, "-c", conf])
            stub.wait_for(lambda c: c["polls"] > 0, agent)
            times.append((stub.stats()["first_poll_ns"] - begun) / 1e6)
            agent.stop()
    return [Row("start to first poll",
                Series("agent, new state directory", "ms", fresh, limit=("<=", 50, "value")),
                Series("agent, started before", "ms", again, limit=("<=", 50, "value")))]


# ---- protocol ----

def _us(costs, key="cpu_ns"):
    return [c[key] / c["jobs"] / 1000 for c in costs]


def _contest(plan, contenders):
    """Each contender once a round, one after the other; {name: its costs}."""
    costs = {name: [] for name in contenders}
    for _ in range(plan.rounds):
        for name, run in contenders.items():
            plan.noise.wait()
            costs[name].append(run())
    return costs


def empty_poll(scene, plan):
    """An empty poll, from waking up to sleeping again."""
    stub = scene.stub()

    def of_agent():
        conf = scene.conf(stub.endpoint, name="empty", poll_interval_min="10ms", poll_interval_max="10ms")
        stub.reset(0)
        agent = scene.start("empty", [AGENT, "-c", conf])
        stub.wait_for(lambda c: c["polls"] >= 20, agent)
        polls = stub.stats()["polls"]
        cost = agent.cost_of(lambda: stub.wait_for(lambda c: c["polls"] >= polls + plan.n(100), agent))
        cost["jobs"] = stub.stats()["polls"] - polls
        agent.stop()
        return cost

    costs = _contest(plan, {
        "raw": lambda: scene.raw_worker(stub, 0, 50, plan.n(2000)),
        "protocol": lambda: scene.protocol_worker(stub, 0, 50, plan.n(2000)),
        "agent": of_agent,
        "boto3": lambda: scene.boto_worker("protocol", stub, 0, 20, plan.n(200)),
    })
    raw = Series("raw libcurl", "us CPU", _us(costs["raw"]))
    return [Row("empty poll", raw,
                Series("agent's protocol code", "us CPU", _us(costs["protocol"]), raw),
                Series("agent (a poll each 10 ms)", "us CPU", _us(costs["agent"]), raw),
                Series("boto3", "us CPU", _us(costs["boto3"]), raw))]


def _protocol_row(scene, plan, stub, batch, most):
    # Jobs that the agent refuses by itself: no directory, no process, a failure reported.
    refusing = {"inputs": [1, 1]}
    costs = _contest(plan, {
        "raw": lambda: scene.raw_worker(stub, batch, 200, plan.n(4000)),
        "long": lambda: scene.raw_worker(stub, batch, 200, plan.n(4000), "long"),
        "protocol": lambda: scene.protocol_worker(stub, batch, 200, plan.n(4000)),
        "agent": lambda: scene.run_agent(stub, 100, plan.n(1000), refused=True, max_jobs=batch, action=refusing),
        "boto3": lambda: scene.boto_worker("protocol", stub, batch, 50, plan.n(300)),
    })
    raw = Series("raw libcurl", "us CPU", _us(costs["raw"]))
    protocol = Series("agent's protocol code", "us CPU", _us(costs["protocol"]), raw, ("<=", most, "ratio"))
    return Row(f"poll, acknowledge, report; batch {batch}", raw,
               Series("raw libcurl, headers as long as signed", "us CPU", _us(costs["long"]), raw), protocol,
               Series("agent, with its ledger (durable)", "us CPU", _us(costs["agent"], "own_ns"), raw),
               Series("boto3", "us CPU", _us(costs["boto3"]), raw))


def protocol(scene, plan):
    """CPU per job of everything but the job itself."""
    stub = scene.stub()
    return [_protocol_row(scene, plan, stub, batch, most) for batch, most in ((1, 1.6), (10, 1.3))]


# ---- whole jobs ----

def _jobs_a_second(costs):
    return [c["jobs"] / c["wall_ns"] * 1e9 for c in costs]


def durable(scene, plan):
    """A job with a journal on disk and a child process."""
    stub = scene.stub()
    true = {"plugin": "command", "config": {"command": "true"}}
    costs = _contest(plan, {
        "boto3": lambda: scene.boto_worker("durable", stub, 1, 20, plan.n(200)),
        "noop": lambda: scene.run_agent(stub, 20, plan.n(200), max_jobs=1),
        "command": lambda: scene.run_agent(stub, 20, plan.n(200), max_jobs=1, action=true),
        "noop8": lambda: scene.run_agent(stub, 20, plan.n(200), max_jobs=8),
        "open": lambda: scene.run_agent(stub, 20, plan.n(200), max_jobs=1, action={"sandbox": {"detach": True}}),
    })
    boto = Series("boto3 + fsync + subprocess (true)", "us CPU", _us(costs["boto3"]))
    rate = Series("boto3 + fsync + subprocess (true)", "jobs/s", _jobs_a_second(costs["boto3"]))
    limit = ("<=", 0.5, "ratio")
    return [Row("durable job with a child process", boto,
                Series("agent, a plugin that does nothing", "us CPU", _us(costs["noop"]), boto, limit),
                Series("  of it the agent itself", "us CPU", _us(costs["noop"], "own_ns")),
                Series("agent, command plugin (true)", "us CPU", _us(costs["command"]), boto, limit),
                Series("agent, nothing, 8 side by side", "us CPU", _us(costs["noop8"]), boto, limit),
                Series("agent, nothing, without namespaces", "us CPU", _us(costs["open"]), boto)),
            Row("the same, in time (one CPU for all)", rate,
                Series("agent, a plugin that does nothing", "jobs/s", _jobs_a_second(costs["noop"]), rate),
                Series("agent, command plugin (true)", "jobs/s", _jobs_a_second(costs["command"]), rate),
                Series("agent, nothing, 8 side by side", "jobs/s", _jobs_a_second(costs["noop8"]), rate))]


def make_zip(path):
    """40 files, 796 KB, 176 KB as a zip: what a small source tree is like."""
    dice = random.Random(176)
    syllables = [c + v + e for c in "bdfgklmnprstvz" for v in "aeiou" for e in ("", "n", "r", "s")]
    words = ["".join(dice.choices(syllables, k=dice.choice((1, 2, 2, 3)))) for _ in range(1200)]
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as z:
        for i in range(40):
            lines, size = [], 0
            while size < 796 * 1024 // 40:
                common = dice.random() < 0.62  # source code repeats itself
                line = dice.choice(lines) if common and lines else \
                    "\t" * dice.randrange(4) + " ".join(dice.choices(words, k=dice.randrange(2, 9))) + ";"
                lines.append(line)
                size += len(line) + 1
            z.writestr(f"src/part{i % 5}/file{i:02}.c", ("\n".join(lines) + "\n")[:796 * 1024 // 40])
    with open(path, "wb") as f:
        f.write(out.getvalue())
    return len(out.getvalue())


def artifacts(scene, plan):
    """A job that gets a zip, unpacks it, runs a child, packs and uploads it again."""
    path = scene.path("input.zip")
    size = make_zip(path)
    stub = scene.stub(path)
    copy = {"plugin": "command", "config": {"command": "true", "output": "."}}

    def of_agent():
        cost = scene.run_agent(stub, 5, plan.n(40), artifacts=True, max_jobs=1, action=copy)
        got = stub.stats()
        if got["failures"] or got["put_bytes"] < got["puts"] * size / 2:
            raise RuntimeError(f"the agent's jobs did not upload what they should: {got}")
        return cost

    costs = _contest(plan, {
        "boto3": lambda: scene.boto_worker("artifacts", stub, 1, 5, plan.n(40)),
        "agent": of_agent,
    })
    boto = Series("boto3, a client per job", "ms CPU", [v / 1000 for v in _us(costs["boto3"])])
    return [Row(f"job with a {size // 1024} KB zip in and out", boto,
                Series("agent, millhand-archive", "ms CPU", [v / 1000 for v in _us(costs["agent"])], boto,
                       ("<=", 1 / 12, "ratio")),
                Series("  of it the agent itself", "ms CPU", [v / 1000 for v in _us(costs["agent"], "own_ns")]))]


ROWS = {"idle": idle, "first_poll": first_poll, "empty_poll": empty_poll, "protocol": protocol, "durable": durable,
        "artifacts": artifacts}
