"""Run one grid by several drivers at one time, in one folder, and see that they share the work.

Each trial must start once, all drivers together, and records and tables must be those of a single
run, but for times.

    python -m benchmarks.together --drivers 8
"""

import argparse
import gc
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.kills import Fork, compare, drive, make_plan, run_here

import dmlbench


def main() -> None:
    """Print what the drivers did, and exit with 1 if a trial was run twice or differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--drivers", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=10, help="four trials each")
    options = parser.parse_args()
    plan = make_plan(options.seeds)
    with TemporaryDirectory() as scratch:
        alone, together = Path(scratch, "alone"), Path(scratch, "together")
        dmlbench.publish(run_here(plan, alone), alone / "leaderboards")
        together.mkdir()
        gc.freeze()
        began = time.monotonic()
        drivers = [Fork(lambda: drive(plan, together)) for _ in range(options.drivers)]
        codes = [driver.wait() for driver in drivers]
        seconds = time.monotonic() - began
        starts = Counter((together / "starts").read_text().split())
        faults = [f"{trial.id} was started {starts[trial.id]} times" for trial in plan.trials]
        faults = [fault for fault in faults if not fault.endswith(" 1 times")]
        faults += [f"a driver ended with {code}" for code in codes if code]
        faults += compare(together, alone)
    print(f"{options.drivers} drivers with two workers each, {len(plan.trials)} trials: ", end="")
    print(f"{sum(starts.values())} starts, {seconds:.0f} s, {len(faults)} faults")
    for fault in faults:
        print(f"- {fault}")
    raise SystemExit(bool(faults))


if __name__ == "__main__":
    main()
