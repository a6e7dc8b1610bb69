r"""How far test metrics move when the last bits of sums do: the same trials on another platform.

    ATEN_CPU_CAPABILITY=avx2 OPENBLAS_CORETYPE=Haswell MKL_ENABLE_INSTRUCTIONS=AVX2 \
        python benchmarks/platforms.py leaderboards/runs/glyphs/small/*-seed1-*.json

On a processor with AVX-512, these variables select the arithmetic of one without. The trials of the
records run again, and a table shows by how many points each test metric moved. The numbers in
docs/records.md and `dmlbench.audit.reproduce.TOLERANCE` come from here.
"""

import argparse
from pathlib import Path

import numpy as np
from tabulate import tabulate

from dmlbench.audit.reproduce import compare_records
from dmlbench.components.catalogue import Catalogue
from dmlbench.components.workplace import Workplace
from dmlbench.compute.device import pick_device
from dmlbench.storage.record_store import read_record
from dmlbench.trials.run_trial import run_trial


def main() -> None:
    """Run the trials of the records named on the command line again and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("records", nargs="+", type=Path)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--device", default="cpu")
    asked = parser.parse_args()
    workplace = Workplace(Catalogue.discover(), asked.data_dir, pick_device(asked.device))
    moved: dict[tuple[str, str, str], list[float]] = {}
    for path in asked.records:
        record = read_record(path)
        found = compare_records(record, run_trial(record.trial, workplace))
        if found.again.status != "finished":
            print(f"left out: {record.trial}: {found.again.reason}")
            continue
        kind = "baselines" if "baseline" in record.trial.parts else "trained"
        for name, value in record.metrics.items():
            apart = 100 * abs(found.again.metrics[name] - value)
            moved.setdefault((str(record.trial.dataset), kind, name), []).append(apart)
    lines = [
        [*key, len(values), np.median(values), np.quantile(values, 0.9), max(values)]
        for key, values in moved.items()
    ]
    headings = ["dataset", "rows", "metric", "trials", "median", "90 %", "most"]
    print(tabulate(lines, headings, tablefmt="github", floatfmt=".2f"))


if __name__ == "__main__":
    main()
