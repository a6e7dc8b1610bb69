"""``dmlbench data prepare``: from the archives that a user has to a folder that loads."""

import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dmlbench.contracts.components import Dataset
from dmlbench.data.prepare.archive_members import is_packed
from dmlbench.data.prepare.checksums import Progress, find_archive, has_checksum, mismatch, names
from dmlbench.data.prepare.unpack import copy, unpack, writing
from dmlbench.errors import ConfigError, DataError, guarded
from dmlbench.reading import check_regular, parse_json, read_text
from dmlbench.storage.locks import exclusive

RECORD = "prepared.json"
"""The file in the set's folder that says what it was made from."""


@dataclass(frozen=True)
class Preparation:
    """What to prepare, and how strict to be.

    Attributes:
        name: of the dataset, and of its folder within the data folder.
        dataset: an instance of the plugin; what it loads must be complete.
        data_dir: the data folder.
        sources: archives, or folders with archives or with the unpacked set; if there are none, the
            archives in the data folder.
        allow_unverified: accept archives that are not known to be the official ones.
        say: called with what the user must know.
        progress: called as the work goes on.
    """

    name: str
    dataset: Dataset
    data_dir: Path
    sources: tuple[Path, ...]
    allow_unverified: bool
    say: Callable[[str], None]
    progress: Progress

    def run(self) -> Path:
        """Return the set's folder, ready to load.

        The work is done in a folder next to it, which is renamed once all is well; what a killed
        process left there is removed by the next.

        Raises:
            DataError: an archive or a folder is not what it should be, or can't be written.
            ConfigError: there is nothing to prepare.
        """
        target, partial = (self.data_dir / name for name in (self.name, f"{self.name}.partial"))
        new = partial / self.name
        lock = self.data_dir / f".{self.name}.lock"
        with exclusive(lock, lambda owner: self.say(f"Waiting for {owner or 'another process'}.")):
            if self._is_ready():
                self.say(f"{self.name} is ready in {target}.")
                return target
            if target.exists() and not (target.is_dir() and not any(target.iterdir())):
                self._check(target, f"{target} exists already; remove or repair it. ")
            sources = self._find_sources()
            verified = self._verify_all(sources)
            try:
                shutil.rmtree(partial, ignore_errors=True)
                with writing(new):
                    new.mkdir(parents=True)
                for path in sources:
                    put = unpack if path.is_file() and is_packed(path) else copy
                    put(path, new, self.progress)
                record = {"dataset": self.name, "sources": verified}
                with writing(target):
                    (new / RECORD).write_text(json.dumps(record, indent=1) + "\n")
                self._check(partial, "")
                with writing(target):
                    os.sync()  # else a power cut could leave a folder of empty files
                    with suppress(FileNotFoundError):
                        target.rmdir()
                    new.rename(target)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
        self.say(f"{self.name} is ready in {target}.")
        return target

    def _find_sources(self) -> list[Path]:
        """Return the archives to unpack; a folder without any must be the unpacked set.

        Raises:
            ConfigError: there are none, or a path that can't be one.
            DataError: a folder has neither archives nor the set.
        """
        found: list[Path] = []
        for source in self.sources or (self.data_dir,):
            if not source.exists():
                raise ConfigError(f"--from {source}: there is no such file or folder.")
            found += self._archives_in(source) or ([source] if self.sources else [])
        if not found:
            needed = ", ".join(archive.name for archive in self.dataset.archives)
            raise ConfigError(f"Say where its archives are (--from PATH): {needed}.")
        found = list({path.resolve(): path for path in found}.values())
        for path in filter(Path.is_dir, found):
            if self.data_dir.resolve().is_relative_to(path.resolve()):
                raise ConfigError(
                    f"--from {path} contains the data folder itself: choose a folder that does not."
                )
            self._check(
                path, f"--from {path}: it contains no archive of {self.name}, nor the set. "
            )
        return found

    def _archives_in(self, folder: Path) -> list[Path]:
        """Return the archives in a folder, unless the unpacked set is there.

        Label files that are distributed separately are then next to the images, and no archives.
        """
        known = [folder / name for archive in self.dataset.archives for name in names(archive)]
        found = [path for path in known if path.is_file()]
        return found if any(map(is_packed, found)) or not any(map(is_packed, known)) else []

    def _verify_all(self, sources: list[Path]) -> list[dict[str, Any]]:
        """Return what is known about the sources, for the record.

        Raises:
            DataError: some are not the official ones, and only those are allowed.
        """
        known, wrong = [], []
        for path in sources:
            try:
                known.append(self._verify(path))
            except DataError as error:
                wrong.append(error)
        DataError.raise_all(wrong)
        return known

    def _verify(self, path: Path) -> dict[str, Any]:
        """Return what is known about a source, for the record.

        Raises:
            DataError: it is not the official one, and only that is allowed.
        """
        if path.is_dir():
            self.say(f"{path} is a folder: without a checksum, only layout and counts are checked.")
            return {"name": path.name, "verified": False}
        check_regular(path)
        archive = find_archive(path, self.dataset.archives)
        wrong = "no official file has its name."
        if archive is not None:
            wrong = mismatch(path, archive, self.progress) or ""
        if archive is not None and not wrong and not has_checksum(archive):
            self.say(
                f"No checksum of {path.name} is known: only its layout and counts are checked."
            )
        if wrong and not self.allow_unverified:
            raise DataError(
                f"{path} is not the official archive of {self.name}: {wrong} To use it all "
                "the same, add --allow-unverified: then only its layout and counts are checked."
            )
        if wrong:
            self.say(f"WARNING: UNVERIFIED: {path}: {wrong} Results may not be comparable.")
        verified = archive is not None and not wrong and has_checksum(archive)
        return {"name": path.name, "size": path.stat().st_size, "verified": verified}

    def _is_ready(self) -> bool:
        try:
            self._check(self.data_dir, "")
        except DataError:
            return False
        return True

    def _check(self, folder: Path, prefix: str) -> None:
        """Check that the set is loaded from `folder` itself, and not, say, from the hub."""
        try:
            with guarded(f"The dataset {self.name!r}"):
                if reason := self.dataset.missing(folder):
                    raise DataError(reason)
                tables = self.dataset.load(folder)
            if not all(_lies_within(table, folder) for table in tables.values()):
                raise DataError(f"{folder} does not contain it.")
        except DataError as error:
            unpacked = os.path.join(f"{self.name}.partial", self.name)
            reason = str(error).replace(unpacked, f"{self.name} (as unpacked)")
            raise DataError(prefix + reason) from error


def unverified(folder: Path) -> list[str]:
    """Return the sources of the prepared set in a folder that are not known to be official."""
    try:
        record = parse_json(read_text(folder / RECORD))
        return [str(source["name"]) for source in record["sources"] if not source["verified"]]
    except (DataError, ValueError, KeyError, TypeError):
        return []


def _lies_within(table: Any, folder: Path) -> bool:
    from datasets import Image

    if not isinstance(table.features.get("image"), Image) or not len(table):
        return True
    first = table.cast_column("image", Image(decode=False))[0]["image"]
    return first["path"] is not None and Path(first["path"]).is_relative_to(folder)
