"""``dmlbench plugin check``, as an author of a component sees it."""

import json
import re
import subprocess
import sys

import pytest
from cli.conftest import dmlbench  # noqa: F401 - the command line as a fixture

MINE = '''
from dmlbench import Loss, Miner, PairMask, as_pair_mask, masked_mean


class Mine(Loss):
    """Mine."""

    takes = "pairs"
    default_miner = "all-pairs"
    paper = "I. 2026"

    def forward(self, pairs, selection):
        print("learning")
        chosen = as_pair_mask(selection, pairs)
        apart = masked_mean(1 + pairs.similarity, chosen.negative)
        return apart + masked_mean(1 - pairs.similarity, chosen.positive)


class Half(Miner):
    """Half of them."""

    makes = "pairs"

    def select(self, pairs):
        return PairMask(pairs.positive, pairs.positive)
'''


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A module of that name, whatever other tests left on the path under it."""
    path = tmp_path / "mine.py"
    path.write_text(MINE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    yield path
    sys.modules.pop("mine", None)


def test_a_sound_component_has_nothing_to_mend(dmlbench):  # noqa: F811
    result = dmlbench("plugin", "check", "loss:triplet")
    assert result.code == 0, result
    assert re.search(r"loss triplet +\d\d +- +- +\d", result.out)
    assert "1 component, nothing to mend." in result.out
    assert result.err == ""


def test_what_is_to_be_mended_is_a_paragraph_each_and_the_exit_code_is_1(dmlbench, mine):  # noqa: F811
    result = dmlbench("plugin", "check", "./mine.py")
    assert result.code == 1
    text = " ".join(result.out.split())
    assert "miner Half: it chooses true positives and true negatives only With an ordinary" in text
    assert "Choose within pairs.negative, and skip an anchor" in text
    assert "1 of 2 components to mend." in result.out
    assert "loss Mine:" not in result.out
    assert all(len(line) <= 100 and line == line.rstrip() for line in result.out.splitlines())
    assert "learning" not in result.out


@pytest.mark.parametrize("target", ["./mine.py:Mine", "mine:Mine", "loss:./mine.py:Mine"])
def test_a_class_is_named_by_file_or_module(dmlbench, mine, target):  # noqa: F811
    result = dmlbench("plugin", "check", target)
    assert result.code == 0, result
    assert "1 component, nothing to mend." in result.out


def test_one_error_that_stops_many_checks_is_told_once(dmlbench, mine):  # noqa: F811
    mine.write_text(MINE.replace('print("learning")', 'raise KeyError("learning")'))
    result = dmlbench("plugin", "check", "./mine.py:Mine")
    assert result.code == 1
    assert result.out.count("raised KeyError") == 1
    assert result.out.count("Stopped by the same error as above.") > 5


def test_json_holds_every_finding(dmlbench, mine):  # noqa: F811
    result = dmlbench("plugin", "check", "./mine.py", "--json")
    assert result.code == 1
    found = json.loads(result.out)
    assert found["target"] == "./mine.py"
    assert [component["kind"] for component in found["components"]] == ["loss", "miner"]
    for component in found["components"]:
        counts = {name: component[name] for name in ("passed", "failed", "warned", "skipped")}
        assert sum(counts.values()) == len(component["findings"])
    (wrong, *_) = [f for f in found["components"][1]["findings"] if f["outcome"] == "failed"]
    assert wrong["check"] == "it_chooses_true_positives_and_true_negatives_only"


def test_a_distribution_is_checked_whole_and_a_broken_component_hides_no_other(
    dmlbench,  # noqa: F811
    install,
):
    install(
        "my-plugins",
        MINE,
        {
            "dmlbench.losses": {"mine": "my_plugins:Mine", "gone": "my_plugins:Gone"},
            "dmlbench.baselines": {"pca": "sklearn.decomposition:PCA"},
            "dmlbench.hooks": {"column": "my_plugins"},
            "dmlbench.metrics": {"middle": "sys:Middle"},
        },
    )
    result = dmlbench("plugin", "check", "my_plugins")
    assert result.code == 1
    assert re.search(r"loss mine +\d\d +-", result.out)
    assert re.search(r"loss gone +- +1", result.out)
    assert re.search(r"baseline pca +\d\d +-", result.out)
    text = " ".join(result.out.split())
    assert "loss gone: it can be loaded The loss 'gone' of my-plugins 1.0 can't be loaded" in text
    assert re.search(r"hooks column +- +1", result.out)
    assert "hooks column: it hears hooks No function of it is marked with @hookimpl" in text
    assert re.search(r"metric middle +- +1", result.out)
    assert "3 of 5 components to mend." in text


COLUMN = """'The device.'
from dmlbench import hookimpl

