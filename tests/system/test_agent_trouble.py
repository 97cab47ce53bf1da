#!/usr/bin/python3
"""The agent on hosts and against endpoints in trouble: full disks, storms, bursts, hostile jobs."""
import calendar
import ctypes
import email.utils
import errno
import os
import struct
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh.programs import AGENT, Place, Program, need_mount_namespace, sanitized, wait_for  # noqa: E402
from mh.stub import Stub  # noqa: E402
from mh.tap import check, equal, run, skip, story  # noqa: E402
from mh.worker import FAST, Marks, action, finished, zip_of  # noqa: E402


class Scene:
    """A stub, a place, marks, and an agent with these actions."""

    def __init__(self, **conf):
        self.place, self.stub = Place(), Stub()
        self.marks = Marks(self.place)
        self.keys = dict(FAST, **conf)
        self.conf = self.agent = None

    def __enter__(self):
        self.place.__enter__()
        return self

    def __exit__(self, *exc):
        self.stub.close()
        self.place.__exit__(*exc)

    def configure(self, *actions):
        self.conf = self.place.agent_conf(self.stub.endpoint, actions, **self.keys)

    def start(self, *actions, options=(), name="agent"):
        if actions:
            self.configure(*actions)
        self.agent = self.place.agent(self.conf, *options, name=name)
        return self.agent

    def start_on_small_disk(self, *actions, size):
        """Its state lies on a file system that it alone sees; answers the path by which we reach it."""
        state = self.place.path("small")
        os.makedirs(state)
        self.keys.update(state_dir=state, work_dir=self.place.path("work"))
        self.configure(*actions)
        script = f"mount -t tmpfs -o size={size} none {state} || exit 99; exec {AGENT} -c {self.conf}"
        self.agent = Program(self.place, "agent", ["unshare", "-m", "sh", "-c", script])
        self.place.programs.append(self.agent)
        wait_for(lambda: not self.agent.alive() or "agent.ready" in self.agent.text(), what="the agent")
        if not self.agent.alive():
            skip(f"no mount namespace here: {self.agent.text()}")
        return f"/proc/{self.agent.process.pid}/root{state}"


# ---- configurations ----

@story
def a_configuration_that_would_fail_every_job_is_refused_at_the_start():
    for config, words in (({"system_failure_exit_code": "900"}, ("config.system_failure_exit_code", "255")),
                          ({"system_failure_exit_code": "9"}, None)):
        with Scene() as s:
            entry = action(s.place, "true")
            entry["config"].update(config)
            s.configure(action(s.place, "true", provider="Good"), entry)
            done = s.place.run([AGENT, "-c", s.conf, "--check"], check=False)
            equal(done.returncode, 78 if words else 0, done.stderr)
            check(not words or all(w in done.stderr for w in ("actions[1].", *words)), done.stderr)


# ---- state directories ----

@story
def a_state_directory_that_cannot_be_used_is_one_line_and_for_a_person_to_mend():
    def not_ours(path):
        os.makedirs(path)
        os.chmod(path, 0o755)

    def a_file(path):
        with open(path, "w") as f:
            f.write("x" * 4096)

    def no_ledger(path):
        os.makedirs(path)
        a_file(os.path.join(path, "ledger.db"))

    def jobs_is_a_file(path):
        os.makedirs(path)
        a_file(os.path.join(path, "jobs"))

    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
    for make, user, words in ((not_ours, nobody, ("state_dir", "agent.lock", "Permission denied")),
                              (a_file, [], ("state_dir", "Not a directory")),
                              (no_ledger, [], ("ledger.db", "move it away")),
                              (jobs_is_a_file, [], ("jobs", "Not a directory"))):
        with Scene() as s:
            os.chmod(s.place.dir, 0o755)
            s.configure(action(s.place, "true"))
            os.chmod(s.place.path("agent"), 0o755)
            os.chmod(s.conf, 0o644)
            if make is not_ours and not user:
                continue
            make(s.place.path("agent", "state"))
            done = s.place.run([*user, AGENT, "-c", s.conf], check=False)
            lines = [line for line in done.stderr.splitlines() if " error " in line]
            equal((done.returncode, len(lines)), (78, 1), done.stderr)
            check(all(word in lines[0] for word in words), lines[0])
            equal(s.stub.requests, [])


