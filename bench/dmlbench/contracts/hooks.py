"""Hooks: how plugins, the progress display and logs follow a run. They can't influence it.

Of runs that share the work, each calls its hooks for the trials that it runs itself.

A plugin registers a module or an object in the entry-point group ``dmlbench.hooks`` and marks its
functions with `hookimpl`.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from dmlbench.contracts.executor import Doing
    from dmlbench.schemas.plan import Plan
    from dmlbench.schemas.record import Record
    from dmlbench.schemas.trial import Trial

PROJECT = "dmlbench"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
STARTED, COLUMNS = "dmlbench_run_started", "dmlbench_leaderboard_columns"


class Specification:
    """The hooks, in the order in which a run calls them."""

    @hookspec
    def dmlbench_run_started(self, plan: "Plan") -> None:
        """Called once, before the first trial; `plan` also has the trials that are done already."""

    @hookspec
    def dmlbench_trial_started(self, trial: "Trial") -> None:
        """Called when a worker starts a trial."""

    @hookspec
    def dmlbench_epoch_finished(self, trial: "Trial", metrics: Mapping[str, Any]) -> None:
        """Called after each epoch; `metrics` is the record's entry for it.

        An epoch that the protocol does not have measured has a loss alone: ``distances`` and
        ``validation`` are empty. Where a network is trained anew on all classes, its epochs follow,
        from 0 again, with ``retraining`` true.
        """

    @hookspec
    def dmlbench_trial_progressed(self, trial: "Trial", doing: "Doing") -> None:
        """Called about once a second with what a trial is doing: ``training 340 of 3,000 steps``.

        Where trials run in the process of the run, nothing is told until they are over.
        """

    @hookspec
    def dmlbench_trial_finished(self, trial: "Trial", record: "Record") -> None:
        """Called when a trial's record, finished or failed, has been written."""

    @hookspec
    def dmlbench_run_finished(self, records: "Sequence[Record]") -> None:
        """Called once, after the last trial; `records` are in the order of the plan."""

    @hookspec
    def dmlbench_leaderboard_columns(self, records: "Sequence[Record]") -> Mapping[str, str]:  # type: ignore[empty-body]
        """Return extra columns, heading to text, or None, for the row of `records` (one a seed)."""
