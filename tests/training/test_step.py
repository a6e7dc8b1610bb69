"""One step: what a loss is given, and in which precision everything computes."""

from contextlib import contextmanager

import numpy as np
import pytest
import torch
from support.small_training import CPU, VECTORS, Noting, Sum, Uniform, protocol
from torch import Tensor, nn

from dmlbench import Loss, Miner, PairMask, Pairs, TrialError
from dmlbench.data.items import Items
from dmlbench.training import embedder, passes
from dmlbench.training.embedder import Embedder, embed
from dmlbench.training.loop import Recipe, train
from dmlbench.training.objective import Objective, Summand
from dmlbench_backbones.linear import Linear


class Fixed(Loss):
    """Returns what it was made with."""

    takes = "labels"

    def __init__(self, value: object) -> None:
        super().__init__()
        self.value = value

    def forward(self, pairs, selection):
        return self.value


@pytest.mark.parametrize(
    "value",
    [
        None,
        0.5,
        torch.ones(3, requires_grad=True),
        torch.ones(1, requires_grad=True),
        torch.tensor(1.0),
        (torch.tensor(1.0, requires_grad=True),),
    ],
    ids=["nothing", "number", "vector", "one in a list", "no gradient", "tuple"],
)
def test_a_loss_must_return_a_scalar_with_a_gradient(value):
    with pytest.raises(TrialError, match="Fixed returned no scalar with a gradient"):
        Objective([Summand(Fixed(value))])(torch.eye(2), torch.tensor([0, 1]))


class Chooser(Miner):
    makes = "pairs"

    def select(self, pairs: Pairs) -> PairMask:
        self.pairs = pairs
        self.with_gradient = torch.is_grad_enabled()
        return PairMask(pairs.positive, pairs.negative)


class Remembering(Loss):
    """A loss that compares with a memory."""

    takes = "pairs"
    default_miner = "all-pairs"

    def extend(self, pairs: Pairs) -> Pairs:
        return Pairs(
            pairs.anchors,
            pairs.labels,
            torch.cat([pairs.anchors, torch.ones(3, 2)]),
            torch.cat([pairs.labels, torch.tensor([8, 8, 8])]),
            torch.arange(len(pairs)),
        )

    def forward(self, pairs: Pairs, selection: object) -> Tensor:
        self.pairs, self.selection = pairs, selection
        return pairs.similarity.sum()


def test_the_miner_sees_the_pairs_of_the_loss_without_gradient():
    loss, miner = Remembering(), Chooser()
    raw = torch.tensor([[3.0, 4.0], [0.0, 2.0]], requires_grad=True)
    Objective([Summand(loss, miner=miner)])(raw, torch.tensor([0, 1])).backward()
    assert miner.pairs is loss.pairs
    assert not miner.with_gradient
    assert loss.pairs.similarity.shape == (2, 5)
    assert loss.selection.negative.shape == (2, 5)
    assert raw.grad.abs().sum() > 0


@pytest.mark.parametrize("normalize", [True, False])
def test_embeddings_have_length_one_unless_the_loss_says_otherwise(normalize):
    loss = Noting()
    loss.normalize = normalize
    raw = torch.tensor([[3.0, 4.0], [0.0, 2.0]], requires_grad=True)
    Objective([Summand(loss)])(raw, torch.tensor([0, 1]))
    (pairs,) = loss.given
    assert pairs.normalized == normalize
    expected = [[0.6, 0.8], [0.0, 1.0]] if normalize else raw.tolist()
    assert pairs.anchors.tolist() == [pytest.approx(row) for row in expected]


# Precision

PRECISIONS = ("float32", "tf32", "bfloat16", "float16")


class Probe(torch.autograd.Function):
    """Passes on what it is given, and notes its type and what holds around it, both ways."""

    @staticmethod
    def forward(ctx, given, name, around, noted):
        ctx.name, ctx.around, ctx.noted = name, around, noted
        noted[name, "forward"] = (given.dtype, *around)
        return given.clone()

    @staticmethod
    def backward(ctx, gradient):
        ctx.noted[ctx.name, "backward"] = (gradient.dtype, *ctx.around)
        return gradient, None, None, None


