"""Verification of images that come as files, as encoded bytes, or as arrays."""

import hashlib
import io
from pathlib import Path

import datasets
import numpy as np
from PIL import Image

from dmlbench import Archive, Dataset
from dmlbench.data.photos import decoding
from dmlbench.data.prepare import verify as verifying
from dmlbench.data.prepare.checksums import mismatch
from dmlbench.data.prepare.verify import split_fingerprint, verify


class Given(Dataset):
    def __init__(self, **splits: datasets.Dataset) -> None:
        self.splits = splits

    def load(self, data_dir: Path | None) -> dict[str, datasets.Dataset]:
        return self.splits


def silent(*_: object) -> None:
    pass


def table(images: list, labels: list[int], feature=None) -> datasets.Dataset:
    features = datasets.Features(
        image=feature or datasets.Image(), label=datasets.ClassLabel(names=["ant", "bee"])
    )
    return datasets.Dataset.from_dict({"image": images, "label": labels}, features=features)


def encoded(number: int) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(number).integers(256, size=(9, 9), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def sha256_of(lines: list[str]) -> str:
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def test_the_fingerprint_is_over_splits_classes_and_paths_below_what_they_share(tmp_path):
    splits = {
        "train": table([str(tmp_path / "a" / "1.png"), str(tmp_path / "b" / "2.png")], [1, 0]),
        "test": table([str(tmp_path / "a" / "3.png")], [0]),
    }
    expected = sha256_of(["train\tbee\ta/1.png", "train\tant\tb/2.png", "test\tant\ta/3.png"])
    assert split_fingerprint(splits) == expected


def test_images_without_a_path_are_known_by_their_content():
    content = [encoded(number) for number in range(3)]
    splits = {
        "train": table([{"bytes": part, "path": None} for part in content[:2]], [0, 1]),
        "test": table([{"bytes": content[2], "path": "3.png"}], [1]),
    }
    hashes = [hashlib.sha256(part).hexdigest() for part in content]
    lines = [f"train\tant\t{hashes[0]}", f"train\tbee\t{hashes[1]}", f"test\tbee\t{hashes[2]}"]
    assert split_fingerprint(splits) == sha256_of(lines)


def test_arrays_are_counted_and_known_by_their_content():
    pixels = np.arange(3 * 16, dtype=np.uint8).reshape(3, 4, 4)
    split = table(list(pixels), [0, 1, 1], datasets.Array2D((4, 4), "uint8"))
    found = verify(Given(all=split), None, silent)
    assert found.counts == {"all": (3, 2)}
    assert found.damaged == ()
    changed = table(list(pixels[::-1]), [0, 1, 1], datasets.Array2D((4, 4), "uint8"))
    assert found.fingerprint != split_fingerprint({"all": changed})


def test_every_damaged_image_is_found_among_many_and_progress_reaches_the_end():
    content = [{"bytes": encoded(number % 7), "path": None} for number in range(600)]
    for number, path in ((3, "3.png"), (299, None), (599, "599.png")):
        content[number] = {"bytes": content[number]["bytes"][:40], "path": path}
    steps = []
    found = verify(Given(all=table(content, [0, 1] * 300)), None, lambda *step: steps.append(step))
    names = [line.split(" can't be used: ")[0] for line in found.damaged]
    assert names == ["3.png", "599.png", "all, item 299"]
    assert steps[-1] == ("opening images", 600, 600)


def test_an_image_that_no_trial_could_use_is_damaged(tmp_path, monkeypatch):
    def saved(name: str, image: Image.Image) -> str:
        image.save(tmp_path / name)
        return str(tmp_path / name)

    ramp = np.arange(144).reshape(12, 12)
    usable = [
        saved("grey.png", Image.new("L", (12, 12))),
        saved("deep.png", Image.fromarray((ramp * 400).astype(np.uint16))),
        saved("print.jpg", Image.new("CMYK", (12, 12))),
        saved("clear.png", Image.new("RGBA", (12, 12))),
    ]
    unusable = [
        saved("floats.tif", Image.fromarray(ramp.astype(np.float32))),
        saved("huge.png", Image.new("1", (120, 120))),
        saved("line.png", Image.new("1", (1, 1100))),
    ]
    (tmp_path / "none.png").write_bytes(b"")
    unusable += [str(tmp_path / "none.png"), str(tmp_path / "gone.png")]
    monkeypatch.setattr(decoding, "MAX_PIXELS", 10_000)
    monkeypatch.setattr(verifying, "_AS_IN_TRIALS", decoding.PhotoFormat(8, 8))
    rows = [*usable, *unusable]
    found = verify(Given(all=table(rows, [0] * len(rows))), None, silent)
    reasons = ["floats", "no such file", "has 14,400", "stored with 70,400", "empty"]
    for line, name, reason in zip(found.damaged, sorted(unusable), reasons, strict=True):
        assert line.startswith(name)
        assert reason in line.lower()


def test_of_two_known_checksums_the_stronger_counts(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"content")
    right = hashlib.sha256(b"content").hexdigest()
    assert mismatch(path, Archive("file", md5="0" * 32, sha256=right), silent) is None
    assert "its sha256 is" in mismatch(path, Archive("file", sha256="0" * 64), silent)
    assert "its md5 is" in mismatch(path, Archive("file", md5="0" * 32), silent)
    assert "cut short" in mismatch(path, Archive("file", size=8), silent)
    assert mismatch(path, Archive("file"), silent) is None
