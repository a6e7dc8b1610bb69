"""A child process that answers through a pipe; whatever strangers' code does in it, we go on.

Like a worker, it starts from nothing and imports no main module of the caller. What it is sent is
pickled, what it answers is JSON: nothing that a stranger wrote is unpickled here.
"""

import json
import math
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from multiprocessing.spawn import get_command_line
from queue import SimpleQueue
from typing import Any

from dmlbench.errors import ConfigError, describe_exception

VARIABLE = "DMLBENCH_PLUGIN_SECONDS"
_USUAL_SECONDS = 30.0
_TICK_SECONDS = 0.1
"""How often a process is looked at that may have died without closing its pipe."""
_LONGEST_ANSWER = 1 << 24

# Ctrl-C reaches the whole process group of a terminal, and the parent acts on it.
_START = """
import signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
from multiprocessing.connection import Connection
pipe = Connection(int(sys.argv[1]))
sys.path[:] = pipe.recv()
from dmlbench.components.child_process import serve
serve(pipe, sys.argv[2])
"""


def patience() -> float:
    """Return how many seconds an import or a hook of a stranger may take.

    Raises:
        ConfigError: the variable DMLBENCH_PLUGIN_SECONDS is no number above 0.
    """
    text = os.environ.get(VARIABLE, "")
    try:
        seconds = float(text or _USUAL_SECONDS)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < 1e6:
        raise ConfigError(f"{VARIABLE}={text} is no number of seconds above 0, such as 60.")
    return seconds


class EndedError(Exception):
    """The child ended before it answered, or took too long: worded to follow what it did."""


class ChildProcess:
    """A process that runs the function ``answer`` of a module, as its parent sees it.

    Args:
        module: of ours; its ``answer`` takes one message and returns what JSON can hold.
        output: what its output and its errors are connected to, see `subprocess.Popen`.
    """

    def __init__(self, module: str, output: int = subprocess.DEVNULL) -> None:
        self._has_started = False
        self._pipe, theirs = Pipe()
        interpreter = get_command_line()[:-3]  # with the flags of this one, without its program
        with theirs:  # closed here, so that this end sees it when the child dies
            self.process = subprocess.Popen(
                [*interpreter, "-u", "-P", "-c", _START, str(theirs.fileno()), module],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                text=True,
                encoding="utf-8",
                errors="replace",
                pass_fds=[theirs.fileno()],
                process_group=0,  # so that what it starts can be ended with it
            )
        with suppress(OSError):
            self._pipe.send(sys.path)

    def ask(
        self, message: bytes, seconds: float, meanwhile: Callable[[], object] = lambda: None
    ) -> Any:
        """Return the answer to a pickled message; call `meanwhile` before waiting for it.

        The time that the process needs to start does not count.

        Raises:
            EndedError: the process ended, or was ended here because it took longer than `seconds`.
        """
        too_late = threading.Event()

        def give_up() -> None:
            too_late.set()
            self.kill()

        timer = threading.Timer(seconds, give_up)
        timer.daemon = True
        try:
            if not self._has_started:
                self._receive()
                self._has_started = True
            timer.start()
            self._pipe.send_bytes(message)
            meanwhile()
            return json.loads(self._receive())
        except (EOFError, OSError, ValueError) as error:
            if too_late.is_set():
                raise EndedError(
                    f"was not over after {seconds:g} s ({VARIABLE} sets the limit)"
                ) from error
            raise EndedError(self.last_words()) from error
        finally:
            timer.cancel()

    def _receive(self) -> bytes:
        while not self._pipe.poll(_TICK_SECONDS):
            # A process that it started may hold the other end of the pipe.
            if self.process.poll() is not None and not self._pipe.poll():
                raise EOFError
        return self._pipe.recv_bytes(_LONGEST_ANSWER)

    def last_words(self) -> str:
        """Return how the process ended, worded to follow what it did."""
        try:
            code = self.process.wait(1)
        except subprocess.TimeoutExpired:
            return "closed or garbled the pipe of its process"
        if code < 0:
            return f"ended its process by signal {signal.Signals(-code).name}"
        return f"ended its process with exit code {code}"

    def kill(self) -> None:
        """End the process at once, and what it started in its process group."""
        with suppress(ProcessLookupError, PermissionError):  # none of them is left
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()  # it may have left the group

    def end(self, seconds: float = 0.0) -> None:
        """End the process, which has `seconds` to do so in its own way."""
        self._pipe.close()
        if seconds > 0:
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(seconds)
        self.kill()
        self.process.wait()


def serve(pipe: "Connection[Any, Any]", module: str) -> None:
    """Answer the messages that come through `pipe` until it closes."""
    answer: Callable[[Any], Any] = import_module(module).answer
    messages: SimpleQueue[bytes | None] = SimpleQueue()
    idle = threading.Event()
    idle.set()
    threading.Thread(target=_listen, args=(pipe, messages, idle), daemon=True).start()
    me = os.getpid()
    pipe.send_bytes(b"started")
    while (message := messages.get()) is not None:
        try:
            reply = json.dumps(answer(pickle.loads(message)))
        except BaseException as error:
            reply = json.dumps({"fault": describe_exception(error)})
        if os.getpid() != me:  # a plugin forked, and its child came back here
            os._exit(0)
        idle.set()
        try:
            pipe.send_bytes(reply.encode())
        except OSError:  # the parent is gone, or a plugin closed our files
            os._exit(1)


def _listen(
    pipe: "Connection[Any, Any]", messages: "SimpleQueue[bytes | None]", idle: threading.Event
) -> None:
    """Queue the messages that come; end the process when the parent is gone."""
    with suppress(EOFError, OSError):
        while True:
            message = pipe.recv_bytes()
            idle.clear()
            messages.put(message)
    if not idle.is_set():
        os._exit(1)
    messages.put(None)
