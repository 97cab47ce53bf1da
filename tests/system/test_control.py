#!/usr/bin/python3
"""The control socket and the millhand program: what operators ask, and what hostile clients cannot do."""
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh.programs import MILLHAND, SRC, Place, wait_for  # noqa: E402
from mh.stub import Stub  # noqa: E402
from mh.tap import check, equal, run, skip, story  # noqa: E402
from mh.worker import FAST, Marks, action, failed_as, finished, zip_of  # noqa: E402


class Scene:
    """A stub, an agent, and an operator."""

    def __enter__(self):
        self.place, self.stub = Place(), Stub()
        self.place.__enter__()
        self.marks = Marks(self.place)
        self.agent = self.conf = None
        return self

    def __exit__(self, *exc):
        self.stub.close()
        self.place.__exit__(*exc)

    def start(self, command, name="agent", **keys):
        self.conf = self.place.agent_conf(self.stub.endpoint, [action(self.place, command)], **dict(FAST, **keys))
        return self.again(name)

    def again(self, name):
        self.agent = self.place.agent(self.conf, name=name)
        wait_for(lambda: "agent.ready" in self.agent.text(), what="the agent")
        return self.agent

    def socket_path(self):
        return self.place.path("agent", "state", "control")

    def gated(self, text="ran"):
        return f"{self.marks.command(text)}; read go < {self.marks.path}.go"

    def ask(self, *words, code=0):
        """The program; answers its CompletedProcess."""
        done = self.place.run([MILLHAND, "-c", self.conf, *words], check=False)
        equal(done.returncode, code, f"{words}: {done.stdout}{done.stderr}")
        return done

    def json(self, *words, code=0):
        lines = self.ask("--json", *words, code=code).stdout.splitlines()
        equal(len(lines), 1, "one line")
        return json.loads(lines[0])

    def connect(self):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(20)
        s.connect(self.socket_path())
        return s

    def tell(self, data):
        """One raw client: sends, and reads to the end."""
        with self.connect() as s:
            try:
                s.sendall(data)
                s.shutdown(socket.SHUT_WR)
            except BrokenPipeError:
                pass
            return read_all(s)

    def mode(self):
        return self.json("status")["mode"]


def read_all(s):
    data = b""
    try:
        while True:
            chunk = s.recv(65536)
            if not chunk:
                return data
            data += chunk
    except ConnectionResetError:
        return data


def read_line(s):
    data = b""
    while not data.endswith(b"\n"):
        chunk = s.recv(65536)
        check(chunk, f"an answer, not an end after {data!r}")
        data += chunk
    return json.loads(data)


# ---- what operators ask ----

@story
def status_and_jobs_tell_what_the_agent_does_in_text_and_json():
    with Scene() as s:
        agent = s.start(s.gated(), max_jobs=5)
        check("no jobs" in s.ask("jobs").stdout, "no jobs")
        job = s.stub.job()
        s.marks.wait()
        doc = s.json("status")
        equal((doc["ok"], doc["pid"], doc["mode"], doc["slots"], doc["slots_used"], doc["taken"]),
              (True, agent.process.pid, "run", 5, 1, 1))
        equal((doc["jobs"]["running"], doc["config"], doc["endpoint"]), (1, s.conf, s.stub.endpoint))
        equal(doc["actions"], [{"entry": "Build/Custom/Make/1", "jobs": 1, "max_jobs": 0, "failing": False}])
        text = s.ask("status").stdout
        for word in (f"pid {agent.process.pid}", "running", "1 of 5 in use", "Build/Custom/Make/1: 1 job\n", s.conf):
            check(word in text, f"{word} in {text}")
        (told,) = s.json("jobs")["jobs"]
        equal((told["id"], told["n"], told["state"], told["cancelled"]), (job.id, 1, "started", False))
        check(told["pid"] > 1 and 0 < told["left_ms"] <= 3600000 and told["age_ms"] >= 0, str(told))
        check(job.id in s.ask("jobs").stdout and "started" in s.ask("jobs").stdout, "the table of jobs")
        s.marks.go()
        finished(job, "success")
        wait_for(lambda: s.json("status")["ended"]["delivered"] == 1, what="the end")
        check("1 delivered" in s.ask("status").stdout, "what has ended")


