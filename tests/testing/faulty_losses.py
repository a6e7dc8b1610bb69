"""Losses with one fault each."""

import sys
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
from testing.faults import Faults
from torch import nn

from dmlbench import (
    LogUniform,
    Loss,
    Pairs,
    Uniform,
    as_pair_mask,
    as_triplets,
    masked_mean,
)

FAULTS = Faults("loss")
found_by = FAULTS.found_by


class Sound(Loss):
    """A loss without a fault."""

    takes = "pairs"
    default_miner = "all-pairs"
    paper = "Nobody. Nothing. 2026"

    def values(self, pairs):
        return 4 * pairs.similarity

    def forward(self, pairs, selection):
        chosen, values = as_pair_mask(selection, pairs), self.values(pairs)
        apart = masked_mean(F.softplus(values), chosen.negative)
        return apart + masked_mean(F.softplus(-values), chosen.positive)


class SoundProxies(Loss):
    """A loss with proxies and without a fault."""

    takes = "labels"
    paper = "Nobody. Nothing. 2026"

    def __init__(self, *, num_classes: int, embedding_dim: int):
        super().__init__()
        self.proxies = nn.Parameter(torch.randn(num_classes, embedding_dim))

    def forward(self, pairs, selection):
        logits = 8 * pairs.anchors @ F.normalize(self.proxies).T
        return F.cross_entropy(logits, pairs.labels)


class SoundMemory(Sound):
    """A loss with a memory and without a fault."""

    def __init__(self):
        super().__init__()
        self.register_buffer("memory", torch.zeros(12, 4))
        self.register_buffer("classes", torch.zeros(12, dtype=torch.int64))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def extend(self, pairs):
        extended = pairs
        if self.steps > 0:
            extended = Pairs(
                pairs.anchors,
                pairs.labels,
                torch.cat([pairs.references, self.memory.to(pairs.references)]),
                torch.cat([pairs.reference_labels, self.classes]),
                pairs.self_index,
            )
        if len(pairs) == len(self.memory):
            self.memory.copy_(pairs.anchors.detach())
            self.classes.copy_(pairs.labels)
            self.steps += 1
        return extended


class SoundViews(Loss):
    """A loss that takes two views, embeddings of any length, whole epochs, and has settings."""

    takes = "labels"
    paper = "Nobody. Nothing. 2026"
    views = 2
    normalize = False
    starts_epochs = True

    def __init__(
        self,
        *,
        num_classes: int,
        embedding_dim: int,
        power: Annotated[int, Uniform(1, 2)] = 2,
        pull: bool = True,
    ):
        super().__init__()
        self.power = power
        self.pull = pull
        self.register_buffer("means", torch.zeros(num_classes, embedding_dim))

    def start_epoch(self, embeddings, labels):
        for label in range(len(self.means)):
            self.means[label] = embeddings[labels == label].mean(0)

    def forward(self, pairs, selection):
        distances = (pairs.anchors[:, None] - self.means).square().sum(2)
        loss = F.cross_entropy(-((distances + 1e-6) ** (self.power / 2)), pairs.labels)
        first, second = pairs.anchors.chunk(2)
        return loss + 0.01 * (first - second).square().mean() if self.pull else loss


SOUND = [Sound, SoundProxies, SoundMemory, SoundViews]

# What it says of itself


@found_by("it_is_a_component_of_its_kind")
class NoBaseClass(nn.Module):
    """Looks like a loss."""


@found_by("it_is_a_component_of_its_kind")
class TakesSomethingElse(Sound):
    """States what there is not."""

    takes = "quadruplets"


@found_by("its_signature_can_be_read")
class UnstorableDefault(Sound):
    """Has a default that no record can keep."""

    def __init__(self, *, weights=frozenset({1, 2})):
        super().__init__()


@found_by("it_asks_only_for_what_it_is_given")
class AsksForASeed(Sound):
    """Wants a seed of its own."""

    def __init__(self, *, random_state: int):
        super().__init__()


@found_by("it_can_be_made")
class CannotBeMade(Sound):
    """Has a constructor with a bug."""

    def __init__(self):
        sys.exit("sorry")


@found_by("a_docstring_says_what_it_is")
class NoDocstring(Sound):
    pass


@found_by("defaults_lie_in_their_search_spaces")
class DefaultOutside(Sound):
    """Has a default outside its search space."""

    def __init__(self, *, scale: Annotated[float, Uniform(1.0, 2.0)] = 3.0):
        super().__init__()


@found_by("defaults_lie_in_their_search_spaces")
class NoLogarithm(Sound):
    """Searches by order of magnitude from 0 on."""

    def __init__(self, *, scale: Annotated[float, LogUniform(0.0, 2.0)] = 1.0):
        super().__init__()


@found_by("defaults_are_of_their_type", "defaults_lie_in_their_search_spaces")
class TextForANumber(Sound):
    """Has a text as default of a number."""

    def __init__(self, *, scale: Annotated[float, Uniform(0.0, 1.0)] = "0.5"):
        super().__init__()


@found_by("search_spaces_are_stated")
class NoSearchSpace(Sound):
    """Has a setting without a search space."""

    def __init__(self, *, scale: float = 1.0):
        super().__init__()


@found_by("it_names_its_paper")
class NoPaper(Sound):
    """Is from nowhere."""

    paper = ""


@found_by("stated_facts_are_of_the_right_type")
class NegativeRate(Sound):
    """Trains its own parameters uphill."""

    own_lr_multiple = -1.0


@found_by("its_default_miner_is_found")
class UnknownMiner(Sound):
    """Is used with a miner that is not there."""

    default_miner = "hardest"


