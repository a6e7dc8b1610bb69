"""Records: what a trial leaves behind."""

import base64
import json
import zlib
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, field_validator

from dmlbench.errors import DataError, shortened
from dmlbench.schemas.added import Added
from dmlbench.schemas.base import Schema
from dmlbench.schemas.private_paths import without_home
from dmlbench.schemas.trial import Trial

_MOST_BYTES = 1 << 28
"""Limit for an unpacked array: a stranger's file may expand a thousandfold with zlib."""

_MOST_REASON = 4_000
"""Characters of a reason: an exception's text may have millions."""

_LEVEL = 7
"""Of zlib's compression: at 9, text is 5 % shorter, and packing takes seven times as long."""

_USUAL: dict[str, Any] = {"chunk": "none", "devices": 1}
"""Settings that are recorded only where they are not as usual, and what that is."""

MetricValue = Annotated[float, Field(ge=-1e100, le=1e100)]
"""No metric comes near these bounds, and their squares are still finite."""


class Array(Schema):
    """A small array as text: zlib-compressed little-endian bytes in base64."""

    dtype: str
    data: str

    @classmethod
    def pack(cls, values: np.ndarray) -> "Array":
        """Return `values` ``[N]`` as text."""
        little = values.astype(values.dtype.newbyteorder("<"))
        text = base64.b64encode(zlib.compress(little.tobytes(), _LEVEL)).decode()
        return cls(dtype=little.dtype.str, data=text)

    def unpack(self) -> np.ndarray:
        """Return the array ``[N]``.

        Raises:
            DataError: the text is damaged.
        """
        try:
            packed = base64.b64decode(self.data, validate=True)
            unpacking = zlib.decompressobj()
            raw = unpacking.decompress(packed, _MOST_BYTES)
            if unpacking.unconsumed_tail:
                raise ValueError(f"it holds more than {_MOST_BYTES >> 20} MiB")
            if not unpacking.eof:
                raise ValueError("it is cut off")
            return np.frombuffer(raw, dtype=np.dtype(self.dtype))
        except (ValueError, TypeError, zlib.error) as error:
            raise DataError(f"A per-query array is damaged: {error}") from error


class Distances(Schema):
    """Mean cosine distances (1 - cosine similarity) over all pairs of a split."""

    positive: float
    negative: float


class Epoch(Schema):
    """What was measured after an epoch; epoch 0 is the untrained network."""

    epoch: int
    loss: float | None = None
    """Mean over the epoch's steps; None for epoch 0."""
    distances: dict[str, Distances] = {}
    """By split; empty at epochs that the protocol does not have measured."""
    validation: dict[str, float] = {}
    """Metrics on held-out classes, where there are any; empty as above."""
    retraining: bool = False
    """Whether it is of the network trained anew on all classes, see `Record.retraining`."""


class MetricFacts(Schema):
    """What tables need to know about a metric that is not dmlbench's own."""

    title: str
    higher_is_better: bool = True
    is_share: bool = True
    """Whether it lies in 0 to 1 and is shown in percent."""
    needs: list[str] = []
    """The arrays it was computed from; the record may not hold all of them."""
    distribution: str = ""
    """The package that offers it; empty for an import reference."""
    version: str = ""
    source: str = ""
    """Hash of its source code."""
    libraries: Annotated[dict[str, str], Added(before={})] = {}
    """As `Part.libraries`."""


class Record(Schema):
    """The outcome of one trial. All but `measurements` repeats to the bit on one platform."""

    schema_version: Literal[1] = 1
    """Raised when fields change their meaning."""
    id: str
    trial: Trial
    status: Literal["finished", "failed"]
    reason: str = ""
    """Why it failed."""
    metrics: dict[str, MetricValue] = {}
    """Test metrics of the selected epoch."""
    last_epoch_metrics: dict[str, MetricValue] = {}
    """The same of the last epoch; of a network trained anew, that is the selected one."""
    metric_facts: dict[str, MetricFacts] = {}
    """By key, for each metric that is not dmlbench's own."""
    selected_epoch: int | None = None
    selection: str = ""
    """How the epoch was selected."""
    epochs: list[Epoch] = []
    """Of the training in which the epoch was selected."""
    retraining: list[Epoch] = []
    """Of the network that was trained anew on all classes, up to the selected epoch, and tested;
    empty if the protocol has none."""
    per_query: dict[str, Array] = {}
    """By test item or query: ``class``, its place among the sorted classes; ``relevant``,
    ``best_rank``, ``hits``, ``average_precision``, or ``correct``."""
    collapsed: bool = False
    """The test embeddings of the selected or of the last epoch, or of a fold, differ by no more
    than the network's rounding; they score as if they were equal."""
    details: dict[str, Any] = {}
    """Facts of the row: parameters, reducer, items a baseline was fitted on."""
    settings: dict[str, Any] = {}
    """Device, precision, threads, determinism."""
    versions: dict[str, str] = {}
    measurements: dict[str, Any] = {}
    """Seconds, memory, host: what differs from run to run."""

    @field_validator("reason")
    @classmethod
    def _without_home(cls, reason: str) -> str:
        return without_home(shortened(reason, _MOST_REASON))

    @property
    def left_changed(self) -> list[str]:
        """Return what the trial left changed in its process, which then ran no other trial.

        It is part of `measurements`, as it can depend on what the process did before.
        """
        names = self.measurements.get("left_changed")
        return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []

    def setting(self, name: str) -> Any:
        """Return the value of one of the `settings`; None if the record doesn't tell."""
        return self.settings.get(name, _USUAL.get(name) if self.settings else None)

    @property
    def seconds(self) -> Any:
        """Return how long the trial took, or None if it doesn't tell.

        On a CPU that is processor time where it was measured: the clock also counts the time that
        other programs had the cores.
        """
        on_cpu = self.settings.get("device") == "cpu" and "cpu_seconds" in self.measurements
        return self.measurements.get("cpu_seconds" if on_cpu else "seconds")

    @property
    def is_retrieval(self) -> bool:
        """Return whether test items searched each other, or a gallery."""
        return "relevant" in self.per_query

    def to_json(self) -> str:
        """Return the record as JSON text, one line a field, keys sorted."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, indent=1, allow_nan=False)