class Probed(nn.Module):
    """A linear layer whose outputs are probed."""

    def __init__(self, inner: nn.Module, *probe: object) -> None:
        super().__init__()
        self.inner, self.probe = inner, probe

    def forward(self, inputs: Tensor) -> Tensor:
        return Probe.apply(self.inner(inputs), *self.probe)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_backbone_alone_computes_in_the_precision_of_the_protocol(precision, monkeypatch):
    around, noted = [], {}

    def noting(name, make):
        @contextmanager
        def within(*given):
            around.append(name)
            with make(*given):
                yield
            around.remove(name)

        return within

    monkeypatch.setattr(embedder, "forward_in", noting("forward", embedder.forward_in))
    monkeypatch.setattr(passes, "backward_in", noting("backward", passes.backward_in))

    class Loud(Sum):
        def forward(self, pairs: Pairs, selection: object) -> Tensor:
            return Probe.apply(super().forward(pairs, selection), "loss", around, noted)

    model = Embedder(Linear(), VECTORS, 4, precision=precision)
    model.backbone = Probed(nn.Linear(3, 3), "backbone", around, noted)
    model.head = Probed(nn.Linear(3, 4), "head", around, noted)
    recipe = Recipe(Objective([Summand(Loud())]), Uniform(), protocol(precision=precision), 0)
    list(train(model, recipe, VECTORS, CPU))
    half = {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(precision, torch.float32)
    assert noted == {
        ("backbone", "forward"): (half, "forward"),
        ("backbone", "backward"): (half, "backward"),
        ("head", "forward"): (torch.float32,),
        ("head", "backward"): (torch.float32,),
        ("loss", "forward"): (torch.float32,),
        ("loss", "backward"): (torch.float32,),
    }
    noted.clear()
    assert embed(model, VECTORS, CPU).dtype == torch.float32
    assert noted["backbone", "forward"] == (half, "forward")
    assert noted["head", "forward"] == (torch.float32,)


def trained(precision: str, loss: Loss, inputs: np.ndarray, **changes: object):
    """Return one weight that meets `inputs` in `precision`, and its training."""

    class Product(nn.Module):
        num_features = 2

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.tensor(1.0))

        def forward(self, given: Tensor) -> Tensor:
            return nn.functional.linear(given, self.weight.expand(2, 3))

    items = Items(inputs, VECTORS.labels)
    model = Embedder(Linear(), items, 2, precision=precision)
    model.backbone, model.head = Product(), nn.Identity()
    usual = {"optimiser__name": "sgd", "optimiser__momentum": 0, "optimiser__weight_decay": 0}
    usual |= {"optimiser__warmup_steps": 0, "precision": precision, "length__epochs": 2}
    recipe = Recipe(Objective([Summand(loss)]), Uniform(), protocol(**(usual | changes)), 0)
    *_, training = train(model, recipe, items, CPU)
    return model.backbone.weight, training


def test_tf32_is_float32_on_a_cpu():
    ends = [trained(name, Sum(), VECTORS.inputs)[0].item() for name in ("float32", "tf32")]
    assert ends[0] == ends[1] != 1


class Steep(Sum):
    def forward(self, pairs: Pairs, selection: object) -> Tensor:
        return 1000 * super().forward(pairs, selection)


def test_steps_that_overflow_in_float16_are_skipped_and_counted():
    # Scaled by 65,536, the gradient of the product is 8 items x 65,536 x 1000 / 16. float16 ends
    # at 65,504, so the scale is halved nine times.
    changes = {"length__steps_per_epoch": 6, "optimiser__lr": 1e-5, "optimiser__schedule": "cosine"}
    ones = np.ones((24, 3), dtype=np.float32)
    weight, training = trained("float16", Steep(), ones, **changes)
    assert training.skipped_steps == 9
    rates = [1e-5 * (1 + np.cos(np.pi * step / 12)) / 2 for step in range(9, 12)]
    assert weight.item() == pytest.approx(1 - 3 * 1000 * sum(rates), abs=1e-6)


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_gradients_are_cut_as_they_are_not_as_they_are_scaled(precision):
    changes = {"optimiser__clip_norm": 0.5, "optimiser__lr": 0.1, "length__epochs": 1}
    changes |= {"optimiser__schedule": "constant", "length__steps_per_epoch": 4}
    ones = np.ones((24, 3), dtype=np.float32)  # the gradient is 3, and scaled it overflows once
    weight, training = trained(precision, Sum(), ones, **changes)
    taken = 4 - training.skipped_steps
    assert taken > 0
    assert weight.item() == pytest.approx(1 - taken * 0.1 * 0.5, abs=1e-5)


def test_gradients_that_overflow_at_any_scale_are_an_error():
    class Vertical(Sum):
        def forward(self, pairs: Pairs, selection: object) -> Tensor:
            return (0 * super().forward(pairs, selection)).sqrt()

    with pytest.raises(TrialError, match=r"overflow in float16 at any scale: 20 steps .*bfloat16"):
        trained("float16", Vertical(), VECTORS.inputs, length__steps_per_epoch=20)
