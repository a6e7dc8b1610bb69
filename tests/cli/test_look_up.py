"""``list``, ``show``, ``doctor`` and the command itself."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from dmlbench.components.catalogue import Catalogue
from dmlbench.components.entry_points import KINDS
from dmlbench.schemas.protocol import Optimiser
from dmlbench.schemas.protocol_file import load_protocol

PROTOCOLS = Path(__file__).parents[2] / "bench" / "dmlbench" / "protocols"


def test_list_names_every_entry_point(dmlbench):
    result = dmlbench("list")
    assert result.code == 0
    for entry in Catalogue.discover().entries:
        assert f"  {entry.name} " in result.out


@pytest.mark.parametrize("kind", [*KINDS, *KINDS.values()])
def test_list_takes_a_kind_in_singular_and_plural(dmlbench, kind):
    result = dmlbench("list", kind)
    assert result.code == 0
    assert len([line for line in result.out.splitlines() if line.endswith(")")]) == 1


HOOKS = """'Tells who was faster.'
from dmlbench import hookimpl

@hookimpl
def dmlbench_run_started(plan): ...

@hookimpl
def dmlbench_leaderboard_columns(records): return {}
"""


@pytest.mark.parametrize("kind", ["hook", "hooks"])
def test_list_and_show_tell_about_hook_plugins(dmlbench, install, kind):
    install("fast-ears", HOOKS, {"dmlbench.hooks": {"ear": "fast_ears"}})
    install("an-ear", "raise KeyError('x')", {"dmlbench.hooks": {"broken": "an_ear"}})
    assert "Hooks (2)" in dmlbench("list").out
    out = dmlbench("list", kind).out
    assert out.splitlines()[:3] == ["Hooks (2)", "  broken  an-ear 1.0", "  ear     fast-ears 1.0"]
    told = "Tells who was faster.", "hears: dmlbench_leaderboard_columns, dmlbench_run_started"
    long = dmlbench("list", kind, "--long").out
    assert "\n      ".join(("  ear     fast-ears 1.0", *told)) in long
    assert "BROKEN: The hooks 'broken' of an-ear 1.0 can't be loaded: KeyError" in long
    shown = dmlbench("show", kind, "ear")
    assert shown.code == 0
    assert all(text in shown.out for text in (*told, "fast_ears, version 1.0"))


@pytest.mark.parametrize("kind", ["protocol", "protocols"])
def test_list_names_every_protocol_that_ships(dmlbench, kind):
    shipped = sorted(path.stem for path in PROTOCOLS.glob("*.toml"))
    out = dmlbench("list", kind).out
    assert [line.split()[0] for line in out.splitlines()[1:] if line] == shipped
    assert out.splitlines()[0] == f"Protocols ({len(shipped)})"
    assert out in dmlbench("list").out
    long = dmlbench("list", kind, "--long").out
    assert "      Small images on a CPU: a small convolutional network from scratch" in long
    assert "      Source: dmlbench's own" in long


def test_list_long_gives_papers_and_default_miners(dmlbench):
    out = dmlbench("list", "losses", "--long").out
    assert "arXiv" in out
    assert "default miner: semi-hard" in out
    assert "BROKEN" not in out


def test_show_tells_what_a_network_costs_and_was_trained_on(dmlbench, monkeypatch, tmp_path):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)  # it has no weights
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    result = dmlbench("show", "backbone", "timm/vit_small_patch16_224.dino")
    assert result.code == 0, result.err
    lines = result.out.splitlines()
    assert lines[-11:-4] == [
        "input: 3 x 224 x 224 pixels",
        "features: 384",
        "parameters: 21,665,664",  # Caron et al. 2021: 21 M
        # Touvron et al. 2021 give DeiT-S, the same network, 4.6 G multiply-adds
        "GFLOPs: 9.2 in the matrix products, convolutions and attention for an image of 3 x 224 x "
        "224; a multiply-add is two",
        "pooling: token",
        "pre-trained on: ImageNet-1k",
        "licence of its weights: apache-2.0",
    ]
    assert lines[-4].startswith("cub in that data: images yes, classes yes. CUB's page warns")
    assert lines[-3].startswith("cars in that data: images unknown, classes no. ")
    assert lines[-2].startswith("sop in that data: images unknown, classes no. ")


def test_show_tells_of_a_network_that_starts_at_random(dmlbench):
    out = dmlbench("show", "backbone", "small-conv").out
    assert "\ninput: images of any size\nfeatures: 256\nparameters: 56,480\nGFLOPs: " in out
    assert "pre-trained" not in out


def test_show_refuses_a_network_that_timm_does_not_have(dmlbench):
    result = dmlbench("show", "backbone", "timm/resnt18")
    assert (result.code, "Near it: resnet18" in result.err) == (2, True)


@pytest.mark.parametrize("entry", Catalogue.discover().entries, ids=lambda e: e.qualified)
def test_show_tells_about_every_component(dmlbench, entry):
    result = dmlbench("show", entry.kind, entry.name)
    assert result.code == 0, result.err
    assert entry.value in result.out
    assert "(no documentation)" not in result.out


TABLES = """
[origins]
optimiser = "code: train.py"

