"""Where and how precisely a trial computes."""

import platform
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from dmlbench.compute.precision import Precision, in_use
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
        torch.empty(0, device=device).cpu()  # nothing comes back from "meta"
    except (RuntimeError, AssertionError, ImportError) as error:
        raise ConfigError(f"There is no device {name!r} on this machine: {error}") from error
    return device


def named_devices(names: str) -> list[str]:
    """Return the devices of a list such as ``cuda:0,cuda:1``, or every GPU for ``all``.

    GPUs are only counted: to look at one takes hundreds of MiB of its memory.

    Raises:
        ConfigError: this machine lacks one.
    """
    gpus = torch.cuda.device_count()
    if names.strip() == "all":
        if not gpus:
            raise ConfigError("--devices all means every GPU, and torch finds none here.")
        return [f"cuda:{number}" for number in range(gpus)]
    devices = [name.strip() for name in names.split(",")]
    counted = {"cuda", *(f"cuda:{number}" for number in range(gpus))} if gpus else set()
    for name in dict.fromkeys(devices):
        if name not in counted:
            pick_device(name)
    return devices


def still_works(device: torch.device) -> bool:
    """Return whether `device` still works; some errors make a GPU unusable for the process."""
    if device.type == "cuda":
        try:
            torch.cuda.synchronize(device)  # waits, and raises pending errors
        except RuntimeError:
            return False
    return True


@lru_cache(maxsize=32)
def constant(numbers: tuple[float, ...], device: torch.device) -> torch.Tensor:
    """Return a vector ``[len(numbers)]`` that is shared, so it must not be written to.

    It is copied to `device` only once: each copy waits until the GPU has done its pending work.
    """
    return torch.tensor(numbers, device=device)


def describe(device: torch.device, precision: Precision) -> dict[str, Any]:
    """Return the settings that decide whether a run repeats to the bit, for the record."""
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "precision": in_use(precision, device),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "threads": torch.get_num_threads(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "processor": processor(),
        "torch": torch.__version__,
    }


def processor() -> str:
    """Return the model of this machine's processor, as far as the system tells.

    Even with the same instruction set, libraries choose different kernels for different models, and
    these sum in different orders. A virtual machine often only names a whole family of models.
    """
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\n\n")[0].splitlines()
    except OSError:
        return platform.processor()
    facts = {
        name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    kept = [facts.get("model name"), *(f"{name} {facts[name]}" for name in _MODEL if name in facts)]
    return ", ".join(fact for fact in kept if fact) or platform.processor()
