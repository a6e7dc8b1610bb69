"""One network, one loss: each step against plain arithmetic."""

import math
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dmlbench import Loss, Miner, PairMask, Pairs, Sampler, TrialError
from dmlbench.data.items import Items
from dmlbench.schemas.protocol import Protocol
from dmlbench.schemas.protocol_file import load_protocol
from dmlbench.schemas.shipped_protocols import protocol_names
from dmlbench.training.embedder import Embedder
from dmlbench.training.loop import Recipe, train
from dmlbench.training.objective import Objective, Summand
from dmlbench_backbones.linear import Linear
from dmlbench_backbones.small_conv import SmallConv
from dmlbench_backbones.timm_models import TimmModel
from dmlbench_samplers.shuffled import Shuffled

CPU = torch.device("cpu")
LABELS = np.repeat([7, 3, 9, 5], 6)
ITEMS = Items(np.random.default_rng(0).integers(256, size=(24, 1, 8, 8)).astype(np.uint8), LABELS)
VECTORS = Items(np.random.default_rng(0).random((24, 3), dtype=np.float32), LABELS)


def protocol(**changes: object) -> Protocol:
    """Return a protocol of 2 epochs of 3 steps, changed: ``optimiser__lr=1``."""
    usual = {"length__epochs": 2, "length__steps_per_epoch": 3, "batch_size": 8}
    changed = load_protocol("small")
    for key, value in (usual | changes).items():
        changed = changed.change(key.replace("__", "."), str(value))
    return changed


class Uniform(Sampler):
    def batches(self, labels, *, batch_size, steps, rng):
        for _ in range(steps):
            yield rng.choice(len(labels), batch_size)


class Sum(Loss):
    """The gradient of every weight is 1 at each step."""

    takes = "labels"
    normalize = False

    def forward(self, pairs: Pairs, selection: object) -> Tensor:
        return pairs.anchors.mean()


class OwnWeight(Sum):
    own_lr_multiple = 50.0
    own_weight_decay = 0.25

    def __init__(self) -> None:
        super().__init__()
        self.own = nn.Parameter(torch.tensor(2.0))

    def forward(self, pairs: Pairs, selection: object) -> Tensor:
        return super().forward(pairs, selection) + self.own


class Noting(Sum):
    """Keeps what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[Pairs] = []

    def forward(self, pairs: Pairs, selection: object) -> Tensor:
        self.given.append(pairs)
        return super().forward(pairs, selection)


class OneWeight(nn.Module):
    """A network whose embeddings are its only weight, and which keeps its inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(1.0))
        self.inputs: list[Tensor] = []

    def forward(self, inputs: Tensor) -> Tensor:
        self.inputs.append(inputs.clone())
        return self.weight.expand(len(inputs), 2)


def fit(loss: Loss, seed: int = 0, items: Items = ITEMS, sampler=None, **changes):
    """Train a network of one weight; return it and the mean loss of each epoch."""
    model = OneWeight()
    recipe = Recipe(Objective([Summand(loss)]), sampler or Uniform(), protocol(**changes), seed)
    return model, list(train(model, recipe, items, CPU))


# A step


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


# What every loss is given alike


def test_every_loss_gets_the_same_images_at_the_same_seed():
    plain, _ = fit(Sum(), seed=3)
    torch.manual_seed(1)
    other, _ = fit(OwnWeight(), seed=3)
    assert len(plain.inputs) == 6
    assert all(map(torch.equal, plain.inputs, other.inputs))
    elsewhere, _ = fit(Sum(), seed=4)
    assert not any(map(torch.equal, plain.inputs, elsewhere.inputs))


def test_epochs_differ_and_images_are_augmented_anew():
    model, _ = fit(Sum(), augmentation__shift=0.25, augmentation__flip=True)
    assert len({inputs.numpy().tobytes() for inputs in model.inputs}) == 6


def test_two_views_are_two_augmentations_of_the_same_images():
    loss = Noting()
    loss.views = 2
    plain, _ = fit(Sum(), augmentation__shift=0)
    model, _ = fit(loss, augmentation__shift=0)
    for inputs, once, pairs in zip(model.inputs, plain.inputs, loss.given, strict=True):
        assert torch.equal(inputs[:8], once)
        assert torch.equal(inputs[8:], once)
        assert torch.equal(pairs.labels[:8], pairs.labels[8:])
    changed, _ = fit(loss, augmentation__shift=0.25)
    assert not torch.equal(changed.inputs[0][:8], changed.inputs[0][8:])


def test_labels_are_renumbered_for_losses_with_a_proxy_a_class():
    loss = Noting()
    model, _ = fit(loss, augmentation__shift=0)
    order = {3: 0, 5: 1, 7: 2, 9: 3}
    by_image = {
        image.tobytes(): order[label] for image, label in zip(ITEMS.inputs, LABELS, strict=True)
    }
    for inputs, pairs in zip(model.inputs, loss.given, strict=True):
        assert pairs.labels.tolist() == [by_image[image.tobytes()] for image in inputs.numpy()]


