"""Method pages say what the method is, in the words of the installed component."""

import ast
import re
from importlib.resources import files
from xml.etree import ElementTree

import pytest

from dmlbench.components.catalogue import Catalogue
from dmlbench.schemas.trial import Part
from dmlbench.site.formulas import mathml
from dmlbench.site.method_text import installed_texts


@pytest.fixture(scope="module")
def texts():
    return installed_texts(Catalogue.discover())


def test_a_method_page_has_formula_sentence_paper_and_default_settings(record, build, texts):
    page = build([record("margin", "distance-weighted")], texts=texts)["methods/loss-margin.html"]
    main = page.all("main")[0]
    source = (files("dmlbench_losses") / "margin.py").read_text()
    assert "Margin loss: positives nearer, negatives farther than a learned distance" in main.text
    (formula,) = (m for m in page.all("math") if m.attributes["display"] == "block")
    symbols = [one.text for one in formula.all("*") if not one.all("*")]
    assert [s for s in symbols if s in "αβLAdapn"] == list("LAapndapβαβdanα")
    assert "ICCV 2017" in main.text
    links = [a.attributes["href"] for a in page.all("a") if "://" in a.attributes["href"]]
    assert links[0] == "https://arxiv.org/abs/1706.07567"
    for name, default in (("margin", "0.2"), ("beta", "1.2")):
        assert re.search(rf"{name}: Annotated\[.*\] = {default}", source)
        assert f"{name}={default}" in main.text
    assert "the boundary's distance before training" in main.text


def test_a_sum_and_a_memory_tell_of_each_of_their_losses(record, build, texts, part):
    both = "triplet+0.5*center"
    page = build([record(part(both))], texts=texts)[f"methods/loss-{both.replace('*', '-')}.html"]
    headings = [one.text for one in page.all("h2")]
    assert headings[:2] == ["triplet", "center"]
    names = [one.name for one in texts("loss", Part(reference="xbm/contrastive", name="x"))]
    assert names == ["xbm", "contrastive"]


def test_the_page_of_a_method_that_is_not_installed_says_so(record, part, build, texts):
    pages = build([record(part("no-such-loss"))], texts=texts)
    text = pages["methods/loss-no-such-loss.html"].all("main")[0].text
    assert "not installed where this page was made" in text


def test_every_formula_that_ships_is_set(texts):
    found = 0
    for file in sorted(files("dmlbench_losses").iterdir(), key=str):
        if not file.name.endswith(".py"):
            continue
        text = ast.get_docstring(ast.parse(file.read_text())) or ""
        blocks = [p for p in text.split("\n\n") if p.startswith(".. math::")]
        found += len(blocks)
        for latex in blocks:
            assert mathml(" ".join(latex.removeprefix(".. math::").split()), display=True), latex
        for latex in re.findall(r":math:`([^`]+)`", text):
            assert mathml(latex), latex
    assert found >= 40


@pytest.mark.parametrize(
    "latex",
    [
        r"\href{javascript:alert(1)}{x}",
        r"\text{<script>alert(1)</script>}",
        r"\color{red}{x}",
        r"\class{a}{x}",
        r"\style{position:fixed}{x}",
        r"\frac{",
        r"\unknown{</math><script>}",
    ],
)
def test_a_formula_adds_no_link_script_or_style(latex):
    found = mathml(latex)
    if found is not None:
        for element in ElementTree.fromstring(found).iter():
            assert element.tag.startswith("m")
            assert not {"href", "style", "class", "onclick", "src"} & element.attrib.keys()
