"""Work done ahead of time by threads, returned in order."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")


def prefetch(
    make: Callable[[Item], Made], items: Iterable[Item], threads: int, ahead: int
) -> Generator[Made, None, None]:
    """Yield what `make` returns for each item, in the order of the items.

    An error is raised at its item's turn. When the iterator is closed or fails, it starts no more
    work and waits for the work in progress.

        >>> list(prefetch(str.upper, "abc", threads=2, ahead=3))
        ['A', 'B', 'C']

    Args:
        make: called in the threads, for several items at once.
        items: may be endless; consumed as needed, in the caller's thread.
        threads: their number; with 0, each item is made on demand, in the caller's thread.
        ahead: most items that are started and not yet yielded, at least one.
    """
    if not threads:
        yield from map(make, items)
        return
    waiting = iter(items)
    with ThreadPoolExecutor(threads, thread_name_prefix="dmlbench-ahead") as pool:
        started: deque[Future[Made]] = deque()
        try:
            started.extend(pool.submit(make, item) for item in islice(waiting, ahead))
            while started:
                made = started.popleft().result()
                started.extend(pool.submit(make, item) for item in islice(waiting, 1))
                yield made
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
