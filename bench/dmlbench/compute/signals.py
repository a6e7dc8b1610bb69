"""Signals that end the program: how they are handled, and let go again."""

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C; what batch systems and ``kill`` send; a terminal that was closed."""

Handler = Callable[[int, FrameType | None], None]


class SignalledError(KeyboardInterrupt):
    """A signal ends the program at once, as Ctrl-C does."""

    def __init__(self, number: int) -> None:
        super().__init__(f"signal {number}")
        self.number = number


def raise_signalled(number: int, frame: FrameType | None) -> None:
    """Handle a signal by ending the program at once.

    Raises:
        SignalledError: always.
    """
    raise SignalledError(number)


@contextmanager
def handled(handler: Handler, signals: Iterable[int] = ENDING) -> Iterator[None]:
    """Have `handler` handle `signals` inside, but for those that are ignored, as by ``nohup``.

    Does nothing outside the main thread, where Python handles no signals.
    """
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in signals:
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
