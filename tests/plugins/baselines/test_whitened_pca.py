"""Whitened PCA against the covariance that it makes, Mahalanobis distances and scikit-learn."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from support.projections import same_up_to_sign

from dmlbench_baselines.whitened_pca import WhitenedPCA


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
