"""Tiny official sets packed as their authors pack them."""

import hashlib
import shutil
import tarfile
import zipfile
from pathlib import Path

from support.official_sets import TINY

from dmlbench import Archive


def official(path: Path) -> Archive:
    content = path.read_bytes()
    return Archive(path.name, size=len(content), sha256=hashlib.sha256(content).hexdigest())


def pack(folder: Path, archive: Path) -> Path:
    """Pack all that is in `folder`, in the order of names."""
    return pack_part(folder, ".", archive)


def pack_part(folder: Path, part: str, archive: Path) -> Path:
    """Pack what is in a folder within `folder`, under the name of that folder."""
    paths = sorted(path for path in (folder / part).rglob("*") if path.is_file())
    archive.parent.mkdir(parents=True, exist_ok=True)
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w") as file:
            for path in paths:
                file.write(path, path.relative_to(folder))
    else:
        mode = "w:gz" if archive.suffix == ".tgz" else "w"
        with tarfile.open(archive, mode) as file:
            for path in paths:
                file.add(path, path.relative_to(folder))
    return archive


def pack_set(name: str, folder: Path, out: Path) -> list[Path]:
    """Pack the set that lies unpacked in `folder` into archives in `out`; return their paths."""
    tiny = TINY[name]
    out.mkdir(parents=True)
    if name == "cars":
        labels = "cars_test_annos_withlabels.mat"
        parts = {"cars_train": "cars_train", "cars_test": "cars_test", "car_devkit": "devkit"}
        paths = [pack_part(folder, part, out / f"{file}.tgz") for file, part in parts.items()]
        return [*paths, Path(shutil.copy(folder / labels, out / labels))]
    if name == "inshop":
        root = folder / tiny.root
        labels = Path(shutil.copy(root / tiny.labels, out / Path(tiny.labels).name))
        return [pack(root / "Img", out / "img.zip"), labels]
    if name == "omniglot":
        parts = ("images_background", "images_evaluation")
        return [pack_part(folder, part, out / f"{part}.zip") for part in parts]
    return [pack(folder, out / tiny.plugin.archives[0].name)]


def given(paths: list[Path]) -> list[object]:
    return [part for path in paths for part in ("--from", path)]


def fingerprint(out: str) -> str:
    (line,) = [line for line in out.splitlines() if line.startswith("split fingerprint: ")]
    return line.split()[-1]


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
