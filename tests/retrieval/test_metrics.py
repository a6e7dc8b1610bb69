"""A metric stands once: averages, records, tables, checks and `score` read it there."""

import json
import re

import numpy as np
import pytest

from dmlbench import ConfigError, PluginError, retrieval
from dmlbench.retrieval import Metric, SetMetric, evaluate
from dmlbench.retrieval import metrics as registry
from dmlbench.retrieval.metrics import METRICS, find_metric, in_order

RNG = np.random.default_rng(0)
LABELS = np.repeat(np.arange(10), 6)
EMBEDDINGS = (RNG.normal(size=(10, 8))[LABELS] + RNG.normal(size=(60, 8))).astype(np.float32)


class WithinTwo(Metric):
    """Whether the best positive has rank 1 or 2."""

    title = "Within two"
    needs = frozenset({"best_rank"})
    floors_count = True

    def by_query(self, arrays):
        return arrays["best_rank"] <= 2


@pytest.fixture
def one_more(monkeypatch):
    """Add a metric in the one place where metrics stand."""
    monkeypatch.setattr(registry, "METRICS", {**METRICS, "within_two": WithinTwo})
    registry.find_metric.cache_clear()
    yield
    registry.find_metric.cache_clear()


def test_every_metric_says_what_it_is_and_is_found_by_key_and_alias():
    for key, kind in METRICS.items():
        name = f"{key}@3" if key in ("recall", "precision") else key
        metric = find_metric(name)
        assert type(metric) is kind
        assert metric.title
        assert not metric.unknown_needs()
        if metric.alias:
            assert type(find_metric(metric.alias)) is kind
    assert find_metric("recall") is find_metric("recall@0") is find_metric("recal") is None


def test_keys_are_ordered_as_tables_are():
    keys = ["tied", "map_at_r", "theirs", "recall@10", "recall@2", "r_precision"]
    ordered = ["recall@2", "recall@10", "r_precision", "map_at_r", "tied", "theirs"]
    assert in_order(keys) == ordered


def test_a_result_holds_every_metric_asked_for_by_key():
    asked = ("map", "nmi", "precision@3")
    found = evaluate(EMBEDDINGS, LABELS, recall_at=(1, 5), metrics=asked)
    assert found.metrics["recall@5"] == found.recall_at[5]
    assert found.metrics["precision@3"] == found.precision_at[3]
    assert found.metrics["mean_average_precision"] == found.mean_average_precision
    assert found.metrics["nmi"] == retrieval.evaluate_clustering(EMBEDDINGS, LABELS).nmi
    assert "nmi" not in found.per_class.metrics, "a figure of the whole set is no mean over classes"


def test_a_figure_of_the_whole_set_sees_queries_and_gallery_once_each():
    class Items(SetMetric):
        title = "Items"
        is_share = False

        def of_set(self, embeddings, labels):
            assert len(embeddings) == len(labels)
            return float(len(labels) + 1000 * len(np.unique(labels)))

    asked = {"items": Items()}
    gallery = (EMBEDDINGS[20:], LABELS[20:])
    alone = evaluate(EMBEDDINGS, LABELS, metrics=asked)
    apart = evaluate(
        EMBEDDINGS[:30], LABELS[:30], *gallery, self_index=np.full(30, -1), metrics=asked
    )
    inside = evaluate(
        EMBEDDINGS[20:30], LABELS[20:30], *gallery, self_index=np.arange(10), metrics=asked
    )
    assert [found.metrics["items"] for found in (alone, apart, inside)] == [10060, 10070, 7040]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.zeros(3), r"shape \[3\], not one for each of the 60"),
        (np.full(60, np.nan), "not finite"),
        (np.array(["x"] * 60), "not finite numbers"),
        (0.5, r"shape \[\]"),
    ],
)
def test_a_metric_that_returns_something_else_is_named(values, reason):
    class Wrong(WithinTwo):
        def by_query(self, arrays):
            return values

    with pytest.raises(PluginError, match=f"The metric 'wrong' .*{reason}"):
        evaluate(EMBEDDINGS, LABELS, metrics={"wrong": Wrong()})


def test_what_no_ranking_gives_and_unknown_names_are_refused():
    class Needy(WithinTwo):
        needs = frozenset({"moon", "hits@4"})

    with pytest.raises(ConfigError, match="needs moon, which"):
        evaluate(EMBEDDINGS, LABELS, metrics={"needy": Needy()})
    with pytest.raises(ConfigError, match=r"'nmy'\. Did you mean 'nmi'"):
        evaluate(EMBEDDINGS, LABELS, metrics=("nmy",))
    with pytest.raises(ConfigError, match="needs correct"):
        evaluate(EMBEDDINGS, LABELS, metrics=("knn_accuracy",))


def test_a_metric_added_in_one_place_is_in_records_tables_checks_and_score(
    one_more, trial_of, zoo, tmp_path, dmlbench_score
):
    import torch

    from dmlbench.audit.plausibility import faults
    from dmlbench.components.catalogue import Catalogue
    from dmlbench.components.workplace import Workplace
    from dmlbench.leaderboard.publish import files_by_path
    from dmlbench.trials.run_trial import run_trial

    trial = trial_of(losses=(zoo("Pull"),))
    workplace = Workplace(Catalogue.discover(), None, torch.device("cpu"))
    record = run_trial(trial, workplace, metrics=("within_two",))
    assert record.status == "finished", record.reason
    rank = record.per_query["best_rank"].unpack()
    assert record.metrics["within_two"] == np.mean(rank <= 2)
    assert record.metric_facts == {}, "it is ours"
    assert faults(record) == []
    wrong = {**record.metrics, "within_two": 0.123}
    (told,) = faults(record.model_copy(update={"metrics": wrong, "last_epoch_metrics": wrong}))
    assert "within_two is 0.123" in told
    files = files_by_path([record])
    (page,) = (
        text for name, text in files.items() if name.endswith("small.md") or "tiny.md" in name
    )
    assert re.search(r"\| +Recall@1 \| +Within two \|", page), page
    assert dmlbench_score(EMBEDDINGS, LABELS, "within_two")["within_two"] <= 1


@pytest.fixture
def dmlbench_score(tmp_path):
    """Return what ``dmlbench score`` prints as JSON."""
    from click.testing import CliRunner

    from dmlbench.cli.score import command

    def score(embeddings, labels, metrics):
        path = tmp_path / "embeddings.npz"
        np.savez(path, embeddings=embeddings, labels=labels)
        told = CliRunner().invoke(command, [str(path), "--metrics", metrics, "--json"])
        assert told.exit_code == 0, told.output
        return json.loads(told.stdout)

    return score
