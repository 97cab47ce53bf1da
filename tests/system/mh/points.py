"""The named kill points: what the sources have, and how a story makes a program pass one.

The lists are what test_kill_points.py has a story for; it compares them with in_sources().
"""
import glob
import os
import re

from mh.programs import AGENT as AGENT_PROGRAM
from mh.programs import SRC

# States that never stand at a commit: they are passed through within one turn.
PASSED_THROUGH = {"offered", "owned", "outcome"}


def built_in():
    """Whether the programs under test were configured with --enable-fault-points."""
    with open(AGENT_PROGRAM, "rb") as f:
        return b"MILLHAND_KILL_AT" in f.read()


def _literal(*folder):
    names = set()
    for path in glob.glob(os.path.join(SRC, *folder, "*.c")):
        with open(path) as f:
            names |= set(re.findall(r'FAULT_POINT\("([^"]+)"\)', f.read()))
    return names


def _made_of_names():
    """Points whose names the agent puts together: operations and states."""
    with open(os.path.join(SRC, "agent", "cp_api.c")) as f:
        names = {f"{op}.{moment}" for op in re.findall(r'cp_op_\w+ = \{\s*"\w+",\s*"(\w+)"', f.read())
                 for moment in ("send", "sent", "answer")}
    with open(os.path.join(SRC, "agent", "job.h")) as f:
        states = set(re.findall(r"X\([A-Z_]+, (\w+)\)", f.read().split("JOB_EVENTS")[0])) - PASSED_THROUGH
    return names | {f"{state}.{moment}" for state in states for moment in ("commit", "committed")}


def in_sources():
    """{"agent": names, "job": names, "emulator": names}; a handler's begin with "handler_"."""
    return {"agent": _literal("agent") | _made_of_names(), "job": _literal("agent", "job"),
            "emulator": _literal("emulator") | _literal("emulator", "*")}
