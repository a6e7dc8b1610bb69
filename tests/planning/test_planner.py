"""From a request to its trials: what is refused, what is left out, what is in."""

from pathlib import Path

import pytest
import torch

from dmlbench import ConfigError, DataError, PluginError, TrialError
from dmlbench.components.catalogue import Catalogue
from dmlbench.components.workplace import Workplace
from dmlbench.planning.planner import Planner
from dmlbench.schemas.suite import default_suite
from dmlbench.schemas.trial import Trial
from dmlbench.trials.run_trial import run_trial

LOSS = """
from dmlbench import Loss

class Some(Loss):
    takes = "pairs"
    default_miner = "all-pairs"

    def __init__(self, *, margin: {annotation} = 0.5):
        super().__init__()

    def forward(self, pairs, selection):
        return pairs.anchors.sum()
"""


BACKBONE = """
from pathlib import Path
from dmlbench import Backbone

class Some(Backbone):
    def __init__(self, *, weights: str = ""):
        self.weights = weights

    def files(self):
        return {"weights": Path(self.weights)}

    def build(self, shape):
        raise NotImplementedError
"""


def rows(trials: tuple[Trial, ...]) -> list[tuple[str, str | None]]:
    """Return the loss and the miner of each trial, or the baseline."""
    found = []
    for trial in trials:
        names = {kind: part.name for kind, part in trial.parts.items()}
        found.append((names.get("baseline") or names["loss"], names.get("miner")))
    return found


# Everything


def test_all_is_every_loss_with_its_miner_every_other_miner_and_every_baseline(plan_of):
    catalogue = Catalogue.discover()
    suite = default_suite()
    plan = plan_of(
        datasets=("digits-closed",),
        losses="all",
        miners="all",
        probes=suite.probes,
        baselines="all",
    )
    found = rows(plan.trials)
    losses = {n: catalogue.load("loss", n)[1] for n in catalogue.references("loss")}
    for name, loss in losses.items():
        reference = loss.trained_as or name
        assert reference in {own for own, _ in found}
        if not loss.trained_as:
            assert (name, None if loss.takes == "labels" else loss.default_miner) in found
    for miner in catalogue.references("miner"):
        makes = catalogue.load("miner", miner)[1].makes
        (probe,) = (name for name in suite.probes if losses[name].takes == makes)
        assert (probe, miner) in found
    for baseline in catalogue.references("baseline"):
        assert (baseline, None) in found
    assert len(set(found)) == len(found)
    assert len(found) < len(losses) + len(catalogue.of_kind("miner")) + len(
        catalogue.of_kind("baseline")
    )


def test_the_default_suite_unfolds_to_both_sets_and_three_seeds(tmp_path):
    plan = Planner(Catalogue.discover()).unfold(default_suite())
    assert {trial.dataset.name for trial in plan.trials} == {"glyphs", "digits-closed"}
    assert {trial.seed for trial in plan.trials} == {0, 1, 2}
    assert len({trial.id for trial in plan.trials}) == len(plan.trials)
    assert plan.left_out == ()


def test_floors_come_with_what_was_asked_for(plan_of, zoo):
    plan = plan_of(losses=(zoo("Pull"),), baselines="floors")
    assert rows(plan.trials) == [("zoo.py:Pull", "all-pairs"), ("pixels", None)]


def test_what_is_named_twice_runs_once(plan_of):
    plan = plan_of(losses=("triplet", "dmlbench:triplet", "triplet"), seeds=(1, 1))
    assert rows(plan.trials) == [("triplet", "semi-hard")]


def test_every_loss_meets_every_miner_that_is_named(plan_of):
    plan = plan_of(losses=("triplet", "contrastive"), miners=("random", "batch-hard"))
    assert len(rows(plan.trials)) == 4
    assert set(rows(plan.trials)) == {
        (loss, miner) for loss in ("triplet", "contrastive") for miner in ("random", "batch-hard")
    }


def test_a_baseline_on_embeddings_comes_with_a_backbone_and_others_without(plan_of, zoo):
    plan = plan_of(baselines=(zoo("Embeddings"), "pca"))
    assert [set(trial.parts) for trial in plan.trials] == [{"baseline", "backbone"}, {"baseline"}]


# Parts


