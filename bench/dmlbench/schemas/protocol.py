"""Protocols: all settings of training and evaluation that every loss shares.

The fields of a protocol, each with what it means. `protocol_file` reads them from a TOML file.
"""

from collections.abc import Iterable
from functools import reduce
from math import ceil
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from dmlbench.errors import ConfigError, nearest
from dmlbench.schemas.added import Added
from dmlbench.schemas.base import Schema, validate
from dmlbench.schemas.only_with import OnlyWith, only_with

PAPER = "paper"
"""Stands for the sampler that each loss's own source uses."""

Settings = dict[str, bool | int | float | str]
"""Hyper-parameters by name."""


class Optimiser(Schema):
    """How weights are updated."""

    name: Literal["adam", "adamw", "sgd", "rmsprop"] = Field(description="as PyTorch has it")
    lr: float = Field(gt=0, description="learning rate of the network")
    head_lr_multiple: float = Field(
        gt=0, default=1.0, description="learning rate of the linear head over that of the network"
    )
    class_vectors_lr: Annotated[float | None, Added(before=None)] = Field(
        gt=0,
        default=None,
        description="learning rate of a loss's class vectors (proxies, class weights, centres: "
        "its parameters of two dimensions or more), whatever that of the network; none: as each "
        "loss's source has it",
    )
    class_vectors_lr_multiple: Annotated[float | None, Added(before=None)] = Field(
        gt=0, default=None, description="the same, as a multiple of that of the network"
    )
    weight_decay: float = Field(
        ge=0, description="of the network; a loss's own parameters may have their source's"
    )
    decay_norms_and_biases: Annotated[bool, Added(before=True)] = Field(
        default=True,
        description="whether the network's norms and biases, its weights of one dimension, decay "
        "as all others do",
    )
    momentum: Annotated[float, OnlyWith("name", "sgd", "rmsprop")] = Field(
        ge=0, lt=1, default=0.9, description="of sgd and rmsprop"
    )
    eps: Annotated[float | None, OnlyWith("name", "adam", "adamw", "rmsprop")] = Field(
        gt=0, default=None, description="of adam, adamw and rmsprop; none: PyTorch's, 1e-8"
    )
    step_epochs: Annotated[int | None, OnlyWith("schedule", "step")] = Field(
        ge=1, default=None, description="with schedule step: epochs until the rate falls again"
    )
    milestones: Annotated[tuple[int, ...], OnlyWith("schedule", "milestones"), Added(before=())] = (
        Field(default=(), description="with schedule milestones: epochs after which the rate falls")
    )
    step_factor: Annotated[float | None, OnlyWith("schedule", "step", "milestones")] = Field(
        gt=0, lt=1, default=None, description="what the rate is multiplied by where it falls"
    )
    schedule: Literal["constant", "cosine", "step", "milestones"] = Field(
        description="constant; along half a cosine to 0; down by a factor every so many epochs; or "
        "down by a factor after each of some epochs"
    )
    warmup_steps: int = Field(ge=0, description="steps over which the rate grows from 0")
    head_only_epochs: int = Field(
        ge=0,
        default=0,
        description="first epochs, in which only the head and the loss's own parameters learn",
    )
    clip_norm: float | None = Field(gt=0, default=None, description="largest gradient norm")
    clip_value: float | None = Field(
        gt=0, default=None, description="largest value in a gradient, own parameters included"
    )

    @model_validator(mode="after")
    def _steps_are_said(self) -> "Optimiser":
        if self.schedule == "step" and None in (self.step_epochs, self.step_factor):
            raise ValueError("the schedule 'step' needs step_epochs and step_factor")
        if self.schedule == "milestones" and not (self.milestones and self.step_factor):
            raise ValueError("the schedule 'milestones' needs milestones and step_factor")
        if list(self.milestones) != sorted({max(1, epoch) for epoch in self.milestones}):
            raise ValueError("milestones must be epochs in ascending order, from 1 on")
        return self

    @model_validator(mode="after")
    def _one_rate_of_class_vectors(self) -> "Optimiser":
        if None not in (self.class_vectors_lr, self.class_vectors_lr_multiple):
            raise ValueError("class_vectors_lr and class_vectors_lr_multiple exclude each other")
        return self