@found_by("its_paper_sampler_is_found")
class UnknownSamplerSetting(Sound):
    """Sets what its sampler doesn't have."""

    paper_sampler = ("m-per-class", {"n": 2})


@found_by("trained_as_names_losses_that_are_found")
class UnknownPartner(Sound):
    """Is trained with a loss that is not there."""

    trained_as = "tripled+0.5*contrastive"


@found_by("it_announces_that_it_starts_epochs")
class SilentEpochs(Sound):
    """Waits for epochs that nobody announces."""

    def start_epoch(self, embeddings, labels):
        self.started = True


# Values and gradients

EVERY_VALUE = (
    "its_value_has_a_gradient_to_the_embeddings",
    "odd_batches_give_finite_values_and_gradients",
    "empty_selections_give_zero_with_a_zero_gradient",
    "a_memory_is_compared_with_and_gets_no_gradient",
    "the_order_of_the_references_does_not_matter",
    "diverged_embeddings_give_nan",
    "the_same_seed_gives_the_same_value",
    "float64_stays_float64",
    "any_number_of_classes_and_dimensions_will_do",
    "it_works_in_mixed_precision",
    "training_by_it_finds_the_classes",
    "its_inputs_stay_as_they_were",
    "the_surroundings_stay_as_they_were",
    "its_state_is_tensors_that_load_again",
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
    """Returns one number an anchor."""

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
    """Has a gradient to its proxies alone."""

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
    """Takes the root of a squared distance as it is; that of an anchor to itself is 0."""

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
    "a_memory_is_compared_with_and_gets_no_gradient",
    "the_order_of_the_references_does_not_matter",
    "it_computes_where_its_embeddings_are",
)
class SquareOnly(Sound):
    """Takes the batch for its own references."""

    def values(self, pairs):
        return 4 * pairs.similarity * (1 - torch.eye(len(pairs)).to(pairs.anchors))


@found_by("the_order_of_the_references_does_not_matter")
class ByPosition(Sound):
    """Weighs references by their place."""

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
    "its_state_is_tensors_that_load_again",
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
    """Is made for six classes in four dimensions."""

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


# What it keeps and what it touches


@found_by("its_inputs_stay_as_they_were")
class WritesIntoSimilarities(Sound):
    """Works on the shared matrix itself."""

    def forward(self, pairs, selection):
        with torch.no_grad():
            pairs.similarity.clamp_(max=0.5)
        return super().forward(pairs, selection)


@found_by("the_surroundings_stay_as_they_were")
class SetsASeed(Sound):
    """Seeds torch for everybody."""

    def forward(self, pairs, selection):
        torch.manual_seed(0)
        return super().forward(pairs, selection)


@found_by("the_surroundings_stay_as_they_were")
class SetsThreads(Sound):
    """Takes all cores."""

    def __init__(self):
        super().__init__()
        torch.set_num_threads(torch.get_num_threads() + 1)


@found_by("the_surroundings_stay_as_they_were")
class DrawsFromNumPy(Sound):
    """Draws from NumPy's global generator."""

    def forward(self, pairs, selection):
        np.random.permutation(len(pairs))
        return super().forward(pairs, selection)


@found_by("its_state_is_tensors_that_load_again")
class CountsInSecret(Sound):
    """Grows with a number that no checkpoint holds."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, pairs, selection):
        self.calls += 1
        return super().forward(pairs, selection) * (1 + self.calls)


@found_by("its_state_is_tensors_that_load_again")
class StateToPickle(Sound):
    """Keeps a dictionary in its state."""

    def get_extra_state(self):
        return {"epoch": 3}

    def set_extra_state(self, state):
        pass


@found_by("it_moves_to_another_device_as_a_whole", "its_state_is_tensors_that_load_again")
class StrayTensor(Sound):
    """Keeps a tensor as a plain attribute."""

    def __init__(self):
        super().__init__()
        self.scale = torch.tensor([4.0])

    def values(self, pairs):
        return self.scale.to(pairs.anchors) * pairs.similarity


@found_by("it_computes_where_its_embeddings_are")
class NoDevice(Sound):
    """Makes a tensor where torch likes it."""

    def values(self, pairs):
        scale = torch.full((len(pairs), 1), 4.0).to(pairs.anchors.dtype)
        return scale * pairs.similarity


@found_by("its_memory_grows_with_the_pairs_not_with_the_triplets")
class Cubic(Sound):
    """Compares every pair with every pair of the same anchor."""

    def forward(self, pairs, selection):
        chosen = as_pair_mask(selection, pairs)
        excess = pairs.similarity[:, None] - pairs.similarity[..., None]
        mask = chosen.negative[:, None] & chosen.positive[..., None]
        return masked_mean(F.softplus(4 * excess), mask)


@found_by("its_memory_grows_with_the_pairs_not_with_the_triplets")
class ListsTriplets(Sound):
    """Makes index lists of all triplets."""

    takes = "triplets"

    def forward(self, pairs, selection):
        chosen = as_triplets(selection)
        near = pairs.similarity[chosen.anchor, chosen.positive]
        far = pairs.similarity[chosen.anchor, chosen.negative]
        return F.softplus(4 * (far - near)).sum() / max(len(near), 1)


@found_by("what_it_adds_to_the_pairs_keeps_each_anchor_in_its_place")
class MemoryInFront(SoundMemory):
    """Puts its memory before the batch and forgets to shift the places."""

    def extend(self, pairs):
        extended = super().extend(pairs)
        if extended is pairs:
            return pairs
        turned = torch.arange(len(extended.references)).roll(len(pairs))
        return Pairs(
            pairs.anchors,
            pairs.labels,
            extended.references[turned],
            extended.reference_labels[turned],
            pairs.self_index,
        )
