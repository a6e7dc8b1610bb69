"""Weights of timm's networks, from the hub or from a file; loaded strictly.

They are loaded with their classifier. timm itself loads without it, which is not strict: a layer
that the file lacks stays random.
"""

import pickle
from pathlib import Path
from textwrap import shorten
from typing import cast

from safetensors import SafetensorError
from torch import Tensor, nn

from dmlbench import DataError, hub_revision
from dmlbench_backbones.timm_networks import config_of, size_argument

_UNFIT_FILE = (
    AttributeError,  # no dictionary of tensors inside
    EOFError,
    OSError,
    RuntimeError,  # other layers, other shapes, a broken archive
    ValueError,
    pickle.UnpicklingError,
    SafetensorError,
)


def from_hub(name: str, img_size: int | None) -> nn.Module:
    """Return the network `name` with its weights of the hub, or of the hub's local cache.

    Raises:
        DataError: they can't be had.
    """
    import timm

    hub = config_of(name).hf_hub_id
    try:
        overlay = {"hf_hub_id": f"{hub}@{hub_revision(hub)}"} if hub else {}
        return timm.create_model(
            name, pretrained=True, pretrained_cfg_overlay=overlay, **size_argument(img_size)
        )
    except (DataError, OSError, RuntimeError) as error:
        cache = f"fill Hugging Face's cache where there is a network (hf download {hub}), "
        raise DataError(
            f"The pretrained weights of 'timm/{name}' can't be had: {shorten(str(error), 300)} "
            f"Give a file of them (--set backbone.weights=PATH), {cache if hub else ''}or start at "
            "random (--set backbone.weights=none)."
        ) from error


def from_file(name: str, path: Path, prefix: str, img_size: int | None) -> nn.Module:
    """Return the network `name` with the weights in a file.

    Args:
        name: timm's name.
        path: of a safetensors or PyTorch file.
        prefix: what the names of its layers begin with there.
        img_size: side of the images, if not the usual one.

    Raises:
        DataError: they are not the weights of this network.
    """
    import timm

    names: list[str] = []
    try:
        weights = _read(path, prefix)
        names += weights
        source = {"state_dict": weights} if prefix else {"file": str(path)}
        network = timm.create_model(
            name,
            pretrained=True,
            pretrained_cfg_overlay={
                **source,
                "num_classes": _classes_in(weights, name),
                "label_offset": None,
            },
            **size_argument(img_size),
        )
    except _UNFIT_FILE as error:
        raise DataError(
            f"The file {path} does not hold the weights of 'timm/{name}': "
            f"{_prefix_in(names, name, prefix) or shorten(str(error), 300)} It must be a "
            "safetensors or PyTorch file with exactly the layers of this architecture."
        ) from error
    held = cast("dict[str, object]", network.pretrained_cfg)
    held.pop("state_dict", None)  # a second copy of the weights
    return network


def _read(path: Path, prefix: str) -> dict[str, Tensor]:
    """Return the weights in a file by the network's own names for them.

    Raises:
        ValueError: no name begins with the prefix.
    """
    from timm.models import load_state_dict

    weights: dict[str, Tensor] = load_state_dict(str(path), weights_only=True)
    found = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
    if prefix and not found:
        first = next(iter(weights), "")
        raise ValueError(f"no layer in it begins with {prefix!r}; the first is {first!r}.")
    return found


def _prefix_in(names: list[str], network: str, stripped: str) -> str:
    """Return which prefix hides the layers of `network` among `names`, if one does."""
    import timm

    own = list(timm.create_model(network).state_dict())
    for prefix in {name.removesuffix(own[0]) for name in names if name.endswith(own[0])}:
        if prefix and sum(f"{prefix}{layer}" in names for layer in own) > len(own) / 2:
            return (
                f"its layers are in it with {prefix!r} in front. To strip that, add "
                f"--set backbone.weights_prefix={stripped}{prefix}."
            )
    return ""


def _classes_in(weights: dict[str, Tensor], name: str) -> int:
    """Return how many classes the classifier in a file of weights has, 0 without one."""
    layers = config_of(name).classifier or ()
    names = [layers] if isinstance(layers, str) else list(layers)
    return next((len(weights[f"{n}.weight"]) for n in names if f"{n}.weight" in weights), 0)
