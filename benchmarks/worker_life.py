"""What a worker's memory does over many trials, and what the check between two trials costs.

    python benchmarks/worker_life.py [TRIALS]

Trains three losses for two steps each, on one seed after the other, in one worker process.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import psutil

import dmlbench
from dmlbench.compute.left_changed import change_noted
from dmlbench.executors.local import Local
from dmlbench.executors.worker import run_in_worker

LOSSES = ("contrastive", "triplet", "proxy-anchor")
SHORT = {"protocol.length.epochs": 1, "protocol.length.steps_per_epoch": 2}
ROUNDS = 200


def main() -> None:
    """Print the worker's memory after every tenth of the trials, and the cost of the check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trials", type=int, nargs="?", default=500)
    wanted = parser.parse_args().trials
    plan = dmlbench.plan(
        "digits-closed",
        losses=LOSSES,
        baselines="none",
        seeds=-(-wanted // len(LOSSES)),
        settings=SHORT,
        progress=False,
    )
    trials = sorted(plan.trials, key=lambda trial: trial.seed)[:wanted]
    held: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        settings = dmlbench.WorkerSettings(Path(folder), device="cpu")
        for event in Local(jobs=1).run(run_in_worker, iter(trials), settings):
            if event.record is not None:
                assert event.record.status == "finished", event.record.reason
                (worker,) = psutil.Process().children()
                held.append(worker.memory_info().rss / 2**20)
        run_in_worker(trials[0], settings, lambda event: None)  # import here what a worker imports
    print(f"{len(held)} trials in one worker")
    step = max(len(held) // 10, 1)
    for done in (1, step // 5 or 1, *range(step, len(held) + 1, step)):
        print(f"after {done:4}: {held[done - 1]:7.1f} MiB")
    print(f"growth from the first to the last: {held[-1] / held[0] - 1:.2%}")
    costs = []
    for _ in range(ROUNDS):
        began = time.process_time()
        with change_noted():
            pass
        costs.append(1000 * (time.process_time() - began))
    quartiles = statistics.quantiles(costs, n=4)
    print(f"check: median {quartiles[1]:.1f} ms of processor time, quarter over {quartiles[2]:.1f}")


if __name__ == "__main__":
    main()
