"""Cross-batch memory against a plain list, the peer, and its contract."""

from collections.abc import Iterator
from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F
from pytorch_metric_learning import losses as peer
from torch import Tensor

from dmlbench import ConfigError, Loss, Pairs
from dmlbench.testing.stand_ins import all_pairs
from dmlbench_losses.contrastive import Contrastive
from dmlbench_losses.margin import Margin
from dmlbench_losses.multi_similarity import MultiSimilarity
from dmlbench_losses.proxy_anchor import ProxyAnchor
from dmlbench_losses.triplet import Triplet
from dmlbench_losses.xbm import XBM

D = 8


def around(loss: Loss | None = None, size: int = 20, warmup_steps: int = 0) -> XBM:
    made = XBM(loss or Contrastive(), embedding_dim=D, size=size, warmup_steps=warmup_steps)
    return made.double()


def steps(count: int, items: int = 6) -> Iterator[tuple[Tensor, Pairs]]:
    generator = torch.Generator().manual_seed(1)
    for _ in range(count):
        raw = torch.randn(items, D, generator=generator, dtype=torch.float64).requires_grad_()
        labels = torch.randint(3, (items,), generator=generator)
        yield raw, Pairs(F.normalize(raw), labels)


def remembered(pairs: Pairs) -> list[tuple[int, ...]]:
    """Return what stands behind the batch among the references, as sorted rows."""
    rows = torch.cat([pairs.references, pairs.reference_labels[:, None].double()], dim=1)
    return sorted(map(tuple, rows[len(pairs) :].tolist()))


@pytest.mark.parametrize(("size", "items"), [(20, 6), (18, 6), (5, 6), (6, 6), (1, 6), (100, 6)])
def test_it_remembers_what_a_plain_list_remembers(size, items):
    loss, memory = around(size=size), []
    for _, pairs in steps(9, items):
        extended = loss.extend(pairs)
        assert torch.equal(extended.references[:items], pairs.anchors)
        assert torch.equal(extended.reference_labels[:items], pairs.labels)
        assert torch.equal(extended.self_index, torch.arange(items))
        assert remembered(extended) == sorted(memory)
        batch = zip(pairs.anchors.tolist(), pairs.labels.tolist(), strict=True)
        memory = (memory + [(*row, float(label)) for row, label in batch])[-size:]


@pytest.mark.parametrize("inner", [Contrastive, Triplet, Margin, MultiSimilarity])
def test_value_and_gradient_are_those_of_the_inner_loss_over_batch_and_memory(inner):
    loss, plain, memory = around(inner(), size=13), inner().double(), []
    for raw, pairs in steps(5):
        extended = loss.extend(pairs)
        actual = torch.autograd.grad(loss(extended, all_pairs(extended)), raw, retain_graph=True)
        kept = memory[-13:]
        references = torch.stack([*pairs.anchors, *(row for row, _ in kept)])
        labels = torch.stack([*pairs.labels, *(label for _, label in kept)])
        together = Pairs(pairs.anchors, pairs.labels, references, labels, torch.arange(6))
        expected = torch.autograd.grad(plain(together, all_pairs(together)), raw)
        torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-12)
        memory += zip(pairs.anchors.detach(), pairs.labels, strict=True)


@pytest.mark.parametrize(
    ("inner", "build_peer"),
    [
        (Contrastive, peer.ContrastiveLoss),
        (Triplet, lambda: peer.TripletMarginLoss(margin=0.2)),
        (MultiSimilarity, peer.MultiSimilarityLoss),
    ],
)
def test_values_agree_with_cross_batch_memory_of_pytorch_metric_learning(inner, build_peer):
    """It has the batch in its memory, without a gradient: the same pairs, half their gradient."""
    ours = around(inner(), size=20)
    theirs = peer.CrossBatchMemory(build_peer(), embedding_size=D, memory_size=26).double()
    for step, (_, pairs) in enumerate(steps(7)):
        extended = ours.extend(pairs)
        actual = ours(extended, all_pairs(extended))
        expected = theirs(pairs.anchors, pairs.labels)
        if step >= 4:  # from here on both are full; the peer's memory holds the batch as well
            assert len(extended.references) == 26
            assert actual.item() == pytest.approx(expected.item(), rel=1e-6)


