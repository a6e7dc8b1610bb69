"""Kernel PCA with a radial kernel whose width follows the data.

    k(x, y) = exp(-gamma ||x - y||^2),  gamma = 1 / (D Var(X))

Schölkopf, Smola and Müller, Kernel Principal Component Analysis, ICANN 1997. Two items at random
have a mean squared distance of at most 2 D Var(X), so with this gamma ("scale", as in
scikit-learn's support vector machines) the exponent of a typical pair is -2 or a little nearer 0,
whatever the unit of X. The default of scikit-learn's kernel PCA is gamma = 1 / D: for pixels in 0-1
it makes most kernel values close to 1, and the result close to that of plain PCA.
"""

from typing import Annotated, Self

import numpy as np
from sklearn.decomposition import KernelPCA

from dmlbench import OnlyWith


class RadialKernelPCA(KernelPCA):
    """Principal components in the feature space of a kernel, by default the radial one.

    The kernel matrix of N training items takes 8 N^2 bytes. It is in double precision: in single,
    LAPACK fails to find the eigenvalues where many are nearly equal.

    Args:
        n_components: length of the embedding; all directions with variance if None.
        kernel: as in scikit-learn.
        gamma: width of the kernel; "scale" for 1 / (D * X.var()) of the training items, and 1 / D
            where they don't vary.
        eigen_solver: as in scikit-learn.
        random_state: seed of the solvers "arpack" and "randomized".
    """

    gamma: float | str | None

    def __init__(
        self,
        n_components: int | None = None,
        *,
        kernel: str = "rbf",
        gamma: Annotated[float | str, OnlyWith("kernel", "rbf", "poly", "sigmoid")] = "scale",
        eigen_solver: str = "auto",
        random_state: int | None = None,
    ) -> None:
        super().__init__(
            n_components,
            kernel=kernel,
            gamma=gamma,
            eigen_solver=eigen_solver,
            random_state=random_state,
        )

    def fit(self, X: np.ndarray, y: np.ndarray | None = None) -> Self:  # noqa: N803
        """Learn the directions from items ``[N, D]``; labels are not used."""
        X = np.asarray(X, dtype=np.float64)  # noqa: N806
        asked = self.gamma
        if asked == "scale":
            variance = X.var()
            self.gamma = float(1 / (X.shape[-1] * variance)) if variance > 0 else None
        try:
            super().fit(X)
        finally:
            self.gamma = asked
        return self
