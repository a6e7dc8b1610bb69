"""Where to crop pictures: boxes ``[B, 4]`` of top, left, height and width, in pixels."""

import math

import numpy as np

_ATTEMPTS = 10
RESIZED_DRAWS = 2 * _ATTEMPTS + 2
"""Random numbers that `resized_boxes` needs per picture."""


def centre_boxes(sizes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return the centre of each picture, placed as torchvision's ``center_crop`` places it.

    >>> centre_boxes(np.array([[5, 8]]), (4, 4))
    array([[0, 2, 4, 4]])

    Args:
        sizes: heights and widths of the pictures ``[B, 2]``, none below `size`.
        size: height and width of the boxes.
    """
    corners = np.rint((sizes - size) / 2).astype(np.int64)
    return np.concatenate([corners, np.broadcast_to(size, corners.shape)], axis=1)


def random_boxes(sizes: np.ndarray, size: tuple[int, int], draws: np.ndarray) -> np.ndarray:
    """Return boxes anywhere in their picture, each place equally likely.

    Args:
        sizes: heights and widths of the pictures ``[B, 2]``, none below `size`.
        size: height and width of the boxes.
        draws: random numbers in [0, 1) ``[B, 2]``.
    """
    corners = np.floor(draws * (sizes - size + 1)).astype(np.int64)
    return np.concatenate([corners, np.broadcast_to(size, corners.shape)], axis=1)


def resized_boxes(sizes: np.ndarray, scale: float, ratio: float, draws: np.ndarray) -> np.ndarray:
    """Return boxes of random area and shape, by the rule of torchvision's ``RandomResizedCrop``.

    Area is uniform from `scale` to 1 of the picture's, the logarithm of width over height is
    uniform from -log `ratio` to log `ratio`. The first of ten attempts that fits in the picture is
    placed at random. If none fits, the box is the largest centred one within the ratio.

    Args:
        sizes: heights and widths ``[B, 2]``.
        scale: smallest share of the area, above 0.
        ratio: largest width over height, and height over width.
        draws: random numbers in [0, 1) ``[B, RESIZED_DRAWS]``.
    """
    attempts = draws[:, : 2 * _ATTEMPTS].reshape(-1, _ATTEMPTS, 2)
    areas = sizes.prod(axis=1, keepdims=True) * (scale + (1 - scale) * attempts[:, :, 0])
    shapes = np.exp(math.log(ratio) * (2 * attempts[:, :, 1] - 1))
    tried = np.rint(np.sqrt(np.stack([areas / shapes, areas * shapes], axis=2))).astype(np.int64)
    fits = ((tried > 0) & (tried <= sizes[:, None])).all(axis=2)
    found = tried[np.arange(len(sizes)), fits.argmax(axis=1)]
    corners = np.floor(draws[:, -2:] * (sizes - found + 1)).astype(np.int64)
    fallback = _largest(sizes, ratio)
    middle = (sizes - fallback) // 2
    fitted = fits.any(axis=1, keepdims=True)
    return np.concatenate(
        [np.where(fitted, corners, middle), np.where(fitted, found, fallback)], axis=1
    )


def _largest(sizes: np.ndarray, ratio: float) -> np.ndarray:
    """Return heights and widths ``[B, 2]`` of the largest boxes whose shape is within `ratio`."""
    longest = np.rint(sizes[:, ::-1] * ratio).astype(np.int64)
    found: np.ndarray = np.minimum(sizes, longest)
    return found
