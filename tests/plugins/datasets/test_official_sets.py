"""What holds for every set in its authors' layout: where it is found, what is refused, and how."""

import os
import shutil
from hashlib import sha256
from pathlib import Path

import datasets
import pytest
from support.official_sets import TINY, picture

from dmlbench import DataError
from dmlbench.data.items import load_data

pytestmark = pytest.mark.usefixtures("whole")
NAMES = list(TINY)
LISTED = [name for name in NAMES if TINY[name].labels]


def content(splits: dict[str, datasets.Dataset], root: Path) -> dict[str, list[tuple[str, str]]]:
    """Return path (of an array: hash) and class name of each image, by split."""
    found = {}
    for split, table in splits.items():
        if isinstance(table.features["image"], datasets.Image):
            raw = table.cast_column("image", datasets.Image(decode=False))
            paths = [os.path.relpath(item["path"], root) for item in raw["image"]]
        else:
            pixels = table.with_format("numpy")["image"][:]
            paths = [sha256(image.tobytes()).hexdigest() for image in pixels]
        names = table.features["label"].int2str(table["label"][:])
        found[split] = list(zip(paths, names, strict=True))
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_whole_set_loads_and_its_images_decode(name, tmp_path):
    tiny = TINY[name]
    tiny.write(tmp_path)
    assert tiny.plugin().missing(tmp_path) is None
    data = load_data(tiny.plugin(), tmp_path, 8)
    counts = {split: len(items) for split, items in data.splits.items()}
    assert counts == {split: items for split, (items, _) in tiny.expected.items()}


@pytest.mark.parametrize("name", NAMES)
def test_a_set_is_found_in_four_places_and_is_the_same_in_each(name, tmp_path):
    tiny = TINY[name]
    tiny.write(tmp_path / "here")
    root = tmp_path / "here" / tiny.root
    expected = content(tiny.plugin().load(root), root)
    official = tiny.plugin.folders[1]
    for place in (name, official, f"{name}/{official}"):
        shutil.copytree(root, tmp_path / place.replace("/", "-") / place)
        data_dir = tmp_path / place.replace("/", "-")
        assert tiny.plugin().missing(data_dir) is None
        assert content(tiny.plugin().load(data_dir), data_dir / place) == expected


@pytest.mark.parametrize("name", NAMES)
def test_without_the_set_it_is_said_what_to_do(name, tmp_path):
    plugin = TINY[name].plugin
    for data_dir in (None, tmp_path):
        advice = plugin().missing(data_dir)
        assert f"dmlbench data prepare {name}" in advice
        assert plugin.archives[0].name in advice
    if not getattr(plugin, "mirror", ""):
        with pytest.raises(DataError, match=f"dmlbench data prepare {name}"):
            plugin().load(tmp_path)


@pytest.mark.parametrize("name", LISTED)
def test_a_missing_label_file_is_named(name, tmp_path):
    tiny = TINY[name]
    tiny.write(tmp_path / name)
    (tmp_path / name / tiny.root / tiny.labels).unlink()
    for partial in (False, True):
        with pytest.raises(DataError, match=f"incomplete in .*{tiny.labels}.* must be there"):
            tiny.plugin(partial=partial).load(tmp_path)
    assert tiny.labels in tiny.plugin().missing(tmp_path)


@pytest.mark.parametrize("name", LISTED)
def test_a_damaged_label_file_is_an_error_that_names_it(name, tmp_path):
    tiny = TINY[name]
    tiny.write(tmp_path)
    path = tmp_path / tiny.root / tiny.labels
    path.write_bytes(path.read_bytes()[:200] + b"\xff\xfe\x00 rubbish")
    with pytest.raises(DataError, match=str(path)):
        tiny.plugin(partial=True).load(tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_an_absent_image_makes_a_part_of_the_set_and_a_part_is_refused(name, tmp_path):
    tiny = TINY[name]
    tiny.write(tmp_path)
    root = tmp_path / tiny.root
    (root / tiny.image).unlink()
    with pytest.raises(DataError, match=r"is not whole: .*--allow-partial") as refused:
        tiny.plugin().load(tmp_path)
    listed_but_absent = tiny.image in str(refused.value)
    assert listed_but_absent or not tiny.labels  # without lists the count alone tells
    assert tiny.plugin().missing(tmp_path) == str(refused.value)
    part = tiny.plugin(partial=True)
    assert part.missing(tmp_path) is None
    paths = [path for rows in content(part.load(tmp_path), root).values() for path, _ in rows]
    assert tiny.image not in paths
    assert len(paths) == sum(items for items, _ in tiny.expected.values()) - 1
    load_data(part, tmp_path, 8)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "omniglot"])
