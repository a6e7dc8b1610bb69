"""Values and gradients are those of pytorch-metric-learning, where it defines the same.

Where it means something else, a loss's own file shows the difference.
"""

from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from pytorch_metric_learning import distances, miners, regularizers
from pytorch_metric_learning import losses as peer
from support.loss_loops import assert_same, unit
from torch import Tensor, nn

from dmlbench import Loss, PairMask, Pairs, Selection, Triplets
from dmlbench.testing.stand_ins import all_pairs
from dmlbench_losses.angular import Angular
from dmlbench_losses.arcface import ArcFace
from dmlbench_losses.circle import Circle
from dmlbench_losses.contrastive import Contrastive
from dmlbench_losses.cosface import CosFace
from dmlbench_losses.easy_positive import EasyPositive
from dmlbench_losses.fastap import FastAP
from dmlbench_losses.histogram import Histogram
from dmlbench_losses.instance import Instance
from dmlbench_losses.intra_pair_variance import IntraPairVariance
from dmlbench_losses.lifted_structure import LiftedStructure
from dmlbench_losses.margin import Margin
from dmlbench_losses.multi_similarity import MultiSimilarity
from dmlbench_losses.n_pair import NPair
from dmlbench_losses.nca import NCA
from dmlbench_losses.normalized_softmax import NormalizedSoftmax
from dmlbench_losses.nt_xent import NTXent
from dmlbench_losses.pnp import PNP
from dmlbench_losses.proxy_anchor import ProxyAnchor
from dmlbench_losses.proxy_nca import ProxyNCA
from dmlbench_losses.proxy_nca_pp import ProxyNCAPlusPlus
from dmlbench_losses.ranked_list import RankedList
from dmlbench_losses.smooth_ap import SmoothAP
from dmlbench_losses.snr_contrastive import SNRContrastive
from dmlbench_losses.soft_triple import SoftTriple
from dmlbench_losses.sub_center_arcface import SubCenterArcFace
from dmlbench_losses.supcon import SupCon
from dmlbench_losses.threshold_consistent_margin import ThresholdConsistentMargin
from dmlbench_losses.triplet import Triplet
from dmlbench_losses.tuplet_margin import TupletMargin
from dmlbench_losses.vicreg import VICReg

Ours = Callable[[Pairs, Selection | None], Tensor]
Theirs = Callable[[Tensor, Tensor], Tensor]

CLASSES, DIMENSION = 8, 16
EVEN = torch.arange(40) % CLASSES
WITH_AN_ABSENT_CLASS = torch.arange(40) % (CLASSES - 1)
WITH_SINGLE_ITEMS = torch.cat([EVEN, torch.tensor([8, 9])])
LARGE_AND_SMALL = torch.tensor([0] * 7 + [1] * 5 + [2] * 3 + [3] * 2)
IN_TURN = torch.arange(16) // 4


class Peer(NamedTuple):
    """A loss, what it is to equal, and the embeddings ``[len(labels), dimension]`` for both."""

    ours: Ours
    theirs: Theirs
    labels: Tensor = EVEN
    dimension: int = DIMENSION
    length: float | None = None  # None: normalised
    select: Callable[[Pairs], Selection] = all_pairs
    tolerance: float = 1e-7


def with_weights(
    ours: Loss, theirs: nn.Module, name: str, arrange: Callable[[Tensor], Tensor]
) -> Peer:
    """Give the peer our proxies or class weights, arranged as it keeps them."""
    (weights,) = ours.double().parameters()
    theirs.double().get_parameter(name).data.copy_(arrange(weights.detach()))
    return Peer(ours, theirs, WITH_AN_ABSENT_CLASS)


SIZES = {"num_classes": CLASSES, "embedding_dim": DIMENSION}
THEIR_SIZES = {"num_classes": CLASSES, "embedding_size": DIMENSION}


def side_by_side(weights: Tensor) -> Tensor:
    """Arrange centres ``[K * C, D]`` or ``[K, C, D]`` so that those of a class are neighbours."""
    return weights.view(-1, CLASSES, DIMENSION).transpose(0, 1).flatten(0, 1).T


def softplus_of_each(loss: Loss) -> Ours:
    """Add the own proxy to each denominator, which the peer has and the paper has not."""

    def value(pairs: Pairs, selection: None) -> Tensor:
        items = zip(pairs.anchors.split(1), pairs.labels.split(1), strict=True)
        single = [loss(Pairs(anchor, label), None) for anchor, label in items]
        return torch.log1p(torch.stack(single).exp()).mean()

    return value


def itself_a_positive(pairs: Pairs) -> PairMask:
    itself = torch.eye(len(pairs), dtype=torch.bool)
    return PairMask(pairs.positive | itself, pairs.negative)


