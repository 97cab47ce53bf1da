#!/usr/bin/python3
"""kill -9 of the agent in each state of a job: nothing lost, nothing run twice, nothing reported twice."""
import ctypes
import os
import re
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh.programs import Place, wait_for  # noqa: E402
from mh.stub import Stub  # noqa: E402
from mh.tap import check, equal, run, skip, story  # noqa: E402
from mh.worker import FAST, Marks, action, failed_as, finished, kill_shims, zip_of  # noqa: E402


class Crash:
    """A stub, a place, and an agent that is killed and started anew."""

    def __init__(self, command, **job):
        self.place, self.stub = Place(), Stub()
        self.marks = Marks(self.place)
        self.gate = self.place.path("gate")
        os.mkfifo(self.gate)
        text = command.format(mark=self.marks.command(), gate=self.gate, end=self.marks.command("ended"))
        self.conf = self.place.agent_conf(self.stub.endpoint, [action(self.place, text)], **FAST)
        self.job = self.stub.job(**job)

    def __enter__(self):
        self.place.__enter__()
        return self

    def __exit__(self, *exc):
        self.stub.close()
        self.place.__exit__(*exc)

    def agent(self, name):
        return self.place.agent(self.conf, name=name)

    def open_gate(self):
        with open(self.gate, "w") as f:
            f.write("go\n")


WORK = '{mark} && echo out > "$MILLHAND_OUTPUT_OUT/f"'


def killed_at(operation, *faults):
    """kill -9 when this request was sent and not answered; then one result, one run, and the next job."""
    with Crash(WORK, inputs={"Src": zip_of({"f": b"x"})}, outputs=["Out"]) as c:
        for fault in faults:
            c.stub.fault(operation, fault)
        c.stub.fault(operation, "hang", 50)
        first = c.agent("first")
        wait_for(lambda: len(c.stub.seen(operation)) > len(faults), what=f"{operation} to be sent")
        first.kill()
        c.stub.clear_faults()
        second = c.agent("second")
        finished(c.job, "success")
        finished(c.stub.job(inputs={"Src": zip_of({"f": b"y"})}, outputs=["Out"]), "success")
        equal(c.marks.lines(), ["ran", "ran"], "one run for each of the two jobs")
        equal(len(c.job.results), 1, "results")
        check(second.alive(), "the second agent lives")
        equal(c.stub.bad_signatures, [])


@story
def killed_while_acknowledging():
    killed_at("AcknowledgeJob")


@story
def killed_after_an_acknowledgement_whose_answer_was_lost():
    killed_at("AcknowledgeJob", "drop_after")


@story
def killed_while_fetching_an_input():
    killed_at("S3 GET")


@story
def killed_while_the_handler_runs_and_the_job_is_adopted():
    with Crash('{mark}; read line < {gate}; echo out > "$MILLHAND_OUTPUT_OUT/f"', outputs=["Out"]) as c:
        first = c.agent("first")
        c.marks.wait()
        first.kill()
        second = c.agent("second")
        wait_for(lambda: "adopt" in second.text(), what="the second agent to adopt the job")
        equal(c.job.results, [])
        c.open_gate()
        finished(c.job, "success")
        equal(c.marks.lines(), ["ran"])
        equal(len(c.stub.seen("AcknowledgeJob")), 1, "acknowledgements")


@story
def a_handler_that_ends_while_no_agent_lives_is_reported_by_the_next():
    with Crash("{mark}; read line < {gate}; {end}; exit 7") as c:
        first = c.agent("first")
        c.marks.wait()
        first.kill()
        c.open_gate()
        c.marks.wait(2)
        c.agent("second")
        failed_as(c.job, "JobFailed", "7")
        equal(c.marks.lines(), ["ran", "ended"])


@story
def killed_together_with_the_shim_the_job_is_reported_and_not_run_again():
    with Crash("{mark}; read line < {gate}") as c:
        first = c.agent("first")
        c.marks.wait()
        wait_for(lambda: "job.started" in first.text(), what="the shim's pid in the log")
        first.kill()
        check(kill_shims(first) >= 1, "a shim was there to kill")
        c.agent("second")
        failed_as(c.job, "SystemUnavailable")
        equal(c.marks.lines(), ["ran"])


