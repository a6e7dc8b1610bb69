"""Values and gradients of the losses, against their formulas in plain loops."""

import math

import pytest
import torch
import torch.nn.functional as F
from support.loss_loops import (
    LABELS,
    REFERENCES,
    SELECTIONS,
    SIZES,
    Batch,
    C,
    D,
    assert_same,
    check_on_labels,
    check_on_pairs,
    cosine,
    make_batch,
    make_selection,
    mean,
    pairs_of,
    softmax_terms,
    triplets_of,
    unit,
)
from torch import Tensor

from dmlbench import PairMask, Pairs, Selection, Triplets
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


def contrastive(loss: Contrastive, batch: Batch, selection: Selection) -> Tensor:
    positives, negatives = pairs_of(selection)
    pull = [batch.d(a, p) - loss.pos_margin for a, row in enumerate(positives) for p in row]
    push = [loss.neg_margin - batch.d(a, n) for a, row in enumerate(negatives) for n in row]
    return mean([v for v in pull if v > 0]) + mean([v for v in push if v > 0])


def triplet(loss: Triplet, batch: Batch, selection: Selection) -> Tensor:
    terms = [batch.d(a, p) - batch.d(a, n) + loss.margin for a, p, n in triplets_of(selection)]
    return mean([v for v in terms if v > 0])


def margin(loss: Margin, batch: Batch, selection: Selection) -> Tensor:
    terms = []
    for a, p, n in triplets_of(selection):
        terms.append(batch.d(a, p) - loss.beta + loss.margin)
        terms.append(loss.beta - batch.d(a, n) + loss.margin)
    return mean([v for v in terms if v > 0])


def multi_similarity(loss: MultiSimilarity, batch: Batch, selection: Selection) -> Tensor:
    terms = []
    for a, (positives, negatives) in enumerate(zip(*pairs_of(selection), strict=True)):
        pull = sum(torch.exp(-loss.alpha * (batch.s(a, p) - loss.base)) for p in positives)
        push = sum(torch.exp(loss.beta * (batch.s(a, n) - loss.base)) for n in negatives)
        for total, sharpness in ((pull, loss.alpha), (push, loss.beta)):
            if total != 0:
                terms.append(torch.log(1 + total) / sharpness)
    return sum(terms) / len(LABELS)


def nt_xent(loss: NTXent, batch: Batch, selection: Selection) -> Tensor:
    terms = []
    for a, (positives, negatives) in enumerate(zip(*pairs_of(selection), strict=True)):
        against = sum(torch.exp(batch.s(a, n) / loss.temperature) for n in negatives)
        for p in positives:
            own = torch.exp(batch.s(a, p) / loss.temperature)
            terms.append(-torch.log(own / (own + against)))
    return mean(terms)


def supcon(loss: SupCon, batch: Batch, selection: Selection) -> Tensor:
    terms = []
    for a, (positives, negatives) in enumerate(zip(*pairs_of(selection), strict=True)):
        others = [torch.exp(batch.s(a, k) / loss.temperature) for k in positives + negatives]
        log_shares = [
            torch.log(torch.exp(batch.s(a, p) / loss.temperature) / sum(others)) for p in positives
        ]
        if positives:
            terms.append(-sum(log_shares) / len(positives))
    return mean(terms)


def normalized_softmax(loss: NormalizedSoftmax, batch: Batch, selection: None) -> Tensor:
    return softmax_terms(
        batch, lambda i, c: cosine(batch.anchor(i), loss.weight[c]) / loss.temperature
    )


def arcface(loss: ArcFace, batch: Batch, selection: None) -> Tensor:
    def logit(i: int, c: int) -> Tensor:
        value = cosine(batch.anchor(i), loss.weight[c])
        if c == LABELS[i]:
            m = loss.margin * math.pi / 180
            angle = torch.acos(value)
            value = torch.cos(angle + m) if angle + m <= math.pi else value - m * math.sin(m)
        return loss.scale * value

    return softmax_terms(batch, logit)


def proxy_nca(loss: ProxyNCA, batch: Batch, selection: None) -> Tensor:
    def similarity(i: int, c: int) -> Tensor:
        proxy = loss.proxies[c] / loss.proxies[c].square().sum().sqrt()
        return torch.exp(-(loss.scale * (batch.anchor(i) - proxy)).square().sum())

    return mean(
        [
            -torch.log(similarity(i, y) / sum(similarity(i, c) for c in range(C) if c != y))
            for i, y in enumerate(LABELS.tolist())
        ]
    )


def proxy_anchor(loss: ProxyAnchor, batch: Batch, selection: None) -> Tensor:
    pull, push = [], []
    for c in range(C):
        own, rest = [], []
        for i, label in enumerate(LABELS.tolist()):
            s = cosine(batch.anchor(i), loss.proxies[c])
            if label == c:
                own.append(torch.exp(-loss.alpha * (s - loss.delta)))
            else:
                rest.append(torch.exp(loss.alpha * (s + loss.delta)))
        if own:
            pull.append(torch.log(1 + sum(own)))
        push.append(torch.log(1 + sum(rest)))
    return mean(pull) + mean(push)


