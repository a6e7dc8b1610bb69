"""What the README says of the published tables is what stands in them."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest
from support.processors import environment, plainest

ROOT = Path(__file__).parents[2]


def rows(name: str) -> list[dict[str, str]]:
    with open(ROOT / "leaderboards" / name, newline="") as file:
        return list(csv.DictReader(file))


def test_on_mnist_every_loss_beats_pixels_on_map_at_r_and_none_on_recall():
    table = rows("mnist/small.csv")
    trained = [row for row in table if row["kind"] == "trained"]
    (pixels,) = [row for row in table if row["row"] == "pixels"]
    assert len(trained) == 10
    assert all(float(row["map_at_r"]) > float(pixels["map_at_r"]) for row in trained)
    assert all(float(row["recall@1"]) < float(pixels["recall@1"]) for row in trained)
    text = (ROOT / "README.md").read_text()
    assert f"MAP@R ({100 * float(pixels['map_at_r']):.1f})" in text
    assert f"Recall@1 ({100 * float(pixels['recall@1']):.1f})" in text


def dmlbench(*words: str, folder: Path, **changed: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dmlbench", *words]
    return subprocess.run(
        command,
        cwd=folder,
        env=environment(changed),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.timeout(600)
@pytest.mark.parametrize("arithmetic", [{}, plainest()], ids=["as it is", "plainest"])
@pytest.mark.parametrize("folder", ["leaderboards", "leaderboards/miners"])
def test_the_committed_tables_are_what_the_committed_records_give(folder, arithmetic):
    options = ("--runs", f"{folder}/runs", "--output", folder)
    done = dmlbench("publish", "--check", *options, folder=ROOT, **arithmetic)
    assert "files compared byte for byte" in done.stdout
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_site_has_the_same_bytes_on_every_processor(tmp_path):
    script = """
import sys
from pathlib import Path
from dmlbench import load_records
from dmlbench.site import build_site
build_site(load_records(sys.argv[1]), Path(sys.argv[2]))
"""
    runs, sites = ROOT / "leaderboards" / "runs" / "iris", []
    for name, arithmetic in {"own": {}, "plainest": plainest()}.items():
        command = [sys.executable, "-c", script, str(runs), str(tmp_path / name)]
        subprocess.run(command, env=environment(arithmetic), check=True)
        files = {path for path in (tmp_path / name).rglob("*") if path.is_file()}
        sites.append({path.relative_to(tmp_path / name): path.read_bytes() for path in files})
    assert sites[0] == sites[1]
    assert len(sites[0]) > 10


@pytest.mark.slow
@pytest.mark.timeout(900)  # it trains whole trials
def test_records_of_this_code_are_reproduced(tmp_path):
    """Not the published ones, which are older than the code: their losses have changed since."""
    records = sorted((ROOT / "tests" / "records" / "runs").rglob("*.json"))
    done = dmlbench("reproduce", *map(str, records), folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("eproduced") >= len(records) == 6


def test_on_iris_the_published_accuracies_are_those_of_scikit_learn():
    from sklearn.datasets import load_iris
    from sklearn.model_selection import cross_val_score
    from sklearn.neighbors import KNeighborsClassifier, NeighborhoodComponentsAnalysis
    from sklearn.pipeline import make_pipeline

    table = {row["row"]: float(row["knn_accuracy"]) for row in rows("iris/vectors.csv")}
    data = load_iris(return_X_y=True)
    neighbours = KNeighborsClassifier()
    nca = make_pipeline(NeighborhoodComponentsAnalysis(random_state=0), neighbours)
    assert abs(table["pixels"] - cross_val_score(neighbours, *data).mean()) < 5.1e-7
    assert abs(table["nca"] - cross_val_score(nca, *data).mean()) < 5.1e-7
