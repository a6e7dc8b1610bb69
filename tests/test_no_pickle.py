"""No file can make dmlbench run code: nothing here unpickles, evaluates or loads YAML."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = [path for folder in ("bench", "plugins") for path in (ROOT / folder).rglob("*.py")]

UNPICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
LOADERS = {"torch.load", "pandas.read_pickle", "pd.read_pickle", "yaml.load", "eval", "exec"}
HARMLESS = {"dump", "dumps", "PicklingError", "UnpicklingError"}
ALLOWED = {("child_process.py", "pickle.loads")}
"""A child process reads what its parent wrote to their pipe."""


def dotted_name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted_name(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def dangers(tree: ast.AST) -> Iterator[str]:
    """Yield what in a module could run code that is in a file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in UNPICKLERS:
            yield f"from {node.module}"
        if isinstance(node, ast.Import):
            yield from (f"as {one.asname}" for one in node.names if one.asname in UNPICKLERS)
        if isinstance(node, ast.Attribute) and dotted_name(node.value) in UNPICKLERS:
            yield from {dotted_name(node)} if node.attr not in HARMLESS else ()
        if isinstance(node, ast.Call):
            if (name := dotted_name(node.func)) in LOADERS:
                yield name
            values = {word.arg: word.value for word in node.keywords}
            for argument, safe in {"allow_pickle": False, "weights_only": True}.items():
                given = values.get(argument)
                if given and not (isinstance(given, ast.Constant) and given.value is safe):
                    yield f"{argument}={ast.unparse(given)}"
            if name == "load_state_dict" and "weights_only" not in values:
                yield name


def test_no_source_file_reads_what_can_run_code():
    found = {
        (path.name, danger)
        for path in SOURCES
        for danger in dangers(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert found - ALLOWED == set()
    assert len(SOURCES) > 300


@pytest.mark.parametrize(
    "code",
    [
        "import pickle\npickle.loads(content)",
        "from pickle import loads",
        "import torch\ntorch.load(path)",
        "import numpy as np\nnp.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=asked)",
        "load_state_dict(path)",
        "load_state_dict(path, weights_only=False)",
        "eval(text)",
    ],
)
def test_the_search_finds_what_it_is_for(code):
    assert set(dangers(ast.parse(code)))
