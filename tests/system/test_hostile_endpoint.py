#!/usr/bin/python3
"""The agent behind an endpoint that lies, breaks off, stalls and redirects: it lives, and loses nothing."""
import glob
import http.server
import os
import random
import ssl
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh import proxy as faults  # noqa: E402
from mh.programs import SHARED, Place, free_port, wait_for  # noqa: E402
from mh.proxy import PLACES, Proxy, body, cut, drip, flood, garble, reset, say, stall  # noqa: E402
from mh.stub import Stub  # noqa: E402
from mh.tap import check, equal, run, skip, story  # noqa: E402
from mh.worker import FAST, Marks, action, failed_as, finished, zip_of  # noqa: E402

SEED = int(os.environ.get("MH_SEED", "7"))
QUICK = dict(FAST, api_timeout="400ms", ack_timeout="400ms", stall_timeout="1s", retry_base="10ms", max_jobs=16)
OPERATIONS = ("PollForJobs", "AcknowledgeJob", "GetJobDetails", "PutJobSuccessResult", "PutJobFailureResult", "S3 GET",
              "S3 PUT", "ListActionExecutions")
HTML = b"<!DOCTYPE html><html><body><h1>Please log in to the network</h1></body></html>"


class Scene:
    """A stub behind a proxy, and an agent that is told of the proxy alone."""

    def __init__(self, **conf):
        self.place, self.stub = Place(), Stub()
        self.proxy = Proxy(self.stub.port, self.choose)
        self.marks = Marks(self.place)
        self.conf, self.agent = dict(QUICK, **conf), None
        self.plans = {}  # (job id, operation): faults, one for each request about that job
        self.cases = []  # (title, job, operation)
        self.waiting = {}  # job id: (nonce, since when it waits for its acknowledgement)

    def __enter__(self):
        self.place.__enter__()
        return self

    def __exit__(self, *exc):
        self.proxy.close()
        self.stub.close()
        self.place.__exit__(*exc)

    def start(self, *actions, endpoint=None, env=None):
        path = self.place.agent_conf(endpoint or self.proxy.endpoint, actions or self.actions(), **self.conf)
        self.agent = self.place.agent(path, env=env)
        return self.agent

    def actions(self):
        """One for each way a job can use the service; each leaves a mark with its job's id."""
        mark = self.marks.command("$MILLHAND_JOB_ID")
        return [action(self.place, mark, provider="Plain"),
                action(self.place, mark, provider="In"),
                action(self.place, mark + '; echo x > "$MILLHAND_OUTPUT_OUT/f"', provider="Out"),
                action(self.place, mark + "; exit 3", provider="Bad")]

    def job(self, operation):
        """A job whose life meets that operation."""
        if operation == "PutJobFailureResult":
            return self.stub.job(provider="Bad")
        if operation in ("S3 GET", "GetJobDetails"):
            return self.stub.job(provider="In", inputs={"Src": zip_of({"f": b"x" * 300})})
        if operation == "S3 PUT":
            return self.stub.job(provider="Out", outputs=["Out"])
        return self.stub.job(provider="Plain")

    def plan(self, operation, title, *fault):
        job = self.job(operation)
        if operation == "GetJobDetails":  # asked for when the credentials are called expired
            self.plans[job.id, "S3 GET"] = [body(b"<Error><Code>ExpiredToken</Code></Error>", "400 Bad Request")]
        self.plans[job.id, operation] = list(fault)
        self.cases.append((f"{operation}: {title}", job, operation))
        return job

    def choose(self, request):
        operation = request.operation
        if operation.startswith("S3"):
            ids = [j.id for j in self.stub.jobs
                   if any(key in request.target for key in (*j.inputs.values(), *j.outputs.values()))]
        elif operation in ("PollForJobs", "ListActionExecutions"):
            ids = []
        else:
            ids = [request.json()["jobId"]]
        for job_id in ids:
            queue = self.plans.get((job_id, operation))
            if queue:
                return queue.pop(0)
        return None

    def offer_again(self):
        """As the service does: what nobody acknowledged in time."""
        with self.stub.lock:
            for job in self.stub.jobs:
                nonce, since = self.waiting.get(job.id, (None, 0))
                if job.status != "Dispatched":
                    continue
                if nonce != job.nonce:
                    self.waiting[job.id] = (job.nonce, time.monotonic())
                elif time.monotonic() - since > 0.6:
                    job.redeliver = True

    def all_done(self):
        self.offer_again()
        return all(job.result for _, job, _ in self.cases) or not self.agent.alive()

    def settle(self, seconds=90):
        try:
            wait_for(self.all_done, seconds, "a result for every job")
        except AssertionError as e:
            raise AssertionError(f"{e}: {[title for title, job, _ in self.cases if not job.result][:20]}") from None
        check(self.agent.alive(), "the agent lives")

    def judge(self, may_fail=()):
        """One result for each job, of one kind; each handler ran at most once."""
        marks = self.marks.lines()
        for title, job, operation in self.cases:
            kinds = {kind for kind, _ in job.results}
            equal(len(kinds), 1, f"kinds of result, {title}")
            want = "failure" if operation == "PutJobFailureResult" else "success"
            if title not in may_fail:
                equal(job.result[0], want, f"{title}: {job.result[1]}")
            ran = marks.count(job.id)
            check(ran <= 1, f"{title}: ran {ran} times")
            check(ran == 1 or title in may_fail, f"{title}: did not run")
        equal(self.stub.bad_signatures, [])
        check("Sanitizer" not in self.agent.text(), "no finding of a sanitizer")

    def still_works(self):
        finished(self.stub.job(provider="Plain"), "success", 60)


