"""Distributions are found, and named, as ``importlib.metadata`` names them."""

import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path
from zipfile import ZipFile

import pytest

from dmlbench.components.catalogue import Catalogue
from dmlbench.components.entry_points import read_entries

POINTS = "[dmlbench.losses]\nsome = my_pkg:Some\n"


def stated(name: str, version: str) -> str:
    return f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nA description.\n"


def put(folder: Path, name: str, version: str, points: str = POINTS) -> None:
    """Write a metadata folder as setuptools (egg-info) or pip (dist-info) does."""
    folder.mkdir(parents=True)
    file = "METADATA" if folder.suffix.lower() == ".dist-info" else "PKG-INFO"
    (folder / file).write_text(stated(name, version))
    (folder / "entry_points.txt").write_text(points)


def pack(path: Path, information: str, name: str, version: str, source: str = "") -> None:
    """Write a zip file, as a wheel or a zipped egg, with the module ``my_pkg``."""
    file = "METADATA" if information.endswith("dist-info") else "PKG-INFO"
    with ZipFile(path, "w") as archive:
        archive.writestr("my_pkg.py", source)
        archive.writestr(f"{information}/{file}", stated(name, version))
        archive.writestr(f"{information}/entry_points.txt", POINTS)


def found(*path: Path) -> list[tuple[str, str]]:
    return [(entry.distribution, entry.version) for entry in read_entries(map(str, path))]


def by_importlib(*path: Path) -> list[tuple[str, str]]:
    installed = distributions(path=[str(place) for place in path])
    return [(each.metadata["Name"].lower().replace("_", "-"), each.version) for each in installed]


@pytest.mark.parametrize(
    ("folder", "name", "version"),
    [
        ("my_pkg.egg-info", "my-pkg", "1.0"),
        ("my_pkg.dist-info", "my-pkg", "2.0"),
        ("my-pkg.egg-info", "my-pkg", "1.0"),
        ("my-pkg-1.0.dist-info", "my-pkg", "1.0"),
        ("my-pkg-1.0.egg-info", "my-pkg", "1.0"),
        ("my-pkg-1.0-py3.11.egg-info", "my-pkg", "1.0"),
        ("my-3-pkg-1.0.dist-info", "my-3-pkg", "1.0"),
        ("my_pkg-1.0.0_alpha.dist-info", "my-pkg", "1.0.0-alpha"),
        ("my_pkg-1.0RC1.dist-info", "my-pkg", "1.0RC1"),
        ("my_pkg-1.0-py3.11-linux-x86_64.egg-info", "my-pkg", "1.0"),
        ("my_pkg-1!2.0.post1.dev3+cu118.dist-info", "my-pkg", "1!2.0.post1.dev3+cu118"),
        ("My_Pkg-1.0.DIST-INFO", "My_Pkg", "1.0"),
    ],
)
def test_a_distribution_is_called_as_its_metadata_say(tmp_path, folder, name, version):
    put(tmp_path / folder, name, version)
    expected = [(name.lower().replace("_", "-"), version)]
    assert found(tmp_path) == by_importlib(tmp_path) == expected


@pytest.mark.parametrize(
    ("archive", "information"),
    [
        ("my_pkg-1.0-py3-none-any.whl", "my_pkg-1.0.dist-info"),
        ("my_pkg-1.0-py3.11.egg", "EGG-INFO"),
        ("application.zip", "my-pkg-1.0.dist-info"),
        ("application.pyz", "my_pkg.egg-info"),
    ],
)
def test_a_zip_file_on_the_path_offers_what_it_holds(tmp_path, archive, information):
    pack(tmp_path / archive, information, "my-pkg", "1.0")
    path = tmp_path / archive
    assert found(path) == by_importlib(path) == [("my-pkg", "1.0")]


