#!/usr/bin/python3
"""The agent under a service manager: what it tells NOTIFY_SOCKET, and when its watchdog is not fed.

A socket of the story's own plays systemd.
"""
import os
import re
import signal
import socket
import sqlite3
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh.programs import BUILD, wait_for  # noqa: E402
from mh.status import LISTEN, Status  # noqa: E402
from mh.tap import check, equal, run, skip, story  # noqa: E402
from mh.worker import finished  # noqa: E402
from mh.worlds import StubWorld  # noqa: E402


class Manager:
    """Hears datagrams; `heard` is a list of (when, message)."""

    def __init__(self, name):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + name[1:] if name.startswith("@") else name)
        self.socket.setblocking(False)
        self.name, self.heard = name, []

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.socket.close()

    def listen(self):
        while True:
            try:
                self.heard.append((time.monotonic(), self.socket.recv(4096).decode()))
            except BlockingIOError:
                return self.heard

    def lines(self):
        return [line for _, message in self.listen() for line in message.split("\n")]

    def fed(self):
        return [when for when, message in self.listen() if "WATCHDOG=1" in message.split("\n")]

    def wait(self, line, seconds=20):
        wait_for(lambda: line in self.lines(), seconds, f"{line}; heard {self.heard}")

    def env(self, watchdog_ms=None, pid=None):
        env = {"NOTIFY_SOCKET": self.name}
        if watchdog_ms:
            env["WATCHDOG_USEC"] = str(watchdog_ms * 1000)
        if pid:
            env["WATCHDOG_PID"] = str(pid)
        return env


class Scene(StubWorld):
    """An agent that is started with a manager's environment."""

    def begin(self, command, env, *options):
        self.conf = self.place.agent_conf(self.endpoint, [self.action(command)], **self.keys)
        self.agent = self.place.agent(self.conf, *options, env=env)
        return self.agent


@story
def a_manager_is_told_of_the_start_of_what_is_done_and_of_the_end():
    for abstract in (False, True):
        with Scene() as w, Manager(f"@mh-{os.getpid()}" if abstract else w.place.path("notify")) as m:
            agent = w.begin(f"env > {w.place.path('env')}; {w.marks.command()}; read line < {w.marks.path}.go", m.env())
            m.wait("READY=1")
            check("agent.ready" in agent.text(), "ready means that it polls")
            equal(m.heard[0][1], "READY=1\nSTATUS=taking jobs; 0 of 8 slots used, 0 results to deliver")
            job = w.job()
            w.marks.wait()
            m.wait("STATUS=taking jobs; 1 of 8 slots used, 0 results to deliver")
            agent.send(signal.SIGTERM)
            m.wait("STOPPING=1")
            check("STATUS=draining; 1 of 8 slots used, 0 results to deliver" in m.lines(), m.heard)
            room = int(re.search(r"EXTEND_TIMEOUT_USEC=(\d+)", str(m.heard))[1])
            check(900e6 < room < 920e6, f"as long as the drain may take: {room}")
            w.marks.go()
            finished(job, "success")
            equal(agent.wait(), 0)
            equal(m.lines().count("READY=1"), 1)
            check("WATCHDOG=1" not in m.lines(), "no watchdog was asked for")
            with open(w.place.path("env")) as f:
                check("NOTIFY_SOCKET" not in f.read(), "no job speaks for the agent")


@story
def a_hand_over_is_an_end_too():
    with Scene() as w, Manager(w.place.path("notify")) as m:
        agent = w.begin("true", m.env())
        m.wait("READY=1")
        agent.send(signal.SIGUSR2)
        equal(agent.wait(), 0)
        check("STOPPING=1" in m.lines(), m.heard)


