"""Attributes of components that change in training and that no checkpoint would keep.

A trial that went on without them would not be the trial that was stopped, so it keeps no
checkpoint. Only plain values are looked at: numbers, texts, tensors, arrays, and lists, queues,
sets and dictionaries of these. What an object of another class holds shows in the conformance kit.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

from dmlbench.storage.trees import NotATreeError, is_same, pack, unpack

_MANAGED_BY_TORCH = frozenset(vars(nn.Module()))


class HiddenStateError(Exception):
    """A component remembers something that a checkpoint would lose; the text says what."""


def hidden_state(components: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of the attributes that the components' own states don't hold, by their names.

    Args:
        components: by a name for messages.
    """
    return {
        f"{attribute} of the {name} {type(owner).__name__}": value
        for name, component in components.items()
        for owner in _owners(component)
        for attribute, value in _plain_attributes(owner)
    }


def require_unchanged(before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Check that nothing changed from one `hidden_state` to the next.

    Raises:
        HiddenStateError: something did.
    """
    for name in {**before, **now}:
        if name not in before or name not in now or not is_same(before[name], now[name]):
            raise HiddenStateError(
                f"the attribute {name} changes in training, and its state does not hold it "
                "(see `dmlbench plugin check`)"
            )


def _owners(component: Any) -> Iterator[Any]:
    """Yield the objects of a component that don't say themselves what is to be kept."""
    if isinstance(component, nn.Module):
        for module in component.modules():
            if type(module).get_extra_state is nn.Module.get_extra_state:
                yield module
    elif not hasattr(component, "state_dict"):
        yield component


def _plain_attributes(owner: Any) -> Iterator[tuple[str, Any]]:
    managed = _MANAGED_BY_TORCH if isinstance(owner, nn.Module) else ()
    values = {
        name: value for name, value in getattr(owner, "__dict__", {}).items() if name not in managed
    }
    if isinstance(owner, nn.Module):
        values |= {name: owner._buffers[name] for name in owner._non_persistent_buffers_set}
    for name, value in values.items():
        plain = sorted(value, key=repr) if isinstance(value, set | frozenset) else value
        try:
            yield name, unpack(*pack([*plain] if isinstance(plain, deque) else plain))
        except NotATreeError:
            continue
