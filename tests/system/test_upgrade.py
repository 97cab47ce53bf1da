#!/usr/bin/python3
"""From one build to the next with jobs running: an agent takes over what shims of another build do, each job once."""
import os
import shutil
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh.programs import AGENT, ARCHIVE, ARCHIVE_TAR, JOB, MILLHAND, PLUGIN_COMMAND, Place, Program, lock_holder, wait_for  # noqa: E402
from mh.stub import Stub  # noqa: E402
from mh.tap import check, equal, run, skip, story  # noqa: E402
from mh.worker import FAST, Marks, action, failed_as, finished, kill_shims, names_in, zip_of  # noqa: E402

# Takes the place of a job's shim: holds its lock, answers on its socket, and leaves a result when it is told to end.
FAKE_SHIM = r"""
import fcntl, json, os, select, signal, socket, sys
directory, hello, result = sys.argv[1:4]
os.chdir(directory)
lock = open("lock", "r+")
fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
lock.truncate(0)
lock.write(open("/proc/sys/kernel/random/boot_id").read().strip())
lock.flush()
if os.path.exists("socket"):
    os.unlink("socket")
server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
server.bind("socket")
server.listen(4)
said = []
def end(*_):
    with open("result.tmp", "w") as f:
        f.write(result)
    os.rename("result.tmp", "result.json")
    with open("../../said", "w") as f:
        f.write(json.dumps(said))
    os._exit(0)
signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
agent = None
while True:
    ready, _, _ = select.select([server] + ([agent] if agent else []), [], [])
    if server in ready:
        agent = server.accept()[0]
        agent.send(hello.encode())
    elif agent:
        data = agent.recv(65536)
        if data:
            said.append(json.loads(data))
            if said[-1]["m"] == "cancel":
                end()
        else:
            agent = None
"""


class Build:
    """A copy of what an installation has, in a directory of its own, under another version's name."""

    def __init__(self, place, name, version=None):
        self.place, self.dir = place, place.path(name)
        self.agent = os.path.join(self.dir, "bin", "millhand-agent")
        self.libexec = os.path.join(self.dir, "libexec")
        self.plugins = os.path.join(self.dir, "plugins")
        self.write(version)

    def write(self, version):
        """Files are replaced as packages do it: a new one, renamed."""
        own = version_of(self.place)
        for source, to in ((AGENT, self.agent), (JOB, os.path.join(self.libexec, "millhand-job")),
                           (ARCHIVE, os.path.join(self.libexec, "millhand-archive")),
                           (ARCHIVE_TAR, os.path.join(self.libexec, "millhand-archive-tar")),
                           (PLUGIN_COMMAND, os.path.join(self.plugins, "command.so"))):
            os.makedirs(os.path.dirname(to), exist_ok=True)
            shutil.copy(source, to + ".new")
            if version and source in (AGENT, JOB):
                with open(to + ".new", "r+b") as f:
                    data = f.read()
                    check(own in data, "the version in the program")
                    f.seek(0)
                    f.write(data.replace(own, version.encode()))
            os.rename(to + ".new", to)


def version_of(place):
    return place.run([AGENT, "--version"]).stdout.split()[-1].encode()


def other_version(place):
    """Of the same length."""
    own = version_of(place).decode()
    return own[:-1] + ("8" if own[-1] != "8" else "7")