@story
def a_shim_killed_alone_is_noticed_and_reported():
    with Crash("{mark}; read line < {gate}") as c:
        agent = c.agent("agent")
        c.marks.wait()
        wait_for(lambda: "job.started" in agent.text(), what="the shim's pid in the log")
        check(kill_shims(agent) >= 1, "a shim was there to kill")
        failed_as(c.job, "SystemUnavailable")
        check(agent.alive(), "the agent lives")


@story
def a_shim_that_somebody_traces_is_reaped_as_soon_as_it_may_be():
    seize, libc = 0x4206, ctypes.CDLL(None, use_errno=True)
    with Crash("{mark}; read line < {gate}") as c:
        agent = c.agent("agent")
        c.marks.wait()
        pid = int(re.search(r"job\.started .* pid=(\d+)", agent.text()).group(1))
        if libc.ptrace(seize, pid, None, None) != 0:
            skip(f"no tracing here: {os.strerror(ctypes.get_errno())}")
        check(kill_shims(agent) == 1, "a shim was there to kill")
        failed_as(c.job, "SystemUnavailable")
        check(os.path.exists(f"/proc/{pid}"), "its tracer has not let it go")
        equal(os.waitpid(pid, 0)[0], pid)
        wait_for(lambda: not os.path.exists(f"/proc/{pid}"), what="it to be reaped")
        wait_for(lambda: "shim.died" in agent.text(), what="the agent to say so")


@story
def killed_while_storing_an_output():
    killed_at("S3 PUT")


@story
def killed_while_reporting():
    killed_at("PutJobSuccessResult")


@story
def killed_after_a_result_whose_answer_was_lost():
    """Delivered, unknown to the agent, which dies: the next one is refused, and that counts as delivered."""
    with Crash("{mark}") as c:
        c.stub.fault("PutJobSuccessResult", "drop_after")
        c.stub.fault("PutJobSuccessResult", "hang", 50)
        first = c.agent("first")
        wait_for(lambda: len(c.stub.seen("PutJobSuccessResult")) > 1, what="the second try")
        first.kill()
        c.stub.clear_faults()
        c.agent("second")
        finished(c.stub.job(), "success")
        wait_for(lambda: len(c.job.results) == 2, what="the result sent again")
        equal({kind for kind, _ in c.job.results}, {"success"}, "it never changes its kind")
        equal(c.marks.lines(), ["ran", "ran"])


@story
def killed_while_a_continuation_waits():
    with Crash("{mark}; echo '{{\"continuation\":{{\"token\":\"t\",\"delay_s\":2}}}}' > $MILLHAND_RESULT") as c:
        first = c.agent("first")
        wait_for(lambda: "waiting" in first.text(), what="the job to wait")
        first.kill()
        equal(c.job.results, [])
        c.agent("second")
        equal(finished(c.job, "success")["continuationToken"], "t")
        equal(c.marks.lines(), ["ran"])


def zygote_of(pid):
    """The pid of the process that forks this agent's shims; None when there is none."""
    with open(f"/proc/{pid}/task/{pid}/children") as f:
        for child in f.read().split():
            with open(f"/proc/{child}/cmdline", "rb") as line:
                if line.read() == b"millhand-job\0--zygote\0":
                    return int(child)
    return None


@story
def a_zygote_that_dies_costs_no_job():
    """Killed between jobs, and while one runs: the next ones run, and a new one is there."""
    with Crash("{mark}; read line < {gate}") as c:
        agent = c.agent("agent")
        pid = agent.process.pid
        c.marks.wait()
        first = zygote_of(pid)
        with open(f"/proc/{first}/environ") as f:
            check("AWS_" not in f.read(), "nothing of the agent's in its environment")
        os.kill(first, signal.SIGKILL)
        c.open_gate()
        finished(c.job, "success")
        for count in (2, 3):
            job = c.stub.job()
            c.marks.wait(count)
            c.open_gate()
            finished(job, "success")
        check("shim.no_zygote" in agent.text(), "the slower way was told")
        check(zygote_of(pid) not in (None, first), "a new zygote")
        last = zygote_of(pid)
        agent.kill()
        wait_for(lambda: not os.path.exists(f"/proc/{last}"), what="the zygote to end with the agent")


run()