@story
def drain_takes_no_new_jobs_and_ends_nothing_and_resume_undoes_it():
    with Scene() as s:
        agent = s.start(s.gated())
        running = s.stub.job()
        s.marks.wait()
        check("1 left" in s.ask("drain").stdout, "says what is left")
        equal(s.json("drain")["jobs"]["open"], 1, "again is as well")
        waiting = s.stub.job()
        equal(s.mode(), "paused")
        check("resume" in s.ask("status").stdout, "says how to go on")
        check("drained" in s.ask("poll-now", code=1).stderr, "no polls")
        s.marks.go()
        finished(running, "success")
        wait_for(lambda: s.json("status")["jobs"]["open"] == 0, what="the last job")
        s.ask("drain", "--wait")
        polls = len(s.stub.seen("PollForJobs"))
        agent.send(signal.SIGUSR1)
        wait_for(lambda: "mode=paused" in agent.text(), what="the dump")
        equal((waiting.status, agent.alive(), len(s.stub.seen("PollForJobs"))), ("Queued", True, polls))
        s.ask("resume")
        s.ask("resume")
        s.marks.go()
        finished(waiting, "success")
        equal((s.mode(), agent.text().count("agent.paused "), agent.text().count("agent.resumed ")), ("run", 1, 1))


@story
def drain_can_wait_for_the_last_job():
    with Scene() as s:
        s.start(s.gated())
        job = s.stub.job()
        s.marks.wait()
        argv = [MILLHAND, "-c", s.conf, "drain", "--wait"]
        asking = [subprocess.Popen(argv, stdout=subprocess.PIPE, env=s.place.env, text=True) for _ in range(2)]
        wait_for(lambda: s.mode() == "paused", what="the drain")
        asking[1].kill()
        asking[1].wait()
        equal(asking[0].poll(), None, "it waits")
        s.marks.go()
        finished(job, "success")
        out, _ = asking[0].communicate(timeout=20)
        equal((asking[0].returncode, out), (0, "drained: no job is left\n"))


@story
def who_waits_for_a_drain_is_told_when_somebody_resumes():
    with Scene() as s:
        s.start(s.gated())
        s.stub.job()
        s.marks.wait()
        argv = [MILLHAND, "-c", s.conf, "drain", "--wait"]
        asking = subprocess.Popen(argv, stderr=subprocess.PIPE, env=s.place.env, text=True)
        wait_for(lambda: s.mode() == "paused", what="the drain")
        s.ask("resume")
        _, err = asking.communicate(timeout=20)
        equal(asking.returncode, 1)
        check("resumed" in err, err)


@story
def cancel_ends_one_job_by_its_id_or_number():
    with Scene() as s:
        s.start(s.marks.command() + "; exec tail -f /dev/null")
        jobs = [s.stub.job() for _ in range(3)]
        s.marks.wait(3)
        numbers = {told["id"]: told["n"] for told in s.json("jobs")["jobs"]}
        check("is cancelled" in s.ask("cancel", jobs[0].id).stdout, "says so")
        failed_as(jobs[0], "JobFailed", "cancelled by the operator")
        equal(s.json("cancel", str(numbers[jobs[1].id]))["id"], jobs[1].id)
        failed_as(jobs[1], "JobFailed", "cancelled by the operator")
        equal((jobs[2].results, jobs[2].status), ([], "InProgress"))
        for name in (jobs[0].id, "77", "0", "+1", "nonsense", "", "9" * 400, "1" * 5000):
            check("no such job" in s.ask("cancel", name, code=1).stderr or len(name) > 4000, name)
        equal(s.json("cancel", jobs[0].id, code=1)["code"], "no_job")
        s.ask("cancel", jobs[2].id)
        finished(jobs[2], "failure")
        line = [li for li in s.agent.text().splitlines() if "control.request" in li and jobs[0].id in li][0]
        check("cancel" in line and "uid=" in line and "pid=" in line, line)


