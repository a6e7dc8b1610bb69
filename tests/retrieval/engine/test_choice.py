"""Which data go which way. That all ways agree with plain loops is tested elsewhere."""

import numpy as np
import pytest

from dmlbench.retrieval import evaluate
from dmlbench.retrieval.engine import choice, similarity_rows


def way_of(items, classes, gallery=False, **arguments):
    """Return the function that ranked data of this size."""
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(items, 8)).astype(np.float32)
    labels = np.arange(items) % classes
    taken = []
    with pytest.MonkeyPatch.context() as patch:
        for module, name in (
            (choice, "rank_by_tiles"),
            (choice, "rank_by_sorting"),
            (similarity_rows, "_rank_pairs"),
            (similarity_rows, "_rank_blocks"),
        ):
            real = getattr(module, name)

            def spy(task, *rest, real=real, name=name):
                taken.append(name)
                return real(task, *rest)

            patch.setattr(module, name, spy)
        if gallery:
            arguments |= {"gallery": embeddings.copy(), "gallery_labels": labels}
            arguments["self_index"] = np.full(len(labels), -1)
        evaluate(embeddings, labels, **arguments)
    (name,) = taken
    return name


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"items": 1000, "classes": 100}, "rank_by_tiles"),
        ({"items": 1000, "classes": 20}, "_rank_pairs"),
        ({"items": 602, "classes": 2}, "_rank_blocks"),
        ({"items": 604, "classes": 2}, "rank_by_sorting"),
        ({"items": 1000, "classes": 100, "gallery": True}, "rank_by_tiles"),
        ({"items": 1000, "classes": 40, "gallery": True}, "_rank_blocks"),
        ({"items": 1000, "classes": 20, "gallery": True}, "_rank_blocks"),
    ],
)
def test_the_way_follows_the_size_of_the_classes(arguments, expected):
    assert way_of(**arguments) == expected


def test_products_are_not_halved_where_queries_do_not_fit_into_memory_at_once():
    assert way_of(4000, 40, memory_budget=8 * 2**20) == "_rank_blocks"
    assert way_of(4000, 40, memory_budget=128 * 2**20) == "_rank_pairs"


def test_nor_where_mapped_vectors_do_not():
    assert way_of(3000, 60, memory_budget=2**18) == "_rank_blocks"


def test_tiles_take_larger_classes_where_they_alone_halve_the_products():
    assert way_of(2000, 40, memory_budget=2**26) == "_rank_pairs"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(similarity_rows, "_LARGEST_EDGE", 100)
        assert way_of(2000, 40, memory_budget=2**26) == "rank_by_tiles"


def test_the_rank_of_every_positive_needs_rows():
    assert way_of(1000, 100, mean_average_precision=True) == "_rank_blocks"
