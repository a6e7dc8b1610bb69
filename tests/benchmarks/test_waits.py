"""No shipped loss or miner makes a GPU wait more often than the published table says."""

import re
from collections import Counter

import pytest
import torch
from benchmarks.waits import PAGE, losses, miners, most_waits, waits_of_loss, waits_of_miner
from torch import Tensor

from dmlbench import Loss, Miner, PairMask, Pairs

pytestmark = pytest.mark.slow

ROW = re.compile(r"^\| (loss|miner) +\| (\S+) +\| +(\d+) \| (.*?) +\|$", re.MULTILINE)
NAMED = {
    (kind, name): {what: int(n) for n, what in re.findall(r"(\d+) ([a-z_ 0-9]+)", waits)}
    for kind, name, _, waits in ROW.findall(PAGE.read_text(encoding="utf-8"))
}
"""What each loss and miner waits for, those that never wait left out."""


@pytest.mark.parametrize("name", losses())
def test_a_loss_waits_as_often_as_the_table_says(name):
    assert waits_of_loss(name) == NAMED.get(("loss", name), {})


@pytest.mark.parametrize("name", miners())
def test_a_miner_waits_as_often_as_the_table_says(name):
    assert waits_of_miner(name) == NAMED.get(("miner", name), {})


def test_the_table_names_shipped_losses_and_miners_only():
    assert NAMED
    assert {name for kind, name in NAMED if kind == "loss"} <= {*losses()}
    assert {name for kind, name in NAMED if kind == "miner"} <= {*miners()}


class Reads(Loss):
    takes = "labels"

    def forward(self, pairs: Pairs, selection: None) -> Tensor:
        return pairs.similarity.sum() / float(pairs.similarity.detach().max())


class MakesItsMaskOnTheCPU(Miner):
    makes = "pairs"

    def select(self, pairs: Pairs) -> PairMask:
        return PairMask(pairs.positive & ~torch.eye(len(pairs)).bool(), pairs.negative)


class Takes(Reads):
    takes = "pairs"


def test_a_hidden_read_in_a_loss_is_counted():
    assert most_waits(Reads()) == Counter(read=1)


def test_a_miner_that_mixes_devices_fails_as_on_a_gpu():
    with pytest.raises(RuntimeError, match="same device"):
        most_waits(Takes(), MakesItsMaskOnTheCPU())
