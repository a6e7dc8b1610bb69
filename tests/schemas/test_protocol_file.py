"""A protocol's file: values of single datasets, where values come from, and what is refused."""

import pytest

from dmlbench import ConfigError
from dmlbench.components.catalogue import Catalogue
from dmlbench.schemas.protocol import Protocol
from dmlbench.schemas.protocol_file import load_protocol, meaning, read_protocol_file, values_of
from dmlbench.schemas.shipped_protocols import protocol_names

FILE = """
description = "Like a paper's."
source = "tests"
differs = ["There, all classes train.", "Here, weights are others."]
backbone = "timm/resnet50"
backbone_settings = { pooling = "avg+max", batch_norm = "frozen-statistics" }
sampler = "m-per-class"
sampler_settings = { m = 2 }
embedding_dim = 64
batch_size = 32
short_side = 64
image_size = 64
interpolation = "bicubic"
precision = "float32"
distance = "cosine"

[optimiser]
name = "sgd"
lr = 1e-4
momentum = 0.5
weight_decay = 1e-4
schedule = "step"
step_epochs = 5
step_factor = 0.5
warmup_steps = 0

[length]
epochs = 8
steps_per_epoch = "pass"

[augmentation]
shift = 0.0
flip = true

[validation]
class_fraction = 0.25
min_classes = 20

[baselines]
fit_items = 100
floors = ["untrained"]
names = { untrained = "random head" }
"""


@pytest.fixture
def file_of(tmp_path):
    """Return a function that reads the file with more lines at its end, others replaced."""

    def read(more: str = "", **replaced: str):
        path = tmp_path / "own.toml"
        text = FILE + more
        for key, value in replaced.items():
            (line,) = [line for line in text.splitlines() if line.startswith(f"{key} =")]
            text = text.replace(line, f"{key} = {value}")
        path.write_text(text)
        return read_protocol_file(path)

    return read


# Values of single datasets


SOP = """
[datasets.sop]
batch_size = 180
optimiser = { lr = 6e-4, step_epochs = 20 }
backbone_settings.batch_norm = "trained"
"""


def test_a_table_changes_only_the_fields_that_it_names(file_of):
    settings = '{ pooling = "avg+max", batch_norm = "trained" }'
    written = {"batch_size": "180", "lr": "6e-4", "step_epochs": "20"}
    plain = file_of(**written, backbone_settings=settings).base
    file = file_of(SOP)
    assert file.resolved("sop") == plain
    assert file.resolved("sop").name == file.base.name == "own"
    assert file.resolved("cars") == file.resolved(None) == file.base == file_of().base
    assert file.differences("sop") == {
        "batch_size": 180,
        "optimiser.lr": 6e-4,
        "optimiser.step_epochs": 20,
        "backbone_settings.batch_norm": "trained",
    }


def test_a_protocol_holds_resolved_values_and_nothing_else_of_its_file(file_of):
    origins = '\n[origins]\noptimiser = "paper"\n'
    protocol = file_of(SOP + origins).resolved("sop")
    assert protocol.model_dump().keys() == Protocol.model_fields.keys()
    assert not {"datasets", "origins", "differs"} & Protocol.model_fields.keys()


def test_load_protocol_takes_a_dataset(file_of, tmp_path):
    file = file_of(SOP)
    path = tmp_path / "own.toml"
    assert load_protocol(path) == load_protocol(path, dataset="cars") == file.base
    for spelt in ("sop", "dmlbench:sop", "sop (partial=True)"):
        assert load_protocol(path, dataset=spelt) == file.resolved("sop")
    assert load_protocol(path, dataset="other:sop") == file.base


def test_settings_of_another_component_are_dropped(file_of):
    table = '[datasets.sop]\nsampler = "random"\nbackbone = "linear"\n'
    protocol = file_of(table).resolved("sop")
    assert (protocol.sampler_settings, protocol.backbone_settings) == ({}, {})
    own = file_of(table + "sampler_settings = { classes = 3 }\n").resolved("sop")
    assert own.sampler_settings == {"classes": 3}
    same = file_of('[datasets.sop]\nsampler = "m-per-class"\nsampler_settings = { x = 1 }\n')
    assert same.resolved("sop").sampler_settings == {"m": 2, "x": 1}