class Scene:
    def __init__(self, **keys):
        self.place, self.stub = Place(), Stub()
        self.marks, self.keys = Marks(self.place), dict(FAST, **keys)
        self.agent = self.conf = None

    def __enter__(self):
        self.place.__enter__()
        return self

    def __exit__(self, *exc):
        self.stub.close()
        self.place.__exit__(*exc)

    def start(self, build, command, name, **keys):
        entry = action(self.place, command, inputs=[0, 1], outputs=[0, 1], config={"output": "dist"})
        entry.update(keys)
        self.conf = self.place.agent_conf(self.stub.endpoint, [entry], libexec_dir=build.libexec, plugin_dir=build.plugins,
                                          **self.keys)
        self.agent = Program(self.place, name, [build.agent, "-c", self.conf])
        self.place.programs.append(self.agent)
        wait_for(lambda: "agent.ready" in self.agent.text() or not self.agent.alive(), what="the agent")
        check(self.agent.alive(), self.agent.text())
        return self.agent

    def gated(self):
        """Marks its beginning and its end, and makes an output of its input."""
        return (f"{self.marks.command('begun')}; mkdir -p dist; read go < {self.marks.path}.go; echo made > dist/made; "
                f"{self.marks.command('ended')}")

    def count(self, mark):
        return self.marks.lines().count(mark)

    def says(self, event, count=1):
        wait_for(lambda: self.agent.text().count(f"{event} ") >= count, what=f"{count} times {event}")

    def version(self):
        import json
        return json.loads(self.place.run([MILLHAND, "-c", self.conf, "--json", "status"]).stdout)["version"]


def whole_job(s):
    return s.stub.job(inputs={"Src": zip_of({"f": b"source"})}, outputs=["Dist"])


def output_of(s, job):
    return names_in(s.stub.objects[("bucket", job.outputs["Dist"])])


def each_once(s, jobs):
    """Every job ran, was acknowledged and was reported one time."""
    for job in jobs:
        finished(job, "success")
        equal(output_of(s, job), {"made": b"made\n"})
        equal(len(job.results), 1, "results")
    equal((s.count("begun"), s.count("ended")), (len(jobs), len(jobs)), "runs")
    acknowledged = [body["jobId"] for body in s.stub.seen("AcknowledgeJob")]
    equal(sorted(acknowledged), sorted(job.id for job in jobs))


def take_over(end, from_version=None, to_version=None):
    """Jobs that run through it, one that ends while there is no agent, and one that begins after it."""
    with Scene(max_jobs=3) as s:
        other = other_version(s.place)
        old = Build(s.place, "old", other if from_version else None)
        new = Build(s.place, "new", other if to_version else None)
        first = s.start(old, s.gated(), "first")
        version = s.version()
        jobs = [whole_job(s) for _ in range(3)]
        wait_for(lambda: s.count("begun") == 3, what="three handlers")
        end(first)
        s.marks.go()
        wait_for(lambda: s.count("ended") == 1, what="one handler to end without an agent")
        last = whole_job(s)
        second = s.start(new, s.gated(), "second")
        check(s.version() != version, "another version")
        s.says("job.adopted", 2)
        for _ in range(3):
            s.marks.go()
        each_once(s, jobs + [last])
        for word in ("shim.other_protocol", "shim.bad_message", "job.no_result"):
            check(word not in second.text(), word)
        equal(second.stop(), 0)


def hand_over(agent):
    agent.send(signal.SIGUSR2)
    equal(agent.wait(), 0)


# ---- builds that go together ----

@story
def a_newer_build_takes_over_by_a_hand_over():
    take_over(hand_over, to_version=True)


@story
def a_newer_build_takes_over_after_a_crash():
    take_over(lambda agent: agent.kill(), to_version=True)


@story
def an_older_build_takes_over_when_the_upgrade_is_taken_back():
    take_over(hand_over, from_version=True)


@story
def files_are_replaced_beneath_a_running_agent_and_its_shims():
    """As a package does it: the agent still runs, starts jobs, and is replaced later."""
    with Scene(max_jobs=3) as s:
        build = Build(s.place, "usr")
        first = s.start(build, s.gated(), "first")
        jobs = [whole_job(s)]
        wait_for(lambda: s.count("begun") == 1, what="a handler")
        build.write(other_version(s.place))
        jobs.append(whole_job(s))
        wait_for(lambda: s.count("begun") == 2, what="a handler after the replacement")
        hand_over(first)
        s.start(build, s.gated(), "second")
        equal(s.version(), other_version(s.place))
        s.says("job.adopted", 2)
        for _ in range(2):
            s.marks.go()
        each_once(s, jobs)


