#!/usr/bin/python3
"""kill -9 at random moments with jobs in flight; the full number of rounds is `make soak`.

MH_SEED repeats a run, MH_ROUNDS says how many rounds, MH_FIRST the first of them, MH_JOBS how many jobs are in
flight. A round that fails says its seed and number and keeps its directory.
"""
import os
import random
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh.programs import EMULATOR  # noqa: E402
from mh.tap import run, skip, story  # noqa: E402

SEED = int(os.environ.get("MH_SEED") or random.SystemRandom().randrange(1 << 32))
ROUNDS = int(os.environ.get("MH_ROUNDS") or 24)
FIRST = int(os.environ.get("MH_FIRST") or 0)
JOBS = int(os.environ.get("MH_JOBS") or 4)
ROUNDS_IN_A_PLACE = 25  # then logs and databases begin anew


@story
def over_random_kills_nothing_is_lost_run_twice_reported_twice_or_stuck():
    if not os.path.exists(EMULATOR):
        skip("built without the emulator")
    from mh.soak import Soak

    print(f"# seed {SEED}, {ROUNDS} rounds with {JOBS} jobs in flight", flush=True)
    number, end = FIRST, FIRST + ROUNDS
    while number < end:
        with Soak(SEED, JOBS) as soak:
            try:
                for number in range(number, min(number + ROUNDS_IN_A_PLACE, end)):
                    soak.round(number)
            except BaseException:
                os.environ["MH_KEEP"] = "1"
                print(f"# MH_SEED={SEED} MH_FIRST={number} MH_ROUNDS=1 MH_JOBS={JOBS}: {' '.join(soak.happened)}", flush=True)
                raise
            print(f"# {number + 1 - FIRST} rounds, {soak.lives} lives", flush=True)
        number += 1


run()
