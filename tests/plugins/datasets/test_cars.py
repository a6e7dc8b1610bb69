"""Cars196: two forms of one set, split by class across both official halves."""

from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat, savemat
from support.official_sets import CAR_CLASSES, picture, write_car_ims, write_cars

from dmlbench import DataError
from dmlbench_datasets.cars import Cars

pytestmark = pytest.mark.usefixtures("whole")


def sizes(cars: Cars, folder: Path) -> dict[str, dict[str, int]]:
    found = {}
    for split, table in cars.load(folder).items():
        names = table.features["label"].int2str(table["label"][:])
        found[split] = {name: names.count(name) for name in names}
    return found


@pytest.mark.parametrize("write", [write_cars, write_car_ims])
def test_both_forms_are_split_by_class_across_the_official_halves(write, tmp_path):
    write(tmp_path)
    expected = {f"Car {number} Coupe 2012": count for number, count in CAR_CLASSES.items()}
    learnt = dict(list(expected.items())[:2])
    retrieved = dict(list(expected.items())[2:])
    assert sizes(Cars(), tmp_path) == {"train": learnt, "test": retrieved}


def test_the_devkit_s_test_annotations_have_no_classes_and_are_not_taken_for_labels(tmp_path):
    write_cars(tmp_path)
    (tmp_path / "cars_test_annos_withlabels.mat").unlink()
    with pytest.raises(DataError, match=r"not whole: .*cars_test_annos_withlabels\.mat"):
        Cars().load(tmp_path)
    part = Cars(partial=True).load(tmp_path)
    assert sum(map(len, part.values())) == 6  # of cars_train alone


def test_the_labels_of_the_test_half_may_lie_in_the_devkit(tmp_path):
    write_cars(tmp_path)
    file = tmp_path / "cars_test_annos_withlabels.mat"
    file.rename(tmp_path / "devkit" / file.name)
    assert Cars().missing(tmp_path) is None


def test_training_images_alone_are_a_part_and_what_is_missing_is_said(tmp_path):
    write_cars(tmp_path)
    for path in (tmp_path / "cars_test").iterdir():
        path.unlink()
    (tmp_path / "cars_test").rmdir()
    with pytest.raises(DataError, match=r"Also absent: cars_test\."):
        Cars().load(tmp_path)
    assert Cars(partial=True).missing(tmp_path) is None


def test_a_whole_first_form_counts_before_a_part_of_the_second(tmp_path):
    write_car_ims(tmp_path)
    picture(tmp_path / "cars_train" / "00001.jpg")
    assert Cars().missing(tmp_path) is None


def test_images_without_their_annotations_are_incomplete(tmp_path):
    write_car_ims(tmp_path / "cars")
    (tmp_path / "cars" / "cars_annos.mat").unlink()
    with pytest.raises(DataError, match=r"incomplete in .*cars: cars_annos\.mat must be there"):
        Cars().load(tmp_path)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({"other": 1}, "Can't read 'class_names'"),
        ({"class_names": np.array(["a", "b"], dtype=object)}, "class names leave out"),
        (b"MATLAB 5.0 MAT-file" + bytes(40), "Can't read 'class_names'"),
        (b"\x80\x04cos\nsystem\n(S'true'\ntR.", "Can't read 'class_names'"),
    ],
)
def test_an_odd_mat_file_is_an_error_that_names_it(content, problem, tmp_path):
    write_cars(tmp_path)
    path = tmp_path / "devkit" / "cars_meta.mat"
    path.write_bytes(content) if isinstance(content, bytes) else savemat(path, content)
    with pytest.raises(DataError, match=problem):
        Cars().load(tmp_path)


def test_annotations_without_classes_or_with_odd_ones_are_an_error(tmp_path):
    write_cars(tmp_path)
    path = tmp_path / "devkit" / "cars_train_annos.mat"
    rows = np.zeros(2, dtype=[("fname", object), ("class", object)])
    rows["fname"], rows["class"] = ["00001.jpg", "../00002.jpg"], [1, 2]
    savemat(path, {"annotations": rows})
    with pytest.raises(DataError, match=r"annotation 2: '\.\./00002\.jpg' is no path within"):
        Cars().load(tmp_path)
    rows.dtype.names = ("fname", "other")
    savemat(path, {"annotations": rows})
    with pytest.raises(DataError, match="has no field class"):
        Cars().load(tmp_path)


@pytest.mark.parametrize("number", [1.5, -1.0, float("nan"), float("inf"), "1.5"])
def test_a_class_that_is_no_whole_number_is_not_rounded_to_one(number, tmp_path):
    write_car_ims(tmp_path)
    path = tmp_path / "cars_annos.mat"
    content = loadmat(path, squeeze_me=True, variable_names=["annotations", "class_names"])
    for whole in (1.0, np.uint8(1)):
        content["annotations"]["class"][0] = whole
        savemat(path, {key: content[key] for key in ("annotations", "class_names")})
        assert Cars(partial=True).missing(tmp_path) is None
    content["annotations"]["class"][0] = number
    savemat(path, {key: content[key] for key in ("annotations", "class_names")})
    with pytest.raises(DataError, match=r"annotation 1: .* is no whole number of 1 or more"):
        Cars(partial=True).load(tmp_path)
