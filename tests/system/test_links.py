#!/usr/bin/python3
"""Each program links what the table of docs/architecture.md allows it, and is hardened."""
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh.programs import AGENT, ARCHIVE, ARCHIVE_TAR, EMULATOR, JOB, MILLHAND, PLUGIN_COMMAND  # noqa: E402
from mh.tap import check, equal, run, skip, story  # noqa: E402

LIBC = {"libc", "ld-linux-x86-64", "ld-linux-aarch64", "libpthread", "libdl", "libm", "libasan", "libubsan", "libgcc_s"}
ALLOWED = {
    AGENT: {"libuv", "libcurl", "libjson-c", "libconfig", "libsodium", "libsqlite3", "libexpat", "libmicrohttpd"},
    JOB: {"libjson-c"},
    ARCHIVE: {"libdeflate", "libz"},
    ARCHIVE_TAR: {"libarchive", "libz"},
    EMULATOR: {"libmicrohttpd", "libsqlite3", "libjson-c", "libconfig", "libsodium", "libcrypto", "libexpat", "libcurl"},
    MILLHAND: {"libconfig", "libjson-c"},
    PLUGIN_COMMAND: set(),
}


def dynamic(path):
    return subprocess.run(["readelf", "-dW", path], capture_output=True, text=True, check=True,
                          env=dict(os.environ, LC_ALL="C")).stdout


def programs():
    return [p for p in ALLOWED if os.path.exists(p) or p != EMULATOR]


@story
def no_program_links_more_than_its_row_allows():
    for path in programs():
        needed = {re.sub(r"\.so.*", "", n) for n in re.findall(r"NEEDED.*\[(.*?)\]", dynamic(path))}
        equal(needed - LIBC - ALLOWED[path], set(), os.path.basename(path))


@story
def the_job_runner_is_lean():
    """millhand-job links libc and json-c alone, so that one more running job costs little."""
    needed = {re.sub(r"\.so.*", "", n) for n in re.findall(r"NEEDED.*\[(.*?)\]", dynamic(JOB))}
    check("libjson-c" in needed and not needed & {"libcurl", "libsqlite3", "libsodium", "libuv"}, str(needed))


@story
def every_program_is_hardened():
    for path in programs():
        text = dynamic(path)
        if "libasan" in text:
            skip("a sanitizer build")
        check("BIND_NOW" in text or "NOW" in re.findall(r"FLAGS.*", text).__str__(), f"{path}: not bound at start")
        headers = subprocess.run(["readelf", "-lW", path], capture_output=True, text=True, check=True,
                                 env=dict(os.environ, LC_ALL="C")).stdout
        check("GNU_RELRO" in headers, f"{path}: no RELRO")
        check("DYN" in headers.split("Elf file type is")[1][:40], f"{path}: not position independent")
        stack = [line for line in headers.splitlines() if "GNU_STACK" in line][0]
        check("RWE" not in stack, f"{path}: executable stack")


@story
def nothing_links_a_symbol_of_the_fault_points_by_default():
    """Kill points are compiled in by --enable-fault-points alone."""
    with open(AGENT, "rb") as f:
        has = b"MILLHAND_KILL_AT" in f.read()
    config = os.path.join(os.environ.get("MH_BUILDDIR", "."), "config.h")
    with open(config) as f:
        wanted = "#define MH_FAULT_POINTS 1" in f.read()
    equal(has, wanted, "kill points in the agent")


run()
