"""Rows of measurements, and how they are told."""
import statistics


class Series:
    """One thing measured several times; never, where it is not installed. `base`: the ratio is this over that, round by
    round."""

    def __init__(self, what, unit, values, base=None, limit=None, note=""):
        self.what, self.unit, self.values = what, unit, list(values)
        self.base, self.note = base, note
        self.limit = limit  # ("<=" or ">=", number, "value" or "ratio")

    def median(self):
        return statistics.median(self.values)

    def ratios(self):
        return [a / b for a, b in zip(self.values, self.base.values)] if self.base else []

    def judged(self):
        """Whether there is an expectation, and what it is held against."""
        return bool(self.limit and (self.ratios() if self.limit[2] == "ratio" else self.values))

    def verdict(self):
        if not self.judged():
            return ""
        sign, number, of = self.limit
        got = statistics.median(self.ratios()) if of == "ratio" else self.median()
        return "met" if (got <= number if sign == "<=" else got >= number) else "MISSED"


class Row:
    def __init__(self, title, *series):
        self.title, self.series = title, series


def number(x):
    if x == 0:
        return "0"
    if abs(x) >= 1000:
        return f"{x:,.0f}".replace(",", " ")
    return f"{x:.0f}" if abs(x) >= 100 else f"{x:.1f}" if abs(x) >= 10 else f"{x:.2f}"


def _cells(row):
    for i, s in enumerate(row.series):
        expected = ""
        if s.limit:
            expected = f"{s.limit[0]} {number(s.limit[1])}{' x' if s.limit[2] == 'ratio' else ''}"
        if not s.values:
            yield (row.title if i == 0 else "", s.what, "not installed", "", "", expected, "")
            continue
        ratio = f"{statistics.median(s.ratios()):.2f} x {s.base.what}" if s.ratios() else ""
        yield (row.title if i == 0 else "", s.what, f"{number(s.median())} {s.unit}",
               f"{number(min(s.values))} to {number(max(s.values))}" if len(s.values) > 1 else "",
               ratio, expected, s.verdict())


HEADS = ("measure", "of", "median", "spread", "ratio", "expected", "")


def as_text(rows):
    lines = [HEADS] + [cells for row in rows for cells in _cells(row)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADS))]
    out = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines]
    out.insert(1, "-" * len(out[0]))
    return "\n".join(out)


def as_markdown(rows):
    lines = [HEADS, ("---",) * len(HEADS)] + [cells for row in rows for cells in _cells(row)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
