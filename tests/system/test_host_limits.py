#!/usr/bin/python3
"""The agent on hosts at their limits: disks, inodes, descriptors, broken disks; what it keeps, and what it gives up."""
import errno
import json
import os
import resource
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh.programs import AGENT, TROUBLE, Place, Program, need_mount_namespace, sanitized, troubled_libexec, wait_for  # noqa: E402
from mh.stub import Stub  # noqa: E402
from mh.tap import check, equal, run, skip, story  # noqa: E402
from mh.worker import FAST, Marks, action, finished  # noqa: E402


class Scene:
    """A stub, a place, marks, and an agent whose configuration has these keys."""

    def __init__(self, **keys):
        self.place, self.stub = Place(), Stub()
        self.marks, self.keys = Marks(self.place), dict(FAST, **keys)
        self.conf = self.agent = self.state = None

    def __enter__(self):
        self.place.__enter__()
        return self

    def __exit__(self, *exc):
        self.stub.close()
        self.place.__exit__(*exc)

    def configure(self, *actions):
        self.state = self.place.path("agent", "state")
        self.conf = self.place.agent_conf(self.stub.endpoint, actions, **self.keys)

    def ready(self, agent):
        self.agent = agent
        wait_for(lambda: not agent.alive() or "agent.ready" in agent.text(), what="the agent")
        return agent

    def start(self, *actions, name="agent", env=None):
        if actions:
            self.configure(*actions)
        return self.ready(self.place.agent(self.conf, name=name, env=env))

    def start_wrapped(self, *argv, name="agent", env=None):
        agent = Program(self.place, name, [*argv, AGENT, "-c", self.conf], env)
        self.place.programs.append(agent)
        return self.ready(agent)

    def start_on_small_disk(self, options, jobs=None):
        """Its state directory is a file system that it alone sees; `jobs`, when given, lies outside of it.
        Leaves in `state` the path by which we reach it."""
        need_mount_namespace()
        os.makedirs(self.state)
        script = f"mount -t tmpfs -o {options} none {self.state} || exit 99; "
        if jobs:
            os.makedirs(jobs)
            script += f"mkdir {self.state}/jobs && mount --bind {jobs} {self.state}/jobs || exit 99; "
        agent = Program(self.place, "agent", ["unshare", "-m", "sh", "-c", script + f"exec {AGENT} -c {self.conf}"])
        self.place.programs.append(agent)
        self.ready(agent)
        self.state = f"/proc/{agent.process.pid}/root{self.state}"

    def says(self, event, times=1):
        wait_for(lambda: self.agent.text().count(f" {event} ") >= times, what=event)

    def count(self, event):
        return self.agent.text().count(f" {event} ")

    def jobs(self):
        return sorted(int(n) for n in os.listdir(self.state + "/jobs"))

    def reserve(self):
        try:
            return os.stat(self.state + "/reserve").st_blocks * 512
        except FileNotFoundError:
            return 0


def fill(path, leave=0):
    """Takes all there is but so much."""
    with open(path, "wb", buffering=0) as f:
        try:
            while True:
                f.write(b"x" * 65536)
        except OSError:
            pass
        f.truncate(max(0, f.seek(0, os.SEEK_END) - leave))


FAILS = "echo x >kept; exit 3"


# ---- room ----

@story
def too_little_room_costs_what_is_kept_of_old_jobs_first_and_never_a_running_one():
    with Scene(min_free="3M", keep_failed=9) as s:
        big = action(s.place, "head -c 1000000 /dev/zero >$PWD/big; exit 3")
        s.configure(big, action(s.place, s.marks.command() + f"; read go <{s.marks.path}.go", provider="Long"))
        s.start_on_small_disk("size=8m")
        for _ in range(3):
            finished(s.stub.job(), "failure")
        running = s.stub.job(provider="Long")
        s.marks.wait()
        wait_for(lambda: s.jobs() == [1, 2, 3, 4], what="three failed jobs and one that runs")
        equal(s.count("disk.low"), 0)
        # A megabyte under the limit for the next: two of them have to go.
        room = os.statvfs(s.state)
        fill(s.state + "/filler", 0 if room.f_bavail * room.f_frsize < 2500000 else 2500000)
        s.says("disk.ok")
        equal((s.count("disk.low"), s.count("disk.ok")), (1, 1), s.agent.text())
        gone = [line.split(" n=")[1].split()[0] for line in s.agent.text().splitlines() if "disk.collected" in line]
        equal(gone, [str(n) for n in range(1, len(gone) + 1)], "the oldest first")
        check(0 < len(gone) < 3, f"as few as will do: {gone}")
        equal(s.jobs(), [n for n in (1, 2, 3, 4) if str(n) not in gone])
        s.marks.go()
        finished(running, "success")
        finished(s.stub.job(), "failure")


