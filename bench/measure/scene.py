"""Starts what is measured: the endpoint, workers, an agent, an emulator."""
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import time

from mh.programs import AGENT, BUILD, EMULATOR, KEY, SECRET, SRC, Place, wait_for

from measure.machine import cpu_ns, live_children_ns, pinned

TOOLS = os.path.join(BUILD, "bench")
BOTO_WORKER = os.path.join(SRC, "bench", "boto_worker.py")
NOOP = os.path.join(BUILD, "bench", ".libs", "noop.so")
DEADLINE_S = 120


class Http:
    """One kept connection; small requests and JSON answers."""

    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def call(self, method, path, body=None, headers=None):
        self.connection.request(method, path, body, headers or {})
        answer = self.connection.getresponse()
        data = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{method} {path}: {answer.status} {data[:300]}")
        return json.loads(data) if data else None

    def close(self):
        self.connection.close()


class Scene(Place):
    """A directory; everything started in it ends with the `with`."""

    def __init__(self, cpu=0):
        super().__init__()
        self.cpu = cpu  # what is measured runs there, and the endpoint too; the driver elsewhere

    def start(self, name, argv, cpu="same", **popen):
        log = open(self.path(f"{name}.log"), "ab")
        cpu = self.cpu if cpu == "same" else cpu
        process = subprocess.Popen(pinned(cpu, argv), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                   env=self.env, **popen)
        log.close()
        self.programs.append(Started(self, name, process))
        return self.programs[-1]

    def stub(self, zip_path=None):
        port_file = self.path("stub.port")
        self.start("stub", [os.path.join(TOOLS, "stub"), port_file] + ([zip_path] if zip_path else []))
        return Stub(int(read_when_there(port_file)))

    def worker(self, argv):
        """Runs a peer to its end; what it printed."""
        done = subprocess.run(pinned(self.cpu, argv), env=self.env, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=DEADLINE_S)
        if done.returncode != 0:
            raise RuntimeError(f"{argv[0]}: exit {done.returncode}: {done.stderr[-500:]}")
        return json.loads(done.stdout)

    def raw_worker(self, stub, batch, warm_up, jobs, *options):
        stub.reset(warm_up + jobs if batch else 0)
        return self.worker([os.path.join(TOOLS, "raw_worker"), stub.url, str(batch), str(warm_up), str(jobs), *options])

    def protocol_worker(self, stub, batch, warm_up, jobs):
        stub.reset(warm_up + jobs if batch else 0)
        conf = self.conf(stub.endpoint, name="protocol")
        return self.worker([os.path.join(TOOLS, "protocol_worker"), conf, str(batch), str(warm_up), str(jobs)])

    def boto_worker(self, mode, stub, batch, warm_up, jobs):
        stub.reset(warm_up + jobs if batch else 0, mode == "artifacts")
        return self.worker([sys.executable, BOTO_WORKER, mode, stub.url, str(batch), str(warm_up), str(jobs)])

    # ---- the agent ----

    def plugins(self):
        """The plugins, where nobody but their owner may write."""
        path = self.path("plugins")
        if not os.path.isdir(path):
            os.makedirs(path, 0o755)
            for plugin in (NOOP, os.path.join(BUILD, "plugins", "command", ".libs", "command.so")):
                shutil.copy(plugin, path)
                os.chmod(os.path.join(path, os.path.basename(plugin)), 0o755)
        return path

    def conf(self, endpoint, name="agent", action=None, **keys):
        entry = {"category": "Build", "owner": "Custom", "provider": "Bench", "version": "1", "plugin": "noop"}
        entry.update(action or {})
        # The service's own rate is no matter here: no poll waits.
        options = {"poll_rate": 1000, "poll_interval_min": "20ms", "poll_interval_max": "20ms", "log_level": "warn",
                   "plugin_dir": self.plugins(), "keep_failed": 0}
        options.update(keys)
        return self.agent_conf(endpoint, [entry], name=name, **options)

    def run_agent(self, stub, warm_up, jobs, artifacts=False, refused=False, **conf):
        """A new agent works off `jobs` jobs; what that cost it, own and children's."""
        stub.reset(0)
        name = f"agent{len(self.programs)}"
        agent = self.start(name, [AGENT, "-c", self.conf(stub.endpoint, name=name, **conf)])
        stub.wait_for(lambda c: c["polls"] > 0, agent)
        stub.work_off(warm_up, artifacts, agent)
        cost = agent.cost_of(lambda: stub.work_off(jobs, artifacts, agent))
        stub.check(failures=jobs if refused else 0)
        agent.stop()
        return dict(cost, jobs=jobs)

    # ---- the emulator ----

    def emulator_argv(self, data_dir, port, *options):
        conf = self.path("emulator.conf")
        with open(conf, "w") as f:
            f.write(f'keys = ( {{ access_key_id = "{KEY}"; secret_access_key = "{SECRET}"; }} );\n')
        os.chmod(conf, 0o600)
        return [EMULATOR, "--config", conf, "--listen", f"127.0.0.1:{port}", "--data-dir", data_dir,
                "--log-level", "warn"] + list(options)


class Started:
    def __init__(self, scene, name, process):
        self.name, self.process = name, process
        self.log_path = scene.path(f"{name}.log")

    @property
    def pid(self):
        return self.process.pid

    def text(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def alive(self):
        return self.process.poll() is None

    def stop(self, pid=None):
        """Asks it to end, and waits. pid: of the program, where self.pid is what traces it."""
        if self.alive():
            os.kill(pid or self.pid, signal.SIGTERM)
        return self.process.wait(60)

    def close(self):
        if self.alive():
            self.process.kill()
        self.process.wait()

    def cost_of(self, work):
        own, children = cpu_ns(self.pid)
        children += live_children_ns(self.pid)
        wall = time.monotonic_ns()
        work()
        wall = time.monotonic_ns() - wall
        own_after, children_after = cpu_ns(self.pid)
        children_after += live_children_ns(self.pid)
        return {"own_ns": own_after - own, "cpu_ns": own_after - own + children_after - children, "wall_ns": wall}


class Stub:
    def __init__(self, port):
        self.port = port
        self.endpoint = f"http://127.0.0.1:{port}"
        self.url = self.endpoint + "/"
        self.http = Http(port)

    def reset(self, jobs, artifacts=False):
        self.http.call("POST", f"/_bench/reset?jobs={jobs}&artifacts={int(artifacts)}")

    def stats(self):
        return self.http.call("GET", "/_bench/stats")

    def wait_for(self, predicate, program=None):
        def there():
            if program and not program.alive():
                raise RuntimeError(f"{program.name} ended: {program.text()[-800:]}")
            return predicate(self.stats())
        wait_for(there, DEADLINE_S, "the jobs to be worked off")

    def check(self, failures=0):
        """That the jobs went as they should: a failing job costs less, or more."""
        got = self.stats()
        if got["failures"] != failures or got["others"]:
            raise RuntimeError(f"jobs did not go as they should: {got}")

    def work_off(self, jobs, artifacts, program):
        self.reset(jobs, artifacts)
        self.wait_for(lambda c: c["successes"] + c["failures"] >= jobs, program)


def read_when_there(path):
    def text():
        if not os.path.exists(path):
            return None
        with open(path) as f:
            return f.read()
    return wait_for(text, what=path)
