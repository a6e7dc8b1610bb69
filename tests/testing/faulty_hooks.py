"""Hook plugins with one fault each."""

from testing.faults import Faults

from dmlbench import hookimpl

FAULTS = Faults("hooks")


def found_by(check, *also):
    """Return a decorator for a faulty class, an object of which is the plugin."""
    return lambda plugin: FAULTS.found_by(check, *also)(plugin())


class Listener:
    """A plugin without a fault."""

    @hookimpl
    def dmlbench_run_started(self, plan):
        self.expected = [trial.id for trial in plan.trials]

    @hookimpl
    def dmlbench_epoch_finished(self, metrics):
        self.loss = metrics["loss"]

    @hookimpl
    def dmlbench_trial_finished(self, trial, record):
        self.last = record.metrics["recall@1"] if record.status == "finished" else record.reason

    @hookimpl
    def dmlbench_leaderboard_columns(self, records):
        return {"Device": ", ".join({str(record.settings["device"]) for record in records})}


class Silent:
    """A plugin without a fault, which adds no column to these rows."""

    @hookimpl
    def dmlbench_leaderboard_columns(self):
        return None


SOUND = (Listener(), Silent())


@found_by("it_hears_hooks")
class Nothing:
    """Marks no function."""


@found_by("it_hears_hooks")
class Unmarked:
    """Forgets the mark of one function."""

    @hookimpl
    def dmlbench_run_started(self, plan): ...

    def dmlbench_run_finished(self, records): ...


@found_by("its_hooks_are_known")
class Misspelt:
    """Waits for a hook that there is not."""

    @hookimpl
    def dmlbench_run_begun(self, plan): ...


@found_by("its_hooks_are_known")
class Elsewhere:
    """Asks for an argument that its hook does not pass."""

    @hookimpl
    def dmlbench_trial_started(self, record): ...


@found_by("a_docstring_says_what_it_is")
class Undescribed:
    @hookimpl
    def dmlbench_run_started(self, plan): ...


@found_by("it_follows_a_run")
class Trusting:
    """Reads a metric of every record, but failed ones have none."""

    @hookimpl
    def dmlbench_trial_finished(self, record):
        return record.metrics["map_at_r"]


@found_by("it_follows_a_run")
class First:
    """Reads the first record of a run, which may have none."""

    @hookimpl
    def dmlbench_run_finished(self, records):
        return records[0]


@found_by("it_follows_a_run")
class Summing:
    """Adds up losses, of which epoch 0 has none."""

    total = 0.0

    @hookimpl
    def dmlbench_epoch_finished(self, metrics):
        self.total += metrics["loss"]


@found_by("its_columns_are_texts")
class Numbers:
    """Returns a number in place of a text."""

    @hookimpl
    def dmlbench_leaderboard_columns(self, records):
        return {"Seeds": len(records)}


@found_by("its_columns_are_texts")
class Pairs:
    """Returns pairs in place of a mapping."""

    @hookimpl
    def dmlbench_leaderboard_columns(self, records):
        return [("Seeds", str(len(records)))]


@found_by("its_columns_are_texts")
class Averaging:
    """Averages a metric that failed seeds lack."""

    @hookimpl
    def dmlbench_leaderboard_columns(self, records):
        return {"Mean": str(sum(record.metrics["map_at_r"] for record in records))}
