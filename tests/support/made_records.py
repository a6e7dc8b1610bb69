"""Records as a run would leave them, made up from a seeded generator."""

from collections.abc import Callable
from hashlib import sha256
from typing import Any

import numpy as np
import pytest

from dmlbench.schemas.protocol import Protocol
from dmlbench.schemas.protocol_file import load_protocol
from dmlbench.schemas.record import Array, Distances, Epoch, Record
from dmlbench.schemas.trial import Part, Trial

MakeRecord = Callable[..., Record]

# Loss and miner with plausible means of Recall@1 and MAP@R on glyphs.
TRAINED = {
    ("multi-similarity", "multi-similarity"): (0.672, 0.318),
    ("contrastive", "all-pairs"): (0.661, 0.309),
    ("triplet", "semi-hard"): (0.652, 0.291),
    ("proxy-anchor", None): (0.668, 0.287),
    ("normalized-softmax", None): (0.643, 0.276),
    ("arcface", None): (0.587, 0.232),
    ("triplet", "batch-hard"): (0.331, 0.071),
    ("triplet", "random"): (0.341, 0.049),
}
BASELINES = {
    "pixels": (0.352, 0.061),
    "untrained": (0.243, 0.052),
    "pca": (0.36, 0.064),
    "lda": (0.402, 0.097),
}


def part(name: str, **fields: Any) -> Part:
    """Return a component of dmlbench, changed as `fields` say."""
    usual = {
        "reference": name,
        "distribution": "dmlbench",
        "version": "0.1.0",
        "source": sha256(name.encode()).hexdigest(),
    }
    return Part(name=name, **(usual | fields))


def record(
    loss: str | Part | None = "triplet",
    miner: str | Part | None = "random",
    *,
    baseline: str | Part | None = None,
    seed: int = 0,
    recall_at_1: float = 0.6,
    map_at_r: float = 0.3,
    dataset: str | Part = "glyphs",
    protocol: Protocol | None = None,
    fingerprint: str = "f" * 64,
    parts: dict[str, Part] | None = None,
    **fields: Any,
) -> Record:
    """Return the record of a trial; `parts` and `fields` replace what is made up."""
    chosen: dict[str, str | Part | None] = {"loss": loss, "miner": miner}
    chosen |= {"sampler": "m-per-class", "backbone": "small-conv"}
    if baseline is not None:
        chosen = {"baseline": baseline}
        if baseline == "untrained":
            chosen["backbone"] = "small-conv"
    own = {kind: _part(one) for kind, one in chosen.items() if one is not None} | (parts or {})
    trial = Trial(
        dataset=_part(dataset),
        fingerprint=fingerprint,
        protocol=protocol or load_protocol("small"),
        parts=own,
        seed=seed,
    )
    usual: dict[str, Any] = {"status": "finished"}
    if fields.get("status") != "failed":
        metrics = {
            "recall@1": recall_at_1,
            "recall@2": min(1.0, recall_at_1 + 0.09),
            "recall@4": min(1.0, recall_at_1 + 0.16),
            "recall@8": min(1.0, recall_at_1 + 0.22),
            "r_precision": map_at_r + 0.06,
            "map_at_r": map_at_r,
            "tied": 0.001,
        }
        details: dict[str, Any] = {"train_items": 5400, "test_items": 992, "lone_queries": 0}
        if baseline is None:
            details |= {"parameters": 61_234, "loss_parameters": 0, "reducer": "mean over non-zero"}
            details["own_lr"] = "1x"
        else:
            details["fit_items"] = 3000
        usual |= {
            "metrics": metrics,
            "last_epoch_metrics": metrics,
            "selected_epoch": 0 if baseline else 10,
            "selection": "best MAP@R on held-out classes",
            "epochs": _epochs(map_at_r) if baseline is None else [],
            "per_query": {"relevant": Array.pack(np.array([3, 3], dtype=np.int32))},
            "details": details,
        }
    usual |= {
        "settings": {"device": "cpu", "precision": "float32", "deterministic": True, "threads": 1},
        "versions": {"python": "3.12.4", "torch": "2.15.0", "numpy": "2.4.6", "dmlbench": "0.1.0"},
        "measurements": {"seconds": 4.0 + seed, "machine": "x86_64"},
    }
    return Record(id=trial.id, trial=trial, **(usual | fields))


def glyphs_run(seeds: int = 3) -> list[Record]:
    """Return the records of a whole run, one seed of which failed and one collapsed."""
    rng = np.random.default_rng(0)
    made = []
    for seed in range(seeds):
        for (loss, miner), (recall, mean) in TRAINED.items():
            noise = rng.normal(0, 0.008, 2)
            figures = {"recall_at_1": recall + noise[0], "map_at_r": mean + noise[1]}
            fields: dict[str, Any] = {}
            if (loss, miner, seed) == ("triplet", "batch-hard", 1):
                fields = {"collapsed": True}
                figures = {"recall_at_1": 0.0, "map_at_r": 0.0}
            if (loss, miner, seed) == ("arcface", None, 2):
                reason = "The loss became nan at epoch 3, step 7. Lower the learning rate."
                fields = {"status": "failed", "reason": reason}
            made.append(record(loss, miner, seed=seed, **figures, **fields))
        for baseline, (recall, mean) in BASELINES.items():
            noise = rng.normal(0, 0.004, 2) * (baseline == "untrained")
            figures = {"recall_at_1": recall + noise[0], "map_at_r": mean + noise[1]}
            made.append(record(baseline=baseline, seed=seed, **figures))
        broken = part("broken-loss", distribution="third-party", version="2.0", source="")
        reason = "The loss 'broken-loss' of third-party 2.0 can't be loaded: ImportError: no"
        made.append(record(broken, None, seed=seed, status="failed", reason=reason))
    return made


def _part(one: str | Part) -> Part:
    return part(one) if isinstance(one, str) else one


def _epochs(map_at_r: float) -> list[Epoch]:
    """Return distances that begin in a narrow cone and come apart, as those of real runs do."""
    epochs = []
    for epoch in range(11):
        learnt = 1 - np.exp(-epoch / 3)
        train = Distances(positive=0.02 + 0.15 * learnt, negative=0.035 + 0.85 * learnt)
        test = Distances(
            positive=0.02 + (0.55 - map_at_r / 2) * learnt, negative=0.03 + 0.7 * learnt
        )
        loss = None if epoch == 0 else float(np.exp(-epoch / 4))
        epochs.append(Epoch(epoch=epoch, loss=loss, distances={"train": train, "test": test}))
    return epochs


@pytest.fixture(name="part")
def _part_fixture() -> Callable[..., Part]:
    return part


@pytest.fixture(name="record")
def _record_fixture() -> MakeRecord:
    return record


@pytest.fixture
def glyphs_records() -> list[Record]:
    return glyphs_run()


@pytest.fixture
def cross_validated(record: MakeRecord) -> list[Record]:
    """Return records of iris: three deep linear rows and two baselines, scored by neighbours."""
    made = []
    for name, accuracy in {
        "contrastive": 0.96,
        "triplet": 0.94,
        "pixels": 0.973,
        "pca": 0.967,
    }.items():
        for seed in range(3):
            value = {"knn_accuracy": accuracy + 0.002 * seed * (name == "triplet")}
            which = {"baseline": name} if name in BASELINES else {"loss": name, "miner": None}
            fields = {"metrics": value, "last_epoch_metrics": value, "selection": "last epoch"}
            vectors = load_protocol("vectors")
            made.append(record(**which, seed=seed, dataset="iris", protocol=vectors, **fields))
    return made
