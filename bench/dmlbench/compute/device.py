"""Where and how precisely a trial computes, and what makes it repeatable."""

import platform
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import scipy.linalg  # noqa: F401 - its BLAS must be loaded to be told how many threads to use
import torch

from dmlbench.errors import ConfigError

_MODEL = ("cpu family", "model", "CPU implementer", "CPU part")  # x86, ARM


def pick_device(name: str) -> torch.device:
    """Return the device called `name`; ``auto`` is the GPU where there is one.

    Raises:
        ConfigError: this machine has no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device).cpu()  # from "meta" nothing comes back
    except (RuntimeError, AssertionError, ImportError) as error:
        raise ConfigError(f"There is no device {name!r} on this machine: {error}") from error
    return device


def still_works(device: torch.device) -> bool:
    """Return whether `device` can go on; after some errors a GPU computes no more for a process."""
    if device.type == "cuda":
        try:
            torch.cuda.synchronize(device)  # waits, and raises what went wrong until now
        except RuntimeError:
            return False
    return True


@lru_cache(maxsize=32)
def constant(numbers: tuple[float, ...], device: torch.device) -> torch.Tensor:
    """Return a vector ``[len(numbers)]`` that all share, so nobody may write to it.

    It is copied to `device` once: a GPU that has more to do is waited for at every such copy.
    """
    return torch.tensor(numbers, device=device)


def describe(device: torch.device, precision: str) -> dict[str, Any]:
    """Return the settings that decide whether a run repeats to the bit, for the record."""
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "precision": precision,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "threads": torch.get_num_threads(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "processor": processor(),
        "torch": torch.__version__,
    }


def processor() -> str:
    """Return the model of this machine's processor, as far as the system tells.

    With one instruction set, libraries still choose other kernels for other models, and these sum
    in another order. Of a virtual machine the name is often that of a whole line of models.
    """
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\n\n")[0].splitlines()
    except OSError:
        return platform.processor()
    facts = {
        name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    told = (facts.get("model name"), *(f"{name} {facts[name]}" for name in _MODEL if name in facts))
    return ", ".join(fact for fact in told if fact) or platform.processor()


def autocast(
    device: torch.device, precision: Literal["float32", "bfloat16"]
) -> AbstractContextManager[Any]:
    """Return the context in which the network runs; losses run outside it, in float32."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)
