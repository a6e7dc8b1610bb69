"""Revisions of the Hugging Face hub's models: what stands behind a name may change."""

from pathlib import Path

from dmlbench.errors import DataError

SECONDS = 5.0
"""How long the hub may take to answer before it counts as out of reach."""


def cached_revision(repository: str) -> str:
    """Return the revision of a model in the hub's local cache; empty if it isn't there."""
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"
    try:
        revision = (folder / "refs" / "main").read_text(encoding="utf-8").strip()
    except OSError:
        return ""
    return revision if revision and (folder / "snapshots" / revision).is_dir() else ""


def hub_revision(repository: str) -> str:
    """Return the revision of a model that is loaded under its name, ``OWNER/NAME``.

    It is that of the local cache. The network is asked only if the model isn't there.

    Raises:
        DataError: it isn't there, and the hub can't be reached or has no such model.
    """
    from huggingface_hub import HfApi

    if cached := cached_revision(repository):
        return cached
    try:
        revision = HfApi().model_info(repository, timeout=SECONDS).sha
    except Exception as error:  # each version of the client has errors of its own
        sentence = str(error).strip().partition("\n")[0].partition(". ")[0].rstrip(".")
        raise DataError(
            f"The revision of {repository} can't be told: it is not in the hub's local cache, and "
            f"the hub can't be asked ({sentence or type(error).__name__})."
        ) from error
    return revision or ""