def test_vectors_reach_the_network_as_they_are():
    model, _ = fit(Sum(), items=VECTORS)
    rows = {row.tobytes() for row in VECTORS.inputs}
    assert all(row.tobytes() in rows for inputs in model.inputs for row in inputs.numpy())


def test_a_loss_computes_in_single_precision_whatever_the_network_does():
    class Wide(OneWeight):
        def forward(self, inputs: Tensor) -> Tensor:
            made = nn.functional.linear(inputs, self.weight.expand(2, 3))
            self.inputs.append(made)
            return made

    model, loss = Wide(), Noting()
    recipe = Recipe(Objective([Summand(loss)]), Uniform(), protocol(precision="bfloat16"), 0)
    list(train(model, recipe, VECTORS, CPU))
    assert {made.dtype for made in model.inputs} == {torch.bfloat16}
    assert {pairs.anchors.dtype for pairs in loss.given} == {torch.float32}


# The optimiser, against plain arithmetic


class Two(nn.Module):
    """A network with a backbone that has batch norm, and a head; a weight of it never learns."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.backbone = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
        self.backbone[0].bias.requires_grad_(False)
        self.head = nn.Linear(4, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.backbone(inputs))


def fit_two(loss: Loss, **changes):
    """Yield the state of a network of two parts before and after each epoch on vectors."""
    model = Two()
    recipe = Recipe(Objective([Summand(loss)]), Uniform(), protocol(**changes), 0)
    yield {name: value.clone() for name, value in model.state_dict().items()}
    for _ in train(model, recipe, VECTORS, CPU):
        yield {name: value.clone() for name, value in model.state_dict().items()}


def test_the_head_learns_alone_in_the_epochs_that_are_its_own():
    loss = OwnWeight()
    changes = {"length__epochs": 3, "optimiser__head_only_epochs": 2}
    states = []
    own = [loss.own.item()]
    for state in fit_two(loss, **changes):
        states.append(state)
        own.append(loss.own.item())
    assert len(set(own[1:])) == 4
    for before, after, alone in zip(states, states[1:], (True, True, False), strict=False):
        for name in before:
            learns = name.startswith("head") or not alone
            learns &= name != "backbone.0.bias"  # never did
            assert torch.equal(before[name], after[name]) != learns, name


def test_the_head_may_learn_faster():
    changes = {"optimiser__name": "sgd", "optimiser__schedule": "constant"}
    changes |= {"optimiser__warmup_steps": 0, "optimiser__momentum": 0, "length__epochs": 1}
    changes |= {"length__steps_per_epoch": 1, "optimiser__lr": 1e-2, "optimiser__weight_decay": 0}
    moves = []
    for multiple in (1, 10):
        before, after = fit_two(Sum(), optimiser__head_lr_multiple=multiple, **changes)
        moves.append({name: after[name] - before[name] for name in before})
    for name, move in moves[0].items():
        factor = 10 if name.startswith("head") else 1
        assert torch.allclose(moves[1][name], factor * move, atol=1e-6), name


def rates(lr: float, schedule: str, warmup: int, total: int = 6) -> list[float]:
    found = []
    for step in range(total):
        rate = lr * min(1, (step + 1) / (warmup + 1))
        found.append(
            rate * (1 + math.cos(math.pi * step / total)) / 2 if schedule == "cosine" else rate
        )
    return found


def descend(
    start: float, gradient: float, decay: float, rates: list[float], momentum: float = 0.9
) -> float:
    """Return where gradient descent with momentum ends."""
    value, velocity = start, 0.0
    for rate in rates:
        velocity = momentum * velocity + gradient + decay * value
        value -= rate * velocity
    return value


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
@pytest.mark.parametrize("warmup", [0, 4])
def test_the_learning_rate_grows_and_falls_as_the_protocol_says(schedule, warmup):
    changes = {"optimiser__name": "sgd", "optimiser__lr": 0.1, "optimiser__weight_decay": 0.5}
    changes |= {"optimiser__schedule": schedule, "optimiser__warmup_steps": warmup}
    loss = OwnWeight()
    model, _ = fit(loss, **changes)
    steps = rates(0.1, schedule, warmup)
    assert model.weight.item() == pytest.approx(descend(1.0, 1.0, 0.5, steps), rel=1e-5)
    own = descend(2.0, 1.0, 0.25, [50 * rate for rate in steps])
    assert loss.own.item() == pytest.approx(own, rel=1e-4)


@pytest.mark.parametrize(("name", "decoupled"), [("adam", False), ("adamw", True)])
def test_adaptive_optimisers_take_steps_of_the_learning_rate(name, decoupled):
    changes = {"optimiser__name": name, "optimiser__lr": 0.01, "optimiser__weight_decay": 0.5}
    changes |= {"optimiser__schedule": "constant", "optimiser__warmup_steps": 0}
    model, _ = fit(Sum(), **changes)
    value = 1.0
    for _ in range(6):  # a constant gradient makes each step one learning rate
        value = value * (1 - 0.01 * 0.5 * decoupled) - 0.01
    assert model.weight.item() == pytest.approx(value, abs=1e-4)


def test_long_gradients_of_the_network_are_cut():
    class Steep(OwnWeight):
        def forward(self, pairs: Pairs, selection: object) -> Tensor:
            return 1000 * super().forward(pairs, selection)

    changes = {"optimiser__name": "sgd", "optimiser__lr": 0.1, "optimiser__weight_decay": 0}
    changes |= {"optimiser__schedule": "constant", "optimiser__warmup_steps": 0}
    model, _ = fit(Steep(), optimiser__clip_norm=2, **changes)
    assert model.weight.item() == pytest.approx(descend(1.0, 2.0, 0.0, [0.1] * 6), rel=1e-4)


def test_the_rate_falls_by_a_factor_every_few_epochs():
    changes = {"optimiser__name": "sgd", "optimiser__lr": 0.1, "optimiser__weight_decay": 0.5}
    changes |= {"optimiser__step_epochs": 2, "optimiser__step_factor": 0.5}
    changes |= {"optimiser__schedule": "step", "optimiser__warmup_steps": 0}
    changes |= {"optimiser__momentum": 0.8, "length__epochs": 5}
    model, _ = fit(Sum(), **changes)
    steps = [0.1] * 6 + [0.05] * 6 + [0.025] * 3
    assert model.weight.item() == pytest.approx(descend(1.0, 1.0, 0.5, steps, 0.8), rel=1e-5)


def test_rmsprop_has_momentum_and_eps():
    changes = {"optimiser__name": "rmsprop", "optimiser__lr": 0.01, "optimiser__weight_decay": 0}
    changes |= {"optimiser__schedule": "constant", "optimiser__warmup_steps": 0}
    changes |= {"optimiser__momentum": 0.5, "optimiser__eps": 0.1}
    model, _ = fit(Sum(), **changes)
    value, square, velocity = 1.0, 0.0, 0.0
    for _ in range(6):
        square = 0.99 * square + 0.01
        velocity = 0.5 * velocity + 1 / (math.sqrt(square) + 0.1)
        value -= 0.01 * velocity
    assert model.weight.item() == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_adaptive_optimisers_take_their_eps(name):
    changes = {"optimiser__name": name, "optimiser__lr": 0.01, "optimiser__weight_decay": 0}
    changes |= {"optimiser__schedule": "constant", "optimiser__warmup_steps": 0}
    model, _ = fit(Sum(), optimiser__eps=1, **changes)
    assert model.weight.item() == pytest.approx(1 - 6 * 0.01 / 2, abs=1e-5)


def test_large_values_of_gradients_are_cut_those_of_the_loss_too():
    class Steep(OwnWeight):
        def forward(self, pairs: Pairs, selection: object) -> Tensor:
            return 1000 * super().forward(pairs, selection)

    changes = {"optimiser__name": "sgd", "optimiser__lr": 1e-3, "optimiser__weight_decay": 0}
    changes |= {"optimiser__schedule": "constant", "optimiser__warmup_steps": 0}
    loss = Steep()
    loss.own_weight_decay = 0.0
    model, _ = fit(loss, optimiser__clip_value=2, **changes)
    assert model.weight.item() == pytest.approx(descend(1.0, 2.0, 0.0, [1e-3] * 6), rel=1e-4)
    assert loss.own.item() == pytest.approx(descend(2.0, 2.0, 0.0, [0.05] * 6), rel=1e-4)


def test_an_epoch_can_be_one_pass_over_the_items():
    changes = {"length__steps_per_epoch": "pass", "batch_size": 5, "length__epochs": 2}
    model, _ = fit(Sum(), items=VECTORS, sampler=Shuffled(), **changes)
    assert [len(inputs) for inputs in model.inputs] == [5] * 8  # 24 items: 4 are left over
    for epoch in (model.inputs[:4], model.inputs[4:]):
        assert len({row.numpy().tobytes() for inputs in epoch for row in inputs}) == 20


@pytest.mark.parametrize("name", protocol_names())
def test_every_protocol_that_ships_trains_a_small_network(name):
    shipped = load_protocol(name)
    if shipped.frozen or name == "vectors":
        backbone, items = Linear(), VECTORS
    elif shipped.backbone == "small-conv":
        backbone, items = SmallConv(width=4), ITEMS
    else:
        kind = "test_vit" if "vit" in shipped.backbone else "test_resnet"
        backbone = TimmModel(kind, weights="none", **shipped.backbone_settings)
        items = Items(np.repeat(ITEMS.inputs, 3, axis=1).repeat(4, 2).repeat(4, 3), LABELS)
    quick = shipped
    changes = {"length.epochs": 2, "length.steps_per_epoch": 1, "batch_size": 8}
    changes |= {
        "embedding_dim": 4,
        "optimiser.head_only_epochs": shipped.optimiser.head_only_epochs > 0,
    }
    for key, value in changes.items():
        quick = quick.change(key, str(int(value)))
    torch.manual_seed(0)
    model = Embedder(backbone, items, 4)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    recipe = Recipe(Objective([Summand(Noting())]), Uniform(), quick, 0)
    assert all(math.isfinite(loss) for loss in train(model, recipe, items, CPU))
    assert not torch.equal(before["head.weight"], model.head.weight)


def test_the_loss_of_an_epoch_is_the_mean_of_its_steps():
    class Counting(Sum):
        steps = 0

        def forward(self, pairs: Pairs, selection: object) -> Tensor:
            self.steps += 1
            return 0 * super().forward(pairs, selection) + self.steps

    assert fit(Counting())[1] == [2.0, 5.0]


# What goes wrong


@pytest.mark.parametrize(
    ("value", "word"), [(math.nan, "nan"), (math.inf, "inf"), (-math.inf, "-inf")]
)
def test_a_loss_that_is_no_number_is_named_with_its_step(value, word):
    class Diverging(Sum):
        steps = 0

        def forward(self, pairs: Pairs, selection: object) -> Tensor:
            self.steps += 1
            return super().forward(pairs, selection) + (value if self.steps >= 5 else 0)

    with pytest.raises(TrialError, match=f"The loss became {word} at epoch 2, step 2"):
        fit(Diverging())


def test_huge_losses_are_still_numbers():
    class Huge(Sum):
        def forward(self, pairs: Pairs, selection: object) -> Tensor:
            return 0 * super().forward(pairs, selection) + 3e38

    assert fit(Huge())[1] == [pytest.approx(3e38)] * 2


class Making(Sampler):
    """Makes batches of the given sizes."""

    def __init__(self, *sizes: int) -> None:
        self.sizes = sizes

    def batches(self, labels, *, batch_size, steps, rng):
        for size in self.sizes:
            yield np.zeros(size, dtype=np.int64)


@pytest.mark.parametrize("sizes", [(), (8, 8), (8, 8, 8, 8), (8, 7, 8), (8, 8, 9)])
def test_a_sampler_must_make_the_batches_that_the_protocol_wants(sizes):
    with pytest.raises(TrialError, match=r"Making made .* batches .* not 3 of 8"):
        fit(Sum(), sampler=Making(*sizes))


class Repeating(Sampler):
    """Makes one batch again and again."""

    def __init__(self, batch: np.ndarray) -> None:
        self.batch = batch

    def batches(self, labels, *, batch_size, steps, rng):
        return iter([self.batch] * steps)


@pytest.mark.parametrize(
    ("batch", "reason"),
    [
        (np.arange(8) - 1, "Repeating made batches of items -1 to 6; they are .* from 0 to 23"),
        (np.arange(8) + 17, "Repeating made batches of items 17 to 24"),
        (np.arange(8.0), "Repeating made batches of float64, not of integers"),
        (np.ones(8, dtype=bool), "Repeating made batches of bool, not of integers"),
        (np.zeros((8, 1), dtype=int), r"Repeating made 3 batches of \[8, 1\] items, not 3 of 8"),
    ],
)
def test_a_sampler_must_name_items_that_are_there(batch, reason):
    with pytest.raises(TrialError, match=reason):
        fit(Sum(), sampler=Repeating(batch))


@pytest.mark.parametrize("kind", [np.int32, np.uint64, list])
def test_a_batch_may_be_of_any_integers(kind):
    plain, _ = fit(Sum(), sampler=Repeating(np.arange(8)))
    batch = list(range(8)) if kind is list else np.arange(8).astype(kind)
    model, _ = fit(Sum(), sampler=Repeating(batch))
    assert all(map(torch.equal, model.inputs, plain.inputs))


def test_an_endless_sampler_is_stopped():
    class Endless(Uniform):
        taken: ClassVar[int] = 0

        def batches(self, labels, *, batch_size, steps, rng):
            while True:
                Endless.taken += 1
                yield rng.choice(len(labels), batch_size)

    with pytest.raises(TrialError, match="4 batches"):
        fit(Sum(), sampler=Endless())
    assert Endless.taken == 4
