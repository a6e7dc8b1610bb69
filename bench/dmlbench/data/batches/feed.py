"""Training batches: cropped, augmented, on the device, and ready when a step needs them."""

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from torch import Tensor

from dmlbench.compute.world import ALONE, World
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
        chunk: most images made at a time: larger batches come in parts. None: batches come whole.
        world: the processes among which each batch is divided.
    """

    inputs: DeviceInputs
    augmentation: Augmentation
    interpolation: Interpolation
    key: tuple[int, ...]
    views: int = 1
    threads: int = 0
    chunk: int | None = None
    world: World = ALONE

    def batches(
        self, epoch: int, batches: Sequence[np.ndarray], start: int = 0, passes: int = 1
    ) -> Generator[Tensor, None, None]:
        """Yield the inputs of each batch of an epoch, on the device: first views, then the others.

        Args:
            epoch: its number.
            batches: the items of each batch ``[B]``.
            start: how many of them to leave out.
            passes: how often each batch is made that comes in chunks. Its images are made anew each
                time, and are the same: none but those of one chunk need memory.
        """
        steps = islice(zip(batches, repeats(batches), strict=True), start, None)
        key = (*self.key, epoch)
        ahead = _AHEAD * self.threads
        yield from prefetch_to(
            self.inputs.device,
            lambda part: self._make(key, *part),
            self._parts(steps, passes),
            self.threads,
            ahead,
        )

    def _parts(
        self, steps: Iterable[tuple[np.ndarray, np.ndarray]], passes: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray, slice]]:
        """Yield the batch that each part is of, and which of its images the part is."""
        for items, before in steps:
            share = self.world.share(len(items) * self.views)
            starts = range(share.start, share.stop, self.chunk or share.stop - share.start)
            for start in [*starts] * (passes if len(starts) > 1 else 1):
                yield items, before, slice(start, min(start + starts.step, share.stop))

    def _make(
        self, key: tuple[int, ...], items: np.ndarray, before: np.ndarray, part: slice
    ) -> Tensor:
        index = np.tile(items, self.views)[part]
        if self.inputs.sizes is None:
            return self.inputs.plain(index)
        views = np.arange(self.views).repeat(len(items))[part]
        draws = RandomNumbers.of(key, index, np.tile(before, self.views)[part], views)
        boxes = crop_boxes(self.inputs.sizes[index], self.inputs.seen, self.augmentation, draws)
        if boxes is None:
            images = self.inputs.plain(index)
        else:
            images = self.inputs.crops(index, boxes, self.interpolation)
        return augment(images, self.augmentation, draws)
