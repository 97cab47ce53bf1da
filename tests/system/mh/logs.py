"""Reads the programs' logs as docs/events.md says they are written; whatever is not so is an error.

    for line in parsed(agent.text(), "json"):
        line.level, line.event, line.msg, line.fields      values are strings, as text has them
"""
import json
import re
from collections import namedtuple

Line = namedtuple("Line", "ts level event msg fields priority")

LONGEST = 4096
PRIORITIES = {"error": 3, "warn": 4, "info": 6, "debug": 7}
TS = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
QUOTED = r'"(?:[^"\\]|\\(?:["\\n]|u[0-9a-f]{4}))*"'
BARE = r"[!#-<>-\[\]-~](?:[ !#-<>-\[\]-~]*[!#-<>-\[\]-~])?"
VALUE = rf"{QUOTED}|[A-Za-z0-9\-_./:@+,%*]+"
TEXT = re.compile(rf"({TS}) (error|warn |info |debug) ([a-z0-9_]+\.[a-z0-9_]+) ({QUOTED}|{BARE})((?: [a-z0-9_]+=(?:{VALUE}))*)")
FIELD = re.compile(rf" ([a-z0-9_]+)=({VALUE})")
# Control characters, and what changes how a line is shown.
NEVER = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f]")


class Broken(AssertionError):
    pass


def _once(pairs):
    if len({k for k, _ in pairs}) != len(pairs):
        raise Broken(f"a member twice: {[k for k, _ in pairs]}")
    return dict(pairs)


def _unquoted(text):
    return json.loads(text) if text.startswith('"') else text


def _text(line):
    found = TEXT.fullmatch(line)
    if not found:
        raise Broken(f"no line of the grammar: {line!r}")
    ts, level, event, msg, fields = found.groups()
    pairs = [(k, _unquoted(v)) for k, v in FIELD.findall(fields)]
    return ts, level.strip(), event, _unquoted(msg), _once(pairs)


def _json(line):
    try:
        value = json.loads(line, object_pairs_hook=_once)
    except ValueError as e:
        raise Broken(f"no JSON: {line!r}") from e
    if list(value) != ["ts", "level", "program", "event", "msg", "fields"]:
        raise Broken(f"members {list(value)}")
    if not re.fullmatch(TS, value["ts"]) or not isinstance(value["msg"], str) or value["level"] not in PRIORITIES:
        raise Broken(line)
    for key, field in value["fields"].items():
        if type(field) not in (str, int) or not re.fullmatch("[a-z0-9_]+", key):
            raise Broken(f"{key}: {field!r}")
    return value["ts"], value["level"], value["event"], value["msg"], {k: str(v) for k, v in value["fields"].items()}


def parse(line, form):
    """One line, without its end."""
    if len(line.encode()) + 1 > LONGEST or NEVER.search(line):
        raise Broken(f"{len(line)} characters, or one that is never there: {line!r}")
    prefix = re.match(r"<([3467])>", line)
    rest = line[3:] if prefix else line
    got = Line(*(_json if form == "json" else _text)(rest), int(prefix[1]) if prefix else None)
    if prefix and got.priority != PRIORITIES[got.level]:
        raise Broken(line)
    return got


def parsed(data, form):
    """Every line of a log: bytes, or text that was decoded strictly."""
    text = data.decode() if isinstance(data, bytes) else data
    if text and not text.endswith("\n"):
        raise Broken(f"the last line has no end: {text[-80:]!r}")
    return [parse(line, form) for line in text.split("\n")[:-1]]
