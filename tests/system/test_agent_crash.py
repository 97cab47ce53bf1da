#!/usr/bin/python3
"""kill -9 of the agent in each state of a job: nothing lost, nothing run twice, nothing reported twice."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh.programs import Place, wait_for  # noqa: E402
from mh.stub import Stub  # noqa: E402
from mh.tap import check, equal, run, story  # noqa: E402
from mh.worker import FAST, Marks, action, failed_as, finished, zip_of  # noqa: E402


def play(at, expect="success", command=None, stop_at_gate=False, **job_keys):
    """Runs one job, kills the agent when `at(stub, marks, gate)` is true, starts it anew, and checks the end."""
    with Place() as place, Stub() as stub:
        marks, gate = Marks(place), place.path("gate")
        text = command or marks.command() + ' && echo out > "$MILLHAND_OUTPUT_OUT/f"'
        conf = place.agent_conf(stub.endpoint, [action(place, text.replace("@GATE@", gate))], **FAST)
        job_keys.setdefault("inputs", {"Src": zip_of({"f": b"x"})})
        job_keys.setdefault("outputs", ["Out"])
        job = stub.job(**job_keys)
        prepare = getattr(at, "prepare", None)
        if prepare:
            prepare(stub)
        first = place.agent(conf, name="first")
        wait_for(lambda: at(stub, marks, job), what="the moment to kill")
        first.kill()
        stub.clear_faults()
        if stop_at_gate:
            open(gate, "w").close()
        second = place.agent(conf, name="second")
        put = finished(job, expect)
        finished(stub.job(), "success", 30)  # the agent goes on with other work
        equal(len([k for k, _ in job.results]), 1, "results")
        check(second.alive(), "the second agent lives")
        return place, marks, job, put


def hanging(operation):
    """The moment at which this request has been sent and is not answered."""

    def at(stub, marks, job):
        return bool(stub.seen(operation))

    at.prepare = lambda stub: stub.fault(operation, "hang", 50)
    return at


@story
def killed_while_acknowledging():
    _, marks, job, _ = play(hanging("AcknowledgeJob"))
    equal(job.status, "Succeeded")


@story
def killed_after_an_acknowledgement_whose_answer_was_lost():
    def at(stub, marks, job):
        return job.acked_nonce is not None

    at.prepare = lambda stub: (stub.fault("AcknowledgeJob", "drop_after"), stub.fault("AcknowledgeJob", "hang", 50))
    play(at)


@story
def killed_while_fetching_an_input():
    play(hanging("S3 GET"))


GATED = ("echo ran >> {marks}; until [ -e @GATE@ ]; do :; done; "
         'echo out > "$MILLHAND_OUTPUT_OUT/f"')


@story
def killed_while_the_handler_runs_and_the_job_is_adopted():
    with Place() as place, Stub() as stub:
        marks, gate = Marks(place), place.path("gate")
        os.mkfifo(gate)
        command = marks.command() + f'; read line < {gate}; echo out > "$MILLHAND_OUTPUT_OUT/f"'
        conf = place.agent_conf(stub.endpoint, [action(place, command)], **FAST)
        job = stub.job(outputs=["Out"])
        first = place.agent(conf, name="first")
        marks.wait()
        first.kill()
        second = place.agent(conf, name="second")
        wait_for(lambda: "adopt" in second.text(), what="the second agent to adopt the job")
        equal(job.results, [])
        with open(gate, "w") as f:
            f.write("go\n")
        finished(job, "success")
        equal(marks.lines(), ["ran"])
        equal(len(stub.seen("AcknowledgeJob")), 1, "acknowledgements")


@story
def a_handler_that_ends_while_no_agent_lives_is_reported_by_the_next():
    with Place() as place, Stub() as stub:
        marks, gate = Marks(place), place.path("gate")
        os.mkfifo(gate)
        command = marks.command() + f"; read line < {gate}; {marks.command('ended')}; exit 7"
        conf = place.agent_conf(stub.endpoint, [action(place, command)], **FAST)
        job = stub.job()
        first = place.agent(conf, name="first")
        marks.wait()
        first.kill()
        with open(gate, "w") as f:
            f.write("go\n")
        marks.wait(2)
        place.agent(conf, name="second")
        failed_as(job, "JobFailed", "7")
        equal(marks.lines(), ["ran", "ended"])


@story
def killed_together_with_the_shim_the_job_is_reported_and_not_run_again():
    with Place() as place, Stub() as stub:
        marks = Marks(place)
        conf = place.agent_conf(stub.endpoint, [action(place, marks.command() + "; exec tail -f /dev/null")], **FAST)
        job = stub.job()
        first = place.agent(conf, name="first")
        marks.wait()
        first.kill()
        for entry in os.listdir("/proc"):
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as f:
                    words = f.read().split(b"\0")
                cwd = os.readlink(f"/proc/{entry}/cwd")
            except (OSError, ValueError):
                continue
            if b"millhand-job" in words[0] and (place.dir in cwd or place.dir.encode() in b" ".join(words)):
                os.kill(int(entry), 9)
        place.agent(conf, name="second")
        failed_as(job, "SystemUnavailable")
        equal(marks.lines(), ["ran"])


@story
def killed_while_storing_an_output():
    _, marks, job, _ = play(hanging("S3 PUT"))


@story
def killed_while_reporting():
    play(hanging("PutJobSuccessResult"))


@story
def killed_while_a_continuation_waits():
    with Place() as place, Stub() as stub:
        marks = Marks(place)
        command = marks.command() + "; echo '{\"continuation\":{\"token\":\"t\",\"delay_s\":2}}' > $MILLHAND_RESULT"
        conf = place.agent_conf(stub.endpoint, [action(place, command)], **FAST)
        job = stub.job()
        first = place.agent(conf, name="first")
        wait_for(lambda: "waiting" in first.text(), what="the job to wait")
        first.kill()
        equal(job.results, [])
        place.agent(conf, name="second")
        equal(finished(job, "success")["continuationToken"], "t")
        equal(marks.lines(), ["ran"])


@story
def no_state_is_run_twice():
    """Each of the kills above leaves one mark: the handler started at most once."""
    for moment in ("AcknowledgeJob", "S3 GET", "S3 PUT", "PutJobSuccessResult"):
        with Place() as place, Stub() as stub:
            marks = Marks(place)
            conf = place.agent_conf(stub.endpoint, [action(place, marks.command() + ' && echo x > "$MILLHAND_OUTPUT_OUT/f"')],
                                    **FAST)
            job = stub.job(inputs={"Src": zip_of({"f": b"x"})}, outputs=["Out"])
            stub.fault(moment, "hang", 50)
            first = place.agent(conf, name="first")
            wait_for(lambda: stub.seen(moment), what=moment)
            first.kill()
            stub.clear_faults()
            place.agent(conf, name="second")
            finished(job, "success")
            equal(marks.lines(), ["ran"], moment)
            equal(len(job.results), 1, moment)


run()
