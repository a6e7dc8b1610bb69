"""What `dmlbench publish` costs on many records, and whether its bytes repeat.

    python benchmarks/publish.py [--tables 8 --rows 50 --seeds 25 --classes 54 --items 864]
    python benchmarks/publish.py --tables 1 --rows 41 --seeds 5 --classes 11316 --items 60502

The second line is a table of Stanford Online Products. The script writes made-up records, as
plausible as those of a run, to a folder: epochs, distances, and rankings that are in part the same
for all seeds. Then it runs `dmlbench publish` twice as a whole process. Nothing here is a test: the
figures depend on the machine. `--folder` keeps the records, to compare two versions of dmlbench.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from dmlbench.schemas.protocol import Protocol
from dmlbench.schemas.protocol_file import load_protocol
from dmlbench.schemas.record import Array, Distances, Epoch, Record
from dmlbench.schemas.trial import Part, Trial
from dmlbench.storage.record_store import Store

EPOCHS = 8
BASELINES = ("pixels", "untrained", "pca", "lda", "nca")
MINERS = ("all-pairs", "semi-hard", "distance-weighted")


def records(tables: int, rows: int, seeds: int, classes: int, items: int) -> Iterator[Record]:
    """Yield the records of `tables` datasets with `rows` rows of `seeds` seeds each."""
    protocol = load_protocol("small")
    for table in range(tables):
        rng = np.random.default_rng(table)
        sizes = 2 + rng.multinomial(items - 2 * classes, np.full(classes, 1 / classes))
        labels = np.repeat(np.arange(classes, dtype=np.int32), sizes)
        shared = Array.pack(labels), Array.pack((sizes[labels] - 1).astype(np.int32))
        ease = rng.normal(0, 0.6, classes)[labels] + rng.normal(0, 0.8, items)
        for row in range(rows):
            level = -0.5 if row < len(BASELINES) else rng.uniform(0.6, 1.0)
            own_ease = ease + level + rng.normal(0, 0.3, items)
            for seed in range(seeds):
                ranked = Ranked.made_up(rng, own_ease + rng.normal(0, 0.02), sizes[labels] - 1)
                yield _record(table, row, seed, protocol, shared, ranked)


@dataclass(frozen=True)
class Ranked:
    """The best-ranked items of every query."""

    found: np.ndarray
    """Whether the item at each of the first R ranks is a positive ``[Q, max R]``."""
    relevant: np.ndarray
    """R ``[Q]``."""
    best_rank: np.ndarray
    """``[Q]``, from 1."""

    @classmethod
    def made_up(cls, rng: np.random.Generator, ease: np.ndarray, relevant: np.ndarray) -> "Ranked":
        """Draw rankings: easy queries find a positive more often, and early ranks hold more."""
        ranks = np.arange(relevant.max())
        scores = 0.5 + 1.5 * ease[:, None] - 0.4 * ranks
        found = rng.random(scores.shape) < 1 / (1 + np.exp(-scores))
        found &= ranks < relevant[:, None]
        later = relevant + np.ceil(rng.lognormal(2.5, 2, len(relevant)))
        best_rank = np.where(found.any(axis=1), found.argmax(axis=1) + 1, later)
        return cls(found, relevant, best_rank.astype(np.int32))

    def per_query(self) -> dict[str, np.ndarray]:
        """Return what a record keeps by query, but for what all records share."""
        hits = self.found.cumsum(axis=1)
        precision = hits / np.arange(1, self.found.shape[1] + 1)
        average = (precision * self.found).sum(axis=1) / self.relevant
        return {
            "best_rank": self.best_rank,
            "hits": hits[:, -1].astype(np.int32),
            "average_precision": average.astype(np.float32),
        }

    def metrics(self, per_query: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Return the means over queries."""
        values = {f"recall@{k}": self.best_rank <= k for k in (1, 2, 4, 8)}
        values["r_precision"] = per_query["hits"] / self.relevant
        values["map_at_r"] = per_query["average_precision"].astype(np.float64)
        return {name: float(value.mean()) for name, value in values.items()} | {"tied": 0.001}


def _record(
    table: int,
    row: int,
    seed: int,
    protocol: Protocol,
    shared: tuple[Array, Array],
    ranked: Ranked,
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
    per_query = ranked.per_query()
    metrics = ranked.metrics(per_query)
    epochs = [_epoch(epoch, metrics["map_at_r"]) for epoch in range(EPOCHS + 1)]
    return Record(
        id=trial.id,
        trial=trial,
        status="finished",
        metrics=metrics,
        last_epoch_metrics=metrics,
        selected_epoch=EPOCHS,
        selection="best MAP@R on held-out classes",
        epochs=[] if "baseline" in parts else epochs,
        per_query=dict(zip(("class", "relevant"), shared, strict=True))
        | {name: Array.pack(values) for name, values in per_query.items()},
        details={
            "train_items": 848,
            "test_items": len(ranked.relevant),
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


def publish(runs: Path, output: Path) -> str:
    """Run `dmlbench publish` and return what it cost."""
    command = [sys.executable, "-m", "dmlbench", "publish", "--runs", runs, "--output", output]
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        raise SystemExit("dmlbench publish failed")
    return (
        f"{used.ru_utime + used.ru_stime:.1f} s of CPU, {seconds:.1f} s, "
        f"peak {used.ru_maxrss / 1024:.0f} MiB"
    )


def main() -> None:
    """Print what two runs cost and whether they wrote the same."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tables", type=int, default=8)
    parser.add_argument("--rows", type=int, default=50)
    parser.add_argument("--seeds", type=int, default=25)
    parser.add_argument("--classes", type=int, default=54)
    parser.add_argument("--items", type=int, default=864)
    parser.add_argument("--folder", type=Path, help="where records are kept for another run")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        runs = folder / "runs"
        if not runs.exists():
            store = Store(runs)
            shape = (options.tables, options.rows, options.seeds, options.classes, options.items)
            start = time.process_time()
            number = len([store.write(record) for record in records(*shape)])
            print(f"made in {(time.process_time() - start) / number:.2f} s of CPU each")
        files = sorted(runs.rglob("*.json"))
        size = sum(file.stat().st_size for file in files)
        print(f"{len(files):,} records of {size / len(files) / 1000:.1f} kB")
        outputs = [folder / name for name in ("first", "second")]
        for output in outputs:
            print(f"publish: {publish(runs, output)}")
        same = contents(outputs[0]) == contents(outputs[1])
        print("the same bytes twice" if same else "OTHER BYTES the second time")


if __name__ == "__main__":
    main()
