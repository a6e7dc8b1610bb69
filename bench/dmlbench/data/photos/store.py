"""Photos, decoded once and kept on disk: one file for all images of a dataset.

    pixels of the first photo [H, W, C] | of the second | ... | index | trailer

Where training crops are cut from larger photos than the plain squares, each photo is followed by
its square.

The pixels are mapped into memory, not read: all trials and worker processes of a machine share the
pages that the system caches, and a store may be larger than the memory. The index (an ``.npz``
inside) holds the sizes, the digests of the encoded files, whether they have 16 bits, and the side
of squares, if any; the trailer says how long both are.
The file is named by a hash of what was decoded and how. It can be deleted at any time.
"""

import os
import struct
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import IO, Any
from zipfile import BadZipFile

import numpy as np

from dmlbench.data.batches.prefetch import prefetch
from dmlbench.data.photos.decoding import VERSION, Decoded, PhotoFormat, decode, quiet_pillow
from dmlbench.data.photos.encoded import EncodedPhotos
from dmlbench.errors import DataError
from dmlbench.storage.cache import read_or_create

OnProgress = Callable[[int, int], None]
"""Called with the number of photos decoded so far, and their total."""

_TRAILER = struct.Struct("<QQ16s")
_MAGIC = b"dmlbench photos\n"
_INDEX = ("shapes", "digests", "identities", "depths")
_AHEAD = 4  # photos that each thread may decode ahead of the writer


@dataclass(frozen=True, eq=False)
class PhotoStore:
    """Decoded photos of any size. Read-only.

    Attributes:
        path: of the file.
        pixels: of all photos, one after the other ``[P]`` uint8.
        starts: index in `pixels` of each photo ``[M]`` int64.
        shapes: heights, widths and channels ``[M, 3]`` int64.
        digests: SHA-256 of the encoded files ``[M, 32]`` uint8.
        identities: those of the encoded photos ``[M, 32]`` uint8.
        depths: whether files have 16 bits, and whether they use little of their range ``[M, 2]``.
        kept_squares: the squares that follow the photos in the file, if they do.
    """

    path: Path
    pixels: np.ndarray
    starts: np.ndarray
    shapes: np.ndarray
    digests: np.ndarray
    identities: np.ndarray
    depths: np.ndarray
    kept_squares: "PhotoStore | None" = None

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def channels(self) -> int:
        """Return 1 if all photos are grey, else 3."""
        return int(self.shapes[:, 2].max())

    @property
    def squares(self) -> "PhotoStore":
        """Return the photos that plain squares are cut from."""
        return self if self.kept_squares is None else self.kept_squares

    def photo(self, place: int) -> np.ndarray:
        """Return a photo ``[H, W, C]`` as a view of the file; C = 1 if that photo is grey."""
        start, shape = self.starts[place], self.shapes[place]
        return self.pixels[start : start + shape.prod()].reshape(shape)


def photo_store(
    images: Sequence[EncodedPhotos], photos: PhotoFormat, folder: Path, on_progress: OnProgress
) -> tuple[PhotoStore, np.ndarray]:
    """Return the store of `images`, created if need be, and the index in it of each image ``[N]``.

    Raises:
        DataError: images can't be decoded (all of them are named), or the store can't be written.
    """
    distinct: dict[bytes, EncodedPhotos] = {}
    for image in images:
        distinct.setdefault(image.identity, image)
    path = folder / "photos" / f"{_key(sorted(distinct), photos)}.store"
    write = partial(_write, list(distinct.values()), photos, on_progress)
    store = read_or_create(path, partial(_read, len(distinct)), write)
    places = {identity.tobytes(): place for place, identity in enumerate(store.identities)}
    return store, np.array([places[image.identity] for image in images], dtype=np.int64)


def _key(identities: Iterable[bytes], photos: PhotoFormat) -> str:
    """Return the name of the store of these images as decoded by the Pillow installed."""
    import PIL

    rules: tuple[object, ...] = (VERSION, photos.short_side, photos.interpolation, PIL.__version__)
    if photos.store_side is not None:
        rules = (*rules, photos.store_side, photos.image_size)
    digest = sha256(repr(rules).encode())
    for identity in identities:
        digest.update(identity)
    return digest.hexdigest()[:32]


def _write(
    images: Sequence[EncodedPhotos], photos: PhotoFormat, on_progress: OnProgress, file: IO[bytes]
) -> None:
    shapes = np.empty((len(images), 3), dtype=np.int64)
    digests, identities = np.empty((2, len(images), 32), dtype=np.uint8)
    depths = np.empty((len(images), 2), dtype=bool)
    size, threads = 0, _cores()
    damaged: list[DataError] = []
    with quiet_pillow():
        decoded = prefetch(partial(_decode, photos=photos), images, threads, _AHEAD * threads)
        with closing(decoded):
            for place, found in enumerate(decoded):
                on_progress(place + 1, len(images))
                if isinstance(found, DataError):
                    damaged.append(found)
                    continue
                photo, digest = found
                shapes[place] = photo.pixels.shape
                depths[place] = photo.depth
                digests[place] = np.frombuffer(digest, dtype=np.uint8)
                identities[place] = np.frombuffer(images[place].identity, dtype=np.uint8)
                for pixels in (photo.pixels, photo.square):
                    if pixels is not None:
                        size += file.write(np.ascontiguousarray(pixels).data)
    DataError.raise_all(damaged)
    index = BytesIO()
    side: dict[str, Any] = {} if photos.store_side is None else {"side": photos.image_size}
    np.savez(index, shapes=shapes, digests=digests, identities=identities, depths=depths, **side)
    file.write(index.getbuffer())
    file.write(_TRAILER.pack(size, len(index.getbuffer()), _MAGIC))


def _decode(image: EncodedPhotos, photos: PhotoFormat) -> tuple[Decoded, bytes] | DataError:
    """Return the photo and the digest of its file, or why it can't be used."""
    try:
        content = image.read()
        return decode(content, image.name, photos), sha256(content).digest()
    except DataError as error:
        return error


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _read(photos: int, path: Path) -> PhotoStore | None:
    """Return the store in the file at `path`; None if there is none or it is damaged."""
    try:
        whole = np.memmap(path, dtype=np.uint8, mode="r").view(np.ndarray)
        size, index_size, magic = _TRAILER.unpack(whole[-_TRAILER.size :].tobytes())
        if magic != _MAGIC or size + index_size + _TRAILER.size != len(whole):
            return None
        with np.load(
            BytesIO(whole[size : size + index_size].tobytes()), allow_pickle=False
        ) as index:
            shapes, *others = (index[name] for name in _INDEX)
            side = int(index["side"]) if "side" in index else 0
    except (OSError, ValueError, KeyError, struct.error, BadZipFile):
        return None
    sizes = shapes.prod(axis=1) + side**2 * shapes[:, 2]
    ends = sizes.cumsum()
    if len(shapes) != photos or ends[-1] != size:
        return None
    store = PhotoStore(path, whole[:size], ends - sizes, shapes, *others)
    if not side:
        return store
    starts = store.starts + shapes.prod(axis=1)
    squares = np.concatenate([np.full((len(shapes), 2), side), shapes[:, 2:]], axis=1)
    return replace(store, kept_squares=replace(store, starts=starts, shapes=squares))
