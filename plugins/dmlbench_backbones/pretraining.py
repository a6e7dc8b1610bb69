"""What timm's pretrained weights were trained on, read off their tag.

A tag such as ``laion2b_ft_in12k_in1k`` names its data among words for the recipe. These names, and
what is known about the data, stand in ``pretraining.toml``.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from dmlbench import Contamination, Pretraining

_UNKNOWN = "unknown data"
_LOOKS_LIKE_DATA = re.compile(r"[a-z]*in\d+k|[a-z]*\d+(pt\d+)?[mb]")
"""A word such as in12k or 400m: if it is not in the file, it is data that nothing is known of."""


def pretraining_of(tag: str, licence: str) -> Pretraining:
    """Return what weights with timm's `tag` were trained on, all stages together.

    A stage before ``ft``, or a whole tag, that names no data leaves data unknown.

    Example:
        >>> pretraining_of("laion2b_ft_in1k", "mit").data
        'LAION-2B, ImageNet-1k'
        >>> pretraining_of("brand_new", "").data
        'unknown data'
    """
    stages = re.split(r"(?:^|_)ft(?:_|$)", tag)
    found = dict.fromkeys(name for stage in stages for name in _data_of(stage))
    data = _facts()["data"]
    known = [data.get(name, {"name": name}) for name in found]
    datasets = dict.fromkeys(key for facts in data.values() for key in facts if key != "name")
    return Pretraining(
        data=", ".join(facts["name"] for facts in known),
        licence=licence,
        contamination={
            dataset: _together([facts.get(dataset, {}) for facts in known]) for dataset in datasets
        },
    )


def pretraining_of_file(tag: str) -> Pretraining:
    """Return what a file of weights was trained on, as far as its user says so by timm's `tag`.

    What a tag is said to have, the file may have; what it is said not to have, nobody has checked.
    """
    if not tag:
        return Pretraining(f"{_UNKNOWN} (a file of weights)")
    told = pretraining_of(tag, "")
    unchecked = {
        dataset: Contamination(
            "yes" if one.images == "yes" else "unknown",
            "yes" if one.classes == "yes" else "unknown",
            one.reason,
        )
        for dataset, one in told.contamination.items()
    }
    return Pretraining(f"{told.data} (a file of weights, by its name)", "", unchecked)


def _data_of(stage: str) -> list[str]:
    known: dict[str, list[str]] = _facts()["words"]
    words = [stage] if stage in known else stage.split("_")
    found = [name for word in words if word in known for name in known[word]]
    if any(word not in known and _LOOKS_LIKE_DATA.fullmatch(word) for word in words):
        found.append(_UNKNOWN)
    return found or [_UNKNOWN]


def _together(facts: list[Mapping[str, str]]) -> Contamination:
    """Return what is known of one dataset in several sets of pre-training data."""
    reasons = dict.fromkeys(one["reason"] for one in facts if "reason" in one)
    images, classes = (
        _strongest(one.get(key, "unknown") for one in facts) for key in ("images", "classes")
    )
    return Contamination(images, classes, " ".join(reasons))


def _strongest(answers: Iterable[str]) -> Any:
    return min(answers, key=("yes", "unknown", "no").index)


@cache
def _facts() -> dict[str, Any]:
    text = files(__package__).joinpath("pretraining.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)
