"""Hostile texts, judged by an independent markdown renderer and by the csv module."""

import json
import shlex

import pytest
from click.testing import CliRunner
from markdown_it import MarkdownIt

from dmlbench.cli.publish import command as publish_command
from dmlbench.leaderboard.formats.escaping import (
    code_block,
    csv_cell,
    latex,
    markdown,
    plain,
    shell,
)
from dmlbench.leaderboard.publish import files_by_path
from dmlbench.storage.atomic import slug
from dmlbench.storage.record_store import Store

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


TYPESET = {
    r"\textbackslash{}": "\\",
    r"\textasciicircum{}": "^",
    r"\textasciitilde{}": "~",
    r"\textless{}": "<",
    r"\textgreater{}": ">",
    r"\textbar{}": "|",
    r"{\`{}}": "`",
    r"{[}": "[",
    r"{*}": "*",
    r"-{}": "-",
    r"\dots{}": "…",
    r"\textendash{}": "–",
    r"$\pm$": "±",
    r"$\cdot$": "·",
    **{f"\\{mark}": mark for mark in "&%$#_{}"},
}


def typeset(text: str) -> str:
    """Return what LaTeX shows, command by command; a special character by itself is an error."""
    shown = ""
    while text:
        command = next((one for one in TYPESET if text.startswith(one)), None)
        if command is None:
            assert text[0] not in "\\{}$&#^_~%", text
            command = text[0]
        shown += TYPESET.get(command, command)
        text = text[len(command) :]
    return shown


@pytest.mark.parametrize(
    "text",
    [
        *HOSTILE,
        "100 % of $5 & #1_a {b} ~ ^",
        "\\input{/etc/passwd} \\end{table}",
        "[2em] * -- ---",
        "a ± b · c – d …",
        "\\textless{}",
    ],
)
def test_latex_sets_the_text_as_it_stands(text: str):
    assert latex(text).isascii()
    assert typeset(latex(text)) == text


def test_latex_has_no_dash_that_was_none_and_starts_no_argument():
    assert "--" not in latex("a--b---c")
    assert latex("[x]").startswith("{[}")
    assert latex("*").startswith("{*}")


@pytest.mark.parametrize(
    ("text", "ascii_text"),
    [("é", "e"), ("ﬁ", "fi"), ("½", "U+00BD"), ("名", "U+540D"), ("＼", r"\textbackslash{}")],
)
def test_latex_spells_other_characters_in_ascii(text: str, ascii_text: str):
    assert latex(text) == ascii_text


@pytest.mark.parametrize(
    "change",
    [
        {"metrics": {"map_at_r": float("nan")}},
        {"metrics": {"map_at_r": float("inf")}},
        {"epochs": [{"epoch": 0, "loss": float("-inf")}]},
        {"schema_version": 2},
        {"schema_version": 10**4000},
        {"schema_version": "<script>"},
        {"status": "=1+1"},
        {"=cmd|' /C calc'!A0": "x"},
        {"selected_epoch": "x" * 10_000},
        {"x" * 10_000: 1},
    ],
    ids=lambda change: str(change)[:30],
)
def test_a_record_that_is_none_is_reported_and_enters_no_file(change, record, tmp_path):
    store = Store(tmp_path / "runs")
    store.write(record())
    path = store.write(record("contrastive", seed=1))
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    arguments = ["--runs", str(tmp_path / "runs"), "--output", str(tmp_path / "out")]
    result = CliRunner().invoke(publish_command, arguments)
    assert result.exit_code == 1
    reasons = ("is not a record", "was made by a newer dmlbench")
    assert any(f"dmlbench: left out: {path} {reason}" in result.output for reason in reasons)
    assert max(map(len, result.output.splitlines())) < 1000
    files = {str(p.relative_to(tmp_path / "out")): p for p in (tmp_path / "out").rglob("*.*")}
    expected = files_by_path([record()])
    assert files.keys() == expected.keys()
    for name, text in expected.items():
        assert files[name].read_text() == text, name
