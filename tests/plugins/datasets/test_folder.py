"""The user's own images: what is taken, how classes are split, and what is refused."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dmlbench import ConfigError, DataError
from dmlbench_datasets.folder import Folder

CLASSES = ("ant", "bee", "cat", "dog", "elk", "fox")


def save(path: Path, value: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (12, 9), (value, 0, 0)).save(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number, name in enumerate(CLASSES):
        for copy in range(3):
            save(tmp_path / "pets" / name / f"{copy}.png", 40 * number + copy)
    return tmp_path / "pets"


def contents(root: Path, **choices: float) -> dict[str, list[tuple[str, str]]]:
    """Return (class, path within the root) of the items of each split."""
    splits = {}
    for split, table in Folder(str(root), **choices).load(None).items():
        raw = table.data.column("image").to_pylist()
        names = table.features["label"].names
        splits[split] = [
            (names[label], Path(item["path"]).relative_to(root).as_posix())
            for item, label in zip(raw, table["label"], strict=True)
        ]
    return splits


def classes(items: list[tuple[str, str]]) -> set[str]:
    return {name for name, _ in items}


def test_every_image_is_in_one_split_under_its_folders_name(root: Path) -> None:
    splits = contents(root)
    items = splits["train"] + splits["test"]
    assert sorted(items) == [(name, f"{name}/{copy}.png") for name in CLASSES for copy in range(3)]
    assert len(classes(splits["train"])) == len(classes(splits["test"])) == 3


def test_images_decode_to_the_files_pixels(root: Path) -> None:
    table = Folder(str(root)).load(None)["train"]
    for item in table:
        number = CLASSES.index(table.features["label"].names[item["label"]])
        assert item["image"].size == (12, 9)
        assert np.asarray(item["image"])[0, 0, 0] // 40 == number


def test_order_is_by_class_and_name_and_the_same_every_time(root: Path) -> None:
    first = contents(root)
    assert first == contents(root)
    assert all(items == sorted(items) for items in first.values())


def test_the_seed_alone_moves_classes_between_the_halves(root: Path) -> None:
    halves = {frozenset(classes(contents(root, split_seed=seed)["train"])) for seed in range(10)}
    assert len(halves) > 3
    assert all(len(half) == 3 for half in halves)


def test_images_do_not_decide_which_classes_are_learnt(root: Path) -> None:
    before = classes(contents(root)["train"])
    for copy in range(20):
        save(root / "fox" / f"more_{copy}.png")
    assert classes(contents(root)["train"]) == before


@pytest.mark.parametrize(("fraction", "learnt"), [(0.1, 2), (0.34, 2), (0.5, 3), (0.9, 4)])
def test_both_halves_keep_two_classes_whatever_the_fraction(
    fraction: float, learnt: int, root: Path
) -> None:
    splits = contents(root, train_fraction=fraction)
    assert len(classes(splits["train"])) == learnt
    assert len(classes(splits["test"])) == 6 - learnt


@pytest.mark.parametrize("suffix", ["jpg", "JPEG", "bmp", "webp", "gif", "tif", "ppm"])
def test_many_formats_are_taken(suffix: str, root: Path) -> None:
    save(root / "ant" / f"another.{suffix}")
    splits = contents(root)
    assert ("ant", f"ant/another.{suffix}") in splits["train"] + splits["test"]


def test_images_may_lie_deeper_and_behind_links(root: Path, tmp_path: Path) -> None:
    save(root / "ant" / "2019" / "june" / "deep.png")
    save(tmp_path / "elsewhere" / "gnu" / "1.png")
    save(tmp_path / "elsewhere" / "gnu" / "2.png")
    (root / "gnu").symlink_to(tmp_path / "elsewhere" / "gnu")
    (root / "bee" / "linked").symlink_to(tmp_path / "elsewhere" / "gnu")
    splits = contents(root)
    items = splits["train"] + splits["test"]
    assert ("ant", "ant/2019/june/deep.png") in items
    assert ("gnu", "gnu/2.png") in items
    assert ("bee", "bee/linked/1.png") in items


def test_hidden_files_and_thumbs_db_are_passed_over(root: Path) -> None:
    expected = contents(root)
    for place in (root, root / "ant"):
        (place / ".DS_Store").write_bytes(b"x")
        (place / "Thumbs.db").write_bytes(b"x")
        (place / ".cache").mkdir()
        (place / ".cache" / "notes.txt").write_text("x")
    assert contents(root) == expected


def test_a_relative_path_and_the_home_folder_are_understood(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root.parent)
    monkeypatch.setenv("HOME", str(root.parent))
    for path in ("pets", "./pets", "~/pets"):
        dataset = Folder(path)
        assert dataset.missing(None) is None
        assert len(dataset.load(None)["train"]) == 9


def test_an_empty_path_is_refused() -> None:
    with pytest.raises(ConfigError, match="folder:PATH"):
        Folder("")


def test_an_absent_folder_is_missing(root: Path) -> None:
    assert "does not exist" in str(Folder(str(root / "nowhere")).missing(None))
    with pytest.raises(DataError, match=r"nowhere does not exist.*one folder a class"):
        Folder(str(root / "nowhere")).load(None)


def test_a_file_in_place_of_the_folder_is_refused(root: Path) -> None:
    with pytest.raises(DataError, match=r"0\.png is not a folder"):
        Folder(str(root / "ant" / "0.png")).load(None)


def test_fewer_than_four_classes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"0 class folder\(s\), and 4 are needed"):
        Folder(str(tmp_path)).load(None)
    for name in CLASSES[:3]:
        for copy in range(2):
            save(tmp_path / name / f"{copy}.png")
    with pytest.raises(DataError, match=r"3 class folder\(s\), and 4 are needed"):
        Folder(str(tmp_path)).load(None)


@pytest.mark.parametrize("count", [0, 1])
def test_a_class_of_fewer_than_two_images_is_named(count: int, root: Path) -> None:
    (root / "gnu").mkdir()
    for copy in range(count):
        save(root / "gnu" / f"{copy}.png")
    with pytest.raises(DataError, match=rf"Class 'gnu' has {count} image\(s\)"):
        Folder(str(root)).load(None)


@pytest.mark.parametrize(
    "names",
    [
        ("train", "val", "test", "unlabelled"),
        ("Training", "VALIDATION", "ant", "bee"),
        ("query", "gallery", "bounding_box", "more"),
        ("bounding_box_train", "bounding_box_test", "ant", "bee"),
        ("train2017", "val2017", "test2017", "annotated"),
    ],
)
def test_class_folders_that_are_splits_are_refused(names: tuple[str, ...], tmp_path: Path) -> None:
    for name in names:
        for kind in ("cat", "dog"):
            save(tmp_path / name / f"{name} {kind}" / "1.png")
    with pytest.raises(DataError, match=r"holds splits, not classes.*reads no split yet") as error:
        Folder(str(tmp_path)).load(None)
    assert "folder:PATH/train" in str(error.value)
    assert "write a dataset class" in str(error.value)


def test_splits_are_named_even_if_there_are_too_few_of_them_for_classes(tmp_path: Path) -> None:
    for name in ("train", "test"):
        save(tmp_path / name / "cat" / "1.png")
    with pytest.raises(DataError, match="holds splits, not classes: test, train"):
        Folder(str(tmp_path)).load(None)


@pytest.mark.parametrize("inner", ["cat", "train", "2019/cat"])
def test_folders_of_one_name_in_several_classes_are_refused(inner: str, root: Path) -> None:
    for name in ("ant", "bee"):
        save(root / name / inner / "1.png")
    shared = inner.split("/", maxsplit=1)[0]
    with pytest.raises(DataError, match=rf"in several of its class folders: {shared}\..*no split"):
        Folder(str(root)).load(None)


@pytest.mark.parametrize(
    "names", [("test tube", "train station"), ("training", "bee"), ("valley", "testament")]
)
def test_classes_that_only_sound_like_splits_are_taken(names: tuple[str, ...], root: Path) -> None:
    for name in names:
        for copy in range(2):
            save(root / name / f"{copy}.png", copy)
    splits = contents(root)
    assert set(names) <= classes(splits["train"] + splits["test"])


def test_all_files_that_can_t_be_used_are_named_at_once(root: Path) -> None:
    (root / "ant" / "notes.txt").write_text("not an image")
    (root / "dog" / "9.png").touch()
    (root / "fox" / "gone.png").symlink_to(root / "nowhere.png")
    with pytest.raises(DataError, match="3 problems") as error:
        Folder(str(root)).load(None)
    for name in ("ant/notes.txt", "dog/9.png", "fox/gone.png"):
        assert name in str(error.value)


def test_all_classes_that_are_too_small_are_named_at_once(root: Path) -> None:
    for name in ("gnu", "hen"):
        save(root / name / "1.png")
    with pytest.raises(DataError, match=r"(?s)Class 'gnu' has 1 image.*Class 'hen' has 1 image"):
        Folder(str(root)).load(None)


def test_an_image_outside_the_class_folders_is_named(root: Path) -> None:
    save(root / "stray.png")
    with pytest.raises(DataError, match=r"stray\.png lies outside the class folders"):
        Folder(str(root)).load(None)


@pytest.mark.parametrize("name", ["notes.txt", "labels.csv", "photo.jpg", "film.mp4"])
def test_a_file_that_is_no_image_is_named_whatever_its_suffix(name: str, root: Path) -> None:
    (root / "cat" / name).write_text("not an image")
    with pytest.raises(DataError, match=f"cat/{name} is not a readable image"):
        Folder(str(root)).load(None)


def test_an_empty_file_is_named(root: Path) -> None:
    (root / "dog" / "9.png").touch()
    with pytest.raises(DataError, match=r"dog/9\.png is empty \(0 bytes\)"):
        Folder(str(root)).load(None)


@pytest.mark.parametrize("damage", ["cut short", "overwritten"])
def test_a_damaged_png_is_named(damage: str, root: Path) -> None:
    path = root / "elk" / "1.png"
    sound = path.read_bytes()
    path.write_bytes(sound[:-20] if damage == "cut short" else sound[:45] + b"??" + sound[47:])
    with pytest.raises(DataError, match=r"elk/1\.png is not a readable image"):
        Folder(str(root)).load(None)


def test_a_broken_link_is_named(root: Path) -> None:
    (root / "fox" / "gone.png").symlink_to(root / "nowhere.png")
    with pytest.raises(DataError, match=r"fox/gone\.png is no regular file, or a broken link"):
        Folder(str(root)).load(None)


def test_a_pipe_is_named_rather_than_waited_for(root: Path) -> None:
    os.mkfifo(root / "fox" / "pipe.png")
    with pytest.raises(DataError, match=r"pipe\.png is no regular file"):
        Folder(str(root)).load(None)


def test_a_link_to_a_folder_above_is_refused(root: Path) -> None:
    (root / "ant" / "loop").symlink_to(root)
    with pytest.raises(DataError, match=r"ant/loop links back to a folder above"):
        Folder(str(root)).load(None)


def test_a_name_that_is_not_utf8_is_refused(root: Path) -> None:
    save(root / "ant" / os.fsdecode(b"caf\xe9.png"))
    with pytest.raises(DataError, match="is not UTF-8"):
        Folder(str(root)).load(None)
