#!/usr/bin/python3
"""HUP: the configuration is swapped whole, or the old one stays whole, and jobs keep what they began with."""
import json
import os
import shutil
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh.programs import Place, wait_for  # noqa: E402
from mh.stub import Stub  # noqa: E402
from mh.tap import check, equal, run, skip, story  # noqa: E402
from mh.worker import FAST, Marks, action, finished, zip_of  # noqa: E402


class Scene:
    """A stub, an agent, and its configuration, which can be written anew."""

    def __enter__(self):
        self.place, self.stub = Place(), Stub()
        self.place.__enter__()
        self.marks = Marks(self.place)
        self.agent = None
        return self

    def __exit__(self, *exc):
        self.stub.close()
        self.place.__exit__(*exc)

    def write(self, *entries, **keys):
        """entries: commands, or whole action entries."""
        actions = [action(self.place, e) if isinstance(e, str) else e for e in entries]
        return self.place.agent_conf(self.stub.endpoint, actions, **dict(FAST, **keys))

    def start(self, *entries, name="agent", **keys):
        self.agent = self.place.agent(self.write(*entries, **keys), name=name)
        wait_for(lambda: "agent.ready" in self.agent.text(), what="the agent")
        return self.agent

    def says(self, event, count=1):
        wait_for(lambda: self.agent.text().count(f"{event} ") >= count, what=f"{count} times {event}")
        return [line for line in self.agent.text().splitlines() if f"{event} " in line][-1]

    def hup(self, event="agent.reloaded"):
        """Sends HUP; answers the line with which it is over."""
        before = self.agent.text().count(f"{event} ")
        self.agent.send(signal.SIGHUP)
        return self.says(event, before + 1)

    def gated(self, text):
        return f"{self.marks.command(text)}; read go < {self.marks.path}.go"


def succeed(s, **job):
    return finished(s.stub.job(**job), "success")


@story
def a_new_configuration_is_in_force_after_hup():
    with Scene() as s:
        s.start(s.marks.command("old"))
        succeed(s)
        lint = s.stub.job(provider="Lint")
        s.write(s.marks.command("new"), action(s.place, s.marks.command("lint"), provider="Lint"), max_jobs=3)
        line = s.hup()
        check("action_types=2" in line and "max_jobs=3" in line, line)
        check("agent.reload_kept" not in s.agent.text(), s.agent.text())
        finished(lint, "success")
        succeed(s)
        equal(s.marks.lines(), ["old", "lint", "new"])


@story
def a_job_keeps_the_configuration_that_it_began_with():
    """One that runs, and one whose inputs are still on their way."""
    with Scene() as s:
        s.start(s.gated("old"))
        running = s.stub.job()
        s.marks.wait(1)
        s.stub.fault("S3 GET", "hang")
        fetching = s.stub.job(inputs={"Src": zip_of({"f": b""})})
        wait_for(lambda: s.stub.seen("S3 GET"), what="the fetch")
        s.write(s.marks.command("new"))
        s.hup()
        succeed(s)
        s.marks.go()
        finished(running, "success")
        s.stub.clear_faults()
        s.marks.go()
        finished(fetching, "success")
        equal(s.marks.lines(), ["old", "new", "old"])


@story
def a_wrong_file_is_one_error_and_the_old_configuration_stays_whole():
    with Scene() as s:
        s.start(s.marks.command("old"))
        broken = s.place.path("broken.so")
        with open(broken, "w") as f:
            f.write("this is no plugin")
        conf = s.write(s.marks.command("new"), poll_interval_min="5m")
        equal(s.agent.text().count("agent.not_reloaded"), 0)
        line = s.hup("agent.not_reloaded")
        check("agent.conf" in line and "poll_interval_min" in line, line)
        s.write(s.marks.command("new"), action(s.place, "true", provider="Other", plugin=broken))
        line = s.hup("agent.not_reloaded")
        check("agent.conf" in line and "actions[1].plugin" in line and "broken.so" in line, line)
        with open(conf, "a") as f:
            f.write("actions = ( ;\n")
        check("agent.conf:" in s.hup("agent.not_reloaded"), "file and line")
        os.unlink(conf)
        check("agent.conf" in s.hup("agent.not_reloaded"), "no file")
        succeed(s)
        equal((s.marks.lines(), s.agent.text().count("agent.reloaded ")), (["old"], 0))
        s.write(s.marks.command("new"))
        s.hup()
        succeed(s)
        equal(s.marks.lines(), ["old", "new"])


@story
def keys_that_only_a_start_takes_over_are_named_and_kept():
    with Scene() as s:
        s.start(s.marks.command("old"))
        succeed(s)
        s.write(s.marks.command("new"), state_dir=s.place.path("elsewhere"), region="eu-west-1", log_level="debug")
        s.hup()
        line = s.says("agent.reload_kept")
        check('keys="region, state_dir, work_dir"' in line, line)
        succeed(s)
        equal((s.marks.lines(), s.stub.bad_signatures), (["old", "new"], []))
        check(not os.path.exists(s.place.path("elsewhere")), "the other state directory")
        check(" debug " in s.agent.text() or "DEBUG" in s.agent.text(), "log_level is taken over")
        equal(s.agent.stop(), 0)


