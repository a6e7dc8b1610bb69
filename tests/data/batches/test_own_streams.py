"""Batches on streams of their own: with stand-ins for streams, as there is no GPU here."""

from contextlib import closing, contextmanager

import pytest
import torch

from dmlbench.data.batches.own_streams import prefetch_to

GPU = torch.device("cuda")


class Batch:
    """Notes which stream may read it."""

    def __init__(self, made_on):
        self.made_on, self.read_on = made_on, None

    def record_stream(self, stream):
        self.read_on = stream


class Stream:
    """Counts what was done on it, and what it waits for."""

    current = None  # of all threads, as these tests use one

    def __init__(self, device=None):
        self.made, self.waits = 0, []

    def record_event(self):
        return (self, self.made)

    def wait_event(self, event):
        self.waits.append(event)


@pytest.fixture
def steps(monkeypatch):
    """Return the stream of the steps, in a torch whose streams are stand-ins."""
    stream = Stream.current = Stream()

    @contextmanager
    def on(other):
        before, Stream.current = Stream.current, other
        yield
        Stream.current = before

    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", on)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: stream)
    return stream


def _make(item):
    Stream.current.made += 1
    return Batch(Stream.current)


def test_steps_wait_for_a_batch_that_another_stream_makes(steps):
    for number, batch in enumerate(prefetch_to(GPU, _make, range(5), threads=1, ahead=1), start=1):
        assert batch.made_on is not steps
        assert batch.read_on is steps
        assert steps.waits[-1] == (batch.made_on, number)  # not of an earlier or later batch
        assert len(steps.waits) == number
    assert steps.made == 0


@pytest.mark.parametrize(("device", "threads"), [(torch.device("cpu"), 1), (GPU, 0)])
def test_elsewhere_nothing_changes(steps, device, threads):
    batches = list(prefetch_to(device, _make, range(3), threads, ahead=1))
    assert [batch.made_on for batch in batches] == [steps] * 3
    assert not steps.waits


def test_no_work_goes_on_once_it_is_closed(steps):
    with closing(prefetch_to(GPU, _make, range(100), threads=1, ahead=2)) as batches:
        made_on = next(batches).made_on
    done = made_on.made
    assert done < 10
    assert made_on.made == done
