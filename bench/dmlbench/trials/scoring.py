"""From a learner to the figures of a record: what the network that counts retrieves."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch

from dmlbench.compute.phases import phase
from dmlbench.compute.world import ALONE, World
from dmlbench.data.items import Data, Items
from dmlbench.errors import HelpedError
from dmlbench.retrieval import Metric
from dmlbench.retrieval.kept_embeddings import KeptSplit
from dmlbench.schemas.trial import Trial
from dmlbench.training.learner_state import Embed, Learn
from dmlbench.training.session import UNSAVED, Session
from dmlbench.trials.course import OnEpoch
from dmlbench.trials.figures import CPU, Scored, per_query, recorded_metrics, score
from dmlbench.trials.selection import Learnt, learn_and_select

KeepEmbeddings = Callable[[dict[str, KeptSplit]], None]


def score_retrieval(
    trial: Trial,
    data: Data,
    recall_at: tuple[int, ...],
    learn: Learn,
    on_epoch: OnEpoch,
    keep: KeepEmbeddings | None = None,
    device: torch.device = CPU,
    metrics: Mapping[str, Metric] | None = None,
    session: Session = UNSAVED,
    world: World = ALONE,
) -> dict[str, Any]:
    """Learn on the training classes and retrieve among the test items, or in a gallery.

    Test items have no say in which epoch counts, see `learn_and_select`. Before the end they are
    embedded for the curves alone, and not even for these where a network is trained anew on all
    classes. Where there is a gallery, "test" in the curves is the queries.

    Args:
        trial: what is scored.
        data: its splits.
        recall_at: ranks k of Recall@k.
        learn: learns from the items that it is given.
        on_epoch: called with the record's entry for each epoch.
        keep: gets the embeddings that the metrics are of: of test, or of query and gallery.
        device: where metrics are computed if it is a GPU.
        metrics: more of them, by key.
        session: goes on with what an earlier process left.
        world: the processes that do this together; the first one alone computes metrics.

    Returns:
        The fields of the record that hold figures.

    Raises:
        HelpedError: this is not the first process of `world`, and it has done its share.
    """
    names = [name for name in ("test", "query", "gallery") if name in data.splits]
    tested = [data.splits[name] for name in names]
    measure = partial(score, precision=trial.protocol.precision, device=device)

    def validate(held_out: Items, embed: Embed) -> dict[str, float]:
        embeddings = embed(held_out)
        found: dict[str, float] = world.from_first(
            lambda: recorded_metrics(measure([held_out], [embeddings], (1,)).result)
        )
        return found

    def test(embed: Embed) -> tuple[list[np.ndarray], Scored]:
        with phase("test"):
            embeddings = [embed(some) for some in tested]
            return embeddings, measure(tested, embeddings, recall_at, metrics=metrics)

    shown = {"test": tested[0]}
    train = data.splits["train"]
    learnt = learn_and_select(trial, train, learn, validate, shown, on_epoch, session)
    if world.rank:
        for embed in filter(None, (learnt.last.embed, learnt.embed_earlier)):
            for some in tested:
                embed(some)
        raise HelpedError
    embeddings, last = test(learnt.last.embed)
    selected = last
    if learnt.embed_earlier:
        embeddings, selected = test(learnt.embed_earlier)
    if keep:
        kept = zip(names, tested, embeddings, strict=True)
        keep({name: _labelled(name, items, rows) for name, items, rows in kept})
    return {
        "metrics": recorded_metrics(selected.result, metrics or ()),
        "last_epoch_metrics": recorded_metrics(last.result, metrics or ()),
        "selected_epoch": learnt.epoch,
        "selection": learnt.rule,
        "epochs": learnt.course.epochs,
        "retraining": learnt.retraining.epochs if learnt.retraining else [],
        "per_query": per_query(selected.result, tested[0].labels),
        "collapsed": selected.collapsed or last.collapsed,
        "details": learnt.last.details | _details(learnt, selected, tested),
    }


def _details(learnt: Learnt, selected: Scored, tested: list[Items]) -> dict[str, Any]:
    details: dict[str, Any] = {
        "test_items": selected.result.queries,
        "lone_queries": selected.result.lone_queries,
        "validation_items": 0 if learnt.held_out is None else len(learnt.held_out),
    }
    if learnt.course.best:
        details["beats_epoch_0"] = learnt.course.beats_epoch_0
    if len(tested) > 1:
        details["gallery_items"] = len(tested[1])
    return details


def _labelled(split: str, items: Items, embeddings: np.ndarray) -> KeptSplit:
    names = items.names
    if names is None:
        names = np.array([f"{split}/{row}" for row in range(len(items))])
    return KeptSplit(embeddings, items.labels, names)
