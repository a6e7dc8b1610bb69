"""What backbones were trained on before stands on every page, and drops no row."""

from dmlbench.leaderboard.formats.markdown import PageImages, markdown_page
from dmlbench.leaderboard.protocol_facts import protocol_facts
from dmlbench.leaderboard.ranking_cells import ranking_cells
from dmlbench.leaderboard.row_details import row_details
from dmlbench.leaderboard.row_document import row_document
from dmlbench.leaderboard.tables import make_tables

IN_1K = {"data": "ImageNet-1k", "licence": "mit", "images": "yes", "classes": "yes", "reason": "r"}
WEB = {**IN_1K, "data": "WebLI", "images": "unknown", "classes": "no"}


def table_of(record, *pretraining):
    losses = ("triplet", "contrastive", "margin")
    records = []
    for loss, facts in zip(losses, pretraining, strict=False):
        one = record(loss=loss)
        known = {} if facts is None else {"pretraining": facts}
        records.append(one.model_copy(update={"details": one.details | known}))
    (table,) = make_tables(records)
    return table


def test_what_all_rows_share_is_said_in_a_sentence(record):
    table = table_of(record, IN_1K, IN_1K)
    assert protocol_facts(table)["Network"].endswith("; pre-trained on: ImageNet-1k (glyphs: yes)")
    assert "Pre-trained on" not in ranking_cells(table, table.rows).headings
    headings, lines = row_details(table)
    place = headings.index("Pre-trained on")
    assert {line[place] for line in lines} == {"ImageNet-1k (glyphs: yes)"}


def test_rows_that_differ_have_a_column_and_none_is_dropped(record):
    table = table_of(record, IN_1K, WEB, None)
    cells = ranking_cells(table, table.rows)
    place = cells.headings.index("Pre-trained on")
    told = ["ImageNet-1k (glyphs: yes)", "WebLI (glyphs images: unknown, classes: no)", "–"]
    assert sorted(line[place] for line in cells.lines) == sorted(told)
    assert place not in cells.numeric
    assert cells.headings[min(cells.numeric)] == "Recall@1"
    assert protocol_facts(table)["Network"].endswith(f"pre-trained on: {' or '.join(sorted(told))}")
    assert sorted(row_document(table, row).pretrained_on for row in table.rows) == [
        "",
        *sorted(told[:2]),
    ]


def test_records_without_it_show_a_dash(record):
    table = table_of(record, None, None)
    assert "; pre-trained on: –" in markdown_page(table, "small", PageImages())


def test_a_strangers_record_may_hold_anything_there(record):
    for odd in ("ImageNet-1k", ["x"], {"data": "<b>|`x`"}, 3):
        page = markdown_page(table_of(record, odd), "small", PageImages())
        assert "<b>" not in page
