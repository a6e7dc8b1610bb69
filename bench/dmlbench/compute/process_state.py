"""The state of the process, which components share and must leave as it is."""

import os
import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch

from dmlbench.errors import PluginError

SEED = 20_260_101
"""Seed of torch's generator while a component is made, unless a check needs another."""


class _Setting(NamedTuple):
    name: str
    read: Callable[[], Any]
    write: Callable[[Any], Any]
    mend: str = "Set nothing that holds for the whole process."


def _write_environment(variables: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(variables)


def _numpy_state() -> tuple[Any, ...]:
    _, key, *rest = np.random.get_state(legacy=True)
    return np.asarray(key).tobytes(), *rest


def _write_numpy_state(state: tuple[Any, ...]) -> None:
    key, *rest = state
    np.random.set_state(("MT19937", np.frombuffer(key, np.uint32), *rest))


_TO_DRAW = (
    "Draw random numbers from torch's global generator without seeding it; a sampler draws from "
    "its rng, a baseline from its random_state."
)
_SETTINGS = (
    # Only the seed: drawing from the generator is allowed, and fork_rng restores it.
    _Setting("torch.initial_seed()", torch.initial_seed, lambda seed: None, _TO_DRAW),
    _Setting("torch.get_default_dtype()", torch.get_default_dtype, torch.set_default_dtype),
    _Setting("torch.get_default_device()", torch.get_default_device, torch.set_default_device),
    _Setting("torch.is_grad_enabled()", torch.is_grad_enabled, torch.set_grad_enabled),
    _Setting("torch.get_num_threads()", torch.get_num_threads, torch.set_num_threads),
    _Setting(
        "torch.are_deterministic_algorithms_enabled()",
        torch.are_deterministic_algorithms_enabled,
        torch.use_deterministic_algorithms,
    ),
    _Setting(
        "torch.get_float32_matmul_precision()",
        torch.get_float32_matmul_precision,
        torch.set_float32_matmul_precision,
    ),
    _Setting(
        "torch.backends.cudnn.benchmark",
        lambda: torch.backends.cudnn.benchmark,
        lambda value: setattr(torch.backends.cudnn, "benchmark", value),
    ),
    _Setting("numpy.random's global state", _numpy_state, _write_numpy_state, _TO_DRAW),
    _Setting("the random module's state", random.getstate, random.setstate, _TO_DRAW),
    _Setting("numpy.geterr()", np.geterr, lambda state: np.seterr(**state)),
    _Setting("warnings.filters", lambda: list(warnings.filters), lambda filters: None),
    _Setting("os.environ", lambda: dict(os.environ), _write_environment),
    _Setting("the current directory", os.getcwd, os.chdir),
)


@contextmanager
def restored() -> Iterator[None]:
    """Restore the state of the process afterwards, whatever happens inside."""
    before = [setting.read() for setting in _SETTINGS]
    in_use = torch.cuda.is_initialized()
    gpus = [torch.cuda.current_device()] if in_use else []
    try:
        with torch.random.fork_rng(gpus), warnings.catch_warnings():
            yield
    finally:
        for setting, value in zip(_SETTINGS, before, strict=True):
            if setting.read() != value:
                setting.write(value)


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
    watched = [setting for setting in _SETTINGS if setting.name not in but]
    before = [setting.read() for setting in watched]
    with restored():
        run()
        changed = [
            setting
            for setting, value in zip(watched, before, strict=True)
            if setting.read() != value
        ]
    if changed:
        names = ", ".join(setting.name for setting in changed)
        advice = " ".join(dict.fromkeys(setting.mend for setting in changed))
        raise PluginError(
            f"It changes the state of the whole process: {names}. Later trials would not be "
            f"repeatable. {advice}"
        )
