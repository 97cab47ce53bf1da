"""Reads what the emulator tells of its executions, and holds it against what may happen (semantics E20, G27, I10).

    stream = Stream(emulator)              the live stream, in a thread of its own
    events = read_file(path)               the file of JSON lines
    check_legal(events)                    paths and times of every execution, stage and action
"""
import json
import threading
import urllib.request

from mh.programs import wait_for
from mh.tap import check, equal

PIPELINE = "CodePipeline Pipeline Execution State Change"
STAGE = "CodePipeline Stage Execution State Change"
ACTION = "CodePipeline Action Execution State Change"
APPROVAL = "Millhand Approval Notification"

# What may follow what; None is before the first.
PIPELINE_PATH = {
    None: {"STARTED"},
    "STARTED": {"STOPPING", "STOPPED", "SUCCEEDED", "FAILED", "SUPERSEDED", "CANCELED", "RESUMED"},
    "RESUMED": {"STOPPING", "STOPPED", "SUCCEEDED", "FAILED", "SUPERSEDED", "CANCELED", "RESUMED"},
    "STOPPING": {"STOPPED", "CANCELED"},
    "STOPPED": {"RESUMED"}, "FAILED": {"RESUMED"},
    "SUCCEEDED": set(), "SUPERSEDED": set(), "CANCELED": set(),
}
STAGE_PATH = {
    None: {"STARTED", "SKIPPED"},
    "STARTED": {"STOPPING", "STOPPED", "SUCCEEDED", "FAILED", "CANCELED", "RESUMED", "SKIPPED"},
    "RESUMED": {"STOPPING", "STOPPED", "SUCCEEDED", "FAILED", "CANCELED", "RESUMED", "SKIPPED"},
    "STOPPING": {"STOPPED", "CANCELED"},
    "STOPPED": {"RESUMED"}, "FAILED": {"RESUMED"},
    "SUCCEEDED": set(), "CANCELED": set(), "SKIPPED": set(),
}
ACTION_PATH = {
    None: {"STARTED"},
    "STARTED": {"SUCCEEDED", "FAILED", "ABANDONED", "CANCELED"},
    "SUCCEEDED": set(), "FAILED": set(), "ABANDONED": set(), "CANCELED": set(),
}
OPEN = {"STARTED", "RESUMED", "STOPPING"}


def once(events):
    """Each event once, at its first place: delivery is at least once."""
    seen, out = set(), []
    for e in events:
        if e["id"] not in seen:
            seen.add(e["id"])
            out.append(e)
    return out


def short(events):
    """["Pipeline STARTED", "Stage Source STARTED", "Action Source/S STARTED", ...]"""
    out = []
    for e in once(events):
        d = e["detail"]
        kind = e["detail-type"].split()[1]
        where = {"Stage": d.get("stage", ""), "Action": f"{d.get('stage')}/{d.get('action')}"}.get(kind, "")
        out.append(" ".join(p for p in (kind, where, d.get("state", "")) if p))
    return out


def of(events, execution):
    return [e for e in events if e["detail"].get("execution-id") == execution]


def _step(states, key, path, state):
    before = states.get(key)
    check(state in path[before], f"{key}: {before} -> {state}")
    states[key] = state


def check_legal(events):
    """One STARTED, then RESUMED or STOPPING, one terminal an attempt; stages and actions within; time goes on."""
    pipelines, stages, actions, attempts, times = {}, {}, {}, {}, {}
    for e in once(events):
        if e["detail-type"] == APPROVAL:
            continue
        d = e["detail"]
        execution, state = d["execution-id"], d["state"]
        check(times.get(execution, "") <= e["time"], f"{execution}: time goes back at {e}")
        check(d["start-time"][:19] <= e["time"][:19], f"it starts after it ends: {e}")
        times[execution] = e["time"]
        if e["detail-type"] == PIPELINE:
            _step(pipelines, execution, PIPELINE_PATH, state)
            if state in ("STARTED", "RESUMED"):
                equal(d["pipeline-execution-attempt"], attempts.get(execution, 0) + 1, "the attempt")
                attempts[execution] = d["pipeline-execution-attempt"]
            if state not in OPEN:  # what ends before the pipeline does
                for (x, name), s in {**stages, **actions}.items():
                    check(x != execution or s not in OPEN, f"{name} of {execution} is {s} at its end")
            continue
        check(pipelines.get(execution) in OPEN, f"{execution} is {pipelines.get(execution)}: {e}")
        if e["detail-type"] == STAGE:
            _step(stages, (execution, d["stage"]), STAGE_PATH, state)
        else:
            check(stages.get((execution, d["stage"])) in OPEN, f"an action outside of its stage: {e}")
            _step(actions, (execution, d["action-execution-id"]), ACTION_PATH, state)
        equal(d["pipeline-execution-attempt"], attempts[execution], "the attempt")


def read_file(path):
    """A line without its end is being written."""
    try:
        with open(path, encoding="utf-8") as f:
            return [json.loads(line) for line in f if line.endswith("\n")]
    except FileNotFoundError:
        return []


def wait_file(path, count):
    """The file's events, when there are so many."""
    return wait_for(lambda: len(read_file(path)) >= count and read_file(path), what=f"{count} events in {path}")


class Stream:
    """Listens until it is closed; items are (id, event), gaps counts what was lost."""

    def __init__(self, emulator, last_id=None, after=None):
        url = emulator.endpoint + "/_millhand/events" + ("" if after is None else f"?after={after}")
        headers = {"Last-Event-ID": str(last_id)} if last_id is not None else {}
        self.answer = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60)
        self.items, self.gaps, self.comments, self.ended = [], 0, 0, False
        self.answer.readline()  # retry: it hears from here on
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        fields = {}
        try:
            for line in self.answer:
                line = line.decode().rstrip("\n")
                if line:
                    key, _, value = line.partition(":")
                    self.comments += key == ""
                    fields[key] = value.strip()
                    continue
                if fields.get("event") == "gap":
                    self.gaps += json.loads(fields["data"])["lost"]
                elif "data" in fields:
                    self.items.append((int(fields["id"]), json.loads(fields["data"])))
                fields = {}
        except (OSError, ValueError, AttributeError):
            pass
        self.ended = True

    def events(self):
        return [e for _, e in self.items]

    def wait(self, count):
        wait_for(lambda: len(self.items) >= count, what=f"{count} events in the stream")
        return self.events()

    def close(self):
        self.answer.close()
