"""Protocols: the files that ship, files that are wrong, and single changes."""

import tomllib
from pathlib import Path

import pytest
from pydantic import ValidationError

from dmlbench import ConfigError
from dmlbench.components.catalogue import Catalogue
from dmlbench.schemas.protocol import Protocol
from dmlbench.schemas.protocol_file import load_protocol
from dmlbench.schemas.shipped_protocols import protocol_names

SMALL = Path(__file__).parents[2] / "bench" / "dmlbench" / "protocols" / "small.toml"


def test_every_protocol_that_ships_is_valid_and_named_by_its_file():
    assert {"small", "vectors"} <= set(protocol_names())
    for name in protocol_names():
        protocol = load_protocol(name)
        assert protocol.name == name
        assert protocol.description
        assert protocol.source
        assert protocol.baselines.floors


def test_a_protocol_holds_what_its_file_says():
    values = tomllib.loads(SMALL.read_text())
    protocol = load_protocol("small")
    assert protocol.optimiser.lr == values["optimiser"]["lr"]
    assert values["length"].items() <= protocol.length.model_dump().items()
    assert protocol.baselines.floors == tuple(values["baselines"]["floors"])


def test_ones_own_is_named_by_the_path_of_its_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(SMALL.read_text())
    mine = load_protocol(str(path))
    assert mine.name == "mine"
    assert mine.identity() == load_protocol("small").identity()


def test_its_identity_holds_no_names_and_texts():
    identity = load_protocol("small").identity()
    assert not {"name", "description", "source"} & set(identity)
    assert {"backbone", "optimiser", "length", "validation", "baselines"} <= set(identity)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("epochs =", "epoch =", r"length.epoch: .* Did you mean 'epochs'\?"),
        ("[length]", "[lenght]", r"lenght: .* Did you mean 'length'\?"),
        ("batch_size = 64", "", "batch_size: Field required"),
        ("batch_size = 64", "batch_size = 1", "batch_size: .* greater than or equal to 2"),
        ("batch_size = 64", "batch_size = 64.5", "batch_size: .*integer"),
        ("batch_size = 64", 'batch_size = "many"', "batch_size: .*integer"),
        ("lr = 1e-3", "lr = nan", "optimiser.lr: .*finite"),
        ("lr = 1e-3", "lr = inf", "optimiser.lr: .*finite"),
        ("lr = 1e-3", "lr = 0", "optimiser.lr: .*greater than 0"),
        ('"adamw"', '"lion"', "optimiser.name: .*'adam', 'adamw', 'sgd' or 'rmsprop'"),
        (
            '"cosine"\nwarmup',
            '"step"\nwarmup',
            "the schedule 'step' needs step_epochs and step_factor",
        ),
        ("steps_per_epoch = 40", 'steps_per_epoch = "all"', "length.steps_per_epoch"),
        ("steps_per_epoch = 40", "steps_per_epoch = 0", "length.steps_per_epoch"),
        ("class_fraction = 0.25", "class_fraction = 1.0", "validation.class_fraction: .*less than"),
        ("flip = false", "flip = 2", "augmentation.flip"),
        ("[length]", "length = 3\n[other]", "length: "),
        ("[length]", "length = [", "is not a TOML file"),
    ],
)
def test_a_wrong_file_is_refused_with_its_name_and_the_key(tmp_path, old, new, reason):
    text = SMALL.read_text()
    assert text.count(old) == 1
    path = tmp_path / "wrong.toml"
    path.write_text(text.replace(old, new))
    with pytest.raises(ConfigError, match=reason) as refused:
        load_protocol(str(path))
    assert str(path) in str(refused.value)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("lr = 1e-3", "lr = 1e-3\nmomentum = 0.5", "optimiser.momentum .*name=sgd"),
        ("lr = 1e-3", "lr = 1e-3\nstep_epochs = 2", "optimiser.step_epochs .*schedule=step"),
        ("batch_size", "store_side = 9\nbatch_size", "store_side .*augmentation.crop=random-res"),
    ],
)
def test_a_file_with_a_field_that_nothing_reads_is_refused(tmp_path, old, new, reason):
    path = tmp_path / "mine.toml"
    path.write_text(SMALL.read_text().replace(old, new))
    with pytest.raises(ConfigError, match=reason):
        load_protocol(str(path))
    usual = path.read_text().replace("0.5", "0.9")
    path.write_text(usual.replace("step_epochs = 2", "").replace("store_side = 9", ""))
    assert load_protocol(str(path)).identity() == load_protocol("small").identity()


