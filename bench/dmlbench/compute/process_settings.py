"""What holds for the whole process and can change a figure: how it is read, and put back."""

import gc
import os
import random
import resource
import signal
import sys
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple, cast

import numpy as np
import torch


class Setting(NamedTuple):
    """One thing that all components of a process share."""

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], Any] | None = None
    """None if it can't be put back."""
    mend: str = "Set nothing that holds for the whole process."


def read_all(settings: tuple[Setting, ...]) -> list[Any]:
    """Return the values of `settings`, in their order."""
    return [read(setting) for setting in settings]


def read(setting: Setting) -> Any:
    """Return the value of `setting`; one that can't be read any more differs from all others."""
    try:
        return setting.read()
    except Exception as error:  # such as a current directory that is gone
        return f"{type(error).__name__} in {setting.name}"


def write_back(setting: Setting, value: Any) -> None:
    """Put `setting` back to `value` if that is possible."""
    if setting.write is not None:
        with suppress(Exception):  # a limit may have been lowered for good
            setting.write(value)


def _attribute(owner: Any, name: str, called: str) -> Setting:
    return Setting(
        f"{called}.{name}",
        lambda: getattr(owner, name, None),
        lambda value: setattr(owner, name, value),
    )


_SET_BY_LIBRARIES = {"KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK", "TORCHINDUCTOR_CACHE_DIR"}
"""What scikit-learn and torch set when they are first imported; no figure rests on it."""


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in _SET_BY_LIBRARIES}


def _write_environment(variables: Mapping[str, str]) -> None:
    for name in _environment().keys() - variables.keys():
        del os.environ[name]
    os.environ.update(variables)


def _fatal_warnings() -> list[Any]:
    """Return the filters that decide whether a warning is an error; others decide what is shown."""
    filters = list(warnings.filters)
    errors = [place for place, found in enumerate(filters) if found[0] == "error"]
    return filters[: errors[-1] + 1] if errors else []


def _write_fatal_warnings(filters: list[Any]) -> None:
    listed = cast(list[Any], warnings.filters)
    listed[: len(_fatal_warnings())] = filters
    with warnings.catch_warnings():  # tells Python that the list changed
        pass


def _umask() -> int:
    mask = os.umask(0o077)  # it can only be read by setting it
    os.umask(mask)
    return mask


_HANDLED = sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})


def _handlers() -> list[Any]:
    return [signal.getsignal(number) for number in _HANDLED]


def _write_handlers(handlers: list[Any]) -> None:
    for number, handler in zip(_HANDLED, handlers, strict=True):
        if handler is not None and signal.getsignal(number) != handler:
            signal.signal(number, handler)


_TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)


def _timers() -> list[tuple[bool, float]]:
    """Return which timers run, and their intervals; the time that is left goes by."""
    states = [signal.getitimer(timer) for timer in _TIMERS]
    return [(left > 0, interval) for left, interval in states]


def _stop_timers(before: list[tuple[bool, float]]) -> None:
    for timer, (ran, _) in zip(_TIMERS, before, strict=True):
        if not ran:
            signal.setitimer(timer, 0)


