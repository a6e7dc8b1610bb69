"""Batches made ahead of time, on a GPU beside the steps that train on earlier ones."""

import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from typing import TypeVar

import torch
from torch import Tensor

from dmlbench.data.batches.prefetch import prefetch

Item = TypeVar("Item")


def prefetch_to(
    device: torch.device,
    make: Callable[[Item], Tensor],
    items: Iterable[Item],
    threads: int,
    ahead: int,
) -> Generator[Tensor, None, None]:
    """Yield the batch of each item as `prefetch` does; on a GPU each thread has its own stream.

    On the stream of the training steps, copies and crops would wait for the steps before them.

    Args:
        device: where `make` puts batches.
        make: makes a batch, of tensors that it makes itself.
        items: as in `prefetch`.
        threads: as in `prefetch`.
        ahead: as in `prefetch`.
    """
    if device.type != "cuda" or not threads:
        yield from prefetch(make, items, threads, ahead)
        return
    own = threading.local()

    def make_beside(item: Item) -> tuple[Tensor, torch.cuda.Event]:
        if not hasattr(own, "stream"):
            own.stream = torch.cuda.Stream(device)
        with torch.cuda.stream(own.stream):
            return make(item), own.stream.record_event()

    with closing(prefetch(make_beside, items, threads, ahead)) as batches:
        for batch, made in batches:
            steps = torch.cuda.current_stream(device)
            steps.wait_event(made)
            batch.record_stream(steps)  # its memory stays its own until they have read it
            yield batch
