"""What a dataset may be: everything that it promises is checked when it is loaded."""

from typing import ClassVar

import datasets
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmlbench import DataError, Dataset, PluginError
from dmlbench.data.item_names import item_names
from dmlbench.data.items import Items, load_data
from dmlbench.data.splits import hold_out_classes, with_consecutive_labels

NAMES = ["ant", "bee", "cat", "dog"]


def images(labels: list, side: int = 4, names: list[str] = NAMES, **kept) -> datasets.Dataset:
    rng = np.random.default_rng(len(labels))
    pixels = rng.integers(256, size=(len(labels), side, side)).astype(np.uint8)
    features = datasets.Features(
        image=datasets.Array2D((side, side), "uint8"), label=datasets.ClassLabel(names=names)
    )
    columns = {"image": list(pixels), "label": labels} | kept
    return datasets.Dataset.from_dict(columns, features=features)


def vectors(rows: list, labels: list[int]) -> datasets.Dataset:
    features = datasets.Features(
        vector=datasets.Sequence(datasets.Value("float64")),
        label=datasets.ClassLabel(names=NAMES),
    )
    return datasets.Dataset.from_dict({"vector": rows, "label": labels}, features=features)


class Given(Dataset):
    """The splits that a test gives it."""

    def __init__(self, **splits: datasets.Dataset) -> None:
        self.splits = splits

    def load(self, data_dir):
        return self.splits


class Closed(Given):
    closed_set = True


class Vectors(Given):
    modality = "vector"


class CrossValidated(Given):
    evaluation = "cross-validation"


class QueryGallery(Given):
    evaluation = "query-gallery"


class Counted(Given):
    expected: ClassVar = {"train": (4, 2), "test": (4, 2)}


TRAIN, TEST = images([0, 0, 1, 1]), images([2, 2, 3, 3])


def load(dataset: Dataset):
    return load_data(dataset, None, 8)


# Sound data


def test_splits_become_arrays():
    data = load(Counted(train=TRAIN, test=TEST))
    train = data.splits["train"]
    assert train.inputs.shape == (4, 1, 4, 4)
    assert train.inputs.dtype == np.uint8
    assert np.array_equal(train.inputs[:, 0], np.array(TRAIN["image"]))
    assert train.labels.tolist() == [0, 0, 1, 1]
    assert train.labels.dtype == np.int64
    assert data.class_names == tuple(NAMES)


def test_vectors_become_single_precision():
    rows = [[0.1, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]]
    data = load(Vectors(train=vectors(rows, [0, 0, 1, 1]), test=vectors(rows, [2, 2, 3, 3])))
    assert data.splits["train"].inputs.dtype == np.float32
    assert np.array_equal(data.splits["train"].inputs, np.array(rows, dtype=np.float32))


def test_rows_that_a_dataset_selects_keep_their_labels():
    picked = images([0, 0, 1, 1, 0, 1]).select([5, 0, 2, 4])
    data = load(Given(train=picked, test=TEST))
    assert data.splits["train"].labels.tolist() == [1, 0, 1, 0]
    whole = np.array(images([0, 0, 1, 1, 0, 1])["image"])
    assert np.array_equal(data.splits["train"].inputs[:, 0], whole[[5, 0, 2, 4]])


def test_flat_rows_are_pixels_from_0_to_1_or_the_vectors_and_always_a_copy():
    pixels = Items(np.array([[[[0, 255], [51, 102]]]], dtype=np.uint8), np.array([0]))
    assert pixels.flat().tolist() == [pytest.approx([0, 1, 0.2, 0.4])]
    assert pixels.flat().dtype == np.float32
    some = Items(np.ones((2, 3), dtype=np.float32), np.array([0, 1]))
    some.flat()[:] = 5
    assert (some.inputs == 1).all()


