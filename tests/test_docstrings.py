"""The examples in docstrings run, and print what they say."""

import doctest
import importlib
from pathlib import Path

import pytest

import dmlbench
import dmlbench_datasets

ROOTS = (Path(dmlbench.__file__).parents[1], Path(dmlbench_datasets.__file__).parents[1])
WITH_EXAMPLES = [
    ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
    for root in dict.fromkeys(ROOTS)
    for path in sorted(root.glob("dmlbench*/**/*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_in_docstrings_print_what_they_say(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted
    assert not result.failed  # what differs is in the captured output
