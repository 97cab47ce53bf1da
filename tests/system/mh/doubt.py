"""Three agents at one endpoint, each in a network namespace, with links that are cut at random.

    with Doubt(seed, policy="drop", strict=True, again=0.3) as d:
        d.play(jobs=60)          hands the jobs out, cuts links, loses answers, until nothing moves any more
        d.runs, d.outcomes       how often each job ran; what the service has of it

The endpoint is the stub, in a fourth namespace. Besides the cuts it loses answers after it did what was asked, and
requests before it did. A job that nobody acknowledged is handed out again `again` seconds after the last time, with
another nonce. `strict`: a second acknowledgement is refused, also by the nonce that counts.
"""
import ctypes
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import threading
import time
from collections import Counter

from mh.programs import AGENT, Place, Program, wait_for
from mh.stub import Stub
from mh.tap import skip
from mh.worker import FAST, Marks, action

AGENTS = 3
NOISE = {"AcknowledgeJob": {"drop_after": 0.15, "drop_before": 0.08, "error500": 0.02},
         "PutJobSuccessResult": {"drop_after": 0.15, "drop_before": 0.05},
         "PollForJobs": {"drop_after": 0.03}}

_libc = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET, _PR_SET_PDEATHSIG = 0x40000000, 1


def need_namespaces():
    if os.geteuid() != 0:
        skip("network namespaces are for root to make")
    for tool in ("ip", "unshare", "nsenter"):
        if not shutil.which(tool):
            skip(f"there is no {tool}")
    if subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode != 0:
        skip("this machine lets root make no network namespaces")


