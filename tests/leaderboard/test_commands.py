"""The commands on the pages: read back by a shell's rules and by the command line itself."""

import shlex
from collections.abc import Sequence

import pytest

from dmlbench.cli.run import command as run_command
from dmlbench.components.hyperparameters import resolve
from dmlbench.leaderboard.commands import row_command, table_command
from dmlbench.leaderboard.tables import make_tables
from dmlbench.schemas.protocol_file import load_protocol


def row_of(*records):
    return make_tables(records)[0].rows[0]


def options(line: str) -> dict:
    words = shlex.split(line)
    assert words[:2] == ["dmlbench", "run"]
    return run_command.make_context("run", words[2:]).params


def test_a_row_is_named_by_what_differs_from_the_protocol(record, part):
    changed = {"loss": part("triplet", settings={"margin": 0.3}, changed={"margin": 0.3})}
    row = row_of(*(record(seed=seed, parts=changed) for seed in range(3)))
    assert row_command(row) == (
        "dmlbench run --dataset glyphs --loss triplet --miner random --protocol small --seeds 3 "
        "--set loss.margin=0.3"
    )


def test_the_command_line_understands_a_rows_command(record, part):
    parts = {
        "loss": part("mine", reference="./my loss.py:Mine", changed={"power": None, "soft": True}),
        "sampler": part("random"),
        "backbone": part("timm/resnet50", changed={"pretrained": False}),
    }
    protocol = load_protocol("small").change("length.epochs", "20")
    found = options(row_command(row_of(record(parts=parts, protocol=protocol, seed=7))))
    assert found["losses"] == ("./my loss.py:Mine",)
    assert found["miners"] == ("random",)
    assert (found["samplers"], found["backbone"]) == (("random",), "timm/resnet50")
    assert (found["protocol"], found["seeds"]) == ("small", (7,))
    assert found["settings"] == {
        "protocol.length.epochs": "20",
        "loss.power": "none",
        "loss.soft": "true",
        "backbone.pretrained": "false",
    }


def test_a_list_is_set_as_it_was(record, part):
    class Weighted:
        def __init__(
            self, *, weights: Sequence[float] = (1.0,), names: tuple[str, ...] | None = None
        ): ...

    changed = {"weights": [1.0, 2.5], "names": ["it's", 'b"', "true"]}
    row = row_of(record(parts={"loss": part("mine", changed=changed)}))
    found = options(row_command(row))["settings"]
    given = {key.removeprefix("loss."): text for key, text in found.items()}
    assert resolve(Weighted, "loss", given) == changed | {"names": tuple(changed["names"])}


def test_the_command_of_a_table_sets_the_backbone_that_all_rows_share(record, part):
    parts = {"loss": part("triplet"), "backbone": part("linear", changed={"weights": "w.pt"})}
    other = {"loss": part("mine"), "backbone": part("linear")}
    (shared,) = make_tables([record(parts=parts)])
    (mixed,) = make_tables([record(parts=parts), record(parts=other)])
    found = options(table_command(shared))
    assert (found["backbone"], found["settings"]) == ("linear", {"backbone.weights": "w.pt"})
    found = options(table_command(mixed))
    assert (found["backbone"], found["settings"]) == ("linear", {})
    (usual,) = make_tables([record(parts={"loss": part("x"), "backbone": part("small-conv")})])
    assert options(table_command(usual))["backbone"] is None


def test_a_baseline_is_named_as_such(record):
    found = options(row_command(row_of(record(baseline="pca"))))
    assert (found["baselines"], found["losses"]) == (("pca",), ())


@pytest.mark.parametrize(
    ("seeds", "text"), [((0, 1, 2), "3"), ((0,), "1"), ((3,), "3,"), ((1, 4), "1,4")]
)
def test_seeds_are_counted_or_listed(seeds, text, record):
    line = row_command(row_of(*(record(seed=seed) for seed in seeds)))
    assert f"--seeds {text}" in line
    assert options(line)["seeds"] == seeds


def test_a_dataset_with_settings_is_set_too(record, part):
    rotated = part("mnist", settings={"split": 2}, changed={"split": 2})
    (table,) = make_tables([record(dataset=rotated)])
    found = options(table_command(table))
    assert (found["everything"], found["datasets"]) == (True, ("mnist",))
    assert found["settings"] == {"dataset.split": "2"}


def test_the_changes_of_ones_own_protocol_are_read_from_its_name(record):
    own = load_protocol("small").model_copy(update={"name": "mine"})
    changed = own.change("optimiser.lr", "0.01").change("optimiser.clip_norm", "2")
    found = options(row_command(row_of(record(protocol=changed))))
    assert found["protocol"] == "mine.toml"
    assert found["settings"] == {
        "protocol.optimiser.lr": "0.01",
        "protocol.optimiser.clip_norm": "2.0",
    }
    frozen = own.change("tuning", "frozen").model_copy(update={"name": "mine+frozen=True"})
    found = options(row_command(row_of(record(protocol=frozen))))
    assert found["settings"] == {"protocol.tuning": "frozen"}, "as an older record calls it"


@pytest.mark.usefixtures("paper_protocol")
def test_the_values_of_a_dataset_are_no_changes_on_it(record, part):
    base, of_cars = (load_protocol("paper", dataset=name) for name in ("cub", "cars"))
    theirs = part("cars", reference="other:cars", distribution="other")
    partial = part("cars", settings={"partial": True}, changed={"partial": True})
    for dataset, protocol in (("cub", base), ("cars", of_cars), (partial, of_cars), (theirs, base)):
        row = row_of(record(dataset=dataset, protocol=protocol))
        changes = options(row_command(row))["settings"]
        assert not [key for key in changes if key.startswith("protocol.")], dataset
    longer = of_cars.change("length.epochs", "8")
    for line in (row_command, lambda row: table_command(make_tables(row.records)[0])):
        changed = options(line(row_of(record(dataset="cars", protocol=longer))))
        assert (changed["protocol"], changed["settings"]) == (
            "paper",
            {"protocol.length.epochs": "8"},
        )


def test_names_cannot_leave_their_word(record, part):
    evil = part("x", reference="x; rm -rf ~ $(id) `id`\n--loss y")
    words = shlex.split(row_command(row_of(record(parts={"loss": evil}))))
    assert words[words.index("--loss") + 1] == "x; rm -rf ~ $(id) `id` --loss y"
