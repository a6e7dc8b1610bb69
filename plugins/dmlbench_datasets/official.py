"""Image sets as their authors distribute them: found in a folder, read, checked to be whole."""

import os
from abc import abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from dmlbench import DataError, Dataset
from dmlbench_datasets.image_sizes import is_resized_copy

if TYPE_CHECKING:
    import datasets


@dataclass(frozen=True)
class Listing:
    """What the label files of a set say, image by image.

    Attributes:
        paths: of the images ``[N]``, within the set's folder.
        labels: indices into `class_names` ``[N]``.
        splits: name of each image's split ``[N]``.
        class_names: of all classes.
        groups: super-class of each image ``[N]``, if the set has them.
        lacking: label files that are missing, without which the list is incomplete.

    Raises:
        DataError: an image is listed twice.
    """

    paths: Sequence[str]
    labels: Sequence[int]
    splits: Sequence[str]
    class_names: Sequence[str]
    groups: Sequence[int] | None = None
    lacking: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        twice = [path for path, count in Counter(self.paths).items() if count > 1]
        if twice:
            raise DataError(
                f"The label files list images twice, perhaps in two splits or classes: "
                f"{', '.join(twice)}. Put the official files in their place."
            )

    def within(self, split: str) -> list[int]:
        """Return the places of a split's images."""
        return [place for place, name in enumerate(self.splits) if name == split]


class OfficialSet(Dataset):
    """An image set as its authors distribute it, in the data folder or in a folder within it.

    With `partial`, the images that are there are enough: two classes in each split.
    """

    title: ClassVar[str]
    """What the field calls it."""
    folders: ClassVar[tuple[str, ...]]
    """Names of the set's folder: ours, which is that of the entry point, then the authors'."""
    needed: str = ""
    """Which archives make up the set, if not all do."""
    sizes_vary: ClassVar[bool] = True
    """Whether its images differ in size, so that a resized copy can be recognised."""

    def __init__(self, *, partial: bool = False) -> None:
        self.partial = partial
        self.whole = self.expected
        if partial:
            self.expected = {}

    @abstractmethod
    def absent(self, folder: Path) -> list[str]:
        """Return the names of what `folder` must hold, if it is the set's, and does not."""

    @abstractmethod
    def read(self, folder: Path) -> Listing:
        """Return what the label files in the set's folder say.

        Raises:
            DataError: one of them is damaged.
        """

    def missing(self, data_dir: Path | None) -> str | None:
        """Return None if the set is there and complete, else what to do about it."""
        try:
            folder = self.folder(data_dir)
            if folder is None:
                return self._advice(data_dir)
            self._check(folder, self.read(folder))
        except DataError as error:
            return str(error)
        return None

    def load(self, data_dir: Path | None) -> dict[str, "datasets.Dataset"]:
        """Return the splits; ``image`` holds paths, in the order of the official lists.

        Raises:
            DataError: the set is absent, damaged, or a part of it where `partial` is not set.
        """
        folder = self.folder(data_dir)
        if folder is None:
            raise DataError(self._advice(data_dir))
        listing = self.read(folder)
        there = self._check(folder, listing)
        return {
            split: self._split(folder, listing, [place for place in places if place in there])
            for split, places in self._places(listing).items()
        }

    def folder(self, data_dir: Path | None) -> Path | None:
        """Return the set's folder, or None if there is none.

        Raises:
            DataError: there is one, and its label files are not all in it.
        """
        if data_dir is None:
            return None
        ours, *theirs = (data_dir / name for name in self.folders)
        named = [ours, *(ours / folder.name for folder in theirs), *theirs]
        for folder in (data_dir, *named):
            if folder.is_dir() and not self.absent(folder):
                return folder
        if data_dir.name in self.folders:
            named.append(data_dir)
        begun = [folder for folder in named if folder.is_dir()]
        if begun:
            folder = min(begun, key=lambda folder: len(self.absent(folder)))
            raise DataError(
                f"{self.title} is incomplete in {folder}: {', '.join(self.absent(folder))} must "
                f"be there. {self._how_to_get()}"
            )
        return None

    def _advice(self, data_dir: Path | None) -> str:
        where = f"in {data_dir}" if data_dir else "here: name your data folder by --data-dir"
        return f"{self.title} is not {where}. {self._how_to_get()}"

    def _how_to_get(self) -> str:
        needed = self.needed or " and ".join(archive.name for archive in self.archives)
        return (
            f"With its archives at hand ({needed}), run: dmlbench data prepare {self.folders[0]}, "
            "with --from PATH for each. An unpacked folder may also be put into the data folder as "
            f"{self.folders[0]}/."
        )

    def _places(self, listing: Listing) -> dict[str, list[int]]:
        return {split: listing.within(split) for split in self.whole}

    def _check(self, folder: Path, listing: Listing) -> set[int]:
        """Return the places of the images that are there; all of them, unless `partial`."""
        files = [os.path.join(folder, path) for path in listing.paths]
        there = {place for place, file in enumerate(files) if os.path.isfile(file)}
        classes = {
            split: Counter(listing.labels[place] for place in places if place in there)
            for split, places in self._places(listing).items()
        }
        if self.partial:
            for split, sizes in classes.items():
                if len(sizes) < 2:
                    raise DataError(
                        f"{self.title} in {folder}: images of {len(sizes)} class(es) of the split "
                        f"{split} are there. Even of a part, each split needs 2 classes."
                    )
            return there
        found = {split: (sizes.total(), len(sizes)) for split, sizes in classes.items()}
        if len(there) < len(listing.paths) or found != {**self.whole}:
            raise DataError(self._not_whole(folder, listing, there, found))
        if self.sizes_vary and is_resized_copy(files):
            raise DataError(
                f"{self.title} in {folder} is a resized copy: its images are all of one size, the "
                "official ones are not. Use the official archive; or, where that will do, "
                "--allow-partial (dataset.partial=true), which tables say."
            )
        return there

    def _not_whole(
        self, folder: Path, listing: Listing, there: set[int], found: dict[str, tuple[int, int]]
    ) -> str:
        counts = "; ".join(
            f"{split} has {found[split][0]:,} images of {found[split][1]:,} classes, not "
            f"{items:,} of {classes:,}"
            for split, (items, classes) in self.whole.items()
            if found[split] != (items, classes)
        )
        gone = [path for place, path in enumerate(listing.paths) if place not in there]
        reasons = [f"{counts}." if counts else ""]
        if gone:
            more = f" and {len(gone) - 3:,} more" if len(gone) > 3 else ""
            reasons.append(f"Listed but absent: {', '.join(gone[:3])}{more}.")
        if listing.lacking:
            reasons.append(f"Also absent: {', '.join(listing.lacking)}.")
        return (
            f"{self.title} in {folder} is not whole: {' '.join(filter(None, reasons))} Fetch the "
            "rest. To work with a part of the set on purpose, add --allow-partial "
            "(dataset.partial=true): its tables say so and are apart from those of the whole set."
        )

    def _split(self, folder: Path, listing: Listing, places: list[int]) -> "datasets.Dataset":
        from datasets import ClassLabel, Dataset, Features, Image, Value

        features = {"image": Image(), "label": ClassLabel(names=list(listing.class_names))}
        columns: dict[str, list[object]] = {
            "image": [os.path.join(folder, listing.paths[place]) for place in places],
            "label": [listing.labels[place] for place in places],
        }
        if listing.groups is not None:
            features["group"] = Value("int64")
            columns["group"] = [listing.groups[place] for place in places]
        return Dataset.from_dict(columns, features=Features(features))
