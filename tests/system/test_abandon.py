#!/usr/bin/python3
"""Abandoned work stops: how the agent sees it, how often it asks, and what a plugin hears before its last step."""
import itertools
import os
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh.procs import running  # noqa: E402
from mh.programs import wait_for  # noqa: E402
from mh.proxy import Proxy  # noqa: E402
from mh.tap import check, equal, run, story  # noqa: E402
from mh.worker import finished, zip_of  # noqa: E402
from mh.worlds import EmulatorWorld, StubWorld  # noqa: E402

# The deployment of the founding documents' hazard: what is big takes its time between `begun` and its last step.
DEPLOY = """set -e
name=$(cat release)
echo "begun $name" >> {marks}
cp release {top}/next.$name
if [ $name = big ]; then
    truncate -s 1G {top}/next.$name
    {wait}
fi
{ask}mv {top}/next.$name {top}/current
echo $name > {top}/current.name
echo "done $name" >> {marks}"""


def times_of(stub):
    """Notes when each question of the watch came; answers the list of (when, execution)."""
    asked, inner = [], stub.api_ListActionExecutions

    def listed(body):
        asked.append((time.monotonic(), body["filter"]["pipelineExecutionId"]))
        return inner(body)

    stub.api_ListActionExecutions = listed
    return asked


@story
def one_question_an_interval_serves_all_jobs_of_an_execution():
    with StubWorld(max_jobs=6, watch_interval="200ms") as w:
        jobs = [w.job() for _ in range(6)]
        for job in jobs[1:4]:
            job.execution_id = jobs[0].execution_id
        asked = times_of(w.stub)
        w.start(w.action(f"{w.marks.command()}; read go < {w.marks.path}.go"))
        w.marks.wait(6)
        first = len(asked)
        wait_for(lambda: len(asked) >= first + 12, what="a dozen questions")
        for execution in {j.execution_id for j in jobs}:
            mine = [t for t, e in asked[first:first + 12] if e == execution]
            check(len(mine) in (3, 4, 5), f"of twelve questions each of three executions has its share: {len(mine)}")
            gaps = [b - a for a, b in itertools.pairwise(mine)] if hasattr(itertools, "pairwise") else []
            check(all(gap >= 0.17 for gap in gaps), f"not sooner than the interval, less a tenth: {gaps}")
        jobs[2].action_status = jobs[2].status = "Abandoned"
        wait_for(lambda: jobs[2].results, what="the one that was abandoned to end")
        equal(w.agent.text().count("job.abandoned"), 1, "jobs that were cancelled")
        for _ in range(5):
            w.marks.go()
        for job in jobs[:2] + jobs[3:]:
            finished(job, "success")


@story
def a_job_that_still_fetches_its_inputs_is_cancelled_too():
    with StubWorld(watch_interval="100ms") as w:
        w.fault("S3 GET", "hang", 20)
        job = w.job("Big", inputs={"Src": zip_of({"f": b"1 GB of it"})})
        w.start(w.action(w.marks.command(), "Big"), w.action("true"))
        wait_for(lambda: w.stub.seen("S3 GET"), what="the download")
        w.abandon(job)
        wait_for(lambda: job.results, what="its end")
        check("abandoned" in job.results[0][1]["failureDetails"]["message"], job.results)
        finished(w.job(), "success")
        equal((w.marks.lines(), len(job.results)), ([], 1), "runs, results")


def waits_and_asks(w, where):
    return w.action(f"echo begun >> {w.marks.path}; read go < {w.marks.path}.go; "
                    f"\"$MILLHAND_WANTED\" || exit 1; touch {where}", "Asks")


def a_script_asks(World):
    with World(max_jobs=2, watch_interval="1h") as w:
        target = w.place.path("target")
        jobs = [w.job("Asks"), w.job("Asks")]
        w.start(waits_and_asks(w, target + ".$MILLHAND_JOB_ID"))
        w.marks.wait(2)
        equal(w.seen("ListActionExecutions"), [], "questions before anybody asks")
        w.abandon(jobs[0])
        w.marks.go()
        w.marks.go()
        finished(jobs[1], "success")
        wait_for(lambda: jobs[0].results, what="the report of the other")
        made = [n for n in os.listdir(w.place.dir) if n.startswith("target.")]
        equal(len(made), 1, "last steps")
        check(made[0].endswith(jobs[1].id), f"the right one: {made}")
        equal(len(w.seen("ListActionExecutions")), 2, "one question for each that asked")


@story
def a_script_that_asks_before_its_last_step_is_answered_by_the_service_before_the_stub():
    a_script_asks(StubWorld)


@story
def a_script_that_asks_before_its_last_step_is_answered_by_the_service_before_the_emulator():
    a_script_asks(EmulatorWorld)