@hookimpl
def dmlbench_leaderboard_columns(records):
    return {"Device": str(records[0].settings.get("device"))}

class Ear:
    "Counts."
    @hookimpl
    def dmlbench_trial_finished(self, record): print(record.metrics["map_at_r"])

ear = Ear()
"""


@pytest.mark.parametrize("target", ["hook:device", "hooks:device", "column-kit", "./column_kit.py"])
def test_hook_plugins_are_checked(dmlbench, install, monkeypatch, target):  # noqa: F811
    points = {"dmlbench.hooks": {"device": "column_kit"}}
    monkeypatch.chdir(install("column-kit", COLUMN, points))
    result = dmlbench("plugin", "check", target)
    text = " ".join(result.out.split())
    if target.endswith(".py"):
        assert result.code == 1
        assert re.search(r"hooks column_kit +\d +-", result.out)
        assert "hooks ear: it follows a run With a trial that failed: Ear raised KeyError" in text
        assert "1 of 2 components to mend." in text
    else:
        assert result.code == 0, text
        assert re.search(r"hooks device +\d +-", result.out)
        assert "1 component, nothing to mend." in text


def test_an_object_of_a_file_is_checked_as_a_hook_plugin(dmlbench, mine):  # noqa: F811
    mine.write_text(COLUMN)
    assert dmlbench("plugin", "check", "./mine.py:ear").code == 1
    refused = dmlbench("plugin", "check", "./mine.py:hookimpl")
    assert refused.code == 2
    assert "is no component" in refused.err


@pytest.mark.parametrize(
    ("target", "label"),
    [
        ("metric:mrr", "metric mean_reciprocal_rank"),
        ("metric:recall@5", "metric recall@5"),
        ("metrics:precision@3", "metric precision@3"),
        ("metric:rank-kit:within@4", "metric within@4"),
        ("metric:within@4", "metric within@4"),
    ],
)
def test_a_metric_is_named_as_run_names_it(dmlbench, install, target, label):  # noqa: F811
    source = (
        "from dmlbench import Metric\nclass Within(Metric):\n 'Within the first.'\n"
        " title = 'Within'\n needs = frozenset({'best_rank'})\n"
        " def __init__(self, k): self.k = int(k)\n"
        " def by_query(self, arrays): return arrays['best_rank'] <= self.k\n"
    )
    install("rank-kit", source, {"dmlbench.metrics": {"within": "rank_kit:Within"}})
    result = dmlbench("plugin", "check", target)
    assert result.code == 0, result
    assert re.search(rf"{label} +\d\d +-", result.out)


def test_a_member_of_a_family_is_checked_with_settings(dmlbench):  # noqa: F811
    target = "backbone:timm/test_resnet"
    for setting in ("weights=none", "backbone.weights=none"):
        result = dmlbench("plugin", "check", target, "--set", setting)
        assert result.code == 0, result
        assert "backbone timm/test_resnet" in result.out


def test_what_is_left_out_is_told_on_request(dmlbench):  # noqa: F811
    short = dmlbench("plugin", "check", "datasets:folder")
    assert short.code == 0
    assert "--long says why" in short.out
    long = dmlbench("plugin", "check", "datasets:folder", "--long").out
    assert "Folder is a family: check one of its members, by giving 'path'." in " ".join(
        long.split()
    )
    assert "dataset folder: a docstring says what it is" in long


def test_help_imports_nothing_heavy():
    code = (
        "import sys\n"
        "sys.argv = ['dmlbench', 'plugin', 'check', '--help']\n"
        "from dmlbench.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code\n"
        "assert not {'torch', 'numpy', 'rich', 'pytest'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["dmlbensch"], "Did you mean 'dmlbench'?"),
        (["loss:tripplet"], "Did you mean 'triplet'?"),
        (["./absent.py:Loss"], "can't be loaded: FileNotFoundError"),
        (["absent:Loss"], "can't be loaded: ModuleNotFoundError"),
        (["json:JSONDecoder"], "is no component"),
        (["math:pi"], "is no component"),
        (["loss:triplet/hard"], "is no family"),
        (["loss:triplet", "--set", "margin=-1"], "outside"),
        (["loss:triplet", "--set", "margin"], "not of the form"),
        (["loss:triplet", "--set", "margn=1"], "Did you mean 'margin'?"),
        (["metric:recal@5"], "Did you mean 'recall'?"),
        (["metric:mrr@5"], "is no family"),
        (["hook:column"], "There is no hooks named 'column'"),
        (["dmlbench", "--set", "margin=1"], "--set goes with one component"),
    ],
)
def test_a_wrong_request_is_refused(dmlbench, arguments, said):  # noqa: F811
    result = dmlbench("plugin", "check", *arguments)
    assert result.code == 2
    assert said in result.err
    assert "Traceback" not in result.err
