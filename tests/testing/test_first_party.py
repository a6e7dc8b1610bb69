"""Every first-party component passes the conformance kit, and not even gets advice."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from dmlbench.components.entry_points import KINDS, Entry
from dmlbench.components.importing import load_entry
from dmlbench.retrieval import METRICS
from dmlbench.testing import check

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
COMPONENTS = [
    Entry(kind, name, "dmlbench", PROJECT["version"], value)
    for kind, plural in KINDS.items()
    for name, value in PROJECT["entry-points"].get(f"dmlbench.{plural}", {}).items()
] + [
    Entry("metric", name, "dmlbench", PROJECT["version"], f"{kind.__module__}:{kind.__name__}")
    for name, kind in METRICS.items()
    if name != "knn_accuracy"  # of cross-validation, no ranking
]
MEMBERS: Mapping[str, Mapping[str, Any]] = {
    "timm": {"argument": "test_resnet", "settings": {"weights": "none"}},
    "slurm": {"settings": {"cluster": "local", "jobs": 1, "trials_per_job": 5}},
    "recall": {"argument": 2},
    "precision": {"argument": 3},
}
"""A small member of each family that needs no files, and no cluster."""


AT_HAND = [
    entry
    for entry in COMPONENTS
    if (entry.kind != "dataset" or load_entry(entry).embedded) and entry.name != "ray"
]
"""All but the datasets whose data do not ship, and Ray; those have tests of their own."""


@pytest.mark.parametrize("entry", AT_HAND, ids=lambda entry: f"{entry.kind}-{entry.name}")
def test_first_party_components_pass(entry):
    component = load_entry(entry)
    findings = check(entry.kind, component, **MEMBERS.get(entry.name, {}))
    troubles = [f"{each.claim}: {each.text}" for each in findings if each.outcome == "failed"]
    troubles += [f"{each.claim}: {each.text}" for each in findings if each.outcome == "warned"]
    assert not troubles, "\n".join(troubles)
    assert sum(each.outcome == "passed" for each in findings) >= 12
