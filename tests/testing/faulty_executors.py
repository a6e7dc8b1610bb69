"""Executors with one fault each."""

import math
import os

from testing.faults import Faults

from dmlbench import Event
from dmlbench.executors.inline import Inline
from dmlbench.testing.quick_trials import trial as quick

FAULTS = Faults("executor")
found_by = FAULTS.found_by

SOUND = [Inline]


@found_by("trials_are_drawn_as_slots_become_free")
class Draining(Inline):
    """Draws all trials at once."""

    def run(self, task, trials, settings):
        return super().run(task, iter(list(trials)), settings)


@found_by(
    "every_trial_is_run_once",
    "the_events_of_a_trial_come_in_order",
    "cancel_ends_one_trial_and_no_other",
)
class Skipping(Inline):
    """Leaves out every other trial."""

    def run(self, task, trials, settings):
        chosen = (trial for trial in trials if trial.seed % 2 == 0)
        return super().run(task, chosen, settings)


@found_by("the_events_of_a_trial_come_in_order")
class Reversing(Inline):
    """Reports the end of a trial before its epochs."""

    def run(self, task, trials, settings):
        events = super().run(task, trials, settings)
        held = []
        for event in events:
            if event.kind == "epoch":
                held.append(event)
            else:
                yield event
                yield from held
                held.clear()


@found_by("stop_draws_no_more_trials")
class ForgettingAStop(Inline):
    """Forgets that it was stopped before its run."""

    def run(self, task, trials, settings):
        self._deadline = math.inf
        yield from super().run(task, trials, settings)


@found_by("cancel_ends_one_trial_and_no_other")
class CancellingAll(Inline):
    """Ends all trials when one is cancelled."""

    def cancel(self, trial):
        super().cancel(trial)
        self.stop(0)


@found_by("no_trials_are_a_run_too")
class Inventing(Inline):
    """Reports a trial that was not asked for."""

    def run(self, task, trials, settings):
        first = next(trials, None)
        if first is None:
            yield Event("started", quick(0))
            return
        yield from super().run(task, (t for ts in ([first], trials) for t in ts), settings)


@found_by("it_runs_again_when_its_run_has_ended")
class RunningOnce(Inline):
    """Is used up by its first run."""

    def run(self, task, trials, settings):
        yield from super().run(task, trials, settings)
        self.stop(0)


@found_by("the_process_that_asks_stays_as_it_was")
class SettingVariables(Inline):
    """Tells its workers something by the environment."""

    def run(self, task, trials, settings):
        os.environ["DMLBENCH_WORKER"] = str(settings.records)
        yield from super().run(task, trials, settings)
