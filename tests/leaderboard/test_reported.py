"""Published figures stand only beside rows that follow the paper's protocol on the whole data."""

from importlib.metadata import entry_points

import pytest

from dmlbench.leaderboard.formats.markdown import PageImages, markdown_page
from dmlbench.leaderboard.publish import files_by_path
from dmlbench.leaderboard.reported import reported, reported_rows
from dmlbench.leaderboard.tables import make_tables
from dmlbench.schemas.protocol_file import load_protocol

ENTRIES = reported().entries


def names(kind: str) -> set[str]:
    return {point.name for point in entry_points(group=f"dmlbench.{kind}")}


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: f"{e.protocol}-{e.dataset}-{e.loss}")
def test_loss_miner_dataset_protocol_and_source_of_each_entry_exist(entry):
    assert entry.dataset in names("datasets")
    assert entry.loss in names("losses")
    assert not entry.miner or entry.miner in names("miners")
    assert entry.source in reported().sources
    assert entry.resolved().name == entry.protocol


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: f"{e.protocol}-{e.dataset}-{e.loss}")
def test_figures_are_percents_of_known_metrics_that_can_be_true(entry):
    found = entry.metrics
    assert all(1 < value < 100 for value in found.values())
    recalls = [found[name] for name in sorted(found) if name.startswith("recall@")]
    assert recalls == sorted(recalls)
    assert found.get("map_at_r", 0) < found.get("r_precision", 1) < found["recall@1"]


def test_no_method_is_reported_twice():
    keys = [(e.protocol, e.dataset, e.loss, e.miner) for e in ENTRIES]
    assert len(set(keys)) == len(keys)


def test_every_source_says_paper_table_and_where_it_was_read():
    for source in reported().sources.values():
        assert source.paper
        assert source.place
        assert source.provenance
    assert {entry.source for entry in ENTRIES} == reported().sources.keys()


@pytest.fixture
def row_of(record, part):
    def make(loss="contrastive", miner="all-pairs", dataset="cub", **fields):
        protocol = fields.pop("protocol", load_protocol("reality-check"))
        backbone = part("timm/resnet50.tv_in1k")
        fields = {"protocol": protocol, "dataset": dataset, **fields}
        fields["parts"] = {"backbone": backbone} | fields.get("parts", {})
        return make_tables([record(loss, miner, seed=seed, **fields) for seed in range(2)])[0]

    return make


def test_page_csv_and_json_show_reported_beside_reproduced_with_a_footnote(row_of):
    table = row_of(recall_at_1=0.5, map_at_r=0.2)
    text = markdown_page(table, "x", PageImages())
    reported = text.partition("## Reported and reproduced")[2].splitlines()
    line = next(one for one in reported if one.startswith("| contrastive + all-pairs | "))
    shown = [cell.strip() for cell in line.strip("|").split("|")]
    assert shown[1:3] == ["59.73", "50.00 ± 0.00"]
    assert shown[-1] == "(1)"
    assert "1. Musgrave, Belongie, Lim. A Metric Learning Reality Check." in text
    files = files_by_path(table.records)
    assert "reported_recall@1" in files["cub/reality-check.csv"]
    assert '"recall@1": 0.5973' in files["cub/reality-check.json"]


def test_a_miner_that_the_source_does_not_name_is_said(row_of):
    text = markdown_page(row_of("triplet", "semi-hard"), "x", PageImages())
    assert "(1), which names no miner" in text


def test_the_miner_must_be_the_one_that_the_source_names(row_of):
    assert reported_rows(row_of("multi-similarity", "multi-similarity"))
    assert not reported_rows(row_of("contrastive", "batch-hard"))


@pytest.mark.parametrize(
    "other",
    [
        "partial data",
        "other dataset",
        "other protocol",
        "changed protocol",
        "changed loss",
        "someone's loss",
        "other backbone",
        "changed backbone",
    ],
)
def test_nothing_is_reported_of(other, row_of, part):
    cut = part("cub", settings={"partial": True}, changed={"partial": True})
    changed = load_protocol("reality-check").change("length.epochs", "3")
    tuned = part("contrastive", settings={"margin": 1}, changed={"margin": 1})
    pooled = {"pooling": "max"}
    fields = {
        "partial data": {"dataset": cut},
        "other dataset": {"dataset": "sop"},
        "other protocol": {"protocol": load_protocol("small")},
        "changed protocol": {"protocol": changed},
        "changed loss": {"parts": {"loss": tuned}},
        "someone's loss": {"parts": {"loss": part("contrastive", distribution="theirs")}},
        "other backbone": {"parts": {"backbone": part("small-conv")}},
        "changed backbone": {"parts": {"backbone": part("timm/resnet50.tv_in1k", changed=pooled)}},
    }[other]
    table = row_of(**fields)
    assert not reported_rows(table)
    assert "eported" not in markdown_page(table, "x", PageImages())


def test_a_protocol_is_known_by_what_it_holds_not_by_its_name(row_of):
    named = load_protocol("reality-check").model_copy(update={"name": "mine"})
    assert reported_rows(row_of(protocol=named))
    posing = load_protocol("small").model_copy(update={"name": "reality-check"})
    assert not reported_rows(row_of(protocol=posing))


def test_house_rates_are_no_changes_of_the_loss(row_of):
    row = row_of(details={"own_lr": "0.0015 (house)"})
    assert row.rows[0].hyperparameters == "house rate"
    assert reported_rows(row)


@pytest.mark.usefixtures("paper_protocol")
def test_a_table_must_have_the_values_of_the_datasets_own():
    entry = ENTRIES[0].model_copy(update={"protocol": "paper"})
    found = {
        name: entry.model_copy(update={"dataset": name}).resolved().optimiser.lr
        for name in ("cub", "cars")
    }
    assert found == {"cub": 1e-3, "cars": 0.5}


def test_what_a_paper_changes_for_a_dataset_is_part_of_the_protocol(row_of):
    plain = load_protocol("proxy-anchor")
    assert not reported_rows(row_of("proxy-anchor", None, "cars", protocol=plain))
    own = plain.change("optimiser.step_epochs", "10")
    assert reported_rows(row_of("proxy-anchor", None, "cars", protocol=own))
