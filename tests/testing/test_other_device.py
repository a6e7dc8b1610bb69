"""The stand-in for a GPU counts every kind of wait, refuses mixed devices, and computes right."""

import pytest
import torch
import torch.nn.functional as F

from dmlbench.testing.other_device import OtherDevice

WAITS = {
    "item": (lambda x: x[0, 0].item(), {"read": 1}),
    "float": (lambda x: float(x.sum()), {"read": 1}),
    "if": (lambda x: bool((x > 0).all()), {"read": 1}),
    "cpu": (lambda x: x.cpu(), {"copy here": 1}),
    "tolist": (lambda x: x.tolist(), {"copy here": 1}),
    "tensor": (lambda x: torch.tensor([1.0], device=x.device), {"copy there": 1}),
    "new_tensor": (lambda x: x.new_tensor(1.0), {"copy there": 1}),
    "to": (lambda x: torch.ones(3).to(x.device), {"copy there": 1}),
    "copy_": (lambda x: x.copy_(torch.ones(4, 3)), {"copy there": 1}),
    "places on the CPU": (lambda x: x[torch.arange(2)], {"copy there": 1}),
    "nonzero": (lambda x: x.nonzero(), {"nonzero": 1}),
    "where": (lambda x: torch.where(x > 0), {"nonzero": 1}),
    "argwhere": (lambda x: x.argwhere(), {"nonzero": 1}),
    "read by a mask": (lambda x: x[x > 0], {"boolean index": 1}),
    "write by a mask": (lambda x: x.index_put((x > 9,), x[0, :1]), {"boolean index": 1}),
    "masked_select": (lambda x: x.masked_select(x > 0), {"masked_select": 1}),
    "unique": (lambda x: x.unique(), {"unique2": 1}),
    "repeat_interleave": (
        lambda x: torch.repeat_interleave(torch.arange(3, device=x.device)),
        {"repeat_interleave": 1},
    ),
    "bincount": (lambda x: x.long().flatten().clamp_min(0).bincount(), {"bincount": 2}),
    # And what waits for nothing.
    "fill by a mask": (lambda x: x.__setitem__(x > 9, 0.0), {}),
    "fill by places": (lambda x: x.__setitem__(torch.arange(2, device=x.device), 0.0), {}),
    "made there": (lambda x: torch.full((2,), 3.0, device=x.device) + x.new_zeros(()), {}),
    "a copy that doesn't block": (lambda x: torch.ones(3).to(x.device, non_blocking=True), {}),
    "on the CPU": (lambda x: (torch.ones(3).nonzero(), torch.ones(()).item()), {}),
    "a CPU number": (lambda x: x + torch.ones(()), {}),
}


@pytest.mark.parametrize("name", WAITS)
def test_each_wait_is_counted_and_nothing_else(name):
    run, expected = WAITS[name]
    with OtherDevice() as device:
        given = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)).abs()
        given = given.to(device.name)
        device.waits.clear()
        run(given)
    assert device.waits == expected


MIXED = {
    "a sum": lambda x: x + torch.ones(3),
    "cat": lambda x: torch.cat([x, torch.ones(4, 3)]),
    "a mask": lambda x: x.masked_fill(torch.ones(4, 3) > 0, 0),
    "where": lambda x: torch.where(x > 0, x, torch.zeros(4, 3)),
    "a product": lambda x: torch.ones(2, 4) @ x,
    "written on the CPU": lambda x: torch.ones(4, 3).add_(x),
    "places of another tensor": lambda x: torch.ones(9)[x.long()],
}


@pytest.mark.parametrize("name", MIXED)
def test_devices_that_are_mixed_fail_as_on_a_gpu(name):
    with OtherDevice() as device:
        x = torch.randn(4, 3).to(device.name)
        with pytest.raises(RuntimeError, match="same device"):
            MIXED[name](x)


def test_a_list_as_index_and_numpy_are_refused():
    with OtherDevice() as device:
        x = torch.randn(4, 3).to(device.name)
        with pytest.raises(RuntimeError, match="list of Python's numbers"):
            x[[0, 2]]
        with pytest.raises(RuntimeError):
            x.numpy()


def test_values_and_gradients_are_those_of_the_cpu():
    def step(device: str) -> list[torch.Tensor]:
        torch.manual_seed(0)
        x = torch.randn(6, 3).to(device).requires_grad_()
        layer = torch.nn.Linear(3, 4).to(device)
        y = F.normalize(layer(x))
        rows = torch.arange(6, device=x.device)
        same = y @ y.T
        same = same.index_put((rows, rows), same.new_zeros(()))
        same.relu_().logsumexp(1).sum().backward()
        return [same.detach(), x.grad, layer.weight.grad]

    there = step("cpu")
    with OtherDevice() as device:
        here = [each.cpu() for each in step(device.name)]
    assert all(torch.equal(one, other) for one, other in zip(there, here, strict=True))
