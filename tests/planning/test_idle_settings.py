"""Settings that change no figure are refused: each would make a second table of the same ones."""

import pytest

from dmlbench import ConfigError
from dmlbench.schemas.trial import Trial

SGD = {"protocol.optimiser.name": "sgd"}
STEP = {"protocol.optimiser.schedule": "step", "protocol.optimiser.step_epochs": "1"}
STEP |= {"protocol.optimiser.step_factor": "0.5"}


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"optimiser.momentum": "0.5"}, "name=sgd or name=rmsprop, not name=adamw"),
        ({"optimiser.eps": "1e-3", "optimiser.name": "sgd"}, "name=adam"),
        ({"optimiser.step_epochs": "2"}, "schedule=step"),
        ({"optimiser.step_factor": "0.5"}, "schedule=step"),
        ({"augmentation.crop_scale": "0.5"}, "crop=random-resized"),
        ({"augmentation.crop_ratio": "2"}, "crop=random-resized"),
        ({"augmentation.crop": "random"}, "size that the network sees"),
        ({"augmentation.hue": "0.1"}, "grey"),
        ({"augmentation.saturation": "0.1"}, "grey"),
        ({"short_side": "32"}, "no photos"),
        ({"image_size": "4"}, "no photos"),
        ({"store_side": "32", "augmentation.crop": "random-resized"}, "no photos"),
        ({"store_side": "32"}, "augmentation.crop=random-resized, not augmentation.crop=centre"),
        ({"interpolation": "bilinear"}, "no image is resized"),
        ({"validation.min_classes": "3", "validation.class_fraction": "0"}, "holds out as many"),
        ({"validation.class_fraction": "0.4"}, "holds out as many"),
        ({"validation.every": "2"}, "no class is held out"),
        ({"validation.then": "retrain-all"}, "no class is held out"),
        ({"length.min_passes": "2"}, "as many steps as without"),  # 6 steps of 8 of 24 items
    ],
    ids=str,
)
def test_a_setting_that_nothing_reads_is_refused_with_the_reason(plan_of, zoo, settings, why):
    settings = {f"protocol.{key}": value for key, value in settings.items()}
    with pytest.raises(ConfigError, match=f"would change nothing.*{why}"):
        plan_of(losses=(zoo("Pull"),), settings=settings)


@pytest.mark.parametrize(
    "settings",
    [
        SGD | {"protocol.optimiser.momentum": "0.5"},
        {"protocol.optimiser.eps": "1e-3"},
        STEP,
        {"protocol.augmentation.crop": "random-resized", "protocol.augmentation.crop_scale": "0.5"},
        {"protocol.augmentation.crop": "random-resized", "protocol.interpolation": "bilinear"},
        {"protocol.validation.min_classes": "4"},
        {"protocol.validation.min_classes": "4", "protocol.validation.every": "2"},
        {"protocol.validation.min_classes": "4", "protocol.validation.then": "retrain-all"},
        {"protocol.length.min_passes": "2.1"},
        {"protocol.tuning": "frozen"},
        {"protocol.head_init": "orthogonal"},
        {"protocol.augmentation.shift": "0"},
    ],
    ids=str,
)
def test_one_that_is_read_makes_another_trial(trial_of, zoo, settings):
    usual = trial_of(losses=(zoo("Pull"),))
    assert trial_of(losses=(zoo("Pull"),), settings=settings).id != usual.id


def test_the_value_that_a_field_has_already_is_no_change(trial_of, zoo):
    settings = {"protocol.optimiser.momentum": "0.9", "protocol.optimiser.step_epochs": "none"}
    usual: Trial = trial_of(losses=(zoo("Pull"),))
    assert trial_of(losses=(zoo("Pull"),), settings=settings).id == usual.id


@pytest.mark.parametrize("key", ["class_fraction=0.4", "min_classes=2", "every=2"])
def test_nothing_is_held_out_of_cross_validation(plan_of, zoo, key):
    name, _, value = key.partition("=")
    suite = {"datasets": ("iris",), "losses": (zoo("Pull"),), "protocol": "vectors"}
    with pytest.raises(ConfigError, match="nothing is held out of cross-validation"):
        plan_of(settings={f"protocol.validation.{name}": value}, **suite)


@pytest.mark.parametrize(("key", "value"), [("shift", "0.25"), ("flip", "true"), ("hue", "0.25")])
def test_vectors_are_not_augmented(plan_of, zoo, key, value):
    suite = {"datasets": ("iris",), "losses": (zoo("Pull"),)}
    with pytest.raises(ConfigError, match="vectors are not augmented"):
        plan_of(protocol="vectors", settings={f"protocol.augmentation.{key}": value}, **suite)


def test_one_that_a_single_table_reads_is_accepted(plan_of, zoo):
    datasets = (zoo("Patterns"), "iris")
    settings = {"protocol.augmentation.flip": "false"}
    plan = plan_of(datasets=datasets, losses=(zoo("Pull"),), protocol=None, settings=settings)
    assert len(plan.trials) == 2


def test_baselines_alone_may_join_any_table(plan_of):
    (trial,) = plan_of(baselines=("pixels",), settings={"protocol.optimiser.lr": "0.5"}).trials
    assert trial.protocol.name == "tiny+lr=0.5"


@pytest.mark.parametrize(
    ("kind", "named"),
    [("backbone", {"backbone": "linear"}), ("sampler", {"samplers": ("random",)})],
)
def test_a_component_named_twice_is_refused(plan_of, zoo, kind, named):
    settings = {f"protocol.{kind}": "small-conv" if kind == "backbone" else "m-per-class"}
    with pytest.raises(ConfigError, match=f"protocol.{kind} would change nothing beside --{kind}"):
        plan_of(losses=(zoo("Pull"),), settings=settings, **named)


OWN = """
from typing import Annotated
from dmlbench import Loss, OnlyWith

class Own(Loss):
    takes = "pairs"
    default_miner = "all-pairs"

    def __init__(self, *, kind: str = "soft", margin: Annotated[float, OnlyWith({marked})] = 0.1):
        super().__init__()

    def forward(self, pairs, selection):
        return pairs.similarity.mean()
"""


def test_a_component_says_which_of_its_settings_are_read(trial_of, tmp_path):
    path = tmp_path / "own_loss.py"
    path.write_text(OWN.format(marked='"kind", "hard"'))
    losses = (f"{path}:Own",)
    with pytest.raises(
        ConfigError, match=r"loss\.margin would change nothing.*kind=hard, not kind="
    ):
        trial_of(losses=losses, settings={"loss.margin": "0.5"})
    read = trial_of(losses=losses, settings={"loss.margin": "0.5", "loss.kind": "hard"})
    assert read.parts["loss"].changed == {"margin": 0.5, "kind": "hard"}
    assert trial_of(losses=losses, settings={"loss.margin": "0.1"}).id == trial_of(losses=losses).id


def test_a_mark_that_names_no_setting_is_the_plugins_fault(plan_of, tmp_path):
    path = tmp_path / "odd_loss.py"
    path.write_text(OWN.format(marked='"sort", "hard"'))
    with pytest.raises(Exception, match=r"OnlyWith of 'margin' .* names 'sort'"):
        plan_of(losses=(f"{path}:Own",))
