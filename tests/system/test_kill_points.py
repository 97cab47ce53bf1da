#!/usr/bin/python3
"""kill -9 at every kill point of agent, shim, handler and emulator: one result, at most one run, nothing left over.

Needs programs that were configured with --enable-fault-points; skipped visibly with others.
"""
import errno
import os
import sqlite3
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh import points  # noqa: E402
from mh.programs import EMULATOR, Place, sanitized, troubled_libexec, wait_for  # noqa: E402
from mh.stub import Stub  # noqa: E402
from mh.tap import check, equal, run, skip, story  # noqa: E402
from mh.worker import FAST, Marks, action, finished, kill_shims, zip_of  # noqa: E402

RUNS = 'echo ran >> {marks}; echo out > "$MILLHAND_OUTPUT_OUT/f"'
CONTINUES = 'echo ran >> {marks}; echo \'{{"continuation":{{"token":"t","delay_s":1}}}}\' > "$MILLHAND_RESULT"'
WAITS = RUNS + "; read go < {marks}.go"
HANGS = RUNS + "; exec tail -f /dev/null"

# What must become of the job when the kill comes there, and how often it may have run.
FIRST = ("success", {1})  # nothing had begun, or all is known: as if nothing had happened
LOST = ("failure", {0})  # the shim had begun, so the handler may have, and is not started again
RAN = ("failure", {1})  # it ran, and how it ended is lost

# point: expected
AGENT_POINTS = {
    "poll.send": FIRST, "poll.sent": FIRST, "poll.answer": FIRST,
    "acking.commit": FIRST, "acking.committed": FIRST, "commit.before": FIRST, "commit.after": FIRST,
    "ack.send": FIRST, "ack.sent": FIRST, "ack.answer": FIRST,
    "in_doubt.commit": FIRST, "in_doubt.committed": FIRST,
    "fetching.commit": FIRST, "fetching.committed": FIRST, "fetch.send": FIRST, "fetch.sent": FIRST,
    "fetch.answer": FIRST, "details.send": FIRST, "details.sent": FIRST, "details.answer": FIRST,
    "queued.commit": FIRST, "queued.committed": FIRST,
    "started.commit": FIRST, "started.committed": FIRST, "spawn.before": FIRST, "spawn.after": FIRST,
    "watch.send": FIRST, "watch.sent": FIRST, "watch.answer": FIRST,
    "storing.commit": FIRST, "storing.committed": FIRST, "store.send": FIRST, "store.sent": FIRST,
    "store.answer": FIRST,
    "reporting.commit": FIRST, "reporting.committed": FIRST, "put.send": FIRST, "put.sent": FIRST,
    "put.answer": FIRST, "waiting.commit": FIRST, "waiting.committed": FIRST,
    "closed.commit": FIRST, "closed.committed": FIRST,
    "start.ledger_opened": FIRST, "start.recovered": FIRST, "dirs.make": FIRST, "dirs.made": FIRST,
    "fetch.keep": FIRST, "fetch.kept": FIRST, "result.read": FIRST,
    "result.handed": FIRST, "result.taken": FIRST, "clean.before": FIRST, "clean.after": FIRST,
    "wait.send": FIRST, "wait.sent": FIRST, "wait.answer": FIRST, "adopt.before": FIRST, "adopt.after": FIRST,
    "cancel.send": RAN, "cancel.sent": RAN,
    "third_poll.send": FIRST, "third_poll.sent": FIRST, "third_poll.answer": FIRST,
    "third_details.send": FIRST, "third_details.sent": FIRST, "third_details.answer": FIRST,
    "third_ack.send": FIRST, "third_ack.sent": FIRST, "third_ack.answer": FIRST,
    "third_put.send": FIRST, "third_put.sent": FIRST, "third_put.answer": FIRST,
}
# What a third party's job passes as a custom one does, where a token is to be looked up again.
SHARED_POINTS = ("acking.commit", "acking.committed", "in_doubt.committed", "fetching.committed", "started.committed",
                 "storing.committed", "reporting.committed", "waiting.committed", "closed.commit")
