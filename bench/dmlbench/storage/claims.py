"""Claims on trials, so that runs that share a folder of records share the work.

    runs/.claims/<trial>/<owner>    one trial, held by one process
    runs/.claims/run-…/<owner>      a run that is under way, and notes of what failed meanwhile

A claim is a folder with one file in it. It is made elsewhere and moved into place, which fails if
a folder with a file is there: of many takers one wins. The file is named after its process and is
touched while that lives. A claim whose process is gone is broken by removing that very file: names
are never used twice, so nobody can break the claim of a successor. Both are single operations of
the file system, on a network's server too, where locks (flock) can't be relied on.

A claim saves work and guards nothing: records are written whole, and two of one trial are equal.
"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from dmlbench.errors import DataError
from dmlbench.storage.owners import Owner

FOLDER = ".claims"
_BEAT_SECONDS = 30.0
"""A holder touches its claim this often."""
_SILENCE_SECONDS = 300.0
"""A claim of another machine that was not touched for so long is stale. Clients of a network file
system may see a touch a minute late."""
_RUN = "run-"
_FAILED = "failed-"


@dataclass(frozen=True)
class Holder:
    """Who holds a claim.

    Attributes:
        path: the file that stands for the claim.
        owner: the process; None for a file that is not ours.
    """

    path: Path
    owner: Owner | None


class Claims:
    """The claims in a folder of records."""

    def __init__(self, records: Path) -> None:
        self.folder = records / FOLDER
        self._silent_since: dict[Path, tuple[int, float]] = {}

    def take(self, name: str, run: str = "") -> "Claim | None":
        """Return a claim on `name`, or None if somebody holds it.

        Args:
            name: of the claim, such as a trial's id.
            run: the run that the holder works for, if any.

        Raises:
            OSError: nothing can be written there.
        """
        owner = Owner.new()
        new, place = self.folder / f".{owner}", self.folder / name
        while True:
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                new.mkdir()
                break
            except FileNotFoundError:  # the last claim was given back, and the folder removed
                continue
        mine = place / str(owner)
        try:
            _create(new / str(owner), run)
            with suppress(OSError):  # it is held; or the answer of a network was lost
                os.rename(new, place)
            return Claim(mine) if mine.exists() else None
        finally:
            _remove_tree(new)

    def holder(self, name: str) -> Holder | None:
        """Return who holds `name`; it may be gone, see `is_stale`."""
        place = self.folder / name
        try:
            entries = sorted(os.listdir(place))
        except OSError:
            return None
        owned = [entry for entry in entries if not entry.startswith(_FAILED)]
        return Holder(place / owned[0], Owner.parse(owned[0])) if owned else None

    def is_stale(self, holder: Holder, now: float | None = None) -> bool:
        """Return whether a claim may be broken.

        On this machine that is so once its process is gone, and the run that it worked for, which
        would record why. On another, once this object has seen no sign of life for minutes: that
        compares no clocks, so that none can be wrong.

        Args:
            holder: whose claim it is.
            now: the file server's time, to judge another machine's claim at first sight.
        """
        owner = holder.owner
        if owner is not None and owner.is_of_this_machine:
            return owner.is_gone and not self._is_under_way(_content(holder.path))
        try:
            touched = holder.path.stat().st_mtime_ns
        except OSError:
            return True
        if now is not None:
            return now - touched / 1e9 > _SILENCE_SECONDS
        now = time.monotonic()
        seen, since = self._silent_since.get(holder.path, (None, now))
        if seen != touched:
            since = now
        self._silent_since[holder.path] = (touched, since)
        return now - since > _SILENCE_SECONDS

    def break_claim(self, holder: Holder) -> None:
        """Remove a claim that is stale; one that a successor has taken stays."""
        place = holder.path if holder.path.parent == self.folder else holder.path.parent
        if place.name.startswith((_RUN, ".")):  # names that nobody else takes
            _remove_tree(place)
        else:
            with suppress(OSError):
                holder.path.unlink()
            _remove_empty(place)

    def lose(self, name: str, run: str) -> None:
        """Break the claim on the trial `name` that a worker of `run` held when it died."""
        holder = self.holder(name)
        if holder is not None and _content(holder.path) == run:
            self.break_claim(holder)

    def is_held(self, name: str) -> bool:
        """Return whether somebody alive holds `name`; break the claim if it is stale."""
        holder = self.holder(name)
        if holder is None:
            return False
        if self.is_stale(holder):
            self.break_claim(holder)
            return False
        return True

    def names(self) -> list[str]:
        """Return the names of all claims, those of runs and unfinished ones among them."""
        try:
            return sorted(os.listdir(self.folder))
        except OSError:
            return []

    def stale(self, now: float | None = None) -> list[Holder]:
        """Return the claims whose processes are gone; for `now`, see `is_stale`."""
        found = []
        for name in self.names():
            place = self.folder / name
            unfinished = Owner.parse(name.removeprefix("."))
            holder = Holder(place, unfinished) if unfinished else self.holder(name)
            if holder is None:
                found.append(Holder(place, None))
            elif self.is_stale(holder, now):
                found.append(holder)
        return found

    def remove_stale(self) -> None:
        """Remove what dead processes left, and the folder if nothing else is in it."""
        for holder in self.stale():
            self.break_claim(holder)
        _remove_empty(self.folder)

    @contextmanager
    def run(self) -> Iterator[str]:
        """Say that a run is under way; yield its name, or "" where claims can't be relied on."""
        name = f"{_RUN}{Owner.new().token}"
        try:
            self.remove_stale()
            claim, second = self.take(name), self.take(name)
        except OSError as error:
            raise DataError(
                f"Can't claim trials in {self.folder}: {error.strerror or error}. Choose another "
                "folder with --output, or free some space."
            ) from error
        try:
            if claim is None or second is not None:
                yield ""
                return
            with claim:
                for other in self._runs():
                    for failed in self._failures(other):
                        if failed.endswith(f"-{other}"):
                            self._note(name, failed)
                yield name
        finally:
            _remove_tree(self.folder / name)
            self.remove_stale()

    def tell_failure(self, name: str, run: str) -> None:
        """Tell all runs that are under way that the trial `name` failed in `run`."""
        for other in self._runs():
            self._note(other, f"{_FAILED}{name}-{run}")

    def has_failed(self, name: str, run: str) -> bool:
        """Return whether the trial `name` has failed since `run` began, or in a run beside it."""
        return any(failed.startswith(f"{_FAILED}{name}-") for failed in self._failures(run))

    def _runs(self) -> list[str]:
        return [name for name in self.names() if name.startswith(_RUN) and self.is_held(name)]

    def _failures(self, run: str) -> list[str]:
        try:
            return [name for name in os.listdir(self.folder / run) if name.startswith(_FAILED)]
        except OSError:
            return []

    def _note(self, run: str, failed: str) -> None:
        with suppress(OSError):  # it has ended meanwhile
            _create(self.folder / run / failed, "")

    def _is_under_way(self, run: str) -> bool:
        holder = self.holder(run) if run else None
        return holder is not None and not self.is_stale(holder)


class Claim:
    """A claim that this process holds. As a context it shows signs of life, and is given back."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._pid = os.getpid()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="claim", daemon=True)

    def __enter__(self) -> "Claim":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if os.getpid() != self._pid:  # a copy of the process, which holds nothing
            return
        self._over.set()
        self._thread.join()
        self.give_back()

    def give_back(self) -> None:
        """Remove the claim, if it was not broken meanwhile."""
        with suppress(OSError):
            self.path.unlink()
        _remove_empty(self.path.parent)

    def _beat(self) -> None:
        while not self._over.wait(_BEAT_SECONDS):
            with suppress(OSError):  # it was broken, or the network is away for a while
                os.utime(self.path)  # the file server's time, not ours


def _create(path: Path, content: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
    try:
        os.write(handle, content.encode())
    finally:
        os.close(handle)


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


def _remove_tree(folder: Path) -> None:
    """Remove a folder that nobody else takes, with its files."""
    with suppress(OSError):
        for name in os.listdir(folder):
            (folder / name).unlink()
        folder.rmdir()


def _content(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")[:100]
    except OSError:
        return ""
