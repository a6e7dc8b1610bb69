"""The text of a Python file without what can't change a figure, and with its imports apart.

Comments, docstrings, blank lines and white space are cut out. The text is put together from tokens:
a syntax tree looks different in every version of Python, tokens look the same.
"""

import ast
import io
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from dmlbench.components.source_files import read_bytes
from dmlbench.errors import PluginError

_INDENT, _DEDENT = "\x0e", "\x0f"
"""Stand for a deeper and for a shallower block; no source text contains them."""
_DROPPED = (tokenize.COMMENT, tokenize.NL, tokenize.ENCODING, tokenize.ENDMARKER)
_MARKS = {tokenize.NEWLINE: "\n", tokenize.INDENT: _INDENT, tokenize.DEDENT: _DEDENT}
# Python 3.11 has one token for a formatted string, later versions have several.
_OPENING = {getattr(tokenize, name, None) for name in ("FSTRING_START", "TSTRING_START")}
_CLOSING = {getattr(tokenize, name, None) for name in ("FSTRING_END", "TSTRING_END")}
_Place = tuple[int, int]


@dataclass(frozen=True)
class Import:
    """One name that a file imports: ``from ..module import name as alias``."""

    level: int
    """Number of leading dots."""
    module: tuple[str, ...]
    name: str | None
    """None for ``import module``."""
    alias: str

    def line(self, target: str | None, is_module: bool) -> str:
        """Return the import as text, in which `target` stands for what it resolves to, if known."""
        dotted = target or "." * self.level + ".".join(self.module)
        if self.name is None or is_module:
            return f"import {dotted} as {self.alias}"
        return f"from {dotted} import {self.name} as {self.alias}"


def read_source(path: Path) -> tuple[str | Import, ...]:
    """Return the text of the Python file at `path`, and in their places the names it imports.

    Raises:
        PluginError: the file is not valid Python.
    """
    try:
        return _pieces(read_bytes(path))
    except SyntaxError as error:
        error.filename = str(path)
        raise PluginError(f"{path} can't be read as Python: {error}.") from error
    except (ValueError, tokenize.TokenError) as error:
        raise PluginError(f"{path} can't be read as Python: {error}.") from error


@lru_cache(maxsize=1024)
def _pieces(content: bytes) -> tuple[str | Import, ...]:
    encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
    text = content.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")
    cut = _cut_out(ast.parse(text), text.split("\n"))
    pieces: list[str | Import] = []
    end, after_cut = (0, 0), False
    for token in _tokens(text):
        if token.type not in _MARKS and token.start in cut:
            end, imports = cut[token.start]
            pieces += imports
            after_cut = True
        if token.start < end:
            continue
        if not after_cut or (token.type != tokenize.NEWLINE and token.string != ";"):
            pieces.append(_MARKS.get(token.type, token.string))
        after_cut = False
    return tuple(_joined(pieces))


def _tokens(text: str) -> Iterator[tokenize.TokenInfo]:
    """Yield the tokens that count, each formatted string as one."""
    lines = text.split("\n")
    depth, opening = 0, (0, 0)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in _OPENING:
            opening = opening if depth else token.start
            depth += 1
        elif token.type in _CLOSING:
            depth -= 1
            if not depth:
                string = _between(lines, opening, token.end)
                yield tokenize.TokenInfo(tokenize.STRING, string, opening, token.end, token.line)
        elif not depth and token.type not in _DROPPED:
            yield token


def _between(lines: list[str], start: _Place, end: _Place) -> str:
    chosen = lines[start[0] - 1 : end[0]]
    chosen[-1] = chosen[-1][: end[1]]
    chosen[0] = chosen[0][start[1] :]
    return "\n".join(chosen)


def _cut_out(tree: ast.AST, lines: list[str]) -> dict[_Place, tuple[_Place, list[Import]]]:
    """Return where docstrings and imports start, where they end, and the imports."""

    def place(line: int, column: int) -> _Place:  # a tree counts bytes, tokens count characters
        return line, len(lines[line - 1].encode()[:column].decode())

    found = {}
    for node in ast.walk(tree):
        imports = list(_imports(node))
        cut = node if imports else _docstring(node)
        if isinstance(cut, ast.stmt) and cut.end_lineno and cut.end_col_offset is not None:
            end = place(cut.end_lineno, cut.end_col_offset)
            found[place(cut.lineno, cut.col_offset)] = (end, imports)
    return found


def _docstring(node: ast.AST) -> ast.stmt | None:
    if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return None
    match node.body[:1]:
        case [ast.Expr(value=ast.Constant(value=str())) as first]:
            return first
    return None


def _imports(node: ast.AST) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        for each in node.names:
            yield Import(0, tuple(each.name.split(".")), None, each.asname or each.name)
    elif isinstance(node, ast.ImportFrom):
        module = tuple(node.module.split(".")) if node.module else ()
        for each in node.names:
            yield Import(node.level, module, each.name, each.asname or each.name)


def _joined(pieces: Iterable[str | Import]) -> Iterator[str | Import]:
    """Yield the pieces with neighbouring tokens put together."""
    tokens: list[str] = []
    for piece in pieces:
        if isinstance(piece, str):
            tokens.append(piece)
            continue
        if tokens:
            yield " ".join(tokens)
            tokens = []
        yield piece
    if tokens:
        yield " ".join(tokens)
