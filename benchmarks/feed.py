"""Speed of the training feed and of a training step, next to plain PyTorch.

    python benchmarks/feed.py --data DATA                     # everything, under six minutes
    python benchmarks/feed.py --data DATA --parts feed --workers 2 --out feed.md

DATA holds an archive of Stanford Cars: the official ``cars_train.tgz``, or ``cars196.tar`` with
small copies of its photos. The photos are measured as they are, and again after they are brought to
500x375 with sensor grain, so that a file is about as large as one of CUB-200-2011. The peer is
torch's DataLoader over a dataset that opens each JPEG with Pillow and applies torchvision's
transforms, with as many worker processes as dmlbench has threads. Contenders take turns in one
process, so that drift and other load affect all of them alike. Results are medians over the turns,
and ratios are medians of the ratios of each turn. All files are in the page cache.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import datasets
import numpy as np
import timm
import torch
import torch.nn.functional as F
from PIL import Image
from tabulate import tabulate
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from torchvision.transforms import v2
from turns import Run, describe_machine, in_turns, over, typical

from dmlbench import ImageFormat
from dmlbench.components.catalogue import Catalogue
from dmlbench.components.composition import make
from dmlbench.compute.determinism import repeatable
from dmlbench.data.batches.device_inputs import to_device_inputs
from dmlbench.data.batches.feed import Feed
from dmlbench.data.items import Items
from dmlbench.data.photos.decoding import PhotoFormat
from dmlbench.data.photos.encoded import sources
from dmlbench.data.photos.pictures import StoredPhotos
from dmlbench.data.photos.store import photo_store
from dmlbench.data.prepare.archive_members import members
from dmlbench.schemas.protocol import Augmentation
from dmlbench.schemas.protocol_file import load_protocol
from dmlbench.training.embedder import Embedder, formatted
from dmlbench.training.loop import Recipe, train
from dmlbench.training.objective import Objective, Summand

PAGE = Path(__file__).parents[1] / "docs" / "measurements" / "feed-speed.md"
PACKAGES = ("torch", "torchvision", "timm", "pillow", "numpy")
ARCHIVES = ("cars_train.tgz", "cars196.tar")
CPU = torch.device("cpu")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SHORT, SIDE, BATCH = 256, 224, 64
STEP_BATCH, STEPS, CLASSES = 16, 2, 16  # items of a step; steps that are timed at once
LARGE, GRAIN = (500, 375), 12.0  # width and height; standard deviation of the noise
EPOCHS = 6  # of dmlbench's feed a turn, which is too short to time otherwise
CHOICES = Augmentation(crop="random-resized", shift=0, flip=True)


def find_archive(folder: Path) -> Path:
    """Return the archive of photos in a data folder."""
    for archive in (folder / name for name in ARCHIVES):
        if archive.is_file():
            return archive
    sys.exit(f"{folder} holds none of {', '.join(ARCHIVES)}.")


def write_photos(
    archive: Path, folder: Path, count: int, size: tuple[int, int] | None = None
) -> list[str]:
    """Write the first photos of an archive, as they are or of one size, and return their paths."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    found = (member for member in members(archive) if member.path.suffix == ".jpg")
    paths = []
    for member in islice(found, count):
        paths.append(str(folder / f"{len(paths):05}.jpg"))
        if size is None:
            Path(paths[-1]).write_bytes(member.source.read())
            continue
        image = Image.open(member.source).convert("RGB").resize(size, Image.Resampling.BICUBIC)
        pixels = np.asarray(image, np.float32) + rng.normal(0, GRAIN, (*size[::-1], 1))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(paths[-1], quality=90)
    return paths


def described(paths: list[str]) -> str:
    """Return median size in pixels and mean size in bytes of files."""
    sizes = []
    for path in paths:
        with Image.open(path) as image:
            sizes.append(image.size)
    wide, tall = np.median(sizes, axis=0).astype(int)
    return f"{wide}x{tall}, {np.mean([os.path.getsize(path) for path in paths]) / 1000:.0f} kB"


def stored(paths: list[str], folder: Path, store_side: int | None = None) -> StoredPhotos:
    """Return the photos, decoded into a store in `folder`."""
    features = datasets.Features(image=datasets.Image())
    table = datasets.Dataset.from_dict({"image": paths}, features=features)
    images, photos = sources({"train": table}), PhotoFormat(SIDE, SHORT, "bilinear", store_side)
    return StoredPhotos(*photo_store(images, photos, folder, lambda *_: None), SIDE)


def consumed(batches: Iterable[Tensor]) -> int:
    """Return how many images came, after a look at each."""
    images = 0
    for batch in batches:
        batch[:, 0, 0, 0].sum()
        images += len(batch)
    return images


class Fed:
    """Runs epochs of dmlbench's feed; images are normalised float32 at the end, as in training."""

    def __init__(self, inputs: StoredPhotos, batches: list[np.ndarray], workers: int) -> None:
        self.feed = Feed(
            to_device_inputs(inputs, CPU), CHOICES, "bilinear", key=(0, 3), threads=workers
        )
        self.batches, self.room = batches, None

    def epoch(self, epoch: int) -> int:
        """Return how many images came."""
        with repeatable(CPU), closing(self.feed.batches(epoch, self.batches)) as made:
            return consumed(map(self._normalised, made))

    def _normalised(self, batch: Tensor) -> Tensor:
        self.room = formatted(batch, ImageFormat(3, None, MEAN, STD), self.room)
        return self.room


