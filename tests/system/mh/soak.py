"""Rounds of jobs in flight and processes killed at random, and the checker that compares what is left.

    with Soak(seed, jobs=20) as soak:
        for number in range(rounds):
            soak.round(number)

A round starts `jobs` executions of three pipelines, kills what the seed says while they run, brings
everything up again, and waits for the end of each. Then ledger, emulator and the handlers' own marks
must agree: nothing lost, run twice, reported twice or stuck.
"""
import os
import random
import re
import signal
import socket
import sqlite3
import threading

from botocore.exceptions import BotoCoreError

from mh import points
from mh.programs import Place, wait_for
from mh.tap import check, equal
from mh.worker import FAST, action, zip_of

ROLE = "arn:aws:iam::000000000000:role/pipeline"
BUCKET = "soakbucket"
PATIENCE_S = 150  # an agent whose retry quota is used up rests for a minute
_pause = threading.Event()

START = 'echo "start $MILLHAND_JOB_ID" >> {marks}; read go < {gate}; '
END = 'echo "end $MILLHAND_JOB_ID" >> {marks}'
COMMANDS = {
    "Make": START + 'cp "$MILLHAND_INPUT_SOURCE/f" "$MILLHAND_OUTPUT_BUILT/f" && ' + END,
    "Again": START + END + '; [ -n "$MILLHAND_CONTINUATION_TOKEN" ] || '
             'echo \'{{"continuation":{{"token":"t","delay_s":1}}}}\' > "$MILLHAND_RESULT"',
    "Idem": START + END,
}
# What a kill may turn a job into, besides a success.
KILLED = {"SystemUnavailable", "JobFailed"}


def quiet_port():
    """A port beneath those the kernel gives away by itself: it stays ours while the emulator is down."""
    for _ in range(200):
        port = random.SystemRandom().randrange(15000, 32000)
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass
    raise AssertionError("no free port")


