"""Starts and stops the real programs for a story, in a temporary directory of its own.

    with Place() as place:
        emulator = place.emulator()
        cp, s3 = emulator.client("codepipeline"), emulator.client("s3")
        agent = place.agent(emulator, actions=...)

Everything ends with the `with`; logs are shown when the story fails.
"""
import fcntl
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

from mh import findings
from mh.tap import skip

SRC = os.environ.get("MH_SRCDIR") or os.path.abspath(os.path.join(os.path.dirname(__file__), "../../.."))
BUILD = os.environ.get("MH_BUILDDIR") or SRC
SHARED = os.environ.get("MH_SHARED") or os.path.join(SRC, "..", "shared")
MODEL = os.path.join(SRC, "emulator", "model", "codepipeline-2015-07-09.json")

EMULATOR = os.path.join(BUILD, "emulator", "millhand-emulator")
AGENT = os.path.join(BUILD, "agent", "millhand-agent")
JOB = os.path.join(BUILD, "agent", "job", "millhand-job")
ARCHIVE = os.path.join(BUILD, "agent", "archive", "millhand-archive")
ARCHIVE_TAR = ARCHIVE + "-tar"
MILLHAND = os.path.join(BUILD, "cli", "millhand")
PLUGIN_COMMAND = os.path.join(BUILD, "plugins", "command", ".libs", "command.so")

MODELCHECK = os.environ.get("MH_MODELCHECK")  # ../shared/tools/modelcheck: every emulator is spoken to through it

KEY, SECRET, REGION = "test", "testsecret", "us-east-1"

_pause = threading.Event()


def wait_for(predicate, seconds=20, what="condition"):
    """Asks until the answer is true, at most so long; answers it."""
    end = time.monotonic() + seconds * findings.SLOW
    while True:
        answer = predicate()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        _pause.wait(0.02)


def need_mount_namespace():
    """Skips the story where there is none: for an ordinary user, or below a root that is no mount."""
    tried = subprocess.run(["unshare", "-m", "true"], capture_output=True, text=True)
    if tried.returncode != 0:
        skip(f"no mount namespace here: {tried.stderr.strip()}")


