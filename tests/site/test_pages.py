"""What the pages say: every row, and the figures of the records."""

from collections import defaultdict

import numpy as np
import pytest
from scipy import stats
from support.made_records import record as make_record

from dmlbench.schemas.protocol_file import load_protocol
from dmlbench.schemas.record import Distances, Epoch


def shown(values) -> str:
    values = 100 * np.array(values)
    return f"{values.mean():.2f} ± {stats.t.ppf(0.975, len(values) - 1) * stats.sem(values):.2f}"


def by_row(records):
    rows = defaultdict(list)
    for record in records:
        if record.trial.dataset.name == "glyphs":
            rows[record.trial.label].append(record)
    return rows


def test_the_table_page_has_every_row_with_the_figures_of_its_records(site):
    page = site.pages["tables/glyphs-small.html"]
    lines = {
        " + ".join(line[k] for k in ("Loss", "Miner") if line[k] != "–"): line
        for line in page.sheet("trained-0")
    } | {line["Baseline"]: line for line in page.sheet("baselines")}
    compared = 0
    for label, records in by_row(site.records).items():
        done = [record for record in records if record.status == "finished"]
        if not done:
            continue
        line = lines.pop(label)
        for name, metric in (("MAP@R", "map_at_r"), ("Recall@1", "recall@1")):
            values = [record.metrics[metric] for record in done]
            if len(set(values)) > 1:
                assert line[name] == shown(values)
                compared += 1
            else:
                assert line[name] == f"{100 * values[0]:.2f} ± 0.00"
        assert line["Trials"].split() == [str(record.trial.seed) for record in records]
    assert not lines
    assert compared == 18


def test_cells_are_sorted_by_the_mean_to_six_digits(site):
    page = site.pages["tables/glyphs-small.html"]
    (table,) = page.by_id("trained-0").all("table")
    place = [th.text for th in table.all("th")].index("MAP@R")
    numbers = [
        float(row.all("td")[place - 1].attributes["data-number"]) for row in table.all("tr")[1:]
    ]
    means = [
        np.mean([r.metrics["map_at_r"] for r in records if r.status == "finished"])
        for label, records in by_row(site.records).items()
        if "baseline" not in records[0].trial.parts and "broken" not in label
    ]
    assert numbers == pytest.approx(sorted(means, reverse=True), rel=5.1e-6)


def test_failures_have_their_reason_on_the_table_and_on_their_own_page(site):
    pages = site.pages
    failed = pages["tables/glyphs-small.html"].sheet("failed")
    reasons = {(line["Row"], line["Seed"]): line["Reason"] for line in failed}
    for record in site.records:
        if record.status == "failed":
            assert reasons.pop((record.trial.label, str(record.trial.seed))) == record.reason
            assert record.reason in pages[f"trials/{record.trial.id}.html"].all("main")[0].text
    assert not reasons


def test_the_index_names_every_table_and_every_method(site):
    page = site.pages["index.html"]
    tables = page.sheet("tables")
    assert [(line["Dataset"], line["Trials"]) for line in tables] == [
        ("glyphs", "39, 4 failed"),
        ("iris", "9"),
    ]
    methods = {line["Method"] for line in page.sheet("methods")}
    assert methods == {
        *("multi-similarity", "contrastive", "triplet", "proxy-anchor", "normalized-softmax"),
        *("arcface", "broken-loss", "pixels", "untrained", "pca", "lda"),
    }


def test_a_method_page_has_its_rows_in_all_tables(site):
    page = site.pages["methods/loss-triplet.html"]
    rows = page.sheet("rows")
    assert sorted((line["Table"], line["Miner"]) for line in rows) == [
        ("glyphs · small", "batch-hard"),
        ("glyphs · small", "random"),
        ("glyphs · small", "semi-hard"),
        ("iris · vectors", "–"),
    ]
    (iris,) = (line for line in rows if line["Table"] == "iris · vectors")
    assert iris["5-NN accuracy"] == "94.20 ± 0.50"
    assert iris["MAP@R"] == "–"


def test_a_trial_page_has_its_own_figures_epochs_and_command(site):
    pages = site.pages
    for record in site.records:
        trained = "loss" in record.trial.parts and record.status == "finished"
        if not trained or record.trial.dataset.name != "glyphs":
            continue
        page = pages[f"trials/{record.trial.id}.html"]
        metrics = {line["Metric"]: line["Epoch 10 (counts)"] for line in page.sheet("metrics")}
        assert metrics["MAP@R"] == f"{100 * record.metrics['map_at_r']:.2f}"
        epochs = page.sheet("epochs")
        assert [line["Loss"] for line in epochs[1:]] == [f"{e.loss:.4f}" for e in record.epochs[1:]]
        assert [line["Positive, test"] for line in epochs] == [
            f"{e.distances['test'].positive:.4f}" for e in record.epochs
        ]
        command = page.all("pre")[0].text
        seed = record.trial.seed
        assert command.endswith(f"--seeds {f'{seed},' if seed else 1}")
        assert f"--loss {record.trial.parts['loss'].name}" in command


