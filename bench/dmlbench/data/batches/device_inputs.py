"""The inputs of a split, ready to be read in batches on the CPU or on a GPU."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
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
"""All photos are copied to a GPU if they take at most this share of its free memory: activations
and convolution workspaces come later."""

_stay_on_cpu = ContextVar("_stay_on_cpu", default=False)

_CHUNK = 1 << 24  # pixels copied at a time
_THREADS = 4


class DeviceInputs(ABC):
    """Inputs that can be read in batches on a device.

    Attributes:
        sizes: heights and widths of the pictures ``[N, 2]``; None for vectors.
        seen: height and width of what the network sees.
        threads: how many threads should prefetch batches; 0 where that gains nothing.
    """

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
    pixels = _resident(inputs.store, device) if may_move else None
    return _Pictures(inputs, device) if pixels is None else _ResidentPictures(inputs, pixels)


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
    _resident.cache_clear()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    return there


class _Arrays(DeviceInputs):
    """Vectors, or images of one size, on the device."""

    def __init__(self, inputs: np.ndarray, device: torch.device) -> None:
        self.inputs = torch.from_numpy(inputs).to(device)
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
    """Photos that are cropped on the CPU on demand; a GPU resizes the crops itself.

    So crops are the same to the bit whether or not the photos fit on the GPU.
    """

    def __init__(self, inputs: StoredPhotos, device: torch.device) -> None:
        self.inputs, self.device = inputs, device
        self.sizes, self.seen = inputs.sizes, (inputs.side, inputs.side)
        self.at_once = device.type == "cuda"
        self.threads = _THREADS if self.at_once else 0

    def plain(self, index: np.ndarray) -> Tensor:
        return to_device(self.inputs.centre(index), self.device)

    def crops(self, index: np.ndarray, boxes: np.ndarray, interpolation: Interpolation) -> Tensor:
        if self.at_once:
            regions = to_device(self.inputs.regions(index, boxes), self.device)
            return resized_regions(regions, boxes, self.seen, interpolation)
        return torch.from_numpy(self.inputs.crops(index, boxes, interpolation))


class _ResidentPictures(DeviceInputs):
    """Photos whose whole store is on the device."""

    def __init__(self, inputs: StoredPhotos, pixels: Tensor) -> None:
        self.pixels = pixels
        self.sizes: np.ndarray = inputs.sizes
        self.seen = (inputs.side, inputs.side)
        areas = inputs.store.shapes[:, :2].prod(axis=1)
        self.starts = (areas.cumsum() - areas)[inputs.places]

    def plain(self, index: np.ndarray) -> Tensor:
        return self.crops(index, centre_boxes(self.sizes[index], self.seen), "bicubic")

    def crops(self, index: np.ndarray, boxes: np.ndarray, interpolation: Interpolation) -> Tensor:
        where = (self.starts[index], self.sizes[index, 1])
        return _crop_batch(self.pixels, where, boxes, self.seen, interpolation)


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
def _resident(store: PhotoStore, device: torch.device) -> Tensor | None:
    """Return the pixels of all photos on `device`, ``[P, C]`` uint8; None if they do not fit."""
    drop_resident_photos()  # of another dataset, before the room for these is measured
    areas, channels = store.shapes[:, :2].prod(axis=1), store.channels
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else math.inf
    if areas.sum() * channels > RESIDENT_SHARE * free:
        return None
    pixels = torch.empty((int(areas.sum()), channels), dtype=torch.uint8, device=device)
    start = 0
    for chunk in _chunks(store):
        pixels[start : start + len(chunk)] = torch.from_numpy(np.array(chunk)).to(device)
        start += len(chunk)
    return pixels


def _chunks(store: PhotoStore) -> Iterator[np.ndarray]:
    """Yield the pixels of all photos in chunks ``[K, C]``, grey ones expanded to colour."""
    channels = store.channels
    if (store.shapes[:, 2] == channels).all():
        pixels = store.pixels.reshape(-1, channels)
        for start in range(0, len(pixels), _CHUNK):
            yield pixels[start : start + _CHUNK]
        return
    for place in range(len(store)):
        photo = store.photo(place)
        yield np.broadcast_to(photo, (*photo.shape[:2], channels)).reshape(-1, channels)
