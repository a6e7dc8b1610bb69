"""Rows that fit a baseline instead of training a network."""

from functools import partial
from typing import Any

import numpy as np

from dmlbench.components.workplace import Workplace
from dmlbench.compute.determinism import FIT_STREAM, seed_everything
from dmlbench.compute.memory import installed_memory
from dmlbench.data.items import Items
from dmlbench.errors import TrialError
from dmlbench.schemas.trial import Part, Trial
from dmlbench.training.learner_state import Embed, State
from dmlbench.training.network import embed_as_unit_vectors, initial_weights, untrained_network


def fit_baseline(trial: Trial, workplace: Workplace, items: Items) -> State:
    """Fit a baseline on `items`, or on a random part if there are too many; return its only state.

    Raises:
        TrialError: embeddings are not finite, of a wrong shape, or too large for the memory; also
            raised by the state's `embed`.
    """
    part = trial.parts["baseline"]
    rng = np.random.default_rng((trial.seed, FIT_STREAM))
    chosen = np.arange(len(items))
    if len(items) > trial.protocol.baselines.fit_items:
        chosen = np.sort(rng.choice(chosen, trial.protocol.baselines.fit_items, replace=False))
    seed_everything(trial.seed, FIT_STREAM)
    estimator = workplace.make("baseline", part, random_state=trial.seed)
    represent: Embed = Items.flat
    weights = {}
    if getattr(estimator, "takes", "pixels") == "embeddings":
        network = untrained_network(trial, workplace, items)
        weights = initial_weights(network)
        represent = partial(embed_as_unit_vectors, network, device=workplace.device)
    fitted = items[chosen]
    rows = represent(fitted)
    _limit_components(estimator, part, rows, fitted.labels, trial.protocol.embedding_dim)
    estimator.fit(rows, fitted.labels)
    learns = not hasattr(estimator, "__sklearn_tags__") or estimator.__sklearn_tags__().requires_fit
    details = {"fit_items": len(fitted) if learns else 0, "train_items": len(items), **weights}
    return State(0, None, lambda some: _transform(estimator, represent, some, part), details)


def _limit_components(
    estimator: Any, part: Part, rows: np.ndarray, labels: np.ndarray, embedding_dim: int
) -> None:
    """Set ``n_components``, if the estimator has it and it was left open, to the embedding size.

    N items with D features have at most min(N, D) components; a classifier has one discriminant
    fewer than classes.
    """
    if part.settings.get("n_components", 0) is not None:
        return
    most = min(embedding_dim, *rows.shape)
    if hasattr(estimator, "predict"):
        most = min(most, len(np.unique(labels)) - 1)
    estimator.set_params(n_components=most)


def _transform(estimator: Any, represent: Embed, items: Items, part: Part) -> np.ndarray:
    embeddings, done = np.empty((0, 0), dtype=np.float32), 0
    for some in items.blocks():
        rows = np.asarray(estimator.transform(represent(some)), dtype=np.float32)
        if rows.ndim != 2 or len(rows) != len(some):
            raise TrialError(f"{part} made embeddings of shape {rows.shape}, not [{len(some)}, E].")
        if not done:
            embeddings = _allocate(len(items), rows.shape[1], part)
        embeddings[done : done + len(some)] = rows
        done += len(some)
    if not np.isfinite(embeddings).all():
        raise TrialError(f"The embeddings of {part} are not finite.")
    return embeddings


def _allocate(items: int, dimension: int, part: Part) -> np.ndarray:
    """Return an array for embeddings, if the machine has twice the memory that they need."""
    needed, there = 4 * items * dimension, installed_memory()
    if 2 * needed > there:
        raise TrialError(
            f"{part} makes {dimension:,} numbers per item of {items:,} items: {needed / 2**30:.1f} "
            f"GiB, but this machine has {there / 2**30:.1f}. Leave it out (--baseline), or use "
            "smaller images (--set protocol.image_size=N)."
        )
    return np.empty((items, dimension), dtype=np.float32)
