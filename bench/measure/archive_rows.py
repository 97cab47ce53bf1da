"""What packing and unpacking many files costs, beside the programs that people use for it."""
import os
import shutil
import subprocess

from mh.programs import ARCHIVE

from measure.machine import pinned
from measure.table import Row, Series

FILES = 10000
LARGEST = 256 * 1024
ROOTS = ("/usr/include", "/usr/lib/python3", "/usr/lib/python3.11", "/usr/share/perl", "/usr/share", "/usr/lib")


def make_tree(root, count):
    """Copies of `count` files of this machine, headers and scripts first; how many, and their bytes."""
    found = size = 0
    for folder, dirs, names in (entry for top in ROOTS for entry in os.walk(top)):
        dirs.sort()
        for name in sorted(names):
            source = os.path.join(folder, name)
            target = os.path.join(root, source[1:])
            if os.path.islink(source) or not os.path.isfile(source) or os.path.exists(target) or \
                    not 0 < os.path.getsize(source) <= LARGEST or not os.access(source, os.R_OK):
                continue
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copyfile(source, target)
            size += os.path.getsize(target)
            found += 1
            if found == count:
                return found, size
    return found, size


def cpu_ms(scene, argv, cwd, stdin=None, stdout=None):
    """CPU time of one run; the report of ours goes to standard error."""
    with open(stdin or os.devnull, "rb") as source, open(stdout or os.devnull, "wb") as target:
        child = subprocess.Popen(pinned(scene.cpu, argv), cwd=cwd, stdin=source, stdout=target, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = status
    if status != 0:
        raise RuntimeError(f"{argv[0]}: status {status:#x}")
    return (usage.ru_utime + usage.ru_stime) * 1000


def contest(plan, contenders):
    """Each that is installed once a round, one after the other; {name: CPU times}."""
    times = {name: [] for name in contenders}
    for _ in range(plan.rounds):
        for name, run in contenders.items():
            if shutil.which(name):
                plan.noise.wait()
                times[name].append(run())
    return times


def pack(scene, plan):
    """10 000 files into a zip: ours, Info-ZIP's zip, bsdtar."""
    tree = scene.path("tree")
    files, size = make_tree(tree, plan.n(FILES))
    out = {name: scene.path(f"{name}.zip") for name in ("ours", "zip", "bsdtar")}

    def run(name, argv, stdout=None):
        if os.path.exists(out[name]):
            os.unlink(out[name])
        return cpu_ms(scene, argv, tree, stdout=stdout)

    times = contest(plan, {
        "zip": lambda: run("zip", ["zip", "-q", "-r", "-y", out["zip"], "."]),
        ARCHIVE: lambda: run("ours", [ARCHIVE, "pack", "--from", "."], out["ours"]),
        "bsdtar": lambda: run("bsdtar", ["bsdtar", "-c", "--format", "zip", "-f", out["bsdtar"], "."]),
    })
    sizes = {name: [os.path.getsize(path) / 1e6] if os.path.exists(path) else [] for name, path in out.items()}
    peer, peer_size = Series("zip", "ms CPU", times["zip"]), Series("  size", "MB", sizes["zip"])
    return [Row(f"pack {files} files, {size / 1e6:.0f} MB", peer, peer_size,
                Series("millhand-archive", "ms CPU", times[ARCHIVE], peer, ("<=", 0.65, "ratio")),
                Series("  size", "MB", sizes["ours"], peer_size, ("<=", 1.01, "ratio")),
                Series("bsdtar", "ms CPU", times["bsdtar"], peer), Series("  size", "MB", sizes["bsdtar"], peer_size))]


def unpack(scene, plan):
    """The same zip out again, checked: ours, bsdtar, Info-ZIP's unzip."""
    tree, into, archive = scene.path("tree"), scene.path("into"), scene.path("in.zip")
    files, size = make_tree(tree, plan.n(FILES))
    with open(archive, "wb") as out:
        subprocess.run([ARCHIVE, "pack", "--from", tree], stdout=out, stderr=subprocess.DEVNULL, check=True)

    def run(argv, stdin=None):
        os.mkdir(into)
        try:
            return cpu_ms(scene, argv, into, stdin=stdin)
        finally:
            shutil.rmtree(into)

    times = contest(plan, {
        "bsdtar": lambda: run(["bsdtar", "-x", "-f", archive]),
        ARCHIVE: lambda: run([ARCHIVE, "unpack", "--into", "."], archive),
        "unzip": lambda: run(["unzip", "-q", archive]),
    })
    peer = Series("bsdtar", "ms CPU", times["bsdtar"])
    return [Row(f"unpack {files} files, {size / 1e6:.0f} MB", peer,
                Series("millhand-archive", "ms CPU", times[ARCHIVE], peer, ("<=", 1, "ratio")),
                Series("unzip", "ms CPU", times["unzip"], peer))]


ROWS = {"pack": pack, "unpack": unpack}
