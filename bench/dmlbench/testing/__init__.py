"""The conformance kit: does a component keep its contract? For plugin authors, in code and tests.

A check is a small function whose name is a claim; ``kinds/`` has one module for each kind of
component. A check that fails says what it saw, what must hold, and how to mend it.

On the command line: ``dmlbench plugin check``.
"""

from dmlbench.testing.findings import ConformanceWarning, Finding
from dmlbench.testing.pytest_support import conformance_tests
from dmlbench.testing.runner import check, checks

__all__ = ["ConformanceWarning", "Finding", "check", "checks", "conformance_tests"]
