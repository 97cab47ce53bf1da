#!/usr/bin/python3
"""The systemd units: what systemd itself says of them, and the agent and its jobs confined as they confine."""
import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh import confine  # noqa: E402
from mh.programs import AGENT, BUILD, EMULATOR, PLUGIN_COMMAND, SRC, Place, Program, sanitized  # noqa: E402
from mh.tap import check, equal, run, skip, story  # noqa: E402
from mh.worker import finished, names_in, zip_of  # noqa: E402
from mh.worlds import StubWorld  # noqa: E402

UNITS = os.path.join(SRC, "packaging", "systemd")
AGENT_UNIT, EMULATOR_UNIT = (os.path.join(UNITS, f"millhand-{name}.service") for name in ("agent", "emulator"))
DROPINS = [os.path.join(UNITS, name) for name in ("jobs-as-root.conf", "jobs-that-build.conf")]
HARD_ENOUGH = 1.5


def need_systemd():
    if not shutil.which("systemd-analyze"):
        skip("no systemd-analyze")


def lay_out(place, unit, program, *dropins):
    """A root directory with the unit, and with this build's program where it names one."""
    root = place.path(f"root-{len(os.listdir(place.dir))}")
    units = os.path.join(root, "usr/lib/systemd/system")
    os.makedirs(units)
    with open(unit) as f:
        text = f.read().replace("/usr/bin/millhand-" + ("agent" if program == AGENT else "emulator"), program)
    path = os.path.join(units, os.path.basename(unit))
    with open(path, "w") as f:
        f.write(text)
    if dropins:
        os.mkdir(path + ".d")
        for dropin in dropins:
            shutil.copy(dropin, path + ".d")
    return root, path


def analyze(*words):
    done = subprocess.run(["systemd-analyze", "--no-pager", *words], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL)
    return done.returncode, done.stdout + done.stderr


def both():
    yield AGENT_UNIT, AGENT
    if os.path.exists(EMULATOR):
        yield EMULATOR_UNIT, EMULATOR


# ---- what systemd says ----

@story
def systemd_finds_no_fault_in_the_units_and_drop_ins():
    need_systemd()
    with Place() as place:
        for unit, program in both():
            _, path = lay_out(place, unit, program)
            equal(analyze("verify", "--man=no", path), (0, ""), unit)
        for dropin in DROPINS:
            _, path = lay_out(place, AGENT_UNIT, AGENT, dropin)
            equal(analyze("verify", "--man=no", path), (0, ""), dropin)
        _, path = lay_out(place, AGENT_UNIT, AGENT)
        with open(path, "a") as f:
            f.write("[Service]\nNoSuchSetting=yes\n")
        check("NoSuchSetting" in analyze("verify", "--man=no", path)[1], "a fault would be found")


@story
def the_units_are_as_hard_as_promised_and_the_drop_ins_say_what_they_cost():
    need_systemd()

    def score(*of):
        root, path = lay_out(place, *of)
        code, text = analyze("security", "--offline=true", f"--root={root}", os.path.basename(path))
        equal(code, 0, text)
        return float(re.search(r"Overall exposure level for \S+ ([0-9.]+)", text)[1])

    with Place() as place:
        for unit, program in both():
            check(score(unit, program) <= HARD_ENOUGH, f"{unit}: {score(unit, program)}")
        for dropin in DROPINS:
            with open(dropin) as f:
                told = float(re.search(r"scores about ([0-9.]+) with", f.read())[1])
            got = score(AGENT_UNIT, AGENT, dropin)
            check(abs(got - told) < 0.35, f"{dropin}: {got}, and says {told}")


# ---- what the agent and the page say ----

@story
def the_unit_is_stopped_restarted_and_watched_as_the_agent_expects():
    unit = confine.settings(AGENT_UNIT)
    for name, value in (("Type", "notify"), ("KillMode", "process"), ("KillSignal", "SIGUSR2"), ("Restart", "on-failure"),
                        ("RestartPreventExitStatus", "2 78"), ("OOMPolicy", "continue"), ("RemoveIPC", "no"),
                        ("ExecReload", "/bin/kill -HUP $MAINPID"), ("StateDirectory", "millhand")):
        equal(unit.get(name), [value], name)
    check("PrivateTmp" not in unit, "a /tmp that is removed under running jobs")
    check("WatchdogSec" in unit, "a watchdog")
    sample = subprocess.run([AGENT, "--sample"], capture_output=True, text=True, check=True).stdout
    handover = int(re.search(r'#cancel_timeout = "(\d+)s"', sample)[1])
    check(int(unit["TimeoutStopSec"][0].rstrip("s")) > handover + 10, "time for a hand-over")
    check(re.search(r'#state_dir = "/var/lib/millhand"', sample), "StateDirectory is the default state_dir")


