"""From the arguments of a run to its suite."""

from collections.abc import Iterable, Mapping
from operator import index
from pathlib import Path
from typing import Any

from dmlbench.errors import ConfigError
from dmlbench.schemas.base import validate
from dmlbench.schemas.suite import Suite, default_suite, load_suite

Names = str | Iterable[str]
"""One name, or several."""
Seeds = int | Iterable[int]
"""How many seeds (from 0), or which."""

ALL = "all"
_MOST_SEEDS = 10_000
_WORDS = {
    "losses": (ALL,),
    "miners": (ALL, "default"),
    "baselines": (ALL, "floors"),
}


def make_suite(
    *,
    suite: Suite | str | Path | None = None,
    datasets: Names | None = None,
    losses: Names | None = None,
    miners: Names | None = None,
    baselines: Names | None = None,
    samplers: Names | None = None,
    protocol: str | Path | None = None,
    backbone: str | None = None,
    seeds: Seeds | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Suite:
    """Return `suite` with the changes that the other arguments make to it; None changes nothing.

    Raises:
        ConfigError: nothing is asked for, or a value is impossible.
    """
    rows = {"losses": losses, "miners": miners, "baselines": baselines}
    chosen = {kind: _rows(kind, names) for kind, names in rows.items() if names is not None}
    if suite is None and datasets is None and not chosen:
        raise ConfigError(
            "There is nothing to run. Name a dataset, a loss, a miner, a baseline or a suite "
            "(--dataset, --loss, --miner, --baseline, --suite), or ask for everything on the data "
            'that ship with dmlbench (--all; in Python suite="all").'
        )
    if suite is None and datasets is not None and not chosen:
        raise ConfigError(
            f"What is to run on {' and '.join(_names(datasets))}? Name a loss, a miner or a "
            "baseline (--loss, --miner, --baseline), or ask for all of them, which takes long "
            '(--all; in Python suite="all").'
        )
    base = _base(suite)
    several = {"datasets": datasets, "samplers": samplers}
    changes: dict[str, Any] = {
        k: _names(value) for k, value in several.items() if value is not None
    }
    if protocol is not None:
        changes["protocol"] = str(protocol)
    if backbone is not None:
        changes["backbone"] = backbone
    if seeds is not None:
        changes["seeds"] = seed_numbers(seeds)
    if settings:
        changes["settings"] = {**base.settings, **settings}
    if chosen:
        if "miners" in chosen and "losses" not in chosen:
            raise ConfigError(
                "A miner needs a loss to go with it: name one, as by --miner random --loss triplet."
            )
        changes |= {"losses": (), "miners": "default", "baselines": "floors", **chosen}
    return validate(Suite, {**base.model_dump(), **changes}, "The request")


def _base(suite: Suite | str | Path | None) -> Suite:
    if isinstance(suite, Suite):
        return suite
    return default_suite() if suite in (None, ALL) else load_suite(Path(str(suite)))


def _names(names: Names) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _rows(kind: str, names: Names) -> str | tuple[str, ...]:
    """Return the components of a kind; the words that stand for several of them as they are."""
    found = _names(names)
    if kind == "baselines" and found == ("none",):
        return ()
    return found[0] if len(found) == 1 and found[0] in _WORDS[kind] else found


def seed_numbers(seeds: Seeds) -> tuple[int, ...]:
    """Return which seeds are meant: 3 as 0, 1 and 2.

    Raises:
        ConfigError: fewer than one, or more than anybody needs.
    """
    if isinstance(seeds, Iterable):
        return tuple(map(index, seeds))
    if not 0 < seeds <= _MOST_SEEDS:
        wrong = "are more than 10,000" if seeds > 0 else "are not at least one"
        raise ConfigError(f"{seeds} seeds {wrong}. Say how many, or which: a list such as 3, 7.")
    return tuple(range(index(seeds)))
