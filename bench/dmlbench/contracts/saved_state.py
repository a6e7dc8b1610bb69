"""What a component remembers from step to step, and how checkpoints keep it.

Torch's own names serve all kinds: a loss and a network, which are modules, have ``state_dict`` and
``load_state_dict``, and add what is no parameter or buffer by ``get_extra_state`` and
``set_extra_state``. A miner that remembers anything defines the first two. A state holds tensors,
NumPy arrays, numbers, texts, None, and lists, tuples and dictionaries of these. Its tensors come
back on the CPU. A sampler remembers nothing.
"""

from collections import OrderedDict
from typing import Any

from torch import nn


def saved_state(component: Any) -> Any:
    """Return what `component` asks to be kept; an empty dictionary if it remembers nothing."""
    return component.state_dict() if hasattr(component, "state_dict") else {}


def load_saved_state(component: Any, state: Any) -> None:
    """Give a new `component` the state of an earlier one."""
    if isinstance(component, nn.Module):
        current = component.state_dict()
        state = OrderedDict(state)
        state._metadata = getattr(current, "_metadata", None)  # versions of the layers' states
        component.load_state_dict(state)
    elif hasattr(component, "load_state_dict"):
        component.load_state_dict(state)