_LIMITS = sorted({getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")})


def _limits() -> list[tuple[int, int]]:
    return [resource.getrlimit(limit) for limit in _LIMITS]


def _write_limits(limits: list[tuple[int, int]]) -> None:
    for number, limit in zip(_LIMITS, limits, strict=True):
        if resource.getrlimit(number) != limit:
            with suppress(ValueError, OSError):
                resource.setrlimit(number, limit)


def _keeps_denormals() -> bool:
    smallest = sys.float_info.min
    return smallest / 2 > 0


def _write_default_device(device: torch.device) -> None:
    torch.set_default_device(None if device.type == "cpu" else device)  # None ends a mode of torch


def _module_hooks() -> dict[str, dict[int, Any]]:
    hooks = vars(torch.nn.modules.module).items()
    return {k: {**v} for k, v in hooks if k.startswith("_global_") and isinstance(v, dict)}


def _write_module_hooks(hooks: dict[str, dict[int, Any]]) -> None:
    for name, before in hooks.items():
        now = getattr(torch.nn.modules.module, name)
        now.clear()
        now.update(before)


def _autocast() -> list[Any]:
    devices = ("cpu", "cuda")
    return [
        torch.is_autocast_cache_enabled(),
        *((torch.is_autocast_enabled(one), torch.get_autocast_dtype(one)) for one in devices),
    ]


def _write_autocast(state: list[Any]) -> None:
    torch.set_autocast_cache_enabled(state[0])
    for device, (enabled, dtype) in zip(("cpu", "cuda"), state[1:], strict=True):
        torch.set_autocast_enabled(device, enabled)
        torch.set_autocast_dtype(device, dtype)


_ATTENTION = ("flash", "mem_efficient", "math", "cudnn")


def _attention() -> list[bool]:
    cuda = torch.backends.cuda
    return [getattr(cuda, f"{name}_sdp_enabled")() for name in _ATTENTION]


def _write_attention(enabled: list[bool]) -> None:
    for name, value in zip(_ATTENTION, enabled, strict=True):
        getattr(torch.backends.cuda, f"enable_{name}_sdp")(value)


_backends: Any = torch.backends
_products = "torch.backends.cuda.matmul"
_memory: Any = torch.utils.deterministic  # its stubs lack the switch

SETTINGS = (
    Setting("torch.get_default_dtype()", torch.get_default_dtype, torch.set_default_dtype),
    Setting("torch.get_default_device()", torch.get_default_device, _write_default_device),
    Setting("torch.is_grad_enabled()", torch.is_grad_enabled, torch.set_grad_enabled),
    Setting("torch.is_inference_mode_enabled()", torch.is_inference_mode_enabled),
    Setting("torch.autocast", _autocast, _write_autocast),
    Setting("torch.is_anomaly_enabled()", torch.is_anomaly_enabled, torch.set_anomaly_enabled),
    Setting("torch.get_num_threads()", torch.get_num_threads, torch.set_num_threads),
    Setting(
        "torch.are_deterministic_algorithms_enabled()",
        torch.get_deterministic_debug_mode,
        torch.set_deterministic_debug_mode,
    ),
    _attribute(_memory, "fill_uninitialized_memory", "torch.utils.deterministic"),
    Setting(
        "torch.get_float32_matmul_precision()",
        torch.get_float32_matmul_precision,
        torch.set_float32_matmul_precision,
    ),
    _attribute(_backends.cuda.matmul, "allow_tf32", _products),
    _attribute(_backends.cuda.matmul, "allow_bf16_reduced_precision_reduction", _products),
    _attribute(_backends.cuda.matmul, "allow_fp16_reduced_precision_reduction", _products),
    _attribute(_backends.cudnn, "enabled", "torch.backends.cudnn"),
    _attribute(_backends.cudnn, "benchmark", "torch.backends.cudnn"),
    _attribute(_backends.cudnn, "deterministic", "torch.backends.cudnn"),
    _attribute(_backends.cudnn, "allow_tf32", "torch.backends.cudnn"),
    _attribute(_backends.mkldnn, "enabled", "torch.backends.mkldnn"),
    _attribute(_backends, "fp32_precision", "torch.backends"),
    _attribute(_backends.cudnn, "fp32_precision", "torch.backends.cudnn"),
    _attribute(_backends.mkldnn, "fp32_precision", "torch.backends.mkldnn"),
    _attribute(_backends.opt_einsum, "enabled", "torch.backends.opt_einsum"),
    _attribute(_backends.opt_einsum, "strategy", "torch.backends.opt_einsum"),
    Setting("kernels of attention", _attention, _write_attention),
    Setting("global hooks of torch.nn.Module", _module_hooks, _write_module_hooks),
    Setting(
        "torch.set_flush_denormal()", _keeps_denormals, lambda v: torch.set_flush_denormal(not v)
    ),
    Setting("numpy.geterr()", np.geterr, lambda state: np.seterr(**state)),
    Setting("warnings.filters", _fatal_warnings, _write_fatal_warnings),
    Setting("os.environ", _environment, _write_environment),
    Setting("the current directory", os.getcwd, os.chdir),
    Setting("the umask", _umask, os.umask),
    Setting("resource limits", _limits, _write_limits),
    Setting("signal handlers", _handlers, _write_handlers),
    Setting(
        "blocked signals",
        lambda: signal.pthread_sigmask(signal.SIG_BLOCK, ()),
        lambda mask: signal.pthread_sigmask(signal.SIG_SETMASK, mask),
    ),
    Setting("timers", _timers, _stop_timers),
    Setting("the recursion limit", sys.getrecursionlimit, sys.setrecursionlimit),
    Setting("garbage collection", gc.isenabled, lambda on: gc.enable() if on else gc.disable()),
)


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

RANDOM_STATES = (
    # Only the seed: drawing from the generator is allowed, and fork_rng restores it.
    Setting("torch.initial_seed()", torch.initial_seed, None, _TO_DRAW),
    Setting("numpy.random's global state", _numpy_state, _write_numpy_state, _TO_DRAW),
    Setting("the random module's state", random.getstate, random.setstate, _TO_DRAW),
)
"""Trials seed them anew; a component may not."""
