"""A dataset repository of the Hugging Face hub, at one revision and no other.

The files are fetched by revision to the hub's own cache and read from there. (`load_dataset` with a
repository's name falls back on whichever revision was used last when the hub can't be reached.)
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from dmlbench import ConfigError, DataError

if TYPE_CHECKING:
    import datasets

PATTERNS = {half: f"data/{half}-*.parquet" for half in ("train", "test")}


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


def cached(repository: str, revision: str) -> bool:
    """Return whether all files of that revision lie on this machine; uses no network."""
    from huggingface_hub import constants

    owner, name = repository.split("/")
    folder = Path(constants.HF_HUB_CACHE) / f"datasets--{owner}--{name}" / "snapshots" / revision
    return all(_is_complete(folder, half) for half in PATTERNS)


def read(repository: str, revision: str) -> dict[str, "datasets.Dataset"]:
    """Return the official halves, ``train`` and ``test``, with the repository's columns.

    Raises:
        DataError: the hub can't be reached, or has no such revision or files.
    """
    from datasets import load_dataset
    from datasets.exceptions import DatasetsError
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        folder = snapshot_download(
            repository,
            repo_type="dataset",
            revision=revision,
            allow_patterns=list(PATTERNS.values()),
            local_files_only=cached(repository, revision),
        )
        for half, pattern in PATTERNS.items():
            if not _is_complete(Path(folder), half):
                raise DataError(f"{repository} at {revision} has not all files {pattern}.")
        files = {half: str(Path(folder, pattern)) for half, pattern in PATTERNS.items()}
        return dict(load_dataset("parquet", data_files=files))
    except (OSError, ValueError, DatasetsError, HFValidationError, HfHubHTTPError) as error:
        raise DataError(
            f"Can't get {repository} at {revision} from the Hugging Face hub: {error}. Go online, "
            "or use the official archive."
        ) from error


def _is_complete(folder: Path, half: str) -> bool:
    """Return whether all of a half's files are there; each name tells how many there are."""
    names = [path.name for path in folder.glob(PATTERNS[half])]
    return bool(names) and all(name.endswith(f"-of-{len(names):05d}.parquet") for name in names)
