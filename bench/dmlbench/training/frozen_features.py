"""Features of a frozen backbone, computed once and kept on disk for every loss, miner and seed.

Each split becomes one file ``features/<key>.npy`` ``[N, F]`` float32 in the cache folder, mapped
into memory. The key is a hash of all that determines the features: the content of the images and
how they are cropped, the network's weights as loaded, its source, settings and packages, and the
device settings that decide whether a run repeats to the bit. The files can be deleted at any time.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import nn

from dmlbench.compute.determinism import seed_everything
from dmlbench.compute.device import describe
from dmlbench.compute.phases import part_of_phase
from dmlbench.contracts.components import Backbone
from dmlbench.data.items import Data, Items
from dmlbench.data.photos.decoding import VERSION as DECODING
from dmlbench.data.photos.decoding import PhotoFormat
from dmlbench.errors import TrialError
from dmlbench.schemas.protocol import Protocol
from dmlbench.schemas.trial import Part, canonical_json
from dmlbench.storage.cache import cache_folder, read_or_create
from dmlbench.training.embedder import Embedder, embed, weights_hash

VERSION = 1
"""Increased when the way to compute features changes: they are then computed again."""

_BLOCK = 1024  # items whose features are in memory at once


class FrozenFeatures(Backbone):
    """The identity, in place of a backbone whose features are the input."""

    modality = "vector"

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        """Return the identity."""
        network = nn.Identity()
        network.num_features = shape[0]  # type: ignore[assignment]
        return network


@dataclass(frozen=True)
class Extractor:
    """A backbone that is not trained, and computes features.

    Attributes:
        backbone: builds the network.
        part: its description in a trial.
        protocol: how images reach it, and the precision.
        device: where it computes.
    """

    backbone: Backbone
    part: Part
    protocol: Protocol
    device: torch.device

    def features(self, data: Data, cache_dir: Path | None) -> Data:
        """Return `data` with the features ``[N, F]`` of its items in place of their inputs.

        A network with random weights has the same ones whatever the seed of the trial.

        Raises:
            ConfigError: the backbone is not made for such inputs, or there is nowhere to keep
                features.
            DataError: the weights can't be loaded, or features can't be stored.
            PluginError: the backbone breaks its contract.
            TrialError: features are not finite.
        """
        folder = cache_folder(cache_dir) / "features"
        network, width = self.network(data)
        weights = weights_hash(network.backbone)
        key = self._key(network, weights, data.fingerprint)
        splits = {}
        for name, items in data.splits.items():
            path = folder / f"{sha256(f'{key}/{name}'.encode()).hexdigest()[:32]}.npy"
            shape = (len(items), width)
            write = partial(self._write, network, items, shape)
            splits[name] = replace(items, inputs=read_or_create(path, partial(_read, shape), write))
        return replace(data, splits=splits, initial_weights=weights)

    def network(self, data: Data) -> tuple[Embedder, int]:
        """Return the network that computes features of `data`, and how many of an item.

        Raises:
            ConfigError, DataError, PluginError: see `features`.
        """
        seed_everything(0)
        items, precision = next(iter(data.splits.values())), self.protocol.precision
        network = Embedder(self.backbone, items, 1, precision=precision).to(self.device)
        width = network.head.in_features
        network.head = nn.Identity()  # type: ignore[assignment]
        return network, width

    def _key(self, network: nn.Module, weights: str, fingerprint: str) -> str:
        photos = PhotoFormat.of(self.protocol)
        parts: Mapping[str, Any] = {
            "version": [VERSION, DECODING],
            "data": fingerprint,
            "photos": [photos.short_side, photos.image_size, photos.interpolation],
            "backbone": self.part.identity(),
            "weights": weights,
            "packages": _packages(network),
            "settings": describe(self.device, self.protocol.precision),
        }
        return canonical_json(parts)

    def _write(
        self, network: Embedder, items: Items, shape: tuple[int, int], file: IO[bytes]
    ) -> None:
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_2_0(file, header)
        for start in range(0, len(items), _BLOCK):
            some = items[np.arange(start, min(start + _BLOCK, len(items)))]
            with part_of_phase("features", start, len(items)):
                features = embed(network, some, self.device).cpu().numpy()
            if not np.isfinite(features).all():
                raise TrialError(f"The features of {self.part} are not finite.")
            file.write(features.astype("<f4").data)


def _read(shape: tuple[int, int], path: Path) -> np.ndarray | None:
    """Return the features at `path`, mapped into memory; None if there are none, or damaged ones.

    Pages are copied on write: changes to the array never reach the file.
    """
    try:
        features = np.load(path, mmap_mode="c")
    except (FileNotFoundError, ValueError, EOFError):
        return None
    return np.asarray(features) if features.shape == shape else None


def _packages(network: nn.Module) -> dict[str, str]:
    """Return the versions of the packages whose layers the network is made of."""
    names = {type(layer).__module__.partition(".")[0] for layer in network.modules()}
    found = {}
    for name in names | {"numpy", "pillow"}:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = ""
    return found
