"""The values that a hyper-parameter may take, stated in its annotation.

``margin: Annotated[float, Uniform(0.0, 1.0)] = 0.2`` says three things at once: the default, the
values that ``--set`` accepts, and where a tuner searches.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Uniform:
    """A real number in ``[low, high]``, searched uniformly."""

    low: float
    high: float

    def __contains__(self, value: Any) -> bool:
        return isinstance(value, int | float) and self.low <= value <= self.high


@dataclass(frozen=True)
class LogUniform(Uniform):
    """A positive real number in ``[low, high]``, searched uniformly in its logarithm."""


@dataclass(frozen=True)
class IntUniform:
    """A whole number in ``[low, high]``, both ends included."""

    low: int
    high: int

    def __contains__(self, value: Any) -> bool:
        return isinstance(value, int) and self.low <= value <= self.high


class Choice:
    """One of the given values."""

    def __init__(self, *options: Any) -> None:
        self.options = options

    def __contains__(self, value: Any) -> bool:
        return value in self.options

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Choice) and self.options == other.options

    def __hash__(self) -> int:
        return hash(self.options)

    def __repr__(self) -> str:
        return f"Choice({', '.join(map(repr, self.options))})"


SearchSpace = Uniform | LogUniform | IntUniform | Choice
