"""What ``dmlbench show backbone NAME`` says of a network, without loading its weights."""

from collections.abc import Iterator

from dmlbench.contracts.components import Backbone
from dmlbench.contracts.pretraining import Pretraining
from dmlbench.errors import guarded
from dmlbench.training.operations import network_size

_USUAL_SIDE = 224
"""Side of the image that operations are counted on, if the backbone takes any."""


def backbone_facts(backbone: Backbone) -> dict[str, str]:
    """Return facts by topic: what goes in and comes out, its size, and where its weights are from.

    Raises:
        ConfigError: its settings do not go together, or there is no such network.
        PluginError: it breaks its contract.
    """
    with guarded(f"The backbone {type(backbone).__name__}"):
        resolved, pretraining = backbone.resolved(), backbone.pretraining()
        facts = {
            name.replace("_", " "): str(value)
            for name, value in resolved.items()
            if value is not None
        }
        if backbone.modality == "image":
            facts = _network(backbone) | facts
    if pretraining:
        facts |= dict(_weights(pretraining))
    return facts


def _network(backbone: Backbone) -> dict[str, str]:
    wanted = backbone.image_format()
    side = wanted.size or _USUAL_SIDE
    channels = wanted.channels or 3
    found = network_size(backbone, (channels, side, side))
    size = f"{channels} x {side} x {side}"
    return {
        "input": f"{size} pixels" if wanted.size else "images of any size",
        "features": f"{found.features:,}",
        "parameters": f"{found.parameters:,}",
        "GFLOPs": f"{found.operations / 1e9:.3g} in the matrix products, convolutions and "
        f"attention for an image of {size}; a multiply-add is two",
    }


def _weights(pretraining: Pretraining) -> Iterator[tuple[str, str]]:
    yield "pre-trained on", pretraining.data
    yield "licence of its weights", pretraining.licence or "unknown"
    for dataset, found in pretraining.contamination.items():
        answers = f"images {found.images}, classes {found.classes}"
        yield f"{dataset} in that data", f"{answers}. {found.reason}".rstrip()
