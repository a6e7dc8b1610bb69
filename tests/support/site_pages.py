"""A page as its reader gets it: texts, links, tables and embedded data, by the standard parser."""

import json
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

VOID = {"meta", "link", "img", "input", "br"}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str | None]
    children: list["Element | str"] = field(default_factory=list)

    @property
    def text(self) -> str:
        parts = [child if isinstance(child, str) else child.text for child in self.children]
        return " ".join("".join(parts).split())

    def all(self, tag: str) -> list["Element"]:
        found = []
        for child in self.children:
            if isinstance(child, Element):
                found += [child] * (tag in (child.tag, "*")) + child.all(tag)
        return found

    def by_id(self, name: str) -> "Element":
        (found,) = (one for one in self.all("*") if one.attributes.get("id") == name)
        return found

    def data(self, name: str):
        (content,) = self.by_id(name).children
        return json.loads(content, parse_constant=_refuse)

    def sheet(self, name: str) -> list[dict[str, str]]:
        """Return the lines of a table, texts by heading."""
        (table,) = self.by_id(name).all("table")
        heading, *lines = (
            [cell for cell in row.children if isinstance(cell, Element)] for row in table.all("tr")
        )
        names = [cell.text for cell in heading]
        return [dict(zip(names, (c.text for c in line), strict=True)) for line in lines]


class _Parser(HTMLParser):
    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.root = Element("document", {})
        self.open = [self.root]

    def handle_starttag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs), f"an attribute is there twice: {attrs}"
        element = Element(tag, dict(attrs))
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag):
        assert self.open.pop().tag == tag, f"</{tag}> closes another element"

    def handle_data(self, data):
        self.open[-1].children.append(data)


def read_page(text: str) -> Element:
    """Return the document; every element must be closed, in order."""
    parser = _Parser()
    parser.feed(text)
    parser.close()
    assert parser.open == [parser.root], f"left open: {[one.tag for one in parser.open]}"
    return parser.root


def contents(folder: Path) -> dict[str, bytes]:
    """Return all files by their path in `folder`."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def _refuse(constant):
    raise AssertionError(f"{constant} is no JSON")
