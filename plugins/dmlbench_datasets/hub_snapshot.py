"""A dataset repository of the Hugging Face hub, at one pinned revision.

The files are fetched by revision to the hub's own cache and read from there. (`load_dataset` with a
repository's name falls back on whichever revision was used last when the hub can't be reached.)
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from dmlbench import ConfigError, DataError

if TYPE_CHECKING:
    import datasets

PATTERNS = {half: f"data/{half}-*.parquet" for half in ("train", "test")}
SECONDS = 5.0
"""How long the hub may take to answer before it counts as out of reach."""


def parse(text: str) -> tuple[str, str]:
    """Return repository and revision of ``OWNER/NAME@REVISION``.

    Raises:
        ConfigError: it is not of that form; a branch or a tag may move, and so is refused.
    """
    match = re.fullmatch(r"([\w.-]+/[\w.-]+)@([0-9a-f]{40})", text)
    if match is None:
        raise ConfigError(
            f"hub={text!r} is not of the form OWNER/NAME@REVISION, with all 40 digits of the "
            "revision: a branch or a tag may move, and then figures could not be made again."
        )
    return match[1], match[2]


def command(repository: str, revision: str, patterns: Mapping[str, str] = PATTERNS) -> str:
    """Return the command that fetches the halves to the hub's cache."""
    included = " ".join(f"--include '{pattern}'" for pattern in patterns.values())
    return f"hf download {repository} --repo-type dataset --revision {revision} {included}"


def cached(repository: str, revision: str, patterns: Mapping[str, str] = PATTERNS) -> bool:
    """Return whether all files of that revision lie on this machine; uses no network."""
    from huggingface_hub import constants

    owner, name = repository.split("/")
    folder = Path(constants.HF_HUB_CACHE) / f"datasets--{owner}--{name}" / "snapshots" / revision
    return all(_is_complete(folder, pattern) for pattern in patterns.values())


def read(
    repository: str,
    revision: str,
    patterns: Mapping[str, str] = PATTERNS,
    otherwise: str = "use the official files",
) -> dict[str, "datasets.Dataset"]:
    """Return the official halves, ``train`` and ``test``, with the repository's columns.

    The network is used only if the hub's cache lacks some of the files.

    Args:
        repository: its name, ``OWNER/NAME``.
        revision: all 40 digits.
        patterns: of the names of each half's files.
        otherwise: the alternative that an error suggests.

    Raises:
        DataError: the hub can't be reached, or has no such revision or files.
    """
    from datasets import load_dataset
    from datasets.exceptions import DatasetsError
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    here = cached(repository, revision, patterns)
    if not here:
        _check_reachable(repository, revision, otherwise)
    try:
        folder = snapshot_download(
            repository,
            repo_type="dataset",
            revision=revision,
            allow_patterns=list(patterns.values()),
            local_files_only=here,
        )
        for pattern in patterns.values():
            if not _is_complete(Path(folder), pattern):
                raise DataError(f"{repository} at {revision} has not all files {pattern}.")
        files = {half: str(Path(folder, pattern)) for half, pattern in patterns.items()}
        return dict(load_dataset("parquet", data_files=files))
    except (OSError, ValueError, DatasetsError, HFValidationError, HfHubHTTPError) as error:
        raise _failed(repository, revision, error, otherwise) from error


def _check_reachable(repository: str, revision: str, otherwise: str) -> None:
    """Ask the hub for the revision, once: a download would retry for half a minute.

    Raises:
        DataError: it does not answer, or has no such revision.
    """
    from huggingface_hub import HfApi

    try:
        HfApi().dataset_info(repository, revision=revision, timeout=SECONDS)
    except Exception as error:  # errors differ from version to version of the client
        raise _failed(repository, revision, error, otherwise) from error


def _failed(repository: str, revision: str, error: Exception, otherwise: str) -> DataError:
    sentence = str(error).strip().partition("\n")[0].partition(". ")[0]
    reason = sentence.rstrip(".") or type(error).__name__
    return DataError(
        f"Can't get {repository} at {revision} from the Hugging Face hub ({reason}): go online, "
        f"or {otherwise}."
    )


def _is_complete(folder: Path, pattern: str) -> bool:
    """Return whether all files of a half are there; each name tells how many there are."""
    names = [path.name for path in folder.glob(pattern)]
    return bool(names) and all(name.endswith(f"-of-{len(names):05d}.parquet") for name in names)
