"""Official sets that the Hugging Face hub has too, with other labels and columns than the files."""

from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from dmlbench import ConfigError, DataError
from dmlbench_datasets import hub_snapshot
from dmlbench_datasets.image_sizes import is_resized_copy
from dmlbench_datasets.official import Listing, OfficialSet

if TYPE_CHECKING:
    import datasets


class MirroredSet(OfficialSet):
    """An official set, from its files or from the hub at a pinned revision.

    `hub` names a repository of the hub and its revision, ``OWNER/NAME@REVISION``, and is then the
    only source. Without it files in the data folder come first, then the known mirror if any.
    """

    protocol = "resnet50-512"
    mirror: ClassVar[str] = ""
    """Repository and revision of the hub that hold the official images, as far as is known."""
    refused: ClassVar[Mapping[str, str]] = {}
    """Repositories that do not, and why."""

    def __init__(self, *, partial: bool = False, hub: str = "") -> None:
        super().__init__(partial=partial)
        self.hub = hub
        if hub and (repository := hub_snapshot.parse(hub)[0]) in self.refused:
            raise ConfigError(f"hub={hub}: {repository} {self.refused[repository]}.")

    @abstractmethod
    def read_mirror(self, halves: Mapping[str, "datasets.Dataset"]) -> Listing:
        """Return labels and splits of the images of the hub's halves, train before test.

        Raises:
            DataError: columns are not those expected.
        """

    def missing(self, data_dir: Path | None) -> str | None:
        """Return None if the files or the hub's set are here, complete; uses no network."""
        if self.hub:
            here = hub_snapshot.cached(*hub_snapshot.parse(self.hub))
            return None if here else f"{self.hub} is not on this machine; loading it fetches it."
        try:
            if self.mirror and self.folder(data_dir) is None:
                if hub_snapshot.cached(*hub_snapshot.parse(self.mirror)):
                    return None
                command = hub_snapshot.command(*hub_snapshot.parse(self.mirror))
                return f"{self._advice(data_dir)} Or fetch it from the Hugging Face hub: {command}"
        except DataError as error:
            return str(error)
        return super().missing(data_dir)

    def load(self, data_dir: Path | None) -> dict[str, "datasets.Dataset"]:
        """Return the splits; ``image`` holds paths, or encoded images if they come from the hub.

        Raises:
            DataError: the set is absent, damaged, or a part of it where `partial` is not set.
        """
        if not self.hub and (not self.mirror or self.folder(data_dir) is not None):
            return super().load(data_dir)
        source = self.hub or self.mirror
        halves = hub_snapshot.read(*hub_snapshot.parse(source))
        return self._from_mirror(source, halves)

    def _from_mirror(
        self, source: str, halves: Mapping[str, "datasets.Dataset"]
    ) -> dict[str, "datasets.Dataset"]:
        from datasets import ClassLabel, Dataset, Features, Image, Value, concatenate_datasets

        for half in halves.values():
            if not isinstance(half.features.get("image"), Image):
                raise DataError(f"{source} has no images in a column 'image'.")
        listing = self.read_mirror(halves)
        if not self.partial:
            self._check_mirror(source, listing, halves)
        features = {"label": ClassLabel(names=list(listing.class_names))}
        columns = {"label": list(listing.labels)}
        if listing.groups is not None:
            features["group"], columns["group"] = Value("int64"), list(listing.groups)
        images = concatenate_datasets([halves[half].select_columns("image") for half in halves])
        labels = Dataset.from_dict(columns, features=Features(features))
        table = concatenate_datasets([images, labels], axis=1)
        return {split: table.select(places) for split, places in self._places(listing).items()}

    def _check_mirror(
        self, source: str, listing: Listing, halves: Mapping[str, "datasets.Dataset"]
    ) -> None:
        for split, places in self._places(listing).items():
            sizes = Counter(listing.labels[place] for place in places)
            found, expected = (sizes.total(), len(sizes)), self.whole[split]
            if found != expected:
                raise DataError(
                    f"{source} is not {self.title}, whole: {split} has {found[0]:,} images of "
                    f"{found[1]:,} classes, not {expected[0]:,} of {expected[1]:,}."
                )
        from datasets import Image

        half = halves["test"].select_columns("image").cast_column("image", Image(decode=False))
        sample = range(0, len(half), max(1, len(half) // 64))
        if is_resized_copy([half[place]["image"]["bytes"] for place in sample]):
            raise DataError(f"{source} is a resized copy of {self.title}: all images are one size.")


def class_labels(
    halves: Mapping[str, "datasets.Dataset"], column: str, source: str
) -> tuple[list[int], list[str]]:
    """Return the labels of all images, train before test, and the class names in their order.

    Raises:
        DataError: the halves have no such column of class labels, or name classes differently.
    """
    from datasets import ClassLabel

    features = [half.features.get(column) for half in halves.values()]
    if not all(isinstance(one, ClassLabel) and one.names == features[0].names for one in features):
        raise DataError(f"The hub's copy of {source} has no class labels in a column {column!r}.")
    return [label for half in halves.values() for label in half[column]], list(features[0].names)
