"""The cards of the index, what it advises, and how to cite."""

import numpy as np
import pytest
import yaml

from dmlbench.schemas.protocol_file import load_protocol
from dmlbench.schemas.record import Array
from dmlbench.site import citation

MEANS = {"arcface": 0.30, "triplet": 0.299, "margin": 0.2, "pixels": 0.05, "untrained": 0.10}
CLASSES = {"class": Array.pack(np.repeat(np.arange(7, dtype="<i4"), 3))}


def run_of(record, means, **fields):
    """Return five seeds of each loss or baseline, with the same noise for all at a seed."""
    noise = np.random.default_rng(0).normal(0, 0.01, (len(means), 5))
    return [
        record(
            *(() if name in ("pixels", "untrained") else (name, None)),
            baseline=name if name in ("pixels", "untrained") else None,
            seed=seed,
            map_at_r=mean + noise[place, seed],
            **fields,
        )
        for place, (name, mean) in enumerate(means.items())
        for seed in range(5)
    ]


def cards_of(page):
    return [one for one in page.all("li") if one.attributes.get("class") == "card"]


def test_a_card_names_who_cant_be_told_from_the_best_and_the_gain_over_the_best_floor(
    record, build
):
    records = run_of(record, MEANS, per_query=CLASSES)
    (card,) = cards_of(build(records)["index.html"])
    scores = {
        name: [
            100 * r.metrics["map_at_r"]
            for r in records
            if name in (r.trial.parts.get("loss") or r.trial.parts["baseline"]).name
        ]
        for name in MEANS
    }
    assert "992 test items of 7 classes; 5,400 to learn from" in card.text
    assert f"{np.mean(scores['arcface']):.2f}" in card.text
    lead = np.subtract(scores["arcface"], scores["untrained"])
    assert f"{lead.mean():.2f} ± " in card.text
    assert "points over untrained, the best floor" in card.text
    assert {link.text for link in card.all("a")} == {"glyphs · small", "arcface", "triplet"}
    assert "of 3 rows" in card.text


def test_a_table_says_in_words_which_rows_cant_be_told_from_the_best(record, build):
    page = build(run_of(record, MEANS))["tables/glyphs-small.html"]
    told = {line["Loss"]: line["From the best"] for line in page.sheet("trained-0")}
    assert told == {"arcface": "can't be told", "triplet": "can't be told", "margin": "worse"}
    assert "2 of 3 trained networks can't be told from the best by MAP@R." in page.text
    alone = build(run_of(record, MEANS | {"triplet": 0.15}))["tables/glyphs-small.html"]
    told = {line["Loss"]: line["From the best"] for line in alone.sheet("trained-0")}
    assert told == {"arcface": "the best", "triplet": "worse", "margin": "worse"}


def test_sets_that_rank_come_first_partial_ones_last_and_samplers_share_a_card(record, part, build):
    small = load_protocol("small")
    losing = {**MEANS, "pixels": 0.6}
    partial = part("aerial", settings={"partial": True})
    records = [
        *run_of(record, MEANS, dataset=partial, fingerprint="a" * 64),
        *run_of(record, losing, dataset="digits", fingerprint="b" * 64),
        *run_of(record, MEANS),
        *run_of(record, MEANS, protocol=small.change("sampler", "random")),
    ]
    index = build(records)["index.html"]
    cards = cards_of(index)
    titles = [card.all("h3")[0].text for card in cards]
    assert titles == ["glyphs · small", "digits · small", "aerial · small · PARTIAL DATA"]
    assert "Other samplers: random" in cards[0].text
    assert "below pixels, the best floor" in cards[1].text
    advice = index.all("main")[0].text
    assert (
        "Of 1 set that can rank losses, arcface and triplet can't be told from the best" in advice
    )
    assert "--loss arcface,triplet" in advice


def test_without_a_table_that_ranks_losses_the_index_gives_no_advice(record, build):
    index = build([record(), record("margin")])["index.html"]
    assert "these records support no advice" in index.text
    assert "No row is called better than another" in cards_of(index)[0].text


def test_a_card_shows_test_images_of_different_classes_where_embeddings_were_kept(
    record, build, pictures, embeddings
):
    ranks = {"best_rank": Array.pack(np.tile([1, 2], 20)[:40].astype(np.int32))}
    made = record(per_query=ranks, fingerprint=pictures.fingerprint)
    pages = build(
        [made], embeddings=lambda trial: {"test": embeddings}, data=lambda trial: pictures
    )
    (card,) = cards_of(pages["index.html"])
    shown = [image.attributes for image in card.all("img")]
    assert len({one["alt"] for one in shown}) == len(shown) >= 3
    assert all(one["src"].startswith("data:image/png") for one in shown)


def test_the_citation_on_the_index_is_that_of_the_file(record, build, tmp_path, monkeypatch):
    package = tmp_path / "bench" / "dmlbench"
    package.mkdir(parents=True)
    monkeypatch.setattr(citation, "files", lambda name: package)
    assert citation.bibtex() == ""
    told = {
        "title": "dmlbench: a {benchmark}",
        "authors": [{"family-names": "Doe", "given-names": "Ada"}, {"name": "The developers"}],
        "version": "0.1.0",
        "date-released": "2026-11-30",
        "repository-code": "https://example.org/dmlbench",
    }
    (tmp_path / "CITATION.cff").write_text(yaml.safe_dump(told))
    index = build([record()])["index.html"]
    (code,) = (one for one in index.all("pre") if "@software" in one.text)
    for text in (
        *("author = {Doe, Ada and {The developers}}", "title = {dmlbench: a {benchmark}}"),
        *("year = {2026}", "month = {nov}", "url = {https://example.org/dmlbench}"),
    ):
        assert text in code.text


@pytest.mark.parametrize("place", ["index.html", "tables/glyphs-small.html"])
def test_every_heading_says_what_it_means_in_a_tooltip_and_in_a_list(site, place):
    page = site.pages[place]
    for sheet in (one for one in page.all("section") if one.attributes["class"] == "sheet"):
        headings = [th for th in sheet.all("th") if th.attributes["scope"] == "col"]
        listed = dict(
            zip((t.text for t in sheet.all("dt")), (d.text for d in sheet.all("dd")), strict=True)
        )
        assert headings
        for heading in headings:
            assert heading.attributes.get("title"), heading.text
            assert listed[heading.text] == heading.attributes["title"]
