"""Plays the agent for one millhand-job: spec, job directory, socket, messages.

    with Jobs() as jobs:
        job = jobs.start("ok", config={"target": "x"}, outputs=["Dist"])
        result = job.finish()
"""
import fcntl
import io
import json
import os
import shutil
import signal
import socket
import stat
import tempfile
import time
import zipfile

from mh import findings
from mh.programs import ARCHIVE, ARCHIVE_TAR, BUILD, JOB, PLUGIN_COMMAND, SRC, lock_holder, wait_for

FIXTURES = os.path.join(BUILD, "tests", "fixtures", "plugins", ".libs")
FAKE_ARCHIVE = os.path.join(SRC, "tests", "fixtures", "fake-archive")

JOB_ID = "11111111-2222-3333-4444-555555555555"
EXECUTION = "99999999-8888-7777-6666-555555555555"


def archive_program():
    return ARCHIVE if os.path.exists(ARCHIVE) else FAKE_ARCHIVE


def zip_of(files):
    """Bytes of a zip; a value of bytes is a file, a str a symbolic link, mode 0755 for .sh."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.create_system = 3
            link = isinstance(content, str)
            mode = stat.S_IFLNK | 0o777 if link else stat.S_IFREG | (0o755 if name.endswith(".sh") else 0o644)
            info.external_attr = mode << 16
            z.writestr(info, content)
    return out.getvalue()


def job_document(config=None, inputs=(), outputs=(), token=None):
    data = {
        "actionTypeId": {"category": "Build", "owner": "Custom", "provider": "Make", "version": "1"},
        "actionConfiguration": {"configuration": dict(config or {})},
        "pipelineContext": {
            "pipelineName": "release", "pipelineArn": "arn:aws:codepipeline:us-east-1:123456789012:release",
            "pipelineExecutionId": EXECUTION, "stage": {"name": "Build"},
            "action": {"name": "Compile", "actionExecutionId": "77777777-8888-7777-6666-555555555555"},
        },
        "inputArtifacts": [{"name": n} for n in inputs],
        "outputArtifacts": [{"name": n} for n in outputs],
    }
    if token is not None:
        data["continuationToken"] = token
    return {"id": JOB_ID, "accountId": "123456789012", "data": data}


class Agent:
    """One connection to the shim."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(20 * findings.SLOW)
        self.socket.connect(path)

    def receive(self):
        """The next message, None at the end."""
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            return None
        return json.loads(data) if data else None

    def receive_until(self, predicate, what):
        seen = []
        while True:
            message = self.receive()
            if message is None:
                raise AssertionError(f"end of the socket before {what}; got {seen}")
            seen.append(message)
            if predicate(message):
                return message

    def send(self, message):
        data = message if isinstance(message, bytes) else json.dumps(message).encode()
        self.socket.send(data)

    def close(self):
        self.socket.close()


class Job:
    def __init__(self, jobs, n, dir, work):
        self.jobs, self.n, self.dir, self.work = jobs, n, dir, work
        self.pid = self.code = None

    def connect(self):
        return Agent(os.path.join(self.dir, "socket"))

    def ended(self):
        if self.code is None and self.pid:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code is not None

    def wait(self, seconds=20):
        wait_for(self.ended, seconds, "millhand-job to end")
        return self.code

    def result(self):
        with open(os.path.join(self.dir, "result.json")) as f:
            return json.load(f)

    def finish(self, seconds=20):
        """Waits for the end; answers result.json."""
        code = self.wait(seconds)
        if code != 0:
            raise AssertionError(f"millhand-job: exit {code}")
        return self.result()

    def failure(self, seconds=20):
        """The failure's (type, message)."""
        result = self.finish(seconds)
        if result["outcome"] != "failure":
            raise AssertionError(f"no failure: {result}")
        return result["failure"]["type"], result["failure"]["message"]

    def log(self):
        if not os.path.exists(os.path.join(self.dir, "log")):
            return ""
        with open(os.path.join(self.dir, "log"), "rb") as f:
            return f.read().decode("utf-8", "replace")

    def lock_holder(self):
        """The pid that holds the job's lock, 0 when nobody does."""
        return lock_holder(os.path.join(self.dir, "lock"))

    def kill(self):
        if self.pid and not self.ended():
            os.kill(self.pid, signal.SIGKILL)
            wait_for(self.ended, 20, "millhand-job to die")


