"""How near the cost that `--probe` tells is to what the run then takes, on this machine.

    python benchmarks/cost.py OUTPUT [--epochs 4]

For each of a few tables: `dmlbench run --dry-run --probe` in an empty folder, then the run itself,
and the processor's seconds that its records hold. The clock is not compared: other programs may
have the processor too.
"""

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tabulate import tabulate

TABLES = {
    "digits-closed": "triplet,contrastive,arcface,angular,magnet,xbm/contrastive,proxy-anchor",
    "glyphs": "triplet,contrastive,arcface,angular,magnet,xbm/contrastive,proxy-anchor",
}
BASELINES = "pixels,untrained,pca,lda"
_SECONDS = {"s": 1, "min": 60, "h": 3600, "days": 86400}
_TOLD = re.compile(r"^Time: about ([\d.]+) (\w+) of one core", re.MULTILINE)


def main() -> None:
    """Print a row for each table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("--epochs", type=int, help="in place of the protocol's")
    asked = parser.parse_args()
    rows = []
    for dataset, losses in TABLES.items():
        folder = asked.output / dataset
        run = ["--dataset", dataset, "--loss", losses, "--baseline", BASELINES, "--seeds", "1"]
        run += ["--output", str(folder), "--device", "cpu"]
        if asked.epochs:
            run += ["--set", f"protocol.length.epochs={asked.epochs}"]
        amount, unit = _TOLD.search(dmlbench(*run, "--dry-run", "--probe")).groups()
        told = float(amount) * _SECONDS[unit]
        dmlbench(*run)
        trials, taken = seconds(folder / "runs")
        rows.append([dataset, trials, round(told), round(taken), f"{told / taken:.2f}"])
    headings = ["table", "trials", "told, s", "taken, s", "told / taken"]
    print(tabulate(rows, headings, tablefmt="pipe"))


def dmlbench(*command: str) -> str:
    """Run ``dmlbench run`` and return what it prints."""
    whole: Sequence[str] = [sys.executable, "-m", "dmlbench", "run", *command]
    return subprocess.run(whole, check=True, capture_output=True, text=True).stdout


def seconds(runs: Path) -> tuple[int, float]:
    """Return how many records there are in a folder, and the processor's seconds of all."""
    found = [json.loads(path.read_text())["measurements"] for path in runs.glob("**/*.json")]
    return len(found), sum(each["cpu_seconds"] for each in found)


if __name__ == "__main__":
    main()