@story
def a_job_of_the_old_build_is_cancelled_by_the_new_one():
    with Scene() as s:
        hand_over(begun(s, Build(s.place, "old")))
        s.start(Build(s.place, "new", other_version(s.place)), s.gated(), "second")
        s.says("job.adopted")
        s.place.run([MILLHAND, "-c", s.conf, "cancel", "1"])
        failed_as(s.stub.jobs[0], "JobFailed", "cancelled by the operator")
        equal(s.count("ended"), 0)


def begun(s, build):
    agent = s.start(build, s.gated(), "first")
    whole_job(s)
    wait_for(lambda: s.count("begun") == 1, what="the handler")
    return agent


# ---- builds that do not ----

def meet(s, hello, result, **keys):
    """An agent that finds a shim of that kind in the place of its own."""
    import subprocess
    build = Build(s.place, "build")
    agent = begun(s, build)
    agent.kill()
    job_dir = s.place.path("agent", "state", "jobs", "1")
    if kill_shims(agent) == 0:
        skip("no shim to take the place of")
    wait_for(lambda: lock_holder(os.path.join(job_dir, "lock")) == 0, what="the shim to be gone")
    fake = subprocess.Popen([sys.executable, "-c", FAKE_SHIM, job_dir, hello, result], stdout=subprocess.PIPE, text=True)
    equal(fake.stdout.readline(), "ready\n")
    try:
        s.start(build, s.gated(), "second", **keys)
        s.says("job.adopted")
        yield
        fake.wait(20)
    finally:
        fake.kill()
        fake.wait()
        fake.stdout.close()


RESULT = '{"version":1,"boot_id":"b","outcome":"failure","failure":{"type":"JobFailed","message":"told to end"}}'


@story
def a_shim_that_tells_no_protocol_is_of_the_first_builds_and_understood():
    with Scene() as s:
        for _ in meet(s, '{"m":"state","step":"run"}', RESULT):
            s.place.run([MILLHAND, "-c", s.conf, "cancel", "1"])
            failed_as(s.stub.jobs[0], "JobFailed", "told to end")
        with open(s.place.path("agent", "state", "said")) as f:
            check('"m": "cancel"' in f.read(), "the message")
        check("shim.other_protocol" not in s.agent.text(), s.agent.text())


@story
def a_shim_of_an_unknown_protocol_is_named_left_to_its_work_and_ended_by_a_signal():
    with Scene() as s:
        for _ in meet(s, '{"m":"state","step":"run","protocol":99,"version":"9.9"}', RESULT):
            s.says("shim.other_protocol")
            line = [li for li in s.agent.text().splitlines() if "shim.other_protocol" in li][0]
            check("protocol=99" in line and "version=9.9" in line, line)
            equal(s.stub.jobs[0].results, [])
            s.place.run([MILLHAND, "-c", s.conf, "cancel", "1"])
            failed_as(s.stub.jobs[0], "JobFailed", "told to end")
        with open(s.place.path("agent", "state", "said")) as f:
            equal(f.read(), "[]", "it is sent nothing")
        equal(s.agent.text().count("shim.other_protocol "), 1)


@story
def a_result_of_an_unknown_version_fails_the_job_with_a_sentence_and_runs_it_no_second_time():
    with Scene() as s:
        for _ in meet(s, '{"m":"state","step":"run","protocol":99}', RESULT.replace('"version":1', '"version":99'),
                      idempotent=True):
            s.place.run([MILLHAND, "-c", s.conf, "cancel", "1"])
            failed_as(s.stub.jobs[0], "SystemUnavailable", "version 99", "build")
        equal((s.count("begun"), len(s.stub.jobs[0].results)), (1, 1))


run()
