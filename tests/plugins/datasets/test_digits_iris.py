"""The sets that come with scikit-learn."""

from collections import Counter

import datasets
import numpy as np
import pytest
from sklearn.datasets import load_digits, load_iris

from dmlbench_datasets.digits import Digits, DigitsClosed
from dmlbench_datasets.iris import Iris


def columns(table: datasets.Dataset) -> tuple[np.ndarray, np.ndarray]:
    items = table.with_format("numpy")[:]
    return items["image"], items["label"]


def recall_and_map_at_r(vectors: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Recall@1 and MAP@R by cosine in percent, query by query."""
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    firsts, precisions = [], []
    for query, label in enumerate(labels):
        others = np.delete(np.arange(len(labels)), query)
        ranked = others[np.argsort(-vectors[others] @ vectors[query], kind="stable")]
        hits = labels[ranked] == label
        r = hits.sum()
        running = np.cumsum(hits[:r]) / np.arange(1, r + 1)
        firsts.append(hits[0])
        precisions.append((running * hits[:r]).sum() / r)
    return 100 * float(np.mean(firsts)), 100 * float(np.mean(precisions))


@pytest.mark.parametrize("dataset", [Digits(), DigitsClosed()])
def test_the_two_halves_hold_every_scan_once(dataset: Digits) -> None:
    scans = load_digits()
    expected = Counter(
        (label, scan.astype(int).tobytes())
        for scan, label in zip(scans.images, scans.target, strict=True)
    )
    found: Counter[tuple[int, bytes]] = Counter()
    for split, table in dataset.load(None).items():
        images, labels = columns(table)
        assert (len(images), len(set(labels.tolist()))) == dataset.expected[split]
        counts = np.round(images * 16 / 255).astype(int)
        found.update((label, scan.tobytes()) for scan, label in zip(counts, labels, strict=True))
    assert found == expected


def test_digits_learns_0_to_4_and_retrieves_5_to_9() -> None:
    splits = Digits().load(None)
    assert set(splits["train"]["label"]) == {0, 1, 2, 3, 4}
    assert set(splits["test"]["label"]) == {5, 6, 7, 8, 9}


def test_the_closed_halves_are_balanced_in_every_class() -> None:
    sizes = {
        split: np.bincount(table["label"]) for split, table in DigitsClosed().load(None).items()
    }
    assert set(sizes["train"] - sizes["test"]) <= {0, 1}


def test_raw_pixels_of_the_closed_set_score_as_known() -> None:
    images, labels = columns(DigitsClosed().load(None)["test"])
    recall, map_at_r = recall_and_map_at_r(images.reshape(len(images), -1).astype(float), labels)
    assert recall == pytest.approx(99.0, abs=0.5)
    assert map_at_r == pytest.approx(54.4, abs=0.5)


def test_iris_is_scikit_learns() -> None:
    flowers = load_iris()
    table = Iris().load(None)["all"]
    np.testing.assert_allclose(table["vector"][:], flowers.data, rtol=1e-6)
    np.testing.assert_array_equal(table["label"][:], flowers.target)
    assert table.features["label"].names == ["setosa", "versicolor", "virginica"]
    assert Iris.expected == {"all": (150, 3)}


@pytest.mark.parametrize("dataset", [Digits(), DigitsClosed(), Iris()])
def test_sets_of_scikit_learn_are_never_missing(dataset: Digits | Iris) -> None:
    assert dataset.embedded
    assert dataset.missing(None) is None
