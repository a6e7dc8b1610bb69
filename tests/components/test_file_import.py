"""A component named by its file imports what lies beside it, and nobody else does."""

import sys
from pathlib import Path

import pytest

from dmlbench import PluginError
from dmlbench.components.catalogue import Catalogue
from dmlbench.components.source_hash import source_of

LOSS = """
from dmlbench import Loss
{imports}
class Some(Loss):
    takes = "labels"
    scale = {value}

    def forward(self, pairs, selection):
        from late import shift
        return self.scale + shift
"""


@pytest.fixture(autouse=True)
def nothing_leaks(tmp_path):
    """Fail the test that changes the path, or leaves a module under the name of a neighbour."""
    path, modules = list(sys.path), set(sys.modules)
    yield
    left = {name for name in set(sys.modules) - modules if not name.startswith("dmlbench_file_")}
    assert sys.path == path
    here = [n for n in left if str(tmp_path) in str(getattr(sys.modules[n], "__file__", None))]
    assert here == []


def write(folder: Path, **files: str) -> Path:
    """Write Python files by their names, in which ``__`` stands for a subfolder; return it."""
    for name, text in files.items():
        path = folder.joinpath(*name.split("__")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def load(path: Path):
    return Catalogue(()).load("loss", f"{path}:Some")[1]


@pytest.mark.parametrize(
    ("imports", "value"),
    [
        ("import helper", "helper.SCALE"),
        ("from helper import SCALE", "SCALE"),
        ("from helper import *", "SCALE"),
        ("import helper as other", "other.SCALE"),
        ("import parts.deep", "parts.deep.SCALE"),
        ("import parts.deep as deep", "deep.SCALE"),
        ("from parts import deep", "deep.SCALE"),
        ("from parts.near import SCALE", "SCALE"),
        ("import plain.deep", "plain.deep.SCALE"),
        ("from plain import deep", "deep.SCALE"),
    ],
)
def test_a_file_imports_modules_and_packages_beside_it_at_once_and_later(tmp_path, imports, value):
    write(
        tmp_path,
        my=LOSS.format(imports=imports, value=value),
        helper="from further import SCALE",
        further="SCALE = 3",
        late="shift = 4",
        parts__deep="from helper import SCALE",
        parts__near="from .deep import SCALE",
        plain__deep="from parts.near import SCALE",
    )
    (tmp_path / "parts" / "__init__.py").touch()
    assert load(tmp_path / "my.py")().forward(None, None) == 7


def test_helpers_of_one_name_in_two_folders_are_two(tmp_path):
    text = LOSS.format(imports="import helper", value="helper.SCALE")
    left = write(tmp_path / "left", my=text, helper="SCALE = 1", late="shift = 10")
    right = write(tmp_path / "right", my=text, helper="SCALE = 2", late="shift = 20")
    losses = [load(folder / "my.py")() for folder in (left, right)]
    assert [loss.forward(None, None) for loss in losses] == [11, 22]


def test_a_component_without_a_neighbour_does_not_find_that_of_another(tmp_path):
    text = LOSS.format(imports="import helper", value="helper.SCALE")
    left = write(tmp_path / "left", my=text, helper="SCALE = 1")
    right = write(tmp_path / "right", my=text)
    assert load(left / "my.py").scale == 1
    with pytest.raises(PluginError, match="ModuleNotFoundError: No module named 'helper'"):
        load(right / "my.py")


def test_a_neighbour_is_one_module_for_all_files_of_its_folder(tmp_path):
    text = LOSS.format(imports="import helper", value="helper.SCALE")
    write(tmp_path, helper=LOSS.format(imports="SCALE = object()", value="SCALE"), one=text)
    write(tmp_path, two=text)
    one, two, helper = (load(tmp_path / f"{name}.py") for name in ("one", "two", "helper"))
    assert one.scale is two.scale is helper.scale
    assert one is load(tmp_path / "one.py")


def test_neighbours_may_import_each_other_in_a_circle(tmp_path):
    write(tmp_path, my=LOSS.format(imports="import helper", value="helper.SCALE()"))
    write(tmp_path, helper="import my\ndef SCALE(): return 5")
    assert load(tmp_path / "my.py").scale == 5


def test_what_is_on_the_path_but_in_no_distribution_comes_after_a_neighbour(tmp_path, monkeypatch):
    elsewhere = write(tmp_path / "elsewhere", helper="SCALE = 1")
    text = LOSS.format(imports="import helper", value="helper.SCALE")
    here = write(tmp_path / "here", my=text, helper="SCALE = 2")
    with monkeypatch.context() as patch:
        patch.syspath_prepend(str(elsewhere))
        assert load(here / "my.py").scale == 2


def test_a_neighbour_does_not_stand_in_for_the_standard_library_or_a_distribution(tmp_path):
    value = "(random.Random, pluggy.PluginManager, Loss.__module__)"
    write(tmp_path, my=LOSS.format(imports="import random, pluggy", value=value))
    write(tmp_path, random="", pluggy="", dmlbench="")
    assert load(tmp_path / "my.py").scale[2] == "dmlbench.contracts.components"


def test_a_neighbour_that_fails_is_named_and_may_be_mended(tmp_path):
    write(tmp_path, my=LOSS.format(imports="import helper", value="1"), helper="1 / 0")
    with pytest.raises(PluginError, match="ZeroDivisionError"):
        load(tmp_path / "my.py")
    write(tmp_path, helper="mended = True")
    assert load(tmp_path / "my.py").scale == 1


def test_file_names_that_are_no_identifiers_are_told_apart(tmp_path):
    for number, name in enumerate(("my-loss", "my_loss", "my.loss")):
        (tmp_path / f"{name}.py").write_text(LOSS.format(imports="", value=number))
    assert [load(tmp_path / f"{n}.py").scale for n in ("my-loss", "my_loss", "my.loss")] == [
        0,
        1,
        2,
    ]


def test_an_edit_to_a_neighbour_makes_another_component(tmp_path):
    text = LOSS.format(imports="from helper import Base", value="1").replace("(Loss)", "(Base)")
    helper = "from dmlbench import Loss\nclass Base(Loss): factor = 1\n"
    left = write(tmp_path / "left", my=text, helper=helper)
    right = write(tmp_path / "right", my=text, helper=helper)
    other = write(tmp_path / "other", my=text, helper=helper.replace("1", "2"))
    hashes = [source_of(load(folder / "my.py")).hash for folder in (left, right, other)]
    assert hashes[0] == hashes[1] != hashes[2]
