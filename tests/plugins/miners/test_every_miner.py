"""What every first-party miner must do: valid selections of odd batches, NaN, memory, chance."""

import inspect
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from support.miner_loops import (
    EMPTY_BATCHES,
    batch_of_itself,
    batch_with_memory,
    every_batch,
    mine,
    on_sphere,
    single_item,
)
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from dmlbench import Miner, PairMask, Pairs, Selection, Triplets, as_pair_mask, as_triplets
from dmlbench.components.hyperparameters import hyperparameters
from dmlbench.testing.other_device import OtherDevice
from dmlbench_miners import listing

PROJECT = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
ENTRY_POINTS = PROJECT["entry-points"]["dmlbench.miners"]


def load(reference: str) -> type[Miner]:
    module, name = reference.split(":")
    return getattr(import_module(module), name)


CLASSES = {name: load(reference) for name, reference in ENTRY_POINTS.items()}
WITH_CHANCE = {"distance-weighted", "random", "soft-hard", "uniform-histogram"}
WHATEVER_THE_DISTANCE = {
    "all-pairs",
    "batch-hard",
    "distance-weighted",
    "multi-similarity",
    "random",
}
"""Miners that find pairs of both kinds for every anchor, even where all distances are equal."""

every_miner = pytest.mark.parametrize("name", sorted(CLASSES))


def same(one: Selection, other: Selection) -> bool:
    return all(
        torch.equal(a, b) for a, b in zip(vars(one).values(), vars(other).values(), strict=True)
    )


def assert_valid(selection: Selection, pairs: Pairs) -> None:
    chosen = as_pair_mask(selection, pairs)
    for mask, allowed in ((chosen.positive, pairs.positive), (chosen.negative, pairs.negative)):
        assert mask.dtype == torch.bool
        assert mask.shape == allowed.shape
        assert not (mask & ~allowed).any()


@every_miner
@every_batch
def test_a_miner_makes_what_it_says_of_positives_and_negatives(name, make_pairs):
    cls, pairs = CLASSES[name], make_pairs(0)
    selection = mine(cls(), pairs)
    assert isinstance(selection, {"pairs": PairMask, "triplets": Triplets}[cls.makes])
    assert_valid(selection, pairs)


@every_miner
@pytest.mark.parametrize("make_pairs", EMPTY_BATCHES)
def test_no_triplet_comes_from_a_batch_without_positives_or_without_negatives(name, make_pairs):
    pairs = make_pairs(0)
    selection = mine(CLASSES[name](), pairs)
    assert_valid(selection, pairs)
    assert len(as_triplets(selection).anchor) == 0


@every_miner
def test_a_batch_of_one_item_gives_nothing(name):
    pairs = single_item(0)
    chosen = as_pair_mask(mine(CLASSES[name](), pairs), pairs)
    assert not chosen.positive.any()
    assert not chosen.negative.any()


@every_miner
def test_identical_embeddings_give_a_valid_selection(name):
    pairs = Pairs(on_sphere(1, 16, 0).repeat(12, 1), torch.arange(4).repeat_interleave(3))
    chosen = mine(CLASSES[name](), pairs)
    assert_valid(chosen, pairs)
    if name in WHATEVER_THE_DISTANCE:
        mask = as_pair_mask(chosen, pairs)
        assert mask.positive.any(1).all()
        assert mask.negative.any(1).all()


@every_miner
@pytest.mark.parametrize("end", ["low", "high"])
@pytest.mark.parametrize("kind", ["usual", "identical", "opposite"])
def test_selections_are_valid_at_both_ends_of_every_search_space(name, end, kind):
    raw = {
        "usual": on_sphere(12, 8, 0),
        "identical": on_sphere(1, 8, 0).repeat(12, 1),
        "opposite": torch.cat((torch.eye(8)[:1].repeat(6, 1), -torch.eye(8)[:1].repeat(6, 1))),
    }[kind]
    for parameter, found in hyperparameters(CLASSES[name]).items():
        pairs = Pairs(raw, torch.arange(4).repeat_interleave(3))
        miner = CLASSES[name](**{parameter: getattr(found.space, end)})
        assert_valid(mine(miner, pairs), pairs)


