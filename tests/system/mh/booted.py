"""A Debian with systemd as its first process, in namespaces of its own, with this build installed.

MH_SYSTEMD_ROOT names its root directory, which stays as it is (an overlay takes what is written):

    debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,python3-boto3,git,libconfig9,\\
libmicrohttpd12,libuv1,libarchive13,libjson-c5,libdeflate0 bookworm DIR
"""
import os
import subprocess

from mh.programs import BUILD, wait_for
from mh.tap import equal, skip

ROOT = os.environ.get("MH_SYSTEMD_ROOT")
# The root directory is $1; what is mounted goes with the namespace.
BOOT = """
set -e
mount --make-rprivate /
mount -t tmpfs none "$1/over"
cp -a "$1/installed" "$1/over/upper"
mkdir "$1/over/work"
mount -t overlay -o "lowerdir=$2,upperdir=$1/over/upper,workdir=$1/over/work" none "$1/root"
cd "$1/root"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t tmpfs none sys/fs/cgroup && umount sys/fs/cgroup
mount -t cgroup2 none sys/fs/cgroup
mount -t tmpfs -o mode=755 none run
mount -t tmpfs -o mode=755 none dev
for name in null zero full random urandom tty; do touch dev/$name; mount --bind /dev/$name dev/$name; done
mkdir dev/pts dev/shm old
mount -t devpts -o newinstance,ptmxmode=666 none dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs none dev/shm
ip link set lo up
pivot_root . old
umount -l old
rmdir old
export container=lxc
exec /lib/systemd/systemd --system --show-status=no systemd.unit=multi-user.target
"""


def cgroup2():
    """Where the unified hierarchy is mounted."""
    with open("/proc/self/mountinfo") as f:
        for line in f:
            left, right = line.split(" - ")
            if right.split()[0] == "cgroup2":
                return left.split()[4]
    return None


def need():
    if not ROOT:
        skip("MH_SYSTEMD_ROOT names no Debian with systemd (tests/system/mh/booted.py)")
    if os.geteuid() != 0 or not cgroup2():
        skip("it takes root and cgroup2")
    equal(os.path.exists(os.path.join(ROOT, "lib/systemd/systemd")), True, f"systemd in {ROOT}")


class Booted:
    """An installation of this build, and, as a context, the system running on it."""

    def __init__(self, place):
        self.place, self.root = place, place.path("installed")
        for name in ("root", "over", "installed"):
            os.mkdir(place.path(name))
        env = {k: v for k, v in place.env.items() if not k.startswith("MAKE")}
        done = subprocess.run(["make", "-C", BUILD, "install", f"DESTDIR={self.root}", "sysusersdir=/usr/lib/sysusers.d",
                               "systemdsystemunitdir=/usr/lib/systemd/system"], env=env, capture_output=True, text=True)
        equal(done.returncode, 0, done.stderr[-2000:])

    def write(self, path, text):
        """A file of the system to be."""
        full = self.root + path
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w") as f:
            f.write(text)
        os.chmod(full, 0o644)

    def __enter__(self):
        self.group = os.path.join(cgroup2(), f"millhand-{os.getpid()}")
        os.mkdir(self.group)
        self.log = open(self.place.path("boot.log"), "wb")
        self.outer = subprocess.Popen(["unshare", "-pmuinC", "-f", "--kill-child", "sh", "-c", BOOT, "sh", self.place.dir,
                                       ROOT], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
                                      preexec_fn=self.enter_group)
        try:
            wait_for(self.is_up, 60, "systemd to be up")
        except AssertionError:
            self.__exit__()
            raise
        return self

    def enter_group(self):
        with open(os.path.join(self.group, "cgroup.procs"), "w") as f:
            f.write("0")

    def is_up(self):
        equal(self.outer.poll(), None, f"the first process ended: {open(self.place.path('boot.log')).read()}")
        return self.first() and self.run("systemctl", "is-system-running")[1].strip() in ("running", "degraded")

    def first(self):
        """The process that is 1 in there."""
        with open(f"/proc/{self.outer.pid}/task/{self.outer.pid}/children") as f:
            return "".join(f.read().split()[:1])

    def run(self, *argv):
        """The exit code and the output."""
        done = subprocess.run(["nsenter", "-t", self.first(), "-m", "-p", "-u", "-i", "-n", "-C", "-r", "-w", *argv],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    def does(self, *argv):
        code, text = self.run(*argv)
        equal(code, 0, f"{' '.join(argv)}: {text}")
        return text

    def __exit__(self, *trace):
        self.outer.kill()
        self.outer.wait()
        self.log.close()
        groups = [top for top, _, _ in os.walk(self.group, topdown=False)]
        wait_for(lambda: all(self.gone(group) for group in groups), 20, "the end of its processes")

    def gone(self, group):
        try:
            os.rmdir(group)
        except FileNotFoundError:
            pass
        except OSError:
            return False
        return True
