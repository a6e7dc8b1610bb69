"""What a component says about itself: docstrings, and the facts among its class attributes."""

import inspect
import re
import sys
from typing import Any

_FACTS = (
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

_ARGUMENT = re.compile(r"    (\w+): (.+)")


def sentence(component: Any) -> str:
    """Return the first line of the docstring."""
    return (inspect.getdoc(component) or "(no documentation)").splitlines()[0]


def facts(component: Any) -> dict[str, Any]:
    """Return the attributes that describe it, by name in words: ``{"default miner": …}``."""
    return {
        name.replace("_", " "): getattr(component, name)
        for name in _FACTS
        if getattr(component, name, None) not in (None, "", {}, ())
    }


def arguments(component: Any) -> dict[str, str]:
    """Return what the docstring's ``Args:`` says of each argument."""
    _, _, text = (inspect.getdoc(component) or "").partition("\nArgs:\n")
    found: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if not line.startswith("    "):
            break
        if match := _ARGUMENT.fullmatch(line):
            name, found[match[1]] = match[1], match[2]
        elif name:
            found[name] += f" {line.strip()}"
    return found


def paragraphs(component: Any) -> list[str]:
    """Return the paragraphs of its module's docstring after the first: formula, paper, remarks."""
    module = sys.modules.get(component.__module__)
    return (inspect.getdoc(module) or "").split("\n\n")[1:] if module else []
