"""The state of the process, which components share and must leave as it is."""

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from dmlbench.compute.process_settings import (
    RANDOM_STATES,
    SETTINGS,
    Setting,
    read,
    read_all,
    write_back,
)
from dmlbench.errors import PluginError

SEED = 20_260_101
"""Seed of torch's generator while a component is made, unless a check needs another."""

_ALL = (
    *RANDOM_STATES,
    *SETTINGS,
    Setting("warnings.filters", lambda: list(warnings.filters)),  # those that only hide some, too
)


@contextmanager
def restored() -> Iterator[None]:
    """Restore the state of the process afterwards, whatever happens inside."""
    before = read_all(_ALL)
    in_use = torch.cuda.is_initialized()
    gpus = [torch.cuda.current_device()] if in_use else []
    try:
        with torch.random.fork_rng(gpus), warnings.catch_warnings():
            yield
    finally:
        for setting, value in zip(_ALL, before, strict=True):
            if read(setting) != value:
                write_back(setting, value)


@contextmanager
def as_in_a_trial() -> Iterator[None]:
    """Compute as trials do, on one thread with deterministic algorithms; then restore the state."""
    with restored():
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.set_num_threads(1)
        torch.use_deterministic_algorithms(True)
        yield


def require_untouched(run: Callable[[], Any], *, but: tuple[str, ...] = ()) -> None:
    """Check that `run` leaves the state of the process as it is.

    Args:
        run: is called twice, as what the first call imports may have effects of its own.
        but: names of the settings that it may change.

    Raises:
        PluginError: it changes another.
    """
    with restored():
        run()
    torch.manual_seed(SEED)
    watched = tuple(setting for setting in _ALL if setting.name not in but)
    before = read_all(watched)
    with restored():
        run()
        after = read_all(watched)
    changed = [
        setting for setting, old, new in zip(watched, before, after, strict=True) if new != old
    ]
    if changed:
        names = ", ".join(dict.fromkeys(setting.name for setting in changed))
        advice = " ".join(dict.fromkeys(setting.mend for setting in changed))
        raise PluginError(
            f"It changes the state of the whole process: {names}. Later trials would not be "
            f"repeatable. {advice}"
        )