[datasets.cars]
optimiser.schedule = "constant"
batch_size = 99
origins = { batch_size = "paper" }
"""


@pytest.fixture
def own_protocol(tmp_path):
    path = tmp_path / "own.toml"
    differs = 'differs = ["There, all classes train, and the best epoch on the test set counts."]\n'
    small = (PROTOCOLS / "small.toml").read_text().partition("[origins]")[0]
    path.write_text(differs + small + TABLES)
    return path


def lines_by_field(out: str) -> dict[str, list[str]]:
    """Return the cells of each field's first line, by the field's last name."""
    rows = [re.split(r"\s{2,}", line.strip()) for line in out.splitlines()]
    return {row[0]: row[1:] for row in rows if len(row) > 2}


def test_show_protocol_gives_value_meaning_and_origin_of_each_field(
    dmlbench, own_protocol, monkeypatch
):
    monkeypatch.setenv("COLUMNS", "160")
    protocol = load_protocol(own_protocol)
    out = dmlbench("show", "protocol", own_protocol).out
    found = lines_by_field(out)
    for key in protocol.fields():
        *_, name = key.split(".")
        assert (name in found) == (not protocol.unread(key)), key
    assert found["lr"] == ["0.001", "learning rate of the network", "code: train.py"]
    assert found["batch_size"] == ["64", "training items in a step", "ours"]
    assert found["warmup_steps"][0] == "20"
    assert found["floors"][0] == "pixels, untrained"
    assert "Not as in the source:\n- There, all classes train" in out
    assert "- cars: batch_size = 99, optimiser.schedule = constant" in out


@pytest.mark.parametrize("dataset", ["cars", "dmlbench:cars"])
def test_show_protocol_for_a_dataset(dmlbench, own_protocol, monkeypatch, dataset):
    monkeypatch.setenv("COLUMNS", "160")
    out = dmlbench("show", "protocol", own_protocol, "--dataset", dataset).out
    found = lines_by_field(out)
    assert out.startswith(f"protocol own for {dataset}\n")
    assert found["batch_size"] == ["99", "training items in a step", "paper"]
    assert found["schedule"][0] == "constant"
    assert "- cars" not in out
    cub = dmlbench("show", "protocol", own_protocol, "--dataset", "cub").out
    assert lines_by_field(cub)["batch_size"][0] == "64"
    assert "The file has no other values for cub." in cub


@pytest.mark.parametrize("columns", [80, 114, 115, 200])
def test_show_protocol_fits_the_terminal(dmlbench, own_protocol, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    out = dmlbench("show", "protocol", own_protocol).out
    assert max(map(len, out.splitlines())) <= min(columns, 160)
    words = out.replace("[", " ").replace("]", " ").split()
    unread = {"momentum", "step_epochs", "step_factor", "milestones"}
    assert words.count("train.py") == len(Optimiser.model_fields.keys() - unread)


def test_show_protocol_refuses_an_unknown_dataset(dmlbench):
    result = dmlbench("show", "protocol", "small", "--dataset", "glyphz")
    assert result.code == 2
    assert "There is no dataset named 'glyphz'. Did you mean 'glyphs'?" in result.err
    result = dmlbench("show", "loss", "triplet", "--dataset", "glyphs")
    assert result.code == 2
    assert "--dataset goes with `show protocol`" in result.err


def test_doctor_reports_versions_devices_and_data(dmlbench):
    result = dmlbench("doctor")
    assert result.code == 0, result
    for word in ("torch", "cpu", "glyphs: ready", "mnist:", "IDX files"):
        assert word in result.out


@pytest.fixture
def broken_datasets(install) -> dict[str, str]:
    """Install datasets that break when they are asked for their data; return what is told of each.

    Their names are the first and the last of all.
    """
    source = (
        "from dmlbench import DataError, Dataset\n"
        "class Damaged(Dataset):\n"
        "    modality, evaluation = 'image', 'retrieval'\n"
        "    def load(self, data_dir): ...\n"
        "    def missing(self, data_dir): raise DataError('its index is damaged')\n"
        "class Buggy(Damaged):\n"
        "    def missing(self, data_dir): raise KeyError('index')\n"
        "class Boastful(Damaged):\n"
        "    expected = None\n"
        "    def missing(self, data_dir): return 7\n"
    )
    points = {"aa-damaged": "Damaged", "aa-buggy": "Buggy", "zz-boastful": "Boastful"}
    entries = {name: f"broken_data:{value}" for name, value in points.items()}
    install("broken-data", source, {"dmlbench.datasets": entries})
    return {
        "aa-damaged": "'aa-damaged' of broken-data 1.0 failed: DataError: its index is damaged",
        "aa-buggy": "'aa-buggy' of broken-data 1.0 failed: KeyError: 'index'",
        "zz-boastful": "'zz-boastful' of broken-data 1.0 failed: ",
    }


def test_doctor_names_broken_datasets_beside_the_others(dmlbench, broken_datasets):
    result = dmlbench("doctor")
    assert result.code == 1
    broken = [line for line in result.out.splitlines() if "BROKEN" in line]
    assert len(broken) == len(broken_datasets)
    for word in (*broken_datasets.values(), "glyphs: ready", "omniglot:"):
        assert word in result.out


def test_data_list_names_broken_datasets_beside_the_others(dmlbench, broken_datasets):
    result = dmlbench("data", "list")
    assert result.code == 0
    states = dict(line.split(maxsplit=1) for line in result.out.splitlines() if line[0] != " ")
    assert states["glyphs"] == "ready"
    for name, reason in broken_datasets.items():
        assert states[name].startswith("BROKEN: ")
        assert reason in states[name]


def test_run_all_leaves_broken_datasets_out_with_the_reason(dmlbench, broken_datasets):
    result = dmlbench("run", "--all", "--dry-run", "--seeds", 1)
    assert result.code == 0, result.err
    lines = [line for line in result.out.splitlines() if line.startswith("Left out: ")]
    for name, reason in broken_datasets.items():
        assert any(line.startswith(f"Left out: {name}: ") and reason in line for line in lines)


def test_help_names_every_verb_and_version_is_the_distribution_s(dmlbench):
    from importlib.metadata import version

    for verb in ("run", "list", "show", "publish", "doctor"):
        assert verb in dmlbench("--help").out
        assert dmlbench(verb, "--help").code == 0
    assert version("dmlbench") in dmlbench("--version").out


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["list"], ["--version"]])
def test_looking_up_imports_nothing_heavy(arguments):
    code = (
        "import sys\n"
        f"sys.argv = ['dmlbench', *{arguments}]\n"
        "from dmlbench.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code\n"
        "heavy = {'torch', 'numpy', 'pydantic', 'sklearn', 'datasets', 'pandas', 'rich'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
