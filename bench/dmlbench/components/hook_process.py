"""Other people's hook plugins, all in one child process: they can't steer, end or hold a run.

Calls go there one after the other, in the order of the run, which does not wait for them. A plugin
that raises, ends the process or takes too long is switched off. The others go on in a new process,
where they first hear again that the run started.
"""

import pickle
import subprocess
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from queue import Empty, Full, Queue
from typing import IO, Any, NamedTuple

from dmlbench.components.child_process import ChildProcess, EndedError, patience
from dmlbench.components.entry_points import Entry
from dmlbench.components.hook_child import LOAD
from dmlbench.contracts.hooks import COLUMNS, STARTED
from dmlbench.errors import PluginError

_MOST_WAITING = 1000
"""Calls in the queue; once it is full, further ones are left out."""
_STOP_SECONDS = 1.0
"""How long plugins have to hear what is left when a run is stopped."""
_LONGEST_LINE = 1 << 16


class _Call(NamedTuple):
    plugin: str
    hook: str
    message: bytes
    """Pickled when the run got there, so what changes later does no harm."""
    answered: "Future[dict[str, Any]]"


class HookProcess:
    """The child process, as the run sees it.

    Args:
        entries: the plugins by name.

    Attributes:
        heard: by name, the hooks of each plugin that could be loaded.
    """

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        self.heard: dict[str, list[str]] = {}
        self._on = dict(entries)
        self._off: dict[str, str] = {}  # why
        self._seconds = patience()
        self._child: ChildProcess | None = None
        self._output: list[threading.Thread] = []
        self._run_started: dict[str, _Call] = {}
        self._last = "", ""  # which plugin was called last, and for what
        self._complaints: Queue[str] = Queue()
        self._left_out: Counter[str] = Counter()
        self._waiting: Queue[_Call | None] = Queue(_MOST_WAITING)
        self._closing = False
        self._start()
        self._complain()
        self._thread = threading.Thread(target=self._call_those_waiting, daemon=True)
        self._thread.start()

    def tell(self, plugin: str, hook: str, news: Mapping[str, Any]) -> None:
        """Have a plugin called soon; what it returns is ignored."""
        self._complain()
        if plugin in self._on:
            try:
                self._waiting.put_nowait(_call(plugin, hook, news))
            except Full:
                self._left_out[plugin] += 1

    def ask(self, plugin: str, hook: str, news: Mapping[str, Any]) -> Any:
        """Call a plugin and return what it returns.

        Raises:
            PluginError: it raised, or had to be switched off.
        """
        call = _call(plugin, hook, news)
        self._waiting.put(call)
        answer = call.answered.result()
        self._complain()
        if "fault" in answer:
            raise PluginError(answer["fault"])
        return answer["value"]

    def close(self, *, wait: bool) -> None:
        """End the process; with `wait`, its plugins have their time limit to hear what is left."""
        deadline = time.monotonic() + (self._seconds if wait else _STOP_SECONDS)
        with suppress(Full):
            self._waiting.put(None, timeout=deadline - time.monotonic())
        self._thread.join(max(0.0, deadline - time.monotonic()))
        self._closing = True
        while self._thread.is_alive():
            if child := self._child:
                child.kill()
            self._thread.join(0.1)
        if wait:
            self._count_left_out()
        self._end_child(max(0.0, deadline - time.monotonic()))
        for thread in self._output:
            thread.join(0.5)  # what they said last comes before the tables
        self._complain()

    def _start(self) -> None:
        """Start the process if there is none, and load the plugins that are on."""
        if self._child and self._child.process.poll() is not None:
            plugin, what = self._last
            fault = f"after {what}, it {self._child.last_words()}"
            self._end_child()
            if plugin in self._on:
                self._switch_off(plugin, fault)
        while self._on and not self._child and not self._closing:
            self._child = ChildProcess("dmlbench.components.hook_child", subprocess.PIPE)
            self._output += _passing_on(self._child.process)
            for name, entry in tuple(self._on.items()):
                if self._child:
                    self._load(name, entry)

    def _load(self, name: str, entry: Entry) -> None:
        answer = self._ask_child(name, "its import", pickle.dumps((LOAD, name, entry)))
        if "fault" in answer:
            self._switch_off(name, answer["fault"])
            return
        self.heard[name] = answer["hooks"]
        if self._child and name in self._run_started:
            self._call(self._run_started[name])

    def _call_those_waiting(self) -> None:
        while not self._closing and (call := self._waiting.get()) is not None:
            self._start()
            call.answered.set_result(self._call(call))

    def _call(self, call: _Call) -> dict[str, Any]:
        """Call a plugin, and switch it off if that goes wrong."""
        if call.plugin not in self._on or not self._child:
            return {"fault": self._off.get(call.plugin, "the run is over")}
        answer = self._ask_child(call.plugin, call.hook, call.message)
        if "fault" in answer and (call.hook != COLUMNS or not self._child):
            self._switch_off(call.plugin, answer["fault"])
        elif call.hook == STARTED:
            self._run_started[call.plugin] = call
        return answer

    def _ask_child(self, plugin: str, what: str, message: bytes) -> dict[str, Any]:
        assert self._child is not None
        self._last = plugin, what
        try:
            answer: dict[str, Any] = self._child.ask(message, self._seconds)
        except EndedError as error:
            self._end_child()
            too_late = f"was not over {self._seconds:g} s after the run"
            return {"fault": f"{what} {too_late if self._closing else error}"}
        return answer

    def _end_child(self, seconds: float = 0.0) -> None:
        if self._child:
            self._child.end(seconds)
            self._child = None

    def _switch_off(self, name: str, fault: str) -> None:
        del self._on[name]
        self._off[name] = fault
        how = "switched off for the rest of the run" if name in self.heard else "left out"
        self._complaints.put(f"The hook plugin {name} is {how}: {fault}")

    def _count_left_out(self) -> None:
        with suppress(Empty):
            while call := self._waiting.get_nowait():
                self._left_out[call.plugin] += 1
        for name, missed in self._left_out.items():
            if name in self._on:
                self._complaints.put(
                    f"The hook plugin {name} is slower than the run: it missed {missed:,} calls."
                )

    def _complain(self) -> None:
        """Warn of what went wrong; in the thread of the run, where filters of warnings hold."""
        with suppress(Empty):
            while True:
                warnings.warn(self._complaints.get_nowait(), stacklevel=2)


def _call(plugin: str, hook: str, news: Mapping[str, Any]) -> _Call:
    return _Call(plugin, hook, pickle.dumps((hook, plugin, dict(news))), Future())


def _passing_on(process: "subprocess.Popen[str]") -> list[threading.Thread]:
    """Start to print what a process prints, where this one prints at that time."""
    threads = [
        threading.Thread(target=_pass_on, args=(stream, name), daemon=True)
        for stream, name in ((process.stdout, "stdout"), (process.stderr, "stderr"))
    ]
    for thread in threads:
        thread.start()
    return threads


def _pass_on(stream: IO[str], name: str) -> None:
    with stream:
        for text in iter(partial(stream.readline, _LONGEST_LINE), ""):
            with suppress(OSError, ValueError):  # ours is closed; the process must not wait for us
                print(text, end="", file=getattr(sys, name))
