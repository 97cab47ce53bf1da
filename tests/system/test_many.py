#!/usr/bin/python3
"""Many action types and many jobs in one agent: what they cost in memory, and that all of them end well."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh.many import WAIT, Many  # noqa: E402
from mh.programs import Place, sanitized, wait_for  # noqa: E402
from mh.stub import Stub  # noqa: E402
from mh.tap import check, equal, run, skip, story  # noqa: E402

TYPES, JOBS = 50, 200
LIMIT_KB = 50 * 1024


@story
def fifty_types_and_two_hundred_running_jobs_share_50_mb():
    if os.geteuid() != 0:
        skip("the memory of processes that cannot be traced is for root to read")
    if sanitized() or os.environ.get("MH_WRAP"):
        skip("programs that were made larger")
    check(os.path.exists(WAIT), f"{WAIT} is not built")
    with Place() as place, Stub() as stub:
        many = Many(place, stub.endpoint, TYPES, JOBS, poll_interval_min="1h", poll_interval_max="1h")
        jobs = [stub.job(provider=p) for p in many.providers for _ in range(JOBS // TYPES)]
        many.start()
        many.wait_running()
        shares = many.pss_kb()
        print(f"# {shares}", flush=True)
        check(shares["processes"] >= 1 + 2 * JOBS, f"shims and handlers: {shares}")
        check(shares["agent"] + shares["jobs"] <= LIMIT_KB, f"{shares} KB")
        many.go()
        wait_for(lambda: all(job.result for job in jobs), 60, "all results")
        equal({job.result[0] for job in jobs}, {"success"})
        equal(many.agent.stop(), 0)


run()
