"""Names, reasons and settings come from anybody: pages show them as they stand, or cut."""

import pytest
from pydantic import ValidationError

from dmlbench.schemas.protocol_file import load_protocol

HOSTILE = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script><!--",
    '" onmouseover="alert(1)',
    "' autofocus onfocus='alert(1)",
    "javascript:alert(1)",
    "{{ 7 * 7 }} {% raw %} ${1}",
    "`tick` | pipe | &amp; &lt;",
    "line\nbreak\r\nand \u2028\u202e\x00\x1b[31m",
    "=HYPERLINK(1)",
    "x" * 10_000,
    "../../../etc/passwd",
    "名前",
    "",
]


def hostile_records(text, record, part):
    own = part(text, distribution=text, version=text, reference=text, changed={text: text})
    protocol = load_protocol("small").model_copy(
        update={"name": text, "description": text, "source": text}
    )
    fields = {
        "dataset": part(text, reference=text, changed={text: text}),
        "protocol": protocol,
        "parts": {"loss": own, "miner": own, "backbone": own},
        "versions": {text: text},
        "settings": {text: text},
        "measurements": {text: text, "seconds": text},
        "selection": text,
    }
    details = {"reducer": text, "train_items": text, text: [text]}
    made = [record(**fields, details=details, seed=seed) for seed in (0, 1)]
    made.append(record(**fields, seed=2, status="failed", reason=text))
    baseline = part(text, distribution=text, changed={text: text})
    made.append(record(baseline=baseline, dataset=fields["dataset"], protocol=protocol))
    return made


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:12]))
def test_hostile_texts_add_no_element_attribute_or_file(text, record, part, build, tmp_path):
    harmless = build(hostile_records("harmless", record, part))
    shape = {path.rpartition("/")[0]: _shape(page) for path, page in harmless.items()}
    (tmp_path / "site").rename(tmp_path / "harmless")

    def columns(of):
        return {text: text}

    pages = build(hostile_records(text, record, part))
    build(hostile_records(text, record, part), columns=columns)
    assert sorted(p.rpartition("/")[0] for p in pages) == sorted(
        p.rpartition("/")[0] for p in harmless
    )
    for path, page in pages.items():
        found = _shape(page)
        assert found <= shape[path.rpartition("/")[0]] | _shape_of_site(harmless), path
        for script in page.all("script"):
            if "id" in script.attributes:
                page.data(script.attributes["id"])
    assert {entry.name for entry in tmp_path.iterdir()} == {"site", "harmless"}
    assert all(path.stat().st_size < 200_000 for path in (tmp_path / "site").rglob("*.html"))


def _shape(page):
    """Return which elements have which attributes."""
    return {(e.tag, name) for e in page.all("*") for name in (*e.attributes, "")}


def _shape_of_site(pages):
    return set().union(*map(_shape, pages.values()))


def test_a_script_in_a_name_is_shown_as_text(record, part, build):
    name = "<script>alert('a')</script>"
    pages = build([record(part(name), None)])
    (line,) = next(p for path, p in pages.items() if path.startswith("tables/")).sheet("trained-0")
    assert line["Loss"] == name


def test_links_from_names_stay_in_the_site(record, part, build):
    for text in ("javascript:alert(1)", "//example.org/x", "a?b#c", "%2e%2e/x", "nul\x00"):
        pages = build([record(part(text), None, dataset=part(text))])
        for page in pages.values():
            for link in page.all("a"):
                target = link.attributes["href"]
                assert target.startswith(("../", "#", "index.html", "tables/", "methods/"))
                assert "?" not in target
                assert ":" not in target


def test_a_record_holds_no_metric_that_is_not_finite(record):
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValidationError):
            record(metrics={"map_at_r": value})


def test_numbers_that_are_not_finite_among_details_reach_no_page(record, build):
    made = record(measurements={"seconds": float("nan")}, details={"parameters": float("inf")})
    pages = build([made])
    assert pages["tables/glyphs-small.html"].data("rows-data")["series"][0]["seconds"] is None
