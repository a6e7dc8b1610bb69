"""Which data go which way. That all ways agree with plain loops is tested elsewhere."""

import numpy as np
import pytest

from dmlbench.retrieval import evaluate
from dmlbench.retrieval.engine import choice


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
            (choice, "rank_by_rows"),
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
        ({"items": 810, "classes": 10}, "rank_by_tiles"),  # R = 80
        ({"items": 820, "classes": 10}, "rank_by_rows"),
        ({"items": 602, "classes": 2}, "rank_by_rows"),  # R = 300
        ({"items": 604, "classes": 2}, "rank_by_sorting"),
        ({"items": 1000, "classes": 50, "gallery": True}, "rank_by_tiles"),  # R = 20
        ({"items": 1000, "classes": 40, "gallery": True}, "rank_by_rows"),
        ({"items": 1204, "classes": 4, "gallery": True}, "rank_by_sorting"),
    ],
)
def test_the_way_follows_the_size_of_the_classes(arguments, expected):
    assert way_of(**arguments) == expected


def test_rows_take_over_where_a_list_of_all_negatives_does_not_fit():
    assert way_of(4000, 80, memory_budget=16 * 2**20) == "rank_by_rows"
    assert way_of(4000, 80, memory_budget=128 * 2**20) == "rank_by_tiles"


def test_the_rank_of_every_positive_needs_rows():
    assert way_of(1000, 100, mean_average_precision=True) == "rank_by_rows"
    assert way_of(604, 2, mean_average_precision=True) == "rank_by_sorting"
