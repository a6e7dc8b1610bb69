"""A trial: one dataset, one protocol, one set of components with their settings, and one seed."""

import json
from functools import cached_property
from hashlib import sha256
from pathlib import PurePath
from typing import Annotated, Any

from pydantic import Field, model_validator

from dmlbench.schemas.added import Added
from dmlbench.schemas.base import Schema
from dmlbench.schemas.private_paths import reference_without_folders, without_folders
from dmlbench.schemas.protocol import Protocol

SEMANTICS = 4
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
    paths: dict[str, str] = Field(default={}, exclude=True, repr=False)
    """Where the ``reference`` and files lie on this machine, if the record does not tell."""

    identified_as: dict[str, str] = Field(default={}, exclude=True, repr=False, max_length=0)
    """Name and distribution in the trial's id, if tables call the component something else. Set in
    copies only: no file can say it."""

    revisions: Annotated[dict[str, str], Added(before={})] = {}
    """Repository and revision of what a setting takes from the hub, ``OWNER/NAME@REVISION``."""

    decides_nothing = frozenset(
        {"reference", "version", "changed", "files", "paths", "identified_as"}
    )

    @model_validator(mode="before")
    @classmethod
    def _keep_paths_back(cls, values: Any) -> Any:
        """Leave the folders of private paths out of what is published, and keep them in memory."""
        if not isinstance(values, dict) or not isinstance(values.get("reference"), str):
            return values
        tables = {k: values.get(k) or {} for k in ("settings", "changed", "files", "paths")}
        if not all(isinstance(table, dict) for table in tables.values()):
            return values  # which is refused
        private = {"reference": reference_without_folders(values["reference"])}
        settings, changed = {**tables["settings"]}, {**tables["changed"]}
        paths = {}
        for name in tables["files"]:
            if isinstance(settings.get(name), str):
                private[name] = without_folders(settings[name])
        for name, shown in private.items():
            path = values["reference"] if name == "reference" else settings[name]
            if path == shown:
                continue
            paths[name] = path
            for some in (settings, changed):
                if name in some and name != "reference":
                    some[name] = shown
        if not paths:
            return values
        return {
            **values,
            "reference": private["reference"],
            "settings": settings,
            "changed": changed,
            "paths": paths | tables["paths"],
        }

    def __eq__(self, other: object) -> bool:
        """Return whether two parts are the same, wherever their files lie."""
        return isinstance(other, Part) and self.model_dump() == other.model_dump()

    def __hash__(self) -> int:
        return hash(self.model_dump_json())

    def located(self) -> "Part":
        """Return this part with the paths of this machine, to load and to make it."""
        of_files = {name: path for name, path in self.paths.items() if name in self.settings}
        reference = self.paths.get("reference", self.reference)
        settings = self.settings | of_files
        return self.model_copy(update={"reference": reference, "settings": settings})

    def identity(self) -> dict[str, Any]:
        """Return what distinguishes components; a file counts by its content, not by its path."""
        identity = super().identity() | self.identified_as
        return identity | {"settings": identity["settings"] | self.files}

    def __str__(self) -> str:
        settings = ", ".join(f"{key}={self._shown(key)}" for key in self.changed)
        return f"{self.name} ({settings})" if settings else self.name

    def _shown(self, setting: str) -> str:
        """Return the value of a changed setting; a file without its folder has its hash beside."""
        value = str(self.changed[setting])
        bare = setting in self.files and value == PurePath(value).name
        return f"{value} {self.files[setting][:8]}" if bare else value


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
