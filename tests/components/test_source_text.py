"""The text that a hash of source code is made of, token by token."""

import pytest

from dmlbench import PluginError
from dmlbench.components.source_text import Import, read_source

TEXT = (
    '''"""Docstring."""  # comment
from __future__ import annotations
import a.b as c, os.path
def f(x: int = 1, *, y="é"):
    r"""An \\escape.""" "and more"
    from ..near import (g, h as k,)  # é
    def é(): "é"; import z
    return f"{x!r:>{y}} # {'no comment'}" \\
        f'''
    + "'''"
    + """{
    y}"""
    + "'''"
    + """
"""
)


def test_docstrings_and_comments_go_and_imports_stand_apart(tmp_path):
    path = tmp_path / "some.py"
    path.write_text(TEXT, encoding="utf-8")
    assert read_source(path) == (
        Import(0, ("__future__",), "annotations", "annotations"),
        Import(0, ("a", "b"), None, "c"),
        Import(0, ("os", "path"), None, "os.path"),
        'def f ( x : int = 1 , * , y = "é" ) : \n \x0e',
        Import(2, ("near",), "g", "g"),
        Import(2, ("near",), "h", "k"),
        "def é ( ) :",
        Import(0, ("z",), None, "z"),
        """return f"{x!r:>{y}} # {'no comment'}" f'''{\n    y}''' \n \x0f""",
    )


def test_a_file_in_another_encoding_is_read(tmp_path):
    path = tmp_path / "some.py"
    path.write_bytes("# coding: latin-1\nx = 'é'\n".encode("latin-1"))
    assert read_source(path) == ("x = 'é' \n",)


@pytest.mark.parametrize("text", ["class :", "x = (", "\0"])
def test_what_is_no_python_is_refused(tmp_path, text):
    path = tmp_path / "some.py"
    path.write_text(text)
    with pytest.raises(PluginError, match=r"some\.py can't be read as Python"):
        read_source(path)
