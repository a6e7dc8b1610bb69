"""What is written to a checkpoint is read again to the bit, and damage is found."""

import random

import numpy as np
import pytest
import torch

from dmlbench import DataError
from dmlbench.storage.checkpoints import read_checkpoint, write_checkpoint
from dmlbench.storage.trees import NotATreeError, pack

RNG = np.random.default_rng(0)
WEIGHTS = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(0))
TREE = {
    "network": {
        "conv.weight": WEIGHTS.to(memory_format=torch.channels_last),
        "tied": WEIGHTS[1:],
        "half": torch.tensor([1.5, float("nan")], dtype=torch.bfloat16),
        "steps": torch.tensor(7),
        "nothing": torch.empty(0, 3),
        "spread": torch.ones(1).expand(4),
    },
    "optimiser": {0: {"step": 3.0, "lr": 0.1 + 0.2}, 1: {}},
    "python": random.Random(0).getstate(),
    "numpy": RNG.bit_generator.state | {"key": RNG.integers(9, size=3, dtype=np.uint32)},
    "best": (3, float("inf"), None, [True, "text"]),
}
KEY = {"trial": "abc"}


def assert_same(one: object, other: object) -> None:
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert [*one] == [*other]
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list | tuple):
        for mine, theirs in zip(one, other, strict=True):
            assert_same(mine, theirs)
    elif isinstance(one, torch.Tensor):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        assert torch.equal(one.nan_to_num(5), other.nan_to_num(5))
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        assert np.array_equal(one, other)
    else:
        assert one == other


def test_what_is_written_is_read_to_the_bit(tmp_path):
    path = tmp_path / "folder" / "one.checkpoint"
    write_checkpoint(path, KEY, TREE)
    key, found = read_checkpoint(path)
    assert key == KEY
    assert_same(TREE, found)
    weights = found["network"]["conv.weight"]
    assert weights.is_contiguous(memory_format=torch.channels_last)
    weights.zero_()
    assert found["network"]["tied"].any()  # no memory is shared
    assert [each.name for each in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("held", [{3, 5}, object(), b"bytes", [1j]])
def test_what_only_pickle_can_store_is_refused_with_its_place(held):
    with pytest.raises(NotATreeError, match=r"loss\.queue(\.0)? is a "):
        pack({"loss": {"queue": held}})


def test_every_flipped_bit_and_every_cut_is_found(tmp_path):
    path = tmp_path / "one.checkpoint"
    write_checkpoint(path, KEY, TREE)
    content, chance = path.read_bytes(), random.Random(0)
    for _ in range(200):
        damaged = bytearray(content)
        if chance.random() < 0.2:
            del damaged[chance.randrange(len(content)) :]
        else:
            damaged[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"one\.checkpoint is damaged"):
            read_checkpoint(path)


def test_other_files_are_no_checkpoints(tmp_path):
    from safetensors.torch import save_file

    path = tmp_path / "one.checkpoint"
    assert read_checkpoint(path) is None
    save_file({"test": torch.ones(3)}, path)  # such as embeddings
    with pytest.raises(DataError, match="is damaged"):
        read_checkpoint(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(DataError, match="is not a regular file"):
        read_checkpoint(path)
