"""Exact retrieval metrics at the size of SOP's test set, on the device and on the CPU."""

from functools import partial

import numpy as np
from benchmarks.gpu.figures import Figure
from benchmarks.gpu.place import Place

from dmlbench.compute.determinism import repeatable
from dmlbench.retrieval import RetrievalResult, evaluate

ITEMS, CLASSES, DIMENSION = 60_502, 11_316, 512
SECONDS = 1.0


def evaluation(place: Place) -> list[Figure]:
    """Time the metrics of as many embeddings as SOP has, and compare them with the CPU's."""
    items, classes, dimension = (2_000, 370, 32) if place.small else (ITEMS, CLASSES, DIMENSION)
    embeddings, labels = made_embeddings(items, classes, dimension)
    measure = partial(evaluate, embeddings, labels, precision_at=(1, 10, 100, 1000))
    there = measure(device=place.device)  # warms up
    with repeatable(place.device):
        seconds = place.seconds(lambda: measure(device=place.device))
    return [
        Figure(
            f"{items:,} x {dimension}",
            f"{seconds:.2f} s",
            f"under {SECONDS:.0f} s",
            seconds < SECONDS if place.on_gpu and not place.small else None,
        ),
        same_figures(there, measure()),
    ]


def same_figures(one: RetrievalResult, other: RetrievalResult) -> Figure:
    """Return whether every figure of every query is the same: counts equal, averages to 1e-12."""
    differ = [
        name
        for name in ("relevant", "best_rank", "hits", "ties", "average_precision")
        if not np.allclose(
            getattr(one.per_query, name), getattr(other.per_query, name), rtol=0, atol=1e-12
        )
    ]
    value = f"differ: {', '.join(differ)}" if differ else "equal"
    return Figure("figures beside the CPU's", value, "equal", not differ)


def made_embeddings(items: int, classes: int, dimension: int) -> tuple[np.ndarray, np.ndarray]:
    """Return unit vectors ``[N, D]`` float32 around class centres, and their labels."""
    rng = np.random.default_rng(0)
    labels = np.arange(items) % classes
    centres = rng.standard_normal((classes, dimension), dtype=np.float32)
    vectors = centres[labels] + 1.5 * rng.standard_normal((items, dimension), dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), labels
