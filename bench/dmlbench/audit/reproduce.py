"""Run a trial again from its record alone, and say whether the results are the same."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from dmlbench.audit.record_differences import Difference, changed, differences
from dmlbench.components.composition import Composition, compose
from dmlbench.components.workplace import Workplace
from dmlbench.compute.versions import versions
from dmlbench.data.items import load_data
from dmlbench.data.photos.decoding import PhotoFormat
from dmlbench.data.photos.store import OnProgress
from dmlbench.errors import ConfigError, DataError, PluginError, TrialError
from dmlbench.leaderboard.metric_names import is_diagnostic
from dmlbench.schemas.plan import Plan
from dmlbench.schemas.record import Record
from dmlbench.schemas.trial import SEMANTICS, Part, Trial, canonical_json

TOLERANCE = 0.05
"""How far a test metric may be from the record's on another platform. There the last bit of a sum
differs, and training amplifies that like a change of seed. docs/records.md has measurements."""

_COMPUTING = ("torch", "numpy", "scipy", "scikit-learn", "timm", "pillow")
_MACHINE = ("machine", "system")


@dataclass(frozen=True)
class Reproduction:
    """A record, and the record that running its trial again gave."""

    record: Record
    again: Record
    differences: tuple[Difference, ...]
    """Where the figures differ; what the record never had is left out."""
    platform: dict[str, tuple[str, str]]
    """What differs about the platform, each as (the record's, this one's)."""
    versions: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Which other versions differ, likewise."""

    @property
    def to_the_bit(self) -> bool:
        """Return whether every figure is the same."""
        return not self.differences

    @property
    def farthest(self) -> float:
        """Return the largest distance of a test metric from the record's; inf if one is missing."""
        apart = [
            abs(value - self.again.metrics.get(name, float("inf")))
            for name, value in self.record.metrics.items()
            if not is_diagnostic(name)
        ]
        return max(apart, default=0.0)

    @property
    def reproduced(self) -> bool:
        """Return whether the figures are equal to the bit, or close enough on another platform."""
        alike = (self.record.status, self.record.collapsed) == (
            self.again.status,
            self.again.collapsed,
        )
        near = alike and self.farthest <= TOLERANCE
        return self.to_the_bit or (bool(self.platform) and near)


def compare_records(record: Record, again: Record) -> Reproduction:
    """Return how `again`, of the same trial, compares with `record`."""
    again = Record.model_validate_json(again.to_json())  # as if it had been read from a file, too
    platform = changed(_platform(record), _platform(again))
    versions = changed(record.versions, again.versions)
    return Reproduction(
        record,
        again,
        tuple(found for found in differences(record, again) if not found.is_new),
        platform,
        {name: pair for name, pair in versions.items() if name not in platform},
    )


def device_again(records: Sequence[Record], asked: str) -> str:
    """Return the device to run the trials of `records` on: of "auto", the CPU if all ran on one."""
    ran_on = {record.settings.get("device") for record in records}
    return "cpu" if asked == "auto" and ran_on == {"cpu"} else asked


def divided_again(record: Record, device: torch.device) -> tuple[int | None, int]:
    """Return in which chunks and on how many devices to run a trial again: as its record says.

    That is a whole batch on one device if the record, which may be a stranger's, says nothing that
    can be, or asks for more devices, or processor cores, than there are.
    """
    chunk, devices = (record.settings.get(name) for name in ("chunk", "devices"))
    there = torch.cuda.device_count() if device.type == "cuda" else os.cpu_count() or 1
    return (
        chunk if type(chunk) is int and chunk > 0 else None,
        devices if type(devices) is int and 0 < devices <= there else 1,
    )