@story
def a_start_on_a_full_disk_takes_the_reserve_and_says_so_when_there_is_none():
    need_mount_namespace()
    for reserve in (True, False):
        with Scene() as s:
            s.start(action(s.place, "true"))
            state, home = s.place.path("agent", "state"), s.place.path("home")
            wait_for(lambda: os.path.exists(os.path.join(state, "reserve")), what="the reserve")
            equal(s.agent.stop(), 0, "exit code")
            polls = len(s.stub.seen("PollForJobs"))
            script = (f"mount -t tmpfs -o size=2m none {home} || exit 99; cp -a --sparse=never {state} {home}/kept && "
                      + ("" if reserve else f"rm {home}/kept/reserve && ")
                      + f"cat /dev/zero >{home}/other 2>/dev/null; mount --bind {home}/kept {state} && exec {AGENT} -c {s.conf}")
            agent = Program(s.place, "full", ["unshare", "-m", "sh", "-c", script])
            s.place.programs.append(agent)
            if not reserve:
                check(agent.wait(60) != 0 and "disk is full" in agent.text(), agent.text())
                continue
            wait_for(lambda: not agent.alive() or " disk.low " in agent.text(), what="it to look at the disk")
            check(" disk.reserve_used " in agent.text(), agent.text())
            equal((agent.stop(), len(s.stub.seen("PollForJobs"))), (0, polls), "exit code, and polls")


@story
def a_work_directory_with_other_things_in_it_loses_none_of_them():
    with Scene() as s:
        work = s.place.path("work")
        ours, theirs = os.path.join(work, "3"), os.path.join(work, "2024")
        for path in (os.path.join(ours, "in"), os.path.join(ours, "out"), os.path.join(theirs, "photos")):
            os.makedirs(path)
        s.keys["work_dir"] = work
        s.start(action(s.place, s.marks.command("$PWD")))
        finished(s.stub.job(), "success")
        wait_for(lambda: not os.path.exists(ours), what="what a job left behind to go")
        check(os.path.isdir(os.path.join(theirs, "photos")), "what no agent made stays")
        check("jobs.left_alone" in s.agent.text() and "n=2024" in s.agent.text(), "it says so")
        check(s.marks.lines()[0].startswith(os.path.join(work, "2025")), f"a number of its own: {s.marks.lines()}")


@story
def a_work_directory_of_another_agent_or_of_the_state_is_refused():
    with Scene() as s:
        s.keys["work_dir"] = s.place.path("work")
        s.start(action(s.place, "true"), options=("--idle-timeout", "50ms"))
        equal(s.agent.wait(), 0)
        for name, work, words in (("other", s.place.path("work"), "belongs to the agent"),
                                  ("state", s.place.path("state", "state"), "keeps its state"),
                                  ("jobs", s.place.path("jobs", "state", "jobs"), "keeps its state")):
            conf = s.place.agent_conf(s.stub.endpoint, [action(s.place, "true")], name=name, work_dir=work)
            done = s.place.run([AGENT, "-c", conf], check=False)
            equal(done.returncode, 78, done.stderr)
            check("work_dir" in done.stderr and words in done.stderr, done.stderr)


