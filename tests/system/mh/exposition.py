"""Reads what Prometheus scrapes, by the rules of its text format 0.0.4 and those of its naming; stricter than it is.

    metrics = parsed(text)
    metrics.value("millhand_polls_total", outcome="jobs")       the sum of all samples with these labels
    metrics.families["millhand_polls_total"].type
"""
import math
import re
from collections import namedtuple

Sample = namedtuple("Sample", "name labels value")

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
HELP = re.compile(rf"# HELP ({NAME}) ((?:[^\\]|\\\\|\\n)+)")
TYPE = re.compile(rf"# TYPE ({NAME}) (counter|gauge|histogram|summary|untyped)")
SAMPLE = re.compile(rf"({NAME})(\{{.*\}})? (-?[0-9]+(?:\.[0-9]+)?|[+-]Inf|NaN)")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"(,|$)')
NOT_BASE = re.compile(r"_(ms|millis|milliseconds|minutes|hours|kb|mb|percent)(_|$)")


class Broken(AssertionError):
    pass


class Family:
    def __init__(self, name, help_text):
        self.name, self.help, self.type, self.samples = name, help_text, None, []


def _labels(text):
    found, at = [], 0
    text = text[1:-1]
    while at < len(text):
        match = LABEL.match(text, at)
        if not match:
            raise Broken(f"labels {text!r}")
        value = re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], match[2])
        found.append((match[1], value))
        at = match.end()
        if match[3] == "," and at == len(text):
            raise Broken(f"a comma at the end: {text!r}")
    if len({k for k, _ in found}) != len(found):
        raise Broken(f"a label twice: {text!r}")
    if any(k.startswith("__") for k, _ in found):
        raise Broken(f"a reserved label: {text!r}")
    return dict(found)


class Metrics:
    def __init__(self):
        self.families = {}

    def samples(self, name):
        return [s for f in self.families.values() for s in f.samples if s.name == name]

    def value(self, name, **labels):
        """0 when there is no such sample."""
        return sum(s.value for s in self.samples(name) if labels.items() <= s.labels.items())

    def by(self, name, label, **labels):
        """Values by one label, of those that are not 0."""
        out = {}
        for s in self.samples(name):
            if labels.items() <= s.labels.items() and s.value:
                out[s.labels[label]] = out.get(s.labels[label], 0) + s.value
        return out


def _check_histogram(family):
    groups = {}
    for s in family.samples:
        key = tuple(sorted((k, v) for k, v in s.labels.items() if k != "le"))
        groups.setdefault(key, {"bucket": [], "sum": [], "count": []})
        part = s.name[len(family.name) + 1:]
        if part not in groups[key] or ("le" in s.labels) != (part == "bucket"):
            raise Broken(f"{s} is no part of a histogram")
        groups[key][part].append(s)
    for key, g in groups.items():
        if len(g["sum"]) != 1 or len(g["count"]) != 1:
            raise Broken(f"{family.name}{key}: one sum and one count, please")
        edges = [float(s.labels["le"].replace("Inf", "inf")) for s in g["bucket"]]
        counts = [s.value for s in g["bucket"]]
        if edges != sorted(set(edges)) or not edges or edges[-1] != math.inf:
            raise Broken(f"{family.name}{key}: buckets {edges}")
        if counts != sorted(counts) or counts[-1] != g["count"][0].value:
            raise Broken(f"{family.name}{key}: counts {counts}")
        total, n = g["sum"][0].value, g["count"][0].value
        if total < 0 or (n == 0 and total):
            raise Broken(f"{family.name}{key}: sum {total} of {n}")


def _check(family):
    if not family.samples:
        raise Broken(f"{family.name} has no sample")
    if family.type == "counter" and not family.name.endswith("_total"):
        raise Broken(f"the counter {family.name} does not end in _total")
    if family.type != "counter" and family.name.endswith(("_total", "_count", "_sum", "_bucket")):
        raise Broken(f"the {family.type} {family.name}")
    if NOT_BASE.search(family.name):
        raise Broken(f"{family.name} is not in base units")
    if len({frozenset(s.labels) - {"le"} for s in family.samples}) != 1:
        raise Broken(f"{family.name}: not always the same labels")
    if family.type == "histogram":
        return _check_histogram(family)
    for s in family.samples:
        if s.name != family.name or "le" in s.labels:
            raise Broken(f"{s} in {family.name}")
        if family.type == "counter" and not s.value >= 0:
            raise Broken(f"{s} is negative")
    return None


def parsed(text):
    if not text.endswith("\n") or "\r" in text:
        raise Broken("lines end with a line feed")
    metrics, family, seen = Metrics(), None, set()
    for line in text[:-1].split("\n"):
        if match := HELP.fullmatch(line):
            if match[1] in metrics.families:
                raise Broken(f"{match[1]} comes twice")
            family = metrics.families[match[1]] = Family(match[1], match[2])
        elif match := TYPE.fullmatch(line):
            if not family or family.name != match[1] or family.type or family.samples:
                raise Broken(f"TYPE at the wrong place: {line}")
            family.type = match[2]
        elif match := SAMPLE.fullmatch(line):
            if not family or not family.type or not match[1].startswith(family.name):
                raise Broken(f"a sample of no family: {line}")
            sample = Sample(match[1], _labels(match[2]) if match[2] else {}, float(match[3].replace("Inf", "inf")))
            key = (sample.name, tuple(sorted(sample.labels.items())))
            if key in seen:
                raise Broken(f"a sample twice: {line}")
            seen.add(key)
            family.samples.append(sample)
        else:
            raise Broken(f"no line of the format: {line!r}")
    for f in metrics.families.values():
        _check(f)
    return metrics