class Length(Schema):
    """How long training lasts. An epoch is a number of steps, or one pass over the items."""

    epochs: int = Field(ge=1, description="how many; epoch 0 is the untrained network")
    steps_per_epoch: Annotated[int, Field(ge=1)] | Literal["pass"] = Field(
        description="'pass': as many as there are whole batches of different training items"
    )
    min_passes: Annotated[float, Added(before=0.0)] = Field(
        ge=0,
        default=0.0,
        description="epochs get more steps if all of them together made fewer passes than this",
    )

    def steps(self, items: int, batch_size: int) -> int:
        """Return the steps of an epoch on so many training items."""
        if self.steps_per_epoch == "pass":
            steps = max(1, items // batch_size)
        else:
            steps = self.steps_per_epoch
        return max(steps, ceil(self.min_passes * items / (batch_size * self.epochs)))


class Augmentation(Schema):
    """Random changes to each training image; vectors are left alone."""

    crop: Literal["centre", "random", "random-resized"] = Field(
        default="centre",
        description="what is cut from a photo: the middle square, any, or one of any size",
    )
    crop_scale: Annotated[float, OnlyWith("crop", "random-resized")] = Field(
        gt=0, le=1, default=0.08, description="smallest area of a random-resized crop, as a share"
    )
    crop_ratio: Annotated[float, OnlyWith("crop", "random-resized")] = Field(
        ge=1, default=4 / 3, description="its greatest width over height, and height over width"
    )
    shift: float = Field(ge=0, le=0.5, description="farthest move, as a share of the side")
    flip: bool = Field(description="mirror half of the images left to right")
    brightness: float = Field(ge=0, default=0.0, description="as in torchvision's ColorJitter")
    contrast: float = Field(ge=0, default=0.0, description="as in torchvision's ColorJitter")
    saturation: float = Field(ge=0, default=0.0, description="as in torchvision's ColorJitter")
    hue: float = Field(ge=0, le=0.5, default=0.0, description="as in torchvision's ColorJitter")


class Validation(Schema):
    """How the epoch is selected; never on test."""

    class_fraction: float = Field(ge=0, lt=1, description="share of training classes held out")
    min_classes: int = Field(ge=2, description="with fewer, all train and the last epoch counts")
    every: Annotated[int, Added(before=1)] = Field(
        ge=1,
        default=1,
        description="epochs from one validation and measurement of mean distances to the next; "
        "epoch 0 and the last are always measured",
    )
    then: Annotated[Literal["stop", "retrain-all"], Added(before="stop")] = Field(
        default="stop",
        description="after the epoch is selected: test its network; or train a new one on all "
        "classes, by the same schedule cut at that epoch, and test that",
    )

    def is_due(self, epoch: int, last: int) -> bool:
        """Return whether an epoch is measured, of those from 0 to `last`."""
        return epoch % self.every == 0 or epoch == last


class Baselines(Schema):
    """Settings of rows without a trained network."""

    fit_items: int = Field(ge=2, description="most training items a baseline is fitted on")
    floors: tuple[str, ...] = Field(description="rows that a trained one must beat")
    names: dict[str, str] = Field(
        default={}, description="what tables call a baseline, where its own name would mislead"
    )


class Protocol(Schema):
    """A protocol, checked."""

    name: str = Field(description="what tables call it; that of its file")
    description: str = Field(description="what it is, in a sentence")
    source: str = Field(description="where its choices come from")
    backbone: str = Field(description="the network, without the linear head that follows it")
    backbone_settings: Settings = Field(
        default={}, description="its hyper-parameters; those of another one keep their defaults"
    )
    tuning: Literal["full", "frozen"] = Field(
        default="full",
        description="what of the backbone learns: all of it; or nothing: its features of the "
        "plain images are what every row starts from, and a loss trains the linear head alone",
    )
    sampler: str = Field(description="a reference, or 'paper': the one of each loss's source")
    sampler_settings: Settings = Field(
        default={}, description="its hyper-parameters; those of another one keep their defaults"
    )
    embedding_dim: int = Field(ge=1, description="numbers in an embedding")
    head_init: Annotated[
        Literal["torch", "kaiming-fan-out", "orthogonal"], Added(before="torch")
    ] = Field(
        default="torch",
        description="how the linear head starts: as nn.Linear does; normal with variance "
        "2 / embedding_dim; or orthogonal; the last two with a bias of 0",
    )
    batch_size: int = Field(ge=2, description="training items in a step")
    store_side: Annotated[
        int | None, Added(before=None), OnlyWith("augmentation.crop", "random-resized")
    ] = Field(
        ge=4,
        default=None,
        description="photos are kept with at most so many pixels on the short side, and training "
        "crops are cut from that; none: with short_side, to which smaller ones are enlarged",
    )
    short_side: int = Field(
        ge=4, description="plain squares are cut from photos with so many pixels on it"
    )
    image_size: int = Field(ge=4, description="photos are cut to squares of so many pixels")
    interpolation: Literal["bilinear", "bicubic"] = Field(
        description="how photos and random-resized crops are resized; always anti-aliased"
    )
    precision: Literal["float32", "tf32", "bfloat16", "float16"] = Field(
        description="of the backbone; head, loss and metrics compute in float32, and so do CPUs in "
        "place of tf32"
    )
    distance: Literal["cosine"] = Field(description="by which test items are ranked")
    optimiser: Optimiser = Field(description="how weights are updated")
    length: Length = Field(description="how long training lasts")
    augmentation: Augmentation = Field(description="random changes to each training image")
    validation: Validation = Field(description="how the epoch is selected; never on test")
    baselines: Baselines = Field(description="rows without a trained network")

    decides_nothing = frozenset({"name", "description", "source"})

    @model_validator(mode="before")
    @classmethod
    def _read_frozen(cls, values: Any) -> Any:
        """Take ``frozen``, as older records and files have it, for ``tuning``."""
        if not isinstance(values, dict) or "frozen" not in values:
            return values
        others = {key: value for key, value in values.items() if key != "frozen"}
        frozen = values["frozen"]
        if not isinstance(frozen, bool):
            raise ValueError(f"frozen is true or false, not {frozen!r}")
        tuning = "frozen" if frozen else "full"
        if (said := others.get("tuning", tuning)) != tuning:
            raise ValueError(
                f"frozen = {str(frozen).lower()} contradicts tuning = {said!r}; leave frozen out"
            )
        return others | {"tuning": tuning}

    def __hash__(self) -> int:
        return hash(self.model_dump_json())

    @property
    def frozen(self) -> bool:
        """Return whether the backbone learns nothing."""
        return self.tuning == "frozen"

    @property
    def crops_from(self) -> int | None:
        """Return `store_side` where it is read, else None: nothing but crops of any size does."""
        return None if self.frozen or self.unread("store_side") else self.store_side

    def identity(self) -> dict[str, Any]:
        """Return the fields that decide the figures; ``tuning`` as older records have it."""
        identity = super().identity() | {"tuning": self.frozen}
        return {"frozen" if key == "tuning" else key: value for key, value in identity.items()}

    def value(self, key: str) -> Any:
        """Return the value of one field, such as ``length.epochs``."""
        return reduce(getattr, key.split("."), self)

    def unread(self, key: str) -> str:
        """Return why one field is not read beside the others, or "" if it is; see `OnlyWith`."""
        section = reduce(getattr, key.split(".")[:-1], self)
        mark = only_with(type(section).model_fields[key.rpartition(".")[2]].metadata)
        if mark is None:
            return ""
        return mark.unmet({mark.name: reduce(getattr, mark.name.split("."), section)})

    def change(self, key: str, text: str) -> "Protocol":
        """Return a copy with one field set, such as ``length.epochs``, and the change in its name.

        Setting a field to its current value changes nothing, not even the name.

        Raises:
            ConfigError: no such field, or not a value for it.
        """
        values = self.model_dump()
        *tables, field = key.split(".")
        if key not in self.fields():
            raise ConfigError(f"protocol.{key}: {no_such_field(key, self.fields())}")
        table = reduce(dict[str, Any].__getitem__, tables, values)
        if f"{key}_settings" in values and text != table[field]:
            values[f"{key}_settings"] = {}  # they were those of another component
        table[field] = None if text.lower() == "none" else text
        changed = validate(type(self), values, f"--set protocol.{key}={text}")
        if changed == self:
            return self
        value = changed.value(key)
        return changed.model_copy(update={"name": f"{self.name}+{field}={value}"})


def no_such_field(key: str, known: Iterable[str]) -> str:
    """Return that a protocol has no field `key`, and what may have been meant."""
    if key == "frozen":
        return "the field is called tuning: protocol.tuning=frozen, or protocol.tuning=full."
    if key in Protocol.fields_and_sections():
        return "it is a list or a table, which only a protocol file of your own can set."
    return "there is no such field." + nearest(key, known)
