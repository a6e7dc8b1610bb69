"""The untrained network: what architecture and input alone give, before any loss has taught it.

A row below this one has unlearned. The floor is often higher than one would think: random
convolutional features find a digit of the same class first in most cases.
"""

from typing import ClassVar, Literal

from sklearn.preprocessing import FunctionTransformer


class Untrained(FunctionTransformer):
    """The embeddings of the protocol's network at its initial weights, as they are."""

    takes: ClassVar[Literal["embeddings"]] = "embeddings"

    def __init__(self) -> None:
        super().__init__()
