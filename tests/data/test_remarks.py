"""What is odd about data: copies counted pair by pair, and 16-bit images that use few levels."""

from pathlib import Path

import numpy as np
import pytest
from support.stored_photos import encoded, table

from dmlbench import Dataset
from dmlbench.data.items import load_data
from dmlbench.data.photos.decoding import PhotoFormat
from dmlbench.data.remarks import copies, remarks


class Given(Dataset):
    closed_set = True

    def __init__(self, **splits) -> None:
        self.splits = splits

    def load(self, data_dir: Path | None):
        return self.splits


def split_of(values: list[int], scale: int = 1):
    """Return a split of 8x8 pictures, equal where their values are; labels alternate."""
    ramp = np.arange(64, dtype=np.uint16).reshape(8, 8)
    pixels = [ramp * scale + value for value in values]
    images = [encoded(p if scale > 1 else p.astype(np.uint8)) for p in pixels]
    return table(images, [place % 2 for place in range(len(values))])


def told(tmp_path: Path, **splits) -> tuple[str, ...]:
    data = load_data(Given(**splits), None, PhotoFormat(8, 8), cache_dir=tmp_path)
    return remarks(data)


def test_data_without_anything_odd_get_no_remark(tmp_path):
    assert told(tmp_path, train=split_of([1, 2, 3, 4]), test=split_of([5, 6, 7, 8])) == ()


def test_copies_within_a_class_of_one_split_get_no_remark(tmp_path):
    assert told(tmp_path, train=split_of([1, 2, 1, 2]), test=split_of([5, 6, 7, 8])) == ()


@pytest.mark.parametrize("seed", range(4))
def test_copies_are_counted_as_a_comparison_of_all_pairs_counts_them(seed):
    rng = np.random.default_rng(seed)
    values = {name: rng.integers(12, size=9) for name in ("train", "query", "gallery")}
    labels = {name: rng.integers(3, size=9) for name in values}
    digests = {name: np.repeat(v[:, None].astype(np.uint8), 32, 1) for name, v in values.items()}
    found = copies(digests, labels)
    expected = []
    for one, other in (("train", "query"), ("train", "gallery"), ("query", "gallery")):
        count = sum(any(a == b for a in values[one]) for b in values[other])
        found_in = "is an exact copy of an item" if count == 1 else "are exact copies of items"
        expected.append(f"{count} of 9 items of {other} {found_in} of {one}.")
    items = [
        (v, label) for name in values for v, label in zip(values[name], labels[name], strict=True)
    ]
    torn = sum(any(a == b and x != y for b, y in items) for a, x in items)
    assert [*found] == [*expected, found[-1]]
    assert found[-1].startswith(f"{torn} of 27 items have an exact copy in another class")


def test_copies_of_files_and_of_arrays_are_found_alike(tmp_path):
    import datasets

    photos = {"train": split_of([1, 2, 3, 4]), "test": split_of([4, 3, 9, 9])}
    arrays = {}
    for name, split in photos.items():
        pixels = [np.asarray(row["image"]) for row in split]
        features = datasets.Features(
            image=datasets.Array2D((8, 8), "uint8"), label=split.features["label"]
        )
        columns = {"image": pixels, "label": split["label"][:]}
        arrays[name] = datasets.Dataset.from_dict(columns, features=features)
    of_photos = told(tmp_path, **photos)
    assert of_photos[0] == "2 of 4 items of test are exact copies of items of train."
    assert of_photos[1].startswith("6 of 8 items have an exact copy in another class")
    assert told(tmp_path, **arrays) == of_photos


def test_faint_16_bit_images_are_said_once_however_many_splits(tmp_path):
    faint, strong = split_of([1, 2, 3, 4], scale=100), split_of([5, 6, 7, 8], scale=1000)
    assert told(tmp_path, train=strong, test=split_of([1, 2, 3, 4], scale=2000)) == ()
    (said,) = told(tmp_path, train=faint, test=strong)
    assert said.startswith("4 of 8 16-bit images use less than an eighth of their range")
    (*_, said) = told(tmp_path, train=faint, test=faint.select([0, 1, 2]))
    assert said.startswith("7 of 7 16-bit images")