@story
def a_job_is_cancelled_before_it_has_started_but_not_when_it_has_ended():
    with Scene() as s:
        s.start(s.marks.command())
        s.stub.fault("S3 GET", "hang")
        job = s.stub.job(inputs={"Src": zip_of({"f": b""})})
        wait_for(lambda: s.stub.seen("S3 GET"), what="the fetch")
        s.ask("cancel", job.id)
        failed_as(job, "SystemUnavailable", "cancelled before it was started")
        equal(s.marks.lines(), [])
        s.stub.clear_faults()
        s.stub.fault("PutJobSuccessResult", "hang")
        ended = s.stub.job()
        wait_for(lambda: s.stub.seen("PutJobSuccessResult"), what="the report")
        equal(s.json("cancel", ended.id, code=1)["code"], "too_late")
        s.stub.clear_faults()
        finished(ended, "success")


@story
def poll_now_asks_for_jobs_at_once():
    with Scene() as s:
        s.start(s.marks.command(), poll_interval_min="1h", poll_interval_max="1h", max_jobs=1)
        wait_for(lambda: s.stub.seen("PollForJobs"), what="the first poll")
        job = s.stub.job()
        check("polling for 1 action type\n" in s.ask("poll-now").stdout, "says so")
        finished(job, "success")


@story
def an_agent_that_ends_by_a_signal_says_so():
    with Scene() as s:
        agent = s.start(s.gated())
        s.stub.job()
        s.marks.wait()
        agent.send(signal.SIGTERM)
        wait_for(lambda: s.mode() == "drain", what="the drain")
        for command in ("drain", "resume"):
            check("ending already" in s.ask(command, code=1).stderr, command)
        s.marks.go()
        equal(agent.wait(), 0)
        check(not os.path.exists(s.socket_path()), "the socket goes with the agent")
        check("no agent runs here" in s.ask("status", code=75).stderr, "nobody is there")


@story
def wrong_usage_is_told_from_other_failures():
    with Scene() as s:
        for words in ([], ["frobnicate"], ["status", "x"], ["cancel"], ["cancel", "1", "2"], ["--nonsense"],
                      ["status", "--wait"], ["-c"]):
            done = s.place.run([MILLHAND] + words, check=False)
            equal((done.returncode, done.stdout), (2, ""), str(words))
            check("--help" in done.stderr, done.stderr)
        equal(s.place.run([MILLHAND, "--help"]).stderr, "")
        check("millhand " in s.place.run([MILLHAND, "--version"]).stdout, "version")
        bad = s.place.path("bad.conf")
        with open(bad, "w") as f:
            f.write('\nstate_dir = "x" "\n')
        for conf, words in ((bad, "bad.conf:"), (s.place.path("absent.conf"), "absent.conf")):
            done = s.place.run([MILLHAND, "-c", conf, "status"], check=False)
            equal(done.returncode, 78)
            check(words in done.stderr, done.stderr)


@story
def the_shell_completes_commands_options_and_jobs():
    bash = shutil.which("bash") or skip("no bash")
    script = os.path.join(SRC, "packaging", "completions", "millhand")
    with Scene() as s:
        def complete(*words):
            lines = (f'millhand() {{ {MILLHAND} --socket {s.socket_path()} "$@"; }}; source {script}; COMP_WORDS=("$@"); '
                     'COMP_CWORD=$(($# - 1)); _millhand; echo "${COMPREPLY[@]}"')
            return s.place.run([bash, "-c", lines, "bash", "millhand", *words]).stdout.split()

        usage = s.place.run([MILLHAND, "--help"]).stdout
        commands = complete("")
        equal(len(commands), 6)
        for command in commands:
            check(f"  {command} " in usage, command)
        equal(complete("--json", "p"), ["poll-now"])
        equal(complete("-c", "x", "dr"), ["drain"])
        equal(complete("drain", ""), [])
        for option in complete("--"):
            check(option in usage, option)
        s.start(s.gated())
        s.stub.job()
        s.marks.wait()
        equal(complete("cancel", ""), ["1"])


