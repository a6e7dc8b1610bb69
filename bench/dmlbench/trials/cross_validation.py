"""Figures of datasets without unseen classes: neighbours, cross-validated."""

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
from dmlbench.trials.course import OnEpoch, Watch, curve_sample, follow
from dmlbench.trials.figures import CPU, class_places

FOLDS = 5
NEIGHBOURS = 5


def score_by_cross_validation(
    trial: Trial, data: Data, learn: Learn, on_epoch: OnEpoch, device: torch.device = CPU
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
    correct = np.zeros(len(items), dtype=np.uint8)
    collapsed = False
    curves: list[list[Epoch]] = []
    for train, test in StratifiedKFold(FOLDS).split(items.labels, items.labels):
        watched = {"train": curve_sample(items[train]), "test": curve_sample(items[test])}
        watch = Watch(protocol.validation, protocol.length.epochs, watched)
        course, state = follow(learn(items[train]), watch, lambda epoch: None)
        curves.append(course.epochs)
        with phase("test"):
            learnt, asked = state.embed(items[train]), state.embed(items[test])
            if has_collapsed(learnt, asked, cosine=False, precision=precision):
                collapsed = True
                continue
            neighbours = KNeighborsClassifier(NEIGHBOURS).fit(learnt, items.labels[train])
            correct[test] = neighbours.predict(asked) == items.labels[test]
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
        "collapsed": collapsed,
        "details": state.details | {"test_items": len(items)},
    }


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
