#!/usr/bin/python3
"""The AWS SDK for JavaScript v3 reads every answer as boto3 does: stories told once more with it as the client."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh import js  # noqa: E402
from mh.programs import BUILD, SHARED, SRC, Place  # noqa: E402
from mh.tap import check, run, story  # noqa: E402


def told(name):
    """The stories of that file, with the other client."""
    with Place() as place:
        js.Client(place, "http://127.0.0.1:1").close()  # skips when it cannot be had
    env = dict(os.environ, MH_CLIENT="js", MH_BUILDDIR=BUILD, MH_SRCDIR=SRC, MH_SHARED=SHARED)
    done = subprocess.run([os.path.join(SRC, "tests", "system", f"test_{name}.py")], env=env, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=280)
    check(done.returncode == 0, done.stdout + done.stderr)
    check("# answered: " in done.stdout, f"{name} was not told with the SDK for JavaScript: {done.stdout}")


@story
def operations_answer_the_javascript_sdk():
    told("operations")


@story
def statements_hold_for_the_javascript_sdk():
    told("statements_000")


@story
def errors_are_read_by_the_javascript_sdk():
    told("error_map")


run()