def sanitized(path=None):
    """Whether a program (the agent, unless another is named) is built with a sanitizer."""
    with open(path or AGENT, "rb") as f:
        program = f.read()
    return b"__asan_init" in program or b"__tsan_init" in program


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def is_listening(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def lock_holder(path):
    """The pid that holds the record lock on that file, 0 when nobody does."""
    try:
        with open(path, "r+b") as f:
            query = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            kind, _, _, _, pid = struct.unpack("hhqqi4x", fcntl.fcntl(f, fcntl.F_GETLK, query))
            return 0 if kind == fcntl.F_UNLCK else pid
    except OSError:
        return 0  # it is gone


class Program:
    """One running process with its log in a file."""

    def __init__(self, place, name, argv, env=None, **popen):
        self.name, self.argv = name, argv
        self.log_path = os.path.join(place.dir, f"{name}.log")
        self.log = open(self.log_path, "ab")
        full_env = dict(place.env, **(env or {}))
        self.process = subprocess.Popen(self.wrapped(), stdin=subprocess.DEVNULL, stdout=self.log,
                                        stderr=self.log, env=full_env, **popen)

    def wrapped(self):
        """Agent and emulator run under MH_WRAP."""
        return findings.wrap(self.argv) if self.argv[0] in (AGENT, EMULATOR) else self.argv

    def text(self):
        with open(self.log_path, "rb") as f:
            return f.read().decode("utf-8", "replace")

    def alive(self):
        return self.process.poll() is None

    def send(self, signal_number):
        self.process.send_signal(signal_number)

    def wait(self, seconds=20):
        return self.process.wait(seconds * findings.SLOW)

    def stop(self, seconds=20):
        """TERM, and the exit code."""
        if self.alive():
            self.send(signal.SIGTERM)
        return self.process.wait(seconds * findings.SLOW)

    def kill(self):
        """kill -9, reaped."""
        if self.alive():
            self.process.kill()
        self.process.wait()

    def close(self):
        self.kill()
        self.log.close()
        findings.ended(self.name, self.process.returncode)


class Emulator(Program):
    def __init__(self, place, data_dir, options, env=None, port=0, name="emulator"):
        port_file = os.path.join(place.dir, f"{name}.port")
        if os.path.exists(port_file):
            os.unlink(port_file)
        argv = [EMULATOR, "--listen", f"127.0.0.1:{port}", "--data-dir", data_dir,
                "--port-file", port_file, "--check-answers"] + list(options)
        super().__init__(place, name, argv, env)
        self.place, self.data_dir = place, data_dir
        wait_for(lambda: not self.alive() or (os.path.exists(port_file) and os.path.getsize(port_file)),
                 what="the emulator to answer")
        if not self.alive():
            raise AssertionError(f"the emulator ended, exit {self.process.returncode}: {self.text()}")
        with open(port_file) as f:
            self.port = int(f.read())
        self.endpoint = f"{'https' if '--tls-cert' in options else 'http'}://127.0.0.1:{self.port}"
        self.checker = None
        if MODELCHECK and self.endpoint.startswith("http:"):
            self.checked()

    def checked(self):
        """From now on whoever asks for the endpoint gets that of the checking proxy in front of it."""
        port = free_port()
        self.checked_log = f"{self.log_path}.checked"
        self.checker = subprocess.Popen([sys.executable, MODELCHECK, "--listen", f"127.0.0.1:{port}", "--upstream",
                                         self.endpoint, "--quiet", "--log", self.checked_log], stdout=subprocess.DEVNULL)
        wait_for(lambda: is_listening(port), what="the checking proxy")
        self.endpoint = f"http://127.0.0.1:{port}"

    def close(self):
        if self.checker:
            self.checker.terminate()
            self.checker.wait()
            findings.exchanges(self.checked_log)
        super().close()

    def client(self, service, key=KEY, secret=SECRET, token=None, **config):
        return client(self.place, service, self.endpoint, key, secret, token, **config)


def client(place, service, endpoint, key=KEY, secret=SECRET, token=None, verify=None, **config):
    """A boto3 client that reads the carried service model and retries nothing."""
    import boto3
    from botocore.config import Config

    session = boto3.session.Session()
    session._loader.search_paths.insert(0, place.models())
    options = {"retries": {"max_attempts": 0}, "s3": {"addressing_style": "path"}, "parameter_validation": False}
    options.update(config)
    return session.client(service, endpoint_url=endpoint, region_name=REGION, aws_access_key_id=key,
                          aws_secret_access_key=secret, aws_session_token=token, verify=verify, config=Config(**options))


def conf_value(value):
    """A Python value as libconfig writes it: dict = group, tuple = list, list = array."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value}L" if abs(value) > 2**31 - 1 else str(value)
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    if isinstance(value, dict):
        return "{ " + " ".join(f"{k} = {conf_value(v)};" for k, v in value.items()) + " }"
    if isinstance(value, tuple):
        return "( " + ", ".join(conf_value(v) for v in value) + " )"
    return "[ " + ", ".join(conf_value(v) for v in value) + " ]"


TROUBLE = os.path.join(BUILD, "tests", "fixtures", ".libs", "trouble.so")


def troubled_libexec(place, wish):
    """A libexec_dir whose millhand-job has the trouble that the file `wish` names (tests/fixtures/trouble.c)."""
    if not os.path.exists(TROUBLE):
        raise AssertionError(f"{TROUBLE} is not built")
    path = place.path("troubled")
    os.makedirs(path)
    with open(os.path.join(path, "millhand-job"), "w") as f:
        f.write(f'#!/bin/sh\nMH_TROUBLE={wish} LD_PRELOAD={TROUBLE} exec {JOB} "$@"\n')
    os.chmod(os.path.join(path, "millhand-job"), 0o755)
    for name in os.listdir(place.libexec()):
        if name != "millhand-job":
            os.symlink(os.path.realpath(os.path.join(place.libexec(), name)), os.path.join(path, name))
    return path


class Place:
    """A story's directory, environment and running programs."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="mh-")
        self.programs = []
        home = os.path.join(self.dir, "home")
        os.makedirs(home)
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "MILLHAND_"))}
        self.env.update(HOME=home, MILLHAND_ARCHIVE=ARCHIVE, AWS_EC2_METADATA_DISABLED="true", LC_ALL="C.UTF-8")
        # Nor the make that runs this story: one that a story starts is no part of it.
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "MAKEFLAGS", "MFLAGS", "MAKELEVEL"):
            self.env.pop(name, None)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        failed = kind is not None and kind.__name__ != "Skip"
        for p in reversed(self.programs):
            p.close()
            if failed:
                for line in p.text().splitlines()[-60:]:
                    print(f"# {p.name}: {line}", flush=True)
        self.end_shims()
        findings.look_in(self.dir)
        if not os.environ.get("MH_KEEP"):
            shutil.rmtree(self.dir, ignore_errors=True)
        else:
            print(f"# kept: {self.dir}", file=sys.stderr)

    def end_shims(self):
        """Jobs outlive their agent by design; they do not outlive their story."""
        for top, _, names in os.walk(self.dir):
            if "lock" in names and os.path.basename(os.path.dirname(top)) == "jobs":
                holder = lock_holder(os.path.join(top, "lock"))
                if holder > 0:
                    os.kill(holder, signal.SIGKILL)

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def models(self):
        """A directory for AWS_DATA_PATH with the carried model (design section 8)."""
        path = self.path("models", "codepipeline", "2015-07-09")
        if not os.path.isdir(path):
            os.makedirs(path)
            shutil.copy(MODEL, os.path.join(path, "service-2.json"))
        return self.path("models")

    def emulator(self, *options, data_dir=None, env=None, port=0, name="emulator"):
        e = Emulator(self, data_dir or self.path("data"), options, env, port, name)
        self.programs.append(e)
        return e

    def agent_conf(self, endpoint, actions, name="agent", **keys):
        """Writes an agent configuration with short intervals; answers its path."""
        conf = {
            "endpoint": endpoint,
            "region": REGION,
            "credentials": {"access_key_id": KEY, "secret_access_key": SECRET},
            "state_dir": self.path(name, "state"),
            "plugin_dir": os.path.dirname(PLUGIN_COMMAND),
            "libexec_dir": self.libexec(),
        }
        conf.update(keys)
        conf["actions"] = tuple(actions)
        os.makedirs(self.path(name), exist_ok=True)
        path = self.path(name, "agent.conf")
        with open(path, "w") as f:
            for key, value in conf.items():
                f.write(f"{key} = {conf_value(value)};\n")
        os.chmod(path, 0o600)
        return path

    def libexec(self):
        """One directory with millhand-job and millhand-archive, as an installation has it."""
        path = self.path("libexec")
        if not os.path.isdir(path):
            os.makedirs(path)
            for program in (JOB, ARCHIVE, ARCHIVE_TAR):
                os.symlink(program, os.path.join(path, os.path.basename(program)))
        return path

    def agent(self, conf_path, *options, name="agent", env=None):
        a = Program(self, name, [AGENT, "-c", conf_path] + list(options), env)
        self.programs.append(a)
        return a

    def run(self, argv, check=True, timeout=60, **kwargs):
        """A short command; answers its CompletedProcess with text output."""
        done = subprocess.run(argv, env=self.env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=timeout * findings.SLOW, **kwargs)
        if check and done.returncode != 0:
            raise AssertionError(f"{argv}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def aws(self, emulator, *words, check=True):
        """The distribution's AWS CLI against the emulator; answers parsed JSON or text."""
        env = dict(self.env, AWS_DATA_PATH=self.models(), AWS_ACCESS_KEY_ID=KEY, AWS_SECRET_ACCESS_KEY=SECRET,
                   AWS_DEFAULT_REGION=REGION, AWS_PAGER="")
        argv = ["/usr/bin/aws", "--endpoint-url", emulator.endpoint] + [str(w) for w in words]
        done = subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=120 * findings.SLOW)
        if not check:
            return done
        if done.returncode != 0:
            raise AssertionError(f"{argv}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        try:
            return json.loads(done.stdout) if done.stdout.strip() else None
        except ValueError:
            return done.stdout.rstrip("\n")