@story
def an_answer_under_way_is_older_than_the_question_and_does_not_count():
    with StubWorld(watch_interval="200ms") as w:
        held, release = threading.Event(), threading.Event()

        def hold(wire, answer):
            held.set()
            release.wait(30)
            wire.send(answer.raw)

        job, target = w.job("Asks"), w.place.path("target")
        with Proxy(w.stub.port) as proxy:
            w.endpoint = proxy.endpoint
            proxy.fault("ListActionExecutions", hold)
            w.start(waits_and_asks(w, target))
            w.marks.wait()
            wait_for(held.is_set, what="a question whose answer says InProgress, and is late")
            w.marks.go()
            wait_for(lambda: running("millhand-wanted"), what="the script to ask")
            w.abandon(job)
            release.set()
            wait_for(lambda: job.results, what="its end")
        check(not os.path.exists(target), "the last step was not taken")


@story
def a_question_that_fails_is_asked_again_before_the_handler_hears_yes():
    with StubWorld(watch_interval="1h") as w:
        job, target = w.job("Asks"), w.place.path("target")
        w.start(waits_and_asks(w, target))
        w.marks.wait()
        w.fault("ListActionExecutions", "error500", 2)
        w.abandon(job)
        w.marks.go()
        wait_for(lambda: job.results, what="its end")
        check(not os.path.exists(target), "the last step was not taken")
        other = w.job("Asks")
        w.marks.wait(2)
        w.fault("ListActionExecutions", "error500", 9)
        w.marks.go()
        finished(other, "success")
        check(os.path.exists(target), "what cannot be asked is no abandonment")


# ---- the founding documents' hazard (H 001-11, 001-12) ----

def release(w, job, name):
    """The source is another one now, and the pipeline runs."""
    w.s3.put_object(Bucket=w.bucket, Key=f"{job.pipeline}-Src.zip", Body=zip_of({"release": name.encode()}))
    return w.cp.start_pipeline_execution(name=job.pipeline)["pipelineExecutionId"]


def the_hazard(watch, wait, ask=""):
    with EmulatorWorld(max_jobs=2, watch_interval=watch) as w:
        top = w.place.path("site")
        os.mkdir(top)
        job = w.job("Deployer", inputs={"Src": zip_of({"release": b"big"})})
        w.start(w.action(DEPLOY.format(marks=w.marks.path, top=top, wait=wait.format(w.marks.path + ".go"), ask=ask),
                         "Deployer", grace="300ms"))
        wait_for(lambda: "begun big" in w.marks.lines(), what="the big deployment")
        w.abandon(job)
        execution = release(w, job, "small")
        wait_for(lambda: "done small" in w.marks.lines(), what="the small deployment")
        if not ask:  # only its end keeps it from going on
            wait_for(lambda: len(job.results) == 2, what="both reports")
        w.marks.go()  # now it could
        wait_for(lambda: len(job.results) == 2, what="both reports")
        wait_for(lambda: w.cp.get_pipeline_execution(pipelineName=job.pipeline, pipelineExecutionId=execution)
                 ["pipelineExecution"]["status"] == "Succeeded", what="the small release to succeed")
        wait_for(lambda: not running(f"{top}/next.big"), what="the big one's processes to end")
        equal(sorted(w.marks.lines()), ["begun big", "begun small", "done small"], "steps")
        with open(os.path.join(top, "current.name")) as f:
            equal(f.read(), "small\n", "what is deployed")
        equal(os.path.getsize(os.path.join(top, "current")), len("small"), "its size")
        equal(w.status(job), "Succeeded", "the newest action execution")


@story
def an_abandoned_deployment_of_a_gigabyte_is_ended_and_never_overwrites_the_small_one():
    # It does not listen to TERM, and would go on with whatever comes from the gate.
    the_hazard("100ms", "trap '' TERM; read go < {0} || read go < {0}")


@story
def an_abandoned_deployment_that_asks_first_never_overwrites_the_small_one():
    the_hazard("1h", "read go < {0}", '"$MILLHAND_WANTED" || exit 1; ')


@story
def stop_and_wait_lets_the_job_finish():
    with EmulatorWorld(watch_interval="50ms") as w:
        job = w.job("Slow")
        w.start(w.action(f"{w.marks.command()}; read go < {w.marks.path}.go; \"$MILLHAND_WANTED\"", "Slow"))
        w.marks.wait()
        execution = w.cp.list_pipeline_executions(pipelineName=job.pipeline)["pipelineExecutionSummaries"][0]
        ids = {"pipelineName": job.pipeline, "pipelineExecutionId": execution["pipelineExecutionId"]}
        w.cp.stop_pipeline_execution(**ids)
        asked = len(w.seen("ListActionExecutions"))
        wait_for(lambda: len(w.seen("ListActionExecutions")) >= asked + 3, what="three more questions")
        w.marks.go()
        finished(job, "success")
        wait_for(lambda: w.cp.get_pipeline_execution(**ids)["pipelineExecution"]["status"] == "Stopped", what="the stop")
        equal(w.status(job), "Succeeded", "the action")


run()
