"""What the README says of the published tables is what stands in them."""

import csv
from pathlib import Path

import matplotlib
import pytest

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


@pytest.mark.parametrize("folder", ["leaderboards", "leaderboards/miners"])
def test_publishing_the_committed_records_gives_the_committed_tables(folder, tmp_path):
    from dmlbench.leaderboard.publish import publish
    from dmlbench.records import Store

    constraints = (ROOT / "constraints.txt").read_text()
    same_plots = f"matplotlib=={matplotlib.__version__}\n" in constraints
    records, damaged = Store(ROOT / folder / "runs").read_all()
    assert records
    assert not damaged
    for path in publish(records, tmp_path):
        committed = ROOT / folder / path.relative_to(tmp_path)
        assert committed.exists()
        if path.suffix == ".svg" and not same_plots:  # another matplotlib draws other bytes
            continue
        assert path.read_bytes() == committed.read_bytes(), committed


def test_on_iris_the_published_accuracies_are_those_of_scikit_learn():
    from sklearn.datasets import load_iris
    from sklearn.model_selection import cross_val_score
    from sklearn.neighbors import KNeighborsClassifier, NeighborhoodComponentsAnalysis
    from sklearn.pipeline import make_pipeline

    table = {row["row"]: float(row["knn_accuracy"]) for row in rows("iris/vectors.csv")}
    data = load_iris(return_X_y=True)
    neighbours = KNeighborsClassifier()
    nca = make_pipeline(NeighborhoodComponentsAnalysis(random_state=0), neighbours)
    assert abs(table["pixels"] - cross_val_score(neighbours, *data).mean()) < 1e-12
    assert abs(table["nca"] - cross_val_score(nca, *data).mean()) < 1e-12