@story
def static_keys_are_rotated_by_hup_and_wrong_ones_change_nothing():
    with Scene() as s:
        secret = "another-secret-0123456789"
        s.stub.secrets["AKIAOTHER"] = secret
        s.start(s.marks.command("old"))
        succeed(s)
        s.write(s.marks.command("bad"), credentials={"access_key_id": "two words", "secret_access_key": secret})
        check("credentials" in s.hup("agent.not_reloaded"), "which key is wrong")
        succeed(s)
        s.write(s.marks.command("new"), credentials={"access_key_id": "AKIAOTHER", "secret_access_key": secret})
        s.hup()
        seen = len(s.stub.keys_seen)
        succeed(s)
        equal((s.marks.lines(), s.stub.bad_signatures), (["old", "old", "new"], []))
        equal({key for key, _ in s.stub.keys_seen[:seen - 2]}, {"test"}, "keys before")
        equal({key for key, _ in s.stub.keys_seen[seen + 1:]}, {"AKIAOTHER"}, "keys afterwards")  # one was under way
        check(secret not in s.agent.text(), "secrets are not shown")


@story
def the_form_of_the_log_changes_with_hup_for_jobs_that_begin_then_too():
    with Scene() as s:
        s.start(s.marks.command("old"))
        succeed(s)
        s.write(s.marks.command("new"), log_format="json")
        s.agent.send(signal.SIGHUP)
        wait_for(lambda: '"agent.reloaded"' in s.agent.text(), what="a line of JSON")
        before = s.agent.text().index('{"ts"')
        succeed(s)
        wait_for(lambda: '"result.delivered"' in s.agent.text(), what="the job's lines")
        for line in s.agent.text()[before:].splitlines():
            json.loads(line)
        s.write(s.marks.command("newer"), log_format="text")
        s.agent.send(signal.SIGHUP)
        wait_for(lambda: " agent.reloaded " in s.agent.text()[before:], what="a line of text")
        succeed(s)


@story
def slots_are_counted_across_a_reload_also_for_entries_that_are_gone():
    with Scene() as s:
        s.start(s.gated("make"), action(s.place, s.gated("lint"), provider="Lint"), max_jobs=3)
        lint, make = s.stub.job(provider="Lint"), s.stub.job()
        s.marks.wait(2)
        s.write(s.marks.command("new"), max_jobs=2)
        s.hup()
        waiting = s.stub.job()
        gone = s.stub.job(provider="Lint")
        s.agent.send(signal.SIGUSR1)
        s.says("agent.state")
        equal(waiting.status, "Queued", "there is no slot")
        s.marks.go()
        s.marks.go()
        finished(lint, "success")
        finished(make, "success")
        finished(waiting, "success")
        equal((gone.status, sorted(s.marks.lines())), ("Queued", ["lint", "make", "new"]))


@story
def the_swap_waits_for_the_answer_to_a_poll_and_loses_no_job():
    with Scene() as s:
        s.stub.fault("PollForJobs", "hang")
        # The poll that breaks off is not tried again before the plugins have answered, however slow they are.
        s.start(s.marks.command("old"), retry_base="3s")
        wait_for(lambda: s.stub.seen("PollForJobs"), what="a poll")
        s.write(s.marks.command("new"), retry_base="3s")
        s.agent.send(signal.SIGHUP)
        s.says("agent.reload")
        job = s.stub.job()
        s.agent.send(signal.SIGUSR1)
        s.says("agent.state")
        equal(s.agent.text().count("agent.reloaded "), 0)
        s.stub.clear_faults()
        s.says("agent.reloaded")
        finished(job, "success")
        equal(s.marks.lines(), ["new"])


@story
def many_hups_end_with_the_last_file_in_force():
    with Scene() as s:
        s.start(s.marks.command("0"))
        for i in range(1, 31):
            s.write(s.marks.command(str(i)) if i % 3 else "x", max_jobs=8 if i % 3 else 0)
            s.agent.send(signal.SIGHUP)
        s.write(s.marks.command("last"), action(s.place, s.marks.command("two"), provider="Two"))
        s.agent.send(signal.SIGHUP)
        wait_for(lambda: "action_types=2" in s.agent.text(), what="the last file")
        succeed(s)
        equal(s.marks.lines(), ["last"])
        equal(s.agent.stop(), 0)


@story
def a_plugin_that_hangs_while_it_is_asked_holds_up_neither_jobs_nor_the_end():
    cc = shutil.which("cc") or skip("no cc")
    with Scene() as s:
        hanging, source = s.place.path("hanging.so"), s.place.path("hanging.c")
        with open(source, "w") as f:
            f.write("#include <unistd.h>\n__attribute__((constructor)) static void hang(void) { for (;;) pause(); }\n")
        s.place.run([cc, "-shared", "-fPIC", "-o", hanging, source])
        s.start(s.marks.command("old"))
        s.write(action(s.place, "true", plugin=hanging))
        s.agent.send(signal.SIGHUP)
        s.says("agent.reload")
        succeed(s)
        equal(s.marks.lines(), ["old"])
        s.agent.send(signal.SIGUSR2)
        equal(s.agent.wait(5), 0)
        check("agent.not_reloaded" not in s.agent.text(), s.agent.text())


@story
def an_agent_ends_although_a_reload_is_under_way():
    """Once while plugins are asked, once while it waits for a poll."""
    with Scene() as s:
        s.start("true")
        s.agent.send(signal.SIGHUP)
        equal(s.agent.stop(), 0)
        s.stub.fault("PollForJobs", "hang")
        before = len(s.stub.seen("PollForJobs"))
        s.start("true", name="second", cancel_timeout="300ms")
        wait_for(lambda: len(s.stub.seen("PollForJobs")) > before, what="a poll")
        s.agent.send(signal.SIGHUP)
        s.says("agent.reload")
        s.agent.send(signal.SIGUSR2)
        equal(s.agent.wait(), 0)


run()
