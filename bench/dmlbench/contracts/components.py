"""What plugin authors implement. Everything here is re-exported by `dmlbench` itself.

A hyper-parameter is a keyword argument of ``__init__`` with a default; annotate it with a search
space (`Uniform`, `LogUniform`, `IntUniform`, `Choice`) to say which values make sense. The first
line of the class docstring is what ``dmlbench list --long`` shows.

A component is registered by an entry point of its package, for example::

    [project.entry-points."dmlbench.losses"]
    soft-contrastive = "my_package:SoftContrastive"
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, Protocol

import numpy as np
from torch import Tensor, nn

from dmlbench.contracts.pairs import Pairs, Selection
from dmlbench.contracts.pretraining import Pretraining

if TYPE_CHECKING:
    import datasets
    from typing_extensions import TypeVar

    Chosen = TypeVar("Chosen", bound=Selection | None, default=Any)
else:  # before Python 3.13, its TypeVar takes no default
    from typing import TypeVar

    Chosen = TypeVar("Chosen", bound=Selection | None)


class Loss(nn.Module, ABC, Generic[Chosen]):
    """A loss. Parameters of its own (proxies, class weights) are trained with the network.

    A loss with parameters of its own asks for ``num_classes`` and ``embedding_dim`` by keyword,
    without a default; the harness passes them. It is called in float32 whatever the precision.

    A loss around another (a memory, say) is a family: it takes the other one as its first
    argument, ``loss``, and is named ``xbm/contrastive``.

    For type checkers, say which selection `forward` takes: ``class Mine(Loss[Triplets])``, or
    ``Loss[None]`` if it takes labels.
    """

    takes: ClassVar[Literal["pairs", "triplets", "labels"]]
    """What `forward` uses: chosen pairs, chosen triplets, or the embeddings' labels alone."""
    default_miner: ClassVar[str | None] = None
    """Name of the miner that its source uses; required unless `takes` is ``"labels"``."""
    paper: ClassVar[str] = ""
    """Authors, title, venue and year, arXiv id."""
    differences: ClassVar[str] = ""
    """How it differs from its paper, and known code from both, in a sentence or two."""
    trained_as: ClassVar[str | None] = None
    """What its paper trains if it is only one term of a loss: ``cross-entropy+0.003*center``."""
    paper_sampler: ClassVar[tuple[str, Mapping[str, Any]]] = ("m-per-class", {})
    """Name and settings of the sampler that its source uses, for ``--sampler paper``."""
    reducer: ClassVar[str] = "mean"
    """How values are reduced to one number, in the field's words: "mean", "mean over non-zero"…"""
    own_lr_multiple: ClassVar[float] = 1.0
    """Learning rate of its own parameters over that of the network (its source's choice).

    A protocol may set another rate for class vectors, those of two dimensions or more (proxies,
    class weights, centres); a scalar or a bias keeps this one."""
    own_weight_decay: ClassVar[float] = 0.0
    """Weight decay of its own parameters, whatever their rate."""
    normalize: ClassVar[bool] = True
    """Whether it trains on embeddings of length 1."""
    views: ClassVar[int] = 1
    """Augmented copies of each image in a batch: all first copies, then all second copies…"""
    starts_epochs: ClassVar[bool] = False
    """Whether `start_epoch` is called; that costs a pass over the training items."""

    def start_epoch(self, embeddings: Tensor, labels: Tensor) -> None:
        """See all training items before each epoch, if `starts_epochs` is true.

        Args:
            embeddings: of all items as the network has them in evaluation mode ``[N, D]``,
                without gradient; of length 1 if `normalize`.
            labels: their class ids ``[N]`` (int64), 0 to num_classes - 1.
        """

    def extend(self, pairs: Pairs) -> Pairs:
        """Return the pairs to mine and to learn from; a loss with a memory adds references."""
        return pairs

    @abstractmethod
    def forward(self, pairs: Pairs, selection: Chosen) -> Tensor:
        """Return the loss, a scalar with a gradient.

        Args:
            pairs: the step's embeddings and labels, with similarities computed on demand.
            selection: what the miner chose; None if `takes` is ``"labels"``. A loss that takes
                pairs converts by `as_pair_mask`, one that takes triplets by `as_triplets`.
        """


