"""Suites: the one that ships, and files that are wrong."""

import pytest

from dmlbench import ConfigError
from dmlbench.schemas.suite import Suite, default_suite, load_suite


@pytest.fixture
def suite_of(tmp_path):
    def suite(text: str) -> Suite:
        path = tmp_path / "suite.toml"
        path.write_text(text)
        return load_suite(path)

    return suite


def test_the_default_is_everything_on_the_data_that_ship():
    suite = default_suite()
    assert suite.datasets == ("glyphs", "digits-closed")
    assert (suite.losses, suite.miners, suite.baselines) == ("all", "all", "all")
    assert suite.probes
    assert suite.seeds == (0, 1, 2)


def test_a_suite_needs_only_data(suite_of):
    suite = suite_of('datasets = ["digits"]')
    assert suite.losses == ()
    assert suite.miners == "default"
    assert suite.baselines == "floors"


@pytest.mark.parametrize(
    "text",
    [
        '[settings]\n"loss.margin" = 0.3\n"protocol.length.epochs" = 2',
        "[settings]\nloss.margin = 0.3\nprotocol.length.epochs = 2",
        "[settings.loss]\nmargin = 0.3\n[settings.protocol.length]\nepochs = 2",
    ],
)
def test_settings_are_read_however_toml_nests_them(suite_of, text):
    suite = suite_of('datasets = ["digits"]\n' + text)
    assert suite.settings == {"loss.margin": 0.3, "protocol.length.epochs": 2}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "datasets: Field required"),
        ("datasets = []", "datasets"),
        ('datasets = "digits"', "datasets"),
        ("datasets = [3]", "datasets.0"),
        ('datasets = ["digits"]\nlosss = []', r"losss: .* Did you mean 'losses'\?"),
        ('datasets = ["digits"]\nlosses = "some"', "losses"),
        ('datasets = ["digits"]\nminers = "every"', "miners"),
        ('datasets = ["digits"]\nminers = []', "miners"),
        ('datasets = ["digits"]\nbaselines = "none"', "baselines"),
        ('datasets = ["digits"]\nseeds = []', "seeds"),
        ('datasets = ["digits"]\nseeds = [-1]', "seeds.0"),
        ('datasets = ["digits"]\nseeds = [4294967296]', "seeds.0"),
        ('datasets = ["digits"]\nseeds = [0.5]', "seeds.0"),
        ('datasets = ["digits"]\nseeds = 3', "seeds"),
        ('datasets = ["digits"]\nsettings = 3', "settings"),
        (
            'datasets = ["digits"]\nsettings.loss.neg_margin = nan',
            r"settings: .*loss.neg_margin = nan can't be kept in a record",
        ),
        (
            'datasets = ["digits"]\n[settings]\n"loss.born" = 1979-05-27',
            r"settings: .*loss.born = 1979-05-27 can't be kept",
        ),
        ('datasets = ["digits"]\nsettings.protocol.optimiser.lr = [inf]', "optimiser.lr = "),
        ("datasets = [", "is not a TOML file"),
    ],
)
def test_a_wrong_suite_is_refused_with_its_name_and_the_key(suite_of, text, reason):
    with pytest.raises(ConfigError, match=reason) as refused:
        suite_of(text)
    assert "suite.toml" in str(refused.value)


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(ConfigError, match=r"absent.toml can't be read: No such file"):
        load_suite(tmp_path / "absent.toml")
