"""Other people's hooks: whatever they do, the run and the other hooks go on."""

import os
import pickle
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.made_records import _record_fixture  # noqa: F401 - a fixture is found by its name
from support.processes import workers

from dmlbench import WorkerSettings
from dmlbench.api.publishing import tables
from dmlbench.components import hook_process
from dmlbench.components.catalogue import Catalogue
from dmlbench.components.child_process import ChildProcess
from dmlbench.components.hook_plugins import empty_manager, plugin_manager
from dmlbench.executors.inline import Inline
from dmlbench.executors.run import run

SOURCE = Path(__file__).parents[1].joinpath("support", "bad_ears.py").read_text()
STARTED = "dmlbench_trial_started"
WHY = {
    "raising": f"{STARTED} raised ValueError: deaf (bad_ears.py:",
    "exiting": f"{STARTED} raised SystemExit: 3",
    "interrupting": f"{STARTED} raised KeyboardInterrupt (bad_ears.py:",
    "mute": f"{STARTED} raised Mute: (its text can't be had: RuntimeError)",
    "vanishing": f"{STARTED} ended its process with exit code 0",
    "crashing": f"{STARTED} ended its process by signal SIGSEGV",
    "endless": f"{STARTED} was not over after 2 s",
    "closing": f"{STARTED} ended its process with exit code 1",
    "forking": f"{STARTED} ended its process with exit code 5",
}
HARMLESS = ("sound", "twofold")


@pytest.fixture
def ears(install, tmp_path, monkeypatch):
    """Install ears by name; return a function that says what the sound one has heard."""
    path = tmp_path / "heard"
    monkeypatch.setenv("EARS_HEARD", str(path))
    ask = ChildProcess.ask

    def ask_patiently(child, message: bytes, seconds: float):
        """Be patient with those that end, on however slow a machine."""
        hook, plugin, _ = pickle.loads(message)
        impatient = hook.startswith("dmlbench_") and plugin.endswith(":endless")
        return ask(child, message, 2 if impatient else 600)

    monkeypatch.setattr(ChildProcess, "ask", ask_patiently)

    def put(*names: str) -> None:
        points = {name: f"bad_ears:{name}" for name in names}
        install("bad-ears", SOURCE, {"dmlbench.hooks": points})

    put.heard = lambda: path.read_text().splitlines()
    return put


def bare(records) -> list[str]:
    return [record.model_copy(update={"measurements": {}}).to_json() for record in records]


def heard_by_now(manager) -> None:
    """Wait until all that was told up to now was heard, however slow the machine is."""
    assert manager.get_plugin("bad-ears:sound").dmlbench_leaderboard_columns(records=[])


@contextmanager
def complaints() -> Iterator[list[str]]:
    """Yield a list that has the texts of all warnings when the block is over."""
    texts: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield texts
        texts += [str(warning.message) for warning in caught]


@pytest.mark.slow  # a process is started for each plugin that ended one
def test_no_hook_ends_holds_or_steers_a_run(plan_of, zoo, ears, tmp_path):
    plan = plan_of(losses=(zoo("Pull"), zoo("Raising")), seeds=(0, 1))
    expected = run(
        plan, WorkerSettings(tmp_path / "clean", device="cpu"), empty_manager(), Inline()
    )
    ears(*HARMLESS, *WHY)
    with complaints() as texts, plugin_manager(Catalogue.discover()) as manager:
        records = run(plan, WorkerSettings(tmp_path / "runs", device="cpu"), manager, Inline())
        heard_by_now(manager)
    assert bare(records) == bare(expected)
    assert len(texts) == len(WHY)
    for name, why in WHY.items():
        start = f"The hook plugin bad-ears:{name} is switched off for the rest of the run: {why}"
        assert sum(text.startswith(start) for text in texts) == 1, name
    events = [
        line
        for record in expected
        for seed in [record.trial.seed]
        for line in [
            f"started {seed} of 4",
            *(f"epoch {seed} {epoch}" for epoch in ((0, 1, 2) if record.epochs else (0,))),
            f"finished {seed} {record.status} of 4",
        ]
    ]
    assert ears.heard() == [*events, "over 4"]
    assert workers() == set()


@pytest.mark.slow
def test_columns_of_the_others_stay(record, ears):
    ears("sound", "raising", "vanishing", "interrupting", "endless", "twofold")
    with complaints() as texts:
        (table,) = tables([record(), record("margin")])
    assert all(row.extra["Seeds"] == "1" for row in table.rows)
    notes = {note for note in table.notes if note.startswith("Columns of bad-ears:")}
    hook = "dmlbench_leaderboard_columns"
    for name, why in {
        "raising": f"{hook} raised ValueError: deaf",
        "interrupting": f"{hook} raised KeyboardInterrupt",
        "vanishing": f"{hook} ended its process with exit code 0",
        "endless": f"{hook} was not over after 2 s",
    }.items():
        start = f"Columns of bad-ears:{name} are missing: {why}"
        assert sum(note.startswith(start) for note in notes) == 1, name
    assert len(notes) == 4
    assert len(texts) == 2  # an exception costs a row's columns, the end of the process all


def test_one_that_ends_the_process_later_is_found(ears):
    ears("late", "sound")
    with complaints() as texts, plugin_manager(Catalogue.discover()) as manager:
        late = manager.get_plugin("bad-ears:late")
        late.dmlbench_trial_started(trial=None)
        late._process._child.process.wait()
        heard_by_now(manager)
    (text,) = texts
    assert "bad-ears:late is switched off" in text
    assert "ended its process with exit code 4" in text


def test_a_run_that_is_faster_than_a_hook_leaves_calls_out(ears, monkeypatch):
    monkeypatch.setattr(hook_process, "_MOST_WAITING", 3)
    ears("endless", "sound")
    with complaints() as texts, plugin_manager(Catalogue.discover()) as manager:
        process = manager.get_plugin("bad-ears:endless")._process
        process.tell("bad-ears:endless", STARTED, {})
        while not process._waiting.empty():
            os.sched_yield()
        for number in range(10):
            process.tell("bad-ears:sound", "dmlbench_run_finished", {"records": [0] * number})
        heard_by_now(manager)
    assert "The hook plugin bad-ears:sound is slower than the run: it missed 7 calls." in texts
    assert ears.heard() == ["over 0", "over 1", "over 2"]


def test_a_run_without_strangers_hooks_starts_no_process():
    with plugin_manager(Catalogue.discover()) as manager:
        assert manager.get_plugins() == set()
        assert workers() == set()


def test_what_hooks_print_reaches_the_terminal(install, capfd):
    source = (
        "import os\nfrom dmlbench import hookimpl\n@hookimpl\ndef dmlbench_run_finished(records):\n"
        " print('printed'); os.system('echo by a child'); os.write(2, b'\\xff to the other')"
    )
    install("a-printer", source, {"dmlbench.hooks": {"printer": "a_printer"}})
    with plugin_manager(Catalogue.discover()) as manager:
        manager.hook.dmlbench_run_finished(records=[])
    out, err = capfd.readouterr()
    assert out == "printed\nby a child\n"
    assert "\N{REPLACEMENT CHARACTER} to the other" in err
