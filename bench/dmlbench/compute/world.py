"""The processes that train one network together, each on a device of its own, and what they share.

All of them do the same, each with its share of the batch: they gather the features of the whole
batch, so every one computes the loss of the whole batch and the same gradient of these features.
Each takes its own rows of that back through its network; the sum over the processes is the gradient
of the whole batch. (The mean of the losses of the shares would be another loss.)
"""

import json
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psutil
import torch
import torch.distributed as dist
from torch import Tensor, nn

from dmlbench.errors import RankLostError, TrialError

HERE = "127.0.0.1"

LONGEST_WAIT = timedelta(minutes=30)
"""For the others: one may be decoding photos, or computing metrics."""


@dataclass(frozen=True)
class World:
    """The place of this process among those of one trial.

    What it asks for by `gather`, `add_up` or `from_first`, all of them must ask for at that point.
    Each raises `RankLostError` if another process is gone, or never asks.

    Attributes:
        rank: of this process, from 0. The first one alone writes files.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1

    def share(self, count: int) -> slice:
        """Return which of `count` rows are this process's; shares differ by a row at most.

        >>> [World(rank, 3).share(7) for rank in range(3)]
        [slice(0, 2, None), slice(2, 4, None), slice(4, 7, None)]
        """
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def gather(self, rows: Tensor, count: int) -> Tensor:
        """Return all `count` rows ``[N, D]``, in order, of which each process has its share.

        Args:
            rows: this process's ``[n, D]``, without gradient.
            count: N.
        """
        if self.size == 1:
            return rows
        shares = [World(rank, self.size).share(count) for rank in range(self.size)]
        sizes = [share.stop - share.start for share in shares]
        padded = rows.new_zeros((max(sizes), *rows.shape[1:]))
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in sizes]
        with _others_answer():
            dist.all_gather(parts, padded)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    def add_up(self, weights: Iterable[nn.Parameter]) -> None:
        """Replace the gradients of `weights` by their sums over the processes.

        A weight without gradient keeps none, if no process has one.
        """
        if self.size == 1:
            return
        learning = [weight for weight in weights if weight.requires_grad]
        if not learning:
            return
        with _others_answer():
            there = torch.tensor([weight.grad is not None for weight in learning]).int()
            dist.all_reduce(there, dist.ReduceOp.MAX)
            for weight, is_there in zip(learning, there.tolist(), strict=True):
                if is_there:
                    if weight.grad is None:
                        weight.grad = torch.zeros_like(weight)
                    dist.all_reduce(weight.grad)

    def from_first(self, make: Callable[[], Any]) -> Any:
        """Return what `make` returns in the first process, which alone calls it: plain JSON."""
        if self.size == 1:
            return make()
        text = json.dumps(make()).encode() if self.rank == 0 else b""
        length = torch.tensor(len(text))
        with _others_answer():
            dist.broadcast(length, 0)
            content = torch.empty(int(length), dtype=torch.uint8)
            if self.rank == 0:
                content = torch.frombuffer(bytearray(text), dtype=torch.uint8)
            dist.broadcast(content, 0)
        return json.loads(content.numpy().tobytes())

    def require_same(self, what: str, mine: Any) -> None:
        """Check that `mine`, plain JSON, is the same in all processes.

        Raises:
            TrialError: it is not.
        """
        first = self.from_first(lambda: mine)
        if json.dumps(first) != json.dumps(mine):
            raise TrialError(
                f"The processes of the trial disagree on {what}: {mine} on rank {self.rank}, "
                f"{first} on rank 0. Their machines or libraries may differ."
            )


ALONE = World()
"""One process, which asks nobody for anything."""


def open_meeting_point() -> Any:
    """Return a store by which processes of this machine find each other, at a `port` of its own.

    It listens on the loopback interface alone, and so do they.
    """
    names = psutil.net_if_addrs().items()
    loopback = [name for name, all_of_it in names if any(one.address == HERE for one in all_of_it)]
    os.environ.setdefault("GLOO_SOCKET_IFNAME", loopback[0])
    listening = socket.create_server((HERE, 0))
    return dist.TCPStore(  # type: ignore[attr-defined]
        HERE,
        listening.getsockname()[1],
        is_master=True,
        wait_for_workers=False,
        master_listen_fd=listening.detach(),
    )


def meeting_point(address: str, port: int) -> Any:
    """Return the store that another process has opened."""
    return dist.TCPStore(address, port, is_master=False, wait_for_workers=False)  # type: ignore[attr-defined]


@contextmanager
def joined(world: World, store: Any, name: str, device: torch.device) -> Iterator[None]:
    """Join the others of `world` inside.

    Args:
        world: the place of this process.
        store: by which they find each other, see `open_meeting_point`.
        name: of what they do together, different each time.
        device: of this process.

    Raises:
        RankLostError: they don't come.
    """
    backend = "gloo"
    if device.type == "cuda":
        torch.cuda.set_device(device)
        backend = "cpu:gloo,cuda:nccl"
    with _others_answer():
        dist.init_process_group(
            backend,
            store=dist.PrefixStore(name, store),  # type: ignore[attr-defined]
            rank=world.rank,
            world_size=world.size,
            timeout=LONGEST_WAIT,
        )
    try:
        yield
    finally:
        dist.destroy_process_group()


@contextmanager
def _others_answer() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise RankLostError(str(error)) from error
