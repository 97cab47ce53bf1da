"""What the numbers were taken on, and whether anything else was running meanwhile."""
import datetime
import os
import platform
import subprocess
import tempfile
import time

ALL_CPUS = sorted(os.sched_getaffinity(0))  # before the driver leaves the measured one
TICK_NS = 10**9 // os.sysconf("SC_CLK_TCK")
QUIET_SHARE = 0.05  # of one CPU that others may use
PROBE_S = 0.3


def _first(command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return (done.stdout or done.stderr).strip().splitlines()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return "?"


def _cpu_model():
    model, family = "?", ""
    with open("/proc/cpuinfo") as f:
        for line in f:
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                model = value.strip()
            elif key.strip() == "cpu family":
                family = value.strip()
    return f"{model} (family {family})" if family else model


def _distribution():
    with open("/etc/os-release") as f:
        for line in f:
            if line.startswith("PRETTY_NAME="):
                return line.split("=", 1)[1].strip().strip('"')
    return "?"


def _file_system(path):
    """Its kind; for ext4 whether it has a journal, which changes what a new file costs."""
    kind = _first(["stat", "-f", "-c", "%T", path])
    device = os.path.basename(_first(["findmnt", "-n", "-o", "SOURCE", "-T", path]).split("[")[0])
    if kind == "ext2/ext3":
        journals = os.listdir("/proc/fs/jbd2") if os.path.isdir("/proc/fs/jbd2") else []
        kind = "ext4, " + ("with" if any(j.startswith(device + "-") for j in journals) else "WITHOUT") + " a journal"
    return kind


def facts():
    """Lines of (name, value); nothing that names the host."""
    import boto3
    import botocore

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    pc = lambda name: _first(["pkg-config", "--modversion", name])  # noqa: E731
    return [
        ("date", datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")),
        ("machine", f"{os.cpu_count()} CPUs, {_cpu_model()}, {memory:.0f} GiB"),
        ("system", f"{_distribution()}, Linux {platform.release().split('-')[0]}"),
        ("files on", _file_system(tempfile.gettempdir())),
        ("compiler", f"{_first(['cc', '--version'])}, CFLAGS {os.environ.get('MH_CFLAGS', '?')}"),
        ("libraries", f"libcurl {pc('libcurl')}, libmicrohttpd {pc('libmicrohttpd')}, SQLite {pc('sqlite3')}, "
                      f"libuv {pc('libuv')}, json-c {pc('json-c')}, libsodium {pc('libsodium')}"),
        ("peers", f"boto3 {boto3.__version__}, botocore {botocore.__version__}, Python {platform.python_version()}"),
    ]


# ---- noise ----

def _busy_ticks():
    with open("/proc/stat") as f:
        fields = [int(v) for v in f.readline().split()[1:]]
    user, nice, system, _, _, irq, softirq, steal = fields[:8]
    return user + nice + system + irq + softirq + steal


class Noise:
    """Looks at what others do on the machine, and waits for quiet moments."""

    def __init__(self, patience_s):
        self.patience_s = patience_s
        self.seen = []  # shares of one CPU, at each sample that was taken

    @staticmethod
    def probe():
        """The share of one CPU that is busy while nothing of ours runs."""
        before, t = _busy_ticks(), time.monotonic()
        time.sleep(PROBE_S)
        return (_busy_ticks() - before) * TICK_NS / 1e9 / (time.monotonic() - t)

    def wait(self):
        """Until it is quiet or patience is over; notes how quiet it was."""
        end = time.monotonic() + self.patience_s
        share = self.probe()
        while share > QUIET_SHARE and time.monotonic() < end:
            share = self.probe()
        self.seen.append(share)

    def text(self):
        if not self.seen:
            return "not looked at"
        loud = sum(share > QUIET_SHARE for share in self.seen)
        return (f"others used {100 * sorted(self.seen)[len(self.seen) // 2]:.0f} % of one CPU in the median, "
                f"{100 * max(self.seen):.0f} % at most, before {len(self.seen)} samples; "
                f"{loud} of them above {100 * QUIET_SHARE:.0f} %")


# ---- processes ----

def cpu_ns(pid):
    """CPU time of a process with all its threads, exact; of its ended children to the clock tick."""
    own = time.clock_gettime_ns((~pid << 3) | 2)  # clock_getcpuclockid() of another process
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return own, (int(fields[13]) + int(fields[14])) * TICK_NS


def live_children_ns(pid):
    """CPU time of the children that still run (the zygote, which does the forking), and of theirs that ended."""
    total = 0
    with open(f"/proc/{pid}/task/{pid}/children") as f:
        children = f.read().split()
    for child in children:
        try:
            total += sum(cpu_ns(int(child)))
        except OSError:
            continue  # it ended meanwhile
    return total


def _pss_kb(pid):
    """Its share of memory, pages that others map too counted in part; 0 where that cannot be read."""
    try:
        with open(f"/proc/{pid}/smaps_rollup") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("Pss:"))
    except (OSError, StopIteration):
        return 0


def status(pid):
    """VmRSS, PSS and RssAnon in KB, Threads, and context switches of all threads."""
    with open(f"/proc/{pid}/status") as f:
        lines = dict(line.split(":", 1) for line in f)
    switches = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/status") as f:
            switches += sum(int(line.split()[1]) for line in f if "ctxt_switches" in line)
    return {"rss_kb": int(lines["VmRSS"].split()[0]), "pss_kb": _pss_kb(pid), "anon_kb": int(lines["RssAnon"].split()[0]),
            "threads": int(lines["Threads"]), "switches": switches}


def child_of(pid):
    """The one child of a process that runs another (strace)."""
    with open(f"/proc/{pid}/task/{pid}/children") as f:
        return int(f.read().split()[0])


def pinned(cpu, argv):
    """The command, on that CPU alone; None: on all of them."""
    return ["taskset", "-c", ",".join(map(str, ALL_CPUS if cpu is None else [cpu]))] + argv
