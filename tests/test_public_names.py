"""What `dmlbench` itself offers, and that it costs nothing to import."""

import ast
import pkgutil
import subprocess
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
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


def shadowed(package: ModuleType) -> set[str]:
    """Return the modules of a package whose import would replace something that it offers."""
    modules = {module.name for module in pkgutil.iter_modules(package.__path__)}
    own = {key for key, value in vars(package).items() if not isinstance(value, ModuleType)}
    return modules & (own | set(getattr(package, "__all__", ())))


def test_no_package_offers_a_name_that_one_of_its_modules_has():
    below = pkgutil.walk_packages(dmlbench.__path__, prefix="dmlbench.")
    names = ["dmlbench", *(module.name for module in below if module.ispkg)]
    assert len(names) > 15
    assert {name: found for name in names if (found := shadowed(import_module(name)))} == {}


@pytest.mark.parametrize("offered", [{"estimate": print}, {"__all__": ["estimate"]}])
def test_a_function_named_as_its_module_is_found(tmp_path, offered):
    (tmp_path / "estimate.py").touch()
    package = ModuleType("one_name")
    vars(package).update(__path__=[str(tmp_path)], **offered)
    assert shadowed(package) == {"estimate"}
