#!/usr/bin/python3
"""A whole release, and other stories, through the checking proxy of the shared tools: no finding against the server."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh.programs import SHARED, SRC, BUILD, Place  # noqa: E402
from mh.tap import check, equal, run, skip, story  # noqa: E402

MODELCHECK = os.path.join(SHARED, "tools", "modelcheck")


@story
def the_demo_breaks_no_rule_of_the_service_model():
    if not os.path.exists(MODELCHECK):
        skip("no ../shared/tools/modelcheck beside the project")
    with Place() as place:
        # The demo's build is this build; its set-up finds nothing to install or to make.
        env = dict(place.env, MILLHAND_DEMO_VIA=MODELCHECK, MILLHAND_BUILD=BUILD, NO_COLOR="1")
        done = subprocess.run([os.path.join(SRC, "quickstart"), "demo"], env=env, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=280)
        check(done.returncode == 0, done.stdout + done.stderr)
        check("0 findings against the server" in done.stdout, done.stdout)
        equal(done.stdout.count("execution Succeeded"), 1, "releases")
        equal(done.stdout.count("execution Failed"), 1, "stopped releases")


@story
def the_statements_and_the_errors_break_none_either():
    if not os.path.exists(MODELCHECK):
        skip("no ../shared/tools/modelcheck beside the project")
    env = dict(os.environ, MH_MODELCHECK=MODELCHECK, MH_BUILDDIR=BUILD, MH_SRCDIR=SRC, MH_SHARED=SHARED)
    for name in ("statements_000", "error_map"):
        done = subprocess.run([os.path.join(SRC, "tests", "system", f"test_{name}.py")], env=env,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=280)
        check(done.returncode == 0, f"{name}: {done.stdout}{done.stderr}")
        check(done.stdout.count("\nok ") > 5, f"{name} told little: {done.stdout}")


run()
