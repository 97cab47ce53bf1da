#!/usr/bin/python3
"""kill -9 at every kill point of the agent and of the shim: one result, at most one run, nothing left over.

Needs programs that were configured with --enable-fault-points; skipped visibly with others.
"""
import glob
import os
import re
import sqlite3
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh.programs import AGENT, SRC, Place, wait_for  # noqa: E402
from mh.stub import Stub  # noqa: E402
from mh.tap import check, equal, run, skip, story  # noqa: E402
from mh.worker import FAST, Marks, action, finished, kill_shims, zip_of  # noqa: E402

RUNS = 'echo ran >> {marks}; echo out > "$MILLHAND_OUTPUT_OUT/f"'
CONTINUES = 'echo ran >> {marks}; echo \'{{"continuation":{{"token":"t","delay_s":1}}}}\' > "$MILLHAND_RESULT"'
WAITS = RUNS + "; read go < {marks}.go"

# What must become of the job when the kill comes there, and how often it may have run.
FIRST = ("success", {1})  # nothing had begun, or all is known: as if nothing had happened
LOST = ("failure", {0})  # the shim had begun, so the handler may have, and is not started again
RAN = ("failure", {1})  # it ran, and how it ended is lost

# point: (expected, options)
AGENT_POINTS = {
    "poll.send": FIRST, "poll.sent": FIRST, "poll.answer": FIRST,
    "acking.commit": FIRST, "acking.committed": FIRST, "commit.before": FIRST, "commit.after": FIRST,
    "ack.send": FIRST, "ack.sent": FIRST, "ack.answer": FIRST,
    "in_doubt.commit": FIRST, "in_doubt.committed": FIRST,
    "fetching.commit": FIRST, "fetching.committed": FIRST, "fetch.send": FIRST, "fetch.sent": FIRST,
    "fetch.answer": FIRST, "details.send": FIRST, "details.sent": FIRST, "details.answer": FIRST,
    "started.commit": FIRST, "started.committed": FIRST, "spawn.before": FIRST, "spawn.after": FIRST,
    "watch.send": FIRST, "watch.sent": FIRST, "watch.answer": FIRST,
    "storing.commit": FIRST, "storing.committed": FIRST, "store.send": FIRST, "store.sent": FIRST,
    "store.answer": FIRST,
    "reporting.commit": FIRST, "reporting.committed": FIRST, "put.send": FIRST, "put.sent": FIRST,
    "put.answer": FIRST, "waiting.commit": FIRST, "waiting.committed": FIRST,
    "closed.commit": FIRST, "closed.committed": FIRST,
}
SHIM_POINTS = {
    "job_locked": LOST, "job_before_handler": LOST, "job_running": ("failure", {0, 1}),
    "job_before_result": RAN, "job_after_result": FIRST,
}
# States that never stand at a commit: they are passed through within one turn.
PASSED_THROUGH = {"offered", "owned", "outcome"}


def has_fault_points():
    with open(AGENT, "rb") as f:
        return b"MILLHAND_KILL_AT" in f.read()


def command_for(point):
    if point.startswith("waiting."):
        return CONTINUES
    return WAITS if point.startswith("watch.") else RUNS


def faults_for(stub, point):
    if point.startswith("in_doubt."):
        stub.fault("AcknowledgeJob", "drop_after")
    if point.startswith("details."):
        stub.fault("S3 GET", "expired")


def all_closed(place):
    """The ledger says that every job is over, and their directories are gone but for kept failures."""
    with sqlite3.connect(f"file:{place.path('agent', 'state', 'ledger.db')}?mode=ro", uri=True) as db:
        rows = db.execute("SELECT state, kind, runs, n FROM jobs").fetchall()
    kept = {str(n) for state, kind, runs, n in rows if kind == "failure" and runs}
    left = {name for where in ("jobs", "work") for name in os.listdir(place.path("agent", "state", where))}
    return rows and all(row[0] == "closed" for row in rows) and left <= kept


def judge(place, job, marks, point, expected):
    kind, runs = expected
    wait_for(lambda: job.result, 20, f"{point}: a result")
    equal(job.result[0], kind, f"{point}: {job.result[1]}")
    if kind == "failure":
        equal(job.result[1]["failureDetails"]["type"], "SystemUnavailable", point)
    equal(len({k for k, _ in job.results}), 1, f"{point}: kinds of result")
    check(len(marks.lines()) in runs, f"{point}: ran {len(marks.lines())} times")
    if job.result[0] == "success":
        equal(len(marks.lines()), 1, f"{point}: a success ran once")


def kill_at(point, expected, in_agent):
    with Place() as place, Stub() as stub:
        marks, others = Marks(place), Marks(place, "others")
        job = stub.job(inputs={"Src": zip_of({"f": b"x"})}, outputs=[] if point.startswith("waiting.") else ["Out"])
        faults_for(stub, point)
        conf = place.agent_conf(stub.endpoint, [
            action(place, command_for(point).format(marks=marks.path)),
            action(place, others.command(), provider="Other")], watch_interval="100ms", **FAST)
        first = place.agent(conf, name="first", env={"MILLHAND_KILL_AT": point})
        if in_agent:
            equal(first.wait(20), -9, f"{point}: the agent's end")
            job.redeliver = True  # handed out, and never acknowledged: the service offers it again
            place.agent(conf, name="second")
        marks.go()
        judge(place, job, marks, point, expected)
        if not in_agent:
            check(first.alive(), f"{point}: the agent lives")
            equal(first.stop(), 0, f"{point}: the agent's end")
            place.agent(conf, name="second")  # whose shims pass that point
        finished(stub.job(provider="Other"), "success")
        equal(others.lines(), ["ran"], f"{point}: the next job")
        wait_for(lambda: all_closed(place), 20, f"{point}: everything closed and removed")
        equal(len([r for r in job.results if r]), len(job.results), point)
        equal(stub.bad_signatures, [], point)