def test_a_part_tells_where_it_comes_from_and_how_it_is_set(trial_of):
    trial = trial_of(losses=("dmlbench:triplet",), settings={"loss.margin": "0.3"})
    loss = trial.parts["loss"]
    assert (loss.name, loss.distribution, loss.reference) == (
        "triplet",
        "dmlbench",
        "dmlbench:triplet",
    )
    assert loss.version == Catalogue.discover().find("loss", "triplet").entry.version
    assert len(loss.source) == 64
    assert (loss.settings, loss.changed) == ({"margin": 0.3}, {"margin": 0.3})


def test_a_setting_equal_to_the_default_changes_nothing(trial_of):
    plain = trial_of(losses=("triplet",))
    spelt = trial_of(losses=("triplet",), settings={"loss.margin": "2e-1"})
    assert spelt.id == plain.id
    assert spelt.parts["loss"].changed == {}


def test_a_setting_of_data_makes_other_data(trial_of, zoo):
    trials = [
        trial_of(losses=(zoo("Pull"),), settings={"dataset.classes": count}) for count in (3, 4)
    ]
    assert trials[0].fingerprint != trials[1].fingerprint
    assert trials[0].dataset.changed == {"classes": 3}
    assert trials[1].dataset.changed == {}


def test_ids_repeat_from_plan_to_plan(plan_of, zoo):
    suite = {"losses": (zoo("Pull"), "proxy-anchor"), "baselines": "floors", "seeds": (0, 5)}
    assert [t.id for t in plan_of(**suite).trials] == [t.id for t in plan_of(**suite).trials]


def test_an_edited_file_makes_another_trial(trial_of, tmp_path):
    path = tmp_path / "own.py"
    path.write_text(LOSS.format(annotation="float"))
    before = trial_of(losses=(f"{path}:Some",))
    path.write_text(LOSS.format(annotation="float") + "\n# a comment\n")
    assert trial_of(losses=(f"{path}:Some",)).id == before.id
    path.write_text(LOSS.format(annotation="float") + "\nedited = True\n")
    assert trial_of(losses=(f"{path}:Some",)).id != before.id


def test_a_file_that_a_setting_names_counts_by_its_content(trial_of, zoo, tmp_path):
    own = tmp_path / "own.py"
    own.write_text(BACKBONE)

    def planned(weights: Path) -> Trial:
        settings = {"backbone.weights": str(weights)}
        return trial_of(losses=(zoo("Pull"),), backbone=f"{own}:Some", settings=settings)

    first, moved = tmp_path / "weights", tmp_path / "moved"
    for path in (first, moved):
        path.write_bytes(b"1, 2")
    trial = planned(first)
    assert planned(moved).id == trial.id
    assert planned(moved).parts["backbone"].settings == {"weights": "moved"}
    assert planned(moved).parts["backbone"].located().settings == {"weights": str(moved)}
    moved.write_bytes(b"1, 3")
    assert planned(moved).id != trial.id
    workplace = Workplace(Catalogue.discover(), None, torch.device("cpu"))
    workplace.make("backbone", trial.parts["backbone"])
    first.write_bytes(b"1, 4")
    with pytest.raises(TrialError, match="changed after the run was planned"):
        workplace.make("backbone", trial.parts["backbone"])
    with pytest.raises(DataError, match=r"weights: the file .*gone can't be read"):
        planned(tmp_path / "gone")


def test_a_change_of_protocol_comes_from_the_settings(trial_of, zoo):
    trial = trial_of(losses=(zoo("Pull"),), settings={"protocol.length.epochs": 7})
    assert trial.protocol.length.epochs == 7
    assert trial.protocol.name == "tiny+epochs=7"


# Refused


