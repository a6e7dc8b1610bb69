"""Writes the timings that ship with dmlbench from the published records.

    python benchmarks/make_timings.py

A run says with them what it will take where the output folder has no records of the same rows. Of a
table that is in several folders of records, the one with more rows counts, of equal ones the first.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

from dmlbench.components.catalogue import Catalogue
from dmlbench.components.composition import make
from dmlbench.planning.measured import measured, once_apart
from dmlbench.planning.timings import TimedTable
from dmlbench.schemas.record import Record
from dmlbench.storage.record_store import Store
from dmlbench.training.operations import network_size
from dmlbench.training.workload import CURVE_ITEMS

ROOT = Path(__file__).parents[1]
FOLDERS = ("leaderboards/next/runs", "leaderboards/runs")
FILE = ROOT / "bench/dmlbench/planning/timings.toml"
HEAD = """\
# Made by benchmarks/make_timings.py from the published records. Seconds are of the processor where
# records have them, else of the clock, and the median over seeds.
"""


def main() -> None:
    """Write the file."""
    best: dict[tuple[str, str], tuple[int, TimedTable]] = {}
    for folder in FOLDERS:
        for table in tables(ROOT / folder):
            rows = len(table.rows) + len(table.baselines)
            key = table.dataset, table.protocol
            if key not in best or best[key][0] < rows:
                best[key] = rows, table
    FILE.write_text(HEAD + "".join(toml(table) for _, (_, table) in sorted(best.items())))


def tables(folder: Path) -> Iterator[TimedTable]:
    """Yield the tables of the records in `folder`."""
    records: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in Store(folder).read_all()[0]:
        if record.status == "finished":
            records[str(record.trial.dataset), record.trial.protocol.name].append(record)
    for _, some in sorted(records.items()):
        yield timed(some)


def timed(records: Sequence[Record]) -> TimedTable:
    """Return the timings of the records of one table."""
    found = defaultdict(list)
    for record in records:
        taken = measured(record.measurements, record.settings["device"])
        if taken:
            kind = "rows" if "loss" in record.trial.parts else "baselines"
            found[kind, record.trial.label].append(taken)
    first = next((r for r in records if "loss" in r.trial.parts), records[0])
    protocol, details = first.trial.protocol, first.details
    apart = once_apart(found) if protocol.frozen else found
    seconds = {row: round(median(t.seconds for t in some), 3) for row, some in apart.items()}
    every = [one for some in apart.values() for one in some]
    tested = details["test_items"] + details.get("gallery_items", 0)
    validated = details.get("validation_items")
    training = details.get("train_items", 0)
    passes = 0
    if validated is not None:
        due = sum(
            protocol.validation.is_due(epoch, protocol.length.epochs)
            for epoch in range(protocol.length.epochs + 1)
        )
        steps = protocol.length.epochs * protocol.length.steps(training, protocol.batch_size)
        curves = min(CURVE_ITEMS, training) + min(CURVE_ITEMS, details["test_items"])
        passes = 3 * steps * protocol.batch_size + due * (curves + validated) + tested
    return TimedTable(
        dataset=str(first.trial.dataset),
        protocol=protocol.name,
        backbone=backbone_name(first),
        processor=processor(first),
        device=first.settings["device"],
        frozen=protocol.frozen,
        passes=passes,
        items=training + (validated or 0) + tested,
        gflops=round(gflops(first), 4) if passes else 0.0,
        memory_mib=max(one.memory_mib for one in every),
        once=round(max(one.once for one in every), 1) if protocol.frozen else 0.0,
        rows={label: s for (kind, label), s in seconds.items() if kind == "rows"},
        baselines={label: s for (kind, label), s in seconds.items() if kind == "baselines"},
    )


def processor(record: Record) -> str:
    """Return what a record was made on, as far as it tells."""
    name, kernels = record.settings.get("processor"), record.settings["cpu"]
    return f"{name}, {kernels}" if name else f"a processor with {kernels}"


def backbone_name(record: Record) -> str:
    """Return the backbone of a trial, or the one that its protocol names."""
    part = record.trial.parts.get("backbone")
    return part.name if part else record.trial.protocol.backbone


def gflops(record: Record) -> float:
    """Return the operations of a trial's backbone for one item, in billions; 0 of vectors."""
    protocol = record.trial.protocol
    backbone = make(Catalogue.discover(), "backbone", protocol.backbone, protocol.backbone_settings)
    if backbone.modality != "image":
        return 0.0
    side = protocol.image_size if is_of_photos(record) else SIDES[record.trial.dataset.name]
    channels = backbone.image_format().channels or 1
    return network_size(backbone, (channels, side, side)).operations / 1e9


SIDES = {"digits": 8, "digits-closed": 8, "glyphs": 20, "mnist": 28}
"""Of the sets whose images are no photos: no record tells."""


def is_of_photos(record: Record) -> bool:
    """Return whether the images of a trial were cut to squares as its protocol says."""
    return record.trial.dataset.name not in SIDES


def toml(table: TimedTable) -> str:
    """Return a table of the file."""
    values = table.model_dump()
    inner = {name: values.pop(name) for name in ("rows", "baselines")}
    lines = ["", "[[tables]]"]
    lines += [f"{name} = {json.dumps(value)}" for name, value in values.items()]
    for name, rows in inner.items():
        if rows:
            lines += ["", f"[tables.{name}]"]
            lines += [f"{json.dumps(label)} = {seconds}" for label, seconds in rows.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
