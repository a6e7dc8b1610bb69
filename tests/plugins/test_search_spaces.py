"""Search spaces of shipped components: they hold every default, and what the literature found."""

import pytest

from dmlbench.components.catalogue import Catalogue
from dmlbench.components.hyperparameters import hyperparameters
from dmlbench.components.importing import load_entry

TUNED = {
    "cosface": {"margin": (0.34, 0.62), "scale": (88, 162)},
    "fastap": {"bins": (16, 27)},
    "nt-xent": {"temperature": (0.0002, 0.02)},
    "snr-contrastive": {"zero_mean_weight": (0, 0.138)},
    "soft-triple": {"gamma": (19, 59)},
}
"""Lowest and highest of the values that were best on three datasets in Musgrave et al., A Metric
Learning Reality Check, ECCV 2020, arXiv 2003.08505."""

SHIPPED = [
    entry
    for entry in Catalogue.discover().entries
    if entry.kind in ("loss", "miner", "sampler") and entry.distribution == "dmlbench"
]


@pytest.mark.parametrize("entry", SHIPPED, ids=lambda entry: f"{entry.kind}-{entry.name}")
def test_every_hyperparameter_has_a_search_space_around_its_default(entry):
    for found in hyperparameters(load_entry(entry)).values():
        assert found.space is not None, found.name
        assert found.default in found.space


@pytest.mark.parametrize("name", TUNED)
def test_the_values_that_tuning_found_are_inside(name):
    (loss,) = [entry for entry in SHIPPED if (entry.kind, entry.name) == ("loss", name)]
    spaces = {key: found.space for key, found in hyperparameters(load_entry(loss)).items()}
    for parameter, values in TUNED[name].items():
        assert all(value in spaces[parameter] for value in values)