def with_itself_among_the_references(loss: Loss) -> Ours:
    def value(pairs: Pairs, selection: None) -> Tensor:
        nowhere = torch.full((len(pairs),), -1)
        own = Pairs(pairs.anchors, pairs.labels, pairs.anchors, pairs.labels, nowhere)
        return loss(own, all_pairs(own))

    return value


def first_of_each_class_against_the_second(pairs: Pairs) -> PairMask:
    """The N-pairs of the paper: one pair a class, whose first item is the anchor."""
    n_pairs = torch.zeros(len(pairs), len(pairs), dtype=torch.bool)
    n_pairs[::2, 1::2] = True
    return PairMask(pairs.positive & n_pairs, pairs.negative & n_pairs)


easy_positives = miners.BatchEasyHardMiner()


def easy_triplets(pairs: Pairs) -> Triplets:
    anchor, positive, _, negative = easy_positives(pairs.anchors, pairs.labels)
    return Triplets(anchor, positive, negative)


def nt_xent_of_easy_triplets(embeddings: Tensor, labels: Tensor) -> Tensor:
    mined = easy_positives(embeddings, labels)
    return peer.NTXentLoss(temperature=0.1)(embeddings, labels, mined)


def of_two_views(embeddings: Tensor, labels: Tensor) -> Tensor:
    first, second = embeddings.chunk(2)
    return peer.VICRegLoss()(first, ref_emb=second)


def in_double_precision(loss: nn.Module) -> Theirs:
    """Bring the value to double precision, which a sum over classes falls back from."""
    return lambda embeddings, labels: loss(embeddings, labels).double()


def equal_weights_of_the_ranked_list() -> nn.Module:
    loss = peer.RankedListLoss(margin=0.4, Tn=0)
    assert loss.alpha == pytest.approx(1.2)
    return loss


AGAINST_A_MEMORY_TOO = {
    "angular": Peer(Angular(alpha=40.0), peer.AngularLoss()),
    "circle": Peer(Circle(), peer.CircleLoss()),
    "contrastive": Peer(Contrastive(), peer.ContrastiveLoss()),
    "intra-pair-variance": Peer(IntraPairVariance(), peer.IntraPairVarianceLoss()),
    "lifted-structure": Peer(LiftedStructure(), peer.GeneralizedLiftedStructureLoss()),
    "margin": Peer(Margin().double(), peer.MarginLoss(learn_beta=True).double()),
    "multi-similarity": Peer(MultiSimilarity(), peer.MultiSimilarityLoss()),
    "nca": Peer(NCA(), peer.NCALoss(softmax_scale=9)),
    "nt-xent": Peer(NTXent(), peer.NTXentLoss()),
    "snr-contrastive": Peer(
        SNRContrastive(zero_mean_weight=0.0), peer.SignalToNoiseRatioContrastiveLoss()
    ),
    "supcon": Peer(SupCon(), peer.SupConLoss()),
    "triplet": Peer(Triplet(), peer.TripletMarginLoss(margin=0.2)),
    "tuplet-margin": Peer(TupletMargin(), peer.TupletMarginLoss()),
}