def test_query_and_gallery_may_hold_one_item_a_class():
    data = load(QueryGallery(train=TRAIN, query=images([2, 3]), gallery=images([3, 2, 2])))
    assert {name: len(items) for name, items in data.splits.items()} == {
        "train": 4,
        "query": 2,
        "gallery": 3,
    }


# Names


def test_items_are_called_by_their_files_below_the_folder_that_all_share(tmp_path):
    def table(*paths):
        found = [str(tmp_path / "photos" / path) for path in paths]
        return datasets.Dataset.from_dict({"image": found}).cast_column("image", datasets.Image())

    tables = {"train": table("cat/1.jpg", "dog/1.jpg"), "test": table("owl/ü 2.jpg", "owl/3.jpg")}
    called = item_names(tables | {"test": tables["test"].select([1, 0])})
    assert called["train"].tolist() == ["cat/1.jpg", "dog/1.jpg"]
    assert called["test"].tolist() == ["owl/3.jpg", "owl/ü 2.jpg"]


def test_items_without_files_of_their_own_are_called_by_split_and_row():
    twice = datasets.Dataset.from_dict({"image": ["/a/1.jpg", "/a/1.jpg"]})
    content = datasets.Dataset.from_dict({"image": [{"bytes": b"x", "path": None}]})
    tables = {
        "query": twice.cast_column("image", datasets.Image()),
        "gallery": content.cast_column("image", datasets.Image()),
        "train": datasets.Dataset.from_dict({"vector": [[1.0], [2.0]]}),
    }
    called = {split: names.tolist() for split, names in item_names(tables).items()}
    assert called == {
        "query": ["query/0", "query/1"],
        "gallery": ["gallery/0"],
        "train": ["train/0", "train/1"],
    }


def test_names_go_with_their_items():
    data = load(Given(train=TRAIN, test=images([2, 2, 3, 3])))
    some = data.splits["test"][np.array([3, 0])]
    assert some.names.tolist() == ["test/3", "test/0"]


# The fingerprint


def test_what_trials_share_can_not_be_made_writable():
    labels = np.array([3, 1, 3])
    items = Items(np.zeros((3, 2), np.float32), labels, labels, np.array(["a", "bc", "d"]))
    labels[:] = 0
    assert items.labels.tolist() == items.groups.tolist() == [3, 1, 3]
    for array in (items.labels, items.groups, items.names, items[np.array([2])].labels):
        for view in (array, array[1:], array.view(), array.reshape(-1, 1)):
            with pytest.raises(ValueError, match="WRITEABLE"):
                view.setflags(write=True)


def test_the_fingerprint_repeats_and_follows_every_item_label_name_and_split():
    prints = [
        load(dataset).fingerprint
        for dataset in (
            Given(train=TRAIN, test=TEST),
            Given(train=images([0, 1, 0, 1]), test=TEST),
            Given(train=images([0, 0, 1, 1, 1]), test=TEST),
            Given(train=TEST, test=TRAIN),
            Given(train=images([0, 0, 1, 1], 5), test=images([2, 2, 3, 3], 5)),
            Given(
                train=images([0, 0, 1, 1], names=["a", *NAMES[1:]]),
                test=images([2, 2, 3, 3], names=["a", *NAMES[1:]]),
            ),
        )
    ]
    assert len(set(prints)) == len(prints)
    assert load(Given(train=TRAIN, test=TEST)).fingerprint == prints[0]
    assert load(Counted(train=TRAIN, test=TEST)).fingerprint == prints[0]


# Broken promises


