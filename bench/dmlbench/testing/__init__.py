"""Does a component keep its contract? For authors of plugins, in code and in tests.

A check is a small function with a claim for a name; ``loss.py``, ``miner.py`` and so on hold those
of each kind. One that fails says what was seen, what must hold, and how to mend it.

On the command line: ``dmlbench plugin check``.
"""

from dmlbench.testing.findings import ConformanceWarning, Finding
from dmlbench.testing.pytest_support import conformance_tests
from dmlbench.testing.runner import check, checks

__all__ = ["ConformanceWarning", "Finding", "check", "checks", "conformance_tests"]
