"""The versions of everything that may change a figure."""

from collections.abc import Mapping


def versions(distributions: Mapping[str, str]) -> dict[str, str]:
    """Return the versions of everything that may change a figure, plugins included."""
    import platform
    from importlib.metadata import version

    core = ("dmlbench", "torch", "numpy", "scipy", "scikit-learn", "timm", "datasets", "pillow")
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in core},
        **{name: number for name, number in distributions.items() if name},
    }
