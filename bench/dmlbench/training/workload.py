"""How many images one trained trial takes: what a run will cost, before it starts."""

import numpy as np

from dmlbench.data.items import Data
from dmlbench.data.photos.pictures import StoredPhotos
from dmlbench.data.splits import hold_out_classes
from dmlbench.schemas.plan import Workload
from dmlbench.schemas.protocol import Protocol

CURVE_ITEMS = 500
"""Distances are measured on so many items of a split at most, the same every epoch."""


def workload(protocol: Protocol, data: Data) -> Workload | None:
    """Return what a trained trial of `protocol` takes on `data`; None without the split train.

    Args:
        protocol: resolved for the dataset.
        data: with the split ``train``, and ``test`` or ``query`` and ``gallery``.
    """
    if "train" not in data.splits:
        return None
    choices, length, size = protocol.validation, protocol.length, protocol.batch_size
    training = data.splits["train"]
    learning, held_out = hold_out_classes(
        training, choices.class_fraction, choices.min_classes, np.random.default_rng(0)
    )
    tested = [items for name, items in data.splits.items() if name != "train"]
    due = sum(choices.is_due(epoch, length.epochs) for epoch in range(length.epochs + 1))
    retrains = held_out is not None and choices.then == "retrain-all"
    curves = min(CURVE_ITEMS, len(learning))
    if not retrains:
        curves += min(CURVE_ITEMS, len(tested[0]))
    learnt = length.epochs * length.steps(len(learning), size) * size
    measured = due * (curves + (0 if held_out is None else len(held_out)))
    if retrains:
        learnt += length.epochs * length.steps(len(training), size) * size
        measured += due * min(CURVE_ITEMS, len(training))
    photos = training.inputs.store if isinstance(training.inputs, StoredPhotos) else None
    return Workload(
        learnt,
        measured,
        sum(map(len, tested)),
        protocol.frozen,
        items=sum(map(len, data.splits.values())),
        shape=tuple(training.inputs.shape[1:]),
        photo_bytes=photos.path.stat().st_size if photos else 0,
    )
