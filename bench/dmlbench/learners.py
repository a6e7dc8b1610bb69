"""How the rows of a leaderboard learn: a network by a loss, or a baseline by its own rule."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from dmlbench.composition import compose
from dmlbench.contracts import Miner
from dmlbench.data.items import Items, with_consecutive_labels
from dmlbench.device import seed_everything
from dmlbench.discovery import Catalogue
from dmlbench.embedder import Embedder, embed, weights_hash
from dmlbench.errors import TrialError
from dmlbench.frozen import FrozenFeatures
from dmlbench.memory import installed
from dmlbench.objective import combine
from dmlbench.source import file_hashes
from dmlbench.training import (
    FIT_STREAM,
    LOSS_STREAM,
    MINER_STREAM,
    NETWORK_STREAM,
    Recipe,
    train,
)
from dmlbench.trial import Part, Trial


@dataclass(frozen=True)
class Workplace:
    """What a trial needs of the machine it runs on."""

    catalogue: Catalogue
    data_dir: Path | None
    device: torch.device
    cache_dir: Path | None = None

    def make(self, kind: str, part: Part, **available: Any) -> Any:
        """Return the component that `part` describes, given what it asks for by name.

        Raises:
            ConfigError, PluginError: it can't be found, imported or made.
            TrialError: it is not what the trial's identity says.
        """
        (component,) = self.make_terms(kind, part, **available)[0]
        return component

    def make_terms(self, kind: str, part: Part, **available: Any) -> tuple[list[Any], list[float]]:
        """Return the components of a sum and their weights; one of weight 1 if it is none.

        Raises:
            ConfigError, PluginError, TrialError: see `make`.
        """
        composition = compose(self.catalogue, kind, part.reference)
        source = composition.source()  # a file that can't be read fails the trial
        if part.source and part.source != source:
            raise TrialError(f"The source of the {kind} {part} changed after the run was planned.")
        weights = [ingredient.weight for ingredient in composition.ingredients]
        components = composition.make(kind, part.settings, **available)
        if part.files and part.files != file_hashes(components[0].files()):
            raise TrialError(f"A file of the {kind} {part} changed after the run was planned.")
        return components, weights


Embed = Callable[[Items], np.ndarray]
"""From items to embeddings ``[N, E]`` float32; of length 1 if a network made them."""


@dataclass(frozen=True)
class State:
    """A learner after an epoch."""

    epoch: int
    loss: float | None
    embed: Embed
    """Valid until the next state is asked for."""
    details: dict[str, Any] = field(default_factory=dict)
    remember: Callable[[], Embed] | None = None
    """Returns what embeds as `embed` does now once the learner is done; None if `embed` does."""


def learn(trial: Trial, workplace: Workplace, items: Items) -> Iterator[State]:
    """Learn from `items`; yield the state before training and after each epoch.

    A baseline has one state.
    """
    if "baseline" in trial.parts:
        yield fit_baseline(trial, workplace, items)
    else:
        yield from train_network(trial, workplace, items)


def untrained_network(trial: Trial, workplace: Workplace, items: Items) -> Embedder:
    """Return the network as the trial's seed makes it: the same for every loss."""
    frozen = trial.protocol.frozen
    backbone = FrozenFeatures() if frozen else workplace.make("backbone", trial.parts["backbone"])
    seed_everything(trial.seed, NETWORK_STREAM)
    return Embedder(backbone, items, trial.protocol.embedding_dim).to(workplace.device)


def initial_weights(model: Embedder) -> dict[str, str]:
    """Return what tells apart two states of the pretrained weights that one name has."""
    return {"initial_weights": weights_hash(model.backbone)[:16]}


def train_network(trial: Trial, workplace: Workplace, items: Items) -> Iterator[State]:
    """Yield the state of a network before training on `items` and after each epoch."""
    protocol, device = trial.protocol, workplace.device
    model = untrained_network(trial, workplace, items)
    seed_everything(trial.seed, LOSS_STREAM)
    losses, weights = workplace.make_terms(
        "loss",
        trial.parts["loss"],
        num_classes=with_consecutive_labels(items.labels)[1],
        embedding_dim=protocol.embedding_dim,
    )
    miners: list[Miner] = []
    if "miner" in trial.parts:
        miners, _ = workplace.make_terms("miner", trial.parts["miner"])
    objective = combine(losses, weights, miners).to(device)
    sampler = workplace.make("sampler", trial.parts["sampler"])
    seed_everything(trial.seed, MINER_STREAM)
    embed_items = partial(embed_as_unit_vectors, model, device=device, precision=protocol.precision)
    rates = [f"{float(loss.own_lr_multiple):g}x" for loss in losses]
    details = {
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "loss_parameters": sum(weight.numel() for weight in objective.parameters()),
        "reducer": "; ".join(dict.fromkeys(str(loss.reducer) for loss in losses)),
        "own_lr": ", ".join(
            rate for rate, loss in zip(rates, losses, strict=True) if list(loss.parameters())
        ),
        "train_items": len(items),
        **initial_weights(model),
    }
    remember = partial(_remember, model, embed_items)
    yield State(0, None, embed_items, details, remember)
    means = train(model, Recipe(objective, sampler, protocol, trial.seed), items, device)
    for epoch, mean_loss in enumerate(means, start=1):
        yield State(epoch, mean_loss, embed_items, details, remember)


def _remember(model: Embedder, embed_items: Embed) -> Embed:
    weights = {name: value.clone() for name, value in model.state_dict().items()}

    def embed_as_then(items: Items) -> np.ndarray:
        model.load_state_dict(weights)
        return embed_items(items)

    return embed_as_then


def embed_as_unit_vectors(model: Embedder, items: Items, **where: Any) -> np.ndarray:
    """Return embeddings ``[N, E]`` of length 1.

    Raises:
        TrialError: they are not finite.
    """
    embeddings: np.ndarray = F.normalize(embed(model, items, **where)).cpu().numpy()
    if not np.isfinite(embeddings).all():
        raise TrialError("The network's embeddings are not finite. Lower the learning rate.")
    return embeddings


def fit_baseline(trial: Trial, workplace: Workplace, items: Items) -> State:
    """Return the only state of a baseline, fitted on `items` or as many of them as it may have.

    Raises:
        TrialError: its embeddings are not finite, of a wrong shape, or larger than the memory.
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
        represent = partial(
            embed_as_unit_vectors,
            network,
            device=workplace.device,
            precision=trial.protocol.precision,
        )
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
    """Set ``n_components``, where there is one and it was left open, to the embedding size.

    Data of N items with D features have no more than min(N, D) components; a classifier's
    discriminants are one fewer than its classes.
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
            embeddings = _room(len(items), rows.shape[1], part)
        embeddings[done : done + len(some)] = rows
        done += len(some)
    if not np.isfinite(embeddings).all():
        raise TrialError(f"The embeddings of {part} are not finite.")
    return embeddings


def _room(items: int, dimension: int, part: Part) -> np.ndarray:
    """Return an array for embeddings, where this machine has twice the memory that they take."""
    needed, there = 4 * items * dimension, installed()
    if 2 * needed > there:
        raise TrialError(
            f"{part} makes {dimension:,} numbers of each of {items:,} items: {needed / 2**30:.1f} "
            f"GiB, and this machine has {there / 2**30:.1f}. Leave it out (--baseline), or cut "
            "the images smaller (--set protocol.image_size=N)."
        )
    return np.empty((items, dimension), dtype=np.float32)
