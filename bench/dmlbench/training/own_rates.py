"""Learning rates of a loss's own parameters: those of its source, or one of the protocol."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import nn

from dmlbench.contracts.components import Loss
from dmlbench.schemas.protocol import Optimiser


@dataclass(frozen=True)
class OwnRate:
    """Parameters of a loss that learn at one rate, and what records say of it."""

    lr: float
    weights: list[nn.Parameter]
    text: str


def own_rates(loss: Loss, choices: Optimiser) -> Iterator[OwnRate]:
    """Yield the rates of a loss's parameters, each once; none for a loss without parameters.

    A rate of the protocol is for class vectors alone: parameters of two dimensions or more, such as
    proxies. What a loss has besides, such as a margin, learns as its source has it.
    """
    multiple = float(loss.own_lr_multiple)
    of_source = (choices.lr * multiple, f"{multiple:g}x")
    of_house = _of_house(choices) or of_source
    weights: dict[float, list[nn.Parameter]] = {}
    texts: dict[float, str] = {}
    for weight in loss.parameters():
        lr, text = of_house if weight.ndim >= 2 else of_source
        weights.setdefault(lr, []).append(weight)
        texts.setdefault(lr, text)
    for lr, some in weights.items():
        yield OwnRate(lr, some, texts[lr])


def own_rates_text(losses: Sequence[Loss], choices: Optimiser) -> str:
    """Return the rates of the parameters of all losses that have some: ``50x, 0.01 (house rate)``.

    A multiple is of the network's rate. The rates of one loss are joined by "and".
    """
    texts = (" and ".join(rate.text for rate in own_rates(loss, choices)) for loss in losses)
    return ", ".join(text for text in texts if text)


def _of_house(choices: Optimiser) -> tuple[float, str] | None:
    """Return the protocol's rate of class vectors and how it is written, if it has one."""
    if choices.class_vectors_lr is not None:
        return choices.class_vectors_lr, f"{choices.class_vectors_lr:g} (house rate)"
    if choices.class_vectors_lr_multiple is not None:
        multiple = choices.class_vectors_lr_multiple
        return choices.lr * multiple, f"{multiple:g}x (house rate)"
    return None
