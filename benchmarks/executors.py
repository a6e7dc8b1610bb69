"""Measure what executors cost: trials that do nothing, and two worker processes against one.

python benchmarks/executors.py
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from tabulate import tabulate
from turns import describe_machine

import dmlbench
from dmlbench import Executor, Local, Task, Trial, WorkerSettings
from dmlbench.executors.inline import Inline
from dmlbench.executors.worker import run_in_worker
from dmlbench.testing.quick_trials import quick_task
from dmlbench.testing.quick_trials import trials as empty_trials
from dmlbench_executors.ray import Ray

PAGE = Path(__file__).parents[1] / "docs" / "measurements" / "executors.md"
WAYS: dict[str, Callable[[], Executor]] = {
    "`inline`": Inline,
    "`local`, 1 worker": lambda: Local(jobs=1),
    "`local`, 2 workers": lambda: Local(jobs=2),
    "`ray`, 1 worker": lambda: Ray(address="local", jobs=1),
    "`ray`, 2 workers": lambda: Ray(address="local", jobs=2),
}
SHORT = {"protocol.length.epochs": 1}


def ends(executor: Executor, task: Task, trials: Iterator[Trial]) -> tuple[float, list[float]]:
    """Return when the first event came, and when each trial ended, in seconds since the start."""
    began, first, ended = time.perf_counter(), 0.0, []
    with TemporaryDirectory() as folder:
        for event in executor.run(task, trials, WorkerSettings(Path(folder), device="cpu")):
            now = time.perf_counter() - began
            first = first or now
            if event.is_last:
                assert event.kind == "finished", event.reason
                ended.append(now)
    return first, ended


def per_trial(ended: list[float], warm: int) -> float:
    """Return the seconds from one end to the next, without the first `warm` trials."""
    return (ended[-1] - ended[warm - 1]) / (len(ended) - warm)


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=1_000, help="that do nothing")
    parser.add_argument("--trained", type=int, default=20, help="trials that train")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=PAGE, help="markdown file to write")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    made = [trial for trial, _ in zip(empty_trials(), range(options.trials), strict=False)]
    starts: dict[str, list[float]] = {name: [] for name in WAYS}
    costs: dict[str, list[float]] = {name: [] for name in WAYS}
    plan = dmlbench.plan(
        "digits-closed",
        losses="contrastive",
        baselines="none",
        seeds=options.trained,
        settings=SHORT,
        progress=False,
    )
    trained: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(options.repeats):
        for name, make in WAYS.items():
            first, ended = ends(make(), quick_task, iter(made))
            starts[name].append(first)
            costs[name].append(per_trial(ended, 10))
            print(f"{name}: {first:.2f} s, then {1000 * costs[name][-1]:.2f} ms each", flush=True)
        for jobs, found in trained.items():
            _, ended = ends(Local(jobs=jobs), run_in_worker, iter(plan.trials))
            found.append(per_trial(ended, 2 * jobs))
            print(f"{jobs} workers: {found[-1]:.2f} s a trial", flush=True)
    ratios = [one / two for one, two in zip(trained[1], trained[2], strict=True)]
    rows = [[name, median(starts[name]), 1000 * median(costs[name])] for name in WAYS]
    rates = [[jobs, f"{60 / median(found):.0f}"] for jobs, found in trained.items()]
    overhead = tabulate(rows, ["executor", "start, s", "a trial, ms"], "github", floatfmt=".2f")
    page = (
        "# What executors cost\n\n"
        f"Made by `benchmarks/executors.py`: medians of {options.repeats} turns, in which all take "
        f"their turn. {describe_machine(('torch', 'ray'), load)} The machine was shared with other "
        "work, which slows what needs several processes most.\n\n"
        f"## {options.trials:,} trials that do nothing\n\n"
        "Each reports that it started and two epochs, and writes a line to a file. "
        "*Start* is the time to the first event: worker processes start, and for `ray` a cluster "
        "on this machine. *A trial* is the time from one end to the next.\n\n"
        f"{overhead}\n\n"
        "## Trials that train\n\n"
        f"{options.trained} trials of `contrastive` on `digits-closed`, one epoch each, once all "
        "workers have had two.\n\n"
        f"{tabulate(rates, ['workers of `local`', 'trials a minute'], 'github')}\n\n"
        f"Two workers do {median(ratios):.2f} times the work of one "
        f"({min(ratios):.2f} to {max(ratios):.2f} in the turns). Turns that differ much say that "
        "other work had the cores meanwhile: then only a quiet machine can tell.\n"
    )
    options.out.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