@story
def a_job_that_a_lost_ledger_forgot_keeps_its_directories_while_it_runs():
    with Scene() as s:
        job = s.stub.job()
        s.start(action(s.place, s.marks.command() + f"; read go < {s.marks.path}.go"))
        s.marks.wait()
        s.agent.kill()
        for name in os.listdir(s.place.path("agent", "state")):
            if name.startswith("ledger.db"):
                os.unlink(s.place.path("agent", "state", name))
        s.start(name="second")
        wait_for(lambda: "agent.ready" in s.agent.text(), what="the second agent")
        check("jobs.left_alone" in s.agent.text(), s.agent.text())
        here = s.place.path("agent", "state", "work", "1")
        check(os.path.isdir(here), "its workspace stays")
        s.marks.go()
        s.marks.go()
        finished(s.stub.job(), "success")
        equal(job.results, [])
        equal(s.marks.lines(), ["ran", "ran"])


# ---- kernels ----

def without_pidfds(code):
    """What a program calls before its exec, so that pidfd_open fails with that errno for it and its children."""
    pidfd_open, allow, refuse = 434, 0x7fff0000, 0x00050000 | code  # 434 on every architecture
    filters = [(0x20, 0, 0, 0), (0x15, 0, 1, pidfd_open), (0x06, 0, 0, refuse), (0x06, 0, 0, allow)]
    steps = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *f) for f in filters))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(filters), ctypes.addressof(steps)))
    libc = ctypes.CDLL(None, use_errno=True)
    pr_set_seccomp, pr_set_no_new_privs = 22, 38

    def install():
        libc.prctl(pr_set_no_new_privs, 1, 0, 0, 0)
        if libc.prctl(pr_set_seccomp, 2, program) != 0:
            raise OSError(ctypes.get_errno(), "seccomp")
        return steps  # which must live until here
    return install


@story
def a_kernel_that_gives_no_pidfds_is_one_error_and_no_job_is_taken():
    with Scene() as s:
        job = s.stub.job()
        s.configure(action(s.place, "true"))
        done = s.place.run([AGENT, "-c", s.conf], check=False, preexec_fn=without_pidfds(errno.ENOSYS))
        lines = [line for line in done.stderr.splitlines() if " error " in line]
        equal((done.returncode, len(lines)), (78, 1), done.stderr)
        check("pidfd_open" in lines[0] and "Linux 5.3" in lines[0], lines[0])
        equal((s.stub.requests, job.results), ([], []))


@story
def a_job_that_cannot_be_watched_for_want_of_descriptors_is_not_lost():
    with Scene() as s:
        running = s.stub.job()
        s.start(action(s.place, s.marks.command() + f"; read go < {s.marks.path}.go"), action(s.place, "true", provider="New"))
        s.marks.wait()
        s.agent.kill()
        s.agent = Program(s.place, "second", [AGENT, "-c", s.conf], preexec_fn=without_pidfds(errno.EMFILE))
        s.place.programs.append(s.agent)
        wait_for(lambda: "job.not_watched" in s.agent.text(), what="the agent to say so")
        details = finished(s.stub.job(provider="New"), "failure")["failureDetails"]
        equal(details["type"], "SystemUnavailable", details)
        check("Too many open files" in details["message"], details)
        s.marks.go()
        finished(running, "success")
        equal((s.marks.lines(), len(running.results)), (["ran"], 1))


# ---- disks ----

@story
def an_agent_without_free_space_takes_jobs_again_when_there_is_some():
    # Nothing else ever wakes it: no job, and no poll under way.
    with Scene(min_free="2M") as s:
        disk = s.start_on_small_disk(action(s.place, s.marks.command()), size="4m")
        finished(s.stub.job(), "success")
        with open(disk + "/filler", "wb") as f:
            f.write(b"x" * (3 << 20))
        wait_for(lambda: "disk.low" in s.agent.text(), what="the lack of space to be noticed")
        polls = len(s.stub.seen("PollForJobs"))
        job = s.stub.job()
        os.unlink(disk + "/filler")
        finished(job, "success")
        check(len(s.stub.seen("PollForJobs")) > polls and "disk.ok" in s.agent.text(), "it says so")
        equal(s.agent.stop(), 0)


# ---- clocks ----

