"""Kernel PCA against its formula, whatever the unit of the items."""

import numpy as np
import pytest
from sklearn.decomposition import KernelPCA
from support.projections import same_up_to_sign

from dmlbench import ConfigError
from dmlbench.components.hyperparameters import resolve
from dmlbench_baselines.kernel_pca import RadialKernelPCA


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


@pytest.mark.parametrize("kernel", ["linear", "poly", "rbf", "sigmoid", "cosine"])
def test_a_gamma_is_taken_exactly_where_it_moves_the_embeddings(items, others, kernel):
    some = [
        KernelPCA(2, kernel=kernel, gamma=gamma).fit(items).transform(others)
        for gamma in (0.05, 0.1)
    ]
    settings = {"kernel": kernel, "gamma": "0.05"}
    if np.array_equal(*some):
        with pytest.raises(ConfigError, match=f"kernel=rbf .*, not kernel={kernel}"):
            resolve(RadialKernelPCA, "baseline", settings)
    else:
        assert resolve(RadialKernelPCA, "baseline", settings)["gamma"] == 0.05