# ---- the socket ----

@story
def the_socket_is_for_the_agents_user_and_root_alone():
    with Scene() as s:
        s.start("true")
        equal(stat.S_IMODE(os.stat(s.socket_path()).st_mode), 0o600)
        if os.geteuid() != 0:
            skip("takes root")
        for path in (s.place.dir, s.place.path("agent"), os.path.dirname(s.socket_path())):
            os.chmod(path, 0o755)

        def as_nobody():
            return subprocess.run([MILLHAND, "--socket", s.socket_path(), "status"], env=s.place.env, user=65534,
                                  group=65534, extra_groups=[], cwd="/", capture_output=True, text=True)

        try:
            done = as_nobody()
        except PermissionError:
            skip("the program cannot be run by another user from here")
        if done.returncode not in (1, 75):
            skip(f"the program cannot be run by another user from here: {done.stderr}")
        equal(done.returncode, 1, done.stderr)
        os.chmod(s.socket_path(), 0o666)
        done = as_nobody()
        equal(done.returncode, 1)
        check("only the agent's user and root" in done.stderr, done.stderr)
        equal(s.mode(), "run")


@story
def a_dead_agents_socket_is_told_from_a_live_one_and_replaced():
    with Scene() as s:
        s.start("true").kill()
        check("killed" in s.ask("status", code=75).stderr, "left over")
        s.again("second")
        equal(s.mode(), "run")
        s.place.agent(s.conf, name="third").wait()
        equal(s.mode(), "run", "an agent that cannot start leaves the socket alone")
        equal(s.agent.stop(), 0)
        with open(s.socket_path(), "w") as f:
            f.write("mine")
        fourth = s.again("fourth")
        check("control.off" in fourth.text(), fourth.text())
        with open(s.socket_path()) as f:
            equal(f.read(), "mine")
        equal(fourth.stop(), 0)
        check(os.path.exists(s.socket_path()), "what is not the agent's stays")


@story
def a_stopped_agent_is_not_waited_for_for_ever():
    with Scene() as s:
        s.start("true")
        s.agent.send(signal.SIGSTOP)
        try:
            check("does not answer" in s.ask("status", code=75).stderr, "says so")
        finally:
            s.agent.send(signal.SIGCONT)
        equal(s.mode(), "run")


@story
def a_deep_state_directory_has_a_socket_too():
    with Scene() as s:
        deep = s.place.path(*(["d" * 60] * 4))
        s.start("true", state_dir=deep)
        equal(s.mode(), "run")
        equal(s.place.run([MILLHAND, "--socket", os.path.join(deep, "control"), "jobs"]).stdout, "no jobs\n")


# ---- clients ----

@story
def many_requests_are_answered_in_order_on_one_connection_and_on_many():
    with Scene() as s:
        s.start("true")
        lines = [{"command": "jobs"}, {"command": "status"}, {"command": "cancel", "job": "x"}] * 10
        answers = s.tell("".join(json.dumps(x) + "\n" for x in lines).encode()).splitlines()
        equal(len(answers), 30)
        for asked, got in zip(lines, map(json.loads, answers)):
            equal(got["ok"], asked["command"] != "cancel")
            equal("taken" in got, asked["command"] == "status")
        clients = [s.connect() for _ in range(10)]
        for c in clients:
            c.sendall(b'{"command":"sta')
        for c in reversed(clients):
            c.sendall(b'tus"}\n')
            equal(read_line(c)["ok"], True)
        for c in clients:
            c.close()
        # A client may not go on for ever.
        equal(len(s.tell(b'{"command":"jobs"}\n' * 150).splitlines()), 100)


