"""Training batches: cropped, augmented, on the device, and ready when a step needs them."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from torch import Tensor

from dmlbench.data.batches.augmentation import augment, crop_boxes
from dmlbench.data.batches.device_inputs import DeviceInputs
from dmlbench.data.batches.own_streams import prefetch_to
from dmlbench.data.batches.random_numbers import RandomNumbers, repeats
from dmlbench.data.photos.resampling import Interpolation
from dmlbench.schemas.protocol import Augmentation

_AHEAD = 2  # batches that each thread may prefetch


@dataclass(frozen=True)
class Feed:
    """Makes the inputs of training steps.

    They depend only on the other attributes, the epoch and the item, never on `threads`.

    Attributes:
        inputs: the items, on the device.
        augmentation: random changes to images; vectors stay as they are.
        interpolation: how crops are resized.
        key: seed and stream of the random numbers.
        views: copies of each item in a batch, augmented independently.
        threads: how many threads prefetch batches; with 0, each batch is made on demand.
    """

    inputs: DeviceInputs
    augmentation: Augmentation
    interpolation: Interpolation
    key: tuple[int, ...]
    views: int = 1
    threads: int = 0

    def batches(
        self, epoch: int, batches: Sequence[np.ndarray], start: int = 0
    ) -> Generator[Tensor, None, None]:
        """Yield the inputs of each batch of an epoch, on the device: first views, then the others.

        Args:
            epoch: its number.
            batches: the items of each batch ``[B]``.
            start: how many of them to leave out.
        """
        steps = islice(zip(batches, repeats(batches), strict=True), start, None)
        key = (*self.key, epoch)
        ahead = _AHEAD * self.threads
        yield from prefetch_to(
            self.inputs.device,
            lambda step: self._make_batch(key, *step),
            steps,
            self.threads,
            ahead,
        )

    def _make_batch(self, key: tuple[int, ...], items: np.ndarray, before: np.ndarray) -> Tensor:
        index = np.tile(items, self.views)
        if self.inputs.sizes is None:
            return self.inputs.plain(index)
        draws = RandomNumbers.of(key, items, before, view=0)
        for view in range(1, self.views):
            draws += RandomNumbers.of(key, items, before, view)
        boxes = crop_boxes(self.inputs.sizes[index], self.inputs.seen, self.augmentation, draws)
        if boxes is None:
            images = self.inputs.plain(index)
        else:
            images = self.inputs.crops(index, boxes, self.interpolation)
        return augment(images, self.augmentation, draws)
