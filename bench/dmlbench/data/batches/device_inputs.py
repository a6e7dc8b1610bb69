"""The inputs of a split, ready to be read in batches on the CPU or on a GPU."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from dmlbench.data.photos.crops import centre_boxes
from dmlbench.data.photos.pictures import StoredPhotos
from dmlbench.data.photos.resampling import (
    Interpolation,
    cut_regions,
    resized,
    resized_regions,
    to_device,
)
from dmlbench.data.photos.store import PhotoStore

RESIDENT_SHARE = 0.3
"""Most of the free memory of a GPU that copies of stored photos may take: the network's activations
and the workspaces of its convolutions come later."""

_stay_on_cpu = ContextVar("_stay_on_cpu", default=False)

_CHUNK = 1 << 24  # pixels copied at a time
_THREADS = 4


class DeviceInputs(ABC):
    """Inputs that can be read in batches on a device.

    Attributes:
        device: where batches go.
        sizes: heights and widths of the pictures ``[N, 2]``; None for vectors.
        seen: height and width of what the network sees.
        threads: how many threads should prefetch batches; 0 where that gains nothing.
    """

    device: torch.device
    sizes: np.ndarray | None = None
    seen: tuple[int, int]
    threads: int = 0

    @abstractmethod
    def plain(self, index: np.ndarray) -> Tensor:
        """Return a new batch: vectors ``[B, D]``, or whole images or centre squares, uint8."""

    @abstractmethod
    def crops(self, index: np.ndarray, boxes: np.ndarray, interpolation: Interpolation) -> Tensor:
        """Return crops of some images, resized to what the network sees ``[B, C, H, W]`` uint8.

        Args:
            index: which images ``[B]``.
            boxes: top, left, height and width of each crop ``[B, 4]``.
            interpolation: how they are resized.
        """


def to_device_inputs(inputs: np.ndarray | StoredPhotos, device: torch.device) -> DeviceInputs:
    """Return `inputs` in the place that is fastest for `device` and has room for them."""
    if isinstance(inputs, np.ndarray):
        return _Arrays(inputs, device)
    may_move = device.type == "cuda" and not _stay_on_cpu.get()
    resident = _that_fit(inputs.store, device) if may_move else ()
    for store in resident[:1]:  # photos that are larger than the squares wait for the first crops
        _resident(store, device)
    return _Pictures(inputs, device, resident)


@contextmanager
def photos_stay_on_cpu() -> Iterator[None]:
    """Let a GPU get its photos batch by batch in this context, however much room it has."""
    token = _stay_on_cpu.set(True)
    try:
        yield
    finally:
        _stay_on_cpu.reset(token)


def drop_resident_photos() -> bool:
    """Free the memory of photos that are on a GPU; return whether there were any."""
    there = _resident.cache_info().currsize > 0
    _that_fit.cache_clear()
    _resident.cache_clear()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    return there


class _Arrays(DeviceInputs):
    """Vectors, or images of one size, on the device."""

    def __init__(self, inputs: np.ndarray, device: torch.device) -> None:
        self.inputs, self.device = torch.from_numpy(inputs).to(device), device
        self.at_once = device.type == "cuda"
        if inputs.ndim == 4:
            self.seen = (inputs.shape[2], inputs.shape[3])
            self.sizes = np.broadcast_to(self.seen, (len(inputs), 2))

    def plain(self, index: np.ndarray) -> Tensor:
        return self.inputs[to_device(index, self.inputs.device)]

    def crops(self, index: np.ndarray, boxes: np.ndarray, interpolation: Interpolation) -> Tensor:
        if (boxes == (0, 0, *self.seen)).all():
            return self.plain(index)
        images = self.plain(index).permute(0, 2, 3, 1)
        if self.at_once:
            flat = images.reshape(-1, images.shape[3])
            starts = np.arange(len(index)) * self.seen[0] * self.seen[1]
            widths = np.full(len(index), self.seen[1])
            return _crop_batch(flat, (starts, widths), boxes, self.seen, interpolation)
        pictures = images.numpy()
        parts = [
            resized(picture[top : top + height, left : left + width], self.seen, interpolation)
            for picture, (top, left, height, width) in zip(pictures, boxes.tolist(), strict=True)
        ]
        return torch.from_numpy(np.stack(parts)).permute(0, 3, 1, 2)


class _Pictures(DeviceInputs):
    """Photos: cropped on a CPU from the store, on a GPU from its copy there or what it is sent.

    Crops are the same to the bit wherever a GPU has the photos from.

    Args:
        inputs: the photos.
        device: where batches go.
        resident: those of the store and its squares that are on the device.
    """

    def __init__(
        self, inputs: StoredPhotos, device: torch.device, resident: Sequence[PhotoStore] = ()
    ) -> None:
        self.inputs, self.device, self.resident = inputs, device, resident
        self.sizes, self.seen = inputs.sizes, (inputs.side, inputs.side)
        self.at_once = device.type == "cuda"
        self.threads = _THREADS if self.at_once and inputs.store not in resident else 0

    def plain(self, index: np.ndarray) -> Tensor:
        squares = self.inputs.squares[index]
        return self._cut(squares, centre_boxes(squares.sizes, self.seen), "bicubic")

    def crops(self, index: np.ndarray, boxes: np.ndarray, interpolation: Interpolation) -> Tensor:
        return self._cut(self.inputs[index], boxes, interpolation)

    def _cut(self, photos: StoredPhotos, boxes: np.ndarray, interpolation: Interpolation) -> Tensor:
        """Return a crop of each of `photos`."""
        if not self.at_once:
            return torch.from_numpy(photos.crops(slice(None), boxes, interpolation))
        if photos.store in self.resident:
            pixels, starts = _resident(photos.store, self.device)
            where = (starts[photos.places], photos.sizes[:, 1])
            return _crop_batch(pixels, where, boxes, self.seen, interpolation)
        regions = to_device(photos.regions(slice(None), boxes), self.device)
        return resized_regions(regions, boxes, self.seen, interpolation)


def _crop_batch(
    pixels: Tensor,
    where: tuple[np.ndarray, np.ndarray],
    boxes: np.ndarray,
    size: tuple[int, int],
    interpolation: Interpolation,
) -> Tensor:
    starts, widths = (to_device(some, pixels.device) for some in where)
    regions = cut_regions(pixels, starts, widths, boxes)
    return resized_regions(regions, boxes, size, interpolation)


@lru_cache(maxsize=1)
def _that_fit(store: PhotoStore, device: torch.device) -> tuple[PhotoStore, ...]:
    """Return those of the plain squares and the photos of a store that fit on a GPU, in this order.

    Copies of another store are dropped. The squares come first, as every network is tested on them.
    """
    _resident.cache_clear()
    torch.cuda.empty_cache()
    room = RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0]
    fit = []
    for some in dict.fromkeys((store.squares, store)):
        room -= int(some.shapes[:, :2].prod(axis=1).sum()) * some.channels
        if room >= 0:
            fit.append(some)
    return tuple(fit)


@lru_cache(maxsize=2)
def _resident(store: PhotoStore, device: torch.device) -> tuple[Tensor, np.ndarray]:
    """Return the pixels of all photos on `device` ``[P, C]`` uint8, and where each starts ``[M]``.

    Grey ones are expanded to colour if any of the others has colour.
    """
    areas, channels = store.shapes[:, :2].prod(axis=1), store.channels
    ends = areas.cumsum()
    pixels = torch.empty((int(ends[-1]), channels), dtype=torch.uint8, device=device)
    chunks = np.split(np.arange(len(store)), np.flatnonzero(np.diff(ends // _CHUNK)) + 1)
    for places in chunks:
        photos = [store.photo(place) for place in places]
        lines = [np.broadcast_to(p, (*p.shape[:2], channels)).reshape(-1, channels) for p in photos]
        start, end = ends[places[0]] - areas[places[0]], ends[places[-1]]
        pixels[start:end] = torch.from_numpy(np.concatenate(lines)).to(device)
    return pixels, ends - areas