ON_PAIRS = {
    "contrastive": (Contrastive, contrastive),
    "contrastive, wide": (lambda: Contrastive(pos_margin=0.8, neg_margin=1.5), contrastive),
    "triplet": (Triplet, triplet),
    "triplet, no margin": (lambda: Triplet(margin=0.0), triplet),
    "margin": (Margin, margin),
    "margin, smaller beta": (lambda: Margin(beta=0.9, margin=0.1), margin),
    "multi-similarity": (MultiSimilarity, multi_similarity),
    "multi-similarity, base 1": (lambda: MultiSimilarity(alpha=9, base=1), multi_similarity),
    "nt-xent": (NTXent, nt_xent),
    "nt-xent, warm": (lambda: NTXent(temperature=0.5), nt_xent),
    "supcon": (SupCon, supcon),
    "supcon, cold": (lambda: SupCon(temperature=0.02), supcon),
}
ON_LABELS = {
    "normalized-softmax": (NormalizedSoftmax, normalized_softmax),
    "arcface": (ArcFace, arcface),
    "arcface, beyond 180 degrees": (lambda **s: ArcFace(margin=80, scale=8, **s), arcface),
    "proxy-nca": (ProxyNCA, proxy_nca),
    "proxy-nca, length 1": (lambda **s: ProxyNCA(scale=1, **s), proxy_nca),
    "proxy-anchor": (ProxyAnchor, proxy_anchor),
}


@pytest.mark.parametrize("references", REFERENCES)
@pytest.mark.parametrize("chosen", SELECTIONS)
@pytest.mark.parametrize("case", ON_PAIRS)
def test_pair_and_triplet_losses_agree_with_plain_loops(case, chosen, references):
    build, by_loops = ON_PAIRS[case]
    check_on_pairs(build(), by_loops, chosen, references)


@pytest.mark.parametrize("case", ON_LABELS)
def test_proxy_and_classification_losses_agree_with_plain_loops(case):
    check_on_labels(*ON_LABELS[case])


def test_arcface_case_beyond_180_degrees_really_goes_beyond():
    torch.manual_seed(4)
    loss = ArcFace(**SIZES).double()
    cosines = make_batch("batch").pairs.anchors @ F.normalize(loss.weight).T
    angles = cosines.gather(1, LABELS[:, None]).acos().rad2deg()
    assert (angles > 180 - 80).any()
    assert (angles < 180 - 80).any()


def test_arcface_falls_steadily_from_180_degrees_to_0():
    loss = ArcFace(num_classes=2, embedding_dim=3).double()
    with torch.no_grad():
        loss.weight.copy_(torch.tensor([[1.0, 0, 0], [0, 0, 1]]))
    angles = torch.linspace(math.pi, 0, 400, dtype=torch.float64)
    anchors = torch.stack([angles.cos(), angles.sin(), 0 * angles], dim=1)
    values = torch.stack([loss(Pairs(a[None], torch.tensor([0])), None) for a in anchors])
    assert (values.diff() < 0).sum() > 250
    assert (values.diff() <= 1e-12).all()


@pytest.mark.parametrize("kind", [Triplet, Margin])
def test_a_pair_mask_means_all_triplets_that_it_spans(kind):
    batch = make_batch("memory and batch")
    mask = make_selection("some pairs", batch.pairs)
    listed = Triplets(*torch.tensor(triplets_of(mask)).T)
    loss = kind().double()
    leaves = [*batch.raw, *loss.parameters()]
    assert_same(loss(batch.pairs, mask), loss(batch.pairs, listed), leaves, tolerance=1e-12)


@pytest.mark.parametrize("kind", [Triplet, Margin])
def test_a_triplet_drawn_twice_counts_twice(kind):
    pairs = make_batch("batch").pairs
    triplets = [(0, 1, 3), (3, 4, 0), (5, 6, 7)]
    tripled = Triplets(*torch.tensor([triplets[0]] * 3 + triplets[1:]).T)
    single = [kind(margin=1.0)(pairs, Triplets(*torch.tensor([t]).T)).item() for t in triplets]
    # At this margin every term is above 0, so each triplet has the same weight.
    expected = (3 * single[0] + single[1] + single[2]) / 5
    assert kind(margin=1.0)(pairs, tripled).item() == pytest.approx(expected)


def test_triplet_on_unnormalised_embeddings_agrees_with_plain_loops():
    raw, _ = unit(len(LABELS), D, seed=1)
    batch = Batch(Pairs(raw, LABELS, normalized=False), [raw])
    selection = make_selection("all", batch.pairs)
    loss = Triplet()
    assert_same(
        loss(batch.pairs, selection), triplet(loss, batch, selection), [raw], tolerance=1e-9
    )


@pytest.mark.parametrize("case", ON_PAIRS)
def test_single_precision_is_enough(case):
    build, _ = ON_PAIRS[case]
    labels = torch.arange(96) % 12
    raw, _ = unit(96, 32, seed=7)
    results = []
    for dtype in (torch.float32, torch.float64):
        vectors = raw.detach().to(dtype).requires_grad_()
        pairs = Pairs(F.normalize(vectors), labels)
        value = build().to(dtype)(pairs, PairMask(pairs.positive, pairs.negative))
        assert value.dtype == dtype
        results.append((value.double(), torch.autograd.grad(value, vectors)[0].double()))
    (value, gradient), (exact_value, exact_gradient) = results
    assert value.item() == pytest.approx(exact_value.item(), rel=1e-5)
    assert (gradient - exact_gradient).norm() < 1e-4 * exact_gradient.norm()
