"""Descriptions of components, for ``list --long`` and ``show``."""

import inspect
from typing import Any

from dmlbench.components.entry_points import FAMILY_MARKS, Entry
from dmlbench.components.hyperparameters import family_argument, hyperparameters


def summary(entry: Entry, component: Any) -> list[str]:
    """Return a few lines about a component: what it is, what it takes, and its source."""
    lines = [_first_line(component)]
    if entry.kind == "hooks":
        return [*lines, _heard(component)]
    facts = []
    for label, attribute in (
        ("takes", "takes"),
        ("makes", "makes"),
        ("default miner", "default_miner"),
        ("reducer", "reducer"),
        ("trained as", "trained_as"),
    ):
        if value := getattr(component, attribute, None):
            facts.append(f"{label}: {value}")
    if argument := family_argument(component):
        mark = FAMILY_MARKS.get(entry.kind, "/")
        facts.append(f"a family: {entry.name}{mark}{argument.upper()}")
    settings = [f"{p.name}={p.default!r}" for p in hyperparameters(component).values()]
    if settings:
        facts.append(", ".join(settings))
    if facts:
        lines.append("; ".join(facts))
    if paper := getattr(component, "paper", ""):
        lines.append(paper)
    return lines


def details(entry: Entry, component: Any) -> list[str]:
    """Return everything known about a component, with types and search spaces of its settings."""
    lines = [
        f"{entry.kind} {entry.qualified}",
        f"  {entry.value}, version {entry.version or '-'}",
        "",
    ]
    lines += (inspect.getdoc(component) or "(no documentation)").splitlines()
    if entry.kind == "hooks":
        return [*lines, "", _heard(component)]
    facts = {
        label.replace("_", " "): getattr(component, label)
        for label in _SHOWN
        if getattr(component, label, None) not in (None, "", {}, ())
    }
    parameters = hyperparameters(component)
    if parameters:
        lines += ["", "Hyper-parameters"]
    for parameter in parameters.values():
        kind = getattr(parameter.type, "__name__", str(parameter.type)) if parameter.type else ""
        space = f" in {parameter.space!r}" if parameter.space else ""
        lines.append(f"  {parameter.name} = {parameter.default!r}  {kind}{space}".rstrip())
    if facts:
        lines += ["", *(f"{label}: {value}" for label, value in facts.items())]
    return lines


_SHOWN = (
    "takes",
    "makes",
    "default_miner",
    "reducer",
    "trained_as",
    "paper_sampler",
    "differences",
    "own_lr_multiple",
    "own_weight_decay",
    "normalize",
    "views",
    "starts_epochs",
    "modality",
    "protocol",
    "evaluation",
    "closed_set",
    "recall_at",
    "expected",
    "licence",
    "paper",
)


def _heard(plugin: Any) -> str:
    from dmlbench.components.hook_plugins import heard_hooks

    return f"hears: {', '.join(heard_hooks(plugin)) or 'nothing'}"


def _first_line(component: Any) -> str:
    return (inspect.getdoc(component) or "(no documentation)").splitlines()[0]
