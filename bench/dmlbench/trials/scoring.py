"""From a learner to the figures of a record: retrieval, or cross-validated neighbours."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch

from dmlbench.compute.determinism import SPLIT_STREAM
from dmlbench.data.items import Data, Items
from dmlbench.data.splits import hold_out_classes
from dmlbench.retrieval import Metric, RetrievalResult, evaluate, has_collapsed, mean_distances
from dmlbench.retrieval.kept_embeddings import KeptSplit
from dmlbench.retrieval.metrics import in_order
from dmlbench.schemas.record import Array, Distances, Epoch
from dmlbench.schemas.trial import Trial
from dmlbench.training.learner_state import Embed, State

CURVE_ITEMS = 2000
"""Distances per epoch are measured on so many items of a split at most, the same every epoch."""

RECORDED = ("r_precision", "map_at_r", "tied")
"""Metrics of every trial, with Recall@k for the k of its dataset."""

FOLDS = 5
NEIGHBOURS = 5

Learn = Callable[[Items], Iterator[State]]
OnEpoch = Callable[[Epoch], None]
Evaluate = Callable[..., RetrievalResult]
KeepEmbeddings = Callable[[dict[str, KeptSplit]], None]


def score_retrieval(
    trial: Trial,
    data: Data,
    recall_at: tuple[int, ...],
    learn: Learn,
    on_epoch: OnEpoch,
    keep: KeepEmbeddings | None = None,
    device: torch.device | None = None,
    metrics: Mapping[str, Metric] | None = None,
) -> dict[str, Any]:
    """Learn on the training classes and retrieve among the test items, or in a gallery.

    The epoch is selected by MAP@R on held-out training classes where the protocol holds some out
    and there are enough; else the last one counts. Test items never have a say. Where there is a
    gallery, "test" in the curves is the queries. `keep` gets the selected epoch's embeddings
    of the test items, or of queries and gallery, by split. Metrics are computed on
    `device` if it is a GPU; `metrics` are more of them, by key.

    Embeddings that have collapsed get the figures of equal ones: every item of another class ranks
    ahead of every item of the query's own.

    Returns:
        The fields of the record that hold figures.
    """
    measure = evaluate
    if device is not None and device.type == "cuda":
        measure = partial(evaluate, device=device)
    choices = trial.protocol.validation
    learning, validation = data.splits["train"], None
    if "baseline" not in trial.parts:
        rng = np.random.default_rng((trial.seed, SPLIT_STREAM))
        learning, validation = hold_out_classes(
            learning, choices.class_fraction, choices.min_classes, rng
        )
    names = [name for name in ("test", "query", "gallery") if name in data.splits]
    tested = [data.splits[name] for name in names]
    test = tested[0]
    watched = {"train": _sample(learning), "test": _sample(test)}
    epochs: list[Epoch] = []
    best: tuple[float, int, Embed] | None = None
    for state in learn(learning):
        embedded = {name: state.embed(some) for name, some in watched.items()}
        distances = {
            name: Distances(**mean_distances(embedded[name], some.labels)._asdict())
            for name, some in watched.items()
        }
        scores = {}
        if validation is not None:
            found = _score(measure, trial, [validation], [state.embed(validation)], (1,))
            scores = _metrics(found.result)
            if best is None or scores["map_at_r"] > best[0]:
                embed_then = state.snapshot() if state.snapshot else state.embed
                best = (scores["map_at_r"], state.epoch, embed_then)
        epochs.append(
            Epoch(epoch=state.epoch, loss=state.loss, distances=distances, validation=scores)
        )
        on_epoch(epochs[-1])
    embeddings = [state.embed(some) for some in tested]
    more = metrics or {}
    last = selected = _score(measure, trial, tested, embeddings, recall_at, more)
    if best and best[1] != state.epoch:
        embeddings = [best[2](some) for some in tested]
        selected = _score(measure, trial, tested, embeddings, recall_at, more)
    if keep:
        kept = zip(names, tested, embeddings, strict=True)
        keep({name: _labelled(name, items, rows) for name, items, rows in kept})
    return {
        "metrics": _metrics(selected.result, more),
        "last_epoch_metrics": _metrics(last.result, more),
        "selected_epoch": best[1] if best else state.epoch,
        "selection": "best MAP@R on held-out classes" if best else "last epoch",
        "epochs": epochs,
        "per_query": _per_query(selected.result, test.labels),
        "collapsed": selected.collapsed or last.collapsed,
        "details": state.details
        | {
            "test_items": selected.result.queries,
            "lone_queries": selected.result.lone_queries,
            "validation_items": 0 if validation is None else len(validation),
        }
        | ({} if len(tested) == 1 else {"gallery_items": len(tested[1])}),
    }


def score_by_cross_validation(
    trial: Trial, data: Data, learn: Learn, on_epoch: OnEpoch
) -> dict[str, Any]:
    """Score 5 nearest neighbours (Euclidean) on what is learnt from the other folds.

    The folds are stratified and the same for every row and seed. Distances are means over folds.
    In a fold whose embeddings have collapsed no vote is right: the nearest are of other classes.

    Returns:
        The fields of the record that hold figures.
    """
    from sklearn.model_selection import StratifiedKFold
    from sklearn.neighbors import KNeighborsClassifier

    items = data.splits["all"]
    correct = np.zeros(len(items), dtype=np.uint8)
    collapsed = False
    curves: list[list[Epoch]] = []
    for train, test in StratifiedKFold(FOLDS).split(items.labels, items.labels):
        curves.append([])
        for state in learn(items[train]):
            distances = {
                name: Distances(**mean_distances(state.embed(some), some.labels)._asdict())
                for name, some in (("train", items[train]), ("test", items[test]))
            }
            curves[-1].append(Epoch(epoch=state.epoch, loss=state.loss, distances=distances))
        learnt, asked = state.embed(items[train]), state.embed(items[test])
        if has_collapsed(learnt, asked, cosine=False, precision=trial.protocol.precision):
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
        "per_query": {"class": _classes(items.labels), "correct": Array.pack(correct)},
        "collapsed": collapsed,
        "details": state.details | {"test_items": len(items)},
    }


class _Scored(NamedTuple):
    result: RetrievalResult
    collapsed: bool


def _score(
    measure: Evaluate,
    trial: Trial,
    tested: list[Items],
    embeddings: list[np.ndarray],
    recall_at: tuple[int, ...],
    metrics: Mapping[str, Metric] | None = None,
) -> _Scored:
    """Return the metrics of test items among themselves, or of queries in a gallery."""
    collapsed = has_collapsed(*embeddings, precision=trial.protocol.precision)
    if collapsed:
        embeddings = [np.ones_like(each) for each in embeddings]
    asked: dict[str, Any] = {"recall_at": recall_at, "metrics": metrics or {}}
    if len(tested) == 1:
        return _Scored(measure(embeddings[0], tested[0].labels, **asked), collapsed)
    (queries, gallery), labels = embeddings, [items.labels for items in tested]
    asked["self_index"] = np.full(len(queries), -1)  # the dataset says so, even of equal images
    return _Scored(measure(queries, labels[0], gallery, labels[1], **asked), collapsed)


def _labelled(split: str, items: Items, embeddings: np.ndarray) -> KeptSplit:
    names = items.names
    if names is None:
        names = np.array([f"{split}/{row}" for row in range(len(items))])
    return KeptSplit(embeddings, items.labels, names)


def _sample(items: Items) -> Items:
    if len(items) <= CURVE_ITEMS:
        return items
    return items[np.sort(np.random.default_rng(0).permutation(len(items))[:CURVE_ITEMS])]


def _metrics(result: RetrievalResult, more: Iterable[str] = ()) -> dict[str, float]:
    keys = {f"recall@{k}" for k in result.recall_at} | {*RECORDED, *more}
    return {key: result.metrics[key] for key in in_order(keys)}


def _per_query(result: RetrievalResult, labels: np.ndarray) -> dict[str, Array]:
    found = result.per_query
    return {
        "class": _classes(labels),
        "relevant": Array.pack(found.relevant.astype(np.int32)),
        "best_rank": Array.pack(found.best_rank.astype(np.int32)),
        "hits": Array.pack(found.hits.astype(np.int32)),
        "average_precision": Array.pack(found.average_precision.astype(np.float32)),
    }


def _classes(labels: np.ndarray) -> Array:
    """Return the place of each item's class among the sorted classes."""
    return Array.pack(np.unique(labels, return_inverse=True)[1].astype(np.int32))


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
