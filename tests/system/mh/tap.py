"""Stories that speak TAP: `@story` marks a function, `run()` at the end of the file runs them.

A story fails by raising; its traceback becomes TAP comments. `skip(reason)` skips it visibly.
One story alone: `tests/system/test_x.py story_name`.
"""
import sys
import traceback

from mh import findings

_stories = []


class Skip(Exception):
    pass


def skip(reason):
    raise Skip(reason)


def story(function):
    """The function's name, or its docstring's first line, says what must be true."""
    _stories.append(function)
    return function


def equal(got, want, what=""):
    if got != want:
        raise AssertionError(f"{what or 'value'}: got {got!r}, want {want!r}")


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def raises(code, call, *args, **kwargs):
    """The boto3 call must fail with this error code; answers the message."""
    from botocore.exceptions import ClientError

    try:
        call(*args, **kwargs)
    except ClientError as e:
        equal(e.response["Error"]["Code"], code, "error code")
        return e.response["Error"]["Message"]
    raise AssertionError(f"no error, want {code}")


def _tell(story_function):
    """Runs one; answers why it was skipped, or None. What sanitizers or valgrind found fails it, whatever it expects."""
    findings.begin()
    reason = None
    try:
        story_function()
    except Skip as e:
        reason = e
    finally:
        found = findings.end()
        for line in found.splitlines():
            print(f"# {line}", flush=True)
    check(not found, "a finding, above")
    return reason


def run():
    wanted = sys.argv[1:]
    stories = [s for s in _stories if not wanted or s.__name__ in wanted]
    print(f"1..{len(stories)}", flush=True)
    failed = 0
    for number, s in enumerate(stories, 1):
        title = (s.__doc__ or s.__name__.replace("_", " ")).strip().split("\n")[0]
        try:
            reason = _tell(s)
            print(f"ok {number} - {title}" + (f" # SKIP {reason}" if reason else ""), flush=True)
        except BaseException:
            failed += 1
            print(f"not ok {number} - {title}", flush=True)
            for line in traceback.format_exc().splitlines():
                print(f"# {line}", flush=True)
    sys.exit(1 if failed else 0)
