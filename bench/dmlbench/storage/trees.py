"""Nested values as JSON and named tensors, and back: what can be stored without pickle.

A tree is None, a bool, number, text, tensor or array, or a list, tuple or dictionary of trees.
"""

import json
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
    tree = packed
    match packed:
        case list():
            tree = [unpack(each, tensors) for each in packed]
        case {"tuple": [*trees]}:
            tree = tuple(unpack(each, tensors) for each in trees)
        case {"dict": [*pairs]}:
            tree = {unpack(key, tensors): unpack(each, tensors) for key, each in pairs}
        case {"array": str(name)}:
            tree = tensors[name].numpy()
        case {"tensor": str(name), **layout}:
            tree = _laid_out(tensors[name], layout)
        case dict():
            raise ValueError(f"there is no kind {[*packed]}")
    return tree


def is_same(one: Any, other: Any) -> bool:
    """Return whether two trees are equal to the bit, NaN equal to NaN."""
    (packed, tensors), (packed_too, tensors_too) = pack(one), pack(other)
    if json.dumps(packed) != json.dumps(packed_too):
        return False
    pairs = [(tensor, tensors_too[name]) for name, tensor in tensors.items()]
    return all(
        (a.dtype, a.shape) == (b.dtype, b.shape) and as_bytes(a) == as_bytes(b) for a, b in pairs
    )


def as_bytes(tensor: Tensor) -> memoryview:
    """Return the bytes of a tensor on the CPU, without a copy if it is contiguous."""
    data: memoryview = tensor.reshape(-1).view(torch.uint8).numpy().data
    return data


def _laid_out(tensor: Tensor, layout: Mapping[Any, Any]) -> Tensor:
    """Return `tensor` with the strides that it had."""
    if "stride" not in layout:
        return tensor
    strided = torch.empty_strided(tensor.shape, layout["stride"], dtype=tensor.dtype)
    return strided.copy_(tensor)


class _Packing:
    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}

    def pack(self, tree: Any, place: tuple[str, ...]) -> Any:
        packed = tree
        match tree:
            case np.ndarray() | np.generic() if tree.dtype.kind in "biufc":
                packed = {"array": self._name(torch.from_numpy(np.array(tree)), place)}
            case None | bool() | int() | float() | str():
                pass
            case Tensor():
                packed = {"tensor": self._name(tree.detach(), place), **_layout(tree)}
            case list() | tuple():
                packed = [self.pack(each, (*place, str(n))) for n, each in enumerate(tree)]
                packed = {"tuple": packed} if isinstance(tree, tuple) else packed
            case Mapping():
                packed = {
                    "dict": [
                        [self.pack(key, place), self.pack(each, (*place, str(key)))]
                        for key, each in tree.items()
                    ]
                }
            case _:
                raise NotATreeError(f"{'.'.join(place) or 'it'} is a {type(tree).__name__}")
        return packed

    def _name(self, tensor: Tensor, place: tuple[str, ...]) -> str:
        """Keep a copy of `tensor`, which shares no memory with another; return its name."""
        name = f"{len(self.tensors)}:{'.'.join(place)}"
        self.tensors[name] = tensor.cpu().clone(memory_format=torch.contiguous_format)
        return name


def _layout(tensor: Tensor) -> dict[str, Any]:
    """Return the strides of a tensor with another order in memory, such as channels last.

    An order with gaps, or with elements that share a place, is not kept.
    """
    size = tensor.numel() * tensor.element_size()
    dense = size == tensor.untyped_storage().nbytes() and all(tensor.stride())
    return {"stride": list(tensor.stride())} if dense and not tensor.is_contiguous() else {}
