"""Where and how large the parts run: on a card as published, or small on a CPU."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from PIL import Image

import dmlbench
from dmlbench.components.catalogue import Catalogue
from dmlbench.components.workplace import Workplace
from dmlbench.compute.device import pick_device
from dmlbench.data.items import Items
from dmlbench.data.photos.decoding import PhotoFormat
from dmlbench.schemas.trial import Trial, canonical_json
from dmlbench.trials.run_trial import load_once

SMALL_NETWORK = {
    "protocol.short_side": "36",
    "protocol.image_size": "32",
    "protocol.batch_size": "8",
    "protocol.embedding_dim": "16",
}
"""The house standard with tiny pictures, for a CPU."""


@dataclass(frozen=True)
class Place:
    """A device, the size of what it is given, and a folder for what is made.

    Attributes:
        device_name: as `dmlbench run --device` takes it.
        small: whether everything is tiny, for a CPU.
        folder: where photos, caches and records go.
    """

    device_name: str
    small: bool
    folder: Path

    @cached_property
    def device(self) -> torch.device:
        """Return the device."""
        return pick_device(self.device_name)

    @property
    def on_gpu(self) -> bool:
        """Return whether goals apply."""
        return self.device.type == "cuda"

    @property
    def backbone(self) -> str:
        """Return the network: ResNet-50, or one that a CPU trains in an instant."""
        return "small-conv" if self.small else "timm/resnet50"

    @cached_property
    def embedding_dim(self) -> int:
        """Return the dimension of the embeddings."""
        return self.trial().protocol.embedding_dim

    @cached_property
    def workplace(self) -> Workplace:
        """Return the components and the device."""
        return Workplace(Catalogue.discover(), None, self.device, self.folder / "cache")

    @cached_property
    def photos(self) -> str:
        """Return the made photos as a dataset: blurred noise, each class of its own colour."""
        root = self.folder / "photos"
        classes, each, size = (8, 8, (48, 40)) if self.small else (40, 25, (500, 375))
        rng = np.random.default_rng(0)
        for name in range(classes):
            (root / f"c{name:02}").mkdir(parents=True, exist_ok=True)
            colour = rng.integers(60, 196, 3)
            for photo in range(each):
                path = root / f"c{name:02}" / f"{photo:03}.jpg"
                noise = rng.integers(-60, 60, (size[1] // 8, size[0] // 8, 3)) + colour
                if not path.exists():
                    Image.fromarray(noise.astype(np.uint8)).resize(size).save(path)
        return f"folder:{root}"

    def request(self, losses: Any = "proxy-anchor", **settings: str) -> dict[str, Any]:
        """Return the house standard on the made photos, from random weights, as `run` takes it."""
        changed = SMALL_NETWORK if self.small else {"backbone.weights": "none"}
        if self.small and "protocol.length.epochs" in settings:
            changed = changed | {"protocol.length.min_passes": "0"}
        return {
            "datasets": self.photos,
            "losses": losses,
            "baselines": "none",
            "protocol": "resnet50-512",
            "backbone": self.backbone,
            "seeds": 1,
            "settings": changed | settings,
            "cache_dir": self.folder / "cache",
            "progress": False,
        }

    def trial(self, losses: str = "proxy-anchor", **settings: str) -> Trial:
        """Return the only trial of a request."""
        (only,) = dmlbench.plan(**self.request(losses, **settings)).trials
        return only

    def items(self, trial: Trial) -> Items:
        """Return the trial's training items."""
        part = trial.dataset.located()
        asked = (part.reference, canonical_json(part.settings), PhotoFormat.of(trial.protocol))
        return load_once(self.workplace, *asked)[1].splits["train"]

    def seconds(self, run: Callable[[], object], times: int = 3) -> float:
        """Return the median seconds of `run`, with all that the device has left to do."""
        found = []
        for _ in range(times):
            self.wait()
            started = time.perf_counter()
            run()
            self.wait()
            found.append(time.perf_counter() - started)
        return median(found)

    def wait(self) -> None:
        """Wait until the device has done all that it was sent."""
        if self.on_gpu:
            torch.cuda.synchronize(self.device)
