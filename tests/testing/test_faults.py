"""Each planted fault is found by the check that is meant for it; sound components pass."""

import pytest
from testing import (
    faulty_backbones,
    faulty_baselines,
    faulty_datasets,
    faulty_executors,
    faulty_hooks,
    faulty_loss_facts,
    faulty_loss_state,
    faulty_losses,
    faulty_metrics,
    faulty_miners,
    faulty_samplers,
    sound_losses,
)

from dmlbench.testing import check

FAULTS = [
    *faulty_loss_facts.FAULTS,
    *faulty_losses.FAULTS,
    *faulty_loss_state.FAULTS,
    *faulty_miners.FAULTS,
    *faulty_samplers.FAULTS,
    *faulty_backbones.FAULTS,
    *faulty_datasets.FAULTS,
    *faulty_baselines.FAULTS,
    *faulty_metrics.FAULTS,
    *faulty_executors.FAULTS,
    *faulty_hooks.FAULTS,
]
SOUND = [
    *(("loss", each) for each in sound_losses.SOUND),
    *(("miner", each) for each in faulty_miners.SOUND),
    *(("sampler", each) for each in faulty_samplers.SOUND),
    *(("backbone", each) for each in faulty_backbones.SOUND),
    *(("dataset", each) for each in faulty_datasets.SOUND),
    *(("baseline", each) for each in faulty_baselines.SOUND),
    *(("metric", each) for each in faulty_metrics.SOUND),
    *(("executor", each) for each in faulty_executors.SOUND),
    *(("hooks", each) for each in faulty_hooks.SOUND),
]


def name(fault):
    return getattr(fault.component, "__name__", type(fault.component).__name__)


@pytest.mark.parametrize("fault", FAULTS, ids=name)
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
