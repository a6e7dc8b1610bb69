"""Losses with one fault each in what they keep and what they touch."""

from collections import deque

import numpy as np
import torch
import torch.nn.functional as F
from testing.faults import Faults
from testing.sound_losses import Sound, SoundMemory

from dmlbench import (
    Pairs,
    as_pair_mask,
    as_triplets,
    masked_mean,
)

FAULTS = Faults("loss")
found_by = FAULTS.found_by


@found_by("its_inputs_stay_as_they_were")
class WritesIntoSimilarities(Sound):
    """Changes the shared matrix in place."""

    def forward(self, pairs, selection):
        with torch.no_grad():
            pairs.similarity.clamp_(max=0.5)
        return super().forward(pairs, selection)


@found_by("the_surroundings_stay_as_they_were")
class SetsASeed(Sound):
    """Seeds torch for the whole process."""

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


@found_by("it_goes_on_from_a_checkpoint_to_the_bit")
class CountsInSecret(Sound):
    """Grows with a number that no checkpoint holds."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, pairs, selection):
        self.calls += 1
        return super().forward(pairs, selection) * (1 + self.calls)


@found_by("it_goes_on_from_a_checkpoint_to_the_bit")
class StateToPickle(Sound):
    """Keeps in its state what only pickle can store."""

    def get_extra_state(self):
        return {"classes": {3, 5}}

    def set_extra_state(self, state):
        pass


@found_by("it_goes_on_from_a_checkpoint_to_the_bit")
class ForgetsItsQueue(Sound):
    """Weighs by the values of earlier steps, which no checkpoint holds."""

    def __init__(self):
        super().__init__()
        self.earlier = deque(maxlen=4)

    def forward(self, pairs, selection):
        value = super().forward(pairs, selection)
        self.earlier.append(value.item())
        return value * (1 + sum(self.earlier))


@found_by("it_moves_to_another_device_as_a_whole", "it_goes_on_from_a_checkpoint_to_the_bit")
class StrayTensor(Sound):
    """Keeps a tensor as a plain attribute."""

    def __init__(self):
        super().__init__()
        self.scale = torch.tensor([4.0])

    def values(self, pairs):
        return self.scale.to(pairs.anchors) * pairs.similarity


@found_by("it_computes_where_its_embeddings_are")
class NoDevice(Sound):
    """Creates a tensor on torch's default device."""

    def values(self, pairs):
        scale = torch.full((len(pairs), 1), 4.0).to(pairs.anchors.dtype)
        return scale * pairs.similarity


@found_by("its_memory_grows_with_the_pairs_not_with_the_triplets")
class Cubic(Sound):
    """Compares every pair with every other pair of the same anchor."""

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
    """Puts its memory before the batch and forgets to shift the indices."""

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


@found_by("it_goes_on_from_a_checkpoint_to_the_bit")
class GrowingMemory(SoundMemory):
    """Has a buffer that grows with the steps."""

    def extend(self, pairs):
        if pairs.anchors.shape[1] == self.memory.shape[1]:
            self.memory = torch.cat([self.memory, pairs.anchors.detach().to(self.memory)])
        return pairs


@found_by("what_it_adds_to_the_pairs_keeps_each_anchor_in_its_place")
class HalfTheBatch(Sound):
    """Drops half of the anchors, with their labels."""

    def extend(self, pairs):
        half = (len(pairs) + 1) // 2
        return Pairs(pairs.anchors[:half], pairs.labels[:half], normalized=pairs.normalized)