@pytest.mark.parametrize(
    ("dataset", "error", "reason"),
    [
        (Counted(train=images([0, 0, 1]), test=TEST), DataError, "train has 3 items in 2 classes"),
        (
            Counted(train=TRAIN, test=images([2, 2, 3, 3, 3])),
            DataError,
            "test has 5 items in 2 classes, not 4 in 2",
        ),
        (
            Given(train=images([0, 0, 2, 2]), test=TEST),
            DataError,
            "1 class is in both train and test",
        ),
        (Given(train=images([0, 0, 0]), test=TEST), DataError, r"train has 1 class;"),
        (Closed(train=TRAIN, test=images([1, 1])), DataError, r"test has 1 class;"),
        (Given(train=TRAIN, test=images([2, 3])), DataError, "test has one item per class"),
        (CrossValidated(all=images([1, 1])), DataError, r"all has 1 class;"),
        (Given(train=images([]), test=TEST), DataError, "split without items"),
        (Given(train=images([0, 0, 1, -1]), test=TEST), DataError, "items without a label"),
        (Given(train=images([0, 0, 1, None]), test=TEST), DataError, "items without a label"),
        (Given(train=TRAIN), PluginError, r"\['train'\].* has train and test"),
        (
            Given(train=TRAIN, test=TEST, validation=TEST),
            PluginError,
            "'test', 'train', 'validation'",
        ),
        (CrossValidated(train=TRAIN, test=TEST), PluginError, "cross-validation has all"),
        (QueryGallery(train=TRAIN, test=TEST), PluginError, "has train and query and gallery"),
        (
            QueryGallery(train=TRAIN, query=TEST, gallery=images([2, 1])),
            DataError,
            "1 class is in both train and gallery",
        ),
        (
            QueryGallery(train=TRAIN, query=images([0, 2]), gallery=TEST),
            DataError,
            "1 class is in both train and query",
        ),
        (
            QueryGallery(
                train=images([0, 0, 1, 1], names=[*NAMES, "eel", "fox"]),
                query=images([2, 3], names=[*NAMES, "eel", "fox"]),
                gallery=images([4, 5], names=[*NAMES, "eel", "fox"]),
            ),
            DataError,
            "no class is in both query and gallery",
        ),
        (QueryGallery(train=images([0, 1]), query=TEST, gallery=TEST), DataError, "train has one"),
        (Vectors(train=TRAIN, test=TEST), PluginError, "no column 'vector'"),
        (
            Given(train=TRAIN.rename_column("label", "y"), test=TEST),
            PluginError,
            "train has no column 'label'",
        ),
        (
            Given(train=TRAIN, test=TEST.cast_column("label", datasets.Value("int64"))),
            PluginError,
            "test has no column 'label' of type ClassLabel",
        ),
        (
            Given(train=TRAIN, test=images([2, 2, 3, 3], names=NAMES[::-1])),
            PluginError,
            "name their classes differently",
        ),
        (
            Given(train=TRAIN, test=images([2, 2, 3, 3], side=6)),
            DataError,
            r"differ in shape: \[1, 4, 4\] and \[1, 6, 6\]",
        ),
    ],
)
def test_data_that_are_not_as_promised_are_refused(dataset, error, reason):
    with pytest.raises(error, match=reason) as refused:
        load(dataset)
    assert type(dataset).__name__ in str(refused.value)


def test_a_closed_set_may_share_its_classes():
    data = load(Closed(train=TRAIN, test=images([1, 1, 0])))
    assert set(data.splits["test"].labels) == {0, 1}


@pytest.mark.parametrize(
    "rows",
    [
        [[1.0], [2.0], [float("nan")], [4.0]],
        [[1.0], [2.0], [float("inf")], [4.0]],
        [[1.0], [2.0], [3.0, 4.0], [5.0]],
        [[1.0], [2.0], None, [5.0]],
    ],
)
def test_vectors_must_be_finite_and_of_one_length(rows):
    sound = vectors([[1.0], [2.0], [3.0], [4.0]], [2, 2, 3, 3])
    with pytest.raises(DataError, match="The vectors of Vectors are not"):
        load(Vectors(train=vectors(rows, [0, 0, 1, 1]), test=sound))


