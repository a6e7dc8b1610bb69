"""Datasets with one fault each."""

import datasets
import numpy as np
from support.zoo import Patterns
from testing.faults import Faults

from dmlbench import Archive

FAULTS = Faults("dataset")
found_by = FAULTS.found_by


class Sound(Patterns):
    """A dataset without a fault."""

    paper = "tests"
    licence = "none"
    expected = {"train": (24, 4), "test": (24, 4)}

    def __init__(self):
        super().__init__()


class SoundAbsent(Sound):
    """A dataset without a fault that is not on this machine."""

    def missing(self, data_dir):
        return "put the patterns into --data-dir."


SOUND = [Sound, SoundAbsent]


@found_by("stated_facts_are_usable")
class UnknownProtocol(Sound):
    """Names a protocol that does not exist."""

    protocol = "huge"


@found_by("stated_facts_are_usable")
class RanksInDisorder(Sound):
    """Has unsorted ranks."""

    recall_at = (1, 8, 4)


@found_by("it_names_its_source_and_its_licence")
class NoLicence(Sound):
    """Does not say what may be done with it."""

    licence = ""


@found_by("its_archives_can_be_told_from_others")
class WrongHash(Sound):
    """Has half a hash."""

    archives = (Archive("patterns.tar", md5="0123456789abcdef"),)


@found_by("its_archives_can_be_told_from_others")
class ArchiveElsewhere(Sound):
    """Names a path instead of a file."""

    archives = (Archive("../patterns.tar", md5="0" * 32),)


@found_by("its_archives_can_be_told_from_others")
class NoHash(Sound):
    """Takes any file of that name."""

    archives = (Archive("patterns.tar"),)


@found_by("missing_says_how_to_get_the_data")
class MissingWithoutAWord(Sound):
    """Does not say how to get it."""

    def missing(self, data_dir):
        return ""


@found_by("missing_says_how_to_get_the_data")
class NotShipped(SoundAbsent):
    """Claims to be embedded, but is not."""

    embedded = True


@found_by("its_splits_hold_what_it_promises")
class NotWhole(Sound):
    """Has fewer items than it says."""

    expected = {"train": (25, 4), "test": (24, 4)}


@found_by("its_splits_hold_what_it_promises")
class SharedClasses(Sound):
    """Learns from the classes that it retrieves."""

    def load(self, data_dir):
        splits = super().load(data_dir)
        return {"train": splits["train"], "test": splits["train"]}


@found_by("its_splits_hold_what_it_promises")
class PlainLabels(Sound):
    """Has labels without names."""

    def load(self, data_dir):
        splits = super().load(data_dir)
        plain = datasets.Value("int64")
        return {name: split.cast_column("label", plain) for name, split in splits.items()}


@found_by("its_splits_hold_what_it_promises")
class NoTest(Sound):
    """Has one split."""

    def load(self, data_dir):
        return {"train": super().load(data_dir)["train"]}


@found_by("its_splits_hold_what_it_promises")
class Failing(Sound):
    """Has a reader with a bug."""

    def load(self, data_dir):
        raise KeyError("patterns")


@found_by("it_says_how_many_items_to_expect")
class Uncounted(Sound):
    """Does not state how many items it has."""

    expected = {}


@found_by("it_loads_the_same_data_each_time")
class Shuffled(Sound):
    """Comes in a different order each time."""

    def load(self, data_dir):
        splits = super().load(data_dir)
        order = np.random.default_rng().permutation(24)
        return {name: split.select(order) for name, split in splits.items()}


@found_by("the_surroundings_stay_as_they_were")
class SetsASeed(Sound):
    """Seeds NumPy for the whole process."""

    def load(self, data_dir):
        np.random.seed(1)
        return super().load(data_dir)
