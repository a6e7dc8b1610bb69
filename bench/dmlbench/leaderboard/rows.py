"""A row: trials that differ only in the seed, summarised."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from dmlbench.leaderboard.formats.escaping import REASON_LENGTH, plain
from dmlbench.leaderboard.metric_names import average
from dmlbench.schemas.record import Record
from dmlbench.schemas.trial import ROW_KINDS, Trial
from dmlbench.statistics import Estimate


@dataclass(frozen=True)
class Row:
    """One loss with its miner, sampler and backbone, or one baseline, over all seeds."""

    records: tuple[Record, ...]
    """One per seed, in the order of seeds."""
    names: Mapping[str, str]
    """Display name of each part by kind; no two rows of a table have the same names."""
    label: str
    """The shortest text that names the row."""
    below: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Metrics on which it is below a floor, by the floor's label."""
    extra: Mapping[str, str] = field(default_factory=dict)
    """Columns that plugins add."""

    @property
    def trial(self) -> Trial:
        """Return the trial of the first seed; the others differ only in the seed."""
        return self.records[0].trial

    @property
    def id(self) -> str:
        """Return the hash that the row's trials share."""
        return self.trial.row

    @property
    def is_baseline(self) -> bool:
        """Return whether no loss is trained."""
        return "baseline" in self.trial.parts

    @property
    def kind(self) -> str:
        """Return ``trained`` or ``baseline``, or ``failed`` if no seed has finished."""
        if not self.finished:
            return "failed"
        return "baseline" if self.is_baseline else "trained"

    @cached_property
    def metrics(self) -> Mapping[str, Estimate]:
        """Return the test metrics of the selected epoch over the finished seeds."""
        return average(record.metrics for record in self.finished)

    @cached_property
    def last_epoch_metrics(self) -> Mapping[str, Estimate]:
        """Return the test metrics of the last epoch over the finished seeds."""
        return average(record.last_epoch_metrics for record in self.finished)

    @cached_property
    def finished(self) -> tuple[Record, ...]:
        """Return the records of the seeds that finished, collapsed ones too."""
        return tuple(record for record in self.records if record.status == "finished")

    @property
    def failed(self) -> tuple[Record, ...]:
        """Return the records of the seeds that failed."""
        return tuple(record for record in self.records if record.status == "failed")

    @property
    def reasons(self) -> list[str]:
        """Return why seeds failed, each reason once."""
        return list(dict.fromkeys(plain(record.reason, REASON_LENGTH) for record in self.failed))

    @property
    def collapsed(self) -> tuple[Record, ...]:
        """Return the records of the seeds whose embeddings are all the same."""
        return tuple(record for record in self.records if record.collapsed)

    @property
    def seconds(self) -> float | None:
        """Return the mean time of a trial, see `Record.seconds`."""
        times = list(numbers(record.seconds for record in self.finished))
        return math.fsum(times) / len(times) if times else None

    @property
    def selected_epochs(self) -> list[int]:
        """Return the epoch that counts, seed by seed."""
        epochs = [record.selected_epoch for record in self.finished]
        return [epoch for epoch in epochs if epoch is not None]

    @property
    def changed(self) -> dict[str, Any]:
        """Return the changed hyper-parameters; those of the backbone are part of its name."""
        return {
            f"{kind}.{name}": value
            for kind in ROW_KINDS
            if kind in self.trial.parts and kind != "backbone"
            for name, value in self.trial.parts[kind].changed.items()
        }

    @property
    def hyperparameters(self) -> str:
        """Return the changed hyper-parameters, or a phrase that says there are none."""
        if self.changed:
            return plain(", ".join(f"{name}={value}" for name, value in self.changed.items()), 200)
        if self.is_baseline:
            return "defaults"
        # Where the protocol sets the rate of class vectors, it is not the one of the loss's source.
        return "house rate" if "house" in self.text("own_lr") else "paper defaults"

    @property
    def origin(self) -> str:
        """Return the distributions that the parts come from, the loss's or baseline's first."""
        releases = {kind: self._releases(kind) for kind in ROW_KINDS if kind in self.trial.parts}
        main = next(iter(releases.values()), "")
        others = [f"{kind}: {text}" for kind, text in releases.items() if text != main]
        return "; ".join([main, *others])

    def numbers(self, detail: str) -> list[float]:
        """Return a numeric detail of each finished record that has it."""
        return list(numbers(record.details.get(detail) for record in self.finished))

    def text(self, detail: str) -> str:
        """Return a text detail of the finished records; different ones are joined by commas."""
        texts = [record.details.get(detail) for record in self.finished]
        return ", ".join(dict.fromkeys(plain(text) for text in texts if isinstance(text, str)))

    @property
    def pretrained_on(self) -> str:
        """Return what the backbone was trained on before, and whether the test data were in it.

        Such as ``ImageNet-1k (cub images: yes, classes: yes)``; empty if records do not say.
        """
        dataset = plain(self.trial.dataset.name, 40)
        found = [record.details.get("pretraining") for record in self.finished]
        return " or ".join(dict.fromkeys(_pretraining(one, dataset) for one in found if one))

    def _releases(self, kind: str) -> str:
        parts = [record.trial.parts[kind] for record in self.records]
        found = {f"{part.distribution} {part.version}" for part in parts if part.distribution}
        return plain(", ".join(sorted(found)) or "not installed")