def test_vectors_of_texts_are_refused():
    features = datasets.Features(
        vector=datasets.Sequence(datasets.Value("string")),
        label=datasets.ClassLabel(names=NAMES),
    )
    texts = datasets.Dataset.from_dict(
        {"vector": [["a"], ["b"], ["c"], ["d"]], "label": [0, 0, 1, 1]}, features=features
    )
    sound = vectors([[1.0], [2.0], [3.0], [4.0]], [2, 2, 3, 3])
    with pytest.raises(DataError, match="not numbers"):
        load(Vectors(train=texts, test=sound))


# Holding out classes


class_sizes = st.lists(st.integers(1, 4), min_size=2, max_size=30)


@given(class_sizes, st.floats(0, 0.99), st.integers(2, 30), st.integers(0, 2**31))
def test_whole_classes_are_held_out_and_nothing_is_lost(sizes, fraction, min_classes, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)) * 3, sizes))
    items = Items(np.arange(len(labels), dtype=np.float32)[:, None], labels)
    rng = np.random.default_rng(seed)
    learning, validation = hold_out_classes(items, fraction, min_classes, rng)
    if validation is None:
        assert learning is items
        few = len(sizes) < min_classes
        assert few or min(round(fraction * len(sizes)), len(sizes) - 2) < 2
        return
    learnt, held = set(learning.labels), set(validation.labels)
    assert not learnt & held
    assert len(learnt) >= 2
    assert len(held) == min(round(fraction * len(sizes)), len(sizes) - 2) >= 2
    both = np.concatenate([learning.inputs, validation.inputs])
    assert sorted(both[:, 0].tolist()) == list(range(len(labels)))
    for part in (learning, validation):
        assert (labels[part.inputs[:, 0].astype(int)] == part.labels).all()


def test_the_classes_held_out_depend_on_the_generator_alone():
    items = Items(np.zeros((40, 1), np.float32), np.repeat(np.arange(20), 2))

    def held(seed: int) -> set:
        rng = np.random.default_rng(seed)
        return set(hold_out_classes(items, 0.25, 20, rng)[1].labels)

    assert held(0) == held(0)
    assert len({frozenset(held(seed)) for seed in range(5)}) > 1


@given(st.lists(st.integers(-5, 50), min_size=1, max_size=30))
def test_renumbered_labels_keep_order_and_leave_no_gap(labels):
    renumbered, count = with_consecutive_labels(np.array(labels))
    order = sorted(set(labels))
    assert renumbered.tolist() == [order.index(label) for label in labels]
    assert renumbered.dtype == np.int64
    assert count == len(order)


def grouped(labels: list[int], groups: list[int]) -> datasets.Dataset:
    return images(labels).add_column("group", groups)


def test_super_classes_go_with_the_items_and_into_the_fingerprint():
    train, test = images([0, 0, 1, 1]), images([2, 2, 3, 3])
    plain = load_data(Given(train=train, test=test), None, 8)
    groups = {"train": grouped([0, 0, 1, 1], [5, 5, 7, 7]), "test": test}
    found = load_data(Given(**groups), None, 8)
    items = found.splits["train"]
    assert items.groups.tolist() == [5, 5, 7, 7]
    assert items[np.array([2, 0])].groups.tolist() == [7, 5]
    assert plain.splits["train"].groups is None
    assert plain.fingerprint != found.fingerprint


def test_labels_and_groups_can_not_be_written_to():
    groups = {"train": grouped([0, 0, 1, 1], [5, 5, 7, 7]), "test": images([2, 2, 3, 3])}
    loaded = load_data(Given(**groups), None, 8).splits["train"]
    for items in (loaded, loaded[np.array([2, 0])], loaded[loaded.labels == 1], loaded[:2]):
        for array in (items.labels, items.groups):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 3
    labels = np.array([0, 0, 1])
    Items(np.zeros((3, 1)), labels)
    labels[0] = 1  # whoever made them may go on


def test_a_missing_super_class_is_an_error():
    train = grouped([0, 0, 1, 1], [0, 0, -1, -1])
    with pytest.raises(DataError, match="without a group"):
        load_data(Given(train=train, test=images([2, 2, 3, 3])), None, 8)
