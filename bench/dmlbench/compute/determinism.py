"""What makes a trial repeatable: seeds, streams of random numbers, deterministic arithmetic."""

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import scipy.linalg  # noqa: F401 - a BLAS must be loaded before its threads can be limited
import torch
from threadpoolctl import threadpool_limits

# Each stream of random numbers is seeded by (seed, stream, …), so that the same seed gives every
# loss the same initial network, batches and augmentation: rows can be compared in pairs.
NETWORK_STREAM, LOSS_STREAM, BATCH_STREAM, IMAGE_STREAM = range(4)
MINER_STREAM, SPLIT_STREAM, FIT_STREAM, SHARE_STREAM = range(4, 8)


@contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """Make everything inside deterministic, in full float32, on one CPU thread; then undo it.

    One thread per trial: trials run side by side, and sums keep their order whatever the
    number of cores.
    """
    memory: Any = torch.utils.deterministic  # its stubs lack the switch
    products = torch.backends.cuda.matmul
    before = (
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.backends.cudnn.benchmark,
        torch.get_float32_matmul_precision(),
        torch.backends.cudnn.allow_tf32,
        memory.fill_uninitialized_memory,
        products.allow_bf16_reduced_precision_reduction,
        products.allow_fp16_reduced_precision_reduction,
    )
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # else cuBLAS is not repeatable
    if device.type == "cpu":
        torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    # Filling new memory before it is written to takes 5 % of a training step on a CPU.
    memory.fill_uninitialized_memory = False
    torch.backends.cudnn.benchmark = False
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False  # convolutions have their own switch
    # Products of bfloat16 and float16 are summed in float32, however they are split.
    products.allow_bf16_reduced_precision_reduction = False
    products.allow_fp16_reduced_precision_reduction = False
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])
        torch.backends.cudnn.benchmark = before[2]
        torch.set_float32_matmul_precision(before[3])
        torch.backends.cudnn.allow_tf32 = before[4]
        memory.fill_uninitialized_memory = before[5]
        products.allow_bf16_reduced_precision_reduction = before[6]
        products.allow_fp16_reduced_precision_reduction = before[7]


def random_states(device: torch.device) -> dict[str, Any]:
    """Return the states of the global generators that a trial may draw from."""
    states = {
        "torch": torch.get_rng_state(),
        "numpy": np.random.get_state(legacy=False),
        "python": random.getstate(),
    }
    return states | ({"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})


def set_random_states(states: dict[str, Any], device: torch.device) -> None:
    """Set the global generators to what `random_states` returned."""
    torch.set_rng_state(states["torch"])
    np.random.set_state(states["numpy"])
    random.setstate(states["python"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)


@contextmanager
def seeded(device: torch.device, *key: int) -> Iterator[None]:
    """Draw by a stream of its own inside, seeded by `key`; afterwards the others go on."""
    before = random_states(device)
    seed_everything(*key)
    try:
        yield
    finally:
        set_random_states(before, device)


def seed_everything(*key: int) -> None:
    """Seed torch, NumPy and Python with a tuple of numbers; another tuple gives other numbers."""
    state = int(np.random.SeedSequence(key).generate_state(1)[0])
    torch.manual_seed(state)
    np.random.seed(state)
    random.seed(state)
