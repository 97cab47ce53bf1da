#!/usr/bin/python3
"""Lost answers, duplicates and cut links, with three agents at one endpoint: how often does each job run?

MH_SEED repeats the chances of a run, MH_DOUBT_JOBS says how many jobs; with MH_DOUBT=long every server and policy is
played, and a table is printed (docs/run-an-agent.md has one): `make soak`.
"""
import os
import random
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh.doubt import NOISE, Doubt  # noqa: E402
from mh.tap import check, equal, run, skip, story  # noqa: E402

SEED = int(os.environ.get("MH_SEED") or random.SystemRandom().randrange(1 << 32))
JOBS = int(os.environ.get("MH_DOUBT_JOBS") or 40)
LONG = os.environ.get("MH_DOUBT") == "long"
SAFE = 16  # seconds: later than what "fresh" counts on


def each_once(d):
    equal(d.runs, {1: len(d.jobs)}, f"runs ({d.tell()})")
    equal(d.outcomes, {"Succeeded": len(d.jobs)}, f"what the service has ({d.tell()})")
    equal(d.said("result.refused"), 0, "results that were refused")


def at_most_once(d):
    check(set(d.runs) <= {0, 1}, f"no job ran twice: {d.tell()}")
    # What did not run was acknowledged, and dropped in doubt; what ran was reported.
    equal(d.runs.get(0, 0), d.outcomes.get("InProgress", 0), f"jobs that nobody ran ({d.tell()})")
    check(d.said("job.dropped") >= d.runs.get(0, 0), f"each of them is in a log: {d.tell()}")


def play(policy, strict, again, judge, jobs=JOBS, **keys):
    print(f"# seed {SEED}", flush=True)
    with Doubt(SEED, policy, strict, again, **keys) as d:
        d.play(jobs, seconds=240 if LONG else 60)
        print(f"# {d.tell()}", flush=True)
        judge(d)
        if policy == "drop":
            equal(d.said("job.doubt_settled"), 0, "jobs in doubt that were kept all the same")
        return d


@story
def with_an_idempotent_acknowledgement_every_job_runs_exactly_once():
    play("drop", False, 0.1, each_once)


@story
def with_a_strict_one_drop_runs_no_job_twice():
    play("drop", True, 0.1, at_most_once)


@story
def with_a_strict_one_fresh_runs_every_job_once_while_redelivery_takes_longer_than_it_counts_on():
    # No poll's answer is lost and no link is cut: what nobody has would come again after 16 s only.
    noise = {k: v for k, v in NOISE.items() if k != "PollForJobs"}
    play("fresh", True, SAFE, each_once, noise=noise, cuts=False)


@story
def every_policy_before_every_server_with_hundreds_of_jobs():
    if not LONG:
        skip("hundreds of jobs are for make soak (MH_DOUBT=long)")
    for strict in (False, True):
        for again in (0.3, SAFE):
            for policy in ("fresh", "adopt", "drop"):
                judge = at_most_once if policy == "drop" else lambda d: None
                if (policy == "drop" and not strict) or (policy == "fresh" and again == SAFE and not strict):
                    judge = each_once
                elif policy == "fresh" and again == SAFE:
                    judge = at_most_once
                play(policy, strict, again, judge, jobs=max(JOBS, 200))


run()