class Miner(ABC):
    """Chooses the pairs or triplets of a batch that a loss learns from."""

    makes: ClassVar[Literal["pairs", "triplets"]]
    """The kind of selection that `select` returns."""
    paper: ClassVar[str] = ""

    @abstractmethod
    def select(self, pairs: Pairs) -> Selection:
        """Return the chosen pairs or triplets. Called without gradient."""


class Sampler(ABC):
    """Groups training items into batches, by their labels.

    One that needs more asks for it by another keyword argument of `batches`: ``groups``, the
    super-class of each item ``[N]`` (int64; an error if the dataset has none), or
    ``embeddings``, those of all items at the start of the epoch ``[N, D]`` (float32, length 1).
    """

    paper: ClassVar[str] = ""

    @abstractmethod
    def batches(
        self, labels: np.ndarray, *, batch_size: int, steps: int, rng: np.random.Generator
    ) -> Iterator[np.ndarray]:
        """Yield `steps` batches of item indices ``[batch_size]`` (int64), one epoch.

        Args:
            labels: class ids of all training items ``[N]``; read-only, for trials share them.
            batch_size: items a batch.
            steps: batches an epoch.
            rng: the only source of randomness; its state depends on seed and epoch.
        """


@dataclass(frozen=True)
class ImageFormat:
    """The images that a backbone expects. None means: as the dataset has them."""

    channels: int | None = None
    size: int | None = None
    mean: tuple[float, ...] = (0.5,)
    std: tuple[float, ...] = (0.5,)


class Backbone(ABC):
    """Builds a network from images to features.

    A family (``timm/resnet50``) takes the part after the slash as its first argument.
    """

    paper: ClassVar[str] = ""
    modality: ClassVar[Literal["image", "vector"]] = "image"

    def image_format(self) -> ImageFormat:
        """Return what images the network expects (pixels 0-1 before mean and std)."""
        return ImageFormat()

    def files(self) -> dict[str, Path]:
        """Return the files that the settings name (weights), by setting.

        Their content, not their path, is part of a trial's identity.
        """
        return {}

    def repositories(self) -> dict[str, str]:
        """Return the models of the Hugging Face hub that weights are taken from, by setting.

        Such as ``{"weights": "timm/resnet18.a1_in1k"}``. Their revisions (`dmlbench.hub_revision`)
        are part of a trial's identity; `build` is to load that revision.
        """
        return {}

    def resolved(self) -> dict[str, Any]:
        """Return the value of each setting that stands for another one, by setting.

        A setting such as ``pooling="upstream"`` stands for ``{"pooling": "token"}``: that is what
        trials record and what decides their ids, and both spellings are one trial. Trials are
        planned with it, so this is the place to refuse settings that do not go together.

        Raises:
            ConfigError: the network can't be built like this.
        """
        return {}

    def without_weights(self) -> "Backbone":
        """Return this backbone with a random start; ``dmlbench show`` counts its operations."""
        return self

    def pretraining(self) -> Pretraining | None:
        """Return what its weights were trained on; None for a random start.

        Tables show it beside the figures, with what is known of the dataset at hand. It is no part
        of a trial's identity.
        """
        return None

    @abstractmethod
    def build(self, shape: tuple[int, ...]) -> nn.Module:
        """Return a new network with an int attribute ``num_features`` (F).

        Args:
            shape: of one input: ``(C, H, W)`` for images, ``(D,)`` for vectors.

        The network maps a float32 batch ``[B, *shape]`` to features ``[B, F]``. Its weights are
        drawn from torch's global generator, which the harness seeds.
        """


