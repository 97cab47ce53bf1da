"""What sanitizers and valgrind found in the programs of a story; any of it fails the story (tap.run asks).

A finding is noticed in one of four ways, so that a program whose failure a story expects, that was killed
later, or whose output nobody reads cannot hide it:
- its report: a file in the story's directory of reports (log_path, valgrind's --log-file);
- its words in a program's log or in the output of a command (a job's handler cannot write that directory);
- its exit code, FINDING, of a program or a command;
- its exit code in the words of the shim, for handlers and millhand-archive (lib/base/err.c sets it there).

What the emulator finds in its own answers (--check-answers) is in its log, and is a finding likewise.
"""
import glob
import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import tempfile

FINDING = 86
SLOW = float(os.environ.get("MH_SLOW") or 1)  # deadlines are that much longer
WRAP = shlex.split(os.environ.get("MH_WRAP") or "")

_WORDS = re.compile(r"ERROR: (Address|Leak)Sanitizer|WARNING: ThreadSanitizer|Sanitizer CHECK failed|SUMMARY: \w+Sanitizer"
                    r"|\.[ch]:\d+:\d+: runtime error: |ERROR: Can't open file: \S*/san\."
                    r"|error=\"answer of \w+|\"error\":\s*\"answer of \w+"
                    rf"|exit code {FINDING}\b|exited with {FINDING}\b")
# In valgrind's own files; the end's summary is absent when the program was killed.
_VALGRIND = re.compile(r"==\d+== +(Invalid |Conditional jump|Use of uninit|Syscall param|Mismatched|Source and dest"
                       r"|Argument '|Process terminating with default action of signal (4|6|7|8|11)\b"
                       r"|Jump to the invalid|[\d,]+ \(?.*bytes in [\d,]+ blocks are definitely lost"
                       r"|[\d,]+ bytes in [\d,]+ blocks are definitely lost)")
# LeakSanitizer looks at a thread that is just ending; no leak is told with it.
_MERELY = re.compile(r"(==\d+==Unable to get registers from thread \d+\.\n)+")
_SUPPRESSIONS = os.path.abspath(os.path.join(os.path.dirname(__file__), "../../suppressions/lsan.supp"))
_state = {"dir": None, "seen": []}


def begin():
    """A new directory of reports; programs started from now on write there."""
    _state["dir"], _state["seen"] = tempfile.mkdtemp(prefix="mh-san-"), []
    os.chmod(_state["dir"], 0o1777)  # programs may run as another user
    path = os.path.join(_state["dir"], "san")
    for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"):
        os.environ[name] = ":".join(filter(None, (_first.get(name), f"exitcode={FINDING}:log_path={path}")))
    os.environ["LSAN_OPTIONS"] = f"suppressions={_SUPPRESSIONS}:print_suppressions=0"


_first = {name: os.environ.get(name) for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS")}


def wrap(argv):
    """The command under MH_WRAP, for instance valgrind; {reports} there is the directory of reports."""
    return [word.replace("{reports}", _state["dir"]) for word in WRAP] + list(argv)


def look(name, text):
    """Notes what a program's words tell."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    found = _WORDS.search(text or "")
    if found:
        _state["seen"].append(f"{name}: {text[max(0, found.start() - 200):found.start() + 3000]}")


def look_in(directory):
    """Notes what the logs below a directory tell: programs', jobs', their results."""
    for top, _, files in os.walk(directory):
        for name in files:
            if name not in ("log", "result.json", "shim.err") and not name.endswith(".log"):
                continue
            try:
                fd = os.open(os.path.join(top, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
                with open(fd, "rb") as f:
                    if stat.S_ISREG(os.fstat(fd).st_mode):  # jobs leave FIFOs behind
                        look(name, f.read(16 << 20))
            except OSError:
                continue  # of another user, or gone


# AWS answers it, though the model does not declare it (semantics G14).
_UNDECLARED = ("UpdatePipeline", "PipelineNotFoundException")


def exchanges(path):
    """Notes what the checking proxy found in the server's answers; its log has a line for each exchange."""
    with open(path, encoding="utf-8") as f:
        for line in f:
            row = json.loads(line)
            if "answer" in row and (row["operation"], row["error"]) != _UNDECLARED:
                _state["seen"].append(f"modelcheck: {line.strip()}")


def ended(name, code):
    """Notes the exit code of a finding."""
    if code == FINDING:
        _state["seen"].append(f"{name}: exit code {FINDING}")


def end():
    """What was found since begin(), as text; the directory is gone then."""
    found = _state["seen"]
    for path in sorted(glob.glob(os.path.join(_state["dir"], "*"))):
        with open(path, "rb") as f:
            text = f.read(1 << 20).decode("utf-8", "replace")
        if not os.path.basename(path).startswith("valgrind."):
            if not _MERELY.fullmatch(text):
                found.append(text[:6000])
        elif _VALGRIND.search(text):
            found.append(text[:20000])
    shutil.rmtree(_state["dir"], ignore_errors=True)
    return "\n".join(found)


_run = subprocess.run


def _looking_run(*args, **kwargs):
    done = _run(*args, **kwargs)
    name = os.path.basename(str(done.args if isinstance(done.args, str) else done.args[0]))
    ended(name, done.returncode)
    look(name, done.stdout)
    look(name, done.stderr)
    return done


subprocess.run = _looking_run
