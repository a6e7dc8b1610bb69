"""Which network is tested: that of the last epoch, of the best one, or one trained anew."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice

import numpy as np

from dmlbench.compute.determinism import SPLIT_STREAM
from dmlbench.data.items import Items
from dmlbench.data.splits import hold_out_classes
from dmlbench.schemas.trial import Trial
from dmlbench.training.learner_state import Embed, Learn, State
from dmlbench.training.session import UNSAVED, Session, loading
from dmlbench.trials.course import Course, OnEpoch, Watch, curve_sample, follow

Validate = Callable[[Items, Embed], dict[str, float]]
"""From held-out items and what embeds them to metrics, ``map_at_r`` among them."""


@dataclass(frozen=True)
class Learnt:
    """What a row has learnt.

    Attributes:
        course: the training in which the epoch was selected.
        retraining: the training on all classes after it, where there was one.
        last: the state at the end of the last of these.
        held_out: items of the classes that validated, where there were any.
    """

    course: Course
    retraining: Course | None
    last: State
    held_out: Items | None

    @property
    def epoch(self) -> int:
        """Return the epoch that counts."""
        return self.course.best.epoch if self.course.best else self.last.epoch

    @property
    def embed_earlier(self) -> Embed | None:
        """Return what embeds as the network that counts did, if that is not the last one."""
        best = self.course.best
        return best.embed if best and best.epoch != self.last.epoch else None

    @property
    def rule(self) -> str:
        """Return how the epoch was selected, for the record."""
        if not self.course.best:
            return "last epoch"
        rule = "best MAP@R on held-out classes"
        return f"{rule}, then retrained on all" if self.retraining else rule


def learn_and_select(
    trial: Trial,
    training: Items,
    learn: Learn,
    validate: Validate,
    shown: Mapping[str, Items],
    on_epoch: OnEpoch,
    session: Session = UNSAVED,
) -> Learnt:
    """Learn on the training classes, and select the epoch that counts.

    It is that of the highest MAP@R on held-out training classes where the protocol holds some out
    and there are enough, of epochs 1 and later; else the last one. The protocol may then have a new
    network trained on all classes, by the same schedule and the same random numbers, cut at that
    epoch.

    Args:
        trial: says how.
        training: items of all training classes.
        learn: learns from the items that it is given.
        validate: returns metrics of held-out items.
        shown: other items whose mean distances are shown by epoch; left alone where a network is
            trained anew.
        on_epoch: called with the record's entry for each epoch.
        session: goes on with what an earlier process left.
    """
    choices = trial.protocol.validation
    learning, held_out = training, None
    if "baseline" not in trial.parts:
        rng = np.random.default_rng((trial.seed, SPLIT_STREAM))
        learning, held_out = hold_out_classes(
            training, choices.class_fraction, choices.min_classes, rng
        )
    retrains = held_out is not None and choices.then == "retrain-all"
    shown = {} if retrains else {name: curve_sample(items) for name, items in shown.items()}
    watch = Watch(
        choices,
        trial.protocol.length.epochs,
        {"train": curve_sample(learning), **shown},
        None if held_out is None else partial(validate, held_out),
        keeps_best=not retrains,
    )
    if (left := session.take("selection")) is not None:  # it was stopped in the retraining
        course = Course()
        with loading():
            course.load(left)
        for entry in course.epochs:
            on_epoch(entry)
    else:
        course, last = follow(learn(learning), watch, on_epoch, session)
        if not retrains or course.best is None:
            return Learnt(course, None, last, held_out)
        del last  # frees its network before there is another
    assert course.best is not None  # else there is no retraining
    until = course.best.epoch
    watch = Watch(choices, until, {"train": curve_sample(training)}, is_retraining=True)
    with session.part("selection", course.saved):
        states = islice(learn(training), until + 1)
        again, last = follow(states, watch, on_epoch, session)
    return Learnt(course, again, last, held_out)
