"""What a backbone was pre-trained on, and what of the benchmarks' data was in it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

Answer = Literal["yes", "no", "unknown"]
"""``yes`` and ``no`` need a source, which the reason names; all else is ``unknown``."""


@dataclass(frozen=True)
class Contamination:
    """Whether a dataset was in pre-training data.

    Attributes:
        images: whether some of its images were.
        classes: whether images of some of its classes were.
        reason: why these are the answers, with a source.
    """

    images: Answer = "unknown"
    classes: Answer = "unknown"
    reason: str = ""

    def __post_init__(self) -> None:
        wrong = {self.images, self.classes} - set(get_args(Answer))
        if wrong:
            raise ValueError(f"{wrong.pop()!r} is no answer; answer 'yes', 'no' or 'unknown'.")


@dataclass(frozen=True)
class Pretraining:
    """Where the weights of a backbone come from.

    Attributes:
        data: what they were trained on, as a reader knows it: ``"ImageNet-1k"``.
        licence: of the weights; empty if it is not known.
        contamination: by name of the dataset; one that is left out is unknown.
    """

    data: str
    licence: str = ""
    contamination: Mapping[str, Contamination] = field(default_factory=dict)

    def of(self, dataset: str) -> Contamination:
        """Return what is known about a dataset.

        Example:
            >>> Pretraining("ImageNet-1k").of("cub").images
            'unknown'
        """
        return self.contamination.get(dataset, Contamination())

    def to_record(self, dataset: str) -> dict[str, Any]:
        """Return what the record of a trial on `dataset` holds of it."""
        found = self.of(dataset)
        return {
            "data": self.data,
            "licence": self.licence,
            "images": found.images,
            "classes": found.classes,
            "reason": found.reason,
        }