@story
def inodes_that_run_out_pause_the_polls_too():
    with Scene(min_free=0, min_free_inodes=50) as s:
        s.configure(action(s.place, s.marks.command()))
        s.start_on_small_disk("size=4m,nr_inodes=400")
        finished(s.stub.job(), "success")
        for i in range(250):
            open(f"{s.state}/f{i}", "w").close()
        s.says("disk.low")
        check("lack=inodes" in s.agent.text(), s.agent.text())
        job = s.stub.job()
        for i in range(60):  # above the limit again, but not by a fourth
            os.unlink(f"{s.state}/f{i}")
        for i in range(60, 250):
            os.unlink(f"{s.state}/f{i}")
        finished(job, "success")
        equal((s.count("disk.low"), s.count("disk.ok")), (1, 1))


# ---- the reserve ----

@story
def a_result_is_recorded_and_delivered_on_a_full_disk():
    with Scene(min_free=0) as s:
        s.keys["work_dir"] = s.place.path("work")
        s.configure(action(s.place, s.marks.command() + f"; read go <{s.marks.path}.go"))
        s.start_on_small_disk("size=4m", jobs=s.place.path("elsewhere"))
        job = s.stub.job()
        s.marks.wait()
        check(s.reserve() >= 512 << 10, f"the reserve has {s.reserve()} bytes")
        fill(s.state + "/filler")
        s.marks.go()
        finished(job, "success")
        equal(len(job.results), 1)
        equal((s.count("disk.reserve_used"), s.reserve()), (1, 0))
        # Nothing more is taken before there is a reserve again.
        s.says("disk.low")
        next_job = s.stub.job()
        equal(next_job.status, "Queued")
        os.unlink(s.state + "/filler")
        s.marks.go()
        finished(next_job, "success")
        check(s.reserve() >= 512 << 10, "the reserve is there again")
        equal(s.agent.stop(), 0)


def waiting_on_small_disk(s, then=""):
    """An agent whose state is on a small disk, where its one job waits; its workspace is elsewhere."""
    s.keys["work_dir"] = s.place.path("work")
    s.configure(action(s.place, s.marks.command() + f"; read go <{s.marks.path}.go" + then))
    s.start_on_small_disk("size=4m")
    job = s.stub.job()
    s.marks.wait()
    return job


@story
def a_result_that_no_disk_takes_goes_to_the_agent_and_is_delivered():
    with Scene(min_free=0) as s:
        job = waiting_on_small_disk(s)
        fill(s.state + "/filler")
        s.marks.go()
        finished(job, "success")
        equal((len(job.results), s.count("job.result_handed")), (1, 1))
        wait_for(lambda: s.jobs() == [], what="its shim to be gone, and its directory")
        s.says("disk.low")
        os.unlink(s.state + "/filler")
        s.marks.go()
        finished(s.stub.job(), "success")
        equal(s.agent.stop(), 0)


@story
def a_result_that_is_longer_than_a_message_takes_of_the_reserve():
    with Scene(min_free=0) as s:
        variables = {f"v{i}": "x" * 2500 for i in range(40)}
        result = s.place.path("result")
        with open(result, "w") as f:
            json.dump({"variables": variables}, f)
        job = waiting_on_small_disk(s, f"; cp {result} $MILLHAND_RESULT")
        fill(s.state + "/filler")
        s.marks.go()
        finished(job, "success")
        equal(job.results, [("success", job.result[1])])
        equal((job.result[1]["outputVariables"], s.count("job.result_handed")), (variables, 0))
        os.unlink(s.state + "/filler")
        s.marks.go()
        finished(s.stub.job(), "success")
        wait_for(lambda: s.reserve() >= 512 << 10, what="the reserve to be whole again")
        equal(s.agent.stop(), 0)


