"""What a dataset must say about itself, and what its splits must contain.

Every public function here is a check. Those that load the data are skipped where they are missing.
"""

import atexit
import re
from functools import lru_cache
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

from dmlbench.compute.process_state import require_untouched
from dmlbench.contracts.components import Dataset
from dmlbench.data.items import Data, load_data
from dmlbench.errors import ConfigError, DataError, PluginError
from dmlbench.schemas.protocol_file import load_protocol
from dmlbench.testing.findings import NotApplicableError, ShortcomingError
from dmlbench.testing.subject import Subject

_IMAGE_SIZE = 32


def stated_facts_are_usable(subject: Subject) -> None:
    """Its protocol exists, and its ranks for Recall@k are whole numbers in ascending order."""
    dataset = subject.make()
    try:
        load_protocol(dataset.protocol)
    except ConfigError as error:
        raise PluginError(f"It states protocol = {dataset.protocol!r}. {error}") from error
    ranks = dataset.recall_at
    if not ranks or list(ranks) != sorted(set(ranks)) or not all(_is_count(k) for k in ranks):
        raise PluginError(f"recall_at is {ranks!r}; it must be ascending ranks, such as (1, 2, 4).")
    for split, counts in dataset.expected.items():
        if len(counts) != 2 or not all(map(_is_count, counts)):
            raise PluginError(
                f"expected[{split!r}] is {counts!r}; it must be the numbers of items and classes."
            )


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 1


def it_names_its_source_and_its_licence(subject: Subject) -> None:
    """Tables show where data come from, and users need to know what they may do with them."""
    unstated = [name for name in ("paper", "licence") if not getattr(subject.component, name)]
    if unstated:
        raise ShortcomingError(
            f"It does not state {' and '.join(unstated)}, which tables show and users need: where "
            "it comes from, and what one may do with it."
        )


def its_archives_can_be_told_from_others(subject: Subject) -> None:
    """`dmlbench data prepare` recognises the files that its authors distribute by their hashes."""
    archives = subject.make().archives
    if not archives:
        raise NotApplicableError("It names no files that its authors distribute.")
    for archive in archives:
        for name, digits in (("md5", 32), ("sha256", 64)):
            value = getattr(archive, name)
            if value and not re.fullmatch(f"[0-9a-f]{{{digits}}}", value):
                raise PluginError(
                    f"The {name} of {archive.name} is {value!r}; it must be {digits} hexadecimal "
                    "digits in lower case, or empty."
                )
        if not archive.name or Path(archive.name).name != archive.name:
            raise PluginError(f"An archive is named {archive.name!r}; it must be a file's name.")
        if not (archive.md5 or archive.sha256):
            raise ShortcomingError(
                f"It states no hash of {archive.name}: a damaged file would go unnoticed. Add its "
                "sha256."
            )


def missing_says_how_to_get_the_data(subject: Subject) -> None:
    """`missing` returns None, or a sentence on how to get the data; embedded data ship."""
    with TemporaryDirectory() as folder:
        for data_dir in (None, Path(folder)):
            reason = subject.make().missing(data_dir)
            if reason is not None and (not isinstance(reason, str) or len(reason) < 10):
                raise PluginError(
                    f"missing returned {reason!r}; it must be None if the data are there, else a "
                    "sentence that says how to get them."
                )
            if subject.component.embedded and reason is not None:
                raise PluginError(
                    f"It states embedded = True, yet its data are missing: {reason} Ship them with "
                    "the package, or leave embedded out."
                )


def its_splits_hold_what_it_promises(subject: Subject) -> None:
    """Splits, columns, types, counts and classes are as the harness needs and `expected` states."""
    try:
        _load(subject)
    except DataError as error:
        raise PluginError(str(error)) from error


def it_says_how_many_items_to_expect(subject: Subject) -> None:
    """Stated counts are checked on load, so that an incomplete dataset is noticed."""
    data = _load_valid(subject)
    unstated = set(data.splits) - set(subject.make().expected)
    if unstated and subject.argument is None:
        counts = {name: (len(data.splits[name]), _classes(data, name)) for name in sorted(unstated)}
        raise ShortcomingError(
            f"It does not state how many items and classes to expect. Add expected = {counts}."
        )


def _classes(data: Data, split: str) -> int:
    return len(set(data.splits[split].labels.tolist()))


def it_loads_the_same_data_each_time(subject: Subject) -> None:
    """Items, labels and their order are fixed: trials are compared on them."""
    if _load_valid(subject).fingerprint != _load_valid(subject).fingerprint:
        raise PluginError(
            "Loaded twice, it has different items, or the same in another order. Sort the files of "
            "a folder, and fix the seed of a random split."
        )


def the_surroundings_stay_as_they_were(subject: Subject) -> None:
    """A dataset sets no seed, nor anything else that the whole process shares."""
    require_untouched(lambda: _load_valid(subject))


def _at_hand(subject: Subject) -> Dataset:
    """Return the dataset, if its data are on this machine."""
    dataset: Dataset = subject.make()
    if reason := dataset.missing(subject.data_dir):
        raise NotApplicableError(f"Its data are not on this machine: {reason}")
    return dataset


def _load(subject: Subject) -> Data:
    dataset = _at_hand(subject)
    try:
        return load_data(dataset, subject.data_dir, _IMAGE_SIZE, cache_dir=_cache())
    except PluginError as error:
        raise error.__cause__ or error from None  # what the dataset itself raised


@lru_cache
def _cache() -> Path:
    """Return a temporary folder for decoded photos, in place of the user's own cache."""
    folder = Path(mkdtemp(prefix="dmlbench-"))
    atexit.register(rmtree, folder, ignore_errors=True)
    return folder


def _load_valid(subject: Subject) -> Data:
    """Return the data if they are what the dataset promises, which another check verifies."""
    try:
        return _load(subject)
    except NotApplicableError:
        raise
    except Exception as error:
        raise NotApplicableError("Its splits are not what they should be.") from error
