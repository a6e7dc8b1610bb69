"""A training in the middle of an epoch, as a checkpoint keeps it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dmlbench.compute.determinism import random_states, set_random_states
from dmlbench.contracts.saved_state import load_saved_state, saved_state
from dmlbench.training.step import Training


@dataclass
class EpochUnderWay:
    """The epoch whose steps are being taken; number 0 before the first."""

    number: int = 0
    batches: np.ndarray = field(default_factory=lambda: np.empty((0, 0), dtype=np.int64))
    """Items of each of its batches ``[steps, B]``."""
    losses: list[Tensor] = field(default_factory=list)
    """Of the steps so far, each a scalar on the device."""

    def start(self, number: int, batches: np.ndarray) -> None:
        """Start epoch `number`, which has taken no step."""
        self.number, self.batches, self.losses = number, batches, []


def saved_training(training: Training, now: EpochUnderWay, device: torch.device) -> dict[str, Any]:
    """Return all that the steps to come depend on, as a tree.

    Images are augmented by random numbers of their epoch and item alone, learning rates follow from
    the number of the step, and a sampler keeps nothing for the next epoch: none has a state.
    """
    components = _components(training)
    return {
        "epoch": now.number,
        "batches": now.batches,
        "losses": torch.stack(now.losses),
        "components": {name: saved_state(each) for name, each in components.items()},
        "optimiser": training.optimiser.state_dict(),
        "scaler": training.scaler.state_dict(),
        "skipped_steps": training.skipped_steps,
        "random": random_states(device),
    }


def load_training(
    saved: Mapping[str, Any],
    training: Training,
    now: EpochUnderWay,
    device: torch.device,
) -> None:
    """Put a training that has not begun where `saved` was."""
    for name, component in _components(training).items():
        load_saved_state(component, saved["components"][name])
    training.optimiser.load_state_dict(saved["optimiser"])
    training.scaler.load_state_dict(saved["scaler"])
    training.skipped_steps = saved["skipped_steps"]
    now.start(saved["epoch"], saved["batches"])
    now.losses.extend(saved["losses"].to(device).unbind())
    set_random_states(saved["random"], device)


def _components(training: Training) -> dict[str, Any]:
    """Return whatever may remember something, by a name that is the same in every process."""
    miners = [summand.miner for summand in training.objective.summands if summand.miner]
    return {
        "network": training.model,
        "objective": training.objective,
        **{f"miner {number}": miner for number, miner in enumerate(miners)},
    }
