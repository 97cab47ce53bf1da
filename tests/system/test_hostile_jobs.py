#!/usr/bin/python3
"""Hostile plugins and commands: each costs its own job one clear failure, and nobody else anything.

Told as root and as an ordinary user, on this kernel and on kernels that know less (tests/fixtures/old_kernel.c).
"""
import os
import shutil
import sqlite3
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh.jobs import FIXTURES  # noqa: E402
from mh.programs import AGENT, ARCHIVE, BUILD, JOB, PLUGIN_COMMAND, Place, Program, wait_for  # noqa: E402
from mh.stub import Stub  # noqa: E402
from mh.tap import check, equal, run, skip, story  # noqa: E402
from mh.worker import FAST, zip_of  # noqa: E402

OLD_KERNEL = os.path.join(BUILD, "tests", "fixtures", "old_kernel")
ROOT = os.geteuid() == 0
# Nobody else's: what escapes would meet none but this story's processes.
STRANGER = 50000 + os.getpid() % 10000
LIMITED = 120  # processes of a job that is kept short; as root the kernel adds up to 300
NO_LIMIT = "nothing limits how many processes"


class Host:
    """A host with its own copies of the programs, an agent of that user, and a stub for it to serve."""

    def __init__(self, uid=0, without=(), disk=None):
        self.place, self.stub = Place(), Stub()
        self.uid, self.without = uid if ROOT else os.geteuid(), without
        self.disk = disk  # size of the file system of its state directory
        self.entries, self.jobs = [], {}
        self.agent = None

    def __enter__(self):
        self.place.__enter__()
        os.chmod(self.place.dir, 0o755)
        for name in ("plugins", "libexec", "agent", "free"):
            os.mkdir(self.place.path(name), 0o755)
        for name in os.listdir(FIXTURES):
            if name.endswith(".so"):
                self.copy(os.path.join(FIXTURES, name), "plugins")
        self.copy(PLUGIN_COMMAND, "plugins")
        for program in (JOB, ARCHIVE, AGENT, OLD_KERNEL):
            self.copy(program, "libexec")
        if ROOT:
            for name in ("agent", "free"):
                os.chown(self.place.path(name), self.uid, self.uid)
        return self

    def __exit__(self, *exc):
        self.stub.close()
        self.place.__exit__(*exc)

    def copy(self, path, directory):
        target = self.place.path(directory, os.path.basename(path))
        shutil.copy(path, target)
        os.chmod(target, 0o755)

    @property
    def contained(self):
        """Whether root's namespaces or Landlock keep a job from the agent's files."""
        return "--no-landlock" not in self.without or (self.uid == 0 and "--no-namespaces" not in self.without)

    def add(self, name, plugin="command", expect=None, inputs=None, outputs=None, **keys):
        """A job with an action type of its own; expect: (kind or failure type, part of the message)."""
        entry = {"category": "Build", "owner": "Custom", "provider": name, "version": "1", "plugin": plugin,
                 "sandbox": dict({"write": [self.place.path("free")]}, **keys.pop("sandbox", {}))}
        entry.update(keys)
        self.entries.append(entry)
        self.jobs[name] = (self.stub.job(provider=name, inputs=inputs, outputs=outputs), expect)

    def start(self, **conf):
        keys = dict(FAST, max_jobs=12, keep_failed=0, plugin_dir=self.place.path("plugins"),
                    libexec_dir=self.place.path("libexec"), log_max="64k")
        keys.update(conf)
        path = self.place.agent_conf(self.stub.endpoint, self.entries, **keys)
        argv = []
        if ROOT:
            os.chown(path, self.uid, self.uid)
            # Whatever goes wrong here stays here: a PID namespace of its own, with an init that reaps.
            mount = f"mount -t tmpfs -o size={self.disk} none {self.state()} && " if self.disk else ""
            argv += ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", mount + '{ "$@" & wait $!; }', "sh"]
            if self.uid:
                argv += ["setpriv", f"--reuid={self.uid}", f"--regid={self.uid}", "--clear-groups"]
        if self.without:
            argv += [self.place.path("libexec", "old_kernel"), *self.without]
        argv += [self.place.path("libexec", "millhand-agent"), "-c", path]
        self.agent = Program(self.place, "agent", argv)
        self.place.programs.append(self.agent)

    def state(self, *parts):
        return self.place.path("agent", "state", *parts)

    def judge(self, seconds=60):
        def missing():
            return [name for name, (job, _) in self.jobs.items() if not job.result]

        wait_for(lambda: not missing() or not self.agent.alive(), seconds, f"results; missing {missing()}")
        check(self.agent.alive(), "the agent lives")
        for name, (job, expect) in self.jobs.items():
            kind, body = job.result
            equal(len(job.results), 1, f"results of {name}")
            details = body.get("failureDetails", {"type": "success", "message": ""})
            want, part = expect
            wanted = want if isinstance(want, tuple) else (want,)
            check(details["type"] in wanted, f"{name} as uid {self.uid} without {self.without}: {details}, want {want}")
            check(part in details["message"], f"{name}: {part!r} in {details['message']!r}")

    def nothing_is_left(self):
        """No process, no directory of a job, and a ledger without a flaw."""
        def left():
            return [d for d in ("jobs", "work") for _ in os.listdir(self.state(d))]

        equal(os.stat(self.state()).st_mode & 0o777, 0o711, "mode of the state directory")
        equal(sorted(n for n in os.listdir(self.state()) if not n.startswith("ledger.db-") and n != "spare"),
              ["agent.lock", "control", "jobs", "ledger.db", "reserve", "work"], "what is in the state directory")
        wait_for(lambda: not left(), what=f"directories to be cleaned: {[os.listdir(self.state(d)) for d in ('jobs', 'work')]}")
        with sqlite3.connect(f"file:{self.state('ledger.db')}?mode=ro", uri=True) as db:
            equal(db.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
        db.close()
        wait_for(lambda: not self.strays(), what=f"processes to be gone: {self.strays()}")

    def log_of_the_last(self):
        """The log of the one job that still runs."""
        wait_for(lambda: len(os.listdir(self.state("jobs"))) == 1, what="all other jobs' directories to be cleaned")
        with open(self.state("jobs", os.listdir(self.state("jobs"))[0], "log")) as f:
            return f.read()

    def strays(self):
        """Processes of the job's programs that are still there."""
        found = []
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{name}/cmdline", "rb") as f:
                    line = f.read().replace(b"\0", b" ").decode("utf-8", "replace")
                owner = os.stat(f"/proc/{name}").st_uid
                state = open(f"/proc/{name}/stat").read().rsplit(")", 1)[1].split()[0]
                cwd = os.readlink(f"/proc/{name}/cwd")
            except OSError:
                continue
            if state not in "ZX" and int(name) != os.getpid() and "millhand-agent" not in line and \
                    "--zygote" not in line and \
                    (self.place.path("agent") in cwd or (self.uid == STRANGER and owner == STRANGER)):
                found.append((name, line))
        return found


# Whether it has powers over the host: DAC_READ_SEARCH, NET_ADMIN, SYS_MODULE, SYS_RAWIO, SYS_PTRACE, SYS_ADMIN,
# SYS_BOOT, SYS_TIME, MKNOD. Asked for and never used: a story must be harmless also where it fails.
POWERS = "test $((0x$(grep CapBnd: /proc/self/status | cut -f2) & %d)) -ne 0" % sum(
    1 << n for n in (2, 12, 16, 17, 19, 21, 22, 25, 27))
TRY = """
try() { if ( eval "$1" ) >/dev/null 2>&1; then echo "could: $1"; fi; }
"""


def forger(host):
    """Everything of the agent's that a job could want to change. It says what it could."""
    state, own = host.state(), "$(basename \"$(dirname \"$TMPDIR\")\")"
    changes = [f"echo x >>{state}/ledger.db", f"rm {state}/ledger.db", f"mv {state}/ledger.db {state}/l", f"rm {state}/agent.lock",
               f"echo x >{state}/new", f"rm {state}/jobs/{own}/lock", f"rm {state}/jobs/{own}/socket",
               f"echo '{{}}' >{state}/jobs/{own}/result.json", f"mkdir {state}/jobs/{own}/result.json",
               f"rm -r {state}/jobs/1", f"echo x >{state}/jobs/1/result.json", f"rm -r {state}/work/1",
               f"echo x >{state}/work/1/tmp/x", f"mv {state}/jobs {state}/gone", f"mount -t tmpfs none {state}"]
    hidden = [f"cat {state}/ledger.db", f"ls {state}/jobs/{own}/log", f"umount {state}", f"umount {state}/jobs", "umount /proc",
              "mknod $TMPDIR/null c 1 3", POWERS]
    outside = [f"echo x >>{host.place.path('agent', 'agent.conf')}", f"echo x >>{host.place.path('plugins', 'command.so')}"]
    tried = []
    if "--no-landlock" not in host.without:
        tried += changes + outside
    if host.uid == 0:  # an ordinary user's files lie open to its own jobs' reading
        tried += hidden
    # What root writes there without Landlock goes to what covers it, and so does a change of mode
    # in any case; outside it is looked at what really is there.
    blind = changes + [f"chmod 777 {state}"] if host.uid == 0 else []
    return TRY + "".join(f"try '{a}'\n" for a in tried) + "(:\n" + "\n".join(blind) + ") >/dev/null 2>&1\necho tried; exit 3"


def murderer(host):
    """Signals to whoever can be found: its shim, the agent, everybody."""
    return TRY + """
for p in $(cat /proc/[0-9]*/stat 2>/dev/null | grep -E 'millhand-(agent|job)' | cut -d' ' -f1); do
  case $p in 1|$$|$PPID) ;; *) try "kill -9 $p" ;; esac
done
echo tried; exit 3"""


def hostile_set(host):
    free = host.place.path("free")
    gate = host.place.path("free", "gate")
    os.mkfifo(gate)
    os.chmod(gate, 0o666)
    long = ("JobFailed", "timed out")
    command = {"config": {"command": "true"}}

    def sh(name, text, expect, **keys):
        host.add(name, config={"command": text}, expect=expect, **keys)

    def rude(name, mode, expect, number=0, value="", **keys):
        host.add(name, "rude", config={"mode": mode, "number": str(number), "value": value}, expect=expect, **keys)

    # Begins before all others and ends after them: nothing may touch it.
    sh("Bystander", f"echo begun >{free}/begun; read -r x <{gate}; test -f f && cp f $MILLHAND_OUTPUT_OUT/f", ("success", ""),
       inputs={"Src": zip_of({"f": b"x"})}, outputs=["Out"])
    host.add("Constructor", "early_crash", ("SystemUnavailable", "killed by signal 11"))
    host.add("Slow-start", "early_hang", long, timeout="1s", grace="100ms")
    rude("Crash", "crash", ("SystemUnavailable", "killed by signal 11"))
    rude("Exit", "crash_at_exit", ("success", ""))
    rude("Hang", "hang", long, timeout="1s", grace="100ms")
    sh("Deaf", "trap '' TERM; while :; do tail -f /dev/null; done", long, timeout="1s", grace="100ms")
    sh("Flood", "head -c 20000000 /dev/zero | tr '\\0' 'x'; echo; echo the end; exit 3", ("JobFailed", "the end"))
    rude("Leak", "leak_fds", ("success", ""))
    rude("Chatter", "chatter", ("success", ""), number=50000)
    rude("Daemon", "daemon", ("success", ""), value=os.path.join(free, "daemon"))
    sh("Huge-result", "head -c 100000000 /dev/zero >$MILLHAND_RESULT", ("JobFailed", "must be a plain file"))
    sh("Pipe-result", "mkfifo $MILLHAND_RESULT", ("JobFailed", "must be a plain file"))
    sh("Link-result", "ln -s /etc/passwd $MILLHAND_RESULT", ("JobFailed", "must be a plain file"))
    sh("Sparse", "truncate -s 1T $MILLHAND_OUTPUT_OUT/f", ("JobFailed", "output artifact Out"), outputs=["Out"])
    sh("Odd-output", "mkfifo $MILLHAND_OUTPUT_OUT/f", ("JobFailed", "output artifact Out"), outputs=["Out"])
    shut = ("success", "") if host.uid == 0 else ("JobFailed", "forbid to read it")
    sh("Shut-output", "mkdir -m 0 $MILLHAND_OUTPUT_OUT/d", shut, outputs=["Out"])
    sh("Shut-file", "umask 777; echo x >$MILLHAND_OUTPUT_OUT/f", shut, outputs=["Out"])
    sh("Shut-all", "echo x >$MILLHAND_OUTPUT_OUT/f; chmod 0 $MILLHAND_OUTPUT_OUT", shut, outputs=["Out"])
    sh("Shut-half", "echo x >$MILLHAND_OUTPUT_OUT/f; chmod 400 $MILLHAND_OUTPUT_OUT", shut, outputs=["Out"])
    sh("Shut-above", "echo x >$MILLHAND_OUTPUT_OUT/f; chmod 0 $(dirname $MILLHAND_OUTPUT_OUT)", shut, outputs=["Out"])
    sh("Vandal", 'rm -rf "$TMPDIR" "$MILLHAND_OUTPUT_OUT"; cd /; exit 0', ("JobFailed", "output artifact Out"), outputs=["Out"])
    sh("Miser", "mkdir -p a/b/c; echo x >a/b/c/f; chmod 0 a/b/c a/b a; exit 3", ("JobFailed", "code 3"))
    sh("Parricide", "kill -9 $PPID; tail -f /dev/null", ("SystemUnavailable", "killed by signal 9"))
    if host.contained:
        sh("Forger", forger(host), ("JobFailed", "end of the log ---\ntried"))
        if "--no-landlock" not in host.without or host.uid == 0:
            sh("Murderer", murderer(host), ("JobFailed", "end of the log ---\ntried"))
    if ROOT:
        sh("Everybody", "kill -9 -1; exit 3", (("JobFailed", "SystemUnavailable"), ""))
    rude("Bomb", "bomb", ("JobFailed", "started "), number=900, sandbox={"processes": LIMITED})
    return gate


@story
def a_job_that_fills_the_disk_is_over_when_it_is_over():
    if not ROOT:
        skip("needs root")
    with Host(disk="12m") as host:
        os.mkdir(host.state(), 0o711)
        free, gate = host.place.path("free"), host.place.path("free", "gate")
        os.mkfifo(gate)
        fill = f"while ! test -s {free}/begun; do true; done; cat /dev/zero >filler; "
        host.add("Bystander", config={"command": f"echo out >$MILLHAND_OUTPUT_OUT/f; echo x >>{free}/begun; read -r x <{gate}"},
                 expect=("success", ""), outputs=["Out"])
        host.add("Full", config={"command": fill + "exit 3"}, expect=("JobFailed", "code 3"))
        host.add("Full-long", config={"command": fill + f"echo x >>{free}/begun; exec tail -f /dev/null"}, timeout="1500ms", grace="100ms",
                 expect=("JobFailed", "timed out"))
        host.start(min_free="1M")

        def begun():
            try:
                with open(f"{free}/begun") as f:
                    return len(f.read()) // 2
            except FileNotFoundError:
                return 0

        wait_for(lambda: begun() == 2, what="the disk to be full")
        with open(gate, "w") as f:  # the bystander ends while nothing can be written
            f.write("go on\n")
        host.judge()
        # There is room again, and the next job is as good as any.
        host.jobs = {}
        host.jobs["Next"] = (host.stub.job(provider="Full"), ("JobFailed", "code 3"))
        host.judge()


def started_by_the_bomb(host):
    message = host.jobs["Bomb"][0].result[1]["failureDetails"]["message"]
    return int(message.split("started ")[1].split()[0])


def tell(uid, *without, degraded=()):
    if not os.path.exists(OLD_KERNEL):
        raise AssertionError(f"{OLD_KERNEL} is not built")
    with Host(uid, without) as host:
        if without and subprocess.run([OLD_KERNEL, *without, "/bin/true"], capture_output=True).returncode == 77:
            skip("no seccomp here to play an older kernel with")
        gate = hostile_set(host)
        bystander = host.jobs.pop("Bystander")
        host.start()
        wait_for(lambda: os.path.exists(host.place.path("free", "begun")), what="the bystander to begin")
        host.judge()
        equal(bystander[0].results, [], "the bystander goes on")
        said = host.log_of_the_last()
        for part in degraded:
            check(part in said, f"{part!r} is said in the job's log: {said}")
        check(degraded or "millhand: sandbox" not in said, f"nothing is amiss: {said}")
        with open(gate, "w") as f:
            f.write("go on\n")
        count = started_by_the_bomb(host)
        check(NO_LIMIT in said or 10 <= count <= LIMITED + 300, f"the bomb started {count}, the limit is {LIMITED}")
        host.jobs = {"Bystander": bystander}
        host.judge()
        host.nothing_is_left()


@story
def as_root_each_hostile_job_costs_itself_alone():
    if not ROOT:
        skip("needs root")
    tell(0)


@story
def as_root_on_a_kernel_without_landlock_seccomp_and_openat2():
    if not ROOT:
        skip("needs root")
    tell(0, "--no-landlock", "--no-seccomp", "--no-openat2", "--no-close-range")


@story
def as_root_on_a_kernel_that_cannot_make_a_tree_of_mounts_read_only():
    if not ROOT:
        skip("needs root")
    tell(0, "--no-landlock", "--no-mount-api", degraded=["Landlock is missing or off", "not protected"])


@story
def as_root_without_namespaces_and_landlock():
    if not ROOT:
        skip("needs root")
    tell(0, "--no-landlock", "--no-namespaces",
         degraded=["Landlock is missing or off", "no namespaces", NO_LIMIT, "signals"])


@story
def as_an_ordinary_user_each_hostile_job_costs_itself_alone():
    tell(STRANGER)


@story
def as_an_ordinary_user_on_a_kernel_without_landlock():
    tell(STRANGER, "--no-landlock", degraded=["Landlock is missing or off", "signals"])


run()