@every_miner
def test_every_hyperparameter_has_a_search_space_that_holds_its_default(name):
    assert inspect.getmodule(CLASSES[name]).__doc__
    for found in hyperparameters(CLASSES[name]).values():
        assert found.default in found.space


@every_miner
@pytest.mark.parametrize("bad", [[0], list(range(12))])
def test_embeddings_that_are_not_a_number_reach_the_loss(name, bad):
    embeddings = on_sphere(12, 8, 0)
    embeddings[bad] = torch.nan
    pairs = Pairs(embeddings, torch.arange(4).repeat_interleave(3))
    chosen = as_pair_mask(mine(CLASSES[name](), pairs), pairs)
    assert_valid(chosen, pairs)
    assert pairs.distance[chosen.positive | chosen.negative].isnan().any()


@every_miner
def test_mining_changes_neither_similarities_nor_embeddings(name):
    pairs = batch_with_memory(0)
    values = ("anchors", "references", "similarity", "squared_distance", "distance", "positive")
    before = {value: getattr(pairs, value).clone() for value in values}
    mine(CLASSES[name](), pairs)
    assert all(torch.equal(getattr(pairs, value), before[value]) for value in values)


@every_miner
def test_only_miners_with_chance_use_the_generator_and_repeat_with_its_seed(name):
    pairs = Pairs(on_sphere(40, 8, 3), torch.arange(40) % 5)
    first, again = (mine(CLASSES[name](), pairs) for _ in range(2))
    assert same(first, again)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    another = CLASSES[name]().select(pairs)
    if name in WITH_CHANCE:
        assert len(another.positive) != len(first.positive) or not same(another, first)
    else:
        assert same(another, first)
        assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", sorted(set(CLASSES) - {"distance-weighted"}))
def test_double_precision_selects_as_single_precision_does(name):
    labels = torch.arange(12) % 4
    single = Pairs(on_sphere(12, 8, 1), labels)
    double = Pairs(on_sphere(12, 8, 1).double(), labels)
    assert same(mine(CLASSES[name](), single), mine(CLASSES[name](), double))


class LargestTensor(TorchDispatchMode):
    """Remembers the number of elements of the largest tensor that any operation made."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        sizes = [leaf.numel() for leaf in tree_leaves(out) if isinstance(leaf, torch.Tensor)]
        self.elements = max([self.elements, *sizes])
        return out


@every_miner
@pytest.mark.parametrize("num_classes", [2, 12])
def test_memory_grows_with_the_pairs_not_with_the_triplets(name, num_classes, monkeypatch):
    monkeypatch.setattr(listing, "_SMALL", 1)
    B, M, D = 48, 400, 32
    labels, all_labels = torch.arange(B) % num_classes, torch.arange(M) % num_classes
    # Each class in its own direction: few triplets are selected by those who select by hardness.
    centres = on_sphere(num_classes, D, 0)
    noise = 0.01 * torch.randn(M, D, generator=torch.Generator().manual_seed(1))
    references = F.normalize(centres[all_labels] + noise)
    with LargestTensor() as largest:
        pairs = Pairs(references[:B], labels, references, all_labels, torch.arange(B))
        mine(CLASSES[name](), pairs)
    assert largest.elements <= B * M


@pytest.mark.parametrize("name", sorted(set(CLASSES) - {"distance-weighted"}))
def test_embeddings_of_any_length_are_mined(name):
    of = batch_of_itself(0)
    pairs = Pairs(3 * of.anchors.detach(), of.labels, normalized=False)
    assert_valid(mine(CLASSES[name](), pairs), pairs)


@every_miner
def test_a_miner_selects_on_another_device_what_it_selects_on_the_cpu(name):
    """Some take another way on a GPU, where torch is fast at other things."""
    embeddings, labels = on_sphere(40, 8, 3), torch.arange(40) % 5
    here = mine(CLASSES[name](), Pairs(embeddings, labels))
    with OtherDevice() as device:
        there = Pairs(embeddings.to(device.name), labels.to(device.name))
        chosen = mine(CLASSES[name](), there)
        for field, expected in vars(here).items():
            assert torch.equal(getattr(chosen, field).cpu(), expected)
