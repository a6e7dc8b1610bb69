"""Hostile texts, judged by an independent markdown renderer and by the csv module."""

import shlex

import pytest
from markdown_it import MarkdownIt

from dmlbench.leaderboard.escaping import code_block, csv_cell, markdown, plain, shell
from dmlbench.records import slug

HOSTILE = [
    "<script>alert(1)</script>",
    "a | b",
    "`code` ``two``",
    "*bold* _it_ **b** __i__ ~~gone~~",
    "[link](http://x) ![image](x)",
    "back\\slash \\| \\`",
    "&lt;b&gt; &amp; &copy;",
    "$x^2$",
    "<!-- comment -->",
    "# heading",
]


def rendered(text: str) -> str:
    """Return the visible text of a table's cell; fails if it holds anything but text."""
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    tokens = parser.parse(f"| head | tail |\n|---|---|\n| {text} | end |\n")
    cells = [token for token in tokens if token.type == "inline"]
    assert [cell.content for cell in cells][-1] == "end"
    (cell,) = cells[2:-1]
    assert {child.type for child in cell.children} <= {"text", "text_special"}, text
    return "".join(child.content for child in cell.children)


@pytest.mark.parametrize("text", HOSTILE)
def test_markdown_shows_the_text_as_it_stands(text: str):
    assert rendered(markdown(plain(text))) == text


def test_line_breaks_and_control_characters_become_spaces():
    assert plain("a\nb\r\nc\td\x00e\u2028f\u202eg\x1b[31mh") == "a b c d e f g [31mh"


def test_names_are_cut():
    assert plain("x" * 10_000) == "x" * 59 + "…"
    assert plain("x" * 60) == "x" * 60


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "＝1"])
def test_formulas_become_text(text: str):
    assert csv_cell(text) == "'" + text


@pytest.mark.parametrize("text", ["triplet", "", "a=b", "0.5 - 0.1"])
def test_other_cells_stay(text: str):
    assert csv_cell(text) == text


@pytest.mark.parametrize("text", ["```", "a ```` b\n", "plain"])
def test_nothing_ends_a_block_of_code(text: str):
    (token,) = MarkdownIt("commonmark").parse(code_block(shell(["run", text])))
    assert token.type == "fence"
    assert shlex.split(token.content) == ["run", text.replace("\n", " ")]


def test_words_of_a_command_stay_words():
    words = ["dmlbench", "run", "--loss", "x; rm -rf ~", "$(id)", "it's", ""]
    assert shlex.split(shell(words)) == words


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("../../etc/passwd", "etc-passwd"),
        ("timm/resnet50.a1", "timm-resnet50.a1"),
        ("..", "unnamed"),
        ("", "unnamed"),
        ("グリフ", "unnamed"),
    ],
)
def test_slugs_stay_inside_the_folder(text: str, name: str):
    assert slug(text) == name
    assert len(slug("x" * 10_000)) == 80
