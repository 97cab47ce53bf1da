"""What stories about the agent share: archives, actions, marks that a handler leaves."""
import io
import os
import re
import signal
import zipfile

from mh.programs import wait_for
from mh.tap import check, equal

# Intervals that keep a story short; every one of them is an ordinary key.
FAST = {"poll_interval_min": "50ms", "poll_interval_max": "200ms", "poll_rate": 100, "retry_base": "20ms"}


def zip_of(files):
    """A zip with these members; a value is bytes, or (bytes, mode)."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        for name, value in files.items():
            data, mode = value if isinstance(value, tuple) else (value, 0o644)
            info = zipfile.ZipInfo(name)
            info.external_attr = (0o100000 | mode) << 16
            z.writestr(info, data)
    return out.getvalue()


def names_in(data):
    with zipfile.ZipFile(io.BytesIO(data)) as z:
        return {i.filename: z.read(i) for i in z.infolist() if not i.is_dir()}


def action(place, command, provider="Make", **keys):
    """An action entry for the command plugin that may write the story's directory."""
    entry = {"category": "Build", "owner": "Custom", "provider": provider, "version": "1", "plugin": "command",
             "config": {"command": command}, "sandbox": {"write": [place.dir]}}
    entry["config"].update(keys.pop("config", {}))
    entry.update(keys)
    return entry


class Marks:
    """A file to which a handler appends a line each time it runs."""

    def __init__(self, place, name="marks"):
        self.path = place.path(name)
        os.mkfifo(self.path + ".go")  # a handler that says `read go < <path>.go` waits for go()
        self.gate = os.open(self.path + ".go", os.O_RDWR)

    def go(self):
        """Lets one handler at the gate go on; one that comes later finds it open too."""
        os.write(self.gate, b"go\n")

    def command(self, text="ran"):
        return f"echo {text} >> {self.path}"

    def lines(self):
        if not os.path.exists(self.path):
            return []
        with open(self.path) as f:
            return f.read().split("\n")[:-1]

    def wait(self, count=1):
        wait_for(lambda: len(self.lines()) >= count, what=f"{count} marks of the handler")


def finished(job, kind, seconds=30):
    """Waits for the job's result, which must be of that kind; answers the request."""
    wait_for(lambda: job.result, seconds, f"a result for the job of {job.provider}")
    equal(job.result[0], kind, f"kind of result ({job.result[1]})")
    return job.result[1]


def failed_as(job, failure_type, *parts):
    details = finished(job, "failure")["failureDetails"]
    equal(details["type"], failure_type, f"failure type ({details['message']})")
    for part in parts:
        check(part in details["message"], f"{part!r} in the message: {details['message']}")
    return details["message"]


def kill_shims(agent):
    """kill -9 of every millhand-job that this agent says it started; how many there were."""
    count = 0
    for pid in re.findall(r"job\.started .* pid=(\d+)", agent.text()):
        try:
            with open(f"/proc/{pid}/comm") as f:
                if f.read().strip() == "millhand-job":
                    os.kill(int(pid), signal.SIGKILL)
                    count += 1
        except OSError:
            pass  # it is gone
    return count
