"""What an agent costs that has much to do, or has had: many jobs at once, and very many one after the other."""
import os
import time

from mh.many import Many
from mh.programs import AGENT
from mh.stub import Stub as Service

from measure.machine import status
from measure.scene import TOOLS
from measure.table import Row, Series

TYPES, JOBS = 50, 200
QUIET_S = 5
LONG_JOBS = 100_000
SAMPLES = 50
WAIT = os.path.join(TOOLS, ".libs", "wait.so")


def many(scene, plan):
    """Memory and wakeups of 50 action types and 200 running jobs."""
    found = []
    for i in range(plan.rounds):
        with Service() as service:
            here = Many(scene, service.endpoint, TYPES, JOBS, wait=WAIT, name=f"many{i}", log_level="info",
                        poll_interval_min="1h", poll_interval_max="1h")
            jobs = [service.job(provider=p) for p in here.providers for _ in range(JOBS // TYPES)]
            here.start()
            here.wait_running()
            time.sleep(1)  # what they do at last
            before = here.wakeups()
            time.sleep(QUIET_S)
            found.append(dict(here.pss_kb(), wakeups=here.wakeups() - before))
            here.go()
            here.agent.stop(60)
            if [job.result and job.result[0] for job in jobs] != ["success"] * JOBS:
                raise RuntimeError("not every job succeeded")
    column = lambda key, by=1: [f[key] / by for f in found]  # noqa: E731
    return [Row(f"{TYPES} action types, {JOBS} running jobs",
                Series("agent, shims and handlers (PSS)", "MB", [(f["agent"] + f["jobs"]) / 1024 for f in found],
                       limit=("<=", 50, "value")),
                Series("  of it the agent", "MB", column("agent", 1024)),
                Series("  a job's processes", "KB", column("jobs", JOBS)),
                Series(f"wakeups of the agent in {QUIET_S} s", "", column("wakeups"), limit=("<=", 0, "value")))]


def long(scene, plan):
    """Descriptors and memory over 100 000 jobs; minutes, and not in the default."""
    stub = scene.stub()
    stub.reset(0)
    agent = scene.start("long", [AGENT, "-c", scene.conf(stub.endpoint, name="long", max_jobs=8)], cpu=None)
    stub.wait_for(lambda c: c["polls"] > 0, agent)
    part = max(1, plan.n(LONG_JOBS) // SAMPLES)
    fds, rss, begun = [], [], time.monotonic()
    stub.work_off(part, False, agent)  # before the first sample: what a first job opens for good
    for _ in range(SAMPLES - 1):
        stub.work_off(part, False, agent)
        stub.wait_for(lambda c: c["polls"] > 1, agent)  # the last one's end is seen to
        fds.append(len(os.listdir(f"/proc/{agent.pid}/fd")))
        rss.append(status(agent.pid)["rss_kb"] / 1024)
    took = time.monotonic() - begun
    stub.check()
    agent.stop()
    done = part * SAMPLES
    return [Row(f"{done} jobs, eight side by side, in {took:.0f} s",
                Series("descriptors, at every sample", "", fds),
                Series("  at the end less those at the start", "", [fds[-1] - fds[0]], limit=("<=", 0, "value")),
                Series("resident memory, at every sample", "MB", rss),
                Series("  at the end less after a tenth", "MB", [rss[-1] - rss[len(rss) // 10]], limit=("<=", 1, "value")))]


ROWS = {"many": many, "long": long}
