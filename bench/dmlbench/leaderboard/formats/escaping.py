"""Texts from records are untrusted: they are escaped here before they reach a table or page."""

import re
import shlex
import unicodedata

NAME_LENGTH = 60
REASON_LENGTH = 400
COMMAND_LENGTH = 2000

_IN_LATEX = {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"{\`{}}",
    "[": "{[}",  # after a line end it would be the argument of that command
    "*": "{*}",  # so would this
    **{mark: f"\\{mark}" for mark in "&%$#_{}"},
    "±": r"$\pm$",
    "·": r"$\cdot$",
    "–": r"\textendash{}",
    "…": r"\dots{}",
}
_MARKDOWN_MARKS = re.compile(r"([\\`*_\[\]|~$])")
_FORMULA_STARTS = "=+-@＝＋－＠"


def plain(text: str, length: int = NAME_LENGTH) -> str:
    """Return `text` on one line, single-spaced, cut to `length` characters."""
    return _cut(" ".join(_visible(text).split()), length)


def markdown(text: str) -> str:
    """Return `text`, already on one line, so that GitHub's markdown shows it verbatim."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKDOWN_MARKS.sub(r"\\\1", text)


def code_block(command: str) -> str:
    """Return `command` as a code block that nothing in it can close."""
    longest = max(map(len, re.findall("`+", command)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}sh\n{command}\n{fence}"


def csv_cell(text: str) -> str:
    """Return `text` so that a spreadsheet does not take it for a formula."""
    return f"'{text}" if text and text[0] in _FORMULA_STARTS else text


def latex(text: str) -> str:
    """Return `text`, already on one line, so that LaTeX sets it verbatim, in ASCII.

    Accents are dropped; a character without an ASCII equivalent becomes its code: ``U+540D``.
    """
    escaped = "".join(_IN_LATEX.get(character) or _ascii(character) for character in text)
    return re.sub("-(?=-)", "-{}", escaped)  # two would be a dash


def _ascii(character: str) -> str:
    decomposed = unicodedata.normalize("NFKD", character)
    plain_ones = "".join(c for c in decomposed if not unicodedata.combining(c))
    if plain_ones.isascii():
        return "".join(_IN_LATEX.get(c, c) for c in plain_ones)
    return f"U+{ord(character):04X}"


def shell(words: list[str]) -> str:
    """Return `words` as one line for a shell, each quoted where necessary."""
    return _cut(shlex.join(map(_visible, words)), COMMAND_LENGTH)


def _visible(text: str) -> str:
    """Return `text` with a space for each control, format or line-breaking character."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else " " for character in text)


def _cut(line: str, length: int) -> str:
    return line if len(line) <= length else line[: length - 1] + "…"
