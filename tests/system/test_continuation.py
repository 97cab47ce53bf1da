#!/usr/bin/python3
"""Continuations from round to round: on another host, many of them, with progress and links, and what may come between."""
import os
import sqlite3
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh.programs import wait_for  # noqa: E402
from mh.tap import check, equal, run, story  # noqa: E402
from mh.worker import finished, zip_of  # noqa: E402
from mh.worlds import EmulatorWorld  # noqa: E402

# Counts the rounds in its token; the last one makes the output.
ROUNDS = """n=$((${{MILLHAND_CONTINUATION_TOKEN:-0}} + 1)); echo "$n $(cat $MILLHAND_INPUT_SRC/f)" >> {marks}; {between}
if [ $n -lt {rounds} ]; then
  printf '{{"continuation":{{"token":"%s","delay_s":{delay}}},"summary":"round %s","percent":%s,"external_id":"run-%s"}}' \
    $n $n $((n * 100 / {rounds})) $n > $MILLHAND_RESULT
else
  echo done > $MILLHAND_OUTPUT_OUT/f
  printf '{{"summary":"all rounds","percent":100,"external_id":"run-%s"}}' $n > $MILLHAND_RESULT
fi"""


def command(w, rounds, delay=0, between=""):
    return ROUNDS.format(marks=w.marks.path, rounds=rounds, delay=delay, between=between)


def make(w):
    return w.job(inputs={"Src": zip_of({"f": b"same"})}, outputs=["Out"])


def result(w, job):
    found = w.cp.list_action_executions(pipelineName=job.pipeline)["actionExecutionDetails"]
    return next(d for d in found if d["stageName"] == "Build")["output"]["executionResult"]


def rows(w, agent="agent"):
    with sqlite3.connect(f"file:{w.place.path(agent, 'state', 'ledger.db')}?mode=ro", uri=True) as db:
        return db.execute("SELECT state, end FROM jobs ORDER BY n").fetchall()


@story
def every_round_reports_its_progress_and_its_link_and_there_may_be_many():
    with EmulatorWorld() as w:
        job, rounds = make(w), 20
        w.start(w.action(command(w, rounds)))
        finished(job, "success")
        equal(w.marks.lines(), [f"{n} same" for n in range(1, rounds + 1)], "each round has the inputs, once")
        equal([(r["continuationToken"], r["executionDetails"]) for r in job.rounds],
              [(str(n), {"summary": f"round {n}", "percentComplete": n * 5, "externalExecutionId": f"run-{n}"})
               for n in range(1, rounds)])
        equal(len({o["id"] for o in job.offers}), rounds, "each round is a job of its own")
        equal(result(w, job)["externalExecutionId"], f"run-{rounds}")
        wait_for(lambda: rows(w) == [("closed", "delivered")] * rounds, what="every round to be closed")
        wait_for(lambda: os.listdir(w.place.path("agent", "state", "jobs")) == [], what="their directories to be gone")


@story
def between_two_rounds_the_action_shows_how_far_it_is():
    with EmulatorWorld() as w:
        job = make(w)
        w.start(w.action(command(w, 2, between=f'[ $n = 1 ] || read go < {w.marks.path}.go')))
        w.marks.wait(2)
        equal(w.status(job), "InProgress")
        shown = result(w, job)
        equal((shown["externalExecutionSummary"], shown["externalExecutionId"]), ("round 1", "run-1"))
        state = w.cp.get_pipeline_state(name=job.pipeline)["stageStates"][1]["actionStates"][0]["latestExecution"]
        equal((state["percentComplete"], state["externalExecutionId"]), (50, "run-1"))
        w.marks.go()
        finished(job, "success")


@story
def the_next_round_may_be_another_hosts():
    with EmulatorWorld() as w:
        job = make(w)
        conf = {name: w.place.agent_conf(w.endpoint, [w.action(command(w, 3))], name=name, **w.keys) for name in ("one", "two")}
        for turn, name in enumerate(("one", "two", "one"), 1):
            agent = w.place.agent(conf[name], "--max-jobs", "1", name=name)
            equal(agent.wait(20), 0, f"round {turn}: {agent.text()}")
            equal(len(w.marks.lines()), turn, agent.text())
        finished(job, "success")
        equal(w.marks.lines(), ["1 same", "2 same", "3 same"])
        equal((len(rows(w, "one")), len(rows(w, "two"))), (2, 1), "jobs by host")
        equal(w.output(job, "Out")[:2], b"PK")


@story
def a_delay_holds_no_slot_and_is_kept_across_a_restart():
    with EmulatorWorld(max_jobs=1) as w:
        job = make(w)
        agent = w.start(w.action(command(w, 2, delay=2)), w.action("true", "Other"))
        wait_for(lambda: "job.waiting" in agent.text(), what="the delay to begin")
        finished(w.job("Other"), "success")
        equal((len(job.rounds), len(w.marks.lines())), (0, 1), "nothing is put before it is due")
        agent.kill()
        w.start(name="second")
        finished(job, "success")
        equal(w.marks.lines(), ["1 same", "2 same"])
        equal(len(job.rounds), 1)


@story
def a_round_whose_answer_is_lost_has_one_successor():
    with EmulatorWorld() as w:
        job = make(w)
        w.fault("PutJobSuccessResult", "drop_after", 2)
        w.start(w.action(command(w, 3)))
        finished(job, "success")
        equal(w.marks.lines(), ["1 same", "2 same", "3 same"])
        wait_for(lambda: rows(w) == [("closed", "delivered")] * 3, what="each round to be delivered")


@story
def an_action_that_is_abandoned_between_two_rounds_has_no_further_one():
    with EmulatorWorld() as w:
        job = make(w)
        agent = w.start(w.action(command(w, 2, delay=1)), w.action("true", "Other"))
        wait_for(lambda: "job.waiting" in agent.text(), what="the delay to begin")
        w.abandon(job)
        wait_for(lambda: rows(w) == [("closed", "refused")], what="the round to be refused")
        finished(w.job("Other"), "success")
        equal((w.marks.lines(), w.status(job)), (["1 same"], "Abandoned"))
        equal(len(job.results), 1, "tries")


@story
def a_token_that_the_service_cannot_take_is_the_plugins_failure():
    for length, kind in ((2048, "success"), (2049, "failure"), (0, "failure")):
        with EmulatorWorld() as w:
            job = make(w)
            w.start(w.action(f"""{w.marks.command()}; if [ -n "$MILLHAND_CONTINUATION_TOKEN" ]; then
                echo x > $MILLHAND_OUTPUT_OUT/f; exit; fi
                printf '{{"continuation":{{"token":"%s"}}}}' "$(head -c {length} /dev/zero | tr '\\0' t)" > $MILLHAND_RESULT"""))
            put = finished(job, kind)
            equal(len(job.rounds), 1 if kind == "success" else 0, "continuations that were put")
            if kind == "failure":
                check(put["failureDetails"]["type"] in ("JobFailed", "ConfigurationError"), put)
                check("token" in put["failureDetails"]["message"], put["failureDetails"]["message"])
            if length > 2048:
                check("2048" in put["failureDetails"]["message"], put["failureDetails"]["message"])


run()
