"""The glyphs that ship with the package, and the script that made them."""

from pathlib import Path

import numpy as np
import pytest
from fontTools.ttLib import TTFont
from matplotlib import get_data_path

from dmlbench import DataError
from dmlbench_datasets import glyphs, make_glyphs
from dmlbench_datasets.glyphs import Glyphs


def test_every_letter_comes_once_in_each_of_16_faces() -> None:
    for split, table in Glyphs().load(None).items():
        sizes = np.unique(table["label"], return_counts=True)[1]
        assert set(sizes) == {16}
        assert (len(table), len(sizes)) == Glyphs.expected[split]


def test_train_is_latin_and_test_is_not() -> None:
    splits = Glyphs().load(None)
    names = splits["train"].features["label"].names
    learnt, retrieved = ({names[i] for i in splits[split]["label"]} for split in ("train", "test"))
    assert all(letter.isascii() for letter in learnt)
    assert not any(letter.isascii() for letter in retrieved)
    assert len(set(names)) == len(names) == len(learnt | retrieved)


def test_images_are_20_by_20_and_none_is_blank() -> None:
    for table in Glyphs().load(None).values():
        images = table.with_format("numpy")[:]["image"]
        assert images.shape[1:] == (20, 20)
        assert table.features["image"].dtype == "uint8"
        assert images.max(axis=(1, 2)).min() > 64


def test_raw_pixels_leave_room_for_learning() -> None:
    items = Glyphs().load(None)["test"].with_format("numpy")[:]
    pixels = items["image"].reshape(len(items["image"]), -1).astype(np.float64)
    pixels /= np.linalg.norm(pixels, axis=1, keepdims=True)
    similarity = pixels @ pixels.T
    np.fill_diagonal(similarity, -1)
    recall = (items["label"][similarity.argmax(axis=1)] == items["label"]).mean()
    assert 0.3 < recall < 0.5


def test_the_archive_is_small() -> None:
    assert glyphs.ARCHIVE.stat().st_size < 300_000


@pytest.mark.parametrize("damage", ["absent", "empty", "cut short", "one bit"])
def test_a_damaged_archive_is_an_error(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "glyphs.npz"
    sound = glyphs.ARCHIVE.read_bytes()
    if damage != "absent":
        flipped = sound[:5000] + bytes([sound[5000] ^ 1]) + sound[5001:]
        archive.write_bytes({"empty": b"", "cut short": sound[:-1], "one bit": flipped}[damage])
    monkeypatch.setattr(glyphs, "ARCHIVE", archive)
    with pytest.raises(DataError, match=r"glyphs\.npz.*Install dmlbench again"):
        Glyphs().load(None)


@pytest.mark.parametrize("face", make_glyphs.FACES)
def test_every_face_has_every_letter(face: str) -> None:
    with TTFont(Path(get_data_path(), "fonts", "ttf", f"{face}.ttf")) as font:
        letters = font.getBestCmap()
    assert all(ord(letter) in letters for letter in make_glyphs.TRAIN + make_glyphs.TEST)


def test_no_two_classes_look_the_same_in_any_face() -> None:
    make_glyphs.refuse_homoglyphs(make_glyphs.TRAIN + make_glyphs.TEST)


@pytest.mark.parametrize("pair", ["AА", "oο", "nп", "uи", "ΠП", "ΦФ"])
def test_homoglyphs_are_found_even_if_only_in_italics(pair: str) -> None:
    with pytest.raises(DataError, match=f"{pair[0]} and {pair[1]}"):
        make_glyphs.refuse_homoglyphs(pair)


@pytest.mark.slow
def test_the_script_makes_the_shipped_set(tmp_path: Path) -> None:
    make_glyphs.main(tmp_path / "again.npz")
    with np.load(glyphs.ARCHIVE) as shipped, np.load(tmp_path / "again.npz") as again:
        assert set(again) == set(shipped)
        for name in ("classes", "train_labels", "test_labels"):
            np.testing.assert_array_equal(again[name], shipped[name])
        for name in ("train_images", "test_images"):
            difference = again[name].astype(float) - shipped[name]
            assert np.abs(difference).mean() < 2, "another FreeType moves edges, not letters"


def test_the_licences_of_the_fonts_ship_with_the_images() -> None:
    text = glyphs.ARCHIVE.with_name("glyphs_fonts_licences.txt").read_text(encoding="utf-8")
    for words in (
        "Bitstream Vera Fonts Copyright",
        "Arev Fonts Copyright",
        "SIL OPEN FONT LICENSE",
    ):
        assert words in text


def test_super_classes_are_digits_capitals_and_small_letters() -> None:
    for table in Glyphs().load(None).values():
        names = table.features["label"].names
        for label, group in {(row["label"], row["group"]) for row in table}:
            letter = names[label]
            assert (letter.isdigit(), letter.isupper(), letter.islower())[group], letter
