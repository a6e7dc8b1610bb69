"""Matrix products on several threads, each of which handles its own block from start to finish.

BLAS gets one thread per product, so that the bits of a result do not depend on the number of cores,
and the work after each product runs in parallel as well.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Literal

import numpy as np
from threadpoolctl import ThreadpoolController

Products = Literal["numpy", "torch"]
Multiply = Callable[[np.ndarray, np.ndarray, np.ndarray], object]


def multiplier(products: Products) -> Multiply:
    """Return the function that writes ``a @ b.T`` to its third argument (all float32).

    NumPy comes with OpenBLAS, torch with MKL on x86; which is faster depends on the machine.
    """
    if products == "numpy":
        return lambda a, b, out: np.matmul(a, b.T, out=out)
    import torch

    def multiply(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> object:
        left, right = torch.from_numpy(a), torch.from_numpy(b)
        return torch.mm(left, right.T, out=torch.from_numpy(out))

    return multiply


class Workers(ThreadPoolExecutor):
    """A thread pool that knows its size, and cancels pending work on an error."""

    def __init__(self, threads: int) -> None:
        super().__init__(threads, thread_name_prefix="retrieval")
        self.threads = threads

    def __exit__(self, *exception: object) -> None:
        self.shutdown(cancel_futures=exception[0] is not None)


@contextmanager
def workers(most: int) -> Iterator[Workers]:
    """Yield as many threads as BLAS may use, at most `most`; BLAS is held to one meanwhile."""
    pools = ThreadpoolController()
    allowed = max((pool["num_threads"] for pool in pools.info()), default=1)
    with pools.limit(limits=1), Workers(max(1, min(allowed, most))) as executor:
        yield executor
