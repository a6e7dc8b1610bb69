"""What ``dmlbench data list`` says of a dataset."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dmlbench.contracts import Dataset
from dmlbench.errors import guarded
from dmlbench.hyperparameters import family_argument, hyperparameters


@dataclass(frozen=True)
class Overview:
    """A dataset in a few lines.

    Attributes:
        state: ``ready``, ``a part is here``, ``not here`` or ``your own``.
        details: lines about its content, licence, citation and how to get it.
    """

    state: str
    details: tuple[str, ...]


def overview(name: str, component: Any, data_dir: Path | None) -> Overview:
    """Return what there is to say of a dataset, and whether it is ready here.

    Raises:
        PluginError: its constructor or its `missing` failed.
    """
    facts = [
        ", ".join(
            f"{split} {items:,} items of {classes:,} classes"
            for split, (items, classes) in component.expected.items()
        ),
        component.licence and f"licence: {component.licence}",
        component.paper and f"cite: {component.paper}",
    ]
    if argument := family_argument(component):
        return Overview("your own", (f"as {name}:{argument.upper()}", *filter(None, facts)))
    with guarded(f"The dataset {name!r}"):
        reason = component().missing(data_dir)
        if reason is None:
            return Overview("ready", tuple(filter(None, facts)))
        state = "not here"
        if "partial" in hyperparameters(component):
            part: Dataset = component(partial=True)
            if part.missing(data_dir) is None:
                state = "a part is here"
    homes = [home for archive in component.archives for home in archive.homes]
    facts.append(f"get it: {reason}")
    facts.append(homes and f"was at: {', '.join(homes)} (may have moved)")
    return Overview(state, tuple(filter(None, facts)))