class Jobs:
    """A directory with state/jobs/<n>, work/<n> and plugins. uid: run as that user; above: where."""

    def __init__(self, uid=None, above=None):
        for path in (JOB, PLUGIN_COMMAND, FIXTURES):
            if not os.path.exists(path):
                raise AssertionError(f"{path} is not built")
        self.uid = uid
        self.root = os.path.realpath(tempfile.mkdtemp(prefix="mh-job-", dir=above))
        os.chmod(self.root, 0o755)
        self.plugins = os.path.join(self.root, "plugins")
        self.archives = os.path.join(self.root, "libexec")
        self.jobs = []
        for name in ("plugins", "libexec", "work", "state", "state/jobs"):
            os.mkdir(os.path.join(self.root, name), 0o755)
        # Copies: the build's own may be writable by a group, which plugins must not be.
        for name in os.listdir(FIXTURES):
            if name.endswith(".so"):
                self.add_plugin(os.path.join(FIXTURES, name))
        self.add_plugin(PLUGIN_COMMAND)
        self.program = self._copy(JOB, "millhand-job")
        self.archive = self._copy(archive_program(), "millhand-archive")
        if os.path.exists(ARCHIVE_TAR):
            self._copy(ARCHIVE_TAR, "millhand-archive-tar")

    def _copy(self, path, name):
        target = os.path.join(self.archives, name)
        shutil.copy(path, target)
        os.chmod(target, 0o755)
        return target

    def add_plugin(self, path, name=None):
        target = os.path.join(self.plugins, name or os.path.basename(path))
        shutil.copy(path, target)
        os.chmod(target, 0o755)
        return target

    def script(self, name, text):
        """A program in the directory, for instance another millhand-archive."""
        path = os.path.join(self.archives, name)
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, 0o755)
        return path

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        for job in self.jobs:
            job.kill()
            findings.ended(f"job {job.n}", job.code)
            if kind is not None and kind.__name__ != "Skip":
                for line in job.log().splitlines()[-40:]:
                    print(f"# job {job.n}: {line}", flush=True)
                for line in self.errors().splitlines()[-10:]:
                    print(f"# stderr: {line}", flush=True)
        findings.look_in(self.root)
        if os.environ.get("MH_KEEP"):
            print(f"# kept: {self.root}", flush=True)
        else:
            shutil.rmtree(self.root, ignore_errors=True)

    def errors(self):
        """What the shims said on their standard error, which is the agent's."""
        path = os.path.join(self.root, "shim.err")
        if not os.path.exists(path):
            return ""
        with open(path, errors="replace") as f:
            return f.read()

    def make(self, n=None, inputs=None):
        """The directories of a job, as the agent makes them."""
        n = n or len(self.jobs) + 1
        job = Job(self, n, os.path.join(self.root, "state/jobs", str(n)), os.path.join(self.root, "work", str(n)))
        os.mkdir(job.dir, 0o700)
        os.mkdir(os.path.join(job.dir, "fetch"), 0o700)
        for i, content in enumerate((inputs or {}).values()):
            with open(os.path.join(job.dir, "fetch", str(i)), "wb") as f:
                f.write(content if isinstance(content, bytes) else zip_of(content))
        os.mkdir(job.work, 0o700)
        if self.uid is not None:
            for top in (job.dir, job.work):
                for path, _, files in os.walk(top):
                    os.chown(path, self.uid, self.uid)
                    for name in files:
                        os.chown(os.path.join(path, name), self.uid, self.uid)
        self.jobs.append(job)
        return job

    def spec(self, job, plugin, config=None, inputs=None, outputs=(), token=None, seconds=60, **keys):
        spec = {
            "version": 1, "n": job.n,
            "job": job_document(config, inputs or {}, outputs, token),
            "plugin": os.path.join(self.plugins, f"{plugin}.so"),
            "config": dict(config or {}), "public": [],
            "deadline_ms": int((time.time() + seconds) * 1000), "grace_ms": 5000,
            "log_max_bytes": 1024 * 1024, "work_dir": job.work, "archive_program": self.archive,
            "inputs": [{"name": n, "file": f"fetch/{i}"} for i, n in enumerate(inputs or {})],
            "outputs": [{"name": n, "file": f"store/{i}", "format": "zip"} for i, n in enumerate(outputs)],
            "limits": {}, "sandbox": {"write": [], "network": True, "user": "", "detach": False},
        }
        sandbox = keys.pop("sandbox", {})
        spec.update(keys)
        spec["sandbox"].update(sandbox)
        return spec

    def start(self, plugin, config=None, inputs=None, outputs=(), **keys):
        job = self.make(inputs=inputs)
        self.spawn(job, self.spec(job, plugin, config, inputs, outputs, **keys))
        return job

    def spawn(self, job, spec):
        """Starts millhand-job with descriptors 3, 4 and 5, as the agent does."""
        text = spec if isinstance(spec, bytes) else json.dumps(spec).encode()
        spec_fd = os.memfd_create("spec", os.MFD_ALLOW_SEALING)
        os.write(spec_fd, text)
        os.lseek(spec_fd, 0, os.SEEK_SET)
        fcntl.fcntl(spec_fd, 1033, 0xf)  # F_ADD_SEALS: all
        dir_fd = os.open(job.dir, os.O_RDONLY | os.O_DIRECTORY)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        path = os.path.join(job.dir, "socket")
        if os.path.exists(path):
            os.unlink(path)
        listener.bind(path)
        listener.listen(8)
        if self.uid is not None:
            os.chown(path, self.uid, self.uid)
        job.pid = os.fork()
        if job.pid == 0:
            self._child(spec_fd, dir_fd, listener.fileno())
        job.code = None
        os.close(spec_fd)
        os.close(dir_fd)
        listener.close()

    def _child(self, *fds):
        try:
            null = os.open("/dev/null", os.O_RDWR)
            with open(os.path.join(self.root, "shim.err"), "ab") as err:
                os.fchmod(err.fileno(), 0o666)
                fds = [fcntl.fcntl(fd, fcntl.F_DUPFD, 32) for fd in (null, null, err.fileno()) + fds]
            for target, fd in enumerate(fds):
                os.dup2(fd, target)
            if self.uid is not None:
                os.setgroups([])
                os.setgid(self.uid)
                os.setuid(self.uid)
            os.execve(self.program, [self.program], dict(os.environ))
        finally:
            os._exit(99)
