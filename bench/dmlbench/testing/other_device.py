"""A stand-in for a GPU on a machine without one: what would fail there, and what would wait.

Tensors on it say that they are on another device, and compute on the CPU. An operation that mixes
them with tensors of the CPU raises, as on a GPU. An operation whose result the CPU has to know
before it can go on is counted: there the CPU waits until the GPU has caught up.

    >>> with OtherDevice() as device:
    ...     mask = torch.ones(3, device=device.name) > 0
    ...     _ = mask.nonzero(), bool(mask.all())
    >>> dict(device.waits)
    {'nonzero': 1, 'read': 1}
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Self
from unittest import mock

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map

_aten = torch.ops.aten

_SIZED_BY_VALUES = {
    _aten.nonzero.default: 1,
    _aten.masked_select.default: 1,
    _aten.repeat_interleave.Tensor: 1,
    _aten.bincount.default: 2,  # the smallest value, which must not be negative, and the largest
    _aten._unique2.default: 1,
    _aten._unique.default: 1,
    _aten.unique_dim.default: 1,
    _aten.unique_consecutive.default: 1,
    _aten.equal.default: 1,
}
"""Operations that read values on a GPU before they return, and how often (torch's CUDA kernels)."""
_READS = _aten._local_scalar_dense.default
_COPIES = {_aten._to_copy.default, _aten.copy_.default}
_INDEXES = {
    _aten.index.Tensor,
    _aten.index_put.default,
    _aten.index_put_.default,
    _aten._index_put_impl_.default,
}


class _Elsewhere(Tensor):
    """A tensor that says it is on another device than its values, which are on the CPU."""

    on_cpu: Tensor

    @staticmethod
    def __new__(cls, values: Tensor) -> "_Elsewhere":
        made: _Elsewhere = Tensor._make_wrapper_subclass(
            cls,
            values.size(),
            strides=values.stride(),
            storage_offset=values.storage_offset(),
            dtype=values.dtype,
            device=torch.device(OtherDevice.name),
        )
        made.on_cpu = values
        return made

    def __init__(self, values: Tensor) -> None:
        pass

    def __repr__(self) -> str:  # type: ignore[override]
        return f"elsewhere({self.on_cpu!r})"

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def new_tensor(  # type: ignore[override]
        self, data: Any, *, dtype: torch.dtype | None = None
    ) -> Tensor:
        return torch.tensor(data, dtype=dtype or self.dtype).to(self.device)

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return OtherDevice.active._run(func, args, dict(kwargs or {}))


class _Constants(TorchFunctionMode):
    """Makes a tensor of Python's numbers on the CPU and copies it, as torch does for a GPU."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        if func in (torch.tensor, torch.as_tensor) and "device" in given:
            device = given.pop("device")
            return func(*args, **given).to(device)
        return func(*args, **given)


class _Autocast(torch.autocast):
    """Switches autocast on or off for the device's tensors, which are computed on the CPU."""

    def __init__(self, device_type: str, *args: Any, **kwargs: Any) -> None:
        there = device_type == OtherDevice.name
        super().__init__("cpu" if there else device_type, *args, **kwargs)


class OtherDevice(TorchDispatchMode):
    """The device, while the context is open.

    Attributes:
        waits: how often the CPU had to wait, by what for: an operation's name, `read` for a value
            read (`item`, `float`, `if`), `copy here` and `copy there` for copies of tensors.
    """

    # The one device type that needs no driver and whose gradients run on the CPU's own thread.
    name = "meta"
    active: "OtherDevice"

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.waits: Counter[str] = Counter()

    def __enter__(self) -> Self:
        OtherDevice.active = self
        self._around = ExitStack()
        self._around.enter_context(_Constants())
        self._around.enter_context(mock.patch.object(torch, "autocast", _Autocast))
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        self._around.close()

    @contextmanager
    def uncounted(self) -> Iterator[None]:
        """Let the CPU wait in this context without a count."""
        before = Counter(self.waits)
        yield
        self.waits = before

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return self._run(func, args, dict(kwargs or {}))

    def _run(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        there = any(isinstance(tensor, _Elsewhere) for tensor in tensors)
        if any(each.is_meta and not isinstance(each, _Elsewhere) for each in tensors):
            raise RuntimeError(
                f"{func} got a tensor of the device that torch made of a list of Python's numbers: "
                "on a GPU it would be copied there at every step. Make it once, or there."
            )
        device, given = kwargs.get("device"), args
        made_there = there if device is None else torch.device(device).type == self.name
        if there or made_there:
            self._count(func, args, kwargs, there, made_there)
            if func not in _COPIES:
                _require_one_device(func, args, tensors, made_there)
        if device is not None and made_there:
            kwargs["device"] = "cpu"
        args, plain = tree_map(_values, (args, kwargs))
        with torch._C._DisableTorchDispatch():
            out = func(*args, **plain)
        if not made_there or (func is _aten.copy_.default and not isinstance(given[0], _Elsewhere)):
            return given[0] if func is _aten.copy_.default else out
        out = tree_map(lambda leaf: _Elsewhere(leaf) if isinstance(leaf, Tensor) else leaf, out)
        return return_and_correct_aliasing(func, given, kwargs, out)

    def _count(
        self, func: Any, args: Any, kwargs: dict[str, Any], there: bool, made_there: bool
    ) -> None:
        name = func.overloadpacket.__name__.lstrip("_")
        if func is _READS:
            self.waits["read"] += 1
        elif func in _SIZED_BY_VALUES:
            self.waits[name] += _SIZED_BY_VALUES[func]
        elif func in _COPIES:
            blocking = not (kwargs.get("non_blocking") or (len(args) > 2 and args[2]))
            source, target = there, made_there
            if func is _aten.copy_.default:
                target, source = (isinstance(each, _Elsewhere) for each in args[:2])
            if blocking and source != target:
                self.waits["copy there" if target else "copy here"] += 1
        elif func in _INDEXES:
            places = [place for place in args[1] if place is not None]
            masks = sum(place.dtype in (torch.bool, torch.uint8) for place in places)
            if func is not _aten.index.Tensor and _fills(args):
                masks = 0
            if masks:
                self.waits["boolean index"] += masks
            self.waits["copy there"] += sum(
                place.device.type == "cpu" for place in places if not isinstance(place, _Elsewhere)
            )
        self.waits += Counter()  # drops what is 0


def _values(leaf: Any) -> Any:
    return leaf.on_cpu if isinstance(leaf, _Elsewhere) else leaf


def _fills(args: Any) -> bool:
    """Return whether torch fills one value in by the mask itself, without a list of places."""
    accumulates = len(args) > 3 and args[3]
    return not accumulates and args[2].numel() == 1 and args[2].device.type == "cpu"


def _require_one_device(func: Any, args: Any, tensors: list[Tensor], made_there: bool) -> None:
    """Check that no tensor of the CPU is among those of the device.

    Single numbers may be, and the places of an index, which are copied.

    Raises:
        RuntimeError: as torch does on a GPU.
    """
    if func in _INDEXES:
        tensors = [args[0], *args[2:3]]
    wrong = [each for each in tensors if not isinstance(each, _Elsewhere) and each.ndim]
    if wrong and made_there:
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but {func} got one on the CPU, of "
            f"shape {list(wrong[0].shape)}."
        )
