"""What may be handed in, and the error for what may not."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from dmlbench import ConfigError, DataError, retrieval

EMBEDDINGS = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.2, 0.9]])
LABELS = np.array([5, 5, -2, -2])


@pytest.mark.parametrize(
    "embeddings",
    [
        EMBEDDINGS.astype(np.float16),
        (EMBEDDINGS * 100).astype(np.int32),
        (EMBEDDINGS * 100).astype(np.uint8),
        EMBEDDINGS.astype(">f4"),
        np.asfortranarray(EMBEDDINGS),
        EMBEDDINGS[:, ::-1],
        EMBEDDINGS.tolist(),
        torch.tensor(EMBEDDINGS, requires_grad=True),
        torch.tensor(EMBEDDINGS).half(),
        torch.tensor(EMBEDDINGS).bfloat16(),
    ],
    ids=lambda value: str(getattr(value, "dtype", "list")),
)
@pytest.mark.parametrize("labels", [LABELS, LABELS.tolist(), torch.tensor(LABELS)], ids=type)
def test_any_kind_of_real_array_is_read(embeddings, labels):
    assert retrieval.evaluate(embeddings, labels).recall_at[1] == 1


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_named_by_its_row(bad):
    embeddings = np.ones((9000, 3), np.float32)
    embeddings[8123, 1] = bad
    with pytest.raises(DataError, match="row 8123"):
        retrieval.evaluate(embeddings, np.zeros(9000, int))


# Where long doubles are wider than doubles, their values may leave float64.
WIDE = [(EMBEDDINGS.astype(np.longdouble), LABELS, "at most 64 bits")] * (
    np.dtype(np.longdouble).itemsize > 8
)


@pytest.mark.parametrize(
    ("embeddings", "labels", "message"),
    [
        (np.empty((0, 4)), np.empty(0, int), "empty"),
        (np.empty((4, 0)), LABELS, "empty"),
        (np.ones(4), LABELS, r"shape \[N, D\]"),
        (EMBEDDINGS, LABELS[:3], "each of the 4 rows"),
        (EMBEDDINGS, LABELS[:, None], "each of the 4 rows"),
        (EMBEDDINGS + 0j, LABELS, "real numbers"),
        (EMBEDDINGS.astype(str), LABELS, "real numbers"),
        *WIDE,
        ([[1.0, 2.0], [3.0]], [0, 0], "array"),
        (EMBEDDINGS, np.arange(4), "nothing to retrieve"),
        (EMBEDDINGS[:1], LABELS[:1], "nothing to retrieve"),
    ],
)
def test_wrong_data_is_an_error_that_says_what(embeddings, labels, message):
    with pytest.raises(DataError, match=message):
        retrieval.evaluate(embeddings, labels)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"gallery": EMBEDDINGS}, "gallery_labels"),
        ({"gallery_labels": LABELS}, "need a gallery"),
        ({"self_index": [0, 1, 2, 3]}, "need a gallery"),
        ({"gallery": EMBEDDINGS[:, :1], "gallery_labels": LABELS}, "2 dimensions"),
        ({"gallery": EMBEDDINGS * np.nan, "gallery_labels": LABELS}, "gallery has NaN"),
        (
            {"gallery": EMBEDDINGS, "gallery_labels": LABELS, "self_index": [0, 1, 2, 4]},
            "between -1 and 3",
        ),
        (
            {"gallery": EMBEDDINGS, "gallery_labels": LABELS, "self_index": [2, 1, 2, 3]},
            "Query 0 has class 5",
        ),
        ({"gallery": EMBEDDINGS, "gallery_labels": LABELS + 100}, "nothing to retrieve"),
    ],
)
def test_a_wrong_gallery_is_an_error_that_says_what(arguments, message):
    with pytest.raises(DataError, match=message):
        retrieval.evaluate(EMBEDDINGS, LABELS, **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"recall_at": (0, 1)}, "recall_at"),
        ({"precision_at": (-1,)}, "precision_at"),
        ({"precision_at": (10**23,)}, "precision_at must hold ranks from 1 to 2147483647"),
        ({"tolerance": -1e-6}, "tolerance"),
        ({"tolerance": np.nan}, "tolerance"),
        ({"memory_budget": 0}, "memory_budget"),
        ({"distance": "cosin"}, "'cosine'"),
        ({"distance": "mahalanobis"}, "covariance"),
        ({"products": "fast"}, "products"),
    ],
)
def test_a_wrong_argument_is_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        retrieval.evaluate(EMBEDDINGS, LABELS, **arguments)


def test_the_inputs_are_left_as_they_were():
    embeddings, labels = EMBEDDINGS.astype(np.float32), LABELS.copy()
    retrieval.evaluate(
        *(embeddings, labels, embeddings[::-1], labels[::-1]),
        self_index=np.full(4, -1),
        ignore_labels=[5],
        leave_out=np.zeros((4, 4), bool),
    )
    np.testing.assert_array_equal(embeddings, EMBEDDINGS.astype(np.float32))
    np.testing.assert_array_equal(labels, LABELS)


def test_importing_the_package_loads_neither_torch_nor_faiss():
    code = "import sys, dmlbench.retrieval; sys.exit(bool({'torch', 'faiss'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_public_name_can_be_loaded_and_no_other():
    for name in dir(retrieval):
        assert getattr(retrieval, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'evaluat'"):
        retrieval.evaluat  # noqa: B018


@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_huge_and_tiny_embeddings_rank_as_others(scale):
    expected = retrieval.evaluate(EMBEDDINGS, LABELS, distance="euclidean")
    found = retrieval.evaluate(EMBEDDINGS * scale, LABELS, distance="euclidean")
    np.testing.assert_array_equal(found.per_query.best_rank, expected.per_query.best_rank)


def test_embeddings_whose_differences_leave_float64_are_an_error_without_a_warning():
    embeddings = np.where(np.arange(len(LABELS))[:, None] % 3, 1.7e308, -1.7e308) * np.ones(3)
    with pytest.raises(DataError, match="too large"):
        retrieval.evaluate(embeddings, LABELS, distance="euclidean")
