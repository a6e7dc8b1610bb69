"""Values and gradients of the losses, against pytorch-metric-learning where it defines the same."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from pytorch_metric_learning import losses as peer
from torch import Tensor

from dmlbench import Loss, PairMask, Pairs
from dmlbench_losses.arcface import ArcFace
from dmlbench_losses.contrastive import Contrastive
from dmlbench_losses.margin import Margin
from dmlbench_losses.multi_similarity import MultiSimilarity
from dmlbench_losses.normalized_softmax import NormalizedSoftmax
from dmlbench_losses.nt_xent import NTXent
from dmlbench_losses.proxy_anchor import ProxyAnchor
from dmlbench_losses.proxy_nca import ProxyNCA
from dmlbench_losses.supcon import SupCon
from dmlbench_losses.triplet import Triplet


def unit(count: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    raw = torch.randn(count, 16, generator=generator, dtype=torch.float64).requires_grad_()
    return raw, F.normalize(raw)


def assert_same(actual: Tensor, expected: Tensor, leaves: list[Tensor]) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-7, atol=1e-7)
    got = torch.autograd.grad(actual, leaves, retain_graph=True)
    wanted = torch.autograd.grad(expected, leaves, retain_graph=True)
    for one, other in zip(got, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-7)
        assert other.abs().max() > 1e-4


PEERS: dict[str, tuple[Callable[[], Loss], Callable[[], torch.nn.Module]]] = {
    "contrastive": (Contrastive, peer.ContrastiveLoss),
    "triplet": (Triplet, lambda: peer.TripletMarginLoss(margin=0.2)),
    "margin": (Margin, lambda: peer.MarginLoss(learn_beta=True)),
    "multi-similarity": (MultiSimilarity, peer.MultiSimilarityLoss),
    "nt-xent": (NTXent, peer.NTXentLoss),
    "supcon": (SupCon, peer.SupConLoss),
}
PEERS_WITH_PROXIES = {
    "normalized-softmax": (NormalizedSoftmax, peer.NormalizedSoftmaxLoss, "W"),
    "arcface": (ArcFace, peer.ArcFaceLoss, "W"),
    "proxy-anchor": (ProxyAnchor, peer.ProxyAnchorLoss, "proxies"),
}


@pytest.mark.parametrize("name", PEERS)
def test_pair_and_triplet_losses_agree_with_pytorch_metric_learning(name):
    ours, theirs = (build() for build in PEERS[name])
    labels = torch.arange(40) % 8
    raw, embeddings = unit(40, seed=8)
    pairs = Pairs(embeddings, labels)
    actual = ours.double()(pairs, PairMask(pairs.positive, pairs.negative))
    assert_same(actual, theirs.double()(embeddings, labels), [raw])


@pytest.mark.parametrize("name", PEERS)
def test_losses_against_a_memory_agree_with_pytorch_metric_learning(name):
    ours, theirs = (build() for build in PEERS[name])
    labels, memory_labels = torch.arange(16) % 4, torch.arange(40) % 5
    raw, embeddings = unit(16, seed=8)
    memory_raw, memory = unit(40, seed=9)
    pairs = Pairs(embeddings, labels, memory, memory_labels, torch.full((16,), -1))
    actual = ours.double()(pairs, PairMask(pairs.positive, pairs.negative))
    expected = theirs.double()(embeddings, labels, ref_emb=memory, ref_labels=memory_labels)
    assert_same(actual, expected, [raw, memory_raw])


@pytest.mark.parametrize("name", PEERS_WITH_PROXIES)
def test_classification_losses_agree_with_pytorch_metric_learning(name):
    build, build_peer, attribute = PEERS_WITH_PROXIES[name]
    ours = build(num_classes=8, embedding_dim=16).double()
    theirs = build_peer(num_classes=8, embedding_size=16).double()
    weights = next(ours.parameters()).detach()
    getattr(theirs, attribute).data.copy_(weights.T if attribute == "W" else weights)
    labels = torch.arange(40) % 7
    raw, embeddings = unit(40, seed=8)
    actual = ours(Pairs(embeddings, labels), None)
    assert_same(actual, theirs(embeddings, labels), [raw])


def test_proxy_nca_of_pytorch_metric_learning_is_the_softplus_of_ours():
    """It has the own proxy in the denominator, the paper has not."""
    ours = ProxyNCA(num_classes=8, embedding_dim=16).double()
    theirs = peer.ProxyNCALoss(8, 16, softmax_scale=9).double()
    theirs.proxies.data.copy_(ours.proxies.detach())
    labels = torch.arange(12) % 8
    raw, embeddings = unit(12, seed=8)
    single = [ours(Pairs(embeddings[i : i + 1], labels[i : i + 1]), None) for i in range(12)]
    actual = torch.log1p(torch.stack(single).exp()).mean()
    assert_same(actual, theirs(embeddings, labels), [raw])
