"""PCA with whitening: all kept directions count alike in a distance.

    z = diag(1 / sigma_1, ..., 1 / sigma_E) V^T (x - mean)

with the E directions V of largest standard deviation sigma. The Euclidean distance of z is the
Mahalanobis distance of the training data within those directions, whatever the labels.
"""

from typing import Self

import numpy as np
from sklearn.decomposition import PCA


class WhitenedPCA(PCA):
    """Principal components, each scaled to variance 1 on the training items.

    Directions without variance in training (a standard deviation below about a millionth of the
    largest) are dropped, even if fewer than `n_components` remain. Scaling them would blow up
    rounding errors and, worse, any test item that does differ there, such as a pixel that was black
    in all training images. The fit is in double precision: in single, rounding hides them.

    Args:
        n_components: length of the embedding; as many as the data have if None.
        svd_solver: as in scikit-learn.
        random_state: seed of the solvers "arpack" and "randomized".
    """

    components_: np.ndarray
    singular_values_: np.ndarray
    explained_variance_: np.ndarray
    explained_variance_ratio_: np.ndarray

    def __init__(
        self,
        n_components: int | None = None,
        *,
        svd_solver: str = "auto",
        random_state: int | None = None,
    ) -> None:
        super().__init__(
            n_components, whiten=True, svd_solver=svd_solver, random_state=random_state
        )

    def fit(self, X: np.ndarray, y: np.ndarray | None = None) -> Self:  # noqa: N803
        """Learn the directions from items ``[N, D]``; labels are not used."""
        super().fit(np.asarray(X, dtype=np.float64))
        smallest = self.explained_variance_[0] * max(np.shape(X)) * np.finfo(np.float64).eps
        kept = self.explained_variance_ > smallest
        self.components_ = self.components_[kept]
        self.singular_values_ = self.singular_values_[kept]
        self.explained_variance_ = self.explained_variance_[kept]
        self.explained_variance_ratio_ = self.explained_variance_ratio_[kept]
        self.n_components_ = int(kept.sum())
        return self

    def fit_transform(self, X: np.ndarray, y: np.ndarray | None = None) -> np.ndarray:  # noqa: N803
        """Learn from items ``[N, D]`` and return their embeddings ``[N, E]``."""
        embeddings: np.ndarray = self.fit(X).transform(X)
        return embeddings
