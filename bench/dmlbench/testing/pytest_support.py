"""The checks as tests in a plugin's own package."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

from dmlbench.testing.findings import ConformanceWarning
from dmlbench.testing.runner import Check, checks, examine
from dmlbench.testing.subject import Subject


def conformance_tests(
    kind: str,
    component: Any,
    settings: Mapping[str, Any] | None = None,
    argument: str | None = None,
) -> Callable[..., None]:
    """Return a test function for pytest, with one case per check.

    ::

        from dmlbench.testing import conformance_tests
        from soft_contrastive import SoftContrastive

        test_soft_contrastive = conformance_tests("loss", SoftContrastive)

    What merely could be better is reported as a `ConformanceWarning`.

    Args:
        kind: "loss", "miner", "sampler", "backbone", "dataset", "baseline", "metric", "executor"
            or "hooks".
        component: its class; of hooks the module or object.
        settings: hyper-parameters to check it with, where they differ from the defaults.
        argument: which member of a family, such as ``"resnet18"`` of ``timm``.
    """
    import pytest

    subject = Subject(kind, component, settings or {}, argument)

    @pytest.mark.parametrize("claim", checks(kind), ids=lambda check: check.__name__)
    def test_conformance(claim: Check) -> None:
        finding = examine(claim, subject)
        if finding.outcome == "failed":
            pytest.fail(finding.text, pytrace=False)
        if finding.outcome == "skipped":
            pytest.skip(finding.text)
        if finding.outcome == "warned":
            warnings.warn(finding.text, ConformanceWarning, stacklevel=1)

    return test_conformance
