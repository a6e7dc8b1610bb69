"""The site as a whole: the same bytes, links that lead somewhere, nothing from outside."""

import hashlib
import random
import re
from importlib.resources import files
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from support.site_pages import contents

from dmlbench.errors import ConfigError
from dmlbench.leaderboard.formats.csv import to_csv
from dmlbench.leaderboard.tables import make_tables
from dmlbench.site import build_site


def test_the_same_records_in_any_order_give_the_same_bytes(site, tmp_path):
    records = random.Random(1).sample(site.records, len(site.records))
    paths = build_site(records, tmp_path)
    assert contents(tmp_path) == contents(site.folder)
    build_site(records, tmp_path)  # over what is there
    assert contents(tmp_path) == contents(site.folder)
    assert [str(path.relative_to(tmp_path)) for path in paths] == sorted(contents(tmp_path))


def test_there_is_a_page_for_each_table_method_and_trial(site):
    folders = [path.rpartition("/")[0] for path in site.pages]
    assert folders.count("") == 1
    assert folders.count("tables") == 2
    assert folders.count("methods") == 11  # contrastive, triplet and pixels are on both data sets
    assert folders.count("trials") == len(site.records)


def test_every_link_leads_to_a_file_or_a_place_on_a_page(site):
    followed = 0
    for path, page in site.pages.items():
        for element in page.all("*"):
            for name in ("href", "src"):
                target = element.attributes.get(name)
                if target is None or target == "data:,":
                    continue
                place = urlsplit(target)
                assert not place.scheme, target
                assert not place.netloc, target
                file = (site.folder / path).parent / unquote(place.path)
                assert file.is_file() or not place.path, target
                if place.fragment:
                    own = str(file.resolve().relative_to(site.folder.resolve()))
                    site.pages[own if place.path else path].by_id(place.fragment)
                followed += 1
    assert followed > 500


def test_pages_have_a_title_one_heading_a_language_and_ids_of_their_own(site):
    for page in site.pages.values():
        assert [one.attributes["lang"] for one in page.all("html")] == ["en"]
        assert page.all("title")[0].text
        assert len(page.all("h1")) == len(page.all("main")) == 1
        ids = [e.attributes["id"] for e in page.all("*") if "id" in e.attributes]
        assert len(ids) == len(set(ids))


def test_inputs_and_regions_are_named_and_tables_have_captions(site):
    for page in site.pages.values():
        labelled = {label.attributes["for"] for label in page.all("label")}
        assert {one.attributes["id"] for one in page.all("input")} == labelled
        assert all(one.all("caption")[0].text for one in page.all("table"))
        for element in page.all("*"):
            if element.attributes.get("role") in ("region", "img"):
                assert element.attributes["aria-label"]


def test_the_policy_allows_own_files_alone_and_the_pages_need_no_more(site):
    for page in site.pages.values():
        (policy,) = (m for m in page.all("meta") if "http-equiv" in m.attributes)
        rules = dict(rule.split(" ", 1) for rule in policy.attributes["content"].split("; "))
        assert rules["default-src"] == "'none'"
        assert rules["script-src"] == "'self' file:"
        assert "unsafe" not in str(rules)
        assert "http" not in str(rules)
        for element in page.all("*"):
            assert not [name for name in element.attributes if name.startswith("on")]
            assert "style" not in element.attributes
            assert element.tag != "style"
            if element.tag == "script" and "src" not in element.attributes:
                assert element.attributes["type"] == "application/json"


def test_own_scripts_and_styles_name_no_other_host():
    for asset in (files("dmlbench.site") / "assets").iterdir():
        text = asset.read_text()
        assert not re.search(r"https?://|@import|url\(", text), asset.name
        assert not re.search(r"innerHTML|insertAdjacentHTML|eval\(|document\.write", text)


def test_vendored_files_are_those_of_their_packages():
    vendor = files("dmlbench.site") / "vendor"
    lines = (vendor / "README.md").read_text()
    table = dict(re.findall(r"^\| `(\S+\.js)` .* `([0-9a-f]{64})` \|$", lines, re.M))
    scripts = {file.name: file for file in vendor.iterdir() if file.name.endswith(".js")}
    assert table.keys() == scripts.keys()
    for name, file in scripts.items():
        assert hashlib.sha256(file.read_bytes()).hexdigest() == table[name]
        assert name in (vendor / "LICENCES.txt").read_text()


def test_each_table_can_be_downloaded(site):
    links = [a.attributes for a in site.pages["tables/glyphs-small.html"].all("a")]
    assert "../tables/glyphs-small.csv" in [a["href"] for a in links if "download" in a]
    text = (site.folder / "tables/glyphs-small.csv").read_bytes().decode()
    assert text == to_csv(make_tables(site.records)[0])


def test_pages_of_withdrawn_records_go_and_other_files_stay(record, tmp_path):
    records = [record("triplet"), record("contrastive", seed=1)]
    build_site(records, tmp_path / "old")
    (tmp_path / "old/CNAME").write_text("example.org")
    assert (tmp_path / "old/methods/loss-triplet.html").exists()
    build_site(records[1:], tmp_path / "old")
    build_site(records[1:], tmp_path / "new")
    assert contents(tmp_path / "old") == contents(tmp_path / "new") | {"CNAME": b"example.org"}


def test_an_altered_list_of_pages_deletes_nothing_outside_the_folder(record, tmp_path):
    outside = tmp_path / "precious.txt"
    outside.write_text("mine")
    build_site([record()], tmp_path / "site")
    with (tmp_path / "site/pages.txt").open("a") as file:
        file.write(f"../precious.txt\n{outside}\n\n.\n\x00\n")
    build_site([record()], tmp_path / "site")
    assert outside.read_text() == "mine"


def test_no_records_make_no_site(tmp_path):
    with pytest.raises(ConfigError, match="no records to make tables from"):
        build_site([], tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_a_folder_that_is_a_file_is_refused(record, tmp_path):
    taken = tmp_path / "taken"
    taken.write_text("")
    with pytest.raises(ConfigError, match="taken"):
        build_site([record()], taken)


def test_tables_of_one_name_have_pages_of_their_own(record, tmp_path):
    records = [record(fingerprint="a" * 64), record(fingerprint="b" * 64)]
    build_site(records, tmp_path)
    pages = sorted(path.name for path in Path(tmp_path, "tables").glob("*.html"))
    assert len(pages) == 2
    assert all(re.fullmatch(r"glyphs-small-[0-9a-f]{16}\.html", name) for name in pages)


def test_losses_of_one_name_from_two_distributions_have_pages_of_their_own(record, part, tmp_path):
    foreign = part("triplet", distribution="third-party", source="c" * 64)
    build_site([record(), record(parts={"loss": foreign})], tmp_path)
    assert len(list(Path(tmp_path, "methods").glob("loss-triplet-*.html"))) == 2
