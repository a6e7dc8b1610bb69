"""Figures of datasets without unseen classes: neighbours, cross-validated."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from dmlbench.compute.phases import phase
from dmlbench.compute.precision import in_use
from dmlbench.data.items import Data
from dmlbench.retrieval import has_collapsed
from dmlbench.schemas.record import Array, Distances, Epoch
from dmlbench.schemas.trial import Trial
from dmlbench.training.learner_state import Learn
from dmlbench.training.session import UNSAVED, Session, loading
from dmlbench.trials.course import Course, OnEpoch, Watch, curve_sample, follow
from dmlbench.trials.figures import CPU, class_places

FOLDS = 5
NEIGHBOURS = 5


def score_by_cross_validation(
    trial: Trial,
    data: Data,
    learn: Learn,
    on_epoch: OnEpoch,
    device: torch.device = CPU,
    session: Session = UNSAVED,
) -> dict[str, Any]:
    """Score 5 nearest neighbours (Euclidean) on what is learnt from the other folds.

    The folds are stratified and the same for every row and seed. Distances are means over folds.
    In a fold whose embeddings have collapsed no vote is right: the nearest are of other classes.

    Returns:
        The fields of the record that hold figures.
    """
    from sklearn.model_selection import StratifiedKFold
    from sklearn.neighbors import KNeighborsClassifier

    items, protocol = data.splits["all"], trial.protocol
    precision = in_use(protocol.precision, device)
    folds = list(StratifiedKFold(FOLDS).split(items.labels, items.labels))
    over: list[_Fold] = []
    with loading():
        over += [_Fold.load(left) for left in session.take("folds") or []]
    with session.part("folds", lambda: [fold.saved() for fold in over]):
        for train, test in folds[len(over) :]:
            watched = {"train": curve_sample(items[train]), "test": curve_sample(items[test])}
            watch = Watch(protocol.validation, protocol.length.epochs, watched)
            states = learn(items[train])
            course, state = follow(states, watch, lambda epoch: None, session)
            with phase("test"):
                learnt, asked = state.embed(items[train]), state.embed(items[test])
                collapsed = has_collapsed(learnt, asked, cosine=False, precision=precision)
                right = np.zeros(len(test), dtype=np.uint8)
                if not collapsed:
                    neighbours = KNeighborsClassifier(NEIGHBOURS).fit(learnt, items.labels[train])
                    right[:] = neighbours.predict(asked) == items.labels[test]
            over.append(_Fold(course, right, collapsed))
    correct = np.zeros(len(items), dtype=np.uint8)
    for fold, (_, test) in zip(over, folds, strict=True):
        correct[test] = fold.right
    curves = [fold.course.epochs for fold in over]
    epochs = [_mean_epoch(same) for same in zip(*curves, strict=True)]
    for epoch in epochs:
        on_epoch(epoch)
    metrics = {"knn_accuracy": float(correct.mean())}
    return {
        "metrics": metrics,
        "last_epoch_metrics": metrics,
        "selected_epoch": state.epoch,
        "selection": "last epoch",
        "epochs": epochs,
        "per_query": {"class": class_places(items.labels), "correct": Array.pack(correct)},
        "collapsed": any(fold.collapsed for fold in over),
        "details": state.details | {"test_items": len(items)},
    }


@dataclass(frozen=True)
class _Fold:
    """What came of one fold."""

    course: Course
    right: np.ndarray
    """Which of its test items are of the class that is told ``[N]``, as 0 and 1."""
    collapsed: bool

    def saved(self) -> tuple[Any, ...]:
        return (self.course.saved(), self.right, self.collapsed)

    @classmethod
    def load(cls, saved: tuple[Any, ...]) -> "_Fold":
        course, (left, right, collapsed) = Course(), saved
        course.load(left)
        return cls(course, right, collapsed)


def _mean_epoch(epochs: tuple[Epoch, ...]) -> Epoch:
    losses = [epoch.loss for epoch in epochs if epoch.loss is not None]
    distances = {
        split: Distances(
            positive=float(np.mean([epoch.distances[split].positive for epoch in epochs])),
            negative=float(np.mean([epoch.distances[split].negative for epoch in epochs])),
        )
        for split in epochs[0].distances
    }
    loss = float(np.mean(losses)) if losses else None
    return Epoch(epoch=epochs[0].epoch, loss=loss, distances=distances)
