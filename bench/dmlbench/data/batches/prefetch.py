"""Work done ahead by threads, given back in order."""

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

    An error comes where its item's turn is. When the iterator is closed or fails, nothing more is
    begun, and it returns when what is under way is done.

    Args:
        make: called in the threads, for several items at once.
        items: as long as one likes; taken as needed, in the caller's thread.
        threads: how many; 0 makes each item when it is asked for, in the caller's thread.
        ahead: most items that are begun and not yet given back, at least one.
    """
    if not threads:
        yield from map(make, items)
        return
    waiting = iter(items)
    with ThreadPoolExecutor(threads, thread_name_prefix="dmlbench-ahead") as pool:
        begun: deque[Future[Made]] = deque()
        try:
            begun.extend(pool.submit(make, item) for item in islice(waiting, ahead))
            while begun:
                made = begun.popleft().result()
                begun.extend(pool.submit(make, item) for item in islice(waiting, 1))
                yield made
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
