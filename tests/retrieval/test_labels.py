"""Which labels are read, and when two of them are the same class."""

import numpy as np
import pandas as pd
import pytest
import torch

from dmlbench import DataError, retrieval

EMBEDDINGS = np.array([[1.0, 0.0], [0.0, 1.0], [0.9, 0.1], [0.2, 0.9]])
CLASSES = [5, -2, 5, -2]
HUGE = 2**60


def recall(labels, gallery_labels) -> float:
    found = retrieval.evaluate(
        EMBEDDINGS[:2], labels, EMBEDDINGS[2:], gallery_labels, recall_at=(1,)
    )
    return found.recall_at[1]


@pytest.mark.parametrize(
    "labels",
    [
        np.array(CLASSES, np.int8),
        np.array(CLASSES, ">i4"),
        np.array(CLASSES, np.float32),
        np.array(CLASSES, object),
        [5, np.int16(-2), 5.0, torch.tensor(-2)],
        torch.tensor(CLASSES),
        torch.tensor(CLASSES).float(),
        pd.Series(CLASSES, index=[7, 8, 9, 7]),
        pd.Series(CLASSES, dtype="Int64"),
        np.array([True, False, True, False]),
        [True, False, True, False],
        ["cat", "dog", "cat", "dog"],
        np.array(["cat", "dog", "cat", "dog"]),
        np.array([b"cat", b"dog", b"cat", b"dog"]),
        ["katze", "hündin", "katze", "hündin".encode()],
        pd.Series(["cat", "dog", "cat", "dog"]),
        pd.Series(["cat", "dog", "cat", "dog"], dtype="string"),
        pd.Series(["cat", "dog", "cat", "dog"], dtype="category"),
        pd.Categorical(["cat", "dog", "cat", "dog"]),
        np.array([2**64 - 1, 0, 2**64 - 1, 0], np.uint64),
        [10**40, -(10**40), 10**40, -(10**40)],
    ],
    ids=lambda value: f"{type(value).__name__} {getattr(value, 'dtype', '')}",
)
def test_integers_and_texts_are_read_from_any_kind_of_array(labels):
    assert recall(labels[:2], labels[2:]) == 1
    found = retrieval.evaluate(EMBEDDINGS, labels, recall_at=(1,))
    assert (found.recall_at[1], found.lone_queries) == (1, 0)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ([HUGE, HUGE + 1], [HUGE + 1, HUGE]),
        (np.array([2**63, 2**63 + 1], np.uint64), np.array([2**63 + 1, 2**63], np.uint64)),
        (np.array([2**64 - 1, 1], np.uint64), [1, -1]),  # -1 is 2^64 - 1, if it wraps
        ([2**64 + 1, 2**64], [2**64, 2**64 + 1]),
        (["a", "b"], ["b", "a"]),
        (["1.0", "01"], ["01", "1"]),
        (["long text one", "long text two"], np.array(["long", "long text one"])),
    ],
)
def test_labels_that_differ_in_the_least_are_two_classes(ours, theirs):
    assert recall(ours, theirs) == 0


def test_integers_of_any_type_and_exact_floats_are_compared_by_value():
    kinds = (int, np.uint8, np.uint64, np.float32, np.float64, object)
    for one in kinds:
        for other in kinds:
            assert recall(np.array([1, 0], one), np.array([1, 0], other)) == 1
    assert recall(np.array([True, False]), [1, 0]) == 1


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.array([HUGE, HUGE + 1], float), "may have been rounded"),
        (np.array([2**53, 0], float), "from 9007199254740992 on"),
        (np.array([-(2.0**53), 0]), "may have been rounded"),
        (np.array([2**24, 0], np.float32), "from 16777216 on"),
        (np.array([2048, 0], np.float16), "from 2048 on"),
        ([float(HUGE), 0], "may have been rounded"),
        ([np.float32(2**24), 0], "from 16777216 on"),
        (torch.tensor([2.0**24, 0]), "from 16777216 on"),
        (torch.tensor([1.0, 0.0]).bfloat16(), r"bfloat16: use \.long"),
        (np.array([0.5, 1.0]), "row 0 has 0.5"),
        ([1, 0.5], "row 1 has 0.5"),
        (np.array([1.0, np.inf]), "row 1 has inf"),
        (np.array([1.0, np.nan]), "empty entry, first in row 1"),
        ([0, None], "empty entry, first in row 1"),
        (pd.Series([pd.NA, 1], dtype="Int64"), "empty entry, first in row 0"),
        (pd.Series(["a", None], dtype="string"), "empty entry, first in row 1"),
        (pd.Series([1, None]), "empty entry, first in row 1"),
        (np.ma.array([3, 4], mask=[False, True]), "empty entry, first in row 1"),
        ([1, "a"], "mix integers and texts: 1 in row 0, 'a' in row 1"),
        (np.array(["a", 1], object), "mix integers and texts"),
        (np.array([{}, {}]), "not dict, first in row 0"),
        ([(1, 2), (1, 2)], "each of the 2 rows"),
        ([b"\xff", b"a"], "no UTF-8 text in row 0"),
        (np.array(["2026-01-01", "NaT"], "M8[D]"), "datetime64"),
        (np.array([1j, 1]), "complex"),
    ],
)
def test_other_labels_are_refused_on_either_side(labels, words):
    with pytest.raises(DataError, match=rf"^labels .*{words}"):
        recall(labels, [1, 2])
    with pytest.raises(DataError, match=rf"^gallery_labels .*{words}"):
        recall([1, 2], labels)


def test_integers_and_texts_are_not_compared():
    message = r"labels are integers \(such as 1\), gallery_labels are texts \(such as '1'\)"
    with pytest.raises(DataError, match=message + r".*\.astype\(str\)"):
        recall([1, 2], ["1", "2"])
    with pytest.raises(DataError, match="can't be compared"):
        recall(np.array(["1", "2"]), np.array([1, 2], np.uint64))


def test_other_measures_read_the_same_labels():
    texts = ["a", "b", "a", "b"]
    numbers = [0, 1, 0, 1]
    for measure in (
        retrieval.mean_distances,
        lambda *given: retrieval.knn_accuracy(*given, k=1),
        lambda *given: retrieval.evaluate_clustering(*given).nmi,
        lambda *given: retrieval.evaluate_verification(*given).roc_auc,
    ):
        assert measure(EMBEDDINGS, texts) == measure(EMBEDDINGS, numbers)


def test_a_query_with_another_class_than_its_own_row_is_named_as_given():
    with pytest.raises(DataError, match=r"Query 1 has class b, .* \(0\) has class a"):
        retrieval.evaluate(
            EMBEDDINGS[:2], ["a", "b"], EMBEDDINGS, ["a", "b", "a", "b"], self_index=[-1, 0]
        )


@pytest.mark.parametrize("own", [[True, False], [0.0, 1.0], ["0", "1"]])
def test_rows_of_the_gallery_are_given_as_integers(own):
    with pytest.raises(DataError, match="self_index must be integers"):
        retrieval.evaluate(EMBEDDINGS[:2], [5, -2], EMBEDDINGS, CLASSES, self_index=own)
