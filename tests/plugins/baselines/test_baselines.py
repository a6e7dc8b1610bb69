"""Baselines against the formulas they stand for, and as good citizens of scikit-learn."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.decomposition import PCA, KernelPCA

from dmlbench_baselines.kernel_pca import RadialKernelPCA
from dmlbench_baselines.untrained import Untrained
from dmlbench_baselines.whitened_pca import WhitenedPCA

BASELINES = [RadialKernelPCA, Untrained, WhitenedPCA]


@pytest.fixture
def items() -> np.ndarray:
    """Correlated features of very different scale, float32 as the harness passes them."""
    rng = np.random.default_rng(0)
    mixed = rng.normal(size=(120, 7)) @ rng.normal(size=(7, 7)) + rng.normal(size=7)
    return (mixed * [1, 1, 5, 0.1, 1, 1, 3]).astype(np.float32)


@pytest.fixture
def others() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(15, 7)).astype(np.float32)


def same_up_to_sign(ours: np.ndarray, theirs: np.ndarray, tolerance: float = 1e-4) -> bool:
    return np.allclose(np.abs(ours), np.abs(theirs), atol=tolerance)


# Whitened PCA


@pytest.mark.parametrize("n_components", [None, 1, 4, 7])
@pytest.mark.parametrize("svd_solver", ["auto", "full", "covariance_eigh"])
def test_whitened_training_items_have_identity_covariance(items, n_components, svd_solver):
    pca = WhitenedPCA(n_components, svd_solver=svd_solver)
    embeddings = pca.fit(items).transform(items)
    assert embeddings.shape == (120, n_components or 7)
    assert np.allclose(embeddings.mean(0), 0, atol=1e-5)
    assert np.allclose(np.cov(embeddings.T), np.eye(n_components or 7), atol=1e-5)


def test_whitened_distance_is_the_mahalanobis_distance(items, others):
    embeddings = WhitenedPCA().fit(items).transform(others)
    inverse = np.linalg.inv(np.cov(items.T.astype(np.float64)))
    for i, j in [(0, 1), (2, 9), (14, 3)]:
        gap = others[i] - others[j]
        squared = np.square(embeddings[i] - embeddings[j]).sum()
        assert squared == pytest.approx(gap @ inverse @ gap, rel=1e-4)


def test_whitened_pca_equals_scikit_learn_where_all_directions_vary(items, others):
    theirs = PCA(4, whiten=True).fit(items.astype(np.float64)).transform(others)
    assert same_up_to_sign(WhitenedPCA(4).fit(items).transform(others), theirs)


@pytest.mark.parametrize("svd_solver", ["auto", "full", "covariance_eigh"])
def test_directions_that_do_not_vary_in_training_do_not_dominate_test_items(
    items, others, svd_solver
):
    with_dead = np.hstack([items, np.full((120, 1), 0.5, np.float32), items[:, :1] * 3])
    unseen = np.hstack([others, np.full((15, 1), 0.9, np.float32), others[:, :1] * 2])
    pca = WhitenedPCA(9, svd_solver=svd_solver).fit(with_dead)
    assert pca.n_components_ == 7
    assert pca.transform(unseen).shape == (15, 7)
    assert np.abs(pca.transform(unseen)).max() < 1e3


def test_fewer_items_than_features_leave_one_direction_less_than_items():
    few = np.random.default_rng(0).random((10, 50), dtype=np.float32)
    embeddings = WhitenedPCA(10).fit(few).transform(few)
    assert embeddings.shape == (10, 9)
    assert np.allclose(np.cov(embeddings.T), np.eye(9), atol=1e-4)


def test_whitened_fit_transform_is_fit_then_transform(items):
    assert np.array_equal(
        WhitenedPCA(3).fit_transform(items), WhitenedPCA(3).fit(items).transform(items)
    )


# Kernel PCA


def kernel_pca_by_hand(items, others, gamma: float, n_components: int) -> np.ndarray:
    """The projection of centred feature vectors on the leading eigenvectors of their scatter."""
    items, others = items.astype(np.float64), others.astype(np.float64)

    def kernel(a, b):
        return np.exp(-gamma * np.square(a[:, None] - b[None]).sum(2))

    gram = kernel(items, items)
    centred = gram - gram.mean(0) - gram.mean(1, keepdims=True) + gram.mean()
    values, vectors = np.linalg.eigh(centred)
    values, vectors = values[::-1][:n_components], vectors[:, ::-1][:, :n_components]
    cross = kernel(others, items)
    cross = cross - cross.mean(1, keepdims=True) - gram.mean(0) + gram.mean()
    return cross @ vectors / np.sqrt(values)


def test_kernel_pca_is_its_formula_with_gamma_from_the_variance(items, others):
    gamma = 1 / (7 * items.astype(np.float64).var())
    expected = kernel_pca_by_hand(items, others, gamma, 5)
    assert same_up_to_sign(RadialKernelPCA(5).fit(items).transform(others), expected, 1e-3)


def test_kernel_pca_does_not_depend_on_the_unit_of_the_items(items, others):
    one = RadialKernelPCA(4).fit(items).transform(others)
    thousandth = RadialKernelPCA(4).fit(items * 1000).transform(others * 1000)
    assert same_up_to_sign(one, thousandth, 1e-3)
    fixed = KernelPCA(4, kernel="rbf").fit(items * 3).transform(others * 3)
    assert not same_up_to_sign(one, fixed, 1e-1)


def test_a_gamma_that_is_given_is_used_and_kept(items, others):
    ours = RadialKernelPCA(4, gamma=0.3).fit(items)
    theirs = KernelPCA(4, kernel="rbf", gamma=0.3).fit(items)
    assert ours.gamma == ours.gamma_ == 0.3
    assert same_up_to_sign(ours.transform(others), theirs.transform(others))


def test_fitting_leaves_the_hyper_parameter_as_it_was_asked(items):
    pca = RadialKernelPCA(4).fit(items)
    assert pca.gamma == "scale"
    assert pca.gamma_ == pytest.approx(1 / (7 * items.var()))
    with pytest.raises(ValueError, match="NaN"):
        pca.fit(np.full((5, 7), np.nan))
    assert pca.gamma == "scale"


def test_kernel_pca_refuses_an_unknown_width(items):
    with pytest.raises(ValueError, match="gamma"):
        RadialKernelPCA(gamma="wide").fit(items)


def test_kernel_pca_survives_a_kernel_that_is_nearly_the_identity():
    far_apart = np.random.default_rng(0).normal(size=(120, 7)).astype(np.float32) * 10
    embeddings = RadialKernelPCA(4, gamma=1 / 7).fit(far_apart).transform(far_apart)
    assert embeddings.shape == (120, 4)
    assert np.isfinite(embeddings).all()


def test_kernel_pca_of_items_that_are_all_equal_is_all_zero():
    equal = np.full((8, 3), 0.25)
    assert not RadialKernelPCA(2).fit(equal).transform(equal).any()


def test_kernel_pca_fit_transform_is_fit_then_transform(items):
    assert np.allclose(
        RadialKernelPCA(3).fit_transform(items),
        RadialKernelPCA(3).fit(items).transform(items),
        atol=1e-4,
    )


@pytest.mark.parametrize(
    ("baseline", "solver"),
    [(RadialKernelPCA, {"eigen_solver": "randomized"}), (WhitenedPCA, {"svd_solver": "arpack"})],
)
def test_the_seed_fixes_the_solvers_that_draw(baseline, solver, items, others):
    fits = [baseline(3, random_state=7, **solver).fit(items) for _ in range(2)]
    assert np.array_equal(fits[0].transform(others), fits[1].transform(others))


# Untrained


def test_untrained_asks_for_embeddings_and_returns_them_unchanged(items):
    untrained = Untrained()
    assert untrained.takes == "embeddings"
    assert np.array_equal(untrained.fit(items, np.zeros(120)).transform(items), items)
    assert untrained.get_params() == {}


@pytest.mark.parametrize("baseline", [RadialKernelPCA, WhitenedPCA])
def test_baselines_on_pixels_do_not_ask_for_embeddings(baseline):
    assert not hasattr(baseline, "takes")


# All of them


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