@story
def every_kill_point_of_the_sources_is_in_these_stories():
    names = set()
    for path in glob.glob(os.path.join(SRC, "agent", "**", "*.c"), recursive=True):
        with open(path) as f:
            names |= set(re.findall(r'FAULT_POINT\("([^"]+)"\)', f.read()))
    with open(os.path.join(SRC, "agent", "cp_api.c")) as f:
        names |= {f"{op}.{moment}" for op in re.findall(r'cp_op_\w+ = \{ "\w+", "(\w+)"', f.read())
                  for moment in ("send", "sent", "answer")}
    with open(os.path.join(SRC, "agent", "job.h")) as f:
        states = set(re.findall(r"X\([A-Z_]+, (\w+)\)", f.read().split("JOB_EVENTS")[0])) - PASSED_THROUGH
    names |= {f"{state}.{moment}" for state in states for moment in ("commit", "committed")}
    check(len(names) > 40, f"the sources were read: {sorted(names)}")
    equal(sorted(names - set(AGENT_POINTS) - set(SHIM_POINTS)), [], "kill points without a story")
    equal(sorted(set(AGENT_POINTS) | set(SHIM_POINTS)), sorted(names), "stories without a kill point")


def kill_at_each(points, in_agent):
    if not has_fault_points():
        skip("the programs are built without --enable-fault-points")
    for point, expected in points.items():
        kill_at(point, expected, in_agent)


@story
def killed_at_each_point_the_agent_loses_nothing_and_runs_nothing_twice():
    kill_at_each(AGENT_POINTS, True)


@story
def killed_at_each_point_a_shim_leaves_one_result_and_an_agent_that_goes_on():
    kill_at_each(SHIM_POINTS, False)


# ---- reboots: another boot id, and nothing that ran is left ----

class Reboot:
    """An agent that is started in one boot and again in the next."""

    def __init__(self, **keys):
        if not has_fault_points():
            skip("the programs are built without --enable-fault-points")
        self.place, self.stub, self.keys = Place(), Stub(), keys
        self.marks, self.boot = Marks(self.place), self.place.path("boot_id")

    def __enter__(self):
        self.place.__enter__()
        return self

    def __exit__(self, *exc):
        self.stub.close()
        self.place.__exit__(*exc)

    def start(self, boot, command, **env):
        with open(self.boot, "w") as f:
            f.write(boot * 8 + "-0000-4000-8000-" + boot * 12)
        conf = self.place.agent_conf(self.stub.endpoint, [action(self.place, command, **self.keys)], **FAST)
        return self.place.agent(conf, name="boot" + boot, env={"MILLHAND_BOOT_ID_FILE": self.boot, **env})

    def power_off(self, agent):
        wait_for(lambda: "job.started" in agent.text(), what="the shim's pid in the log")
        agent.kill()
        check(kill_shims(agent) == 1, "the shim dies, and the job with it")


@story
def after_a_reboot_a_job_that_may_have_run_is_reported_and_not_run_again():
    with Reboot() as r:
        job = r.stub.job()
        first = r.start("1", f"{r.marks.command()}; exec tail -f /dev/null")
        r.marks.wait()
        r.power_off(first)
        r.start("2", r.marks.command())
        equal(finished(job, "failure")["failureDetails"]["type"], "SystemUnavailable")
        equal(r.marks.lines(), ["ran"])


@story
def after_a_reboot_an_idempotent_job_is_run_again():
    with Reboot(idempotent=True) as r:
        job = r.stub.job()
        first = r.start("1", f"{r.marks.command()}; exec tail -f /dev/null")
        r.marks.wait()
        r.power_off(first)
        r.start("2", r.marks.command())
        finished(job, "success")
        equal(r.marks.lines(), ["ran", "ran"])


@story
def after_a_reboot_a_lock_that_looks_untouched_proves_nothing():
    with Reboot() as r:
        job = r.stub.job()
        equal(r.start("1", r.marks.command(), MILLHAND_KILL_AT="spawn.before").wait(20), -9)
        r.start("2", r.marks.command())
        equal(finished(job, "failure")["failureDetails"]["type"], "SystemUnavailable")
        equal(r.marks.lines(), [])


@story
def a_result_that_was_written_before_the_reboot_is_delivered_after_it():
    with Reboot() as r:
        job = r.stub.job()
        first = r.start("1", f"{r.marks.command()}; read go < {r.marks.path}.go")
        r.marks.wait()
        first.kill()
        r.marks.go()
        wait_for(lambda: os.path.exists(r.place.path("agent", "state", "jobs", "1", "result.json")), what="result.json")
        r.start("2", r.marks.command())
        finished(job, "success")
        equal(r.marks.lines(), ["ran"])


run()
