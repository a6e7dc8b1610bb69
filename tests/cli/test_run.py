"""``dmlbench run`` from request to leaderboard."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

DIGITS = ("--dataset", "digits-closed", "--jobs", 0)


def records(folder: Path) -> list[dict]:
    return [json.loads(path.read_text()) for path in sorted(folder.rglob("*.json"))]


def test_one_loss_leaves_records_and_a_leaderboard_with_the_floors(dmlbench, tiny, tmp_path):
    result = dmlbench("run", *DIGITS, "--loss", "contrastive", "--protocol", tiny, "--seeds", 2)
    assert result.code == 0, result.err
    found = records(tmp_path / "runs")
    labels = {record["trial"]["parts"].get("loss", {}).get("name") for record in found}
    assert labels == {"contrastive", None}
    assert len(found) == 6  # the loss and two floors, two seeds each
    assert all(record["status"] == "finished" for record in found)
    page = (tmp_path / "leaderboards" / "digits-closed" / "tiny.md").read_text()
    for row in ("contrastive", "pixels", "untrained"):
        assert row in page
        assert row in result.out


def test_a_dry_run_shows_the_plan_and_writes_nothing(dmlbench, tiny, tmp_path):
    result = dmlbench("run", "--all", "--dry-run", "--protocol", tiny)
    assert result.code == 0, result.err
    assert "glyphs" in result.out
    assert "proxy-anchor" in result.out
    assert "  a trained trial: " in result.out
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.toml"]


def test_the_plan_is_a_table_of_miners_and_losses_that_fits_the_terminal(
    dmlbench, tiny, monkeypatch
):
    monkeypatch.setenv("COLUMNS", "80")
    request = ("run", "--all", "--dataset", "glyphs", "--dry-run", "--protocol", tiny)
    out = dmlbench(*request, "--seeds", 1).out
    head, *lines = out.partition("a trained trial")[0].splitlines()[:-1]
    assert head == "glyphs, protocol tiny: 62 rows x 1 seed = 62 trials"
    assert max(map(len, lines)) <= 80
    right = lines[0].index("Losses")
    groups: list[tuple[str, str]] = []
    for line in lines[1:]:
        cells = line[:right].strip(), line[right:].strip()
        if cells[0] and not (groups and groups[-1][0].endswith(",")):
            groups.append(cells)
        else:
            groups[-1] = tuple(f"{a} {b}".strip() for a, b in zip(groups[-1], cells, strict=True))
    table = {miners: names.split(", ") for miners, names in groups}
    assert table["distance-weighted"] == ["margin", "quadruplet", "r-margin"]
    assert "arcface" in table["none"]
    assert "pixels" in table["Baselines"]
    (of_triplet,) = [miners for miners, names in table.items() if names == ["triplet"]]
    assert {"batch-hard", "random", "semi-hard"} <= set(of_triplet.split(", "))
    rows = sum(len(names) * len(miners.split(", ")) for miners, names in table.items())
    assert rows == 62


def test_each_sampler_has_a_plan_of_its_own(dmlbench, tiny):
    options = ("--loss", "contrastive", "--sampler", "random,m-per-class", "--seeds", "2")
    out = dmlbench("run", "--dataset", "digits-closed", *options, "--protocol", tiny, "--dry-run")
    assert "protocol tiny+sampler=random: 3 rows x 2 seeds = 6 trials" in out.out
    assert "protocol tiny: 3 rows x 2 seeds = 6 trials" in out.out


def test_all_says_which_datasets_it_leaves_out_and_how_to_get_them(dmlbench, tiny):
    out = dmlbench("run", "--all", "--dry-run", "--protocol", tiny).out
    assert "ready: --dataset digits,iris" in out
    assert "Left out: mnist, mnist-closed: MNIST is not on this machine" in out
    assert "Left out: folder: name your own data" in out
    chosen = dmlbench("run", "--all", "--dataset", "digits", "--dry-run", "--protocol", tiny).out
    assert "Left out" not in chosen


def test_a_second_run_runs_nothing_again(dmlbench, tiny, tmp_path):
    request = ("run", *DIGITS, "--loss", "triplet", "--protocol", tiny, "--seeds", 1)
    assert dmlbench(*request).code == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*.json")}
    tables = {p: p.read_bytes() for p in (tmp_path / "leaderboards").rglob("*") if p.is_file()}
    second = dmlbench(*request)
    assert second.code == 0
    assert "0 trials to run, 3 finished before" in second.out
    assert "all trials" not in second.err  # no bar of nothing
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*.json")}
    assert tables == {p: p.read_bytes() for p in tables}


def test_a_setting_reaches_the_loss_and_the_table(dmlbench, tiny, tmp_path):
    result = dmlbench(
        *("run", *DIGITS, "--loss", "triplet", "--baseline", "none", "--protocol", tiny),
        *("--seeds", 1, "--set", "loss.margin=0.3"),
    )
    assert result.code == 0, result.err
    (record,) = records(tmp_path / "runs")
    assert record["trial"]["parts"]["loss"]["settings"] == {"margin": 0.3}
    assert "margin=0.3" in (tmp_path / "leaderboards" / "digits-closed" / "tiny.md").read_text()


def test_a_changed_protocol_is_another_table(dmlbench, tiny, tmp_path):
    request = ("run", *DIGITS, "--baseline", "pixels", "--protocol", tiny, "--seeds", 1)
    assert dmlbench(*request).code == 0
    assert dmlbench(*request, "--set", "protocol.embedding_dim=4").code == 0
    pages = {path.name for path in (tmp_path / "leaderboards" / "digits-closed").glob("*.md")}
    assert pages == {"tiny.md", "tiny+embedding_dim=4.md"}


def test_a_suite_file_says_what_to_run(dmlbench, tiny, tmp_path):
    suite = tmp_path / "suite.toml"
    suite.write_text(
        'datasets = ["digits"]\nlosses = ["triplet"]\nminers = ["random", "batch-hard"]\n'
        f'baselines = []\nprotocol = "{tiny}"\nseeds = [4]\nsettings = {{"loss.margin" = 0.1}}\n'
    )
    result = dmlbench("run", "--suite", suite, "--jobs", 0)
    assert result.code == 0, result.err
    miners = {record["trial"]["parts"]["miner"]["name"] for record in records(tmp_path / "runs")}
    assert miners == {"random", "batch-hard"}


def test_iris_is_cross_validated_and_agrees_with_scikit_learn(dmlbench, tmp_path):
    from sklearn.datasets import load_iris
    from sklearn.model_selection import cross_val_score
    from sklearn.neighbors import KNeighborsClassifier

    result = dmlbench(
        *("run", "--dataset", "iris", "--baseline", "pixels,nca", "--loss", "contrastive"),
        *("--seeds", 1, "--jobs", 0),
    )
    assert result.code == 0, result.err
    scores = {
        record["trial"]["parts"].get("baseline", {"name": "deep"})["name"]: record["metrics"]
        for record in records(tmp_path / "runs")
    }
    expected = cross_val_score(KNeighborsClassifier(), *load_iris(return_X_y=True)).mean()
    assert scores["pixels"]["knn_accuracy"] == pytest.approx(expected, abs=1e-12)
    assert scores["deep"]["knn_accuracy"] > 0.9


def test_a_failing_loss_costs_only_its_own_trials(dmlbench, tiny, tmp_path):
    (tmp_path / "broken.py").write_text(
        "import torch\n"
        "from dmlbench import Loss\n"
        "class Broken(Loss):\n"
        "    '''Divides by zero.'''\n"
        "    takes = 'labels'\n"
        "    def forward(self, pairs, selection):\n"
        "        return 1 / (pairs.anchors.sum() * 0)\n"
    )
    losses = "./broken.py:Broken,contrastive"
    result = dmlbench("run", *DIGITS, "--loss", losses, "--protocol", tiny, "--seeds", 1)
    assert result.code == 1
    assert "step 1" in result.err
    status = {
        record["trial"]["parts"].get("loss", {}).get("name"): record["status"]
        for record in records(tmp_path / "runs")
    }
    assert status == {"./broken.py:Broken": "failed", "contrastive": "finished", None: "finished"}
    assert "Broken" in (tmp_path / "leaderboards" / "digits-closed" / "tiny.md").read_text()


def test_tables_that_can_not_be_written_leave_the_records_and_the_way_to_them(
    dmlbench, tiny, tmp_path
):
    page = tmp_path / "leaderboards" / "digits-closed" / "tiny.md"
    page.mkdir(parents=True)
    result = dmlbench("run", *DIGITS, "--baseline", "pixels", "--protocol", tiny, "--seeds", 1)
    assert result.code == 1
    assert [record["status"] for record in records(tmp_path / "runs")] == ["finished"]
    assert "tiny.md can't be written" in result.err
    command = "dmlbench publish --runs runs --output leaderboards"
    assert f"The records are kept. To make their leaderboards: {command}" in result.err
    page.rmdir()
    assert dmlbench(*command.split()[1:]).code == 0
    assert "pixels" in page.read_text()


def test_own_images_in_a_folder(dmlbench, tiny, tmp_path):
    rng = np.random.default_rng(0)
    for name in ("ant", "bee", "cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        colour = rng.integers(256, size=3)
        for number in range(4):
            pixels = np.clip(colour + rng.normal(0, 20, (24, 20, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.png")
    result = dmlbench(
        *("run", "--dataset", "folder:photos", "--loss", "supcon", "--protocol", tiny),
        *("--seeds", 1, "--jobs", 0),
    )
    assert result.code == 0, result.err
    assert {record["status"] for record in records(tmp_path / "runs")} == {"finished"}


def test_copies_of_images_are_noted_once_however_many_tables(dmlbench, tiny, tmp_path):
    numbers = iter(range(100))
    for name in "abcd":
        for copy in range(4):
            # The first image is the same in every class.
            pixels = np.random.default_rng(1 + next(numbers) if copy else 0).integers(
                256, size=(20, 20, 3)
            )
            path = tmp_path / "pets" / name / f"{copy}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.astype(np.uint8)).save(path)
    options = ("--loss", "contrastive", "--sampler", "random,m-per-class", "--seeds", 1)
    data = ("--dataset", f"folder:{tmp_path / 'pets'}", "--set", "protocol.batch_size=4")
    result = dmlbench("run", *data, *options, "--protocol", tiny, "--dry-run")
    assert result.code == 0, result.err
    notes = [line for line in result.err.splitlines() if line.startswith("Note: ")]
    assert len(notes) == 2
    assert "2 of 8 items of test are exact copies of items of train." in notes[0]
    assert "4 of 16 items have an exact copy in another class" in notes[1]