def test_files_that_can_not_be_read(tmp_path):
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    for name, reason in {
        "missing": "can't be read: No such file",
        "folder": "can't be read: it is a folder",
        "bytes": "is not UTF-8 text",
    }.items():
        with pytest.raises(ConfigError, match=reason):
            load_protocol(str(tmp_path / f"{name}.toml"))


def test_an_unknown_name_is_answered_by_the_nearest():
    with pytest.raises(ConfigError, match=r"named 'smal'. Did you mean 'small'\?.*\.toml file"):
        load_protocol("smal")


def test_a_protocol_can_not_be_changed_in_place():
    with pytest.raises(ValidationError):
        load_protocol("small").batch_size = 3


# One field at a time


@pytest.mark.parametrize(
    ("key", "text", "value", "name"),
    [
        ("length.epochs", "3", 3, "small+epochs=3"),
        ("optimiser.lr", "1e-2", 0.01, "small+lr=0.01"),
        ("optimiser.lr", "1", 1.0, "small+lr=1.0"),
        ("optimiser.clip_norm", "0.5", 0.5, "small+clip_norm=0.5"),
        ("augmentation.flip", "true", True, "small+flip=True"),
        ("precision", "bfloat16", "bfloat16", "small+precision=bfloat16"),
        ("backbone", "timm/resnet50", "timm/resnet50", "small+backbone=timm/resnet50"),
    ],
)
def test_a_change_sets_one_field_and_shows_in_the_name(key, text, value, name):
    small = load_protocol("small")
    changed = small.change(key, text)
    *tables, field = key.split(".")
    table = changed.model_dump()
    for part in tables:
        table = table[part]
    assert table[field] == value
    assert changed.name == name
    differing = {key for key, held in changed.identity().items() if held != small.identity()[key]}
    assert differing == {key.split(".")[0]}


def test_one_value_in_two_spellings_is_one_protocol():
    small = load_protocol("small")
    assert small.change("optimiser.lr", "0.01") == small.change("optimiser.lr", "1e-2")
    assert small.change("optimiser.lr", "0.001") == small
    assert small.change("optimiser.clip_norm", "None") == small


@pytest.mark.parametrize(
    ("key", "text", "reason"),
    [
        ("lenght.epochs", "3", r"protocol.lenght.epochs: .* Did you mean 'length.epochs'\?"),
        ("length", "3", "a list or a table"),
        ("length.epochs.more", "3", "no such field"),
        ("", "3", "no such field"),
        ("name", "mine", "no such field"),
        ("baselines.floors", "pca", "a list or a table"),
        ("optimiser.milestones", "3,5", "a list or a table"),
        ("length.epochs", "0", "greater than or equal to 1"),
        ("length.epochs", "none", "length.epochs"),
        ("length.epochs", "two", "length.epochs"),
        ("optimiser.lr", "nan", "finite"),
        ("distance", "euclidean", "cosine"),
    ],
)
def test_a_wrong_change_is_refused(key, text, reason):
    with pytest.raises(ConfigError, match=reason):
        load_protocol("small").change(key, text)


def test_every_field_that_is_offered_can_be_set():
    small = load_protocol("small")
    for key in small.fields():
        value = small
        for part in key.split("."):
            value = getattr(value, part)
        text = "none" if value is None else str(value)
        assert small.change(key, text) == small, key


def test_a_protocol_is_equal_to_what_its_json_holds():
    small = load_protocol("small")
    assert Protocol.model_validate_json(small.model_dump_json()) == small


# Settings of components


def test_settings_of_another_component_are_not_kept():
    protocol = load_protocol("roth2020")
    assert protocol.sampler_settings == {"m": 2}
    assert protocol.change("sampler", "m-per-class") == protocol
    assert protocol.change("sampler", "random").sampler_settings == {}
    assert protocol.change("sampler", "random").backbone_settings == protocol.backbone_settings
    assert protocol.change("backbone", "timm/resnet18").backbone_settings == {}


def test_a_pass_is_as_many_whole_batches_as_there_are():
    length = load_protocol("small").change("length.steps_per_epoch", "pass").length
    assert [length.steps(items, 8) for items in (24, 25, 31, 32, 7)] == [3, 3, 3, 4, 1]
    assert load_protocol("small").length.steps(24, 8) == 40


def test_a_schedule_of_steps_is_set_field_by_field():
    changed = load_protocol("small")
    for key in ("step_epochs", "step_factor", "schedule"):  # in the order of the fields
        text = {"step_epochs": "3", "step_factor": "0.5", "schedule": "step"}[key]
        changed = changed.change(f"optimiser.{key}", text)
    fields = [name for name in changed.fields() if "schedule" in name or ".step_" in name]
    assert [name.partition(".")[2] for name in fields] == ["step_epochs", "step_factor", "schedule"]


