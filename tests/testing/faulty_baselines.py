"""Baselines with one fault each."""

import os

import numpy as np
from sklearn.base import BaseEstimator
from testing.faults import Faults

FAULTS = Faults("baseline")
found_by = FAULTS.found_by


class Sound(BaseEstimator):
    """A baseline without a fault: a random projection, kept to three numbers."""

    def __init__(self, n_components: int | None = None, *, random_state: int | None = None):
        self.n_components = n_components
        self.random_state = random_state

    def fit(self, X, y):
        rng = np.random.default_rng(self.random_state)
        self.directions_ = rng.normal(size=(X.shape[1], self.n_components))
        return self

    def transform(self, X):
        return X @ self.directions_


class SoundAndPlain:
    """A baseline without a fault that knows nothing of scikit-learn."""

    def fit(self, X, y):
        self.mean = X.mean(0)

    def transform(self, X):
        return X - self.mean


SOUND = [Sound, SoundAndPlain]


@found_by(
    "it_makes_an_embedding_of_each_item",
    "constant_features_give_finite_numbers",
    "the_same_seed_gives_the_same_embeddings",
)
class OneRow(Sound):
    """Makes one embedding for all."""

    def transform(self, X):
        return super().transform(X).mean(0)


@found_by("it_makes_an_embedding_of_each_item")
class AsManyAsItems(Sound):
    """Makes embeddings as long as there are items."""

    def transform(self, X):
        return X[:, :1] @ X[:, :1].T


@found_by("it_makes_an_embedding_of_each_item", "constant_features_give_finite_numbers")
class BatchesOnly(Sound):
    """Can't embed a single item."""

    def transform(self, X):
        return super().transform(X) / X.std(0, ddof=1)[:1]


@found_by("constant_features_give_finite_numbers")
class DividesByDeviation(Sound):
    """Divides by a deviation that may be 0."""

    def fit(self, X, y):
        self.deviation_ = X.std(0)
        return super().fit(X, y)

    def transform(self, X):
        with np.errstate(all="ignore"):
            return super().transform(X / self.deviation_)


@found_by("the_same_seed_gives_the_same_embeddings")
class Unseeded(Sound):
    """Ignores its seed."""

    def fit(self, X, y):
        self.random_state = None
        return super().fit(X, y)


@found_by("its_inputs_stay_as_they_were", "the_same_seed_gives_the_same_embeddings")
class CentresInPlace(Sound):
    """Changes the items in place."""

    def fit(self, X, y):
        X -= X.mean(0)
        return super().fit(X, y)


@found_by("the_surroundings_stay_as_they_were")
class SetsTheEnvironment(Sound):
    """Sets the number of threads for the whole process."""

    def fit(self, X, y):
        os.environ["OMP_NUM_THREADS"] = "64"
        return super().fit(X, y)


@found_by("it_can_be_cloned")
class ChangesItsSettings(Sound):
    """Stores a different number from the one it was given."""

    def __init__(self, n_components: int | None = None, *, random_state: int | None = None):
        super().__init__(n_components, random_state=(random_state or 0) + 1)
