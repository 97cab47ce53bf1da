#!/usr/bin/python3
"""Entries with one `exclusive` name: their jobs run one after the other, the oldest first, and wait no longer than they may."""
import os
import sqlite3
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh.programs import wait_for  # noqa: E402
from mh.tap import check, equal, run, story  # noqa: E402
from mh.worker import failed_as, finished, kill_shims, zip_of  # noqa: E402
from mh.worlds import StubWorld  # noqa: E402


def entry(w, provider, **keys):
    command = (f"echo begin $MILLHAND_JOB_ID >> {w.marks.path}; read go < {w.marks.path}.go; "
               f"echo end $MILLHAND_JOB_ID >> {w.marks.path}")
    return w.action(command, provider, **{"exclusive": "site", **keys})


def states(w):
    """{job id: state} and {job id: number}, as the ledger has them."""
    try:
        with sqlite3.connect(f"file:{w.place.path('agent', 'state', 'ledger.db')}?mode=ro", uri=True, timeout=5) as db:
            rows = db.execute("SELECT job_id, state, n FROM jobs").fetchall()
    except sqlite3.OperationalError:
        rows = []  # it is being made
    return {r[0]: r[1] for r in rows}, {r[0]: r[2] for r in rows}


def queued(w, count):
    wait_for(lambda: list(states(w)[0].values()).count("queued") == count, what=f"{count} jobs to wait")


def one_after_the_other(w, jobs):
    """All of them ran, the oldest first, and none before the one before it had ended."""
    order = sorted(jobs, key=lambda j: states(w)[1][j.id])
    equal(w.marks.lines(), [f"{word} {j.id}" for j in order for word in ("begin", "end")], "what ran")


@story
def jobs_for_one_target_run_one_after_the_other_and_the_oldest_first():
    with StubWorld(max_jobs=6) as w:
        jobs = [w.job(p) for p in ("Deploy", "Migrate", "Deploy", "Migrate")]
        agent = w.start(entry(w, "Deploy"), entry(w, "Migrate"), w.action("true", "Free"),
                        w.action("true", "Else", exclusive="another"))
        queued(w, 3)
        finished(w.job("Free"), "success")
        finished(w.job("Else"), "success")
        equal(len(w.marks.lines()), 1, "what has begun")
        for _ in jobs:
            w.marks.go()
        for job in jobs:
            finished(job, "success")
        one_after_the_other(w, jobs)
        equal(agent.text().count("job.queued"), 3, "each is said once")


def ticks(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


@story
def who_waits_costs_nothing_and_waits_no_longer_than_its_own_time():
    with StubWorld(max_jobs=4) as w:
        first = w.job("Deploy")
        w.start(entry(w, "Deploy"), entry(w, "Brief", timeout="1500ms"))
        w.marks.wait()
        second = w.job("Brief")
        queued(w, 1)
        before, polls = ticks(w.agent.process.pid), len(w.seen("PollForJobs"))
        failed_as(second, "JobFailed", "time limit", "exclusive")
        spent, polls = ticks(w.agent.process.pid) - before, len(w.seen("PollForJobs")) - polls
        check(spent <= 10 + polls, f"{spent} ticks of the processor's time in 1.5 s and {polls} polls")
        w.marks.go()
        finished(first, "success")
        one_after_the_other(w, [first])


@story
def an_agent_that_is_killed_keeps_the_order():
    with StubWorld(max_jobs=6) as w:
        jobs = [w.job("Deploy", inputs={"Src": zip_of({"f": b""})}) for _ in range(4)]
        first = w.start(entry(w, "Deploy"))
        queued(w, 3)
        w.marks.wait()
        first.kill()
        w.start(name="second")
        wait_for(lambda: "job.adopted" in w.agent.text(), what="the one that runs to be adopted")
        queued(w, 3)
        equal(len(w.marks.lines()), 1, "what has begun")
        for _ in jobs:
            w.marks.go()
        for job in jobs:
            finished(job, "success")
        one_after_the_other(w, jobs)


@story
def a_job_that_still_fetches_comes_before_a_younger_one_that_could_start():
    with StubWorld(max_jobs=4, api_timeout="20s") as w:
        w.fault("S3 GET", "hang")
        big = w.job("Deploy", inputs={"Src": zip_of({"f": b""})})
        w.start(entry(w, "Deploy"))
        wait_for(lambda: w.stub.seen("S3 GET"), what="the download")
        small = w.job("Deploy")
        queued(w, 1)
        equal(w.marks.lines(), [], "what has begun")
        w.stub.clear_faults()
        w.marks.go()
        w.marks.go()
        finished(small, "success")
        finished(big, "success")
        one_after_the_other(w, [big, small])


@story
def an_abandoned_job_leaves_the_queue_and_whoever_was_behind_it_comes():
    with StubWorld(max_jobs=6, watch_interval="100ms") as w:
        jobs = [w.job("Deploy") for _ in range(3)]
        w.start(entry(w, "Deploy"))
        queued(w, 2)
        order = sorted(jobs, key=lambda j: states(w)[1][j.id])
        w.abandon(order[1])
        wait_for(lambda: order[1].results, what="its end")
        w.abandon(order[0])  # who runs it, too: its processes end, and only then the next begins
        w.marks.wait(2)
        w.marks.go()
        finished(order[2], "success")
        equal(w.marks.lines(), [f"begin {order[0].id}", f"begin {order[2].id}", f"end {order[2].id}"], "what ran")


@story
def two_agents_of_a_host_that_name_one_directory_of_locks_take_turns_too():
    # The lock is the shim's: it outlives the agent that took it, and nobody needs to give it back.
    with StubWorld(max_jobs=2) as w:
        locks = w.place.path("locks")
        os.mkdir(locks)
        w.keys["lock_dir"] = locks
        one = w.job("Deploy")
        first = w.start(entry(w, "Deploy"))
        w.marks.wait()
        conf = w.place.agent_conf(w.endpoint, [entry(w, "Migrate", grace="100ms")], name="other", **w.keys)
        other = w.place.agent(conf, name="other")
        two = w.job("Migrate")
        wait_for(lambda: "job.queued" in other.text(), what="the other agent's job to wait")
        first.kill()
        other.kill()
        other = w.place.agent(conf, name="other2")
        wait_for(lambda: "job.queued" in other.text(), what="it to wait again")
        equal(w.marks.lines(), [f"begin {one.id}"], "what has begun")
        w.marks.go()
        w.marks.wait(3)
        w.start(name="first2")
        w.marks.go()
        finished(one, "success")
        finished(two, "success")
        equal(w.marks.lines(), [f"{word} {j.id}" for j in (one, two) for word in ("begin", "end")], "what ran")
        third = w.job("Deploy")
        w.marks.wait(5)
        equal(kill_shims(w.agent), 1, "the shim that had the lock")
        fourth = w.job("Migrate")
        w.marks.wait(6)
        w.marks.go()
        finished(fourth, "success")
        failed_as(third, "SystemUnavailable")


run()