@pytest.mark.parametrize("name", protocol_names())
def test_every_protocol_that_ships_plans_a_run(name, plan_of, zoo):
    vectors = name == "vectors"
    plan = plan_of(
        protocol=name,
        datasets=("iris",) if vectors else (zoo("Patterns"),),
        losses=("contrastive",),
        baselines="floors",
        settings={"protocol.batch_size": "180"},  # whole groups of any sampler's m
    )
    protocol = load_protocol(name)
    (trained,) = [trial for trial in plan.trials if "loss" in trial.parts]
    backbone, sampler = trained.parts["backbone"], trained.parts["sampler"]
    assert protocol.backbone_settings.items() <= backbone.settings.items()
    assert protocol.sampler_settings.items() <= sampler.settings.items()
    assert len(plan.trials) == 1 + len(protocol.baselines.floors)
    for trial in plan.trials:
        assert protocol.frozen <= ("backbone" in trial.parts)


def test_a_backbone_of_ones_own_has_none_of_the_settings_that_a_protocol_names(plan_of):
    plan = plan_of(
        protocol="roth2020",
        losses=("contrastive",),
        backbone="small-conv",
        settings={"protocol.batch_size": "8"},
    )
    assert set(plan.trials[0].parts["backbone"].settings) == {"width"}


BATCH = {"protocol.batch_size": "8"}


@pytest.mark.parametrize(
    "spelt",
    [
        {"backbone": "dmlbench:timm/resnet50.tv_in1k"},
        {"samplers": ("dmlbench:m-per-class",)},
        {"settings": BATCH | {"protocol.backbone": "dmlbench:timm/resnet50.tv_in1k"}},
    ],
)
def test_a_component_spelt_differently_keeps_the_protocols_settings_and_the_id(plan_of, spelt):
    plain = {"protocol": "roth2020", "losses": ("contrastive",), "settings": BATCH}
    (trial,), (same,) = plan_of(**plain).trials, plan_of(**(plain | spelt)).trials
    assert same == trial
    assert trial.parts["backbone"].settings["batch_norm"] == "frozen-statistics"
    assert trial.parts["sampler"].settings["m"] == 2


def test_a_family_of_the_same_name_elsewhere_changes_no_protocol_that_ships(install, plan_of):
    suite = {"protocol": "roth2020", "losses": ("contrastive",), "settings": BATCH}
    (before,) = plan_of(**suite).trials
    entry = Catalogue.discover().find("backbone", "timm/x").entry
    install("second-family", "", {"dmlbench.backbones": {"timm": entry.value}})
    for asked in (None, "timm/resnet50.tv_in1k", "dmlbench:timm/resnet50.tv_in1k"):
        (trial,) = plan_of(backbone=asked, **suite).trials
        assert trial.id == before.id
    (other,) = plan_of(backbone="second-family:timm/resnet50.tv_in1k", **suite).trials
    assert other.parts["backbone"].distribution == "second-family"
    assert other.parts["backbone"].settings["batch_norm"] == "trained"
    with pytest.raises(ConfigError, match="dmlbench:timm or second-family:timm"):
        plan_of(backbone="timm/resnet18", **suite)


def test_changes_in_any_order_are_one_protocol_with_one_name(trial_of, zoo):
    changes = {
        "protocol.length.epochs": "2",
        "protocol.optimiser.lr": "0.02",
        "protocol.batch_size": "32",
        "protocol.embedding_dim": "16",
    }
    losses = (zoo("Pull"),)
    small = {"protocol": "small", "losses": losses}
    one = trial_of(settings=changes, **small)
    other = trial_of(settings=dict(reversed(changes.items())), **small)
    assert one == other
    assert one.protocol.name == "small+embedding_dim=16+batch_size=32+lr=0.02+epochs=2"
    sampler = {"protocol.length.epochs": "2", "protocol.sampler": "random"}
    last = trial_of(settings={"protocol.length.epochs": "2"}, samplers=("random",), **small)
    assert trial_of(settings=sampler, **small) == last


def test_a_setting_given_is_stronger_than_the_protocols(plan_of):
    plan = plan_of(
        protocol="roth2020",
        losses=("contrastive",),
        settings={"protocol.batch_size": "8", "backbone.pooling": "max", "sampler.m": "4"},
    )
    parts = plan.trials[0].parts
    assert parts["backbone"].settings["pooling"] == "max"
    assert parts["backbone"].settings["batch_norm"] == "frozen-statistics"
    assert parts["sampler"].settings["m"] == 4
