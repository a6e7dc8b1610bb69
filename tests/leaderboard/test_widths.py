"""Published pages fit the width that GitHub gives them."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("leaderboards/*.md"), *ROOT.glob("leaderboards/*/*.md")]
PAGES += [*ROOT.glob("leaderboards/miners/*/*.md"), ROOT / "docs" / "losses.md"]
WIDE = 980
"""Pixels of a page's text."""
PADDING, CHARACTER = 27, 9.2
"""Pixels beside a cell's text, and of a wide character of GitHub's font at 16 pixels."""


def narrowest(line: list[str]) -> float:
    """Return how many pixels a line takes when every cell is broken where it may be."""
    links = [re.sub(r"\[(.*?)\]\(.*?\)", r"\1", cell) for cell in line]
    words = [re.split(r"(?<=-)|\s", text.replace("\\", "").strip()) for text in links]
    return sum(PADDING + CHARACTER * max(map(len, some)) for some in words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_table_of_a_published_page_is_wider_than_the_page(page):
    tables = re.findall(r"(?:^\|.*\n)+", page.read_text(), re.MULTILINE)
    assert tables or "small.samplers" in page.name
    for table in tables:
        lines = [re.split(r"(?<!\\)\|", line)[1:-1] for line in table.splitlines()]
        columns = zip(*(line for place, line in enumerate(lines) if place != 1), strict=True)
        assert sum(max(narrowest([cell]) for cell in column) for column in columns) <= WIDE
