"""Miners with one fault each."""

from typing import Annotated

import numpy as np
import torch
from testing.faults import Faults

from dmlbench import IntUniform, Miner, PairMask, Triplets, Uniform, as_triplets

FAULTS = Faults("miner")
found_by = FAULTS.found_by


class Sound(Miner):
    """A miner of pairs without a fault."""

    makes = "pairs"

    def __init__(self, *, least: Annotated[float, Uniform(-1.0, 1.0)] = -0.5):
        self.least = least

    def select(self, pairs):
        return PairMask(pairs.positive, pairs.negative & (pairs.similarity >= self.least))


class SoundTriplets(Miner):
    """A miner of triplets without a fault."""

    makes = "triplets"

    def select(self, pairs):
        nearest = pairs.similarity.masked_fill(~pairs.negative, -torch.inf).argmax(1)
        has_negative = pairs.negative.any(1, keepdim=True)
        anchor, positive = (pairs.positive & has_negative).nonzero(as_tuple=True)
        return Triplets(anchor, positive, nearest[anchor])


class SoundSchedule(Sound):
    """A miner that grows stricter step by step, and says so."""

    def __init__(self):
        super().__init__()
        self.steps = 0

    def select(self, pairs):
        self.steps += 1
        chosen = super().select(pairs)
        return PairMask(chosen.positive, chosen.negative & (pairs.similarity > -1 / self.steps))

    def state_dict(self):
        return {"steps": self.steps}

    def load_state_dict(self, state):
        self.steps = state["steps"]


SOUND = [Sound, SoundTriplets, SoundSchedule]


@found_by("it_goes_on_from_a_checkpoint_to_the_bit")
class StricterInSecret(Sound):
    """Grows stricter step by step, by a number that no checkpoint holds."""

    def __init__(self):
        super().__init__()
        self.steps = 0

    def select(self, pairs):
        self.steps += 1
        chosen = super().select(pairs)
        return PairMask(chosen.positive, chosen.negative & (pairs.similarity > -1 / self.steps))


@found_by(
    "it_returns_the_kind_of_selection_that_it_states",
    "it_chooses_true_positives_and_true_negatives_only",
    "the_ends_of_its_search_spaces_work",
    "embeddings_of_any_length_are_mined_or_refused",
)
class OtherKind(Sound):
    """Returns triplets but states pairs."""

    def select(self, pairs):
        return as_triplets(super().select(pairs))


@found_by(
    "it_returns_the_kind_of_selection_that_it_states",
    "it_chooses_true_positives_and_true_negatives_only",
    "the_ends_of_its_search_spaces_work",
    "embeddings_of_any_length_are_mined_or_refused",
)
class NumbersForMasks(Sound):
    """Makes masks of numbers."""

    def select(self, pairs):
        return PairMask(pairs.positive.float(), pairs.negative.float())


@found_by(
    "it_returns_the_kind_of_selection_that_it_states",
    "it_chooses_true_positives_and_true_negatives_only",
    "embeddings_of_any_length_are_mined_or_refused",
)
class CountsFromOne(SoundTriplets):
    """Counts references from 1."""

    def select(self, pairs):
        found = super().select(pairs)
        return Triplets(found.anchor, found.positive + 1, found.negative + 1)


@found_by(
    "it_chooses_true_positives_and_true_negatives_only",
    "the_ends_of_its_search_spaces_work",
    "embeddings_of_any_length_are_mined_or_refused",
)
class ItsOwnPositive(Sound):
    """Takes an anchor for its own positive."""

    def select(self, pairs):
        same = pairs.labels[:, None] == pairs.reference_labels
        return PairMask(same, pairs.negative)


@found_by("it_chooses_true_positives_and_true_negatives_only")
class ArgmaxOverNothing(SoundTriplets):
    """Takes the first reference where there is no positive."""

    def select(self, pairs):
        farthest = pairs.distance.masked_fill(~pairs.positive, -1).argmax(1)
        nearest = pairs.distance.masked_fill(~pairs.negative, torch.inf).argmin(1)
        return Triplets(torch.arange(len(pairs), device=nearest.device), farthest, nearest)


@found_by("the_ends_of_its_search_spaces_work")
class TooMany(Sound):
    """Takes more neighbours than there may be references."""

    def __init__(self, *, neighbours: Annotated[int, IntUniform(1, 500)] = 1):
        self.neighbours = neighbours

    def select(self, pairs):
        nearest = pairs.similarity.topk(self.neighbours, dim=1).indices
        near = torch.zeros_like(pairs.negative).scatter(1, nearest, True)
        return PairMask(pairs.positive, pairs.negative & near)


@found_by("embeddings_of_any_length_are_mined_or_refused")
class UnitOnly(Sound):
    """Raises an AssertionError instead of a ConfigError."""

    def select(self, pairs):
        assert pairs.normalized
        return super().select(pairs)


@found_by("the_same_seed_gives_the_same_selection", "it_goes_on_from_a_checkpoint_to_the_bit")
class Unseeded(Sound):
    """Draws from a generator of its own."""

    def select(self, pairs):
        drawn = np.random.default_rng().random(pairs.positive.shape) < 0.5
        kept = torch.from_numpy(drawn).to(pairs.anchors.device)
        return PairMask(pairs.positive & kept, pairs.negative & kept)


@found_by("it_leaves_the_pairs_as_they_were")
class WritesIntoSimilarities(Sound):
    """Changes the shared matrix in place."""

    def select(self, pairs):
        pairs.similarity[pairs.positive] = -1.0
        return super().select(pairs)


@found_by("the_surroundings_stay_as_they_were", "the_same_seed_gives_the_same_selection")
class SetsASeed(Sound):
    """Seeds torch for the whole process."""

    def select(self, pairs):
        torch.manual_seed(0)
        return super().select(pairs)


@found_by("it_computes_where_its_embeddings_are")
class NoDevice(Sound):
    """Creates a mask on torch's default device."""

    def select(self, pairs):
        near = torch.ones(pairs.negative.shape, dtype=torch.bool)
        return PairMask(pairs.positive, pairs.negative & near)


@found_by("its_memory_grows_with_the_pairs_not_with_the_triplets")
class Cubic(Sound):
    """Compares every pair with every other pair of the same anchor."""

    def select(self, pairs):
        behind = pairs.similarity[:, None] >= pairs.similarity[..., None]
        some = (behind & pairs.positive[..., None]).any(1)
        return PairMask(pairs.positive, pairs.negative & some)