def test_epochs_that_were_not_measured_and_a_network_trained_anew_have_their_lines(build):
    pair = Distances(positive=0.25, negative=0.5)
    epochs = [
        Epoch(epoch=0, distances={"train": pair}),
        Epoch(epoch=1, loss=0.5),
        Epoch(epoch=2, loss=0.25, distances={"train": pair}),
    ]
    again = [epoch.model_copy(update={"retraining": True}) for epoch in epochs[:2]]
    one = make_record(epochs=epochs, retraining=again, selected_epoch=1)
    pages = build([one])
    page = pages[f"trials/{one.trial.id}.html"]
    lines = page.sheet("epochs")
    assert [line["Loss"] for line in lines] == ["–", "0.5000", "0.2500"]
    assert [line["Positive, train"] for line in lines] == ["0.2500", "–", "0.2500"]
    assert [line["Loss"] for line in page.sheet("retraining")] == ["–", "0.5000"]
    (table,) = (page for path, page in pages.items() if path.startswith("tables/"))
    (series,) = table.data("rows-data")["series"]
    assert series["distances"]["train"]["epochs"] == [0, 2]
    assert [point[0] for point in series["loss"]] == [1, 2]
    assert "Distance of positive pairs" not in table.text


def test_charts_hold_means_and_intervals_of_the_records(site):
    data = site.pages["tables/glyphs-small.html"].data("rows-data")
    assert data["metric"] == "MAP@R"
    rows = by_row(site.records)
    for series in data["series"]:
        done = [record for record in rows[series["label"]] if record.status == "finished"]
        values = np.array([[100 * record.metrics["map_at_r"] for record in done]])
        assert series["score"][0] == pytest.approx(values.mean(), abs=1e-3)
        assert series["seconds"] == pytest.approx(
            np.mean([record.measurements["seconds"] for record in done])
        )
        ranks = {1: "recall@1", 2: "recall@2", 4: "recall@4", 8: "recall@8"}
        assert [point[0] for point in series["recall"]] == list(ranks)
        for rank, mean, half in series["recall"]:
            several = [100 * record.metrics[ranks[rank]] for record in done]
            assert mean == pytest.approx(np.mean(several), abs=1e-3)
            expected = stats.t.ppf(0.975, len(several) - 1) * stats.sem(several)
            assert half == pytest.approx(expected, abs=1e-3)
        if series["kind"] == "baseline":
            assert series["loss"] == []
            continue
        for epoch, mean, half in series["loss"]:
            assert mean == pytest.approx(done[0].epochs[epoch].loss, rel=1e-4)  # same for all
            assert half == 0
        ratios = [
            np.mean(
                [
                    r.epochs[e].distances["test"].positive / r.epochs[e].distances["test"].negative
                    for r in done
                ]
            )
            for e in range(11)
        ]
        assert series["distances"]["test"]["ratio"] == pytest.approx(ratios, rel=1e-4)


def test_the_floors_of_the_picture_are_the_baselines_to_be_beaten(site):
    data = site.pages["tables/glyphs-small.html"].data("rows-data")
    assert {floor["label"] for floor in data["floors"]} == {"pixels", "untrained"}


def test_only_failed_trials_still_make_pages(record, build):
    pages = build([record(status="failed", reason="no memory")])
    assert "No trial has finished." in pages["tables/glyphs-small.html"].all("main")[0].text
    assert pages["tables/glyphs-small.html"].sheet("failed")[0]["Reason"] == "no memory"


def test_columns_of_plugins_stand_in_the_details(record, build):
    pages = build(
        [record(seed=seed) for seed in range(3)],
        columns=lambda records: {"Stars": f"{len(records)} of 3"},
    )
    lines = pages["tables/glyphs-small.html"].sheet("made")
    assert {line["Stars"] for line in lines} == {"3 of 3"}


def test_losses_stand_beside_each_other_by_sampler_on_each_of_their_tables(record, build):
    small = load_protocol("small")
    protocols = [small, *(small.change("sampler", name) for name in ("random", "hierarchical"))]
    records = [
        record(loss, None, protocol=protocol, map_at_r=0.1 * place + 0.01 * other)
        for place, loss in enumerate(("arcface", "triplet", "margin"))
        for other, protocol in enumerate(protocols)
    ]
    tables = [page for path, page in build(records).items() if path.startswith("tables/")]
    assert len(tables) == 3
    for page in tables:
        first = page.sheet("by-sampler")[0]
        assert {name: text.split(" ± ")[0] for name, text in first.items()} == {
            "Loss": "margin",
            "hierarchical": "22.00",
            "random": "21.00",
            "m-per-class": "20.00",
        }


def test_the_index_ranks_the_rows_that_three_datasets_have_in_common(record, build):
    score = {"arcface": (0.3, 0.2, 0.3), "triplet": (0.2, 0.3, 0.1), "margin": (0.1, 0.1, 0.2)}
    records = [
        record(loss, None, dataset=dataset, fingerprint=dataset, map_at_r=score[loss][place])
        for loss in score
        for place, dataset in enumerate(("glyphs", "mnist", "digits"))
    ]
    ranks = build(records)["index.html"].sheet("ranks")
    assert [(line["Row"], line["Mean rank"], line["mnist · small"]) for line in ranks] == [
        ("arcface", "1.33", "2"),
        ("triplet", "2.00", "1"),
        ("margin", "2.67", "3"),
    ]
