"""How near the cost that a run tells is to what it takes.

    python benchmarks/cost.py OUTPUT [--epochs 4]

First the published tables: what their first seed alone tells of all of them. Then, for two tables,
`dmlbench run --dry-run --probe` in an empty folder, the run itself, and the processor's seconds
that its records hold. The clock is not compared: other programs may have the processor too.
"""

import argparse
import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from tabulate import tabulate

from dmlbench.components.catalogue import Catalogue
from dmlbench.planning.cost import estimate
from dmlbench.planning.measured import measured_before
from dmlbench.planning.timings import Scaled
from dmlbench.schemas.plan import Plan
from dmlbench.schemas.record import Record
from dmlbench.storage.record_store import Store

PUBLISHED = Path(__file__).parents[1] / "leaderboards/runs"
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
    headings = ["table", "trials", "told, s", "taken, s", "told / taken"]
    print(tabulate(list(from_one_seed()), headings, tablefmt="pipe"), "\n")
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
    print(tabulate(rows, headings, tablefmt="pipe"))


def from_one_seed() -> Iterator[list[object]]:
    """Yield a row for each published table, of what its first seed tells of all its seeds."""
    tables: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in Store(PUBLISHED).read_all()[0]:
        if record.status == "finished":
            tables[str(record.trial.dataset), record.trial.protocol.name].append(record)
    for name, records in sorted(tables.items()):
        first = [record for record in records if record.trial.seed == 0]
        plan = Plan(tuple(record.trial for record in records))
        found = measured_before(plan.trials, Store(Path("none")), first, "cpu")
        cost = estimate(plan, plan.trials, found, Scaled("none", ""), Catalogue.discover())
        told = cost.total
        if records[0].trial.protocol.frozen:  # the first seed has computed the features
            told += sum(one.once for some in found.values() for one in some)
        taken = sum(record.seconds for record in records)
        table = f"{name[0]}, {name[1]}"
        yield [table, len(records), round(told), round(taken), f"{told / taken:.2f}"]


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
