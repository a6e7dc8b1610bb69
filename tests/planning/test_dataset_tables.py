"""A protocol's tables for single datasets decide the trials on these datasets, and no others."""

import pytest

from dmlbench import ConfigError

TABLES = """
[datasets.glyphs]
batch_size = 12
optimiser = { lr = 2e-3, schedule = "constant" }
sampler_settings.m = 2

[datasets.digits]
length.epochs = 5

[datasets.birds]
batch_size = 16
"""
OWN = """
from support.zoo import Patterns

class Birds(Patterns):
    "Patterns of another distribution."
"""


@pytest.fixture
def with_tables(tiny_protocol):
    """Return the path of the tiny protocol with tables, and of its values for `glyphs` alone."""
    plain = tiny_protocol.read_text()
    tiny_protocol.write_text(plain + TABLES)
    folder = tiny_protocol.parent / "plain"
    folder.mkdir()
    for old, new in {
        "batch_size = 8": "batch_size = 12\nsampler_settings = { m = 2 }",
        "lr = 1e-3": "lr = 2e-3",
        '"cosine"\nwarmup': '"constant"\nwarmup',
    }.items():
        assert plain.count(old) == 1
        plain = plain.replace(old, new)
    (folder / "tiny.toml").write_text(plain)
    return str(tiny_protocol), str(folder / "tiny.toml")


@pytest.mark.parametrize("spelt", ["glyphs", "dmlbench:glyphs"])
def test_a_trial_is_the_one_of_a_file_with_its_values(trial_of, zoo, with_tables, spelt):
    tables, plain = with_tables
    suite = {"losses": (zoo("Pull"),), "datasets": (spelt,)}
    trial = trial_of(protocol=tables, **suite)
    assert trial == trial_of(protocol=plain, **suite)
    assert trial.protocol.name == "tiny"
    assert trial.parts["sampler"].settings["m"] == 2


def test_values_differ_by_dataset_under_one_name(plan_of, zoo, with_tables):
    datasets = ("glyphs", "digits", zoo("Patterns"))
    trials = plan_of(protocol=with_tables[0], losses=(zoo("Pull"),), datasets=datasets).trials
    assert [trial.protocol.batch_size for trial in trials] == [12, 8, 8]
    assert [trial.protocol.length.epochs for trial in trials] == [2, 5, 2]
    assert {trial.protocol.name for trial in trials} == {"tiny"}


def test_a_dataset_of_the_same_name_elsewhere_gets_the_base(install, plan_of, zoo, with_tables):
    install("other-data", OWN, {"dmlbench.datasets": {"glyphs": "other_data:Birds"}})
    datasets = ("other-data:glyphs", "dmlbench:glyphs")
    trials = plan_of(protocol=with_tables[0], losses=(zoo("Pull"),), datasets=datasets).trials
    assert [trial.protocol.batch_size for trial in trials] == [8, 12]


def test_ones_own_file_may_name_the_dataset_of_a_plugin(install, trial_of, zoo, with_tables):
    install("other-data", OWN, {"dmlbench.datasets": {"birds": "other_data:Birds"}})
    suite = {"protocol": with_tables[0], "losses": (zoo("Pull"),)}
    for spelt in ("birds", "other-data:birds"):
        assert trial_of(datasets=(spelt,), **suite).protocol.batch_size == 16
    changed = trial_of(datasets=("birds",), settings={"dataset.classes": "5"}, **suite)
    assert str(changed.dataset) == "birds (classes=5)"
    assert changed.protocol.batch_size == 16


def test_a_setting_is_stronger_than_the_table(trial_of, zoo, with_tables):
    suite = {"protocol": with_tables[0], "losses": (zoo("Pull"),), "datasets": ("glyphs",)}
    usual = trial_of(**suite)
    same = trial_of(settings={"protocol.batch_size": "12"}, **suite)
    assert same == usual, "it has that value already"
    changed = trial_of(settings={"protocol.batch_size": "8"}, **suite)
    assert (changed.protocol.batch_size, changed.protocol.name) == (8, "tiny+batch_size=8")
    assert changed.protocol.optimiser.lr == usual.protocol.optimiser.lr == 2e-3


def test_what_a_setting_changes_is_told_by_the_datasets_own_values(trial_of, zoo, with_tables):
    """On glyphs the schedule is constant, so that nothing reads how it would step."""
    suite = {"protocol": with_tables[0], "losses": (zoo("Pull"),), "datasets": ("glyphs",)}
    with pytest.raises(ConfigError, match="schedule=step, not schedule=constant"):
        trial_of(settings={"protocol.optimiser.step_epochs": "3"}, **suite)


def test_a_table_that_is_wrong_stops_runs_on_other_datasets_too(trial_of, zoo, tiny_protocol):
    tiny_protocol.write_text(tiny_protocol.read_text() + "[datasets.cars]\nepochs = 3\n")
    with pytest.raises(ConfigError, match=r"\[datasets.cars\].*epochs: Extra inputs"):
        trial_of(losses=(zoo("Pull"),))
