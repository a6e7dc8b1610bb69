"""The batches of an epoch, drawn by a sampler and checked."""

import inspect
from collections.abc import Callable
from itertools import islice

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from dmlbench.compute.determinism import BATCH_STREAM
from dmlbench.contracts.components import Sampler
from dmlbench.data.items import Items
from dmlbench.errors import ConfigError, TrialError
from dmlbench.schemas.protocol import Protocol


def asks_for(sampler: Sampler) -> set[str]:
    """Return which of ``groups`` and ``embeddings`` a sampler wants besides labels."""
    return set(inspect.signature(sampler.batches).parameters) & {"groups", "embeddings"}


def extras(
    sampler: Sampler, items: Items, embeddings: Callable[[], np.ndarray]
) -> dict[str, np.ndarray]:
    """Return what `sampler` asks for besides labels: ``groups`` or ``embeddings``.

    Args:
        sampler: of any kind.
        items: what it samples from.
        embeddings: called if it asks for them; returns unit vectors ``[N, D]``.

    Raises:
        ConfigError: it asks for groups, and the dataset has none.
    """
    asked, found = asks_for(sampler), {}
    if "groups" in asked:
        if items.groups is None:
            raise ConfigError(
                f"{type(sampler).__name__} composes batches by super-class, but this dataset "
                "has none. Choose another sampler, such as m-per-class."
            )
        found["groups"] = items.groups
    if "embeddings" in asked:
        found["embeddings"] = embeddings()
    return found


def batches_of_epoch(
    sampler: Sampler,
    protocol: Protocol,
    seed: int,
    items: Items,
    embeddings: Tensor | None,
    epoch: int,
) -> np.ndarray:
    """Return the items of each batch of an epoch ``[steps, B]`` int64.

    Args:
        sampler: draws them.
        protocol: sets the size of a batch, and the number of batches.
        seed: the trial's.
        items: what is sampled.
        embeddings: of the items ``[N, D]``, not normalised; None if the sampler needs none.
        epoch: counted from 1.

    Raises:
        TrialError: the sampler made batches of a wrong number, size, type or range.
    """
    rng = np.random.default_rng((seed, BATCH_STREAM, epoch))
    size = protocol.batch_size
    steps = protocol.length.steps(len(items), size)

    def unit_embeddings() -> np.ndarray:
        assert embeddings is not None  # they are there if the sampler asks for them
        return F.normalize(embeddings).cpu().numpy()

    more = extras(sampler, items, unit_embeddings)
    batches = sampler.batches(items.labels, batch_size=size, steps=steps, rng=rng, **more)
    made = list(islice(batches, steps + 1))
    name, shapes = type(sampler).__name__, {np.shape(index) for index in made}
    if len(made) != steps or shapes != {(size,)}:
        found = " and ".join(str(list(shape)) for shape in sorted(shapes))
        raise TrialError(
            f"{name} made {len(made)} batches of {found} items, not {steps} of {size}."
        )
    stacked = np.stack(made)
    if stacked.dtype.kind not in "iu":
        raise TrialError(f"{name} made batches of {stacked.dtype}, not of integers.")
    if stacked.min() < 0 or stacked.max() >= len(items):
        raise TrialError(
            f"{name} made batches of items {stacked.min()} to {stacked.max()}; they are numbered "
            f"from 0 to {len(items) - 1}."
        )
    return stacked.astype(np.int64, copy=False)
