"""Devices, and what makes a trial repeat."""

import platform
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info

from dmlbench import ConfigError
from dmlbench.compute.determinism import repeatable, seed_everything
from dmlbench.compute.device import (
    constant,
    describe,
    pick_device,
    processor,
    still_works,
)

CPU = torch.device("cpu")


def state() -> dict:
    return {
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "benchmark": torch.backends.cudnn.benchmark,
        "products": torch.get_float32_matmul_precision(),
        "convolutions": torch.backends.cudnn.allow_tf32,
        "filled": torch.utils.deterministic.fill_uninitialized_memory,
        "bfloat16 sums": torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction,
        "float16 sums": torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction,
        "pools": [pool["num_threads"] for pool in threadpool_info()],
    }


def test_the_device_is_the_gpu_where_there_is_one():
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert pick_device("cpu") == CPU


@pytest.mark.parametrize("name", ["cuda:99", "gpu", "", "cpu:x", "meta", "hpu"])
def test_a_device_that_is_not_there_is_said(name):
    with pytest.raises(ConfigError, match=f"no device '{name}' on this machine"):
        pick_device(name)


@pytest.mark.parametrize("error", [None, torch.AcceleratorError, RuntimeError])
def test_a_gpu_works_no_more_if_it_fails_when_nothing_is_asked_of_it(monkeypatch, error):
    def synchronize(device: torch.device) -> None:
        if error:
            raise error("CUDA error: device-side assert triggered")

    monkeypatch.setattr(torch.cuda, "synchronize", synchronize)
    assert still_works(torch.device("cuda:0")) == (error is None)
    assert still_works(CPU)


def test_a_constant_is_made_once():
    found = constant((0.5, 1.0), CPU)
    assert found.tolist() == [0.5, 1.0]
    assert found.dtype == torch.float32
    assert constant((0.5, 1.0), CPU) is found


def test_inside_all_is_repeatable_and_afterwards_as_before():
    before = state()
    with repeatable(CPU):
        inside = state()
        described = describe(CPU, "float32")
    assert inside["threads"] == 1
    assert set(inside["pools"]) == {1}
    assert inside["deterministic"]
    assert not inside["benchmark"]
    assert not inside["convolutions"]
    assert not inside["filled"]
    assert not inside["bfloat16 sums"]
    assert not inside["float16 sums"]
    assert inside["products"] == "highest"
    assert state() == before
    expected = {"device": "cpu", "precision": "float32", "deterministic": True, "threads": 1}
    assert expected.items() <= described.items()
    assert described["torch"] == torch.__version__
    assert described["cpu"]
    assert described["processor"] == processor()


X86 = "processor\t: 0\nvendor_id\t: A\ncpu family\t: 25\nmodel\t\t: 17\nmodel name\t: EPYC: 7\n"
ARM = "processor\t: 0\nBogoMIPS\t: 50\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{X86}\n{X86.replace('17', '18')}", "EPYC: 7, cpu family 25, model 17"),
        (ARM, "CPU implementer 0x41, CPU part 0xd0c"),
        ("", platform.processor()),
        (None, platform.processor()),
    ],
)
def test_the_processor_is_named_as_the_system_names_it(monkeypatch, text, expected):
    def read(path: Path, encoding: str) -> str:
        if text is None:
            raise FileNotFoundError
        return text

    monkeypatch.setattr(Path, "read_text", read)
    assert processor() == expected


def test_an_error_inside_leaves_nothing_changed():
    before = state()
    with pytest.raises(KeyError), repeatable(CPU):
        raise KeyError
    assert state() == before


def draws() -> tuple[float, float, float]:
    return torch.rand(1).item(), float(np.random.rand()), random.random()


def test_one_key_seeds_every_generator():
    seed_everything(3, 1)
    first = draws()
    seed_everything(3, 2)
    second = draws()
    seed_everything(3, 1)
    assert draws() == first
    assert not set(first) & set(second)