@dataclass
class Files(Dataset):
    """JPEGs, opened by Pillow."""

    paths: list[str]
    transform: Callable[[Image.Image], Tensor]

    def __getitem__(self, item: int) -> Tensor:
        with Image.open(self.paths[item]) as image:
            return self.transform(image.convert("RGB"))


def loaders(
    paths: list[str], batches: list[np.ndarray], workers: int, again: bool
) -> dict[str, DataLoader]:
    """Return DataLoaders with the transforms of most papers' code and with the newer ones.

    Their processes live on after an epoch if it is to be run `again`.
    """
    papers = [
        transforms.RandomResizedCrop(SIDE),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize(MEAN, STD),
    ]
    newer = [
        v2.ToImage(),
        v2.RandomResizedCrop(SIDE),
        v2.RandomHorizontalFlip(),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize(MEAN, STD),
    ]
    chosen = [batch.tolist() for batch in batches]
    options = {"batch_sampler": chosen, "num_workers": workers, "persistent_workers": again}
    return {
        "DataLoader, transforms": DataLoader(Files(paths, transforms.Compose(papers)), **options),
        "DataLoader, transforms.v2": DataLoader(Files(paths, v2.Compose(newer)), **options),
    }


def epochs_of(peers: dict[str, DataLoader]) -> dict[str, Run]:
    """Return functions that run an epoch of each."""
    return {name: lambda peer=peer: consumed(peer) for name, peer in peers.items()}


def feed_rows(paths: list[str], folder: Path, options: argparse.Namespace) -> list[list[Any]]:
    """Return the rows of the feed's table for some photos."""
    inputs, files = stored(paths, folder), described(paths)
    rng = np.random.default_rng(0)
    batches = [rng.integers(len(paths), size=BATCH) for _ in range(options.batches)]
    rows: list[list[Any]] = []
    for workers in options.workers:
        fed = Fed(inputs, batches, workers)

        def ours(fed: Fed = fed) -> int:
            return sum(map(fed.epoch, range(EPOCHS)))

        peers = loaders(paths, batches, workers, again=True)
        found = in_turns({"dmlbench": ours, **epochs_of(peers)}, options.repeats)
        for name, took in found.items():
            rate, cpu = 1 / typical(took, "passed"), 1000 * typical(took, "computed")
            ratios = [over(took, found["dmlbench"], what) for what in ("passed", "computed")]
            cells = [f"{rate:,.0f}", f"{ratios[0]:.1f}", f"{cpu:.2f}", f"{ratios[1]:.1f}"]
            rows.append([files, workers, name, *cells])
    return rows