JOB_POINTS = {
    "job_locked": LOST, "job_prepared": LOST, "job_unpacked": LOST, "job_before_handler": LOST,
    "job_running": ("failure", {0, 1}), "job_outcome_read": RAN, "job_handler_ended": RAN, "job_packed": RAN,
    "job_before_result": RAN, "job_after_result": FIRST, "job_done": FIRST,
    "handler_started": LOST, "handler_before_run": LOST, "handler_after_run": RAN, "handler_said": RAN,
}
EMULATOR_POINTS = [
    "start.store_opened", "start.swept", "start.listening", "api.request", "api.answer", "request.answered",
    "wait.hint", "writer.before_commit", "writer.after_commit", "writer.answered", "builtin.claimed",
    "builtin.worked", "builtin.reported", "s3.blob.created", "s3.blob.synced", "s3.blob.kept", "s3.put.committed",
    "s3.blob.remove", "s3.blob.removed", "s3.answer",
]
# Passed where the shim cannot write result.json.
HANDED_POINTS = ("result.handed", "result.taken")
TIMER_POINT = "writer.timer_fired"  # has a story of its own


def command_for(point):
    if point.startswith("waiting."):
        return CONTINUES
    if point.startswith("cancel."):
        return HANGS
    return WAITS if point.startswith(("watch.", "adopt.")) else RUNS


def faults_for(stub, point):
    if point.startswith("in_doubt."):
        stub.fault("AcknowledgeJob", "drop_after")
        stub.fault("AcknowledgeThirdPartyJob", "drop_after")
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
        equal(job.result[1]["failureDetails"]["type"],
              "JobFailed" if point.startswith("cancel.") else "SystemUnavailable", point)
    equal(len({k for k, _ in job.results}), 1, f"{point}: kinds of result")
    check(len(marks.lines()) in runs, f"{point}: ran {len(marks.lines())} times")
    if job.result[0] == "success":
        equal(len(marks.lines()), 1, f"{point}: a success ran once")


def bring_about(place, conf, job, marks, point):
    """What must have happened before an agent can pass that point."""
    if point.startswith("adopt."):
        earlier = place.agent(conf, name="earlier")
        marks.wait()
        earlier.kill()


class InTheWay:
    """A job that has what ours needs (exclusive), until end()."""

    def __init__(self, place, stub, job):
        self.marks, self.stub, self.job = Marks(place, "holder"), stub, job
        self.entry = action(place, f"{self.marks.command()}; read go < {self.marks.path}.go", "Holder", exclusive="target")
        job.status = "Created"  # not offered yet
        self.holder = stub.job(provider="Holder")

    def wait(self):
        self.marks.wait()
        self.job.status = "Queued"

    def end(self):
        self.marks.go()
        finished(self.holder, "success")


def third_partys(place, stub):
    """What an agent needs for the jobs of the stub's clients."""
    path = place.path("clients")
    with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
        f.writelines(f"{client} {token}\n" for client, token in stub.client_tokens.items())
    return {"client_tokens": {"file": path}}


def no_results(place):
    """What an agent needs whose shims find no space for result.json."""
    wish = place.path("trouble")
    with open(wish, "w") as f:
        f.write(f"write {errno.ENOSPC} result.json")
    return {"libexec_dir": troubled_libexec(place, wish)}


def kill_at(point, expected, in_agent, third=False):
    if point in HANDED_POINTS and (sanitized() or "LD_PRELOAD" in os.environ):
        return  # the shim's disk is broken by a library that is preloaded
    with Place() as place, Stub() as stub:
        marks, others = Marks(place), Marks(place, "others")
        make = stub.third_job if third else stub.job
        job = make(inputs={"Src": zip_of({"f": b"x"})}, outputs=[] if point.startswith("waiting.") else ["Out"])
        faults_for(stub, point)
        holder = InTheWay(place, stub, job) if point.startswith("queued.") else None
        more = {"exclusive": "target"} if holder else {}
        entry = action(place, command_for(point).format(marks=marks.path), owner="ThirdParty" if third else "Custom", **more)
        conf = place.agent_conf(stub.endpoint, [
            entry, action(place, others.command(), provider="Other")] + ([holder.entry] if holder else []),
            watch_interval="100ms", in_doubt="drop",  # offered again at once, sooner than "fresh" counts on
            **third_partys(place, stub), **FAST, **(no_results(place) if point in HANDED_POINTS else {}))
        bring_about(place, conf, job, marks, point)
        first = place.agent(conf, name="first", env={"MILLHAND_KILL_AT": point})
        if point.startswith("cancel."):
            marks.wait()
            job.action_status = "Abandoned"
        if holder:
            holder.wait()
        if in_agent:
            equal(first.wait(20), -9, f"{point}: the agent's end")
            job.redeliver = True  # handed out, and never acknowledged: the service offers it again
            place.agent(conf, name="second")
        if holder:
            holder.end()
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
    named = points.in_sources()
    for part, told in (("agent", set(AGENT_POINTS)), ("job", set(JOB_POINTS)),
                       ("emulator", set(EMULATOR_POINTS) | {TIMER_POINT})):
        check(len(named[part]) > 12, f"the sources of {part} were read: {sorted(named[part])}")
        equal(sorted(named[part] - told), [], f"{part}: kill points without a story")
        equal(sorted(told - named[part]), [], f"{part}: stories without a kill point")


