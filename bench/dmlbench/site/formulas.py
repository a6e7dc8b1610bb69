"""LaTeX formulas as MathML, which browsers set without a script."""

import re
from functools import cache
from xml.etree import ElementTree

from latex2mathml.converter import convert

_NAMESPACE = "http://www.w3.org/1998/Math/MathML"
_ELEMENTS = {
    *("math", "mi", "mn", "mo", "mtext", "mspace", "mrow", "mstyle", "mfrac", "msqrt", "mroot"),
    *("msub", "msup", "msubsup", "munder", "mover", "munderover", "mtable", "mtr", "mtd"),
}
_ATTRIBUTES = {
    *("display", "displaystyle", "fence", "stretchy", "minsize", "maxsize", "width", "form"),
    *("columnalign", "mathvariant", "accent", "movablelimits", "separator", "lspace", "rspace"),
}
_CASES = re.compile(r"(\\begin\{cases\}\s*)(?=\[)")
"""A bracket there would be read as the option of an array."""


@cache
def mathml(latex: str, display: bool = False) -> str | None:
    """Return `latex` as a ``math`` element; None if it can't be set.

    Formulas come from docstrings of plugins, so only elements and attributes that set formulas are
    let through: no links, no scripts, no styles.
    """
    try:
        element = ElementTree.fromstring(
            convert(_CASES.sub(r"\1{}", latex), display="block" if display else "inline")
        )
    except Exception:  # each failure of the converter has a class of its own, without a base
        return None
    for one in element.iter():
        one.tag = one.tag.removeprefix(f"{{{_NAMESPACE}}}")
        if one.tag not in _ELEMENTS or not one.attrib.keys() <= _ATTRIBUTES:
            return None
    return ElementTree.tostring(element, encoding="unicode", short_empty_elements=False)