def _pretraining(found: Any, dataset: str) -> str:
    """Return what a record says of pre-training; it may hold anything there."""
    facts = found if isinstance(found, Mapping) else {}
    data, images, classes = (
        plain(str(facts.get(key, "unknown")), 80) for key in ("data", "images", "classes")
    )
    if images == classes:
        return f"{data} ({dataset}: {images})"
    return f"{data} ({dataset} images: {images}, classes: {classes})"


def numbers(values: Iterable[Any]) -> Iterable[float]:
    """Yield those of `values` that are finite numbers; records may hold anything there."""
    for value in values:
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            yield value


def named_rows(groups: Iterable[Sequence[Record]]) -> list[Row]:
    """Return a row for each group of records, with names that distinguish the rows.

    Parts with the same name but different source code (an edited file) get a prefix of the source's
    hash; rows that still look alike get a prefix of their own hash.
    """
    seeds = [tuple(sorted(group, key=lambda record: record.trial.seed)) for group in groups]
    trials = [group[0].trial for group in seeds]
    names = [_names(trial) for trial in trials]
    for same in _alike([tuple(sorted(name.items())) for name in names]):
        for kind in names[same[0]]:
            sources = [
                trials[i].parts[kind].source if kind in trials[i].parts else "" for i in same
            ]
            if len(set(sources)) > 1:
                for i, source in zip(same, sources, strict=True):
                    names[i][kind] += f" #{source[:7] or 'not-loaded'}"
    for same in _alike([tuple(sorted(name.items())) for name in names]):
        for i in same:
            names[i]["baseline" if "baseline" in names[i] else "loss"] += f" #{trials[i].row[:7]}"
    named = zip(seeds, names, _labels(names), strict=True)
    return [Row(records, own, label) for records, own, label in named]


def _names(trial: Trial) -> dict[str, str]:
    names = {kind: plain(str(part)) for kind, part in trial.parts.items() if kind in ROW_KINDS}
    return names if "baseline" in names else {"loss": "unnamed"} | names


def _labels(names: Sequence[Mapping[str, str]]) -> list[str]:
    """Return the baseline or loss and miner of each row, with more parts where they are needed."""
    kinds: list[tuple[str, ...]] = [("baseline", "loss", "miner")] * len(names)

    def labels() -> list[str]:
        return [
            " + ".join(name[kind] for kind in chosen if kind in name)
            for name, chosen in zip(names, kinds, strict=True)
        ]

    for same in _alike(labels()):
        differing = [
            kind for kind in ("sampler", "backbone") if len({names[i].get(kind) for i in same}) > 1
        ]
        for i in same:
            kinds[i] = (*kinds[i], *differing)
    return labels()


def _alike(values: Sequence[Any]) -> list[list[int]]:
    """Return the indices of each value that occurs more than once."""
    places: dict[Any, list[int]] = {}
    for place, value in enumerate(values):
        places.setdefault(value, []).append(place)
    return [group for group in places.values() if len(group) > 1]
