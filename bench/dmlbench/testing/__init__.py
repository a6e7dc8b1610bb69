"""The conformance kit: does a component keep its contract? For plugin authors, in code and tests.

A check is a small function whose name is a claim; ``kinds/`` has one module for each kind of
component. A check that fails says what it saw, what must hold, and how to mend it.

On the command line: ``dmlbench plugin check``.
"""

TYPE_CHECKING = False

if TYPE_CHECKING:
    from dmlbench.testing.findings import ConformanceWarning, Finding
    from dmlbench.testing.pytest_support import conformance_tests
    from dmlbench.testing.runner import check, checks

__all__ = ["ConformanceWarning", "Finding", "check", "checks", "conformance_tests"]

_MODULE_OF = {
    "ConformanceWarning": "findings",
    "Finding": "findings",
    "check": "runner",
    "checks": "runner",
    "conformance_tests": "pytest_support",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used: workers of quick trials need no torch."""
    from importlib import import_module

    if name not in _MODULE_OF:
        raise AttributeError(f"module 'dmlbench.testing' has no attribute {name!r}")
    return getattr(import_module(f"dmlbench.testing.{_MODULE_OF[name]}"), name)
