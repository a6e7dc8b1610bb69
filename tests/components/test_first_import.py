"""Strangers' modules are first imported where they can do no harm."""

import pickle

import pytest
from support.processes import workers

from dmlbench.components import first_import
from dmlbench.components.catalogue import Catalogue
from dmlbench.components.child_process import ChildProcess
from dmlbench.components.entry_points import Entry
from dmlbench.components.first_import import try_first_imports, why_refused
from dmlbench.components.importing import load_entry
from dmlbench.errors import ConfigError, PluginError

PIPELINE = """
class Some:
    def fit(self, X, y): ...
    def transform(self, X): ...
"""
BAD = {
    "vanishing": ("import os; os._exit(0)", "its import ended its process with exit code 0"),
    "crashing": (
        "import ctypes; ctypes.string_at(0)",
        "its import ended its process by signal SIG",
    ),
    "interrupting": ("raise KeyboardInterrupt('no')", "its import raised KeyboardInterrupt: no"),
    "mute": (
        "raise type('Mute', (BaseException,), {'__str__': lambda self: 1 / 0})",
        r"its import raised Mute: \(its text can't be had: ZeroDivisionError\)",
    ),
    "endless": ("while True: pass", r"its import was not over after 1 s \(DMLBENCH_PLUGIN_SECONDS"),
}
FINE = {
    "sound": "",
    "printing": "print('printed'); import os; os.write(1, b'written')",
    "raising": "1 / 0",  # the import in the run raises it again, for --traceback
    "leaving": "import sys; sys.exit(3)",
}


@pytest.fixture
def started(monkeypatch, tmp_path) -> list[str]:
    """Turn trying on; note what is imported in child processes, and when one is started."""
    monkeypatch.setenv("DMLBENCH_TRY_IMPORTS", "yes")
    monkeypatch.setenv("DMLBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(first_import, "_tried", {})
    monkeypatch.chdir(tmp_path)
    noted: list[str] = []
    start, ask = ChildProcess.__init__, ChildProcess.ask

    def noting_start(child, module: str) -> None:
        noted.append("start")
        start(child, module)

    def noting_ask(child, message: bytes, seconds: float, *more):
        entry = pickle.loads(message)
        if isinstance(entry, Entry):
            noted.append(entry.name)
            seconds = 1 if "endless" in entry.name else 600  # on however slow a machine
        return ask(child, message, seconds, *more)

    monkeypatch.setattr(ChildProcess, "__init__", noting_start)
    monkeypatch.setattr(ChildProcess, "ask", noting_ask)
    return noted


def write(folder, name: str, source: str) -> Entry:
    (folder / f"{name}.py").write_text(source + PIPELINE)
    reference = f"./{name}.py:Some"
    return Entry("baseline", reference, "", "", reference)


def test_bad_imports_are_found_and_refused_and_the_others_are_not(tmp_path, started, capfd):
    fine = [write(tmp_path, name, source) for name, source in FINE.items()]
    bad = [write(tmp_path, name, source) for name, (source, _) in BAD.items()]
    try_first_imports([*fine, *bad])
    assert [why_refused(entry) for entry in fine] == [""] * len(fine)
    for entry, (_, reason) in zip(bad, BAD.values(), strict=True):
        with pytest.raises(PluginError, match=f"^The baseline '{entry.name}' .* loaded: {reason}"):
            load_entry(entry)
    first = [entry.name for entry in [*fine, bad[0]]]
    assert started[: len(first) + 3] == ["start", *first, "start", bad[0].name]  # alone, to be sure
    assert workers() == set()
    assert capfd.readouterr() == ("", "")
    assert load_entry(fine[1]).__name__ == "Some"
    assert capfd.readouterr() == ("written", "printed\n")  # a command's output is its own
    with pytest.raises(PluginError, match=r"loaded: ZeroDivisionError: .* \(raising.py:1, in") as e:
        load_entry(fine[2])
    assert isinstance(e.value.__cause__, ZeroDivisionError)


def test_what_imports_well_is_tried_again_only_when_its_code_changed(
    tmp_path, started, monkeypatch
):
    (tmp_path / "beside.py").write_text("value = 1")
    entry = write(tmp_path, "mine", "import beside")
    for changed in (None, tmp_path / "mine.py", tmp_path / "beside.py"):
        if changed:
            changed.write_text(changed.read_text() + "\n# edited\n")
        for _ in range(2):
            monkeypatch.setattr(first_import, "_tried", {})  # as in the next process
            assert why_refused(entry) == ""
        assert started == ["start", entry.name]
        started.clear()


def test_what_is_ours_or_not_there_or_here_already_is_not_tried(started):
    references = (
        "dmlbench_baselines.untrained:Untrained",
        "sklearn.decomposition:PCA",
        "json:Some",
        "not_there_at_all:Some",
        "./not_there.py:Some",
        f"{__name__}:Some",
    )
    entries = [Entry("baseline", name, "", "", name) for name in references]
    shipped = [e for e in Catalogue.discover().entries if e.distribution == "dmlbench"]
    assert shipped
    try_first_imports([*entries, *shipped])
    assert started == []


def test_a_limit_that_is_no_number_is_said(started, monkeypatch, tmp_path):
    monkeypatch.setenv("DMLBENCH_PLUGIN_SECONDS", "long")
    with pytest.raises(ConfigError, match="DMLBENCH_PLUGIN_SECONDS=long is no number of seconds"):
        why_refused(write(tmp_path, "any", ""))