@story
def nonsense_is_refused_with_a_sentence_and_harms_nothing():
    with Scene() as s:
        agent = s.start("true")
        nonsense = [b"\n", b"null\n", b"[]\n", b"7\n", b'"status"\n', b"{\n", b"\x00\xff\xfe\n", b"{}{}\n",
                    b'{"command":"status","command":"drain"}\n', b'{"command":"st\xffatus"}\n',
                    b"[" * 3000 + b"\n", b'{"a":' * 600 + b"\n", b"x" * 5000, b"x" * 100000, b"GET / HTTP/1.1\r\n\r\n"]
        for data in nonsense:
            (line,) = s.tell(data).splitlines()
            answer = json.loads(line)
            equal((answer["ok"], answer["code"]), (False, "bad_request"), str(data[:40]))
            check(answer["error"], "a sentence")
        for doc in ({}, {"command": None}, {"command": ["status"]}, {"command": 7}, {"command": "STATUS"},
                    {"command": "status\x00"}, {"cmd": "status"}):
            answer = json.loads(s.tell(json.dumps(doc).encode() + b"\n"))
            equal((answer["ok"], answer["code"]), (False, "bad_request"), str(doc))
        for doc in ({"command": "cancel"}, {"command": "cancel", "job": 7}, {"command": "cancel", "job": {"n": 1}}):
            equal(json.loads(s.tell(json.dumps(doc).encode() + b"\n"))["code"], "no_job", str(doc))
        equal(s.tell(b""), b"")
        equal(s.tell(b'{"command":"drain"'), b"", "half a request is none")
        equal((s.mode(), agent.alive()), ("run", True))


@story
def too_many_clients_are_turned_away_and_slow_ones_are_hung_up_on():
    with Scene() as s:
        agent = s.start(s.gated())
        for _ in range(5):
            s.marks.go()
            finished(s.stub.job(), "success")
        s.tell(b'{"command":"status"}\n')
        fds = f"/proc/{agent.process.pid}/fd"
        before = len(os.listdir(fds))
        slow = [s.connect() for _ in range(16)]
        for c in slow:
            c.sendall(b'{"command":')
        with s.connect() as late:
            answer = read_line(late)
            equal((answer["ok"], answer["code"]), (False, "busy"))
        s.marks.go()
        finished(s.stub.job(), "success")
        for c in slow:
            equal(read_all(c), b"", "hung up on")
            c.close()
        wait_for(lambda: b'"ok":true' in s.tell(b'{"command":"status"}\n'), what="their places to be free")
        equal(s.mode(), "run")
        for _ in range(50):
            s.connect().close()
            s.tell(b'{"command":"status"}\n')
        wait_for(lambda: len(os.listdir(fds)) <= before, what=f"{before} descriptors at most")
        equal(agent.stop(), 0)


@story
def an_agent_ends_with_clients_on_its_socket():
    with Scene() as s:
        agent = s.start(s.gated())
        s.stub.job()
        s.marks.wait()
        idle, waiting = s.connect(), s.connect()
        waiting.sendall(b'{"command":"drain","wait":true}\n')
        wait_for(lambda: s.mode() == "paused", what="the drain")
        agent.send(signal.SIGUSR2)
        equal(agent.wait(), 0)
        equal(read_all(idle), b"")
        read_all(waiting)


@story
def nothing_that_came_from_outside_moves_the_terminal():
    with Scene() as s:
        s.start(s.gated())
        job = s.stub.job()
        data = job.data

        def evil():
            doc = data()
            doc["pipelineContext"]["stage"]["name"] = "\x1b[2J\u202eevil\r\n\x9b5n"
            return doc

        job.data = evil
        s.marks.wait()
        text = s.ask("jobs").stdout
        equal(len(text.splitlines()), 2, repr(text))
        check(not any(c in text for c in "\x1b\u202e\r\x9b"), repr(text))


run()
