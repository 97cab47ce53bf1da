"""Runs a program as a systemd unit would confine it, where there is no systemd: system calls, address families,
namespaces, memory that is written and run, and no new privileges; by libseccomp.

    argv = confined(unit_settings, [AGENT, "-c", conf])

Run as a program it reads the rules from its first argument, and becomes the rest.
"""
import ctypes
import errno
import json
import os
import re
import socket
import subprocess
import sys

ALLOW, KILL_ERRNO = 0x7FFF0000, 0x00050000
MASKED_EQ = 7
PROT_WRITE, PROT_EXEC = 2, 4
NAMESPACES = {"cgroup": 0x02000000, "uts": 0x04000000, "ipc": 0x08000000, "user": 0x10000000, "pid": 0x20000000,
              "net": 0x40000000, "mnt": 0x00020000}


class Cmp(ctypes.Structure):
    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


def settings(*paths):
    """The unit's [Service] lines and those of its drop-ins: name to values, as they come."""
    found = {}
    for path in paths:
        with open(path) as f:
            for line in f:
                if match := re.match(r"([A-Z]\w+)=(.*)$", line.strip()):
                    found.setdefault(match[1], []).append(match[2].strip())
    return found


def last(unit, name, default=""):
    return unit.get(name, [default])[-1]


def _groups():
    """Names of system calls and of other groups, by group; systemd's own lists."""
    text = subprocess.run(["systemd-analyze", "syscall-filter"], capture_output=True, text=True, check=True).stdout
    groups, group = {}, None
    for line in text.splitlines():
        if line.startswith("@"):
            group = groups.setdefault(line.strip(), [])
        elif group is not None and line.startswith("    ") and not line.strip().startswith("#"):
            group.append(line.strip())
    return groups


def _expand(groups, word):
    if not word.startswith("@"):
        return {word}
    return set().union(*(_expand(groups, w) for w in groups[word]))


def allowed_calls(unit):
    groups = _groups()
    allowed = _expand(groups, "@default")
    for line in unit["SystemCallFilter"]:
        words = set().union(*(_expand(groups, w) for w in line.lstrip("~").split()))
        allowed = allowed - words if line.startswith("~") else allowed | words
    return sorted(allowed)


def confined(unit, argv):
    kept = last(unit, "RestrictNamespaces").split()
    rules = {"calls": allowed_calls(unit), "families": last(unit, "RestrictAddressFamilies").split(),
             "namespaces": [n for n in NAMESPACES if n not in kept],
             "write_execute": last(unit, "MemoryDenyWriteExecute") != "yes"}
    return [sys.executable, os.path.abspath(__file__), json.dumps(rules)] + argv


def _load(rules):
    lib = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    lib.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(lib.seccomp_init(KILL_ERRNO | errno.EPERM))

    def rule(name, *compares):
        number = lib.seccomp_syscall_resolve_name(name.encode())
        if number < 0:
            return  # of another architecture
        array = (Cmp * len(compares))(*compares)
        code = lib.seccomp_rule_add_array(context, ctypes.c_uint32(ALLOW), number, len(compares), array)
        if code != 0:
            raise OSError(-code, f"rule for {name}")

    for name in rules["calls"]:
        if name == "socket":
            for family in rules["families"]:
                rule(name, Cmp(0, MASKED_EQ, 0xFFFFFFFF, getattr(socket, family)))
        elif name == "mmap" and not rules["write_execute"]:
            for bits in (0, PROT_WRITE, PROT_EXEC):
                rule(name, Cmp(2, MASKED_EQ, PROT_WRITE | PROT_EXEC, bits))
        elif name in ("mprotect", "pkey_mprotect") and not rules["write_execute"]:
            rule(name, Cmp(2, MASKED_EQ, PROT_EXEC, 0))
        elif name in ("clone", "unshare"):
            rule(name, Cmp(0, MASKED_EQ, sum(NAMESPACES[n] for n in rules["namespaces"]), 0))
        elif name != "clone3":  # the C library does without, as under systemd
            rule(name)
    clone3 = lib.seccomp_syscall_resolve_name(b"clone3")
    lib.seccomp_rule_add_array(context, ctypes.c_uint32(KILL_ERRNO | errno.ENOSYS), clone3, 0, None)
    if lib.seccomp_load(context) != 0:
        raise OSError("the filter cannot be loaded")


if __name__ == "__main__":
    _load(json.loads(sys.argv[1]))
    os.execv(sys.argv[2], sys.argv[2:])
