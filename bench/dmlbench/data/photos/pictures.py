"""Stored photos as the images of a split: like an array, but left on disk."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from dmlbench.data.photos.crops import centre_boxes
from dmlbench.data.photos.resampling import Interpolation, resized
from dmlbench.data.photos.store import PhotoStore


@dataclass(frozen=True, eq=False)
class StoredPhotos:
    """Squares of stored photos, read on demand.

    It has the `shape`, `dtype` and length of the array ``[N, C, side, side]`` of all centre
    squares; indexing selects images without copying pixels.

    Attributes:
        store: the photos.
        places: the index in the store of each image ``[N]``.
        side: of the squares; no photo that plain squares are cut from is smaller.
    """

    store: PhotoStore
    places: np.ndarray
    side: int

    dtype: ClassVar = np.dtype(np.uint8)
    ndim: ClassVar = 4

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: np.ndarray | slice) -> "StoredPhotos":
        return replace(self, places=self.places[index])

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Return the shape of the array of all squares."""
        return len(self), self.store.channels, self.side, self.side

    @property
    def digests(self) -> np.ndarray:
        """Return the SHA-256 of each encoded image ``[N, 32]`` uint8."""
        digests: np.ndarray = self.store.digests[self.places]
        return digests

    @property
    def depths(self) -> np.ndarray:
        """Return whether files have 16 bits, and use little of their range ``[N, 2]`` bool."""
        depths: np.ndarray = self.store.depths[self.places]
        return depths

    @property
    def sizes(self) -> np.ndarray:
        """Return the heights and widths of the photos ``[N, 2]``."""
        sizes: np.ndarray = self.store.shapes[self.places, :2]
        return sizes

    @property
    def squares(self) -> "StoredPhotos":
        """Return what plain squares are cut from: the squares that are kept, or the photos."""
        return replace(self, store=self.store.squares)

    def centre(self, index: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Return the centre squares of some images, by default of all ``[B, C, side, side]`` uint8.

        They are those of torchvision's ``resize`` to the protocol's short side and ``center_crop``.
        """
        some = self.squares[index]
        return some.crops(slice(None), centre_boxes(some.sizes, self.shape[2:]))

    def crops(
        self, index: np.ndarray | slice, boxes: np.ndarray, interpolation: Interpolation = "bicubic"
    ) -> np.ndarray:
        """Return one crop of each image, resized to a square ``[B, C, side, side]`` uint8.

        Args:
            index: which images.
            boxes: top, left, height and width ``[B, 4]``, inside the photo.
            interpolation: how they are resized.
        """
        size = (self.side, self.side)
        squares = np.empty((len(boxes), *size, self.store.channels), dtype=np.uint8)
        for square, place, box in zip(squares, self.places[index], boxes.tolist(), strict=True):
            top, left, height, width = box
            region = self.store.photo(place)[top : top + height, left : left + width]
            square[:] = resized(region, size, interpolation)
        return squares.transpose(0, 3, 1, 2)

    def regions(self, index: np.ndarray | slice, boxes: np.ndarray) -> np.ndarray:
        """Return a region of each photo, not resized ``[B, H, W, C]`` uint8.

        H and W are the largest of all; smaller regions are in the top left corner, padded with 0.

        Args:
            index: which images.
            boxes: top, left, height and width ``[B, 4]``, inside the photo.
        """
        largest = boxes[:, 2:].max(axis=0)
        regions = np.zeros((len(boxes), *largest, self.store.channels), dtype=np.uint8)
        for region, place, box in zip(regions, self.places[index], boxes.tolist(), strict=True):
            top, left, height, width = box
            photo = self.store.photo(place)
            region[:height, :width] = photo[top : top + height, left : left + width]
        return regions
