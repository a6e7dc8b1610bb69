"""Each planted fault is found by the check that is meant for it; sound components pass."""

import pytest
from testing import (
    faulty_backbones,
    faulty_baselines,
    faulty_datasets,
    faulty_losses,
    faulty_miners,
    faulty_samplers,
)

from dmlbench.testing import check

KINDS = {
    "loss": faulty_losses,
    "miner": faulty_miners,
    "sampler": faulty_samplers,
    "backbone": faulty_backbones,
    "dataset": faulty_datasets,
    "baseline": faulty_baselines,
}
FAULTS = [fault for module in KINDS.values() for fault in module.FAULTS]
SOUND = [(kind, component) for kind, module in KINDS.items() for component in module.SOUND]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.component.__name__)
def test_a_fault_is_found_by_the_check_that_is_meant_for_it(fault):
    findings = check(fault.kind, fault.component)
    found = {each.check: each.text for each in findings if each.outcome in ("failed", "warned")}
    assert fault.found_by in found
    assert set(found) <= {fault.found_by, *fault.also}, found
    assert len(found[fault.found_by]) > 40


@pytest.mark.parametrize(("kind", "component"), SOUND)
def test_a_sound_component_has_no_findings(kind, component):
    findings = check(kind, component)
    assert [each for each in findings if each.outcome in ("failed", "warned")] == []
