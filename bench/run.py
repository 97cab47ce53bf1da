#!/usr/bin/python3
"""Measures the programs of this build against real peers and prints one table.

    make bench                                 everything, five rounds
    make bench BENCH_FLAGS="--rows idle,protocol --rounds 3"

See bench/README.md for what each row is. Exit code: 0, also when an expectation is
missed; 1 when something could not be measured.
"""
import argparse
import os
import sys
import tempfile
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "tests", "system")]

from measure import (agent_rows, archive_rows, emulator_rows, history_rows, machine, many_rows, s3_rows,  # noqa: E402
                     transfer_rows)
from measure.plot import as_svg  # noqa: E402
from measure.scene import Scene  # noqa: E402
from measure.table import as_markdown, as_text  # noqa: E402

ROWS = {**agent_rows.ROWS, **archive_rows.ROWS, **transfer_rows.ROWS, **many_rows.ROWS, **emulator_rows.ROWS,
        **history_rows.ROWS, **s3_rows.ROWS}
UNASKED = [name for name in ROWS if name != "long"]


class Plan:
    """How much is measured."""

    def __init__(self, rounds, scale, noise):
        self.rounds, self.scale, self.noise = rounds, scale, noise

    def n(self, count):
        return max(10, int(count * self.scale))


def arguments():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0], formatter_class=argparse.RawTextHelpFormatter,
                                epilog="rows:\n" + "\n".join(f"  {k:<12}{v.__doc__}" for k, v in ROWS.items()))
    p.add_argument("--rows", default=",".join(UNASKED), help="which, separated by commas (default: all but long)")
    p.add_argument("--rounds", type=int, default=5, help="samples of each (default 5)")
    p.add_argument("--scale", type=float, default=1.0, help="of the numbers of jobs; 0.1 to try things out")
    p.add_argument("--cpu", type=int, default=0, help="the CPU that endpoint and workers share (default 0)")
    p.add_argument("--patience", type=float, default=60,
                   help="seconds to wait for a quiet moment before each sample (default 60)")
    p.add_argument("--dir", help="where state and data directories are made (default: $TMPDIR or /tmp)")
    p.add_argument("--markdown", metavar="FILE", help="write the table there, too")
    p.add_argument("--plot", metavar="FILE", help="write a picture (SVG) of what has an expectation there")
    a = p.parse_args()
    unknown = set(a.rows.split(",")) - set(ROWS)
    if unknown:
        p.error(f"no such row: {', '.join(sorted(unknown))}")
    return a


def measure(names, plan, cpu):
    rows, failed = [], 0
    for name in names:
        print(f"bench: {name} ...", file=sys.stderr, flush=True)
        try:
            with Scene(cpu) as scene:
                rows += ROWS[name](scene, plan)
        except Exception:
            failed += 1
            traceback.print_exc()
    return rows, failed


def main():
    a = arguments()
    tempfile.tempdir = a.dir
    others = sorted(os.sched_getaffinity(0) - {a.cpu})
    if others:
        os.sched_setaffinity(0, others)  # the driver keeps out of the way
    noise = machine.Noise(a.patience)
    facts = machine.facts() + [("load before", open("/proc/loadavg").read().strip())]
    rows, failed = measure(a.rows.split(","), Plan(a.rounds, a.scale, noise), a.cpu)
    facts.append(("noise", noise.text()))
    facts.append(("placement", f"endpoint and workers pinned to CPU {a.cpu}, the driver elsewhere; {a.rounds} rounds"))
    for name, value in facts:
        print(f"{name + ':':<13}{value}")
    print()
    print(as_text(rows))
    if a.markdown:
        with open(a.markdown, "w") as f:
            f.write("\n".join(f"- {name}: {value}" for name, value in facts) + "\n\n" + as_markdown(rows) + "\n")
    if a.plot:
        with open(a.plot, "w") as f:
            f.write(as_svg(rows))
    sys.exit(1 if failed else 0)


main()
