"""What a trial will take, from a few of its steps: no figure is measured, and nothing is kept."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch

from dmlbench.components.workplace import Workplace
from dmlbench.compute.determinism import SPLIT_STREAM, repeatable
from dmlbench.compute.memory import peaks
from dmlbench.compute.phases import Listener, heard_by
from dmlbench.data.items import Data, Items
from dmlbench.data.photos.decoding import PhotoFormat
from dmlbench.data.splits import hold_out_classes
from dmlbench.errors import TrialError, TrialStoppedError
from dmlbench.schemas.protocol import Length
from dmlbench.schemas.trial import Trial, canonical_json
from dmlbench.training.embedder import embed
from dmlbench.training.frozen_features import Extractor
from dmlbench.training.learner_state import Embed
from dmlbench.training.session import Session
from dmlbench.training.workload import workload
from dmlbench.trials.cross_validation import FOLDS
from dmlbench.trials.figures import score
from dmlbench.trials.run_trial import learn, load_once

_STEPS = 6
"""Of each of two epochs. The first of each also holds what the start of an epoch takes."""
_LONGEST_SECONDS = 20.0
"""Of training, after at least two steps."""
_SAMPLE = 256
"""Items that are embedded for the time: a batch, or several small ones."""
_SEARCHED = 1000
"""Items that search each other for the time, which grows with the square of their number."""


def probe(trial: Trial, workplace: Workplace) -> dict[str, float]:
    """Return what `trial` will take, as the measurements of a record name it.

    It trains for a few steps, embeds a few items and searches among made-up embeddings, and counts
    how often the whole trial does each. Of a frozen backbone, a few features are computed, and
    training starts from random ones. A baseline is fitted in full.

    Raises:
        DmlbenchError: as the trial would.
    """
    watch = _Watch(workplace.device)
    with repeatable(workplace.device), peaks(workplace.device) as most:
        located = trial.dataset.located()
        asked = (located.reference, canonical_json(located.settings))
        began = watch.read()
        dataset, data = load_once(workplace, *asked, PhotoFormat.of(trial.protocol))
        once = watch.read() - began
        if trial.protocol.frozen:
            data, features = _random_features(trial, workplace, data, watch)
            once += features
        if dataset.evaluation == "cross-validation":
            seconds = _of_folds(trial, workplace, data.splits["all"], watch)
        else:
            seconds = _of_retrieval(trial, workplace, data, dataset.recall_at, watch)
    total = seconds + once
    return {"seconds": total, "cpu_seconds": total, "load_seconds": once, **most}


class _Watch:
    """Reads the time that counts: of the processor on a CPU, of the clock elsewhere."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def read(self) -> float:
        if self._device.type == "cpu":
            return time.process_time()
        torch.cuda.synchronize(self._device)
        return time.perf_counter()

    def seconds(self, act: Callable[[], object]) -> float:
        """Return what `act` takes the second time: the first one also sets things up."""
        act()
        began = self.read()
        act()
        return self.read() - began


class _StepTimes(Session):
    """Notes when each step ends, and ends a training that takes too long."""

    def __init__(self, watch: _Watch) -> None:
        super().__init__()
        self._watch = watch
        self.ends: list[float] = []

    def pause(self) -> None:
        """Note the time.

        Raises:
            TrialStoppedError: there was time for two steps, and no more.
        """
        self.ends.append(self._watch.read())
        if len(self.ends) > 1 and self.ends[-1] - self.ends[0] > _LONGEST_SECONDS:
            raise TrialStoppedError


@dataclass
class _Training:
    """What parts of a training take, in seconds."""

    begin: float = 0.0
    epoch: float = 0.0
    """At its start: what a loss or a sampler does with all items."""
    step: float = 0.0
    embed: Embed | None = field(default=None)


def _of_retrieval(
    trial: Trial, workplace: Workplace, data: Data, recall_at: tuple[int, ...], watch: _Watch
) -> float:
    training = data.splits["train"]
    tested = [items for name, items in data.splits.items() if name != "train"]
    choices, length = trial.protocol.validation, trial.protocol.length
    held_out = None
    if "loss" in trial.parts:
        rng = np.random.default_rng((trial.seed, SPLIT_STREAM))
        learning, held_out = hold_out_classes(
            training, choices.class_fraction, choices.min_classes, rng
        )
        found = _train(trial, workplace, learning, watch)
    else:
        learning, found = training, _fit(trial, workplace, training, watch)
    embedding = _embedding(found, tested[0], watch)
    search = _search(trial, tested[0], recall_at, watch)
    seconds = found.begin + sum(map(len, tested)) * embedding
    seconds += len(tested[0]) * sum(map(len, tested[-1:])) * search
    planned = workload(trial.protocol, data)
    if "baseline" in trial.parts or planned is None:
        return seconds + 2 * min(500, len(tested[0])) * embedding  # mean distances, measured once
    steps = length.epochs * length.steps(len(learning), trial.protocol.batch_size)
    again = planned.learnt / (steps * trial.protocol.batch_size)  # more than 1 if it retrains
    seconds += again * (steps * found.step + length.epochs * found.epoch)
    due = sum(choices.is_due(epoch, length.epochs) for epoch in range(length.epochs + 1))
    validated = 0 if held_out is None else len(held_out)
    return seconds + planned.measured * embedding + due * validated**2 * search


