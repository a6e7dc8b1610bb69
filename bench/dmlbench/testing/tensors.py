"""What can be observed of a component's tensors from outside."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._device import _device_constructors
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from dmlbench.errors import PluginError
from dmlbench.testing.findings import ShortcomingError

_MANAGED_BY_TORCH = frozenset({"_parameters", "_buffers", "_modules"})


class _LargestTensor(TorchDispatchMode):
    elements: int = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        sizes = [leaf.numel() for leaf in tree_leaves(out) if isinstance(leaf, Tensor)]
        self.elements = max([self.elements, *sizes])
        return out


def largest(run: Callable[[], Any]) -> int:
    """Return the number of elements of the largest tensor that any operation of `run` creates."""
    seen = _LargestTensor()  # type: ignore[no-untyped-call]
    with seen:
        run()
    return seen.elements


def describe(value: Any) -> str:
    """Return in words what kind of tensor `value` is."""
    if not isinstance(value, Tensor):
        return f"{value!r}, a {type(value).__name__}"
    return f"a {str(value.dtype).removeprefix('torch.')} tensor of shape {[*value.shape]}"


def require_finite(name: str, tensor: Tensor) -> None:
    """Check that `tensor` contains no NaN and no infinity.

    Raises:
        PluginError: it does.
    """
    wrong = int((~torch.isfinite(tensor)).sum())
    if wrong:
        subject = (
            f"{wrong} of {tensor.numel()} values of {name} are" if tensor.ndim else f"{name} is"
        )
        first = tensor[~torch.isfinite(tensor)].flatten()[0].item()
        raise PluginError(
            f"{subject} not finite ({first}). Look for a division by 0, a logarithm or root of 0, "
            "an exponential that overflows, or a mean over nothing."
        )


def require_registered(module: nn.Module) -> None:
    """Check that every tensor of `module` is a parameter or a buffer.

    Raises:
        PluginError: one is a plain attribute, which `.to(device)` and `state_dict` ignore.
    """
    stray = [".".join(filter(None, place)) for place in _stray_tensors(module)]
    if stray:
        raise PluginError(
            f"The attribute {' and '.join(stray)} holds a tensor that is neither a parameter nor a "
            "buffer: .to('cuda') leaves it behind, and a resumed trial starts without it. Use "
            "register_buffer, or don't store a tensor."
        )


def _stray_tensors(module: nn.Module) -> Iterator[tuple[str, str]]:
    for name, part in module.named_modules():
        for key, value in vars(part).items():
            leaves = tree_leaves(value) if key not in _MANAGED_BY_TORCH else ()
            if any(isinstance(leaf, Tensor) for leaf in leaves):
                yield name, key


class _DefaultToMeta(TorchFunctionMode):
    """Creates tensors on the meta device, incompatible with others, unless a device is given.

    Scalars are exempt: those on the CPU may be combined with tensors on a GPU.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        makes_anew = func in _device_constructors() and not any(
            isinstance(given, Tensor) for given in args
        )
        if makes_anew and (kwargs or {}).get("device") is None and made.ndim:
            return made.to("meta")
        return made


def require_a_device_everywhere(run: Callable[[], Any]) -> None:
    """Check that `run` creates no tensor, except scalars, without giving a device.

    Raises:
        ShortcomingError: it does.
    """
    run()
    try:
        with _DefaultToMeta():
            run()
    except Exception as error:
        raise ShortcomingError(
            f"It creates a tensor without giving a device ({str(error).splitlines()[0]}). On a GPU "
            "that is an error, or a copy at every step: write device=pairs.anchors.device, or "
            "derive it from a tensor at hand, as new_zeros and zeros_like do."
        ) from error
