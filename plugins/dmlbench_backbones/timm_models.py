"""Every network of timm (PyTorch Image Models) without its classifier: ``timm/resnet50.a1_in1k``.

The name is timm's, with or without the tag of the pretrained weights (without: timm's first tag).
Weights are loaded strictly, with their classifier, before the classifier is removed. timm itself
loads without the classifier, which is not strict: a layer that the file lacks stays random.

Pooling, a layer norm on the features, and whether batch norm learns change figures as much as
losses do. Papers differ in them, so each is a setting here and is recorded.
"""

import pickle
from difflib import get_close_matches
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Annotated, Literal, cast

from safetensors import SafetensorError
from torch import Tensor, nn

from dmlbench import Added, Backbone, Choice, ConfigError, DataError, ImageFormat, hub_revision
from dmlbench_backbones.features import Features, pool_by

if TYPE_CHECKING:
    from timm.models import PretrainedCfg

_UNFIT_FILE = (
    AttributeError,  # no dictionary of tensors inside
    EOFError,
    OSError,
    RuntimeError,  # other layers, other shapes, a broken archive
    ValueError,
    pickle.UnpicklingError,
    SafetensorError,
)


class TimmModel(Backbone):
    """Any network of timm without its classifier; pretrained unless asked otherwise.

    Args:
        name: timm's name of the architecture, and after a dot of the weights.
        weights: "default" for the weights of that name, from the Hugging Face hub or its local
            cache; "none" for a random start; else the path of a safetensors or PyTorch file with
            weights of this architecture, for any number of classes or without a classifier.
        weights_prefix: what the names of its layers begin with in the file of `weights`, such as
            "backbone." in that of a larger network; layers without it are left out.
        pooling: how a convolutional network's map becomes one vector: "avg" (GAP), "max" (GMP) or
            "avg+max", their sum; "own" as timm has it, which is the only choice for vision
            transformers.
        layer_norm: whether each item's features are scaled to mean 0 and variance 1, without
            parameters.
        batch_norm: "trained"; "frozen-statistics", which normalises by the pretrained mean and
            variance also in training, while scale and shift learn; or "frozen", scale and shift
            too.
    """

    paper = "Wightman: PyTorch Image Models, 2019, doi 10.5281/zenodo.4414861"

    def __init__(
        self,
        name: str,
        *,
        weights: str = "default",
        weights_prefix: Annotated[str, Added(before="")] = "",
        pooling: Annotated[
            Literal["own", "avg", "max", "avg+max"], Choice("own", "avg", "max", "avg+max")
        ] = "own",
        layer_norm: Annotated[bool, Choice(False, True)] = False,
        batch_norm: Annotated[
            Literal["trained", "frozen-statistics", "frozen"],
            Choice("trained", "frozen-statistics", "frozen"),
        ] = "trained",
    ) -> None:
        self.name = name
        self.weights = weights
        self.weights_prefix = weights_prefix
        self.pooling = pooling
        self.layer_norm = layer_norm
        self.batch_norm = batch_norm

    def image_format(self) -> ImageFormat:
        """Return the format that the weights were trained on.

        The size is None, the dataset's own, except for networks that take just one size (vision
        transformers). Channels are three: grayscale images are repeated. Without weights there is
        no such format: channels are the dataset's, pixels go from -1 to 1.

        Raises:
            ConfigError: timm has no such name.
        """
        config = self._config()
        size = config.input_size[-1] if config.fixed_input_size else None
        if self.weights == "none":
            return ImageFormat(size=size)
        return ImageFormat(config.input_size[0], size, tuple(config.mean), tuple(config.std))

    def files(self) -> dict[str, Path]:
        """Return the file of weights, if one was given.

        Raises:
            DataError: there is no such file.
            ConfigError: there is a prefix, and no file.
        """
        if self.weights in ("default", "none"):
            if self.weights_prefix:
                raise ConfigError(
                    f"weights_prefix={self.weights_prefix} would change nothing: it is read only "
                    f"with a file of weights, not weights={self.weights}. Leave it out."
                )
            return {}
        path = Path(self.weights).expanduser()
        if not path.is_file():
            raise DataError(
                f"The weights of 'timm/{self.name}' should be in {path}, but there is no such "
                "file. weights takes a path, 'default' (hub or local cache) or 'none' (random)."
            )
        return {"weights": path}

    def repositories(self) -> dict[str, str]:
        """Return the hub's repository that the weights are taken from, if they are.

        Raises:
            ConfigError: timm has no such name.
        """
        hub = self._config().hf_hub_id if self.weights == "default" else None
        return {"weights": hub} if hub else {}

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        """Return the network for images of `shape`, without its classifier.

        Raises:
            ConfigError: timm has no such name, or the network can't take such images, does not
                make one vector of each, or has nothing to pool or to freeze as asked.
            DataError: the weights can't be had, or are not those of this network.
        """
        import timm

        self._check(shape)
        if self.weights == "none":
            network = timm.create_model(self.name, in_chans=shape[0])
        elif self.weights == "default":
            network = self._pretrained()
        else:
            network = self._from_file(self.files()["weights"])
        reset_classifier = getattr(network, "reset_classifier", None)
        if reset_classifier is None:
            raise ConfigError(
                f"The network 'timm/{self.name}' makes a sequence of vectors of an image. Take one "
                "that was made for classification, with a single vector before the classifier."
            )
        reset_classifier(0)
        # timm's num_features is what enters the head, and a head may have layers of its own.
        network.num_features = network.head_hidden_size
        if self.pooling != "own":
            pool_by(network, self.pooling, f"timm/{self.name}")
        if self.layer_norm or self.batch_norm != "trained":
            return Features(network, self.layer_norm, self.batch_norm, f"timm/{self.name}")
        return network

    def _config(self) -> "PretrainedCfg":
        import timm

        try:
            config = timm.models.get_pretrained_cfg(self.name, allow_unregistered=False)
        except RuntimeError as error:
            known = {*timm.list_models(), *timm.list_models(pretrained=True)}
            nearest = get_close_matches(self.name, sorted(known), n=3, cutoff=0.5)
            raise ConfigError(
                f"timm {timm.__version__} has no network {self.name!r}. "
                + (f"Near it: {', '.join(nearest)}." if nearest else "See timm.list_models().")
            ) from error
        assert config is not None  # only an unregistered name has none, and that has raised
        return config

    def _check(self, shape: tuple[int, ...]) -> None:
        wanted = self.image_format()
        fits = (
            len(shape) == 3
            and wanted.channels in (None, shape[0])
            and (wanted.size is None or shape[1:] == (wanted.size, wanted.size))
        )
        if not fits:
            size = wanted.size or "any"
            raise ConfigError(
                f"The network 'timm/{self.name}' with weights={self.weights!r} takes images of "
                f"shape [{wanted.channels or 'any'}, {size}, {size}], not {list(shape)}."
            )

    def _pretrained(self) -> nn.Module:
        import timm

        try:
            hub = self.repositories().get("weights")
            overlay = {"hf_hub_id": f"{hub}@{hub_revision(hub)}"} if hub else {}
            return timm.create_model(self.name, pretrained=True, pretrained_cfg_overlay=overlay)
        except (DataError, OSError, RuntimeError) as error:
            hub = self._config().hf_hub_id
            cache = f"fill Hugging Face's cache where there is a network (hf download {hub}), "
            raise DataError(
                f"The pretrained weights of 'timm/{self.name}' can't be had: "
                f"{shorten(str(error), 300)} Give a file of them (--set backbone.weights=PATH), "
                f"{cache if hub else ''}or start at random (--set backbone.weights=none)."
            ) from error

    def _from_file(self, path: Path) -> nn.Module:
        import timm

        names: list[str] = []
        try:
            weights = self._read(path)
            names += weights
            source = {"state_dict": weights} if self.weights_prefix else {"file": str(path)}
            network = timm.create_model(
                self.name,
                pretrained=True,
                pretrained_cfg_overlay={
                    **source,
                    "num_classes": self._classes_in(weights),
                    "label_offset": None,
                },
            )
        except _UNFIT_FILE as error:
            raise DataError(
                f"The file {path} does not hold the weights of 'timm/{self.name}': "
                f"{self._prefix_in(names) or shorten(str(error), 300)} It must be a safetensors or "
                "PyTorch file with exactly the layers of this architecture."
            ) from error
        held = cast("dict[str, object]", network.pretrained_cfg)
        held.pop("state_dict", None)  # a second copy of the weights
        return network

    def _read(self, path: Path) -> dict[str, Tensor]:
        """Return the weights in a file by the network's own names for them.

        Raises:
            ValueError: no name begins with the prefix.
        """
        from timm.models import load_state_dict

        weights: dict[str, Tensor] = load_state_dict(str(path), weights_only=True)
        prefix = self.weights_prefix
        found = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
        if prefix and not found:
            first = next(iter(weights), "")
            raise ValueError(f"no layer in it begins with {prefix!r}; the first is {first!r}.")
        return found

    def _prefix_in(self, names: list[str]) -> str:
        """Return which prefix hides the layers of the network among `names`, if one does."""
        import timm

        own = list(timm.create_model(self.name).state_dict())
        for prefix in {name.removesuffix(own[0]) for name in names if name.endswith(own[0])}:
            if prefix and sum(f"{prefix}{layer}" in names for layer in own) > len(own) / 2:
                strip = f"{self.weights_prefix}{prefix}"
                return (
                    f"its layers are in it with {prefix!r} in front. To strip that, add "
                    f"--set backbone.weights_prefix={strip}."
                )
        return ""

    def _classes_in(self, weights: dict[str, Tensor]) -> int:
        """Return how many classes the classifier in a file of weights has, 0 without one."""
        layers = self._config().classifier or ()
        names = [layers] if isinstance(layers, str) else list(layers)
        return next((len(weights[f"{n}.weight"]) for n in names if f"{n}.weight" in weights), 0)
