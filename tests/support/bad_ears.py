"""Hook plugins of strangers: one that listens, and those that misbehave in every way."""

import ctypes
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from dmlbench import hookimpl


class Sound:
    """Writes down what it hears."""

    def __init__(self) -> None:
        self.total = None

    def note(self, *words):
        with Path(os.environ["EARS_HEARD"]).open("a") as file:
            print(*words, file=file)

    @hookimpl
    def dmlbench_run_started(self, plan):
        self.total = len(plan.trials)

    @hookimpl
    def dmlbench_trial_started(self, trial):
        self.note("started", trial.seed, "of", self.total)

    @hookimpl
    def dmlbench_epoch_finished(self, trial, metrics):
        self.note("epoch", trial.seed, metrics["epoch"])

    @hookimpl
    def dmlbench_trial_finished(self, trial, record):
        self.note("finished", trial.seed, record.status, "of", self.total)

    @hookimpl
    def dmlbench_run_finished(self, records):
        self.note("over", len(records))

    @hookimpl
    def dmlbench_leaderboard_columns(self, records):
        return {"Seeds": str(len(records))}


class Bad:
    """Misbehaves when a trial starts, and when columns are made."""

    def __init__(self, misbehave):
        self.misbehave = misbehave

    @hookimpl
    def dmlbench_trial_started(self):
        return self.misbehave()

    @hookimpl
    def dmlbench_leaderboard_columns(self):
        return self.misbehave()


class Mute(BaseException):
    def __str__(self):
        raise RuntimeError


def throw(error):
    raise error


def loop():
    while True:
        with suppress(BaseException):
            time.sleep(0.01)


def leave_a_child():
    if os.fork() == 0:
        time.sleep(600)
    os._exit(5)


def end_later():
    threading.Timer(0, os._exit, [4]).start()


def ignore_and_leave_the_group():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.setpgid(0, os.getpgid(os.getppid()))
    loop()


sound = Sound()
raising = Bad(lambda: throw(ValueError("deaf")))
exiting = Bad(lambda: sys.exit(3))
interrupting = Bad(lambda: throw(KeyboardInterrupt()))
mute = Bad(lambda: throw(Mute()))
vanishing = Bad(lambda: os._exit(0))
crashing = Bad(lambda: ctypes.string_at(0))
endless = Bad(ignore_and_leave_the_group)
closing = Bad(lambda: os.closerange(0, 1000))
forking = Bad(leave_a_child)
twofold = Bad(lambda: None if os.fork() else {"Two": "selves"})
late = Bad(end_later)
