"""Protocols: everything about training and evaluation that is held equal for all losses.

A protocol is a TOML file. Those that ship are in ``protocols/``; a path names one of your own.
"""

import tomllib
from functools import reduce
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dmlbench.errors import ConfigError, nearest

PAPER = "paper"
"""In place of a sampler's name: the one that the source of each loss uses."""


class Section(BaseModel):
    """A validated, unchangeable table of a TOML file; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


Model = TypeVar("Model", bound=Section)


class Optimiser(Section):
    """How weights are updated."""

    name: Literal["adam", "adamw", "sgd"]
    lr: float = Field(gt=0, description="learning rate of the network")
    weight_decay: float = Field(ge=0)
    schedule: Literal["constant", "cosine"]
    warmup_steps: int = Field(ge=0, description="steps over which the rate grows from 0")
    clip_norm: float | None = Field(gt=0, default=None, description="largest gradient norm")


class Length(Section):
    """How long training lasts. An epoch is a number of steps, whatever the dataset's size."""

    epochs: int = Field(ge=1)
    steps_per_epoch: int = Field(ge=1)


class Augmentation(Section):
    """Random changes of each training image; vectors know none."""

    crop: Literal["centre", "random", "random-resized"] = Field(
        default="centre",
        description="what is cut from a photo: the middle square, any, or one of any size",
    )
    crop_scale: float = Field(
        gt=0, le=1, default=0.08, description="smallest area of a random-resized crop, as a share"
    )
    crop_ratio: float = Field(
        ge=1, default=4 / 3, description="its greatest width over height, and height over width"
    )
    shift: float = Field(ge=0, le=0.5, description="farthest move, as a share of the side")
    flip: bool = Field(description="mirror half of the images left to right")
    brightness: float = Field(ge=0, default=0.0, description="as in torchvision's ColorJitter")
    contrast: float = Field(ge=0, default=0.0, description="as in torchvision's ColorJitter")
    saturation: float = Field(ge=0, default=0.0, description="as in torchvision's ColorJitter")
    hue: float = Field(ge=0, le=0.5, default=0.0, description="as in torchvision's ColorJitter")


class Validation(Section):
    """How the epoch is selected; never on test."""

    class_fraction: float = Field(ge=0, lt=1, description="share of training classes held out")
    min_classes: int = Field(ge=2, description="with fewer, all train and the last epoch counts")


class Baselines(Section):
    """What rows without a trained deep network get."""

    fit_items: int = Field(ge=2, description="most training items a baseline is fitted on")
    floors: tuple[str, ...] = Field(description="rows that a trained one must beat")


class Protocol(Section):
    """A protocol, checked."""

    name: str
    description: str
    source: str = Field(description="where its choices come from")
    backbone: str
    sampler: str = Field(description="a reference, or 'paper': the one of each loss's source")
    embedding_dim: int = Field(ge=1)
    batch_size: int = Field(ge=2)
    short_side: int = Field(ge=4, description="photos are kept with so many pixels on it")
    image_size: int = Field(ge=4, description="photos are cut to squares of so many pixels")
    interpolation: Literal["bilinear", "bicubic"] = Field(
        description="how photos and random-resized crops are resized; always anti-aliased"
    )
    precision: Literal["float32", "bfloat16"]
    distance: Literal["cosine"]
    optimiser: Optimiser
    length: Length
    augmentation: Augmentation
    validation: Validation
    baselines: Baselines

    def identity(self) -> dict[str, Any]:
        """Return what decides the figures: all but names and texts."""
        return self.model_dump(mode="json", exclude={"name", "description", "source"})

    def change(self, key: str, text: str) -> "Protocol":
        """Return a copy with one field set, such as ``length.epochs``, and named after it.

        The value that it has already changes nothing, the name neither.

        Raises:
            ConfigError: no such field, or not a value for it.
        """
        values = self.model_dump()
        *tables, field = key.split(".")
        if key not in self.fields():
            raise ConfigError(
                f"protocol.{key}: there is no such field." + nearest(key, self.fields())
            )
        table = reduce(dict[str, Any].__getitem__, tables, values)
        table[field] = None if text.lower() == "none" else text
        changed = validate(Protocol, values, f"--set protocol.{key}={text}")
        if changed == self:
            return self
        value = reduce(getattr, key.split("."), changed)
        return changed.model_copy(update={"name": f"{self.name}+{field}={value}"})

    def fields(self) -> list[str]:
        """Return the dotted names of the fields that `change` can set."""
        names = []
        for key, value in self.identity().items():
            table = value.items() if isinstance(value, dict) else [("", value)]
            names += [
                f"{key}.{name}".rstrip(".") for name, held in table if not isinstance(held, list)
            ]
        return names


def protocol_names() -> list[str]:
    """Return the names of the protocols that ship with dmlbench."""
    folder = files("dmlbench") / "protocols"
    return sorted(file.name.removesuffix(".toml") for file in folder.iterdir())


def load_protocol(name: str) -> Protocol:
    """Return a shipped protocol by name, or one of your own by the path of its TOML file.

    Raises:
        ConfigError: no such protocol, or the file is not a valid one.
    """
    if name.endswith(".toml"):
        return read_toml(Protocol, Path(name), name=Path(name).stem)
    if name not in protocol_names():
        raise ConfigError(
            f"There is no protocol named {name!r}."
            + nearest(name, protocol_names())
            + " One of your own is named by the path of its .toml file."
        )
    return read_toml(Protocol, files("dmlbench") / "protocols" / f"{name}.toml", name=name)


def read_toml(model: type[Model], path: Any, **extra: Any) -> Model:
    """Return the TOML file at `path` as a checked `model`.

    Raises:
        ConfigError: the file can't be read, is not TOML, or does not fit the model.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror or error}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not a TOML file: {error}.") from error
    return validate(model, extra | values, str(path))


def validate(model: type[Model], values: dict[str, Any], where: str) -> Model:
    """Return `values` as a checked `model`.

    Raises:
        ConfigError: naming `where` and each key that does not fit.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        lines = []
        for item in error.errors():
            place = [str(name) for name in item["loc"]]
            hint = ""
            if item["type"] == "extra_forbidden":
                table = reduce(_table, place[:-1], model)
                hint = nearest(place[-1], table.model_fields)
            lines.append(f"{'.'.join(place)}: {item['msg']}.{hint}")
        raise ConfigError(
            f"{where} is not a valid {model.__name__.lower()}: " + " ".join(lines)
        ) from None


def _table(model: Any, name: str) -> Any:
    return model.model_fields[name].annotation
