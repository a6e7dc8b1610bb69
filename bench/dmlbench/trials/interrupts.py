"""Ctrl-C during a trial, told apart from a plugin that raises KeyboardInterrupt itself."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def ctrl_c_noted() -> Iterator[list[int]]:
    """Yield a list that is empty until Ctrl-C raises KeyboardInterrupt inside.

    Signals reach the main thread only, and are handled as before.
    """
    pressed: list[int] = []
    handler = signal.getsignal(signal.SIGINT)
    if not callable(handler) or threading.current_thread() is not threading.main_thread():
        yield pressed
        return
    act = handler

    def note(number: int, frame: FrameType | None) -> None:
        try:
            act(number, frame)
        except KeyboardInterrupt:
            pressed.append(number)
            raise

    signal.signal(signal.SIGINT, note)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, handler)
