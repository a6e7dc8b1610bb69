"""Baselines as good citizens of scikit-learn: clones, seeds, and items left alone."""

import numpy as np
import pytest
from sklearn.base import clone

from dmlbench_baselines.kernel_pca import RadialKernelPCA
from dmlbench_baselines.untrained import Untrained
from dmlbench_baselines.whitened_pca import WhitenedPCA

BASELINES = [RadialKernelPCA, Untrained, WhitenedPCA]


@pytest.mark.parametrize(
    ("baseline", "solver"),
    [(RadialKernelPCA, {"eigen_solver": "randomized"}), (WhitenedPCA, {"svd_solver": "arpack"})],
)
def test_the_seed_fixes_the_solvers_that_draw(baseline, solver, items, others):
    fits = [baseline(3, random_state=7, **solver).fit(items) for _ in range(2)]
    assert np.array_equal(fits[0].transform(others), fits[1].transform(others))


@pytest.mark.parametrize("baseline", [RadialKernelPCA, WhitenedPCA])
def test_baselines_on_pixels_do_not_ask_for_embeddings(baseline):
    assert not hasattr(baseline, "takes")


@pytest.mark.parametrize("baseline", BASELINES)
def test_baselines_can_be_cloned_with_their_hyper_parameters(baseline):
    parameters = baseline().get_params()
    if "n_components" in parameters:
        parameters |= {"n_components": 3, "random_state": 11}
    copy = clone(baseline(**parameters))
    assert copy.get_params() == parameters
    assert type(copy) is baseline


@pytest.mark.parametrize("baseline", BASELINES)
def test_a_clone_of_a_fitted_baseline_gives_the_same_embeddings(baseline, items, others):
    fitted = baseline().fit(items, np.arange(120))
    again = clone(fitted).fit(items, np.zeros(120))
    assert np.array_equal(fitted.transform(others), again.transform(others))


@pytest.mark.parametrize("baseline", [RadialKernelPCA, WhitenedPCA])
def test_what_the_harness_sets_is_unset_by_default(baseline):
    parameters = baseline().get_params()
    assert parameters["n_components"] is None
    assert parameters["random_state"] is None
    assert baseline().set_params(n_components=2).n_components == 2


@pytest.mark.parametrize("baseline", BASELINES)
def test_baselines_leave_the_items_alone(baseline, items):
    kept = items.copy()
    baseline().fit(items, np.zeros(120)).transform(items)
    assert np.array_equal(items, kept)
