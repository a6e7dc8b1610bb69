"""The precision of a backbone. The head, the loss and metrics always compute in float32."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal

import torch

Precision = Literal["float32", "tf32", "bfloat16", "float16"]

_AUTOCAST = {"bfloat16": torch.bfloat16, "float16": torch.float16}


def in_use(precision: Precision, device: torch.device) -> Precision:
    """Return the precision that `device` computes in: float32 for tf32, which only GPUs have.

    >>> in_use("tf32", torch.device("cpu")), in_use("tf32", torch.device("cuda"))
    ('float32', 'tf32')
    """
    return "float32" if precision == "tf32" and device.type != "cuda" else precision


def forward_in(precision: Precision, device: torch.device) -> AbstractContextManager[Any]:
    """Return the context in which a backbone computes its features."""
    if precision in _AUTOCAST:
        return torch.autocast(device.type, dtype=_AUTOCAST[precision])
    return backward_in(precision, device)


def backward_in(precision: Precision, device: torch.device) -> AbstractContextManager[Any]:
    """Return the context in which gradients go back through a backbone.

    After a forward pass in bfloat16 or float16, they take its types by themselves.
    """
    return _tf32() if in_use(precision, device) == "tf32" else nullcontext()


@contextmanager
def _tf32() -> Iterator[None]:
    """Let products and convolutions of float32 on a GPU round their inputs to 11 bits."""
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before = products.allow_tf32, convolutions.allow_tf32
    products.allow_tf32 = convolutions.allow_tf32 = True
    try:
        yield
    finally:
        products.allow_tf32, convolutions.allow_tf32 = before