def plan_again(
    records: Sequence[Record],
    workplace: Workplace,
    on_progress: OnProgress = lambda done, total: None,
) -> Plan:
    """Return the trials of `records`, each once, after checking that they can run here.

    Args:
        records: whose trials to run.
        workplace: where.
        on_progress: called with how many photos of a dataset have been decoded, and of how many.

    Raises:
        ConfigError: what would run is a different trial: a component is missing or has another
            source, or this dmlbench computes figures by other rules.
        DataError: the data are missing or different.
        PluginError: a component can't be imported.
    """
    trials = {record.id: record.trial for record in records}
    for record in {record.id: record for record in records}.values():
        trial = record.trial
        reasons = _obstacles(trial, workplace)
        if reasons:
            raise ConfigError(
                f"{trial} can't be run again here: {'; '.join(reasons)}. What could be run is "
                "another trial: make its record with `dmlbench run`, and compare the two with "
                "`dmlbench diff`." + _other_versions(record)
            )
    fingerprints: dict[str, str] = {}
    for trial in trials.values():
        photos = PhotoFormat.of(trial.protocol)
        located = trial.dataset.located()
        asked = f"{located.reference} {canonical_json(located.settings)} {photos}"
        if asked not in fingerprints:
            dataset = workplace.make("dataset", trial.dataset)
            data = load_data(
                dataset,
                workplace.data_dir,
                photos,
                cache_dir=workplace.cache_dir,
                on_progress=on_progress,
            )
            fingerprints[asked] = data.fingerprint
        if fingerprints[asked] != trial.fingerprint:
            raise DataError(
                f"{trial} can't be run again here: the data of {trial.dataset} differ. Their "
                f"fingerprint is {fingerprints[asked]}, the record's is {trial.fingerprint}. Put "
                "the record's data into the data folder (--data-dir)."
            )
    return Plan(tuple(trials.values()))


def _obstacles(trial: Trial, workplace: Workplace) -> list[str]:
    """Return why what would run here is a different trial."""
    found = []
    if trial.semantics != SEMANTICS:
        found.append(
            f"its figures were made by the rules of semantics {trial.semantics}, and this dmlbench "
            f"follows those of {SEMANTICS}"
        )
    for kind, part in {"dataset": trial.dataset, **trial.parts}.items():
        found += _changes(kind, part, workplace)
    return found


def _other_versions(record: Record) -> str:
    """Return a sentence on the versions that differ here, which are no part of a trial's id."""
    here = versions({})
    pairs = [
        f"{name} {there} there, {here[name]} here"
        for name, there in record.versions.items()
        if here.get(name, there) != there
    ]
    return f" Versions differ, too: {'; '.join(pairs)}." if pairs else ""


def _changes(kind: str, part: Part, workplace: Workplace) -> list[str]:
    if not part.source:
        return [f"the {kind} {part.name!r} could not be loaded even when the record was made"]
    try:
        composition = compose(workplace.catalogue, kind, part.located().reference)
        mismatch = composition.mismatch(part)
    except (ConfigError, PluginError) as error:
        own = not part.distribution and ".py:" in part.reference
        mend = " (start in the folder where the file is)" if own else ""
        return [str(error).removesuffix(".") + mend]
    if mismatch:
        return [_mismatch(mismatch, kind, part, composition)]
    if part.files or part.revisions:
        try:
            workplace.make(kind, part)
        except (TrialError, DataError) as error:
            return [str(error).removesuffix(".")]
    return []


def _mismatch(mismatch: str, kind: str, part: Part, composition: Composition) -> str:
    ours = composition.distribution or "no package"
    theirs = part.distribution or "no package"
    if mismatch == "package":
        return f"the {kind} {part.name!r} is from {ours}, the record's from {theirs}"
    code = composition.code()
    if mismatch == "libraries":
        pairs = changed(part.libraries, code.libraries).items()
        told = [f"{name} {before} there, {here} here" for name, (before, here) in pairs]
        return f"the {kind} {part.name!r} imports a library in another version: {', '.join(told)}"
    told_of = f"{part.distribution or 'a file'} {part.version}".rstrip()
    return (
        f"the {kind} {part.name!r} has a different source from the record's ({code.hash[:7]}, not "
        f"{part.source[:7]} of {told_of})"
    )


def _platform(record: Record) -> dict[str, str]:
    """Return what a record tells of the things that decide the last bits of figures."""
    facts = {
        **record.settings,
        **{name: record.versions.get(name) for name in _COMPUTING},
        **{name: record.measurements.get(name) for name in _MACHINE},
    }
    if "torch" in record.settings:  # the build, not just the version
        facts["torch"] = record.settings["torch"]
    return {name: str(value) for name, value in facts.items() if value is not None}