def first_epoch_rows(
    paths: list[str], folder: Path, options: argparse.Namespace
) -> list[list[Any]]:
    """Return the rows for one pass over all photos that starts from their files."""
    order = np.random.default_rng(0).permutation(len(paths))
    batches = np.array_split(order, len(paths) // BATCH)
    workers, until_stored = max(options.workers), []

    def ours() -> int:
        with TemporaryDirectory(dir=folder) as empty:
            start = time.perf_counter()
            inputs = stored(paths, Path(empty))
            until_stored.append(time.perf_counter() - start)
            return Fed(inputs, batches, workers).epoch(1)

    peers = loaders(paths, batches, workers, again=False)
    found = in_turns({"dmlbench": ours, **epochs_of(peers)}, options.repeats)
    rows = []
    for name, took in found.items():
        passed = len(paths) * typical(took, "passed")
        rows.append([name, f"{passed:.2f}", f"{over(took, found['dmlbench'], 'passed'):.2f}"])
    return [
        *rows,
        ["of dmlbench's, until the store is there", f"{median(until_stored[1:]):.2f}", ""],
    ]


def step_rows(options: argparse.Namespace) -> list[list[Any]]:
    """Return the rows for a training step of a ResNet-18."""
    rng = np.random.default_rng(0)
    images = rng.integers(256, size=(2 * STEP_BATCH, 3, SIDE, SIDE)).astype(np.uint8)
    items = Items(images, np.arange(len(images)) % CLASSES)
    protocol = load_protocol("small")
    for key, value in {
        "batch_size": STEP_BATCH,
        "length.epochs": options.step_repeats + 1,
        "length.steps_per_epoch": STEPS,
        "augmentation.shift": 0,
        "embedding_dim": 128,
    }.items():
        protocol = protocol.change(key, str(value))
    catalogue = Catalogue.discover()
    backbone = make(catalogue, "backbone", "timm/resnet18", {"weights": "none"})
    sizes = {"num_classes": CLASSES, "embedding_dim": 128}
    loss = make(catalogue, "loss", "cross-entropy", {"label_smoothing": 0.0}, **sizes)
    sampler = make(catalogue, "sampler", "m-per-class", {})
    recipe = Recipe(Objective([Summand(loss)]), sampler, protocol, 0)
    epochs = train(Embedder(backbone, items, 128), recipe, items, CPU)

    def inside() -> int:
        with repeatable(CPU):
            next(epochs)
        return STEPS

    wanted = ImageFormat(3, None, (0.5,) * 3, (0.5,) * 3)
    halves = torch.from_numpy(images).split(STEP_BATCH)
    bare = bare_loop([formatted(batch, wanted) for batch in halves])
    found = in_turns({"dmlbench": inside, "bare loop": bare}, options.step_repeats)
    rows = []
    for name, took in found.items():
        ratio = over(found["dmlbench"], took, "computed")
        rows.append([name, f"{1000 * typical(took, 'computed'):.0f}", f"{ratio:.3f}"])
    return rows


def bare_loop(batches: list[Tensor]) -> Run:
    """Return a function that trains a ResNet-18 for some steps, channels last: the fastest way."""
    batches = [batch.to(memory_format=torch.channels_last) for batch in batches]
    network = timm.create_model("resnet18", num_classes=128).train()
    network.to(memory_format=torch.channels_last)
    classifier, labels = nn.Linear(128, CLASSES), torch.arange(STEP_BATCH) % CLASSES
    weights = [*network.parameters(), *classifier.parameters()]
    optimiser = torch.optim.AdamW(weights, lr=1e-3, weight_decay=1e-4)

    def loop() -> int:
        for step in range(STEPS):
            value = F.cross_entropy(classifier(network(batches[step % len(batches)])), labels)
            optimiser.zero_grad()
            value.backward()
            optimiser.step()
        return STEPS

    return loop


HEADERS = {
    "feed": [
        "files",
        "workers",
        "what",
        "images/s",
        "dmlbench over it",
        "CPU ms",
        "over dmlbench's",
    ],
    "first-epoch": ["what", "seconds", "over dmlbench's"],
    "step": ["what", "CPU ms a step", "dmlbench over it"],
}


def measure(options: argparse.Namespace) -> dict[str, list[list[Any]]]:
    """Return the rows of the tables that are asked for."""
    tables: dict[str, list[list[Any]]] = {}
    with TemporaryDirectory() as name:
        folder = Path(name)
        if {"feed", "first-epoch"} & set(options.parts):
            archive = find_archive(options.data)
            paths = write_photos(archive, folder / "large", options.photos, LARGE)
        if "feed" in options.parts:
            given = write_photos(archive, folder / "given", options.photos)
            tables["feed"] = [
                row for some in (paths, given) for row in feed_rows(some, folder, options)
            ]
        if "first-epoch" in options.parts:
            tables["first-epoch"] = first_epoch_rows(paths, folder, options)
    if "step" in options.parts:
        tables["step"] = step_rows(options)
    return tables


def main() -> None:
    """Measure what was asked for and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("DMLBENCH_DATA", "."))
    parser.add_argument("--parts", nargs="+", choices=HEADERS, default=list(HEADERS))
    parser.add_argument("--photos", type=int, default=512)
    parser.add_argument("--batches", type=int, default=8, help=f"of {BATCH}, for the feed")
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--step-repeats", type=int, default=7)
    parser.add_argument("--out", type=Path, default=PAGE, help="markdown file to write")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    torch.set_num_threads(1)
    about = {
        "feed": f"## Images per second\n\nBatches of {BATCH}: random resized crop, flip, "
        f"normalise, float32 at {SIDE} pixels. *Workers* are dmlbench's threads, which read its "
        f"store (short side {SHORT}), or the DataLoader's processes, which decode JPEGs. The "
        "photos are those of Stanford Cars as they are in the data folder, and the same photos "
        f"brought to {LARGE[0]}x{LARGE[1]} with grain, which is about what CUB-200-2011 comes as. "
        "*CPU ms* is the CPU time of all threads and processes per image; other load disturbs it "
        "less. Small files have little to decode, so there is less to gain.",
        "first-epoch": f"## The first epoch\n\nOne pass over {options.photos} photos at "
        f"{LARGE[0]}x{LARGE[1]}, with {max(options.workers)} workers. dmlbench decodes all photos, "
        "writes its store and then feeds from it. Later epochs, trials and workers find the store "
        "ready.",
        "step": f"## A step of ResNet-18\n\nBatch {STEP_BATCH} at {SIDE} pixels, float32, "
        "AdamW, cross entropy, one thread. dmlbench runs `train` itself: assemble and normalise a "
        "batch, then forward, loss, backward and step, with deterministic kernels. The bare loop "
        "has the same tensors, already normalised, in memory, channels last, which is fastest.",
    }
    tables = measure(options)
    text = [
        "# Speed of the training feed",
        f"Made by `benchmarks/feed.py`. Contenders take turns; results are medians of "
        f"{options.repeats} turns ({options.step_repeats} for steps). "
        f"{describe_machine(PACKAGES, load)}",
    ]
    for part, rows in tables.items():
        text += [
            about[part],
            tabulate(rows, HEADERS[part], tablefmt="github", disable_numparse=True),
        ]
    page = "\n\n".join(text) + "\n"
    options.out.write_text(page, encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()
