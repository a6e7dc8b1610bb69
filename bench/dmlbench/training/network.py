"""Rows that train a network with a loss."""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dmlbench.components.workplace import Workplace
from dmlbench.compute.determinism import (
    LOSS_STREAM,
    MINER_STREAM,
    NETWORK_STREAM,
    seed_everything,
)
from dmlbench.compute.world import ALONE, World
from dmlbench.contracts.components import Miner
from dmlbench.contracts.saved_state import load_saved_state
from dmlbench.data.items import Items
from dmlbench.data.splits import with_consecutive_labels
from dmlbench.errors import TrialError
from dmlbench.schemas.trial import Trial
from dmlbench.training.batch_statistics import (
    how_divided,
    refuse_batch_statistics,
    trains_backbone,
)
from dmlbench.training.embedder import Embedder, embed, weights_hash
from dmlbench.training.frozen_features import FrozenFeatures
from dmlbench.training.learner_state import Embed, State
from dmlbench.training.loop import Recipe, train
from dmlbench.training.objective import combine
from dmlbench.training.own_rates import own_rates_text
from dmlbench.training.session import UNSAVED, Session


def untrained_network(trial: Trial, workplace: Workplace, items: Items) -> Embedder:
    """Return the network as the trial's seed initialises it: the same for every loss."""
    protocol, frozen = trial.protocol, trial.protocol.frozen
    backbone = FrozenFeatures() if frozen else workplace.make("backbone", trial.parts["backbone"])
    seed_everything(trial.seed, NETWORK_STREAM)
    network = Embedder(
        backbone, items, protocol.embedding_dim, protocol.head_init, protocol.precision
    )
    return network.to(workplace.device)


def initial_weights(model: Embedder) -> dict[str, str]:
    """Return a hash of the weights, as pretrained weights may change under the same name."""
    return {"initial_weights": weights_hash(model.backbone)[:16]}


def train_network(
    trial: Trial, workplace: Workplace, items: Items, session: Session = UNSAVED
) -> Iterator[State]:
    """Yield the state of a network before training on `items` and after each epoch.

    If the session goes on with a training, the states are those of epoch 0, and of the epochs from
    the one on that was under way.
    """
    protocol, device = trial.protocol, workplace.device
    model = untrained_network(trial, workplace, items)
    world, divided = workplace.world, how_divided(workplace.chunk, workplace.world.size)
    if divided and trains_backbone(protocol):
        refuse_batch_statistics(model.backbone, str(trial.parts["backbone"]), divided)
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
    embed_items = partial(embed_as_unit_vectors, model, device=device, world=world)
    details = {
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "loss_parameters": sum(weight.numel() for weight in objective.parameters()),
        "reducer": "; ".join(dict.fromkeys(str(loss.reducer) for loss in losses)),
        "own_lr": own_rates_text(losses, protocol.optimiser),
        "train_items": len(items),
        **initial_weights(model),
    }
    snapshot = partial(_snapshot, model, embed_items)
    restore = partial(KeptNetwork, model, embed_items)
    yield State(0, None, embed_items, details, snapshot, restore)
    recipe = Recipe(objective, sampler, protocol, trial.seed)
    for training in train(model, recipe, items, device, session, workplace.chunk, world):
        if protocol.precision == "float16":
            details = details | {"skipped_steps": training.skipped_steps}
        yield State(training.epoch, training.loss, embed_items, details, snapshot, restore)


@dataclass(frozen=True)
class KeptNetwork:
    """Embeds as a network did when it had other weights."""

    network: Embedder
    embed_items: Embed
    weights: Mapping[str, Any]

    def __call__(self, items: Items) -> np.ndarray:
        """Return the embeddings of `items` ``[N, E]``; the network keeps the earlier weights."""
        load_saved_state(self.network, self.weights)
        return self.embed_items(items)


def _snapshot(model: Embedder, embed_items: Embed) -> KeptNetwork:
    weights = {
        name: value.clone() if isinstance(value, Tensor) else deepcopy(value)
        for name, value in model.state_dict().items()
    }
    return KeptNetwork(model, embed_items, weights)


def embed_as_unit_vectors(
    model: Embedder, items: Items, device: torch.device, world: World = ALONE
) -> np.ndarray:
    """Return embeddings ``[N, E]`` of length 1; each process of `world` embeds its share.

    Raises:
        TrialError: they are not finite.
    """
    embeddings: np.ndarray = F.normalize(embed(model, items, device, world)).cpu().numpy()
    if not np.isfinite(embeddings).all():
        raise TrialError("The network's embeddings are not finite. Lower the learning rate.")
    return embeddings
