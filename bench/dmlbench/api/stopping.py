"""A run that is asked to stop: by the first signal in good order, by the second one at once."""

import _thread
import os
import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from dmlbench.compute.signals import ENDING, SignalledError, handled
from dmlbench.contracts.executor import Executor

GRACE_SECONDS = 15.0
"""How long trials under way may take to their next step, and to be saved."""

_LAST_SECONDS = 10.0
"""How long an executor may take after that, until the run ends at once."""

_WORD = b"\ndmlbench: stopping. Trials under way are saved at their next step. Again: at once.\n"


class Stopping:
    """Whether a run was asked to stop, and by which signal."""

    def __init__(self, executor: Executor) -> None:
        self.signal: int | None = None
        self._executor = executor
        self._timer: threading.Timer | None = None

    def ask(self, number: int) -> None:
        """Stop the run in good order, as if the signal `number` had come."""
        if self.signal is None:
            self.signal = number
            self._executor.stop(GRACE_SECONDS)
            again = signal.SIGTERM if number == signal.SIGPIPE else number  # one that is handled
            seconds = GRACE_SECONDS + _LAST_SECONDS
            self._timer = threading.Timer(seconds, _thread.interrupt_main, [again])
            self._timer.daemon = True
            self._timer.start()

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal.

        Raises:
            SignalledError: the run was asked to stop before.
        """
        if self.signal is not None:
            raise SignalledError(self.signal)
        with suppress(OSError):  # print may be what was interrupted, and can't be entered again
            os.write(2, _WORD)
        self.ask(number)

    def is_over(self) -> None:
        """Leave the run alone from now on."""
        if self._timer:
            self._timer.cancel()


@contextmanager
def stopping(executor: Executor, signals: Iterable[int] = ENDING) -> Iterator[Stopping]:
    """Have `signals` stop what runs inside; it then ends by itself, unless another one comes."""
    stop = Stopping(executor)
    with handled(stop.handle, signals):
        try:
            yield stop
        finally:
            stop.is_over()