def processes():
    """{pid: (parent, name)} of all that live."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as f:
                text = f.read()
        except OSError:
            continue
        name, rest = text[text.index("(") + 1:text.rindex(")")], text[text.rindex(")") + 2:].split()
        if rest[0] != "Z":
            found[int(pid)] = (int(rest[1]), name)
    return found


class Soak:
    def __init__(self, seed, jobs=20):
        self.seed, self.jobs, self.place = seed, jobs, Place()
        self.marks, self.gate = self.place.path("marks"), self.place.path("gate")
        self.boot_file, self.boot = self.place.path("boot_id"), 1
        self.lives, self.seen_seq, self.seen_n = 0, 0, 0
        self.points = points.in_sources() if points.built_in() else None
        self.emulator = self.agent = None
        self.emulator_point = self.agent_point = None
        self.hits = 0  # kill points that were reached
        self.pace = 1 if jobs > 9 else 0.3  # of what lies between two kills

    def __enter__(self):
        self.place.__enter__()
        os.mkfifo(self.gate)
        self.gate_fd = os.open(self.gate, os.O_RDWR | os.O_NONBLOCK)
        open(self.marks, "w").close()
        self.write_boot_id()
        self.port = quiet_port()
        self.start_emulator()
        self.cp, self.s3 = self.emulator.client("codepipeline"), self.emulator.client("s3")
        self.set_up()
        entries = [action(self.place, COMMANDS[provider].format(marks=self.marks, gate=self.gate), provider=provider,
                          **({"idempotent": True} if provider == "Idem" else {})) for provider in COMMANDS]
        # A job that nobody acknowledged is offered again within a second here, sooner than in_doubt = "fresh" counts on.
        self.conf = self.place.agent_conf(self.emulator.endpoint, entries, max_jobs=self.jobs, keep_failed=0, in_doubt="drop",
                                          **dict(FAST, retry_base="100ms"))
        self.start_agent()
        self.let_first_ones_end()
        return self

    def __exit__(self, kind, value, trace):
        for pid in self.shims():
            self.end(pid)
        os.close(self.gate_fd)
        self.place.__exit__(kind, value, trace)

    def set_up(self):
        self.s3.create_bucket(Bucket=BUCKET)
        self.put_source()
        source = {"name": "S", "outputArtifacts": [{"name": "SOURCE"}],
                  "actionTypeId": {"category": "Source", "owner": "AWS", "provider": "S3", "version": "1"},
                  "configuration": {"S3Bucket": BUCKET, "S3ObjectKey": "source.zip", "PollForSourceChanges": "false"}}
        for provider in COMMANDS:
            made = [{"name": "BUILT"}] if provider == "Make" else []
            self.cp.create_custom_action_type(
                category="Build", provider=provider, version="1", inputArtifactDetails={"minimumCount": 1, "maximumCount": 1},
                outputArtifactDetails={"minimumCount": len(made), "maximumCount": len(made)})
            build = {"name": "B", "inputArtifacts": [{"name": "SOURCE"}], "outputArtifacts": made,
                     "actionTypeId": {"category": "Build", "owner": "Custom", "provider": provider, "version": "1"}}
            self.cp.create_pipeline(pipeline={
                "name": provider, "roleArn": ROLE, "pipelineType": "V2", "executionMode": "PARALLEL",
                "artifactStore": {"type": "S3", "location": BUCKET},
                "stages": [{"name": "Source", "actions": [source]}, {"name": "Work", "actions": [build]}]})

    def let_first_ones_end(self):
        """A pipeline that is created runs once."""
        self.begin_round()
        self.executions = [(name, self.call(self.cp.list_pipeline_executions, pipelineName=name)
                            ["pipelineExecutionSummaries"][0]["pipelineExecutionId"]) for name in COMMANDS]
        self.finish_round()

    # ---- programs ----

    def write_boot_id(self):
        with open(self.boot_file, "w") as f:
            f.write(f"00000000-0000-4000-8000-{self.boot:012d}")

    def start_agent(self, point=None):
        self.lives += 1
        env = {"MILLHAND_BOOT_ID_FILE": self.boot_file, **({"MILLHAND_KILL_AT": point} if point else {})}
        self.agent, self.agent_point = self.place.agent(self.conf, name="agent", env=env), point

    def start_emulator(self, point=None):
        self.lives += 1
        env = {"MILLHAND_KILL_AT": point} if point else None
        try:
            self.emulator = self.place.emulator("--ack-timeout", "1s" if self.pace == 1 else "300ms", env=env, port=self.port)
        except AssertionError as e:
            if not point or "exit -9" not in str(e):
                raise
            self.hits += 1  # the point lies in its start
            return self.start_emulator()
        self.emulator_point = point

    def revive(self, clean=False):
        """Starts again what is dead; clean: without a kill point, and what still has one too."""
        for program, point, start in ((self.emulator, self.emulator_point, self.start_emulator),
                                      (self.agent, self.agent_point, self.start_agent)):
            if program is None:
                continue  # not started yet
            if clean and point and program.alive():
                program.kill()
                point = None
            if program.alive():
                continue
            equal(program.wait(), -signal.SIGKILL, f"{program.name} ends by a kill alone")
            self.hits += bool(point)
            program.close()
            self.place.programs.remove(program)
            start()

    def shims(self):
        """Every millhand-job of this place, whoever is its parent by now."""
        ours = []
        for pid, (_, name) in processes().items():
            try:
                if name == "millhand-job" and os.path.realpath(f"/proc/{pid}/fd/4").startswith(self.place.dir + "/"):
                    ours.append(pid)
            except OSError:
                pass
        return sorted(ours)

    def zygotes(self):
        """What forks shims: it has the agent's log, and no job directory."""
        ours, shims = [], self.shims()
        for pid, (_, name) in processes().items():
            try:
                if name == "millhand-job" and pid not in shims and \
                        os.path.realpath(f"/proc/{pid}/fd/2").startswith(self.place.dir + "/"):
                    ours.append(pid)
            except OSError:
                pass
        return ours

    def below(self, shim):
        """The processes of a job: handler, command, archives."""
        found, grown = {shim}, True
        everyone = processes()
        while grown:
            more = {pid for pid, (parent, _) in everyone.items() if parent in found} - found
            found, grown = found | more, bool(more)
        return sorted(found - {shim})

    def end(self, pid):
        try:
            os.kill(pid, signal.SIGKILL)
            return True
        except ProcessLookupError:
            return False

    # ---- what happens in a round ----

    def kill_agent(self, rng):
        self.agent.kill()

    def kill_emulator(self, rng):
        self.emulator.kill()

    def kill_both(self, rng):
        self.agent.kill()
        self.emulator.kill()

    def kill_shim(self, rng):
        shims = self.shims()
        for pid in rng.sample(shims, min(len(shims), 1 + rng.randrange(3))):
            self.may_fail += self.end(pid)

    def kill_handler(self, rng):
        shims = self.shims()
        if shims:
            below = self.below(rng.choice(shims))
            self.may_fail += bool(below) and self.end(rng.choice(below))

    def kill_agent_and_shims(self, rng):
        self.agent.kill()
        for pid in self.zygotes():
            self.end(pid)
        shims = self.shims()
        below = [pid for shim in shims for pid in self.below(shim)]
        self.may_fail += sum([self.end(pid) for pid in shims])
        for pid in below:
            self.end(pid)
        wait_for(lambda: not set(shims + below) & set(processes()), 20, "the killed to be gone")

    def kill_all(self, rng):
        self.emulator.kill()
        self.kill_agent_and_shims(rng)

    def reboot(self, rng):
        if rng.random() < 0.5:
            self.emulator.kill()
        self.kill_agent_and_shims(rng)
        self.may_fail += self.jobs  # what was recorded as started may have been
        self.boot += 1
        self.write_boot_id()

    def point_in_agent(self, rng):
        self.agent.kill()
        self.start_agent(f"{rng.choice(sorted(self.points['agent']))}:{rng.choice((1, 1, 2, 5, 9))}")

    def point_in_emulator(self, rng):
        self.emulator.kill()
        self.start_emulator(f"{rng.choice(sorted(self.points['emulator']))}:{rng.choice((1, 2, 5, 20, 50))}")

    def point_in_job(self, rng):
        self.agent.kill()
        self.may_fail += self.jobs  # of all jobs that it starts
        self.start_agent(rng.choice(sorted(self.points["job"])))

    EVENTS = (kill_agent, kill_emulator, kill_both, kill_shim, kill_handler, kill_agent_and_shims, kill_all)
    POINT_EVENTS = (reboot, point_in_agent, point_in_agent, point_in_emulator, point_in_emulator, point_in_job)

    def told(self, event):
        point = {"point_in_emulator": self.emulator_point, "point_in_agent": self.agent_point,
                 "point_in_job": self.agent_point}.get(event.__name__)
        return f"{event.__name__}({point or ''})"

    # ---- a round ----

    def let_go(self, count):
        try:
            os.write(self.gate_fd, b"\n" * count)
        except BlockingIOError:
            pass  # so many may go already

    def close_gate(self):
        try:
            while os.read(self.gate_fd, 65536):
                pass
        except BlockingIOError:
            pass

    def call(self, operation, **arguments):
        """An API call that is made again until the emulator answers, as clients do."""
        def try_it():
            self.revive()
            try:
                return (operation(**arguments),)
            except (BotoCoreError, OSError):
                return None
        return wait_for(try_it, PATIENCE_S, "an answer of the emulator")[0]

    def put_source(self):
        """Replaces the source, as its file: what was started by then finds the one or the other."""
        self.call(self.s3.put_object, Bucket=BUCKET, Key="source.zip", Body=zip_of({"f": os.urandom(3000)}))

    def some_pipelines(self, rng):
        return rng.choices(list(COMMANDS), (14, 3 if rng.random() < 0.3 * self.pace else 0, 4), k=self.jobs)

    def start_executions(self, names, number):
        self.executions = []
        for i, name in enumerate(names):
            answer = self.call(self.cp.start_pipeline_execution, name=name,
                               clientRequestToken=f"soak-{self.seed}-{number}-{i:04d}")
            self.executions.append((name, answer["pipelineExecutionId"]))

    def mark_count(self):
        return os.path.getsize(self.marks)

    def random_moment(self, rng):
        if rng.random() < 0.6:
            want = self.mark_count() + rng.randrange(1, 42 * self.jobs // 4 + 2)
            try:
                wait_for(lambda: self.mark_count() >= want or not (self.agent.alive() and self.emulator.alive()),
                         rng.random() * 0.4 * self.pace, "marks")
            except AssertionError:
                pass  # that many do not come
        _pause.wait(rng.random() ** 3 * 0.3 * self.pace)

    def begin_round(self):
        self.happened, self.may_fail = [], 0
        with open(self.marks) as f:
            self.old_marks = len(f.read().splitlines())

    def round(self, number):
        rng = random.Random(f"{self.seed}:{number}")
        self.begin_round()
        self.start_executions(self.some_pipelines(rng), number)
        for _ in range(rng.choice((1, 1, 2, 2, 3))):
            self.random_moment(rng)
            event = rng.choice(self.EVENTS + (self.POINT_EVENTS if self.points else ()))
            event(self, rng)
            self.happened.append(self.told(event))
            self.let_go(rng.randrange(self.jobs + 1))
            if rng.random() < 0.2:
                self.put_source()
            if rng.random() < 0.5:
                self.random_moment(rng)
            self.revive()
        self.finish_round()

    def finish_round(self):
        self.settle()
        self.close_gate()
        self.judge()

    def open_executions(self):
        left = dict(self.executions and [(e, p) for p, e in self.executions])
        for name in COMMANDS:
            listed = self.call(self.cp.list_pipeline_executions, pipelineName=name, maxResults=100)
            for e in listed["pipelineExecutionSummaries"]:
                if e["status"] != "InProgress":
                    left.pop(e["pipelineExecutionId"], None)
        return left

    def settle(self):
        """Everything that the round started comes to its end."""
        self.let_go(self.jobs * 4)
        _pause.wait(0.05)
        self.revive(clean=True)
        try:
            wait_for(lambda: self.revive() or not self.open_executions(), PATIENCE_S, "every execution to end")
            wait_for(self.at_rest, PATIENCE_S, "the agent to close every job and to remove its directories")
        except AssertionError as e:
            raise AssertionError(f"stuck: {e}; open: {self.open_executions()}; ledger: {self.ledger_open()}") from e

    def ledger(self, sql, *values):
        path = self.place.path("agent", "state", "ledger.db")
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10) as db:
            return db.execute(sql, values).fetchall()

    def ledger_open(self):
        return self.ledger("SELECT n, job_id, state, entry, runs FROM jobs WHERE state <> 'closed'")

    def at_rest(self):
        """No open row, no directory, no shim."""
        left = [name for where in ("jobs", "work") for name in os.listdir(self.place.path("agent", "state", where))
                if name.isdigit()]
        return not left and not self.ledger_open() and not self.shims()

    # ---- the checker ----

    def emulator_rows(self, sql, *values):
        path = os.path.join(self.emulator.data_dir, "emulator.db")
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10) as db:
            return db.execute(sql, values).fetchall()

    def new_marks(self):
        with open(self.marks) as f:
            lines = f.read().splitlines()[self.old_marks:]
        marks = {}
        for line in lines:
            check(re.fullmatch(r"(start|end) [0-9a-f-]{36}", line), f"a mark: {line!r}")
            kind, job = line.split()
            marks.setdefault(job, []).append(kind)
        return marks

    def judge(self):
        jobs = self.emulator_rows(
            "SELECT j.seq, j.id, j.state, a.pipeline, a.status, j.action FROM jobs j JOIN action_executions a ON a.seq = j.action "
            "WHERE j.seq > ? AND j.executor = 'worker' ORDER BY j.seq", self.seen_seq)
        rows = {}
        for n, job, state, end, kind, failure, owned, runs in self.ledger(
                "SELECT n, job_id, state, end, kind, failure, owned, runs FROM jobs WHERE n > ? ORDER BY n", self.seen_n):
            rows.setdefault(job, []).append((end, kind, failure, owned, runs))
            self.seen_n = max(self.seen_n, n)
        marks = self.new_marks()
        equal(len({j[5] for j in jobs}), len(self.executions), "an action for each execution")
        equal(sorted(set(marks) - {j[1] for j in jobs}), [], "marks of jobs that there are")
        equal(sorted(set(rows) - {j[1] for j in jobs}), [], "ledger rows of jobs that there are")
        failed = 0
        for seq, job, state, pipeline, status, _ in jobs:
            self.seen_seq = max(self.seen_seq, seq)
            failed += self.judge_job(job, state, pipeline, rows.get(job, []), marks.get(job, []))
        check(failed <= self.may_fail, f"{failed} jobs failed, {self.may_fail} were hit")
        self.judge_executions(jobs)
        self.judge_store()

    def judge_job(self, job, state, pipeline, rows, marks):
        """Whether it failed, when all that is known of it agrees."""
        what = f"job {job} of {pipeline}: {state}, ledger {rows}, marks {marks}"
        check(state in ("Succeeded", "Failed"), f"stuck: {what}")
        owned = [r for r in rows if r[3]]
        equal(len(owned), 1, f"lost, or acknowledged twice: {what}")
        end, kind, failure, _, runs = owned[0]
        equal(end, "delivered", f"not reported once: {what}")
        equal(state == "Succeeded", kind in ("success", "continuation"), f"another kind: {what}")
        starts, ends = marks.count("start"), marks.count("end")
        most = 3 if pipeline == "Idem" else 1
        check(starts <= most and ends <= starts and runs <= most + (pipeline != "Idem") * 2, f"run twice: {what}")
        if state == "Succeeded":
            check(ends >= 1, f"success claimed early: {what}")
            return 0
        check(failure in KILLED, f"failure {failure}: {what}")
        return 1

    def judge_executions(self, jobs):
        failed = {j[5] for j in jobs if j[2] == "Failed"}
        for _, _, _, _, status, act in jobs:
            equal(status, "Failed" if act in failed else "Succeeded", f"status of action execution {act}")
        again = [j for j in jobs if j[3] == "Again"]
        for act in {j[5] for j in again} - failed:
            equal(len([j for j in again if j[5] == act]), 2, "a continuation has one successor")

    def judge_store(self):
        """Every row has its file, of its size; what was built is there."""
        top = os.path.join(self.emulator.data_dir, "objects")
        objects = self.emulator_rows("SELECT key, file_id, size FROM s3_object")
        for key, file, size in objects:
            path = os.path.join(top, file[:2], file)
            check(os.path.exists(path) and os.path.getsize(path) == size, f"object {key}: its file")
        keys = {o[0] for o in objects}
        for key, execution in self.emulator_rows(
                "SELECT r.key, e.id FROM artifacts r JOIN executions e ON e.seq = r.execution WHERE r.bucket = ?", BUCKET):
            check(key in keys, f"artifact {key} of execution {execution} is in the store")