def test_what_is_no_longer_read_goes_back_to_its_usual_value(file_of):
    protocol = file_of('[datasets.sop]\noptimiser.schedule = "cosine"\n').resolved("sop")
    assert protocol.optimiser.step_epochs is protocol.optimiser.step_factor is None
    assert protocol.optimiser.momentum == 0.5
    stages = file_of('[datasets.sop]\noptimiser = { schedule = "milestones", milestones = [3] }\n')
    assert stages.resolved("sop").optimiser.step_epochs is None
    assert stages.resolved("sop").optimiser.step_factor == 0.5
    assert stages.differences("sop")["optimiser.milestones"] == (3,)
    assert "optimiser.milestones" not in values_of(stages.base)
    adam = file_of('[datasets.sop]\noptimiser.name = "adam"\n').resolved("sop")
    assert adam.optimiser.momentum == 0.9
    assert "optimiser.momentum" not in values_of(adam)


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ("bach_size = 2", r"bach_size: .* Did you mean 'batch_size'\?"),
        ("optimiser.rl = 2", r"optimiser.rl: Extra inputs"),
        ("batch_size = 1", "batch_size: .* greater than or equal to 2"),
        ('batch_size = "many"', "batch_size: .*integer"),
        ("optimiser = 3", "optimiser: "),
        ("batch_size = { a = 1 }", "batch_size: .*integer"),
        ('name = "other"', "one name for all datasets"),
        ('optimiser = { name = "adam", momentum = 0.3 }', "momentum would change nothing: .*adam"),
        ('origins = { lenght = "paper" }', r"origins.lenght: .* Did you mean 'length'\?"),
        ("optimiser.milestones = [3]", "milestones would change nothing: .*schedule=step"),
        ("datasets.cars.batch_size = 3", "datasets: "),
        ("differs = []", "differs: "),
    ],
)
def test_a_wrong_table_is_refused_with_its_file_and_dataset(file_of, table, reason):
    with pytest.raises(ConfigError, match=rf"own.toml: \[datasets.sop\].*{reason}"):
        file_of(f"[datasets.sop]\n{table}\n")


@pytest.mark.parametrize("more", ["[datasets]\nsop = 3", "[[datasets]]\nbatch_size = 3"])
def test_datasets_are_tables(file_of, more):
    with pytest.raises(ConfigError, match=r"own.toml is not a valid protocol: datasets"):
        file_of(more)


# Where values come from


ORIGINS = """
[origins]
optimiser = "code: train.py"
"optimiser.lr" = "paper"
backbone = "ours: the authors' weights are not in timm"
backbone_settings.batch_norm = "paper, appendix B"
"length.epochs" = "paper"

[datasets.sop]
optimiser.lr = 6e-4
batch_size = 180
length.steps_per_epoch = 9

[datasets.sop.origins]
optimiser = "code: sop.sh"
length = "code: sop.sh"
"length.epochs" = "ours"
"""


@pytest.mark.parametrize(
    ("key", "usual", "on_sop"),
    [
        ("optimiser.lr", "paper", "code: sop.sh"),  # set there, so its table's entries come first
        ("optimiser.weight_decay", "code: train.py", "code: sop.sh"),
        ("length.epochs", "paper", "ours"),
        ("length.steps_per_epoch", "ours", "code: sop.sh"),
        ("backbone", *["ours: the authors' weights are not in timm"] * 2),
        ("backbone_settings.batch_norm", *["paper, appendix B"] * 2),
        ("backbone_settings.pooling", "ours", "ours"),  # no entry
        ("batch_size", "ours", "ours"),
    ],
)
def test_the_most_specific_entry_says_where_a_value_comes_from(file_of, key, usual, on_sop):
    file = file_of(ORIGINS)
    assert (file.origin(key), file.origin(key, "sop")) == (usual, on_sop)
    assert file.origin(key, "cars") == usual


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ('optimizer = "paper"', r"origins.optimizer: .* Did you mean 'optimiser'\?"),
        ('"optimiser.rate" = "paper"', "origins.optimiser.rate: there is no such field"),
        ('backbone_settings.pool = "paper"', "Did you mean 'backbone_settings.pooling'"),
        ('frozen = "paper"', "the field is called tuning"),
        ('optimiser = "theirs"', "'theirs' is no origin; it begins with 'paper'"),
        ('optimiser = "papers"', "'papers' is no origin"),
        ('optimiser = "code"', "'code: ' and the file"),
        ('optimiser = "code: "', "'code: ' and the file"),
        ('optimiser = ""', "is no origin"),
        ("optimiser = 3", "origins.optimiser: .*string"),
    ],
)
def test_a_wrong_origin_is_refused(file_of, entry, reason):
    with pytest.raises(ConfigError, match=rf"own.toml.*{reason}"):
        file_of(f"[origins]\n{entry}\n")


