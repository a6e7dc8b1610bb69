"""Numbers with units on the command line."""

import click
import pytest

from dmlbench.cli.quantity import MEBIBYTES, SECONDS, Quantity

TIME, MEMORY = Quantity("time", SECONDS, "s"), Quantity("memory", MEBIBYTES, "MiB")


@pytest.mark.parametrize(
    ("quantity", "text", "expected"),
    [
        (TIME, "90", 90),
        (TIME, "1.5h", 1.5 * 60 * 60),
        (TIME, "30 m", 1800),
        (TIME, "2d", 2 * 24 * 60 * 60),
        (MEMORY, "4000", 4000),
        (MEMORY, "8GiB", 8 * 1024),
        (MEMORY, "8GB", 8e9 / 2**20),
    ],
)
def test_a_number_has_the_usual_unit_unless_it_names_another(quantity, text, expected):
    assert quantity.convert(text, None, None) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("text", ["", "0", "-3", "nan", "inf", "3 weeks", "1e3", "9" * 400, "m"])
def test_anything_else_is_refused_with_the_units(text):
    with pytest.raises(click.BadParameter, match="is no time"):
        TIME.convert(text, None, None)