def peers() -> dict[str, Peer]:
    dot = distances.DotProductSimilarity(normalize_embeddings=False)
    any_length = distances.LpDistance(normalize_embeddings=False)
    proxy_nca = ProxyNCA(**SIZES)
    regularised = peer.SignalToNoiseRatioContrastiveLoss(
        embedding_regularizer=regularizers.ZeroMeanRegularizer(), embedding_reg_weight=0.138
    )
    return {
        **AGAINST_A_MEMORY_TOO,
        "angular, wide": Peer(Angular(alpha=55.0), peer.AngularLoss(alpha=55)),
        "arcface": with_weights(ArcFace(**SIZES), peer.ArcFaceLoss(**THEIR_SIZES), "W", torch.t),
        "circle, single items": Peer(Circle(), peer.CircleLoss(), WITH_SINGLE_ITEMS),
        "cosface": with_weights(CosFace(**SIZES), peer.CosFaceLoss(**THEIR_SIZES), "W", torch.t),
        "easy-positive": Peer(EasyPositive(), nt_xent_of_easy_triplets, select=easy_triplets),
        **{
            f"fastap, {bins} bins": Peer(
                FastAP(bins=bins),
                peer.FastAPLoss(num_bins=bins),
                torch.tensor([0] * 7 + [1] * 5 + [2] * 3 + [3]),
                dimension=6,
            )
            for bins in (2, 10, 25)
        },
        **{
            f"histogram, {bins} bins": Peer(
                Histogram(bins=bins),
                peer.HistogramLoss(n_bins=bins),
                LARGE_AND_SMALL,
                dimension=6,
                tolerance=1e-6,
            )
            for bins in (10, 100)
        },
        # It takes the number of a class for a place in the batch, so no class comes twice.
        "instance": Peer(Instance(scale=16), peer.InstanceLoss(gamma=16), torch.arange(12) + 7, 3),
        "lifted-structure, any length": Peer(
            LiftedStructure(), peer.GeneralizedLiftedStructureLoss(distance=any_length), length=1.0
        ),
        "n-pair, of the paper": Peer(
            NPair(length_weight=0.0),
            peer.NPairsLoss(distance=dot),
            torch.arange(8).repeat_interleave(2),
            dimension=6,
            length=1.0,
            select=first_of_each_class_against_the_second,
        ),
        "n-pair, of all pairs": Peer(
            NPair(length_weight=0.0), peer.NTXentLoss(temperature=1, distance=dot), length=1.0
        ),
        "nca, flat": Peer(NCA(scale=1.0), peer.NCALoss(softmax_scale=1)),
        "normalized-softmax": with_weights(
            NormalizedSoftmax(**SIZES), peer.NormalizedSoftmaxLoss(**THEIR_SIZES), "W", torch.t
        ),
        **{
            f"pnp, alpha {alpha:g}": Peer(
                PNP(alpha=alpha, temperature=temperature),
                peer.PNPLoss(variant="Dq", alpha=alpha, anneal=temperature),
                torch.arange(24) % 6,
                select=itself_a_positive,
            )
            for alpha, temperature in ((4.0, 0.01), (1.0, 0.1))
        },
        "proxy-anchor": with_weights(
            ProxyAnchor(**SIZES), peer.ProxyAnchorLoss(**THEIR_SIZES), "proxies", torch.clone
        ),
        "proxy-nca": with_weights(
            proxy_nca, peer.ProxyNCALoss(**THEIR_SIZES, softmax_scale=9), "proxies", torch.clone
        )._replace(ours=softplus_of_each(proxy_nca)),
        "proxy-nca-pp": with_weights(
            ProxyNCAPlusPlus(**SIZES),
            peer.ProxyNCALoss(**THEIR_SIZES, softmax_scale=9),
            "proxies",
            torch.clone,
        ),
        # It adds 1e-5 to its denominators for each pair.
        "ranked-list, equal weights": Peer(
            RankedList(temperature=0.0), equal_weights_of_the_ranked_list(), tolerance=1e-3
        ),
        "smooth-ap": Peer(
            with_itself_among_the_references(SmoothAP()),
            in_double_precision(peer.SmoothAPLoss()),
            IN_TURN,
            dimension=6,
            tolerance=1e-6,
        ),
        "snr-contrastive, regularised": Peer(SNRContrastive(zero_mean_weight=0.138), regularised),
        # It has no merging term of its own.
        "soft-triple": with_weights(
            SoftTriple(**SIZES, tau=0.0), peer.SoftTripleLoss(**THEIR_SIZES), "fc", side_by_side
        ),
        "sub-center-arcface": with_weights(
            SubCenterArcFace(**SIZES), peer.SubCenterArcFaceLoss(**THEIR_SIZES), "W", side_by_side
        ),
        "threshold-consistent-margin": Peer(
            ThresholdConsistentMargin(), peer.ThresholdConsistentMarginLoss(), dimension=4
        ),
        **{
            f"vicreg, length {length:g}": Peer(
                VICReg(), of_two_views, torch.arange(12).repeat(2), 7, length, tolerance=1e-9
            )
            for length in (0.1, 1.0, 4.0)
        },
    }


with torch.random.fork_rng():
    torch.manual_seed(4)
    PEERS = peers()


# The peer's histogram indexes with lists.
@pytest.mark.filterwarnings("ignore:Using a non-tuple sequence")
@pytest.mark.parametrize("name", PEERS)
def test_value_and_gradient_agree_with_pytorch_metric_learning(name):
    case = PEERS[name]
    raw, embeddings = unit(len(case.labels), case.dimension, seed=8)
    if case.length is not None:
        embeddings = case.length * raw
    pairs = Pairs(embeddings, case.labels, normalized=case.length is None)
    actual = case.ours(pairs, case.select(pairs))
    assert_same(actual, case.theirs(embeddings, case.labels), [raw], case.tolerance)


@pytest.mark.parametrize("name", AGAINST_A_MEMORY_TOO)
def test_against_a_memory_they_agree_with_pytorch_metric_learning(name):
    case = AGAINST_A_MEMORY_TOO[name]
    raw, embeddings = unit(16, DIMENSION, seed=8)
    memory_raw, memory = unit(40, DIMENSION, seed=9)
    labels, memory_labels = torch.arange(16) % 4, torch.arange(40) % 5
    pairs = Pairs(embeddings, labels, memory, memory_labels, torch.full((16,), -1))
    expected = case.theirs(embeddings, labels, ref_emb=memory, ref_labels=memory_labels)
    assert_same(case.ours(pairs, all_pairs(pairs)), expected, [raw, memory_raw], case.tolerance)
