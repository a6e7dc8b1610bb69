"""timm's networks by name: their configuration, and how they look without weights."""

from difflib import get_close_matches
from functools import lru_cache
from textwrap import shorten
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from dmlbench import ConfigError

if TYPE_CHECKING:
    from timm.models import PretrainedCfg


def config_of(name: str) -> "PretrainedCfg":
    """Return timm's configuration of the weights `name`.

    Raises:
        ConfigError: timm has no such name.
    """
    import timm

    try:
        config = timm.models.get_pretrained_cfg(name, allow_unregistered=False)
    except RuntimeError as error:
        known = {*timm.list_models(), *timm.list_models(pretrained=True)}
        nearest = get_close_matches(name, sorted(known), n=3, cutoff=0.5)
        raise ConfigError(
            f"timm {timm.__version__} has no network {name!r}. "
            + (f"Near it: {', '.join(nearest)}." if nearest else "See timm.list_models().")
        ) from error
    assert config is not None  # only an unregistered name has none, and that has raised
    return config


def size_argument(img_size: int | None) -> dict[str, Any]:
    """Return what to pass to timm for images of another size than usual."""
    return {"img_size": img_size} if img_size else {}


def outline(name: str, img_size: int | None) -> nn.Module:
    """Return a network without numbers in it, to look at; not to be changed.

    Raises:
        ConfigError: timm has no such name, or it can't be built for images of `img_size`.
    """
    config = config_of(name)
    if not img_size:
        return _outline(name, None)
    if not config.fixed_input_size:
        raise ConfigError(
            f"The network 'timm/{name}' takes images of any size: leave out backbone.img_size. "
            "Their size is the protocol's (--set protocol.image_size=N)."
        )
    refused = f"The network 'timm/{name}' can't take images of {img_size} pixels"
    side = getattr(getattr(_outline(name, None), "patch_embed", None), "patch_size", (1, 1))[0]
    if img_size % side:
        near = max(1, round(img_size / side)) * side
        raise ConfigError(
            f"{refused}: its patches are of {side}, and the rest would be cut off. Try "
            f"--set backbone.img_size={near}."
        )
    try:
        network = _outline(name, img_size)
        network(torch.empty(1, config.input_size[0], img_size, img_size, device="meta"))
    except (AssertionError, RuntimeError, TypeError, ValueError) as error:
        why = shorten(str(error), 200) or type(error).__name__
        raise ConfigError(
            f"{refused} ({why}). Leave out backbone.img_size, or try another one."
        ) from error
    return network


@lru_cache(maxsize=8)
def _outline(name: str, img_size: int | None) -> nn.Module:
    import timm

    with torch.device("meta"):
        return timm.create_model(name, **size_argument(img_size))
