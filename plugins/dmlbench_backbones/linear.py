"""Standardised vectors, so that the embedding is a linear map of the input.

The harness puts a linear layer from features to embedding on every backbone. The backbone of a
linear model is therefore what comes before that layer: each feature is scaled to mean 0 and
variance 1, without parameters. What is learned is one matrix L, and with it the Mahalanobis
distance of M = L^T L (where embeddings keep their length):

    ||L x - L y||^2 = (x - y)^T L^T L (x - y)

Without the standardisation, the unit that a feature is measured in would decide how fast it is
learned.
"""

from torch import nn

from dmlbench import Backbone, ConfigError


class Linear(Backbone):
    """For vectors: features standardised, nothing else. The embedding is linear in the input.

    Mean and variance are those of the training batches: of the batch at hand while training, the
    average over all of them so far in evaluation. Before the first batch nothing is changed.
    """

    modality = "vector"

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        """Return the standardisation of vectors of `shape`: as many features as inputs.

        Raises:
            ConfigError: the input is not a vector.
        """
        if len(shape) != 1:
            raise ConfigError(
                f"The backbone 'linear' takes vectors [D], not inputs of shape {list(shape)}; "
                "images go to 'small-conv' or 'timm/NAME'."
            )
        # momentum None: every batch counts alike, since what is averaged does not change.
        return nn.BatchNorm1d(shape[0], affine=False, momentum=None)
