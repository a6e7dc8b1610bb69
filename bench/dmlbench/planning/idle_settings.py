"""Changes of a protocol that change no figure, and yet would make another table."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from dmlbench.data.items import Data, Items
from dmlbench.data.photos.pictures import StoredPhotos
from dmlbench.data.splits import hold_out_classes
from dmlbench.errors import ConfigError
from dmlbench.schemas.protocol import Protocol


class IdleSettings:
    """Collects, table by table, which settings of the protocol are read.

    A setting may do nothing for some tables of a run, but not for all of them. That baselines alone
    read few of them is no reason to refuse one: it says in which table they are.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.settings = settings
        self.reasons: dict[str, str] = {}
        self.read: set[str] = set()

    def look_at(self, usual: Protocol, changed: Protocol, data: Data) -> None:
        """Note which settings change a figure on `data`, beside the others."""
        for key in self.settings:
            if changed.value(key) == usual.value(key):
                continue
            if reason := next(_reasons(key, usual, changed, data), ""):
                self.reasons[key] = reason
            else:
                self.read.add(key)

    def refuse(self) -> None:
        """Refuse a setting that no table of the run reads.

        Raises:
            ConfigError: there is one.
        """
        for key, reason in self.reasons.items():
            if key not in self.read:
                raise ConfigError(
                    f"--set protocol.{key}={self.settings[key]} would change nothing but the name "
                    f"of the table: {reason}. Leave it out."
                )


def _reasons(key: str, usual: Protocol, changed: Protocol, data: Data) -> Iterator[str]:
    """Yield why a change of `key` changes no figure."""
    items = next(iter(data.splits.values()))
    shape = items.inputs.shape
    vectors, photos = len(shape) == 2, isinstance(items.inputs, StoredPhotos)
    if reason := changed.unread(key):
        yield reason
    if key.startswith("augmentation."):
        if vectors:
            yield "vectors are not augmented"
        if changed.frozen:
            yield "a frozen backbone sees the plain images"
        if key.endswith((".saturation", ".hue")) and shape[1] == 1:
            yield "the images are grey"
        crops = {usual.augmentation.crop, changed.augmentation.crop}
        if key.endswith(".crop") and not photos and "random-resized" not in crops:
            yield "the images come in the size that the network sees"
    if key in ("store_side", "short_side", "image_size") and not photos:
        yield "the data are no photos"
    if key == "store_side" and changed.frozen:
        yield "a frozen backbone sees the plain images"
    if key == "interpolation" and not photos and changed.augmentation.crop != "random-resized":
        yield "no image is resized"
    if key == "optimiser.head_only_epochs" and changed.frozen:
        yield "of a frozen backbone, the head alone learns anyway"
    if key == "length.min_passes" or key.startswith("validation."):
        yield from _beside_held_out_classes(key, usual, changed, data)


def _beside_held_out_classes(
    key: str, usual: Protocol, changed: Protocol, data: Data
) -> Iterator[str]:
    """Yield why a change of `key`, of the validation or of the passes, changes no figure."""
    of_validation = key.startswith("validation.")
    if "train" not in data.splits:
        if of_validation:
            yield "nothing is held out of cross-validation"
        return
    without = changed.change(key, str(usual.value(key)))
    if key in ("validation.every", "validation.then"):
        if _held_out(changed, data) is None:
            yield "no class is held out, so the last epoch counts"
    elif of_validation and _classes(changed, data) == _classes(without, data):
        yield "it holds out as many classes as without"
    elif not of_validation and _steps(changed, data) == _steps(without, data):
        yield "the epochs have as many steps as without"


def _held_out(protocol: Protocol, data: Data) -> Items | None:
    """Return the training items that are held out for validation."""
    choices, rng = protocol.validation, np.random.default_rng(0)
    train = data.splits["train"]
    return hold_out_classes(train, choices.class_fraction, choices.min_classes, rng)[1]


def _classes(protocol: Protocol, data: Data) -> int:
    held = _held_out(protocol, data)
    return 0 if held is None else len(np.unique(held.labels))


def _steps(protocol: Protocol, data: Data) -> list[int]:
    """Return the steps of an epoch on all training items, and on those that are not held out."""
    items, held = len(data.splits["train"]), _held_out(protocol, data)
    sizes = (items, items - len(held or ()))
    return [protocol.length.steps(size, protocol.batch_size) for size in sizes]
