"""What `dmlbench` itself offers, and that it costs nothing to import."""

import ast
import subprocess
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from pkgutil import iter_modules, walk_packages
from types import ModuleType

import pytest

import dmlbench


def test_every_public_name_is_there():
    for name in dmlbench.__all__:
        assert getattr(dmlbench, name) is not None
    assert set(dmlbench.__all__) < set(dir(dmlbench))


def test_type_checkers_see_the_same_names():
    tree = ast.parse(Path(dmlbench.__file__).read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.asname for node in block.body for alias in node.names}
    assert seen == set(dmlbench.__all__)


def test_the_version_is_that_of_the_distribution():
    assert dmlbench.__version__ == version("dmlbench")


def test_another_name_is_no_attribute():
    with pytest.raises(AttributeError, match="no attribute 'Lost'"):
        _ = dmlbench.Lost


def test_an_import_loads_nothing_heavy():
    code = (
        "import sys, dmlbench\n"
        "print(sorted({'torch', 'numpy', 'pydantic', 'pluggy', 'importlib.metadata'} "
        "& set(sys.modules)))"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout
    assert output.strip() == "[]"


def test_no_package_offers_something_else_under_the_name_of_one_of_its_modules():
    packages = [
        module.name for module in walk_packages([dmlbench.__path__[0]], "dmlbench.") if module.ispkg
    ]
    assert "dmlbench.retrieval" in packages
    for package in map(import_module, ["dmlbench", *packages]):
        for module in iter_modules(package.__path__):
            offered = getattr(package, module.name, None)
            assert offered is None or isinstance(offered, ModuleType), (package, module.name)
