"""Retrieval galleries: queries with their nearest images, right or wrong."""

import base64
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from dmlbench.data.items import Items
from dmlbench.data.photos.pictures import StoredPhotos
from dmlbench.leaderboard.formats.escaping import plain
from dmlbench.retrieval import nearest_neighbours
from dmlbench.site.kept_embeddings import Embedded

QUERIES = 12
"""Half of them with a right nearest neighbour and half with a wrong one, if possible."""
NEIGHBOURS = 8
SIDE = 48
"""Pixels on the longer side of a picture, at most."""


@dataclass(frozen=True)
class Picture:
    """A small image with its class; `right` says whether that is the query's."""

    source: str
    """A data URI."""
    class_name: str
    right: bool = True
    similarity: float = 1.0


@dataclass(frozen=True)
class Retrieved:
    """A query and its neighbours, nearest first."""

    query: Picture
    found: tuple[Picture, ...]


def gallery(embedded: Embedded) -> list[Retrieved]:
    """Return a few queries with their exact nearest neighbours by cosine.

    The record says which queries are right at the first place, so that only those shown search the
    gallery. Queries with nothing to find are left out. For vectors the list is empty.
    """
    if embedded.query_items.inputs.ndim != 4:
        return []
    labels, targets = embedded.query_items.labels, embedded.gallery_items.labels
    sides = (embedded.best_rank == 1, embedded.best_rank > 1)
    chosen = np.sort(np.concatenate([_spread(np.flatnonzero(side)) for side in sides]))
    index, similarity = _nearest(embedded, chosen)
    queries = _pictures(embedded.query_items, chosen)
    found = _pictures(embedded.gallery_items, index.ravel())
    names = embedded.class_names
    return [
        Retrieved(
            Picture(queries[place], plain(names[labels[query]])),
            tuple(
                Picture(
                    found[place * index.shape[1] + rank],
                    plain(names[targets[item]]),
                    bool(targets[item] == labels[query]),
                    float(similarity[place, rank]),
                )
                for rank, item in enumerate(index[place])
            ),
        )
        for place, query in enumerate(chosen)
    ]


def _nearest(embedded: Embedded, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    own = queries if embedded.self_retrieval else np.full(len(queries), -1)
    found = nearest_neighbours(
        embedded.queries[queries],
        embedded.gallery,
        k=min(NEIGHBOURS, len(embedded.gallery) - embedded.self_retrieval),
        self_index=own,
    )
    return found.index, found.similarity


def _spread(queries: np.ndarray) -> np.ndarray:
    """Return a few of `queries`, evenly spaced."""
    if len(queries) <= QUERIES // 2:
        return queries
    places = (np.arange(QUERIES // 2) + 0.5) * len(queries) / (QUERIES // 2)
    chosen: np.ndarray = queries[places.astype(int)]
    return chosen


def _pictures(items: Items, index: np.ndarray) -> list[str]:
    """Return the images as data URIs; each image is encoded once."""
    unique, places = np.unique(index, return_inverse=True)
    images = items.inputs
    arrays = images.centre(unique) if isinstance(images, StoredPhotos) else images[unique]
    encoded = [_data_uri(array) for array in arrays]
    return [encoded[place] for place in places]


def _data_uri(array: np.ndarray) -> str:
    """Return an image ``[C, H, W]`` uint8 as PNG, or as JPEG if it had to be shrunk."""
    image = Image.fromarray(array[0] if len(array) == 1 else array.transpose(1, 2, 0))
    kind = "JPEG" if max(image.size) > 2 * SIDE else "PNG"
    if kind == "JPEG":
        image.thumbnail((2 * SIDE, 2 * SIDE))
    buffer = io.BytesIO()
    image.save(buffer, kind, optimize=True)
    text = base64.b64encode(buffer.getvalue()).decode()
    return f"data:image/{kind.lower()};base64,{text}"