def test_a_component_of_a_zip_file_is_loaded(tmp_path, monkeypatch):
    source = (
        "from dmlbench import Loss\nclass Some(Loss):\n takes = 'labels'\n"
        " def forward(self, pairs, selection): ...\n"
    )
    pack(tmp_path / "zipped.whl", "my_pkg-1.0.dist-info", "my-pkg", "1.0", source)
    monkeypatch.syspath_prepend(str(tmp_path / "zipped.whl"))
    match, component = Catalogue.discover().load("loss", "some")
    assert (match.entry.distribution, component.takes) == ("my-pkg", "labels")
    del sys.modules["my_pkg"]


def test_an_unpacked_egg_on_the_path_is_a_distribution(tmp_path):
    egg = tmp_path / "my_pkg-1.0-py3.11.egg"
    put(egg / "EGG-INFO", "my-pkg", "1.0")
    assert found(egg) == by_importlib(egg) == [("my-pkg", "1.0")]
    put(tmp_path / "no_egg" / "EGG-INFO", "my-pkg", "1.0")
    assert found(tmp_path / "no_egg") == by_importlib(tmp_path / "no_egg") == []


def test_distributions_with_a_common_beginning_are_two(tmp_path):
    put(tmp_path / "my-left-1.0.dist-info", "my-left", "1.0")
    put(tmp_path / "my-right-2.0.dist-info", "my-right", "2.0")
    put(tmp_path / "my-3.0.dist-info", "my", "3.0")
    expected = {("my-left", "1.0"), ("my-right", "2.0"), ("my", "3.0")}
    assert set(found(tmp_path)) == set(by_importlib(tmp_path)) == expected


def test_a_distribution_shadows_itself_however_its_folder_is_spelled(tmp_path):
    put(tmp_path / "first" / "my-pkg-2.0.dist-info", "my-pkg", "2.0", points="")
    put(tmp_path / "second" / "my_pkg-1.0.dist-info", "my-pkg", "1.0")
    pack(tmp_path / "third.zip", "My.Pkg.egg-info", "My.Pkg", "0.9")
    first, second, third = (tmp_path / name for name in ("first", "second", "third.zip"))
    assert found(first, second, third) == []
    assert found(second, first, third) == [("my-pkg", "1.0")]
    assert found(third, second, first) == [("my-pkg", "0.9")]


def test_a_folder_without_metadata_is_called_as_it_is_named(tmp_path):
    for folder in ("my-pkg.egg-info", "other_pkg.egg-info"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "entry_points.txt").write_text(POINTS)
    assert set(found(tmp_path)) == {("my-pkg", ""), ("other-pkg", "")}


def test_a_damaged_archive_or_folder_hides_no_other(tmp_path):
    pack(tmp_path / "cut.whl", "my_pkg-1.0.dist-info", "my-pkg", "1.0")
    content = (tmp_path / "cut.whl").read_bytes()
    (tmp_path / "cut.whl").write_bytes(content[: len(content) // 2])
    (tmp_path / "changed.whl").write_bytes(content.replace(b"Name", b"Mane"))
    put(tmp_path / "site" / "bad-bytes-1.dist-info", "bad", "1")
    (tmp_path / "site" / "bad-bytes-1.dist-info" / "METADATA").write_bytes(b"Name: \xff\n")
    put(tmp_path / "site" / "sound-1.0.dist-info", "sound", "1.0")
    path = [tmp_path / name for name in ("cut.whl", "changed.whl", "site")]
    assert found(*path) == [("sound", "1.0")]


def test_ordinary_folders_are_read_without_the_standard_reader(tmp_path):
    """Importing it takes longer than starting Python, so only odd names may cost that."""
    for folder in ("one-1.0.dist-info", "Two.B-0.1rc1.dist-info", "three-2-py3.11.egg-info"):
        put(tmp_path / folder, "any", "any")
    put(tmp_path / "no_version.egg-info", "any", "any", points="[console_scripts]\na = b:c\n")
    code = (
        "import sys\nfrom dmlbench.components.entry_points import read_entries\n"
        "assert len(list(read_entries(sys.argv[1:]))) == 3\n"
        "assert 'importlib.metadata' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
