"""Samplers with one fault each."""

import numpy as np
from testing.faults import Faults

from dmlbench import ConfigError, DataError, Sampler

FAULTS = Faults("sampler")
found_by = FAULTS.found_by


class Sound(Sampler):
    """A sampler without a fault: items at random."""

    def batches(self, labels, *, batch_size, steps, rng):
        if not len(labels):
            raise DataError("There are no items to make batches of; is the training split empty?")
        for _ in range(steps):
            yield rng.integers(len(labels), size=batch_size)


class SoundGroups(Sound):
    """A sampler without a fault that asks for groups and embeddings."""

    def batches(self, labels, *, batch_size, steps, rng, groups, embeddings):
        if batch_size % 2:
            raise ConfigError(f"Batches of {batch_size} can't be halved: choose an even number.")
        assert len(groups) == len(embeddings) == len(labels)
        return super().batches(labels, batch_size=batch_size, steps=steps, rng=rng)


SOUND = [Sound, SoundGroups]


@found_by(
    "it_asks_only_for_what_a_sampler_can_have",
    *(
        "every_batch_is_full_of_item_indices",
        "odd_inputs_work_or_are_refused",
        "the_same_rng_gives_the_same_batches",
        "labels_stay_as_they_were",
        "the_surroundings_stay_as_they_were",
    ),
)
class AsksForNothing(Sound):
    """Takes no generator."""

    def batches(self, labels, *, batch_size, steps):
        return super().batches(
            labels, batch_size=batch_size, steps=steps, rng=np.random.default_rng(0)
        )


@found_by(
    "it_asks_only_for_what_a_sampler_can_have",
    "every_batch_is_full_of_item_indices",
    "odd_inputs_work_or_are_refused",
    "the_same_rng_gives_the_same_batches",
    "labels_stay_as_they_were",
    "the_surroundings_stay_as_they_were",
)
class AsksForImages(Sound):
    """Wants the images."""

    def batches(self, labels, *, batch_size, steps, rng, images):
        return super().batches(labels, batch_size=batch_size, steps=steps, rng=rng)


@found_by("every_batch_is_full_of_item_indices", "odd_inputs_work_or_are_refused")
class DropsTheRest(Sound):
    """Makes its last batch smaller."""

    def batches(self, labels, *, batch_size, steps, rng):
        for step, batch in enumerate(
            super().batches(labels, batch_size=batch_size, steps=steps, rng=rng)
        ):
            yield batch[: batch_size // 2] if step == steps - 1 else batch


@found_by("every_batch_is_full_of_item_indices", "odd_inputs_work_or_are_refused")
class Endless(Sound):
    """Never stops."""

    def batches(self, labels, *, batch_size, steps, rng):
        while True:
            yield from super().batches(labels, batch_size=batch_size, steps=1, rng=rng)


@found_by("every_batch_is_full_of_item_indices", "odd_inputs_work_or_are_refused")
class YieldsClasses(Sound):
    """Yields class ids instead of items."""

    def batches(self, labels, *, batch_size, steps, rng):
        for batch in super().batches(labels, batch_size=batch_size, steps=steps, rng=rng):
            yield np.asarray(labels)[batch]


@found_by("every_batch_is_full_of_item_indices", "odd_inputs_work_or_are_refused")
class YieldsLists(Sound):
    """Yields lists."""

    def batches(self, labels, *, batch_size, steps, rng):
        for batch in super().batches(labels, batch_size=batch_size, steps=steps, rng=rng):
            yield batch.tolist()


@found_by("odd_inputs_work_or_are_refused")
class WithoutReplacement(Sound):
    """Fails where there are fewer items than a batch needs."""

    def batches(self, labels, *, batch_size, steps, rng):
        for _ in range(steps):
            yield rng.choice(len(labels), batch_size, replace=False)


@found_by("odd_inputs_work_or_are_refused")
class RefusesWithoutAWord(Sound):
    """Does not say what is wrong."""

    def batches(self, labels, *, batch_size, steps, rng):
        if batch_size % 4:
            raise ConfigError("bad batch size")
        return super().batches(labels, batch_size=batch_size, steps=steps, rng=rng)


@found_by("the_same_rng_gives_the_same_batches")
class GoesOnWhereItWas(Sound):
    """Keeps a position from one epoch for the next."""

    position = 0

    def batches(self, labels, *, batch_size, steps, rng):
        if not len(labels):
            raise DataError("There are no items to make batches of; is the training split empty?")
        for _ in range(steps):
            self.position += batch_size
            yield np.arange(self.position, self.position + batch_size) % len(labels)


@found_by("labels_stay_as_they_were", "every_batch_is_full_of_item_indices")
class SortsTheLabels(Sound):
    """Sorts the shared labels in place."""

    def batches(self, labels, *, batch_size, steps, rng):
        labels.sort()
        return super().batches(labels, batch_size=batch_size, steps=steps, rng=rng)


@found_by("the_surroundings_stay_as_they_were", "the_same_rng_gives_the_same_batches")
class GlobalChance(Sound):
    """Draws from NumPy's global generator."""

    def batches(self, labels, *, batch_size, steps, rng):
        if not len(labels):
            raise DataError("There are no items to make batches of; is the training split empty?")
        for _ in range(steps):
            yield np.random.randint(len(labels), size=batch_size)
