"""Arrays to Hugging Face datasets: the quick way gives what the library's own way gives."""

import datasets
import numpy as np
import pytest

from dmlbench_datasets.arrays import image_dataset, vector_dataset

NAMES = ("ant", "bee", "cat")


@pytest.mark.parametrize("count", [0, 1, 7])
def test_images_equal_those_of_from_dict(count: int) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, 5, 4), dtype=np.uint8)
    labels = rng.integers(0, 3, count).astype(np.uint8)
    features = datasets.Features(
        image=datasets.Array2D((5, 4), "uint8"), label=datasets.ClassLabel(names=list(NAMES))
    )
    slow = datasets.Dataset.from_dict(
        {"image": images.tolist(), "label": labels.tolist()}, features=features
    )
    quick = image_dataset(images, labels, NAMES)
    assert quick.features == slow.features
    assert quick.to_dict() == slow.to_dict()


def test_images_cut_from_a_larger_array_come_out_in_order() -> None:
    many = np.arange(6 * 2 * 3, dtype=np.uint8).reshape(6, 2, 3)
    chosen = many[::-2, :, 1:]
    table = image_dataset(chosen, np.zeros(3, int), NAMES)
    np.testing.assert_array_equal(table.with_format("numpy")[:]["image"], chosen)


def test_vectors_and_class_names_survive() -> None:
    vectors = np.array([[1.5, -2.0], [0.0, 3.25]])
    table = vector_dataset(vectors, np.array([2, 0]), NAMES)
    assert table["vector"][:] == [[1.5, -2.0], [0.0, 3.25]]
    assert [NAMES[label] for label in table["label"]] == ["cat", "ant"]
    assert table.features["label"].names == list(NAMES)
