"""Losses with one fault each in their values and gradients."""

import sys
from typing import Annotated

import torch
import torch.nn.functional as F
from testing.faults import Faults
from testing.sound_losses import Sound, SoundProxies
from torch import nn

from dmlbench import (
    Uniform,
    as_pair_mask,
    masked_mean,
)

FAULTS = Faults("loss")
found_by = FAULTS.found_by


EVERY_VALUE = (
    "its_value_has_a_gradient_to_the_embeddings",
    "odd_batches_give_finite_values_and_gradients",
    "empty_selections_give_zero_with_a_zero_gradient",
    "a_memory_without_gradient_is_compared_with",
    "the_order_of_the_references_does_not_matter",
    "diverged_embeddings_give_nan",
    "the_same_seed_gives_the_same_value",
    "float64_stays_float64",
    "any_number_of_classes_and_dimensions_will_do",
    "it_works_in_mixed_precision",
    "training_by_it_finds_the_classes",
    "its_inputs_stay_as_they_were",
    "the_surroundings_stay_as_they_were",
    "it_goes_on_from_a_checkpoint_to_the_bit",
    "it_moves_to_another_device_as_a_whole",
    "it_computes_where_its_embeddings_are",
    "its_memory_grows_with_the_pairs_not_with_the_triplets",
)


@found_by("its_value_has_a_gradient_to_the_embeddings", *EVERY_VALUE)
class Exits(Sound):
    """Ends the interpreter."""

    def forward(self, pairs, selection):
        sys.exit(7)


@found_by("its_value_has_a_gradient_to_the_embeddings", *EVERY_VALUE)
class NotAScalar(Sound):
    """Returns one number per anchor."""

    def forward(self, pairs, selection):
        return super().forward(pairs, selection) + pairs.anchors.sum(1)


@found_by("its_value_has_a_gradient_to_the_embeddings", *EVERY_VALUE)
class Detached(Sound):
    """Returns a value without a gradient."""

    def forward(self, pairs, selection):
        return super().forward(pairs, selection).detach()


@found_by(
    "its_value_has_a_gradient_to_the_embeddings",
    "its_own_parameters_have_gradients",
    "training_by_it_finds_the_classes",
)
class LearnsNothing(SoundProxies):
    """Has a gradient only for its proxies."""

    def forward(self, pairs, selection):
        return F.cross_entropy(pairs.anchors.detach() @ self.proxies.T, pairs.labels)


@found_by("its_own_parameters_have_gradients")
class IdleParameter(SoundProxies):
    """Has a parameter that it doesn't use."""

    def __init__(self, *, num_classes: int, embedding_dim: int):
        super().__init__(num_classes=num_classes, embedding_dim=embedding_dim)
        self.bias = nn.Parameter(torch.zeros(num_classes))


@found_by("odd_batches_give_finite_values_and_gradients", *EVERY_VALUE)
class RootOfZero(Sound):
    """Takes the root of squared distances; that of an anchor to itself is 0."""

    def values(self, pairs):
        return -(pairs.anchors[:, None] - pairs.references).square().sum(2).sqrt()


@found_by(
    "embeddings_on_its_own_parameters_give_finite_gradients", "training_by_it_finds_the_classes"
)
class AngleToProxies(SoundProxies):
    """Takes the angle between embeddings and proxies."""

    def forward(self, pairs, selection):
        cosines = pairs.anchors @ F.normalize(self.proxies).T
        return F.cross_entropy(-4 * cosines.acos(), pairs.labels)


@found_by("the_ends_of_its_search_spaces_give_finite_gradients")
class DividesByItsSetting(Sound):
    """Divides by what may be 0."""

    def __init__(self, *, temperature: Annotated[float, Uniform(0.0, 1.0)] = 0.25):
        super().__init__()
        self.temperature = temperature

    def values(self, pairs):
        return pairs.similarity / self.temperature


@found_by(
    "empty_selections_give_zero_with_a_zero_gradient",
    "odd_batches_give_finite_values_and_gradients",
    "any_number_of_classes_and_dimensions_will_do",
    "the_ends_of_its_search_spaces_give_finite_gradients",
)
class MeanOverNothing(Sound):
    """Takes the mean of what is selected, even if that is nothing."""

    def forward(self, pairs, selection):
        chosen = as_pair_mask(selection, pairs)
        return pairs.similarity[chosen.negative].mean() - pairs.similarity[chosen.positive].mean()


@found_by(
    "a_memory_without_gradient_is_compared_with",
    "the_order_of_the_references_does_not_matter",
    "it_computes_where_its_embeddings_are",
)
class SquareOnly(Sound):
    """Takes the batch for its own references."""

    def values(self, pairs):
        return 4 * pairs.similarity * (1 - torch.eye(len(pairs)).to(pairs.anchors))


@found_by("the_order_of_the_references_does_not_matter")
class ByPosition(Sound):
    """Weights references by their position."""

    def values(self, pairs):
        places = torch.arange(len(pairs.references), device=pairs.anchors.device)
        return (4 + places / len(places)) * pairs.similarity


@found_by("diverged_embeddings_give_nan")
class LosesNaN(Sound):
    """Takes the mean of values above 0, and NaN is not above 0."""

    def forward(self, pairs, selection):
        chosen, values = as_pair_mask(selection, pairs), 1 + pairs.similarity
        return masked_mean(values, chosen.negative & (values > 0)) + masked_mean(
            2 - values, chosen.positive & (values < 2)
        )


@found_by(
    "the_same_seed_gives_the_same_value",
    "the_order_of_the_references_does_not_matter",
    "it_goes_on_from_a_checkpoint_to_the_bit",
    "it_computes_where_its_embeddings_are",
)
class Unseeded(Sound):
    """Draws from a generator of its own."""

    def forward(self, pairs, selection):
        generator = torch.Generator()
        generator.seed()
        return super().forward(pairs, selection) * torch.rand(1, generator=generator).item()


@found_by("float64_stays_float64")
class SinglePrecision(Sound):
    """Computes in float32 whatever it is given."""

    def values(self, pairs):
        return 4 * pairs.similarity.float()


@found_by("any_number_of_classes_and_dimensions_will_do")
class SixClasses(Sound):
    """Only works for six classes in four dimensions."""

    def __init__(self):
        super().__init__()
        self.weights = nn.Parameter(torch.ones(4))

    def values(self, pairs):
        return 4 * (pairs.anchors * self.weights) @ pairs.references.T


@found_by("it_works_in_mixed_precision")
class MixesTypes(Sound):
    """Puts float32 into what autocast made bfloat16."""

    def values(self, pairs):
        first = torch.zeros(1, dtype=torch.int64, device=pairs.anchors.device)
        nothing = torch.zeros_like(pairs.similarity)
        nothing = nothing.index_put((first, first), 0 * pairs.anchors[0, :1])
        return 4 * pairs.similarity + nothing


@found_by("training_by_it_finds_the_classes")
class WrongSign(Sound):
    """Pushes positives apart."""

    def values(self, pairs):
        return -4 * pairs.similarity
