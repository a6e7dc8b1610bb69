"""Centre loss against its formula in plain loops, and how its centres move."""

import pytest
import torch
from support.loss_loops import LABELS, SIZES, Batch, C, check_on_labels, make_batch, mean, unit
from torch import Tensor

from dmlbench import Pairs
from dmlbench_losses.center import Center

CENTERS = torch.randn(
    C, SIZES["embedding_dim"], generator=torch.Generator().manual_seed(5), dtype=torch.float64
)


def somewhere(**settings: float) -> Center:
    loss = Center(**settings).double()
    loss.centers.copy_(CENTERS)
    return loss


def by_loops(loss: Center, batch: Batch, selection: None) -> Tensor:
    offsets = [batch.anchor(i) - CENTERS[y] for i, y in enumerate(LABELS.tolist())]
    return mean([offset.square().sum() / 2 for offset in offsets])


def test_value_and_gradient_agree_with_plain_loops_before_the_centers_move():
    check_on_labels(somewhere, by_loops)


@pytest.mark.parametrize("alpha", [0.5, 0.0, 1.0])
def test_centers_move_as_the_paper_says(alpha):
    loss = somewhere(**SIZES, alpha=alpha)
    pairs = make_batch("batch").pairs
    loss(pairs, None)
    for c in range(C):
        own = [pairs.anchors[i].detach() for i in range(len(LABELS)) if LABELS[i] == c]
        change = sum(CENTERS[c] - x for x in own) / (1 + len(own)) if own else 0 * CENTERS[c]
        torch.testing.assert_close(loss.centers[c], CENTERS[c] - alpha * change)


def test_centers_stay_in_evaluation():
    loss = somewhere(**SIZES).eval()
    loss(make_batch("batch").pairs, None)
    assert torch.equal(loss.centers, CENTERS)


def test_centers_end_at_the_means_of_their_classes():
    loss = Center(num_classes=2, embedding_dim=3)
    anchors = 5 + torch.randn(6, 3, generator=torch.Generator().manual_seed(1))
    pairs = Pairs(anchors, torch.tensor([0, 0, 0, 0, 1, 1]), normalized=False)
    for _ in range(100):
        value = loss(pairs, None)
    means = torch.stack([anchors[:4].mean(0), anchors[4:].mean(0)])
    torch.testing.assert_close(loss.centers, means)
    spread = (anchors - means[pairs.labels]).square().sum(1).mean() / 2
    assert value.item() == pytest.approx(spread.item(), rel=1e-4)


def test_the_centers_are_state_and_no_parameters():
    loss = Center(**SIZES)
    loss(make_batch("batch").pairs, None)
    other = Center(**SIZES)
    other.load_state_dict(loss.state_dict())
    assert not list(loss.parameters())
    assert torch.equal(other.centers, loss.centers)
    assert loss.centers.any()


def test_embeddings_of_another_precision_move_the_centers_too():
    loss = Center(**SIZES)
    raw, _ = unit(len(LABELS), SIZES["embedding_dim"], seed=1)
    assert loss(Pairs(raw, LABELS, normalized=False), None).dtype == torch.float64
    assert loss.centers.dtype == torch.float32
    assert loss.centers[0].any()
