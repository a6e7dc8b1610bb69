"""In which precision a backbone computes, and where."""

import pytest
import torch

from dmlbench.compute.device import describe
from dmlbench.compute.precision import backward_in, forward_in, in_use

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def tf32() -> tuple[bool, bool]:
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


@pytest.fixture(autouse=True)
def full_float32():
    """Start without tf32, as a trial does; the state of the process is as before afterwards."""
    before = tf32()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [
        ("float32", torch.float32),
        ("tf32", torch.float32),
        ("bfloat16", torch.bfloat16),
        ("float16", torch.float16),
    ],
)
def test_products_forward_have_the_type_of_the_precision(precision, dtype):
    weights = torch.ones(2, 2)
    with forward_in(precision, CPU):
        assert (weights @ weights).dtype == dtype
    with backward_in(precision, CPU):
        assert (weights @ weights).dtype == torch.float32
    assert (weights @ weights).dtype == torch.float32


@pytest.mark.parametrize("context", [forward_in, backward_in])
@pytest.mark.parametrize("device", [CPU, GPU])
def test_tf32_is_switched_on_for_gpus_alone_and_off_again(context, device):
    with context("tf32", device):
        assert tf32() == (device == GPU,) * 2
    with pytest.raises(KeyError), context("tf32", device):
        raise KeyError
    assert tf32() == (False, False)
    with context("float32", device):
        assert tf32() == (False, False)


def test_settings_say_what_the_device_computes_in():
    assert describe(CPU, "tf32")["precision"] == in_use("tf32", CPU) == "float32"
    assert describe(CPU, "float16")["precision"] == in_use("float16", CPU) == "float16"
    assert in_use("tf32", GPU) == "tf32"
