"""A training in the middle of an epoch, as a checkpoint keeps it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dmlbench.compute.determinism import random_states, set_random_states
from dmlbench.contracts.components import Sampler
from dmlbench.contracts.saved_state import load_saved_state, saved_state
from dmlbench.training.hidden_state import hidden_state, require_unchanged
from dmlbench.training.step import Training


class UnderWay:
    """A training and the epoch whose steps are being taken.

    Args:
        training: before its first step.
        sampler: of its batches. It keeps nothing from one epoch for the next.
        device: where it computes.

    Attributes:
        epoch: number of the epoch; 0 before the first.
        batches: items of each of its batches ``[steps, B]``.
        losses: of its steps so far, each a scalar on the device.
    """

    def __init__(self, training: Training, sampler: Sampler, device: torch.device) -> None:
        self.epoch = 0
        self.batches = np.empty((0, 0), dtype=np.int64)
        self.losses: list[Tensor] = []
        miners = [summand.miner for summand in training.objective.summands if summand.miner]
        self._training, self._device = training, device
        self._components = {
            "network": training.model,
            "objective": training.objective,
            **{f"miner {number}": miner for number, miner in enumerate(miners, start=1)},
        }
        self._plugins = {
            "network": getattr(training.model, "backbone", training.model),
            "loss": training.objective.losses,
            **{name: each for name, each in self._components.items() if "miner" in name},
            "sampler": sampler,
        }
        self._hidden = hidden_state(self._plugins)

    def start(self, epoch: int, batches: np.ndarray) -> None:
        """Start an epoch, which has taken no step."""
        self.epoch, self.batches, self.losses = epoch, batches, []

    def saved(self) -> dict[str, Any]:
        """Return all that the steps to come depend on, as a tree.

        Images are augmented by random numbers of their epoch and item alone, and learning rates
        follow from the number of the step: neither has a state.

        Raises:
            HiddenStateError: a component remembers more than it says.
        """
        require_unchanged(self._hidden, hidden_state(self._plugins))
        return {
            "epoch": self.epoch,
            "batches": self.batches,
            "losses": torch.stack(self.losses),
            "components": {name: saved_state(each) for name, each in self._components.items()},
            "optimiser": self._training.optimiser.state_dict(),
            "scaler": self._training.scaler.state_dict(),
            "skipped_steps": self._training.skipped_steps,
            "random": random_states(self._device),
        }

    def load(self, saved: Mapping[str, Any]) -> None:
        """Go to where another one was when it returned `saved`."""
        for name, component in self._components.items():
            load_saved_state(component, saved["components"][name])
        self._training.optimiser.load_state_dict(saved["optimiser"])
        self._training.scaler.load_state_dict(saved["scaler"])
        self._training.skipped_steps = saved["skipped_steps"]
        self.epoch, self.batches = saved["epoch"], saved["batches"]
        self.losses = [*saved["losses"].to(self._device).unbind()]
        set_random_states(saved["random"], self._device)
