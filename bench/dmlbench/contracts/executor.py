"""What an executor is told, and what it reports."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dmlbench.schemas.record import Epoch, Record
from dmlbench.schemas.trial import Trial


@dataclass(frozen=True)
class Event:
    """Something that happened to a trial."""

    kind: Literal["started", "epoch", "finished"]
    trial: Trial
    epoch: Epoch | None = None
    record: Record | None = None


@dataclass(frozen=True)
class WorkerSettings:
    """What an executor's workers need to know; small enough to be sent to them."""

    records: Path
    """Folder that finished records are written to."""
    data_dir: Path | None = None
    device: str = "auto"
    """The one device of all workers, however many GPUs there are."""
    cache_dir: Path | None = None
    keep_embeddings: bool = False
    """Whether the test embeddings are written beside each record."""
    metrics: tuple[str, ...] = ()
    """Names of metrics to compute besides those of every trial of retrieval."""
