"""What a method is, as its installed component says: the text that ``dmlbench show`` prints."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from dmlbench.components.catalogue import Catalogue
from dmlbench.components.composition import Ingredient, compose
from dmlbench.components.documentation import arguments, facts, paragraphs, sentence
from dmlbench.components.hyperparameters import hyperparameters
from dmlbench.errors import DmlbenchError
from dmlbench.schemas.trial import Part
from dmlbench.site.formulas import mathml

_INLINE = re.compile(r":math:`(?P<math>[^`]+)`|``(?P<code>[^`]+)``|(?P<arxiv>\b\d{4}\.\d{4,5}\b)")
_SHOWN = (
    *("paper", "differences", "takes", "default miner", "reducer", "trained as"),
    "paper sampler",
)


class Piece(NamedTuple):
    """A stretch of text, code, or a formula; `kind` ``arxiv`` is the number of a paper there."""

    kind: Literal["text", "code", "math", "arxiv"]
    text: str
    math: str | None = None
    """A formula as a harmless ``math`` element; None if it can't be set."""


class Block(NamedTuple):
    """A paragraph, or a formula or code of its own."""

    kind: Literal["text", "code", "math"]
    pieces: tuple[Piece, ...]


class Setting(NamedTuple):
    """A hyper-parameter."""

    name: str
    default: str
    space: str
    text: str


@dataclass(frozen=True)
class MethodText:
    """What one component says of itself; a sum of losses has one for each."""

    name: str
    place: str
    """Where its class is, ``module:Class``."""
    version: str
    sentence: tuple[Piece, ...]
    first: tuple[Block, ...]
    """The formula with what follows it, up to the paper."""
    more: tuple[Block, ...]
    """The paper's own choices, how known code differs, and what was chosen here."""
    facts: Mapping[str, tuple[Piece, ...]]
    settings: tuple[Setting, ...]


ReadTexts = Callable[[str, Part], tuple[MethodText, ...]]
"""From the kind of a component and the component to its texts; none if it is not installed."""


def installed_texts(catalogue: Catalogue) -> ReadTexts:
    """Return what reads the texts of components that `catalogue` can load."""

    def read(kind: str, part: Part) -> tuple[MethodText, ...]:
        try:
            ingredients = compose(catalogue, kind, part.reference).ingredients
            return tuple(_text(one) for each in ingredients for one in each.all())
        except DmlbenchError:
            return ()

    return read


def _text(ingredient: Ingredient) -> MethodText:
    component, entry = ingredient.component, ingredient.entry
    blocks = [_block(paragraph) for paragraph in paragraphs(component)]
    paper = (i for i, b in enumerate(blocks) if b.pieces[0].text.startswith("Paper"))
    cut = next(paper, len(blocks))
    stated = facts(component)
    said = arguments(component)
    return MethodText(
        name=entry.name,
        place=entry.value,
        version=f"{entry.distribution} {entry.version}".strip(),
        sentence=tuple(_pieces(sentence(component))),
        first=tuple(blocks[:cut]),
        more=tuple(blocks[cut:]),
        facts={name: tuple(_pieces(_written(stated[name]))) for name in _SHOWN if name in stated},
        settings=tuple(
            Setting(p.name, repr(p.default), repr(p.space) if p.space else "", said.get(p.name, ""))
            for p in hyperparameters(component).values()
        ),
    )


def _written(value: object) -> str:
    """Return a fact in words; that of a sampler is its name with its settings."""
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], Mapping):
        return ", ".join([str(value[0]), *(f"{key} = {one}" for key, one in value[1].items())])
    return f"{value:g}" if isinstance(value, float) else str(value)


def _block(paragraph: str) -> Block:
    """Return a paragraph of a docstring in reStructuredText: a formula, code, or running text."""
    if paragraph.startswith(".. math::"):
        latex = " ".join(paragraph.removeprefix(".. math::").split())
        return Block("math", (Piece("math", latex, mathml(latex, display=True)),))
    if paragraph.startswith("    "):
        return Block("code", (Piece("code", paragraph),))
    return Block("text", tuple(_pieces(" ".join(paragraph.split()))))


def _pieces(text: str) -> Iterator[Piece]:
    end = 0
    for match in _INLINE.finditer(text):
        if match.start() > end:
            yield Piece("text", text[end : match.start()])
        end = match.end()
        if latex := match["math"]:
            yield Piece("math", latex, mathml(latex))
        elif code := match["code"]:
            yield Piece("code", code)
        else:
            before = text[: match.start()].endswith(("arXiv ", "arXiv:"))
            yield Piece("arxiv" if before else "text", match[0])
    if end < len(text) or not text:
        yield Piece("text", text[end:])
