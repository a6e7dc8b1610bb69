"""Whether the epochs of a record are those of its protocol, and the one that counts is selected."""

from collections.abc import Iterator, Mapping

from dmlbench.schemas.record import Epoch, Record

ROUNDING = 1e-6
"""Average precisions are kept as float32."""

_EPOCH_0_COULD_COUNT = 3
"""Up to these semantics the untrained network was a candidate as any other epoch."""


def epoch_faults(record: Record) -> Iterator[str]:
    """Yield what can't be true of the epochs of a finished record, by the rules of its time."""
    trial = record.trial
    last = 0 if "baseline" in trial.parts else trial.protocol.length.epochs
    if [epoch.epoch for epoch in record.epochs] != list(range(last + 1)):
        yield f"its epochs are not those from 0 to {last}"
        return
    choices = trial.protocol.validation
    validated = [epoch for epoch in record.epochs if epoch.validation]
    due = [epoch.epoch for epoch in record.epochs if choices.is_due(epoch.epoch, last)]
    if validated and (last == 0 or [epoch.epoch for epoch in validated] != due):
        yield "its validated epochs are not those that its protocol measures"
        return
    selected = _best(validated, trial.semantics) if validated else last
    if record.selected_epoch != selected:
        yield f"epoch {record.selected_epoch} counts, by its validation it would be {selected}"
    retrains = bool(validated) and choices.then == "retrain-all"
    again = [(epoch.epoch, epoch.retraining) for epoch in record.retraining]
    if not retrains and again:
        yield "it has a retraining that its protocol does not ask for"
    if retrains and again != [(epoch, True) for epoch in range(selected + 1)]:
        yield f"its retraining is not of the epochs from 0 to {selected}"
    beats = record.details.get("beats_epoch_0")
    if validated and beats is not None and beats != (_score(validated) > _score(validated[:1])):
        yield "its validation says otherwise of whether epoch 0 was beaten"
    same = record.metrics.keys() == record.last_epoch_metrics.keys()
    is_last = retrains or selected == last
    if not same or (is_last and not _close_by_name(record.metrics, record.last_epoch_metrics)):
        yield "its last epoch's metrics are not those of its metrics"


def _best(validated: list[Epoch], semantics: int) -> int:
    """Return the epoch of the highest MAP@R on held-out classes, the first of equal ones."""
    candidates = validated if semantics <= _EPOCH_0_COULD_COUNT else validated[1:]
    return max(candidates, key=lambda epoch: epoch.validation.get("map_at_r", -1.0)).epoch


def _score(epochs: list[Epoch]) -> float:
    return max(epoch.validation.get("map_at_r", -1.0) for epoch in epochs)


def _close_by_name(first: Mapping[str, float], second: Mapping[str, float]) -> bool:
    return all(abs(first[name] - second[name]) <= ROUNDING for name in first)