@pytest.mark.parametrize(
    ("suite", "reason"),
    [
        ({"losses": ("tripplet",)}, "Did you mean 'triplet'"),
        ({"losses": ("triplet",), "miners": ("semi-hrd",)}, "Did you mean 'semi-hard'"),
        ({"losses": ("triplet",), "samplers": ("m-per-clas",)}, "Did you mean 'm-per-class'"),
        ({"losses": ("triplet",), "backbone": "small-con"}, "Did you mean 'small-conv'"),
        ({"baselines": ("pcca",)}, "no baseline named 'pcca'"),
        ({"datasets": ("digit",)}, "Did you mean 'digits'"),
        ({"datasets": ("folder",)}, "'folder' is a family"),
        ({"datasets": ("digits:x",)}, "'digits:x' is no family"),
        ({"losses": ("triplet",), "backbone": "small-conv/x"}, "no family"),
        ({"losses": ("triplet",), "backbone": "small-conv/"}, "no family"),
        ({"losses": ("triplet",), "backbone": "linear"}, "takes vectors"),
        ({"protocol": "smal"}, "Did you mean 'small'"),
        (
            {"losses": ("proxy-anchor",), "miners": ("random",)},
            "proxy-anchor learns from labels and takes no miner. Losses that do: .*contrastive",
        ),
        ({"losses": "all", "miners": ("random",)}, "takes no miner"),
        ({"losses": ("triplet",), "miners": "all"}, "needs probes"),
        (
            {"losses": ("triplet",), "miners": "all", "probes": ("proxy-anchor",)},
            "needs probes",
        ),
        (
            {"losses": ("triplet",), "miners": "all", "probes": ("tripplet",)},
            "Did you mean 'triplet'",
        ),
        ({"losses": ("triplet",), "settings": {"los.margin": "1"}}, "Did you mean 'loss'"),
        ({"losses": ("triplet",), "settings": {"margin": "1"}}, "named as loss.margin"),
        ({"losses": ("triplet",), "settings": {"loss.margn": "1"}}, "Did you mean 'margin'"),
        ({"losses": ("triplet",), "settings": {"loss.margin": "7"}}, "outside Uniform"),
        (
            {"losses": ("triplet", "nt-xent"), "settings": {"loss.margin": "0.1"}},
            "loss.margin: NTXent has no hyper-parameter 'margin'",
        ),
        (
            {"losses": ("proxy-anchor",), "settings": {"miner.k": "1"}},
            "miner.k: no miner takes part",
        ),
        (
            {"losses": ("triplet",), "settings": {"protocol.lenght.epochs": "1"}},
            "Did you mean 'length.epochs'",
        ),
        ({"losses": ("triplet",), "settings": {"protocol.batch_size": "9"}}, "multiple"),
    ],
)
def test_a_wrong_request_is_refused_before_anything_runs(plan_of, suite, reason):
    with pytest.raises(ConfigError, match=reason):
        plan_of(**suite)


def test_data_that_are_asked_for_must_be_there_and_sound(plan_of, zoo):
    with pytest.raises(DataError, match="does not exist"):
        plan_of(datasets=("folder:/nowhere",), losses=("triplet",))
    with pytest.raises(PluginError, match="Failing failed: KeyError: 'patterns'"):
        plan_of(datasets=(zoo("Failing"),), losses=("triplet",))
    with pytest.raises(PluginError, match="can't be loaded"):
        plan_of(datasets=("nowhere:Data",), losses=("triplet",))


def test_ones_own_class_must_be_there(plan_of):
    with pytest.raises(PluginError, match="No module named 'nowhere'"):
        plan_of(losses=("nowhere:Loss",))


# All the data of this machine


def zoo_source(body: str) -> str:
    zoo = Path(__file__).parents[1] / "support" / "zoo.py"
    return zoo.read_text() + body


def test_all_data_are_those_that_are_ready_and_the_rest_is_told_why(install, plan_of):
    points = {"absent": "Absent", "failing": "Failing", "ready": "Patterns", "unmade": "Unmade"}
    points |= {"unasked": "Unasked", "odd": "Odd"}
    source = zoo_source(
        "class Unmade(Patterns):\n    def __init__(self):\n        raise KeyError('oops')\n"
        "class Unasked(Patterns):\n    def missing(self, data_dir):\n"
        "        from dmlbench import DataError\n        raise DataError('its index is damaged')\n"
        "class Odd(Patterns):\n    def missing(self, data_dir):\n        return [1]\n"
    )
    install(
        "all-data", source, {"dmlbench.datasets": {k: f"all_data:{v}" for k, v in points.items()}}
    )
    install("no-data", "1 / 0", {"dmlbench.datasets": {"broken": "no_data:Broken"}})
    plan = plan_of(datasets=("all",), losses=("contrastive",), protocol=None)
    names = {trial.dataset.name for trial in plan.trials}
    assert {"ready", "digits", "digits-closed"} <= names
    assert not names & {"absent", "failing", "unmade", "unasked", "odd", "broken", "folder"}
    left_out = "\n".join(plan.left_out)
    for words in (
        "absent: put the patterns into --data-dir.",
        "failing: Loading Failing failed: KeyError",
        "'unmade' of all-data 1.0 failed: KeyError: 'oops'",
        "'unasked' of all-data 1.0 failed: DataError: its index is damaged",
        "'odd' of all-data 1.0 failed: its missing() returned [1]",
        "'broken' of no-data 1.0 can't be loaded: ZeroDivisionError",
        "folder: name your own data, as --dataset folder:PATH.",
    ):
        assert words in left_out


