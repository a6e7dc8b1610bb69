"""Descriptions of components, for ``list --long`` and ``show``."""

import inspect
from typing import Any

from dmlbench.components.documentation import facts, sentence
from dmlbench.components.entry_points import FAMILY_MARKS, Entry
from dmlbench.components.hyperparameters import family_argument, hyperparameters


def summary(entry: Entry, component: Any) -> list[str]:
    """Return a few lines about a component: what it is, what it takes, and its source."""
    lines = [sentence(component)]
    if entry.kind == "hooks":
        return [*lines, _heard(component)]
    short = []
    for label, attribute in (
        ("takes", "takes"),
        ("makes", "makes"),
        ("default miner", "default_miner"),
        ("reducer", "reducer"),
        ("trained as", "trained_as"),
    ):
        if value := getattr(component, attribute, None):
            short.append(f"{label}: {value}")
    if argument := family_argument(component):
        mark = FAMILY_MARKS.get(entry.kind, "/")
        short.append(f"a family: {entry.name}{mark}{argument.upper()}")
    settings = [f"{p.name}={p.default!r}" for p in hyperparameters(component).values()]
    if settings:
        short.append(", ".join(settings))
    if short:
        lines.append("; ".join(short))
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
    parameters = hyperparameters(component)
    if parameters:
        lines += ["", "Hyper-parameters"]
    for parameter in parameters.values():
        kind = getattr(parameter.type, "__name__", str(parameter.type)) if parameter.type else ""
        space = f" in {parameter.space!r}" if parameter.space else ""
        lines.append(f"  {parameter.name} = {parameter.default!r}  {kind}{space}".rstrip())
    if stated := facts(component):
        lines += ["", *(f"{label}: {value}" for label, value in stated.items())]
    return lines


def _heard(plugin: Any) -> str:
    from dmlbench.components.hook_plugins import heard_hooks

    return f"hears: {', '.join(heard_hooks(plugin)) or 'nothing'}"
