"""A trial: one dataset, one protocol, one set of components with their settings, and one seed."""

import json
from functools import cached_property
from hashlib import sha256
from typing import Annotated, Any

from dmlbench.schemas.added import Added
from dmlbench.schemas.base import Schema
from dmlbench.schemas.protocol import Protocol

SEMANTICS = 2
"""Part of every trial's identity; raised whenever a change to the harness changes figures."""

# The kinds of component that make a row of a leaderboard, in the order in which it names them.
ROW_KINDS = ("baseline", "loss", "miner", "sampler", "backbone")


class Part(Schema):
    """A component as a trial uses it."""

    reference: str
    """How to load it again."""
    name: str
    """What tables call it: the entry point's name with a family's argument."""
    distribution: str = ""
    """The installed package that offers it; empty for an import reference."""
    version: str = ""
    source: str = ""
    """Hash of its source code; empty if it could not be loaded."""
    libraries: Annotated[dict[str, str], Added(before={})] = {}
    """Versions of the distributions that its modules import and dmlbench does not require."""
    settings: dict[str, Any] = {}
    """All hyper-parameters, except those marked `Added` that have the value of older trials."""
    changed: dict[str, Any] = {}
    """Those that differ from the defaults."""
    files: dict[str, str] = {}
    """Hash of the content of each file that a setting names, by setting."""

    revisions: Annotated[dict[str, str], Added(before={})] = {}
    """Repository and revision of what a setting takes from the hub, ``OWNER/NAME@REVISION``."""

    decides_nothing = frozenset({"reference", "version", "changed", "files"})

    def identity(self) -> dict[str, Any]:
        """Return what distinguishes components; a file counts by its content, not by its path."""
        identity = super().identity()
        return identity | {"settings": identity["settings"] | self.files}

    def __str__(self) -> str:
        settings = ", ".join(f"{key}={value}" for key, value in self.changed.items())
        return f"{self.name} ({settings})" if settings else self.name


class Trial(Schema):
    """A fully resolved trial: it holds everything that decides its record."""

    dataset: Part
    fingerprint: str
    """Hash of the dataset's items, labels and splits; empty if it could not be loaded."""
    protocol: Protocol
    parts: dict[str, Part]
    """By kind: a loss with its miner, sampler and backbone, or a baseline."""
    seed: int
    semantics: int = SEMANTICS
    """`SEMANTICS` of the harness that planned it."""

    @cached_property
    def id(self) -> str:
        """Return the hash that identifies this trial; equal requests have equal ids."""
        return sha256(canonical_json(self.identity()).encode()).hexdigest()[:16]

    @cached_property
    def row(self) -> str:
        """Return the hash that all trials of a leaderboard row share: of all but the seed."""
        identity = self.identity()
        del identity["seed"]
        return sha256(canonical_json(identity).encode()).hexdigest()[:16]

    @property
    def label(self) -> str:
        """Return the short name of the row: the baseline, or the loss with its miner."""
        parts = [self.parts[kind] for kind in ("baseline", "loss", "miner") if kind in self.parts]
        return " + ".join(map(str, parts))

    def __str__(self) -> str:
        return f"{self.dataset} / {self.label} / seed {self.seed}"


def canonical_json(value: Any) -> str:
    """Return JSON with sorted keys and no spaces, so that equal values give equal texts.

    Raises:
        ValueError: `value` holds NaN or infinity.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
