"""The names of the protocols that ship with dmlbench, without reading any."""

import os

FOLDER = os.path.join(os.path.dirname(os.path.dirname(__file__)), "protocols")


def protocol_names() -> list[str]:
    """Return the names of the protocols that ship with dmlbench.

    Example:
        >>> from dmlbench.schemas.shipped_protocols import protocol_names
        >>> "small" in protocol_names()
        True
    """
    return sorted(name.removesuffix(".toml") for name in os.listdir(FOLDER))
