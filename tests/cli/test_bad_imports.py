"""Packages and files that end the process when they are imported, from the command line."""

import pytest

from dmlbench.components import first_import

PIPELINE = """
class Some:
    def fit(self, X, y): ...
    def transform(self, X): ...
"""
REASON = "can't be loaded: its import ended its process with exit code 0."


@pytest.fixture
def bad(install, monkeypatch, tmp_path):
    """Install a package that ends the process, and one that prints; try imports as users do."""
    monkeypatch.setenv("DMLBENCH_TRY_IMPORTS", "yes")
    monkeypatch.setenv("DMLBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(first_import, "_tried", {})
    install("bad-one", "import os; os._exit(0)", {"dmlbench.baselines": {"bad": "bad_one:Some"}})
    source = "print('noise')" + PIPELINE
    install("good-one", source, {"dmlbench.baselines": {"good": "good_one:Some"}})
    (tmp_path / "mine.py").write_text("import os; os._exit(0)")


def test_list_doctor_and_show_say_what_is_broken(bad, dmlbench):
    listed = dmlbench("list", "baselines", "--long")
    assert listed.code == 0
    assert f"BROKEN: The baseline 'bad' of bad-one 1.0 {REASON}" in listed.out
    assert "good-one 1.0" in listed.out
    assert "noise" not in listed.out
    doctor = dmlbench("doctor")
    assert doctor.code == 1
    assert f"BROKEN: The baseline 'bad' of bad-one 1.0 {REASON}" in doctor.out
    shown = dmlbench("show", "baseline", "bad")
    assert (shown.code, shown.err) == (2, f"dmlbench: The baseline 'bad' of bad-one 1.0 {REASON}\n")


def test_run_refuses_a_file_and_fails_the_trials_of_a_package(bad, dmlbench):
    asked = ("run", "--dataset", "iris", "--seeds", 1, "--jobs", 0, "--baseline")
    refused = dmlbench(*asked, "./mine.py:Some")
    reason = f"The baseline './mine.py:Some' (your own) {REASON}"
    assert (refused.code, refused.err) == (2, f"dmlbench: {reason}\n")
    failed = dmlbench(*asked, "bad,pixels")
    assert failed.code == 1
    assert f"Failed: bad: The baseline 'bad' of bad-one 1.0 {REASON}" in failed.err
    assert "1 of 2 trials failed." in failed.err