@story
def a_job_that_ends_on_a_full_disk_without_an_agent_is_delivered_by_the_next_one_there():
    with Scene(min_free=0) as s:
        job = waiting_on_small_disk(s)
        shim = s.agent.text().split(" job.started ")[1].split("pid=")[1].split()[0]
        mount = f"--mount=/proc/{shim}/ns/mnt"
        keeper = Program(s.place, "keeper", ["nsenter", mount, "tail", "-f", "/dev/null"])
        s.place.programs.append(keeper)
        wait_for(lambda: os.path.basename(os.readlink(f"/proc/{keeper.process.pid}/exe")) == "tail", what="the mount to be kept")
        s.state = s.state.replace(f"/proc/{s.agent.process.pid}/", f"/proc/{keeper.process.pid}/")
        s.agent.kill()
        fill(s.state + "/filler")
        before = s.reserve()
        s.marks.go()
        wait_for(lambda: os.path.exists(f"{s.state}/jobs/1/result.json"), what="the result to be written")
        equal(before - s.reserve(), 192 << 10, "a part of the reserve, and no more")
        wait_for(lambda: not os.path.exists(f"/proc/{shim}"), what="the shim to be gone")
        fill(s.state + "/more")
        s.start_wrapped("nsenter", mount.replace(shim, str(keeper.process.pid)), name="second")
        finished(job, "success")
        equal((len(job.results), s.count("disk.reserve_used"), len(s.marks.lines())), (1, 1, 1))
        s.says("disk.low")


# ---- descriptors ----

@story
def a_result_that_cannot_be_read_for_want_of_descriptors_is_read_when_there_are_some():
    with Scene() as s:
        s.start(action(s.place, s.marks.command() + f"; read go <{s.marks.path}.go"))
        job = s.stub.job()
        s.marks.wait()
        pid = s.agent.process.pid
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        s.marks.go()
        s.says("job.unknown_fate")
        equal(job.results, [])
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        finished(job, "success")
        equal(len(job.results), 1)


@story
def no_more_jobs_are_taken_than_there_are_descriptors_for():
    with Scene(max_jobs=40) as s:
        s.configure(action(s.place, s.marks.command() + f"; read go <{s.marks.path}.go"))
        jobs = [s.stub.job() for _ in range(20)]
        s.start_wrapped("prlimit", "--nofile=128:128")
        s.says("host.few_files")
        most = int(s.agent.text().split(" host.few_files ")[1].split("jobs=")[1].split()[0])
        check(1 < most < 15, f"{most} jobs")
        s.marks.wait(most)
        for _ in jobs:
            s.marks.go()
        for job in jobs:
            finished(job, "success")
        equal(max(body["maxBatchSize"] for body in s.stub.seen("PollForJobs")) <= most, True)
        check("Too many open files" not in s.agent.text(), s.agent.text())


# ---- broken disks ----

@story
def a_ledger_on_a_broken_disk_ends_the_agent_and_the_next_one_delivers():
    if not os.path.exists(TROUBLE):
        raise AssertionError(f"{TROUBLE} is not built")
    if "LD_PRELOAD" in os.environ or "MH_WRAP" in os.environ or sanitized():
        skip("the agent is preloaded with something else")
    with Scene() as s:
        broken = s.place.path("broken")
        s.start(action(s.place, s.marks.command() + f"; read go <{s.marks.path}.go"),
                env={"LD_PRELOAD": TROUBLE, "MH_TROUBLE": broken})
        job = s.stub.job()
        s.marks.wait()
        with open(broken, "w") as f:
            f.write("ledger.db")
        s.marks.go()
        equal(s.agent.wait(), 1, "exit code")
        check(s.count("ledger.failed") == 1 and "disk I/O error" in s.agent.text(), s.agent.text())
        equal(job.results, [], "nothing leaves that is not recorded")
        s.start(name="second")
        finished(job, "success")
        equal((len(job.results), s.marks.lines()), (1, ["ran"]))


@story
def whatever_keeps_a_result_from_its_file_it_is_neither_lost_nor_told_twice():
    if not os.path.exists(TROUBLE):
        raise AssertionError(f"{TROUBLE} is not built")
    if "LD_PRELOAD" in os.environ or sanitized():
        skip("the shim is preloaded with something else")
    troubles = [f"openat {errno.EIO}", f"openat {errno.EMFILE}", f"write {errno.EIO}", f"write {errno.ENOSPC}"]
    with Scene() as s:
        wish = s.place.path("trouble")
        s.keys["libexec_dir"] = troubled_libexec(s.place, wish)
        s.start(action(s.place, s.marks.command() + f"; read go <{s.marks.path}.go"))
        for i, trouble in enumerate(troubles):
            job = s.stub.job()
            s.marks.wait(2 * i + 1)
            with open(wish, "w") as f:
                f.write(trouble + " result.json")
            s.marks.go()
            finished(job, "success")
            equal((len(job.results), s.count("job.result_handed")), (1, 1), trouble)
            os.unlink(wish)
            # The same while no agent is there: the next one is told.
            job = s.stub.job()
            s.marks.wait(2 * i + 2)
            with open(wish, "w") as f:
                f.write(trouble + " result.json")
            failed = s.count("job.result_failed")
            s.agent.kill()
            s.marks.go()
            s.says("job.result_failed", failed + 1)
            s.start(name=f"agent{i}")
            finished(job, "success")
            equal((len(job.results), s.count("job.result_handed")), (1, 1), trouble)
            os.unlink(wish)
            s.agent.stop()
            s.start(name=f"again{i}")
        equal(len(s.marks.lines()), 2 * len(troubles))


