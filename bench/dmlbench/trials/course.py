"""One training, epoch by epoch: what is measured on the way, and which epoch is the best."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dmlbench.compute.phases import each_in_phase, phase
from dmlbench.data.items import Items
from dmlbench.retrieval import mean_distances
from dmlbench.schemas.protocol import Validation
from dmlbench.schemas.record import Distances, Epoch
from dmlbench.training.learner_state import Embed, State
from dmlbench.training.network import KeptNetwork
from dmlbench.training.session import UNSAVED, Session, loading
from dmlbench.training.workload import CURVE_ITEMS

_OF_A_CLASS = 5  # of them at most, where there are classes enough

OnEpoch = Callable[[Epoch], None]


@dataclass(frozen=True)
class Watch:
    """What is measured on the way, at the epochs that are due.

    Attributes:
        choices: which epochs are due.
        last: the last epoch of the training.
        curves: items whose mean distances are measured, by split.
        validate: returns the metrics of held-out classes; None if there are none.
        keeps_best: whether the network of the best epoch is kept until the training is over.
        is_retraining: whether this is the training on all classes after the epoch was selected.
    """

    choices: Validation
    last: int
    curves: Mapping[str, Items]
    validate: Callable[[Embed], dict[str, float]] | None = None
    keeps_best: bool = False
    is_retraining: bool = False

    def entry(self, state: State) -> Epoch:
        """Return the record's entry for an epoch: of one that is not due, its loss alone."""
        entry = Epoch(epoch=state.epoch, loss=state.loss, retraining=self.is_retraining)
        if not self.choices.is_due(state.epoch, self.last):
            return entry
        distances = {
            name: Distances(**mean_distances(state.embed(items), items.labels)._asdict())
            for name, items in self.curves.items()
        }
        validation = self.validate(state.embed) if self.validate else {}
        return entry.model_copy(update={"distances": distances, "validation": validation})


@dataclass(frozen=True)
class Best:
    """The best epoch so far, of those after which the network was validated."""

    epoch: int
    map_at_r: float
    embed: Embed | None
    """Embeds as the network did then, if that was kept."""


@dataclass
class Course:
    """A training so far: all that is known of the epochs that are over."""

    epochs: list[Epoch] = field(default_factory=list)
    best: Best | None = None
    """None without held-out classes. Epoch 0 is no candidate: it has learnt nothing."""

    def add(self, state: State, watch: Watch) -> Epoch:
        """Measure an epoch, and note whether it is the best; of equal ones the first is."""
        entry = watch.entry(state)
        self.epochs.append(entry)
        found = entry.validation.get("map_at_r")
        if found is not None and state.epoch > 0 and (not self.best or found > self.best.map_at_r):
            self.best = Best(state.epoch, found, _kept(state) if watch.keeps_best else None)
        return entry

    def saved(self) -> dict[str, Any]:
        """Return the course as a tree, for a checkpoint."""
        saved: dict[str, Any] = {"epochs": [entry.model_dump() for entry in self.epochs]}
        if self.best:
            kept = self.best.embed
            weights = kept.weights if isinstance(kept, KeptNetwork) else None
            saved |= {"best": (self.best.epoch, self.best.map_at_r, weights)}
        return saved

    def load(self, saved: Mapping[str, Any], state: State | None = None) -> None:
        """Become the course that another one saved.

        Args:
            saved: what its `saved` returned.
            state: any of the training; None if no network is asked for any more.
        """
        self.epochs[:] = (Epoch.model_validate(entry) for entry in saved["epochs"])
        if "best" in saved:
            epoch, map_at_r, weights = saved["best"]
            restore = state.restore if state else None
            self.best = Best(epoch, map_at_r, restore(weights) if restore and weights else None)

    @property
    def beats_epoch_0(self) -> bool:
        """Return whether the best epoch beats the untrained network on held-out classes."""
        return bool(self.best and self.best.map_at_r > self.epochs[0].validation["map_at_r"])


def _kept(state: State) -> Embed:
    return state.snapshot() if state.snapshot else state.embed


def follow(
    states: Iterable[State], watch: Watch, on_epoch: OnEpoch, session: Session = UNSAVED
) -> tuple[Course, State]:
    """Go through a training; return what was measured, and its last state.

    If the session goes on with one, the epochs that were over then are told of once more, and not
    measured again.
    """
    course, left = Course(), session.take("course")
    with session.part("course", course.saved):
        for state in each_in_phase("train", states):
            if left:
                with loading():
                    course.load(left, state)
                left = None
                for entry in course.epochs:
                    on_epoch(entry)
            if course.epochs and state.epoch <= course.epochs[-1].epoch:
                continue
            with phase("validate"):
                entry = course.add(state, watch)
            on_epoch(entry)
            if state.epoch:
                session.epochs_over += 1
                session.pause()
    return course, state


def curve_sample(items: Items) -> Items:
    """Return the items on which distances are measured: all, or some of each of random classes.

    Of a split with thousands of small classes, items drawn one by one would hardly form a pair.
    """
    if len(items) <= CURVE_ITEMS:
        return items
    rng = np.random.default_rng(0)
    classes, member_of = np.unique(items.labels, return_inverse=True)
    place = rng.permutation(len(classes))[member_of]  # of each item's class in a random order
    order = rng.permutation(len(items))
    order = order[np.argsort(place[order], kind="stable")]
    number = np.arange(len(items)) - np.searchsorted(place[order], place[order])  # in its class
    most = max(_OF_A_CLASS, -(-CURVE_ITEMS // len(classes)))
    return items[np.sort(order[number < most][:CURVE_ITEMS])]