def test_what_differs_is_a_list_of_sentences(file_of):
    assert file_of().differs == ("There, all classes train.", "Here, weights are others.")
    with pytest.raises(ConfigError, match=r"not a valid protocol: differs: .*tuple"):
        file_of(differs='"one sentence"')


def test_every_field_and_section_says_what_it_means():
    for key in values_of(load_protocol("small")):
        assert meaning(key), key
        assert meaning(key.partition(".")[0]), key
    for name in ("name", "description", "source"):
        assert meaning(name)
    assert meaning("backbone_settings.pooling") == meaning("no.such") == ""


# Files that ship


@pytest.mark.parametrize("name", protocol_names())
def test_a_file_that_ships_names_datasets_that_ship(name):
    shipped = {entry.name for entry in Catalogue.discover().of_kind("dataset")}
    file = read_protocol_file(name)
    assert set(file.tables) <= shipped
    for key in file.tables:
        assert file.differences(key), f"[datasets.{key}] changes nothing"
    assert all(sentence.endswith(".") for sentence in file.differs)


# tuning, which was frozen


@pytest.mark.parametrize(
    ("said", "tuning"),
    [
        ("frozen = true", "frozen"),
        ("frozen = false", "full"),
        ('tuning = "frozen"', "frozen"),
        ('frozen = true\ntuning = "frozen"', "frozen"),
        ("", "full"),
    ],
)
def test_frozen_is_read_as_tuning(tmp_path, said, tuning):
    path = tmp_path / "own.toml"
    path.write_text(f"{said}\n{FILE}")
    protocol = load_protocol(path)
    assert protocol.tuning == tuning
    assert protocol.identity()["frozen"] is protocol.frozen is (tuning == "frozen")
    assert "tuning" not in protocol.identity()


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ('frozen = true\ntuning = "full"', "frozen = true contradicts tuning = 'full'"),
        ('frozen = false\ntuning = "frozen"', "frozen = false contradicts tuning = 'frozen'"),
        ('frozen = "maybe"', "frozen is true or false, not 'maybe'"),
        ("frozen = 1", "frozen is true or false, not 1"),
    ],
)
def test_frozen_that_contradicts_tuning_is_refused(tmp_path, said, reason):
    path = tmp_path / "own.toml"
    path.write_text(f"{said}\n{FILE}")
    with pytest.raises(ConfigError, match=reason):
        load_protocol(path)


@pytest.mark.parametrize(
    ("usual", "own"), [("frozen = true", 'tuning = "full"'), ('tuning = "full"', "frozen = true")]
)
def test_a_dataset_may_say_either(tmp_path, usual, own):
    path = tmp_path / "own.toml"
    path.write_text(f"{usual}\n{FILE}\n[datasets.sop]\n{own}\n")
    file = read_protocol_file(path)
    assert file.resolved("sop").frozen is not file.base.frozen
    assert list(file.differences("sop")) == ["tuning"]


def test_setting_frozen_is_answered_by_tuning():
    with pytest.raises(ConfigError, match=r"protocol\.frozen: .*protocol\.tuning=frozen"):
        load_protocol("small").change("frozen", "true")
    assert load_protocol("small").change("tuning", "frozen").frozen
