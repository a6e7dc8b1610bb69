"""Records made up for tables."""

from support.made_records import (  # noqa: F401 - fixtures are found by their names here
    _part_fixture,
    _record_fixture,
    cross_validated,
    glyphs_records,
)
