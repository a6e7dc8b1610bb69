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
from dmlbench.data.prepare.checksums import Progress, find_archive, is_known, mismatch
from dmlbench.data.prepare.unpack import copy, unpack, writing
from dmlbench.errors import ConfigError, DataError, guarded
from dmlbench.storage.locks import exclusive

RECORD = "prepared.json"
"""Says, in the set's folder, what it was made from."""


@dataclass(frozen=True)
class Preparation:
    """What to prepare, and how strict to be.

    Attributes:
        name: of the dataset, and of its folder within the data folder.
        dataset: the plugin's object; what it loads has to be whole.
        data_dir: the data folder.
        sources: archives, or a folder with them or with the set; none: those in the data folder.
        allow_unverified: take archives that are not known to be the official ones.
        say: is told what the user must know.
        progress: is told how far it is.
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

        Everything happens in a folder beside, which gets its name when all is well; what a process
        that was killed left there is cleared away by the next.

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
                self._check(target, f"{target} is there already; take it away, or mend it. ")
            sources = self._found()
            verified = [self._checked(path) for path in sources]
            try:
                shutil.rmtree(partial, ignore_errors=True)
                with writing(new):
                    new.mkdir(parents=True)
                for path in sources:
                    put = unpack if path.is_file() and is_packed(path) else copy
                    put(path, new, self.progress)
                self._check(partial, "")
                record = {"dataset": self.name, "sources": verified}
                with writing(target):
                    (new / RECORD).write_text(json.dumps(record, indent=1) + "\n")
                    os.sync()  # else a power cut could leave a folder of empty files
                    with suppress(FileNotFoundError):
                        target.rmdir()
                    new.rename(target)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
        self.say(f"{self.name} is ready in {target}.")
        return target

    def _found(self) -> list[Path]:
        """Return the archives among the sources; a folder with none of them stands for itself.

        Raises:
            ConfigError: there is none, or a folder that is not the set.
        """
        found: list[Path] = []
        for source in self.sources or (self.data_dir,):
            if not source.exists():
                raise ConfigError(f"--from {source}: there is no such file or folder.")
            found += self._archives_in(source) or ([source] if self.sources else [])
        if not found:
            names = ", ".join(archive.name for archive in self.dataset.archives)
            raise ConfigError(f"Say where its archives are (--from PATH): {names}.")
        found = list({path.resolve(): path for path in found}.values())
        for path in filter(Path.is_dir, found):
            if self.data_dir.resolve().is_relative_to(path.resolve()):
                raise ConfigError(
                    f"--from {path} holds the data folder itself: name a folder of its own."
                )
            self._check(
                path, f"--from {path}: no archive of {self.name} is in it, nor is the set. "
            )
        return found

    def _archives_in(self, folder: Path) -> list[Path]:
        """Return the archives in a folder, unless the set lies there unpacked.

        Label files that are distributed apart lie beside the images then too.
        """
        known = [folder / archive.name for archive in self.dataset.archives]
        found = [path for path in known if path.is_file()]
        return found if any(map(is_packed, found)) or not any(map(is_packed, known)) else []

    def _checked(self, path: Path) -> dict[str, Any]:
        """Return what is known of a source, for the record.

        Raises:
            DataError: it is not the official one, and only that would do.
        """
        if path.is_dir():
            self.say(
                f"{path} is a folder: its layout and counts are checked, there is no checksum."
            )
            return {"name": path.name, "verified": False}
        archive = find_archive(path, self.dataset.archives)
        wrong = "it is none of the official files by its name."
        if archive is not None:
            wrong = mismatch(path, archive, self.progress) or ""
        if archive is not None and not wrong and not is_known(archive):
            self.say(f"No checksum of {path.name} is known: its layout and counts are checked.")
        if wrong and not self.allow_unverified:
            raise DataError(
                f"{path} is not the official archive of {self.name}: {wrong} If you mean to use "
                "it, add --allow-unverified: then only its layout and counts are checked."
            )
        if wrong:
            self.say(f"WARNING: UNVERIFIED: {path}: {wrong} Figures may not be comparable.")
        verified = archive is not None and not wrong and is_known(archive)
        return {"name": path.name, "size": path.stat().st_size, "verified": verified}

    def _is_ready(self) -> bool:
        try:
            self._check(self.data_dir, "")
        except DataError:
            return False
        return True

    def _check(self, folder: Path, prefix: str) -> None:
        """Check that `folder` itself, and not the hub, say, holds the set."""
        try:
            with guarded(f"The dataset {self.name!r}"):
                if reason := self.dataset.missing(folder):
                    raise DataError(reason)
                tables = self.dataset.load(folder)
            if not all(_lies_within(table, folder) for table in tables.values()):
                raise DataError(f"{folder} does not hold it.")
        except DataError as error:
            unpacked = os.path.join(f"{self.name}.partial", self.name)
            reason = str(error).replace(unpacked, f"{self.name} (as unpacked)")
            raise DataError(prefix + reason) from error


def unverified(data_dir: Path, name: str) -> list[str]:
    """Return from which sources a prepared set was made that are not known to be official."""
    try:
        record = json.loads((data_dir / name / RECORD).read_text())
        return [str(source["name"]) for source in record["sources"] if not source["verified"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _lies_within(table: Any, folder: Path) -> bool:
    from datasets import Image

    if not isinstance(table.features.get("image"), Image) or not len(table):
        return True
    first = table.cast_column("image", Image(decode=False))[0]["image"]
    return first["path"] is not None and Path(first["path"]).is_relative_to(folder)
