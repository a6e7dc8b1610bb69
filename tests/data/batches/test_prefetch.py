"""Work done ahead: in order, bounded, and never left running."""

import threading
from contextlib import closing

import pytest

from dmlbench.data.batches.prefetch import prefetch


@pytest.mark.parametrize("threads", [0, 1, 3])
@pytest.mark.parametrize("ahead", [1, 4, 100])
def test_results_come_in_the_order_of_the_items(threads, ahead):
    assert list(prefetch(lambda n: n * n, range(50), threads, ahead)) == [n * n for n in range(50)]
    assert list(prefetch(str, [], threads, ahead)) == []


def test_no_more_is_begun_than_may_be_ahead():
    begun = []
    with closing(prefetch(begun.append, range(100), 2, 5)) as made:
        next(made)
        assert len(begun) <= 6
    assert len(begun) <= 6


def test_the_next_item_is_made_while_the_caller_is_busy():
    second = threading.Event()
    with closing(prefetch(lambda n: n and second.set(), range(9), 1, 1)) as made:
        next(made)
        assert second.wait(10)


def test_several_threads_work_at_once():
    both = threading.Barrier(2, timeout=10)
    assert len(list(prefetch(lambda n: both.wait(), range(4), 2, 2))) == 4


@pytest.mark.parametrize("threads", [0, 2])
def test_an_error_comes_in_its_turn_and_ends_the_work(threads):
    def make(number: int) -> int:
        if number == 3:
            raise KeyError("three")
        return number

    made = prefetch(make, range(1000), threads, 4)
    assert [next(made) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(KeyError, match="three"):
        next(made)
    assert not left_running()


def left_running() -> list[str]:
    return [thread.name for thread in threading.enumerate() if "dmlbench-ahead" in thread.name]


def test_nothing_runs_on_after_it_is_closed():
    with closing(prefetch(lambda n: n, range(10**9), 3, 6)) as made:
        next(made)
        assert left_running()
    assert not left_running()