def test_even_a_part_needs_two_classes_a_split(name, tmp_path):
    tiny = TINY[name]
    tiny.write(tmp_path)
    splits = content(tiny.plugin().load(tmp_path), tmp_path)
    split = list(splits)[-1]
    for path, _ in splits[split]:
        (tmp_path / path).unlink()
    with pytest.raises(DataError, match=rf"0 class\(es\) of the split {split}.*needs 2 classes"):
        tiny.plugin(partial=True).load(tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_more_images_than_are_listed_change_nothing(name, tmp_path):
    tiny = TINY[name]
    tiny.write(tmp_path)
    before = content(tiny.plugin().load(tmp_path), tmp_path)
    picture((tmp_path / tiny.root / tiny.image).with_name("unlisted.jpg"))
    assert content(tiny.plugin().load(tmp_path), tmp_path) == before


@pytest.mark.parametrize("name", ["cub", "cars", "sop"])
def test_a_set_whose_images_were_all_made_one_size_is_refused(name, tmp_path):
    tiny = TINY[name]
    tiny.write(tmp_path)
    for path in tmp_path.rglob("*.[jJ][pP][gG]"):
        picture(path)
    with pytest.raises(DataError, match="is a resized copy"):
        tiny.plugin().load(tmp_path)
    assert tiny.plugin(partial=True).missing(tmp_path) is None


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("damage", [b"", b"no image at all"])
def test_a_damaged_image_is_an_error_that_names_it_when_it_is_decoded(name, damage, tmp_path):
    tiny = TINY[name]
    tiny.write(tmp_path)
    (tmp_path / tiny.root / tiny.image).write_bytes(damage)
    with pytest.raises(DataError, match=tiny.image):
        load_data(tiny.plugin(), tmp_path, 8)


@pytest.mark.parametrize("name", NAMES)
def test_parts_and_whole_sets_are_told_apart_by_a_setting(name):
    from dmlbench.components.hyperparameters import hyperparameters

    setting = hyperparameters(TINY[name].plugin)["partial"]
    assert setting.default is False
    assert setting.parse("true") is True


@pytest.mark.parametrize(
    ("name", "file", "line", "problem"),
    [
        ("cub", "images.txt", "1 ../../secret.jpg", "no path within the set's folder"),
        ("cub", "images.txt", "1 /etc/passwd", "no path within the set's folder"),
        ("cub", "images.txt", "77 001.Albatross/Albatross_0.jpg", "no class of image 77"),
        ("cub", "images.txt", "one 001.Albatross/Albatross_0.jpg", "'one' is no whole number"),
        ("cub", "images.txt", "12", "line 12: expected 'image_id image_name', found '12'"),
        ("cub", "image_class_labels.txt", "1 150", "does not name class 150"),
        ("cub", "image_class_labels.txt", "1 0", "'0' is no whole number of 1 or more"),
        ("sop", "Ebay_train.txt", "9 9 bicycle_final/x_0.JPG", "line 6: expected 'image_id class"),
        ("sop", "Ebay_train.txt", "9 9 1 ../x_0.JPG", "no path within the set's folder"),
        ("sop", "Ebay_train.txt", "9 -9 1 x_0.JPG", "'-9' is no whole number"),
        ("sop", "Ebay_train.txt", "9 1.5 1 x_0.JPG", "'1.5' is no whole number"),
        ("sop", "Ebay_train.txt", "9 1_0 1 x_0.JPG", "'1_0' is no whole number"),
        ("sop", "Ebay_train.txt", "9 ٣ 1 x_0.JPG", "'٣' is no whole number"),
        ("inshop", "Eval/list_eval_partition.txt", "img/x.jpg id_1 val", "'val' is none of train"),
        ("inshop", "Eval/list_eval_partition.txt", "img/x.jpg id_1", "line 11: expected"),
    ],
)
def test_an_odd_line_is_an_error_that_says_where_it_stands(name, file, line, problem, tmp_path):
    tiny = TINY[name]
    tiny.write(tmp_path)
    labels = tmp_path / tiny.root / file
    others = [one for one in labels.read_text().splitlines() if one.split()[0] != line.split()[0]]
    labels.write_text("\n".join([*others, line]))
    with pytest.raises(DataError, match=problem) as refused:
        tiny.plugin(partial=True).load(tmp_path)
    assert Path(file).name in str(refused.value)


@pytest.mark.parametrize(
    ("name", "files", "line", "problem"),
    [
        ("sop", ["Ebay_train.txt", "Ebay_test.txt"], "99 9 1 x_final/x_0.JPG", "x_final/x_0.JPG"),
        ("sop", ["Ebay_train.txt"] * 2, "99 9 1 x_final/x_0.JPG", "x_final/x_0.JPG"),
        ("sop", ["Ebay_test.txt"], "99 9 1 bicycle_final/./111085122872_0.JPG", "111085122872_0"),
        ("cub", ["images.txt"] * 2, "1 001.Albatross/other.jpg", "1 stands there a second time"),
        ("cub", ["image_class_labels.txt"], "1 101", "1 stands there a second time"),
        ("cub", ["classes.txt"], "100 100.Penguin", "100 stands there a second time"),
        ("inshop", [TINY["inshop"].labels] * 2, "img/MEN/x.jpg id_9 train", "img/MEN/x.jpg"),
    ],
)
def test_what_is_listed_twice_is_an_error_that_names_it(name, files, line, problem, tmp_path):
    tiny = TINY[name]
    tiny.write(tmp_path)
    for file in files:
        with (tmp_path / tiny.root / file).open("a") as labels:
            labels.write(f"{line}\n")
    assert problem in str(tiny.plugin(partial=True).missing(tmp_path))
    with pytest.raises(DataError, match=r"twice|second time"):
        tiny.plugin(partial=True).load(tmp_path)


@pytest.mark.parametrize(
    ("name", "file", "dropped"),
    [
        ("sop", "Ebay_train.txt", 0),
        ("sop", "Ebay_test.txt", 0),
        ("inshop", TINY["inshop"].labels, 0),
        ("inshop", TINY["inshop"].labels, 1),
    ],
)
def test_a_first_line_that_is_an_image_is_not_taken_for_the_header(name, file, dropped, tmp_path):
    tiny = TINY[name]
    tiny.write(tmp_path)
    path = tmp_path / tiny.root / file
    lines = path.read_text().splitlines()
    del lines[dropped]
    path.write_text("\n".join(lines))
    with pytest.raises(DataError, match=f"{path.name}, line {dropped + 1}: expected the header"):
        tiny.plugin(partial=True).load(tmp_path)