@dataclass(frozen=True)
class Archive:
    """A file as the authors of a dataset distribute it, for ``dmlbench data prepare`` to check.

    Attributes:
        name: of the file. A ``.tar``, ``.tar.gz``, ``.tgz``, ``.tar.bz2``, ``.tar.xz`` or ``.zip``
            is unpacked, any other file is taken as it is.
        size: bytes, where known.
        md5: hexadecimal, where known.
        sha256: hexadecimal, where known; takes precedence over `md5`.
        unpacked_md5: of what a ``.gz`` holds, where known: one content can be packed in many ways,
            or not at all, so this alone then counts. `load` checks it too.
        homes: addresses where it was once found: hints, which nothing relies on.
    """

    name: str
    size: int | None = None
    md5: str = ""
    sha256: str = ""
    unpacked_md5: str = ""
    homes: tuple[str, ...] = ()


class Dataset(ABC):
    """Labelled images (or vectors) in named splits.

    A family (``folder:PATH``) takes the part after the colon as its first argument.
    """

    modality: ClassVar[Literal["image", "vector"]] = "image"
    protocol: ClassVar[str] = "small"
    """Name of the protocol used when none is asked for."""
    evaluation: ClassVar[Literal["retrieval", "query-gallery", "cross-validation"]] = "retrieval"
    """``retrieval``: split ``train`` to learn, split ``test`` to retrieve in.
    ``query-gallery``: split ``train`` to learn; items of ``query`` retrieve in ``gallery``.
    ``cross-validation``: one split ``all``; accuracy of 5 neighbours over 5 stratified folds."""
    closed_set: bool = False
    """Whether train and test (or query and gallery) share classes; otherwise they may not."""
    recall_at: ClassVar[tuple[int, ...]] = (1, 2, 4, 8)
    embedded: ClassVar[bool] = False
    """Whether an installed package contains its data."""
    paper: ClassVar[str] = ""
    licence: ClassVar[str] = ""
    expected: Mapping[str, tuple[int, int]] = {}
    """Items and classes each split must have; checked on load."""
    archives: ClassVar[tuple[Archive, ...]] = ()
    """The files that its authors distribute. ``dmlbench data prepare`` unpacks those that a user
    has to a folder of the dataset's name within the data folder, where `load` must look."""

    def missing(self, data_dir: Path | None) -> str | None:
        """Return None if the data are on this machine, else how to get them."""
        return None

    @abstractmethod
    def load(self, data_dir: Path | None) -> dict[str, "datasets.Dataset"]:
        """Return the splits as Hugging Face datasets.

        Columns: ``image`` (an ``Image`` feature, or ``Array2D`` ``[H, W]`` or ``Array3D``
        ``[H, W, C]`` of uint8) or ``vector`` (floats ``[D]``); ``label`` (``ClassLabel``).

        Args:
            data_dir: the user's data folder, if one was given.

        Raises:
            DataError: files are missing, damaged, or not what they should be.
        """


class Baseline(Protocol):
    """A row that trains no deep network: anything with scikit-learn's transformer API.

    No base class is needed: ``sklearn.decomposition:PCA`` is a valid entry point as it stands.
    ``X`` is flattened pixels in 0-1 (or vectors), float32. A class attribute ``takes =
    "embeddings"`` asks for the embeddings of the protocol's untrained network instead.
    ``random_state``, where it is a parameter, receives the trial's seed; ``n_components``, where
    it is a parameter and not set, the protocol's embedding size, or less if the data allow no more.
    """

    def fit(self, X: np.ndarray, y: np.ndarray) -> Any:  # noqa: N803 - scikit-learn's name
        """Learn from items ``[N, D]`` and their labels ``[N]``."""

    def transform(self, X: np.ndarray) -> np.ndarray:  # noqa: N803 - scikit-learn's name
        """Return embeddings ``[N, E]``."""
