"""Which family a name or a path belongs to that was given without it."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dmlbench.components.hyperparameters import family_argument

if TYPE_CHECKING:
    from dmlbench.components.catalogue import Catalogue

_MARKS = {"backbone": "/", "dataset": ":"}


def in_a_family(catalogue: "Catalogue", kind: str, argument: str) -> str:
    """Return `` Did you mean 'timm/resnet18'?`` if a family takes `argument`, else "".

    A family of backbones takes what it knows the image format of, one of datasets what it finds,
    or any path.
    """
    for entry in catalogue.of_kind(kind) if kind in _MARKS else ():
        try:
            component = catalogue.load(kind, entry.qualified)[1]
            if family_argument(component) and _takes(kind, component, argument):
                return f" Did you mean '{entry.name}{_MARKS[kind]}{argument}'?"
        except (Exception, SystemExit):  # a plugin may raise anything
            continue
    return ""


def _takes(kind: str, family: Any, argument: str) -> bool:
    made = family(argument)
    if kind == "backbone":
        made.image_format()  # raises if there is no such network
        return True
    is_path = family_argument(family) == "path" and (
        os.sep in argument or Path(argument).expanduser().exists()
    )
    return is_path or made.missing(None) is None