# ---- the health command ----

@story
def while_the_health_command_fails_no_job_is_taken_and_none_runs_beside_it():
    with Scene() as s:
        ill, script = s.place.path("ill"), s.place.path("check")
        with open(script, "w") as f:
            f.write(f"#!/bin/sh\necho check >>{s.marks.path}\ntest ! -e {ill} || {{ echo broken bolt >&2; exit 7; }}\n")
        os.chmod(script, 0o755)
        open(ill, "w").close()
        s.keys["health"] = {"command": script, "interval": "100ms"}
        job = s.stub.job()
        s.start(action(s.place, s.marks.command("begun") + f"; read go <{s.marks.path}.go; " + s.marks.command("ended")))
        s.says("health.failed")
        s.marks.wait(3)
        check("exit code 7: broken bolt" in s.agent.text(), s.agent.text())
        equal((s.stub.seen("PollForJobs"), s.count("health.failed")), ([], 1))
        os.unlink(ill)
        wait_for(lambda: "begun" in s.marks.lines(), what="the job to run")
        check(s.count("health.ok") == 1, s.agent.text())
        polls = len(s.stub.seen("PollForJobs"))
        wait_for(lambda: len(s.stub.seen("PollForJobs")) > polls + 5, what="the interval to pass")
        s.marks.go()
        finished(job, "success")
        lines = s.marks.lines()
        equal(lines[lines.index("begun") + 1], "ended", "nothing runs beside a job")
        s.marks.wait(len(lines) + 2)
        equal(s.agent.stop(), 0)


@story
def a_health_command_that_hangs_or_is_gone_has_failed():
    for gone in (False, True):
        with Scene(health={"interval": "100ms", "timeout": "200ms"}) as s:
            program = s.place.path("check")
            with open(program, "w") as f:
                f.write("#!/bin/sh\n" + ("rm $0; exit 1" if gone else "exec tail -f /dev/null") + "\n")
            os.chmod(program, 0o755)
            s.keys["health"]["command"] = program
            s.start(action(s.place, "true"))
            s.says("health.failed")
            wait_for(lambda: not gone or not os.path.exists(program), what="it to be gone")
            check(gone or "took longer than 200 ms" in s.agent.text(), s.agent.text())
            equal(s.stub.seen("PollForJobs"), [])
            equal(s.agent.stop(), 0)


@story
def commands_that_cannot_be_started_are_named_before_anything_runs():
    with Scene() as s:
        plain = s.place.path("plain")
        with open(plain, "w"):
            pass
        for command in ("/nowhere/at-all -x", plain, "no-such-program-4711", s.place.dir):
            for keys, name in (({"health": {"command": command}}, "health.command"),
                               ({"client_tokens": {"command": command}}, "client_tokens.command")):
                conf = s.place.agent_conf(s.stub.endpoint, [action(s.place, "true")], **keys)
                done = s.place.run([AGENT, "-c", conf, "--check"], check=False)
                equal(done.returncode, 78, command)
                check(f"{name}: there is no program \"{command.split()[0]}\"" in done.stderr, done.stderr)
        conf = s.place.agent_conf(s.stub.endpoint, [action(s.place, "true")], health={"command": "true and words"})
        equal(s.place.run([AGENT, "-c", conf, "--check"]).returncode, 0)


# ---- what is kept ----

@story
def what_is_kept_of_finished_jobs_follows_the_keys():
    with Scene(keep_failed=2, keep_succeeded=1, keep_for="3s") as s:
        s.start(action(s.place, FAILS), action(s.place, "echo y >kept", provider="Good"))
        for _ in range(3):
            finished(s.stub.job(), "failure")
            finished(s.stub.job(provider="Good"), "success")
        wait_for(lambda: s.jobs() == [3, 5, 6] or not s.jobs(), what="two that failed and one that succeeded to stay")
        wait_for(lambda: s.jobs() == os.listdir(s.state + "/work") == [], what="their time to be over")


run()
