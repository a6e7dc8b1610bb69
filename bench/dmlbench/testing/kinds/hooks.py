"""What a hook plugin has to make of a run.

Every public function here is a check.
"""

import inspect
from collections.abc import Mapping
from typing import Any

import pluggy

from dmlbench.contracts.executor import Doing
from dmlbench.contracts.hooks import PROJECT, Specification
from dmlbench.errors import PluginError
from dmlbench.schemas.plan import Plan
from dmlbench.schemas.record import Epoch, Record
from dmlbench.testing.findings import NotApplicableError, case
from dmlbench.testing.quick_trials import trial
from dmlbench.testing.subject import Subject

_COLUMNS = "dmlbench_leaderboard_columns"
_METRICS = {"recall@1": 0.5, "r_precision": 0.25, "map_at_r": 0.125}


def a_docstring_says_what_it_is(subject: Subject) -> None:
    """The first line of the docstring is what `dmlbench list hooks --long` shows."""
    if not (inspect.getdoc(subject.component) or "").strip():
        raise PluginError(
            f"{subject.name} has no docstring. Say in one line what it is: "
            "`dmlbench list hooks --long` shows that line."
        )


def it_follows_a_run(subject: Subject) -> None:
    """Its functions take whatever happens in a run: trials that finish, and one that fails."""
    hook = _manager(subject).hook
    plan = Plan((trial(0), trial(1)), left_out=("A sentence.",))
    records = [_finished(0), _failed(1)]
    hook.dmlbench_run_started(plan=plan)
    for record in records:
        with case(f"a trial that {record.status}"):
            hook.dmlbench_trial_started(trial=record.trial)
            doing = Doing("training", 1, 80, "steps")
            hook.dmlbench_trial_progressed(trial=record.trial, doing=doing)
            for number in range(2):
                loss = 0.5 if number else None
                epoch = Epoch(epoch=number, loss=loss).model_dump(mode="json")
                hook.dmlbench_epoch_finished(trial=record.trial, metrics=epoch)
            hook.dmlbench_trial_finished(trial=record.trial, record=record)
    hook.dmlbench_run_finished(records=records)
    with case("a run that was stopped before its first trial"):
        hook.dmlbench_run_finished(records=[])


def its_columns_are_texts(subject: Subject) -> None:
    """The columns of a row are a mapping from heading to text, also where seeds have failed."""
    hook = getattr(_manager(subject).hook, _COLUMNS)
    if not hook.get_hookimpls():
        raise NotApplicableError("It adds no columns.")
    for words, records in (
        ("two finished seeds", [_finished(0), _finished(1)]),
        ("a failed seed", [_finished(0), _failed(1)]),
        ("failed seeds only", [_failed(0)]),
    ):
        with case(words):
            for columns in hook(records=records):  # pluggy leaves None out
                if not isinstance(columns, Mapping):
                    raise PluginError(
                        f"It returned {columns!r}. Return a mapping from heading to text, or None."
                    )
                for heading, text in columns.items():
                    if not isinstance(heading, str) or not isinstance(text, str):
                        raise PluginError(
                            f"It returned {heading!r}: {text!r}. Heading and text must be str: "
                            "format numbers."
                        )


def _manager(subject: Subject) -> pluggy.PluginManager:
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(Specification)
    manager.register(subject.component)
    return manager


def _finished(seed: int) -> Record:
    facts: dict[str, Any] = {"metrics": _METRICS, "last_epoch_metrics": _METRICS}
    epochs = [Epoch(epoch=0), Epoch(epoch=1, loss=0.5)]
    return _record(seed, status="finished", epochs=epochs, selected_epoch=1, **facts)


def _failed(seed: int) -> Record:
    return _record(seed, status="failed", reason="The loss is NaN.")


def _record(seed: int, **facts: Any) -> Record:
    return Record(id=trial(seed).id, trial=trial(seed), settings={"device": "cpu"}, **facts)
