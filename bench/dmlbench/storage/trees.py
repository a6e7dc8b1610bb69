"""Nested values as JSON and named tensors, and back: what can be stored without pickle.

A tree is None, a bool, number, text, tensor or NumPy array, or a list, tuple or dictionary of trees.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor


class NotATreeError(Exception):
    """A value of another type; the text says which, and where in the tree."""


def pack(tree: Any) -> tuple[Any, dict[str, Tensor]]:
    """Return `tree` as a value that JSON can hold, and its tensors by name, on the CPU.

    >>> pack({"step": 3, "range": (0.5, None)})
    ({'dict': [['step', 3], ['range', {'tuple': [0.5, None]}]]}, {})

    Raises:
        NotATreeError: something in it is of another type.
    """
    packing = _Packing()
    return packing.pack(tree, ()), packing.tensors


def unpack(packed: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Return the tree that `pack` made `packed` and `tensors` of.

    >>> unpack(*pack({"step": 3, "range": (0.5, None)}))
    {'step': 3, 'range': (0.5, None)}

    Raises:
        KeyError, TypeError, ValueError: they are not of one tree.
    """
    if isinstance(packed, list):
        return [unpack(each, tensors) for each in packed]
    if not isinstance(packed, dict):
        return packed
    ((kind, held),) = (item for item in packed.items() if item[0] != "stride")
    if kind == "tuple":
        return tuple(unpack(each, tensors) for each in held)
    if kind == "dict":
        return {unpack(key, tensors): unpack(each, tensors) for key, each in held}
    if kind == "array":
        return tensors[held].numpy()
    if kind != "tensor":
        raise ValueError(f"there is no kind {kind!r}")
    if "stride" not in packed:
        return tensors[held]
    flat = tensors[held]
    return torch.empty_strided(flat.shape, packed["stride"], dtype=flat.dtype).copy_(flat)


class _Packing:
    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}

    def pack(self, tree: Any, place: tuple[str, ...]) -> Any:
        match tree:
            case None | bool() | str():
                return tree
            case np.generic():
                return {"array": self._name(torch.from_numpy(np.array(tree)), place)}
            case int() | float():
                return tree
            case Tensor():
                kept = tree.detach()
                name = self._name(kept, place)
                if kept.is_contiguous() or not _is_dense(kept):
                    return {"tensor": name}
                return {"tensor": name, "stride": list(kept.stride())}
            case np.ndarray() if tree.dtype.kind in "biufc":
                return {"array": self._name(torch.from_numpy(tree.copy()), place)}
            case list():
                return self._pack_all(tree, place)
            case tuple():
                return {"tuple": self._pack_all(tree, place)}
            case Mapping():
                pairs = [
                    [self.pack(key, place), self.pack(each, (*place, str(key)))]
                    for key, each in tree.items()
                ]
                return {"dict": pairs}
        raise NotATreeError(f"{'.'.join(place) or 'it'} is a {type(tree).__name__}")

    def _pack_all(self, trees: list[Any] | tuple[Any, ...], place: tuple[str, ...]) -> list[Any]:
        return [self.pack(each, (*place, str(number))) for number, each in enumerate(trees)]

    def _name(self, tensor: Tensor, place: tuple[str, ...]) -> str:
        """Keep a copy of `tensor`, which shares no memory with another; return its name."""
        name = f"{len(self.tensors)}:{'.'.join(place)}"
        self.tensors[name] = tensor.cpu().clone(memory_format=torch.contiguous_format)
        return name


def _is_dense(tensor: Tensor) -> bool:
    """Return whether each element has a place of its own in memory, without gaps between."""
    return tensor.numel() * tensor.element_size() == tensor.untyped_storage().nbytes() and all(
        tensor.stride()
    )
