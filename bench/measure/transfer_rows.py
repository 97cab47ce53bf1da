"""What moving artifacts costs, beside the curl command and boto3."""
import os
import resource
import shutil
import subprocess
import sys
import time

from measure.machine import pinned
from measure.scene import BOTO_WORKER, TOOLS
from measure.table import Row, Series

BIG = 1 << 30
SMALL, COUNT = 100 * 1024, 1000
MEMORY = "/dev/shm"


class Target:
    """A directory in memory, so that no disk is measured, where there is one with the room."""

    def __init__(self, scene):
        room = os.statvfs(MEMORY) if os.path.isdir(MEMORY) else None
        fits = room and room.f_bavail * room.f_frsize > 2 * BIG
        self.path = os.path.join(MEMORY if fits else scene.dir, f"mh-bench-{os.getpid()}")

    def __enter__(self):
        os.makedirs(self.path)
        return self

    def __exit__(self, *exc):
        shutil.rmtree(self.path)

    def empty(self):
        """What is there is removed, at nobody's expense."""
        shutil.rmtree(self.path)
        os.makedirs(self.path)


def _children_ns():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return round((usage.ru_utime + usage.ru_stime) * 1e9)


def _curl(scene, stub, target, key):
    target.empty()
    before, wall = _children_ns(), time.monotonic_ns()
    subprocess.run(pinned(scene.cpu, ["curl", "-sS", "-o", os.path.join(target.path, "object"), stub.url + key]),
                   check=True, env=scene.env)
    return {"jobs": 1, "cpu_ns": _children_ns() - before, "wall_ns": time.monotonic_ns() - wall}


def _ours(scene, stub, target, key, count, warm_up):
    target.empty()
    conf = scene.conf(stub.endpoint, name="transfer")
    return scene.worker([os.path.join(TOOLS, "transfer_worker"), conf, target.path, key, str(count), str(warm_up)])


def _seconds(costs):
    return [c["cpu_ns"] / 1e9 for c in costs]


def download(scene, plan):
    """1 GiB: the agent's transfer against the curl command, and with its checksum."""
    stub = scene.stub()
    big = plan.n(BIG)
    costs = {"curl": [], "ours": [], "checked": []}
    with Target(scene) as target:
        for _ in range(plan.rounds):
            for name, run in (("curl", lambda: _curl(scene, stub, target, f"bench-bucket/zeros/{big}/0")),
                              ("ours", lambda: _ours(scene, stub, target, f"zeros/{big}", 1, 0)),
                              ("checked", lambda: _ours(scene, stub, target, f"checked/{big}", 1, 0))):
                plan.noise.wait()
                costs[name].append(run())
    curl = Series("the curl command", "s CPU", _seconds(costs["curl"]))
    ours = Series("agent's transfer, four ranges at once", "s CPU", _seconds(costs["ours"]), curl, ("<=", 0.9, "ratio"))
    return [Row(f"download of {big >> 20} MiB", curl, ours,
                Series("  with its CRC-64/NVME checked", "s CPU", _seconds(costs["checked"]), ours, ("<=", 1.15, "ratio")))]


def objects(scene, plan):
    """1 000 objects of 100 KiB, one after the other, against boto3 with one client."""
    stub = scene.stub()
    costs = {"boto3": [], "ours": [], "checked": []}
    count = plan.n(COUNT)
    with Target(scene) as target:
        for _ in range(plan.rounds):
            for name, run in (("boto3", lambda: scene.worker([sys.executable, BOTO_WORKER, "objects", stub.url, str(SMALL),
                                                              "20", str(count), target.path])),
                              ("ours", lambda: _ours(scene, stub, target, f"zeros/{SMALL}", count, 20)),
                              ("checked", lambda: _ours(scene, stub, target, f"checked/{SMALL}", count, 20))):
                plan.noise.wait()
                target.empty()
                costs[name].append(run())
    each = lambda name: [c["cpu_ns"] / c["jobs"] / 1000 for c in costs[name]]  # noqa: E731
    boto = Series("boto3, download_file, one client", "us CPU", each("boto3"))
    limit = ("<=", 1 / 15, "ratio")
    return [Row(f"an object of {SMALL >> 10} KiB, of {count}", boto,
                Series("agent's transfers, five a job", "us CPU", each("ours"), boto, limit),
                Series("  with their CRC-64/NVME checked", "us CPU", each("checked"), boto, limit))]


ROWS = {"download": download, "objects": objects}
