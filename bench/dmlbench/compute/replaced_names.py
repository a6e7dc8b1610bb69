"""Whether a function, class or constant that figures rest on was replaced, as by a monkey patch.

The attributes of modules and classes are compared by identity with what they were. What a plugin
changes inside a function or a dictionary is not seen.
"""

import builtins
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

import torch

_BELOW = ("dmlbench.", "torch.nn.modules.", "torch.optim.")
"""Packages whose modules are watched with the classes that they define."""
_ALONE = (
    *("builtins", "math", "random", "numpy", "numpy.linalg", "numpy.random"),
    *("torch", "torch.autograd", "torch.functional", "torch.linalg", "torch.random"),
    *("torch.nn", "torch.nn.functional", "torch.nn.init", "torch._tensor"),
)
"""Modules that are watched without their classes."""
_MISSING = object()


class Replaced(NamedTuple):
    """An attribute that is not what it was."""

    owner: Any
    name: str
    before: Any

    def __str__(self) -> str:
        called = getattr(self.owner, "__qualname__", "")
        module = self.owner.__module__ if called else self.owner.__name__
        return ".".join(filter(None, (module, called, self.name)))

    def put_back(self) -> None:
        """Make the attribute what it was."""
        with suppress(AttributeError, TypeError):
            if self.before is _MISSING:
                delattr(self.owner, self.name)
            else:
                setattr(self.owner, self.name, self.before)


Names = list[tuple[Any, dict[str, Any]]]


def names_now() -> Names:
    """Return the attributes of all modules and classes that are watched, as they are now."""
    return [(owner, vars(owner).copy()) for owner in _owners(len(sys.modules))]


def replaced_since(names: Names) -> list[Replaced]:
    """Return which attributes are others than those in `names`."""
    found: list[Replaced] = []
    for owner, before in names:
        now = vars(owner)
        try:
            same = now == before  # identical values are not compared further, so this is fast
        except Exception:  # such as two arrays, whose equality is no single truth
            same = False
        if not same:
            found += _differences(owner, before, now)
    return found


def _differences(
    owner: Any, before: Mapping[str, Any], now: Mapping[str, Any]
) -> Iterator[Replaced]:
    new = now.keys() - before.keys()
    hiding = new & _hidden_by(owner) if new else set()
    for name in (*before, *sorted(hiding)):
        was, is_now = before.get(name, _MISSING), now.get(name, _MISSING)
        if is_now is not was and not (_is_torch(owner) and _is_torch(is_now)):
            yield Replaced(owner, name, was)


def _is_torch(thing: Any) -> bool:
    """Return whether torch defines `thing`: it wraps some of its functions at a later import."""
    if isinstance(thing, type):
        module: object = thing.__module__
    else:
        module = (vars(thing) if isinstance(thing, ModuleType) else _globals(thing)).get("__name__")
    return str(module).partition(".")[0] == "torch"


def _globals(thing: Any) -> dict[str, Any]:
    """Return the globals of the module that defines a function, whatever it claims to wrap."""
    return thing.__globals__ if isinstance(thing, FunctionType) else {}


def _hidden_by(owner: Any) -> set[str]:
    """Return the names whose meaning changes when `owner` gets them as attributes."""
    if isinstance(owner, ModuleType):
        return set(vars(builtins))
    inherited = {name for base in owner.__mro__[1:] for name in vars(base)}
    return {name for name in inherited if callable(getattr(owner, name, None))}


@lru_cache(maxsize=1)
def _owners(modules: int) -> list[Any]:
    """Return what is watched; looked up anew when the number of modules has changed."""
    found: list[Any] = [torch.Tensor]
    for name, module in tuple(sys.modules.items()):
        if name.startswith(_BELOW):
            own = (thing for thing in vars(module).values() if isinstance(thing, type))
            found += [module, *(thing for thing in own if thing.__module__ == module.__name__)]
        elif name in _ALONE:
            found.append(module)
    return found