@story
def make_install_puts_them_where_it_is_told_and_nowhere_else():
    with Place() as place:
        env = {k: v for k, v in place.env.items() if not k.startswith("MAKE") and k != "MFLAGS"}
        root = place.path("root")
        done = subprocess.run(["make", "-s", "-C", BUILD, "install-data", f"DESTDIR={root}", "bindir=/opt/mh/bin",
                               "systemdsystemunitdir=/usr/lib/systemd/system", "sysusersdir=/usr/lib/sysusers.d"],
                              env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        equal(done.returncode, 0, done.stdout[-2000:] + done.stderr[-2000:])
        with open(os.path.join(root, "usr/lib/systemd/system/millhand-agent.service")) as f:
            check("/millhand-agent -c /etc/millhand/agent.conf" in f.read(), "the program's place")
        with open(os.path.join(root, "usr/lib/sysusers.d/millhand.conf")) as f:
            check("u millhand " in f.read(), "the user")
        found = [name for _, _, names in os.walk(root) for name in names]
        for dropin in DROPINS:
            equal(found.count(os.path.basename(dropin)), 1, "an example")
        with open(os.path.join(BUILD, "config.status")) as f:
            told = "--with-systemdsystemunitdir" in f.read()
        root = place.path("plain")
        subprocess.run(["make", "-s", "-C", BUILD, "install-data", f"DESTDIR={root}"], env=env, check=True,
                       capture_output=True, stdin=subprocess.DEVNULL)
        found = [name for _, _, names in os.walk(root) for name in names]
        equal("millhand-agent.service" in found, told, "units where nobody asked for them")


# ---- confined as the unit confines ----

def need_seccomp():
    if sanitized():
        skip("a sanitizer needs more than the unit gives")
    need_systemd()
    try:
        ctypes.CDLL("libseccomp.so.2")
    except OSError:
        skip("no libseccomp.so.2")
    if os.environ.get("MH_WRAP"):
        skip("valgrind needs more than the unit gives")


def can_be_entered_by_all(path):
    while path != "/":
        if not os.stat(path).st_mode & 1:
            return False
        path = os.path.dirname(path)
    return True


def as_nobody(world, capabilities):
    """The words that begin a command as the unit's user, who gets the story's directory; of root, when only root can reach
    this build."""
    words = ["/usr/bin/setpriv", "--no-new-privs", "--inh-caps=-all",
             "--bounding-set=-all" + "".join(f",+{c[4:].lower()}" for c in capabilities)]
    if os.getuid() != 0:
        skip("only root can take capabilities away")
    if capabilities or not all(map(can_be_entered_by_all, (AGENT, PLUGIN_COMMAND, world.place.libexec()))):
        return words
    for top, names, files in os.walk(world.place.dir):
        for path in [top] + [os.path.join(top, n) for n in names + files]:
            os.chown(path, 65534, 65534, follow_symlinks=False)
    return words + ["--reuid=65534", "--regid=65534", "--clear-groups"]


def run_confined(world, command, *dropins):
    """A whole job, in and out, by a confined agent, which hands over at the end. Answers the output's text."""
    unit = confine.settings(AGENT_UNIT, *dropins)
    capabilities = " ".join(unit["CapabilityBoundingSet"]).split() if "User" in unit and dropins else []
    job = world.job(inputs={"Src": zip_of({"a.txt": b"hello"})}, outputs=["Out"])
    world.conf = world.place.agent_conf(world.endpoint, [world.action(command, config={"output": "out.txt"})], **world.keys)
    for name in ("agent", "home"):
        os.makedirs(world.place.path(name), exist_ok=True)
    os.chmod(world.place.dir, 0o755)
    start = as_nobody(world, capabilities) + confine.confined(unit, [AGENT, "-c", world.conf])
    agent = Program(world.place, "agent", start)
    world.place.programs.append(agent)
    finished(job, "success")
    agent.send(signal.SIGUSR2)
    equal(agent.wait(), 0, agent.text())
    for word in ("denied", "not permitted", "Permission", "EPERM", "shim.no_zygote"):
        check(word not in agent.text(), f"{word}: {agent.text()}")
    return names_in(world.output(job, "Out"))["out.txt"].decode()


@story
def an_agent_and_its_job_can_do_their_work_in_the_units_confinement():
    need_seccomp()
    with StubWorld() as w:
        equal(run_confined(w, "cat a.txt > out.txt; unshare -m true && echo loose >> out.txt; exit 0"), "hello")


@story
def a_confinement_that_leaves_too_little_would_be_noticed():
    need_seccomp()
    with StubWorld() as w:
        few = w.place.path("few.conf")
        with open(few, "w") as f:
            f.write("[Service]\nSystemCallFilter=~pidfd_open memfd_create\n")
        try:
            run_confined(w, "cat a.txt > out.txt", few)
        except AssertionError:
            w.agent = None
            return
        raise AssertionError("it did its work without memfd_create")


@story
def an_agent_run_by_root_has_its_namespaces_with_the_drop_in_for_it():
    need_seccomp()
    with StubWorld() as w:
        told = run_confined(w, "(echo $$; ls /proc | grep -c '^[0-9]') > out.txt", DROPINS[0]).split()
        check(int(told[0]) < 20 and int(told[1]) < 20, f"pid and processes of a job in a PID namespace: {told}")


run()