# Strangers


def test_a_broken_component_keeps_its_trials(install, plan_of):
    install("broken-part", "raise OSError('no')", {"dmlbench.losses": {"broken": "broken_part:X"}})
    plan = plan_of(losses=("broken", "triplet"), miners=("random",), settings={})
    assert rows(plan.trials) == [("broken", "random"), ("triplet", "random")]
    broken = plan.trials[0].parts["loss"]
    assert (broken.distribution, broken.version, broken.source) == ("broken-part", "1.0", "")
    asked = plan_of(losses=("broken",), settings={"loss.x": "1"}).trials[0]
    assert asked.parts["loss"].settings == {"x": "1"}
    assert asked.id != plan.trials[0].id


def test_a_component_with_an_import_that_is_no_python_fails_its_trials_alone(install, plan_of):
    source = LOSS.format(annotation="float").replace("return", "import lazy_part; return")
    folder = install("lazy", source, {"dmlbench.losses": {"lazy": "lazy:Some"}})
    (folder / "lazy_part.py").write_text("class :")
    lazy, sound = plan_of(losses=("lazy", "triplet")).trials
    assert sound.parts["loss"].source
    record = run_trial(lazy, Workplace(Catalogue.discover(), None, torch.device("cpu")))
    assert record.status == "failed"
    assert "lazy_part.py can't be read as Python: invalid syntax (lazy_part.py, line 1)" in (
        record.reason
    )


def test_a_signature_that_can_not_be_read_breaks_a_component(install, plan_of):
    source = LOSS.format(annotation="'Unknown'")
    install("unreadable", source, {"dmlbench.losses": {"unreadable": "unreadable:Some"}})
    (trial,) = plan_of(losses=("unreadable",)).trials
    assert trial.parts["loss"].source == ""


def test_a_broken_sampler_or_backbone_keeps_its_trials(install, plan_of):
    source = (
        "from dmlbench import Sampler\nclass Odd(Sampler):\n"
        " def batches(self, labels, *, batch_size, steps, rng):\n  raise KeyError('odd')\n"
    )
    install("odd-sampler", source, {"dmlbench.samplers": {"odd": "odd_sampler:Odd"}})
    assert len(plan_of(losses=("triplet",), samplers=("odd",)).trials) == 1


def test_a_clashing_name_hides_nothing_and_changes_nothing(install, plan_of):
    suite = {"losses": "all", "miners": "all", "baselines": "all"}
    suite |= {"probes": default_suite().probes}
    before = plan_of(**suite)
    installed = Catalogue.discover()
    for kind, name in (
        ("loss", "triplet"),
        ("miner", "all-pairs"),
        ("sampler", "m-per-class"),
        ("backbone", "small-conv"),
        ("baseline", "pixels"),
    ):
        value = installed.find(kind, name).entry.value
        plural = {"loss": "losses"}.get(kind, f"{kind}s")
        points = {f"dmlbench.{plural}": {name: value}}
        install(f"clashing-{kind}", "", points)
    after = plan_of(**suite)
    assert {trial.id for trial in before.trials} <= {trial.id for trial in after.trials}
    new = {t.label for t in after.trials} - {t.label for t in before.trials}
    assert new == set()  # labels are the same; distributions tell them apart
    others = {p.distribution for t in after.trials for p in t.parts.values()} - {"dmlbench"}
    assert others == {"clashing-loss", "clashing-miner", "clashing-baseline"}
    with pytest.raises(ConfigError, match="clashing-loss:triplet or dmlbench:triplet"):
        plan_of(losses=("triplet",))


def test_a_backbone_that_resolves_a_setting_it_does_not_have_fails_its_trials(plan_of, monkeypatch):
    from dmlbench_backbones.small_conv import SmallConv

    monkeypatch.setattr(SmallConv, "resolved", lambda self: {"polling": "avg"})
    (trial,) = plan_of(losses=("cross-entropy",)).trials
    assert trial.parts["backbone"].source == ""  # as one that can't be loaded