@story
def a_reload_is_told_and_counted_whether_it_was_taken_or_not():
    with Scene(**LISTEN) as w, Manager(w.place.path("notify")) as m:
        agent = w.begin("true", m.env())
        m.wait("READY=1")
        status = Status(agent)
        wait_for(lambda: status.get("/readyz")[0] == 200, what="readiness")
        with open(w.conf) as f:
            good = f.read()
        for text, ok, other in ((good + "max_jobz = 3;\n", "false", "true"), (good + "max_jobs = 3;\n", "true", "false")):
            with open(w.conf, "w") as f:
                f.write(text)
            began, before = time.monotonic(), status.metrics()
            agent.send(signal.SIGHUP)
            wait_for(lambda: status.metrics().value("millhand_config_reload_total", ok=ok) == 1, what=f"ok={ok}")
            equal(status.metrics().value("millhand_config_reload_total", ok=other), before.value("millhand_config_reload_total", ok=other))
            told = wait_for(lambda: [t for when, t in m.listen() if when > began and t == "READY=1"], what="the end of it")
            equal(len(told), 1)
            started = [t for when, t in m.listen() if when > began and t.startswith("RELOADING=1\nMONOTONIC_USEC=")]
            check(int(started[0].rsplit("=", 1)[1]) >= began * 1e6, f"{started} {began}")
            equal(status.get("/readyz")[0], 200, "ready all the while")
        m2 = status.metrics()
        equal(m2.value("millhand_host_slots"), 3)
        check(m2.value("millhand_polls_total") >= before.value("millhand_polls_total"), "counters go on")
        finished(w.job(), "success")


@story
def a_manager_that_is_not_there_or_does_not_listen_costs_nothing():
    for name in ("/nowhere/notify", "relative", "@", "/" + "x" * 200, ""):
        with Scene() as w:
            job = w.job()
            agent = w.begin("true", {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "100000"})
            finished(job, "success")
            equal("agent.no_manager" in agent.text(), name not in ("/nowhere/notify", ""), f"{name}: {agent.text()}")
            equal(agent.stop(), 0)
    with Scene() as w, Manager(w.place.path("notify")) as m:  # its queue is full soon
        for job in [w.job() for _ in range(20)]:
            w.agent or w.begin("true", m.env(20))
            finished(job, "success")
        equal(w.agent.stop(), 0)


@story
def the_watchdog_is_fed_in_time_by_whom_it_is_for():
    with Scene() as w, Manager(w.place.path("notify")) as m:
        w.begin("true", m.env(600))
        wait_for(lambda: len(m.fed()) >= 6, what="it to be fed")
        gaps = [b - a for a, b in zip(m.fed(), m.fed()[1:])]
        check(max(gaps) < 0.6 * 3, f"gaps {gaps}")  # thrice: a busy machine
        check(min(gaps) > 0.1, f"not at every turn: {gaps}")
    for env in ({"WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "-5"}, {"WATCHDOG_USEC": "x"}):
        with Scene() as w, Manager(w.place.path("notify")) as m:
            job = w.job()
            w.begin("true", dict(m.env(200), **env))
            finished(job, "success")
            wait_for(lambda: len(w.seen("PollForJobs")) > 5, what="some turns")
            equal(m.fed(), [], str(env))


@story
def a_ledger_that_is_blocked_ends_the_feed_until_it_is_free():
    with Scene() as w, Manager(w.place.path("notify")) as m:
        agent = w.begin("true", m.env(400))
        wait_for(m.fed, what="it to be fed")
        held = sqlite3.connect(w.place.path("agent", "state", "ledger.db"), isolation_level=None)
        held.execute("BEGIN IMMEDIATE")
        job = w.job()
        wait_for(lambda: m.listen() and time.monotonic() - m.fed()[-1] > 1.6, what="four times the interval without a feed")
        check(agent.alive() and not w.seen("AcknowledgeJob"), agent.text())
        held.execute("COMMIT")
        held.close()
        count = len(m.fed())
        wait_for(lambda: len(m.fed()) > count, what="it to be fed again")
        finished(job, "success")


@story
def a_loop_that_hangs_for_ever_is_fed_no_more():
    with open(os.path.join(BUILD, "config.h")) as f:
        if "#define MH_FAULT_POINTS" not in f.read():
            skip("the programs are built without --enable-fault-points")
    for point in ("acking.commit", "poll.answer:3"):
        with Scene(**LISTEN) as w, Manager(w.place.path("notify")) as m:
            agent = w.begin("true", dict(m.env(400), MILLHAND_STALL_AT=point))
            if point == "acking.commit":
                status = Status(agent)
                equal(status.get("/healthz")[0], 200)
                w.job()
            wait_for(lambda: m.fed() and time.monotonic() - m.fed()[-1] > 2, what="five times the interval without a feed")
            check(agent.alive(), agent.text())
            equal(w.seen("AcknowledgeJob"), [])


run()