class Net:
    """A network namespace: a process that does nothing lives in it, and it ends with that."""

    def __init__(self):
        self.holder = subprocess.Popen(["unshare", "-n", "tail", "-f", "/dev/null"], stdin=subprocess.DEVNULL,
                                       preexec_fn=lambda: _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL))
        mine = os.readlink("/proc/self/ns/net")
        wait_for(lambda: os.readlink(f"/proc/{self.holder.pid}/ns/net") != mine, what="a network namespace")
        self.fd = os.open(f"/proc/{self.holder.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self.ip("link", "set", "lo", "up")

    def enter(self):
        """This thread, or a child before it runs its program."""
        if _libc.setns(self.fd, _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")

    def inside(self, call):
        """What the call answers, made by a thread in here: sockets belong to where they are made."""
        answers = []

        def run():
            self.enter()
            answers.append(call())

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        return answers[0]

    def ip(self, *words):
        subprocess.run(["nsenter", f"--net=/proc/{self.holder.pid}/ns/net", "ip", *words], check=True,
                       capture_output=True, stdin=subprocess.DEVNULL)

    def close(self):
        os.close(self.fd)
        self.holder.kill()
        self.holder.wait()


def join(hub, net, number):
    """A cable from the hub to that namespace; answers the hub's address on it."""
    hub.ip("link", "add", f"to{number}", "type", "veth", "peer", "name", "up0", "netns", str(net.holder.pid))
    hub.ip("addr", "add", f"10.77.{number}.1/24", "dev", f"to{number}")
    hub.ip("link", "set", f"to{number}", "up")
    net.ip("addr", "add", f"10.77.{number}.2/24", "dev", "up0")
    net.ip("link", "set", "up0", "up")
    return f"10.77.{number}.1"


class _Stub(Stub):
    """Loses requests and answers by chance, and hands jobs out again."""

    def __init__(self, rng, again, noise):
        self.rng, self.again, self.noise = rng, again, noise
        self.handed_out, self.duplicates, self.lost = {}, 0, Counter()
        super().__init__("0.0.0.0")

    def take_fault(self, operation):
        with self.lock:
            dice = self.rng.random()
            for kind, chance in self.noise.get(operation, {}).items():
                dice -= chance
                if dice < 0:
                    self.lost[f"{operation} {kind}"] += 1
                    return kind
        return None

    def api_PollForJobs(self, body):
        now = time.monotonic()
        for job in self.jobs:
            if job.status == "Dispatched" and now - self.handed_out[job.id] >= self.again:
                job.redeliver = True
        answer = super().api_PollForJobs(body)
        for offer in answer["jobs"]:
            self.duplicates += offer["id"] in self.handed_out
            self.handed_out[offer["id"]] = now
        return answer

    def judge_signature(self, *nothing):
        pass  # test_agent_stub.py does; here it would cost more than all the rest

    def quiet(self):
        with self.lock:
            self.noise = {}


class Doubt:
    def __init__(self, seed, policy, strict, again, noise=None, cuts=True):
        self.rng = random.Random(seed)
        self.policy, self.strict, self.again, self.cuts = policy, strict, again, cuts
        self.noise = NOISE if noise is None else noise
        self.place, self.nets, self.agents, self.cut_count = Place(), [], [], 0

    def __enter__(self):
        need_namespaces()
        self.place.__enter__()
        self.marks = Marks(self.place)
        self.hub = self.net()
        self.stub = self.hub.inside(lambda: _Stub(self.rng, self.again, self.noise))
        self.stub.strict = self.strict
        self.links = [self.net() for _ in range(AGENTS)]
        for number, net in enumerate(self.links):
            self.start(number, net, join(self.hub, net, number))
        return self

    def __exit__(self, *exc):
        if hasattr(self, "stub"):
            self.stub.close()
        self.place.__exit__(*exc)
        for net in self.nets:
            net.close()

    def net(self):
        self.nets.append(Net())
        return self.nets[-1]

    def start(self, number, net, address):
        keys = dict(FAST, max_jobs=4, ack_timeout="300ms", api_timeout="1s", in_doubt=self.policy, allow_plain_http=True)
        entry = action(self.place, f"echo $MILLHAND_JOB_ID >> {self.marks.path}")
        name = f"agent{number}"
        conf = self.place.agent_conf(f"http://{address}:{self.stub.port}", [entry], name=name, **keys)
        agent = Program(self.place, name, [AGENT, "-c", conf], preexec_fn=net.enter)
        self.place.programs.append(agent)
        self.agents.append(agent)

    # ---- what happens ----

    def link(self, number, state):
        self.links[number].ip("link", "set", "up0", state)

    def pass_time(self, low, high):
        end = time.monotonic() + self.rng.uniform(low, high)
        wait_for(lambda: time.monotonic() > end, what="the end of a moment")

    def cut_links(self):
        """One, and now and then two at once, for less or more time than a request may take."""
        down = self.rng.sample(range(AGENTS), self.rng.choice((1, 1, 2)))
        for number in down:
            self.link(number, "down")
            self.cut_count += 1
        self.pass_time(0.05, self.rng.choice((0.3, 0.3, 1.5)))
        for number in down:
            self.link(number, "up")

    def play(self, jobs, seconds=60, wave=10):
        """The jobs come in waves; nothing is lost any more once nine in ten have come through."""
        self.jobs = []
        while len(self.jobs) < jobs or not self.mostly_settled():
            for _ in range(min(wave, jobs - len(self.jobs))):
                self.jobs.append(self.stub.job())
            self.pass_time(0.02, 0.2)
            if self.cuts:
                self.cut_links()
        self.stub.quiet()
        wait_for(self.at_rest, seconds, "every job to be settled at the service and with the agents")
        return self

    def mostly_settled(self):
        return sum(self.is_settled(j) for j in self.jobs) >= len(self.jobs) * 0.9

    @staticmethod
    def is_settled(job):
        return job.status in ("InProgress", "Succeeded", "Failed")

    def open_rows(self, number):
        path = self.place.path(f"agent{number}", "state", "ledger.db")
        try:
            with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5) as db:
                return db.execute("SELECT count(*) FROM jobs WHERE state != 'closed'").fetchone()[0]
        except sqlite3.OperationalError:
            return 1  # being made, or busy

    def at_rest(self):
        with self.stub.lock:
            settled = all(self.is_settled(j) for j in self.jobs)
        return settled and not any(self.open_rows(n) for n in range(AGENTS))

    # ---- what came of it ----

    @property
    def runs(self):
        """{how often: so many jobs ran that often}"""
        ran = Counter(self.marks.lines())
        return dict(sorted(Counter(ran[j.id] for j in self.jobs).items()))

    @property
    def outcomes(self):
        return dict(sorted(Counter(j.status for j in self.jobs).items()))

    def said(self, event):
        return sum(a.text().count(f" {event} ") for a in self.agents)

    def tell(self):
        lost = sum(self.stub.lost.values())
        return (f"{'strict' if self.strict else 'idempotent'}, again after {self.again} s, {self.policy}: {len(self.jobs)} jobs, "
                f"runs {self.runs}, at the service {self.outcomes}; {self.said('job.in_doubt')} in doubt, "
                f"{self.said('job.doubt_settled')} kept, {self.said('job.dropped')} dropped, {self.said('job.lost')} lost races; "
                f"{lost} requests or answers lost, {self.cut_count} cuts, {self.stub.duplicates} duplicates")