def need_points(emulator=False):
    if not points.built_in():
        skip("the programs are built without --enable-fault-points")
    if emulator and not os.path.exists(EMULATOR):
        skip("built without the emulator")


def kill_at_each(points_of, in_agent):
    need_points()
    for point, expected in points_of.items():
        kill_at(point, expected, in_agent, third=point.startswith("third_"))


@story
def killed_at_each_point_the_agent_loses_nothing_and_runs_nothing_twice():
    kill_at_each(AGENT_POINTS, True)


@story
def killed_at_the_points_that_custom_jobs_pass_too_it_loses_no_third_partys_job():
    need_points()
    for point in SHARED_POINTS:
        kill_at(point, AGENT_POINTS[point], True, third=True)


@story
def killed_at_each_point_a_shim_or_a_handler_leaves_one_result_and_an_agent_that_goes_on():
    kill_at_each(JOB_POINTS, False)


@story
def killed_at_each_point_the_emulator_goes_on_where_it_was():
    need_points(emulator=True)
    from mh.soak import Soak

    # Its checker: every execution succeeds, every job ran once and was reported once, every row has its file.
    with Soak("points", jobs=2) as soak:
        for number, point in enumerate(EMULATOR_POINTS):
            soak.begin_round()
            before = soak.hits
            soak.emulator.kill()
            soak.start_emulator(point)
            soak.start_executions(["Make", "Make"], number)
            soak.put_source()
            soak.let_go(2)
            wait_for(lambda: soak.revive() or soak.hits > before, 20, f"the emulator to pass {point}")
            soak.finish_round()


@story
def a_timer_whose_batch_was_lost_fires_in_the_next_life():
    need_points(emulator=True)
    with Place() as place:
        options = ("--custom-timeout", "1s")
        first = place.emulator(*options, env={"MILLHAND_KILL_AT": TIMER_POINT}, name="first")
        cp = first.client("codepipeline")
        for category in ("Source", "Build"):
            sides = {"inputArtifactDetails": (0, 0), "outputArtifactDetails": (1, 1)}
            if category == "Build":
                sides = {"inputArtifactDetails": (1, 1), "outputArtifactDetails": (0, 0)}
            cp.create_custom_action_type(category=category, provider="Make", version="1", **{
                side: {"minimumCount": n[0], "maximumCount": n[1]} for side, n in sides.items()})
        act = {category: {"category": category, "owner": "Custom", "provider": "Make", "version": "1"}
               for category in ("Source", "Build")}
        cp.create_pipeline(pipeline={
            "name": "p", "roleArn": "arn:aws:iam::000000000000:role/pipeline",
            "artifactStore": {"type": "S3", "location": "timerbucket"},
            "stages": [{"name": "One", "actions": [{"name": "S", "actionTypeId": act["Source"],
                                                    "outputArtifacts": [{"name": "Src"}]}]},
                       {"name": "Two", "actions": [{"name": "B", "actionTypeId": act["Build"],
                                                    "inputArtifacts": [{"name": "Src"}]}]}]})
        equal(first.wait(20), -9, "the emulator's end")
        second = place.emulator(*options, name="second").client("codepipeline")
        wait_for(lambda: [e["status"] for e in second.list_pipeline_executions(pipelineName="p")
                          ["pipelineExecutionSummaries"]] == ["Failed"], what="the action to time out")


# ---- reboots: another boot id, and nothing that ran is left ----

class Reboot:
    """An agent that is started in one boot and again in the next."""

    def __init__(self, **keys):
        need_points()
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
