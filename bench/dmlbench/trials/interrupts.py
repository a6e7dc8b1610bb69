"""Ctrl-C during a trial, told apart from a plugin that raises KeyboardInterrupt itself."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from dmlbench.compute.signals import ENDING


@contextmanager
def interrupts_noted() -> Iterator[list[KeyboardInterrupt]]:
    """Yield a list that is empty until Ctrl-C, or another ending signal, raises its error inside.

    Signals reach the main thread only, and are handled as before.
    """
    interrupts: list[KeyboardInterrupt] = []
    if threading.current_thread() is not threading.main_thread():
        yield interrupts
        return
    handlers = {number: signal.getsignal(number) for number in ENDING}

    def note(number: int, frame: FrameType | None) -> None:
        handler = handlers[signal.Signals(number)]
        assert callable(handler)
        try:
            handler(number, frame)
        except KeyboardInterrupt as error:
            interrupts.append(error)
            raise

    handled = [number for number, handler in handlers.items() if callable(handler)]
    for number in handled:
        signal.signal(number, note)
    try:
        yield interrupts
    finally:
        for number in handled:
            signal.signal(number, handlers[number])