def _of_folds(trial: Trial, workplace: Workplace, items: Items, watch: _Watch) -> float:
    size = len(items) * (FOLDS - 1) // FOLDS
    learning = items[np.linspace(0, len(items) - 1, size).astype(int)]  # of all classes
    if "baseline" in trial.parts:
        found, epochs = _fit(trial, workplace, learning, watch), 0
    else:
        found, epochs = _train(trial, workplace, learning, watch), trial.protocol.length.epochs
    steps = trial.protocol.length.steps(size, trial.protocol.batch_size)
    embedded = (epochs + 2) * len(items) * _embedding(found, items, watch)
    return FOLDS * (found.begin + epochs * (found.epoch + steps * found.step) + embedded)


def _train(trial: Trial, workplace: Workplace, items: Items, watch: _Watch) -> _Training:
    """Train for two short epochs, and return what the parts of the second one take."""
    short = Length(epochs=2, steps_per_epoch=_STEPS)
    trial = trial.model_copy(
        update={"protocol": trial.protocol.model_copy(update={"length": short})}
    )
    session, began, over = _StepTimes(watch), watch.read(), 0.0
    states = learn(trial, workplace, items, session)
    state = next(states)
    found = _Training(begin=watch.read() - began, embed=state.embed)
    with suppress(TrialStoppedError), heard_by(_impatient(watch)):
        for _ in range(2):  # the first epoch also sets things up, which matters if steps are short
            session.ends, over = [], watch.read()
            next(states)
    ends = session.ends
    found.step = (ends[-1] - ends[0]) / (len(ends) - 1)
    found.epoch = max(0.0, ends[0] - over - found.step)
    return found


def _impatient(watch: _Watch) -> Listener:
    """Return what ends a training that embeds very many items before its first step."""
    began = watch.read()

    def listen(phase: str, done: int, total: int, unit: str) -> None:
        if unit == "items" and watch.read() - began > 3 * _LONGEST_SECONDS:
            raise TrialError(
                f"Each of its epochs starts by embedding {total:,} items, which takes too long to "
                "be timed."
            )

    return listen


def _fit(trial: Trial, workplace: Workplace, items: Items, watch: _Watch) -> _Training:
    began = watch.read()
    state = next(learn(trial, workplace, items))
    return _Training(begin=watch.read() - began, embed=state.embed)


def _embedding(found: _Training, items: Items, watch: _Watch) -> float:
    """Return the seconds to embed one item."""
    some = items[np.arange(min(_SAMPLE, len(items)))]
    assert found.embed is not None
    embed_items = found.embed
    return watch.seconds(lambda: embed_items(some)) / len(some)


def _search(trial: Trial, items: Items, recall_at: tuple[int, ...], watch: _Watch) -> float:
    """Return the seconds of a search among test items, for one query and one item of a gallery."""
    some = items[np.arange(min(_SEARCHED, len(items)))]
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((len(some), trial.protocol.embedding_dim), dtype=np.float32)
    search = partial(score, [some], [rows], recall_at, precision=trial.protocol.precision)
    return watch.seconds(search) / len(some) ** 2


def _random_features(
    trial: Trial, workplace: Workplace, data: Data, watch: _Watch
) -> tuple[Data, float]:
    """Return random features in place of the images, and the seconds to compute those of all."""
    part = trial.parts["backbone"]
    extractor = Extractor(workplace.make("backbone", part), part, trial.protocol, workplace.device)
    network, width = extractor.network(data)
    items = next(iter(data.splits.values()))
    some = items[np.arange(min(_SAMPLE, len(items)))]
    began = watch.read()
    embed(network, some, workplace.device)
    once = (watch.read() - began) / len(some) * sum(map(len, data.splits.values()))
    rng = np.random.default_rng(0)
    splits = {
        name: replace(items, inputs=rng.standard_normal((len(items), width), dtype=np.float32))
        for name, items in data.splits.items()
    }
    return replace(data, splits=splits), once