def strict_clock(stub, ahead, refuse):
    """The stub lives `ahead` seconds in the future and refuses signatures of another time."""
    base = stub.server.RequestHandlerClass

    class Clock(base):
        def date_time_string(self, timestamp=None):
            return email.utils.formatdate(time.time() + ahead, usegmt=True)

        def refuse(self, fault):
            sent = calendar.timegm(time.strptime(self.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ"))
            if abs(sent - time.time() - ahead) <= 300:
                return super().refuse(fault)
            stub.refused += 1
            refuse(self)
            return True

    stub.refused = 0
    stub.server.RequestHandlerClass = Clock


@story
def an_api_and_a_store_with_clocks_an_hour_apart_are_both_believed():
    for code in ("RequestTimeTooSkewed", "SignatureDoesNotMatch"):
        with Scene() as s, Stub() as store:
            strict_clock(s.stub, 3600, lambda h: h.answer_json(400, {"__type": "InvalidSignatureException"}, None))
            strict_clock(store, 0, lambda h: h.s3_error(403, code))
            store.jobs, store.objects = s.stub.jobs, s.stub.objects
            s.keys["s3_endpoint"] = store.endpoint
            s.start(action(s.place, 'echo x > "$MILLHAND_OUTPUT_OUT/f"'))
            for _ in range(3):
                finished(s.stub.job(inputs={"Src": zip_of({"f": b"x"})}, outputs=["Out"]), "success")
            check(s.stub.refused <= 1 and store.refused <= 1, f"{code}: refused {s.stub.refused}, {store.refused}")


# ---- memory ----

def private_kib(agent):
    with open(f"/proc/{agent.process.pid}/smaps_rollup") as f:
        return sum(int(line.split()[1]) for line in f if line.startswith("Private_Dirty"))


@story
def the_memory_of_an_answer_of_ten_thousand_jobs_is_given_back():
    if sanitized():
        skip("a sanitizer keeps freed memory")
    with Scene() as s:
        flood = {"jobs": [{"id": f"{i:08}-0000-0000-0000-000000000000", "nonce": "1", "accountId": "000000000000",
                           "data": {"actionConfiguration": {"configuration": {f"Key{n}": "v" for n in range(30)}}}}
                          for i in range(10000)]}
        s.start(action(s.place, "true"))
        finished(s.stub.job(), "success")
        before = private_kib(s.agent)
        honest, s.stub.api_PollForJobs = s.stub.api_PollForJobs, lambda body: flood
        wait_for(lambda: "poll.bad_job" in s.agent.text(), what="the poll")
        s.stub.api_PollForJobs = honest
        finished(s.stub.job(), "success")  # and it goes on
        wait_for(lambda: private_kib(s.agent) < before + 8192, 10, f"memory: {before} KiB before, {private_kib(s.agent)} KiB now")


# ---- hostile jobs ----

@story
def a_log_of_any_bytes_does_not_cost_a_job_its_result():
    # Escapes before parts of characters, what the end of a log is cleaned of.
    with Scene() as s:
        good, bad = s.stub.job(), s.stub.job(provider="Bad")
        noise = "printf '\\033\\303\\251\\033\\360\\237\\230\\200\\377 \\000\\033[\\303'; head -c 100000 /dev/urandom; echo"
        s.start(action(s.place, noise), action(s.place, noise + "; exit 3", provider="Bad"))
        finished(good, "success")
        equal(finished(bad, "failure")["failureDetails"]["type"], "JobFailed")


@story
def a_job_that_makes_a_very_deep_tree_takes_nothing_from_the_agent():
    with Scene() as s:
        job = s.stub.job()
        s.start(action(s.place, "i=0; while [ $i -lt 1500 ]; do mkdir d && cd -P d || exit 1; i=$((i+1)); done",
                       sandbox={}))
        finished(job, "success", 60)
        for where in ("jobs", "work"):
            wait_for(lambda: os.listdir(s.place.path("agent", "state", where)) == [], 60, "the removal")
        check("job.not_removed" not in s.agent.text(), s.agent.text())


run()
