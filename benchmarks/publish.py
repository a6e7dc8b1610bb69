"""How long `dmlbench publish` takes on many records, and whether its bytes repeat.

    python benchmarks/publish.py [--tables 8 --rows 50 --seeds 25]

It writes made-up records, as plausible as those of a run (epochs, distances, per-query results of
54 classes of 16 items), to a folder. Then it runs `dmlbench publish` twice as a whole process, and
times parts of it in this process. Nothing here is a test: the times depend on the machine.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import numpy as np

from dmlbench.schemas.protocol import Protocol
from dmlbench.schemas.protocol_file import load_protocol
from dmlbench.schemas.record import Array, Distances, Epoch, Record
from dmlbench.schemas.trial import Part, Trial
from dmlbench.storage.record_store import Store

CLASSES, PER_CLASS, EPOCHS = 54, 16, 8
BASELINES = ("pixels", "untrained", "pca", "lda", "nca")
MINERS = ("all-pairs", "semi-hard", "distance-weighted")


def records(tables: int, rows: int, seeds: int) -> Iterator[Record]:
    """Yield the records of `tables` datasets with `rows` rows of `seeds` seeds each."""
    protocol = load_protocol("small")
    labels = np.repeat(np.arange(CLASSES), PER_CLASS)
    for table in range(tables):
        rng = np.random.default_rng(table)
        blocks = rng.normal(0, 0.004, seeds)
        for row in range(rows):
            level = 0.1 if row < len(BASELINES) else rng.uniform(0.2, 0.4)
            by_class = np.clip(rng.normal(level, 0.08, CLASSES), 0.01, 0.99)
            for seed in range(seeds):
                noise = blocks[seed] + rng.normal(0, 0.006)
                precision = rng.beta(2, 2 / np.clip(by_class[labels] + noise, 0.02, 0.98) - 2)
                yield _record(table, row, seed, protocol, labels, precision.astype(np.float32))


def _record(
    table: int, row: int, seed: int, protocol: Protocol, labels: np.ndarray, precision: np.ndarray
) -> Record:
    if row < len(BASELINES):
        parts = {"baseline": _part(BASELINES[row])}
    else:
        names = {"loss": f"loss-{row:02}", "miner": MINERS[row % len(MINERS)]}
        names |= {"sampler": "m-per-class", "backbone": "small-conv"}
        parts = {kind: _part(name) for kind, name in names.items()}
    data = f"made-up-{table}"
    trial = Trial(
        dataset=_part(data),
        fingerprint=sha256(data.encode()).hexdigest(),
        protocol=protocol,
        parts=parts,
        seed=seed,
    )
    mean = float(precision.mean(dtype=np.float64))
    metrics = {f"recall@{k}": min(1.0, mean + 0.3 + 0.06 * i) for i, k in enumerate((1, 2, 4, 8))}
    metrics |= {"r_precision": min(1.0, mean + 0.06), "map_at_r": mean, "tied": 0.001}
    relevant = np.full(len(labels), PER_CLASS - 1, dtype=np.int32)
    hits = np.minimum(relevant, (precision * PER_CLASS).astype(np.int32))
    return Record(
        id=trial.id,
        trial=trial,
        status="finished",
        metrics=metrics,
        last_epoch_metrics=metrics,
        selected_epoch=EPOCHS,
        selection="best MAP@R on held-out classes",
        epochs=[] if "baseline" in parts else [_epoch(epoch, mean) for epoch in range(EPOCHS + 1)],
        per_query={
            "class": Array.pack(labels.astype(np.int32)),
            "relevant": Array.pack(relevant),
            "best_rank": Array.pack((1 + 40 * (1 - precision) ** 4).astype(np.int32)),
            "hits": Array.pack(hits),
            "average_precision": Array.pack(precision),
        },
        details={
            "train_items": 848,
            "test_items": len(labels),
            "lone_queries": 0,
            "parameters": 72_352,
            "loss_parameters": 0,
            "reducer": "mean over non-zero",
            "own_lr": "50x",
        },
        settings={"device": "cpu", "precision": "float32", "deterministic": True, "threads": 1},
        versions={"python": "3.12.4", "torch": "2.15.0", "numpy": "2.4.6", "dmlbench": "0.1.0"},
        measurements={"seconds": 4.0 + seed / 10, "machine": "x86_64"},
    )


def _part(name: str) -> Part:
    return Part(
        reference=name,
        name=name,
        distribution="dmlbench",
        version="0.1.0",
        source=sha256(name.encode()).hexdigest(),
    )


def _epoch(epoch: int, mean: float) -> Epoch:
    learnt = 1 - np.exp(-epoch / 3)
    train = Distances(positive=0.02 + 0.15 * learnt, negative=0.035 + 0.85 * learnt)
    test = Distances(positive=0.02 + (0.55 - mean / 2) * learnt, negative=0.03 + 0.7 * learnt)
    loss = float(np.exp(-epoch / 4)) if epoch else None
    distances = {"train": train, "test": test}
    return Epoch(epoch=epoch, loss=loss, distances=distances, validation={"map_at_r": mean})


def contents(folder: Path) -> dict[str, bytes]:
    """Return what is in the files of `folder`."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def main() -> None:
    """Print the seconds of two runs and whether they wrote the same."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tables", type=int, default=8)
    parser.add_argument("--rows", type=int, default=50)
    parser.add_argument("--seeds", type=int, default=25)
    parser.add_argument("--folder", type=Path, help="where records are kept for another run")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        runs = folder / "runs"
        if not runs.exists():
            store = Store(runs)
            for record in records(options.tables, options.rows, options.seeds):
                path = store.path(record.trial)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(record.to_json() + "\n")
        files = sorted(runs.rglob("*.json"))
        size = sum(file.stat().st_size for file in files)
        print(f"{len(files):,} records of {size / len(files) / 1000:.1f} kB")
        script = Path(sys.executable).parent / "dmlbench"
        outputs = [folder / name for name in ("first", "second")]
        for output in outputs:
            start = time.perf_counter()
            command = [script, "publish", "--runs", runs, "--output", output]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            print(f"publish: {time.perf_counter() - start:.1f} s")
        same = contents(outputs[0]) == contents(outputs[1])
        print("the same bytes twice" if same else "OTHER BYTES the second time")


if __name__ == "__main__":
    main()