def ticks(pid):
    """CPU time so far, in ticks of 10 ms."""
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def peak_kb(pid):
    with open(f"/proc/{pid}/status") as f:
        return int([line for line in f if line.startswith("VmHWM:")][0].split()[1])


def idle_for(pid, seconds):
    """The ticks that it uses in so many seconds."""
    before = ticks(pid)
    threading.Event().wait(seconds)
    return ticks(pid) - before


# ---- every byte class of every response ----

def spoilt(place, dice):
    """(title, fault) for each way to spoil an answer at that place."""
    odd = bytes([dice.choice([0x00, 0x0A, 0x20, 0x22, 0x3A, 0x7F, 0x80, 0xFF])])
    return [(f"cut in the {place}", cut(place)), (f"torn in the {place}", reset(place)),
            (f"stalled in the {place}", stall(place)), (f"0x{odd.hex()} in the {place}", garble(place, odd)),
            (f"another letter in the {place}", garble(place, b"K"))]


@story
def every_answer_may_be_cut_stalled_or_spoilt_at_every_place():
    dice = random.Random(SEED)
    print(f"# seed {SEED} (MH_SEED)", flush=True)
    with Scene() as s:
        may_fail = set()
        polls = []
        for operation in OPERATIONS[:-1]:
            for place in PLACES:
                for title, fault in spoilt(place, dice):
                    if operation == "PollForJobs":
                        polls.append(fault)
                        continue
                    s.plan(operation, title, fault)
                    # A changed byte in data may turn it to other data, which may be refused.
                    if operation in ("S3 GET", "GetJobDetails") and "body" in place and "in the body" in title \
                            and "cut" not in title and "torn" not in title and "stalled" not in title:
                        may_fail.add(f"{operation}: {title}")
        dice.shuffle(s.stub.jobs)
        s.start()
        s.settle()
        s.judge(may_fail)
        # Polls have no job of their own: one after the other, with a job in each answer.
        for fault in polls:
            s.proxy.fault("PollForJobs", fault)
            s.plan("PollForJobs", "any")
        s.settle()
        wait_for(lambda: not s.proxy.left(), 60, "every fault to be played")
        check(s.agent.alive(), "the agent lives")
        for title, job, _ in s.cases:
            equal(len({kind for kind, _ in job.results}), 1, title)
            check(s.marks.lines().count(job.id) <= 1, f"{title} ran twice")
        s.still_works()


run()
