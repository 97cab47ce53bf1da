"""What runs on this machine."""
import os


def alive(pid):
    """Whether the process runs; zombies do not."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def command_lines():
    """(pid, command line) of every process, as this machine's /proc has them."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/cmdline", "rb") as f:
                    found.append((int(name), f.read().replace(b"\0", b" ").decode("utf-8", "replace")))
            except (FileNotFoundError, ProcessLookupError):
                pass
    return found


def running(marker):
    """Pids of processes with the marker in their command line."""
    return [pid for pid, line in command_lines() if marker in line and alive(pid)]


def descendants(pid):
    """Pids of its children, theirs, and so on."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as f:
            children = [int(child) for child in f.read().split()]
    except FileNotFoundError:
        return []
    return [p for child in children for p in [child] + descendants(child)]
