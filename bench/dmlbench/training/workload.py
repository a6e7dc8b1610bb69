"""How many images one trained trial takes: what a run will cost, before it starts."""

from dataclasses import dataclass

import numpy as np

from dmlbench.data.items import Data
from dmlbench.data.splits import hold_out_classes
from dmlbench.schemas.protocol import Protocol

CURVE_ITEMS = 500
"""Distances are measured on so many items of a split at most, the same every epoch."""


@dataclass(frozen=True)
class Workload:
    """Items that a network sees in one trained trial, each time that it sees them.

    Attributes:
        learnt: in training steps, for one view of each; at most, where a network is trained anew up
            to the epoch that was selected.
        measured: embedded for validation and curves; at most, as above.
        tested: embedded at the end.
        frozen: whether they are features computed once for all trials.
    """

    learnt: int
    measured: int
    tested: int
    frozen: bool

    def __str__(self) -> str:
        kind = "features" if self.frozen else "items"
        return (
            f"a trained trial: {self.learnt:,} {kind} in training, {self.measured:,} in validation "
            f"and curves, {self.tested:,} in test"
        )


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
    return Workload(learnt, measured, sum(map(len, tested)), protocol.frozen)
