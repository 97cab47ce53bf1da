"""Many action types and many running jobs in one agent, and what they cost together.

    with Place() as place:
        many = Many(place, endpoint, types=50, jobs=200)   an agent; its jobs run until go()
        many.start(); ... offer many.providers, each `jobs // types` times ...
        many.wait_running()
        many.pss_kb()
        many.go()
"""
import os

from mh.procs import descendants
from mh.programs import BUILD, wait_for

WAIT = os.path.join(BUILD, "tests", "fixtures", "plugins", ".libs", "wait.so")


class Many:
    def __init__(self, place, endpoint, types, jobs, wait=WAIT, name="many", **keys):
        self.place, self.jobs, self.name = place, jobs, name
        self.providers = [f"Type{i}" for i in range(types)]
        self.gate = place.path(f"{name}.gate")
        os.mkfifo(self.gate)
        self.gate_fd = os.open(self.gate, os.O_RDWR)
        self.conf = place.agent_conf(endpoint, [self._entry(p, wait) for p in self.providers], name=name,
                                     max_jobs=jobs, poll_rate=1000, watch_interval=0, **keys)

    def _entry(self, provider, wait):
        return {"category": "Build", "owner": "Custom", "provider": provider, "version": "1", "plugin": wait,
                "max_jobs": self.jobs // len(self.providers), "timeout": "1d", "config": {"gate": self.gate}}

    def start(self):
        self.agent = self.place.agent(self.conf, name=self.name)
        return self.agent

    def processes(self):
        return [self.agent.process.pid] + descendants(self.agent.process.pid)

    def waiting(self):
        """Handlers that hold the gate open."""
        found = 0
        for pid in self.processes():
            try:
                found += any(os.readlink(f"/proc/{pid}/fd/{fd}") == self.gate for fd in os.listdir(f"/proc/{pid}/fd"))
            except OSError:
                continue  # it ended
        return found

    def wait_running(self, seconds=60):
        wait_for(lambda: not self.agent.alive() or self.agent.text().count(" job.started ") >= self.jobs, seconds,
                 f"{self.jobs} jobs to be started")
        wait_for(lambda: self.waiting() == self.jobs, seconds, "all handlers to wait")

    def pss_kb(self):
        """{what: its share of memory in KB}: the agent, and millhand-job in all its parts."""
        shares = {"agent": 0, "jobs": 0, "processes": 0}
        for pid in self.processes():
            with open(f"/proc/{pid}/smaps_rollup") as f:
                pss = next(int(line.split()[1]) for line in f if line.startswith("Pss:"))
            shares["agent" if pid == self.agent.process.pid else "jobs"] += pss
            shares["processes"] += 1
        return shares

    def go(self):
        """Lets every job end. (A FIFO takes so many lines at once.)"""
        for _ in range(self.jobs):
            os.write(self.gate_fd, b"go\n")

    def wakeups(self):
        """Context switches of the agent and all its threads, so far."""
        pid, count = self.agent.process.pid, 0
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/status") as f:
                count += sum(int(line.split()[1]) for line in f if "ctxt_switches" in line)
        return count