def test_what_is_remembered_has_no_gradient_and_does_not_change_under_a_graph():
    loss = around(size=6)
    (_, first), (raw, second), (_, third) = steps(3)
    loss.extend(first)
    extended = loss.extend(second)
    value = loss(extended, all_pairs(extended))
    loss.extend(third)  # overwrites what `extended` was made of
    value.backward()
    assert raw.grad.any()
    assert not loss.embeddings.requires_grad
    assert remembered(extended) == sorted(
        (*row, float(label))
        for row, label in zip(first.anchors.tolist(), first.labels.tolist(), strict=True)
    )


def test_an_item_meets_itself_of_this_step_once_and_is_no_positive_of_its_own():
    loss = around(size=20)
    for _, pairs in steps(4):
        extended = loss.extend(pairs)
        same = (extended.anchors[:, None] == extended.references).all(2)
        assert same.sum(1).tolist() == [1] * 6
        assert not (same & extended.positive).any()


def test_nothing_is_remembered_during_the_warm_up():
    loss = around(warmup_steps=3)
    sizes = [len(loss.extend(pairs).references) for _, pairs in steps(6)]
    assert sizes == [6, 6, 6, 6, 12, 18]


def test_evaluation_uses_the_memory_and_leaves_it_alone():
    loss = around(size=20)
    batches = [pairs for _, pairs in steps(4)]
    loss.extend(batches[0])
    loss.eval()
    before = {name: value.clone() for name, value in loss.state_dict().items()}
    for pairs in batches[1:]:
        assert len(loss.extend(pairs).references) == 12
    assert all(torch.equal(value, before[name]) for name, value in loss.state_dict().items())


def test_its_memory_loads_again():
    loss, other = around(size=10), around(size=10)
    batches = [pairs for _, pairs in steps(4)]
    for pairs in batches[:3]:
        loss.extend(pairs)
    other.load_state_dict(loss.state_dict())
    assert remembered(loss.extend(batches[3])) == remembered(other.extend(batches[3]))


class Stub(Loss):
    takes = "triplets"
    default_miner = "semi-hard"
    reducer = "none"
    normalize = False
    views = 2
    starts_epochs = True
    own_lr_multiple = 7.0
    own_weight_decay = 0.5

    def __init__(self) -> None:
        super().__init__()
        self.started = None

    def start_epoch(self, embeddings: Tensor, labels: Tensor) -> None:
        self.started = embeddings, labels

    def forward(self, pairs: Pairs, selection: None) -> Tensor:
        return pairs.similarity.sum()


def test_what_the_harness_asks_is_answered_as_the_inner_loss_does():
    loss = around(Stub())
    for name in ("takes", "default_miner", "reducer", "normalize", "views", "starts_epochs"):
        assert getattr(loss, name) == getattr(Stub, name)
    assert (loss.own_lr_multiple, loss.own_weight_decay) == (7.0, 0.5)
    assert XBM.takes == "pairs"
    assert (XBM.default_miner, XBM.trained_as) == ("all-pairs", "xbm/contrastive")
    loss.start_epoch(torch.ones(2, D), torch.arange(2))
    assert torch.equal(loss.loss.started[1], torch.arange(2))


def test_the_inner_losss_parameters_are_trained():
    assert [name for name, _ in around(Margin()).named_parameters()] == ["loss.beta"]


def test_embeddings_of_any_length_are_remembered_as_they_are():
    loss = around(Stub())
    raw = 3 * torch.randn(4, D, dtype=torch.float64)
    pairs = Pairs(raw, torch.arange(4), normalized=False)
    loss.extend(pairs)
    extended = loss.extend(pairs)
    assert not extended.normalized
    assert torch.equal(extended.references[4:], raw)


def test_a_loss_that_takes_labels_is_refused():
    with pytest.raises(ConfigError, match="ProxyAnchor takes labels alone"):
        around(ProxyAnchor(num_classes=3, embedding_dim=D))


def test_counters_changed_from_outside_count_at_once():
    """It reads them rarely, since a read waits for a GPU."""
    loss = around(size=20)
    batches = [pairs for _, pairs in steps(4)]
    for pairs in batches[:2]:
        loss.extend(pairs)
    loss.seen.zero_()
    assert len(loss.extend(batches[2]).references) == 6
    loss.seen = torch.tensor(12)
    assert len(loss.extend(batches[3]).references) == 18
    copied = deepcopy(loss)
    copied.seen.zero_()
    assert len(copied.extend(batches[0]).references) == 6
    assert len(loss.extend(batches[0]).references) == 24
