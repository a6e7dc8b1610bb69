"""Layers that normalise an item by the others of its batch, which can't be trained in parts."""

from contextlib import suppress

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from dmlbench.components.workplace import Workplace
from dmlbench.errors import ConfigError, DmlbenchError, guarded
from dmlbench.schemas.protocol import Protocol
from dmlbench.schemas.trial import Trial


def trains_backbone(protocol: Protocol) -> bool:
    """Return whether a protocol trains more than the head, in any epoch."""
    return not protocol.frozen and protocol.optimiser.head_only_epochs < protocol.length.epochs


def how_divided(chunk: int | None, devices: int) -> str:
    """Return by what a batch is divided, for the user; empty if it isn't."""
    if chunk:
        return "gradient caching (--chunk)"
    return "a trial on several devices (--devices-per-trial)" if devices > 1 else ""


def refuse_batch_statistics(backbone: nn.Module, name: str, divided: str) -> None:
    """Refuse to train `backbone` if it has batch norm with trained statistics.

    It is left in training mode.

    Args:
        backbone: the network.
        name: of it, for the user.
        divided: by what batches are divided, see `how_divided`.

    Raises:
        ConfigError: it has.
    """
    backbone.train()
    found = [
        f"{path} ({type(layer).__name__})" if path else type(layer).__name__
        for path, layer in backbone.named_modules()
        if isinstance(layer, _BatchNorm) and layer.training
    ]
    if found:
        raise ConfigError(
            f"The backbone {name} can't be trained by {divided}: {len(found)} of its layers, such "
            f"as {found[0]}, normalise an item by the others of its batch, of which each part "
            "would see its own alone. Leave the option out; or freeze the statistics (timm's "
            "networks can: --set backbone.batch_norm=frozen-statistics, or in a protocol "
            "batch_norm in backbone_settings); or choose a backbone without batch norm."
        )


def refuse_batch_statistics_of(trial: Trial, workplace: Workplace, divided: str) -> None:
    """Refuse a trial by its backbone of images, before any data are loaded.

    A backbone that can't be made, or not for such pictures, is its trial's reason to fail.

    Raises:
        ConfigError: `refuse_batch_statistics` refuses it.
    """
    if "loss" not in trial.parts or not trains_backbone(trial.protocol):
        return
    part, side = trial.parts["backbone"], trial.protocol.image_size
    network = None
    with suppress(DmlbenchError), guarded("The backbone"):
        backbone = workplace.make("backbone", part).without_weights()
        if backbone.modality == "image":
            wanted = backbone.image_format()
            network = backbone.build(
                (wanted.channels or 3, wanted.size or side, wanted.size or side)
            )
    if network is not None:
        refuse_batch_statistics(network, str(part), divided)
