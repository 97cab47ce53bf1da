"""The rows that have an expectation as one picture (SVG): how far each is from it."""
import math
import statistics
from xml.sax.saxutils import escape

from measure.table import number

LINE, LEFT, WIDE, RIGHT, TOP = 20, 430, 480, 270, 56
DOUBLINGS = 4  # either way; what is farther off ends at the edge
MET, MISSED, INK, FAINT = "#2f7d4f", "#b3362c", "#222222", "#cccccc"


class Point:
    """One expectation: the factor by which it is missed, below 1 when it is met; per round, and their median."""

    def __init__(self, title, series):
        sign, limit, of = series.limit
        values = series.ratios() if of == "ratio" else series.values
        self.title, self.what, self.met = title, series.what.strip(), series.verdict() == "met"
        unit = " x" if of == "ratio" else f" {series.unit}" if series.unit else ""
        got = statistics.median(values)
        self.label = f"{number(got)}{unit} (expected {sign} {number(limit)}{unit})"
        self.factor = self._factor(sign, limit, got)
        spread = [self._factor(sign, limit, v) for v in values]
        self.least, self.most = min(spread), max(spread)

    @staticmethod
    def _factor(sign, limit, got):
        if sign == ">=":
            got, limit = limit, got
        return got / limit if limit else (1.0 if got <= 0 else math.inf)


def points(rows):
    return [Point(row.title, s) for row in rows for s in row.series if s.judged()]


def _x(factor):
    doublings = DOUBLINGS if factor == math.inf else math.log2(factor) if factor > 0 else -DOUBLINGS
    return LEFT + WIDE / 2 * (1 + max(-DOUBLINGS, min(DOUBLINGS, doublings)) / DOUBLINGS)


def _text(x, y, words, anchor="start", colour=INK):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(words)}</text>'


def _line(x1, y1, x2, y2, colour, wide=1):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="{wide}"/>'


def _axis(bottom):
    out = []
    for d in range(-DOUBLINGS, DOUBLINGS + 1):
        name = f"{2 ** d} x" if d >= 0 else f"1/{2 ** -d} x"
        out += [_line(_x(2.0 ** d), TOP, _x(2.0 ** d), bottom, INK if d == 0 else FAINT),
                _text(_x(2.0 ** d), TOP - 6, name, "middle")]
    return out


def _mark(p, y):
    colour = MET if p.met else MISSED
    at, one = _x(p.factor), _x(1.0)
    return [_text(LEFT - 10, y + 4, f"{p.title}: {p.what}"[:74], "end"),
            f'<rect x="{min(at, one):.1f}" y="{y - 6}" width="{max(abs(at - one), 1):.1f}" height="12" '
            f'fill="{colour}" fill-opacity="0.55"/>',
            _line(_x(p.least), y, _x(p.most), y, colour, 2), _line(at, y - 7, at, y + 7, colour, 3),
            _text(LEFT + WIDE + 10, y + 4, p.label, colour=colour)]


def as_svg(rows):
    """A line for each expectation: left of the middle it is met. Thin: the rounds; bar: their median."""
    found = points(rows)
    bottom = TOP + LINE * len(found) + 6
    wide, high = LEFT + WIDE + RIGHT, bottom + 10
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" width="{wide}" height="{high}" '
           'font-family="sans-serif" font-size="11">',
           f'<rect width="{wide}" height="{high}" fill="white"/>',
           _text(LEFT + WIDE / 2, 18, "measured over expected: better to the left, the middle is the expectation", "middle"),
           *_axis(bottom)]
    for i, p in enumerate(found):
        out += _mark(p, TOP + LINE * i + LINE // 2 + 4)
    return "\n".join(out + ["</svg>"]) + "\n"
