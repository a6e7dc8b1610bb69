"""Every network of timm (PyTorch Image Models) without its classifier: ``timm/resnet50.a1_in1k``.

The name is timm's, with or without the tag of the pretrained weights (without: timm's first tag).
Pooling, a layer norm on the features, and what of the network learns change figures as much as
losses do. Papers differ in them, so each is a setting here and is recorded.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from torch import nn

from dmlbench import (
    Added,
    Backbone,
    Choice,
    ConfigError,
    DataError,
    ImageFormat,
    IntUniform,
    Pretraining,
)
from dmlbench_backbones.features import Features, batch_norms, patch_embedding
from dmlbench_backbones.pooling import pool_by, resolve_pooling
from dmlbench_backbones.pretraining import pretraining_of, pretraining_of_file
from dmlbench_backbones.timm_networks import config_of, outline, size_argument
from dmlbench_backbones.timm_weights import from_file, from_hub


class TimmModel(Backbone):
    """Any network of timm without its classifier; pretrained unless asked otherwise.

    Args:
        name: timm's name of the architecture, and after a dot of the weights.
        weights: "default" for the weights of that name, from the Hugging Face hub or its local
            cache; "none" for a random start; else the path of a safetensors or PyTorch file with
            weights of this architecture, for any number of classes or without a classifier.
        weights_prefix: what the names of its layers begin with in the file of `weights`, such as
            "backbone." in that of a larger network; layers without it are left out.
        img_size: side of the images for a network that takes just one size (vision transformers),
            if not the one in timm's name or configuration; its position embeddings are resampled.
        pooling: how the last layer becomes one vector. In a convolutional network: "avg" (GAP),
            "max" (GMP), "avg+max", their sum, or "gem", a generalised mean with a learned exponent.
            In a vision transformer: "token" for the class token, "avg" for the mean of the patches,
            or "map" for the attention pool that it was trained with. "upstream" is what the authors
            of the network do, "own" what timm does; trials record which of the others that is.
        layer_norm: whether each item's features are scaled to mean 0 and variance 1, without
            parameters.
        batch_norm: "trained"; "frozen-statistics", which normalises by the pretrained mean and
            variance also in training, while scale and shift learn; or "frozen", scale and shift
            too.
        patch_embedding: "trained"; or "frozen", if the layer that turns the patches of a vision
            transformer into tokens learns nothing (position embeddings and class token do).
    """

    paper = "Wightman: PyTorch Image Models, 2019, doi 10.5281/zenodo.4414861"

    def __init__(
        self,
        name: str,
        *,
        weights: str = "default",
        weights_prefix: Annotated[str, Added(before="")] = "",
        img_size: Annotated[int | None, IntUniform(16, 4096), Added(before=None)] = None,
        pooling: Annotated[
            Literal["upstream", "own", "avg", "max", "avg+max", "gem", "token", "map"],
            Choice("upstream", "own", "avg", "max", "avg+max", "gem", "token", "map"),
        ] = "upstream",
        layer_norm: Annotated[bool, Choice(False, True)] = False,
        batch_norm: Annotated[
            Literal["trained", "frozen-statistics", "frozen"],
            Choice("trained", "frozen-statistics", "frozen"),
        ] = "trained",
        patch_embedding: Annotated[
            Literal["trained", "frozen"], Choice("trained", "frozen"), Added(before="trained")
        ] = "trained",
    ) -> None:
        self.name = name
        self.weights = weights
        self.weights_prefix = weights_prefix
        self.img_size = img_size
        self.pooling = pooling
        self.layer_norm = layer_norm
        self.batch_norm = batch_norm
        self.patch_embedding = patch_embedding

    def image_format(self) -> ImageFormat:
        """Return the format that the weights were trained on.

        The size is None, the dataset's own, except for networks that take just one size (vision
        transformers), which `img_size` changes. Channels are three: grayscale images are repeated.
        Without weights there is no such format: channels are the dataset's, pixels go from -1 to 1.

        Raises:
            ConfigError: timm has no such name.
        """
        config = config_of(self.name)
        size = self.img_size or config.input_size[-1] if config.fixed_input_size else None
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
        hub = config_of(self.name).hf_hub_id if self.weights == "default" else None
        return {"weights": hub} if hub else {}

    def resolved(self) -> dict[str, Any]:
        """Return the pooling that the network has, and no `img_size` if it is the usual one.

        Raises:
            ConfigError: timm has no such name, or the network can't pool, take images or freeze as
                asked.
        """
        network = outline(self.name, self.img_size)
        if self.patch_embedding == "frozen":
            patch_embedding(network, self.name)
        if self.batch_norm != "trained":
            batch_norms(network, self.name)
        pooling = resolve_pooling(self.pooling, self.name.partition(".")[0], network)
        usual = self.img_size == config_of(self.name).input_size[-1]
        return {"pooling": pooling, "img_size": None if usual else self.img_size}

    def without_weights(self) -> "TimmModel":
        """Return this network with a random start."""
        return TimmModel(
            self.name,
            weights="none",
            img_size=self.img_size,
            pooling=self.pooling,
            layer_norm=self.layer_norm,
            batch_norm=self.batch_norm,
            patch_embedding=self.patch_embedding,
        )

    def pretraining(self) -> Pretraining | None:
        """Return what the weights were trained on, as timm's tag names it.

        Raises:
            ConfigError: timm has no such name.
        """
        if self.weights == "none":
            return None
        if self.weights != "default":
            return pretraining_of_file(self.name.partition(".")[2])
        config = config_of(self.name)
        return pretraining_of(config.tag or "", config.license or "")

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        """Return the network for images of `shape`, without its classifier.

        Raises:
            ConfigError: timm has no such name, or the network can't take such images, does not
                make one vector of each, or has nothing to pool or to freeze as asked.
            DataError: the weights can't be had, or are not those of this network.
        """
        import timm

        self._check(shape)
        pooling = self.resolved()["pooling"]
        if self.weights == "none":
            size = size_argument(self.img_size)
            network = timm.create_model(self.name, in_chans=shape[0], **size)
        elif self.weights == "default":
            network = from_hub(self.name, self.img_size)
        else:
            path = self.files()["weights"]
            network = from_file(self.name, path, self.weights_prefix, self.img_size)
        reset_classifier = getattr(network, "reset_classifier", None)
        if reset_classifier is None:
            raise ConfigError(
                f"The network 'timm/{self.name}' makes a sequence of vectors of an image. Take one "
                "that was made for classification, with a single vector before the classifier."
            )
        reset_classifier(0)
        # timm's num_features is what enters the head, and a head may have layers of its own.
        network.num_features = network.head_hidden_size
        if pooling != "own":
            pool_by(network, pooling)
        if self.patch_embedding == "frozen":
            patch_embedding(network, self.name).requires_grad_(False)
        if self.layer_norm or self.batch_norm != "trained":
            return Features(network, self.layer_norm, self.batch_norm, self.name)
        return network

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
