"""What `dmlbench` itself offers, and that it costs nothing to import."""

import ast
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

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
