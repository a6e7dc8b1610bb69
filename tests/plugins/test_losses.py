"""What every first-party loss must do: its declared facts, odd batches, memory, and learning."""

import inspect
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from dmlbench import ConfigError, Loss, PairMask, Pairs, Triplets
from dmlbench.hyperparameters import hyperparameters, resolve

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
ENTRY_POINTS = PROJECT["entry-points"]


def load(reference: str) -> type[Loss]:
    module, name = reference.split(":")
    return getattr(import_module(module), name)


CLASSES = {name: load(value) for name, value in ENTRY_POINTS["dmlbench.losses"].items()}
SELECTING = sorted(name for name, cls in CLASSES.items() if cls.takes != "labels")
WITH_PROXIES = sorted(name for name, cls in CLASSES.items() if cls.takes == "labels")

every_loss = pytest.mark.parametrize("name", sorted(CLASSES))
every_selecting_loss = pytest.mark.parametrize("name", SELECTING)
every_proxy_loss = pytest.mark.parametrize("name", WITH_PROXIES)


def build(name: str, num_classes: int = 6, embedding_dim: int = 4, **settings: float) -> Loss:
    given = {"num_classes": num_classes, "embedding_dim": embedding_dim}
    asked = inspect.signature(CLASSES[name]).parameters
    torch.manual_seed(7)
    return CLASSES[name](**{k: v for k, v in given.items() if k in asked}, **settings)


def all_pairs(pairs: Pairs) -> PairMask:
    return PairMask(pairs.positive, pairs.negative)


def selections(loss: Loss, pairs: Pairs) -> list:
    """Everything that `loss` may be given for a whole batch."""
    if loss.takes == "labels":
        return [None]
    anchor, positive = pairs.positive.nonzero(as_tuple=True)
    triplet, negative = pairs.negative[anchor].nonzero(as_tuple=True)
    return [all_pairs(pairs), Triplets(anchor[triplet], positive[triplet], negative)]


def assert_finite(loss: Loss, raw: torch.Tensor, labels: list[int], **references: object) -> None:
    """Check value and gradients of `loss` for the embeddings `raw` brought to length 1."""
    raw = raw.clone().requires_grad_()
    pairs = Pairs(F.normalize(raw), torch.tensor(labels), **references)
    for selection in selections(loss, pairs):
        value = loss(pairs, selection)
        leaves = [raw, *loss.parameters()]
        gradients = torch.autograd.grad(value, leaves, retain_graph=True)
        assert value.shape == ()
        assert torch.isfinite(value)
        assert all(torch.isfinite(gradient).all() for gradient in gradients)


@every_loss
def test_loss_states_its_source_its_reducer_and_what_it_takes(name):
    cls = CLASSES[name]
    assert cls.takes in ("pairs", "triplets", "labels")
    assert any(year in cls.paper for year in map(str, range(2004, 2027)))
    assert cls.reducer
    assert cls.normalize
    assert cls.views == 1
    assert cls.own_lr_multiple >= 1
    assert cls.own_weight_decay >= 0
    assert cls.__doc__
    assert inspect.getmodule(cls).__doc__


@every_loss
def test_default_miner_is_one_that_is_registered(name):
    cls = CLASSES[name]
    if cls.takes == "labels":
        assert cls.default_miner is None
    else:
        assert cls.default_miner in ENTRY_POINTS["dmlbench.miners"]


@every_loss
def test_every_hyperparameter_has_a_search_space_that_holds_its_default(name):
    found = hyperparameters(CLASSES[name])
    assert found
    for parameter in found.values():
        assert parameter.type is float
        assert parameter.default in parameter.space


def test_a_value_outside_the_search_space_is_refused():
    with pytest.raises(ConfigError, match="outside"):
        resolve(CLASSES["triplet"], "loss", {"margin": "-0.5"})


def test_proxy_nca_refuses_a_single_class():
    with pytest.raises(ConfigError, match="at least 2 training classes"):
        build("proxy-nca", num_classes=1)


def test_proxies_learn_faster_than_the_network_where_the_source_says_so():
    assert CLASSES["proxy-anchor"].own_lr_multiple == 100
    assert 50 <= CLASSES["proxy-nca"].own_lr_multiple <= 100


@every_proxy_loss
def test_proxy_loss_has_one_vector_a_class_and_needs_no_selection(name):
    loss = build(name, num_classes=5, embedding_dim=3)
    (proxies,) = loss.parameters()
    assert proxies.shape == (5, 3)
    pairs = Pairs(F.normalize(torch.randn(4, 3)), torch.tensor([0, 1, 4, 4]))
    assert torch.equal(loss(pairs, None), loss(pairs, all_pairs(pairs)))


AXES = torch.eye(4)
BATCHES = {
    "identical embeddings": (torch.ones(6, 4), [0, 0, 1, 1, 2, 2]),
    "one class": (torch.randn(6, 4, generator=torch.Generator().manual_seed(1)), [3] * 6),
    "one class, identical": (torch.ones(5, 4), [2] * 5),
    "no positives": (torch.randn(6, 4, generator=torch.Generator().manual_seed(2)), [*range(6)]),
    "one item": (torch.ones(1, 4), [0]),
    "opposite embeddings": (torch.cat([AXES, -AXES]), [0, 1, 2, 3] * 2),
    "opposite classes": (torch.cat([AXES[:1]] * 3 + [-AXES[:1]] * 3), [0, 0, 0, 1, 1, 1]),
    "duplicates across classes": (torch.cat([AXES, AXES]), [0, 0, 1, 1, 2, 2, 3, 3]),
    "zero vectors": (torch.zeros(4, 4), [0, 0, 1, 1]),
}


@every_loss
@pytest.mark.parametrize("batch", BATCHES)
def test_degenerate_batches_have_finite_gradients(name, batch):
    assert_finite(build(name), *BATCHES[batch])


@every_proxy_loss
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_embeddings_exactly_on_or_opposite_their_proxies_have_finite_gradients(name, sign):
    loss = build(name, num_classes=4)
    (proxies,) = loss.parameters()
    with torch.no_grad():
        proxies.copy_(sign * AXES)
    assert_finite(loss, AXES, [0, 1, 2, 3])


@every_loss
@pytest.mark.parametrize("batch", ["identical embeddings", "opposite classes", "one class"])
@pytest.mark.parametrize("end", ["low", "high"])
def test_the_ends_of_the_search_spaces_have_finite_gradients(name, batch, end):
    spaces = {key: found.space for key, found in hyperparameters(CLASSES[name]).items()}
    for key, space in spaces.items():
        assert_finite(build(name, **{key: getattr(space, end)}), *BATCHES[batch])


@every_selecting_loss
@pytest.mark.parametrize("kind", ["pair mask", "triplets", "positives only", "negatives only"])
def test_selections_without_a_triplet_have_finite_gradients(name, kind):
    raw = torch.randn(6, 4, requires_grad=True)
    pairs = Pairs(F.normalize(raw), torch.tensor([0, 0, 1, 1, 2, 2]))
    none, no_index = torch.zeros_like(pairs.positive), torch.empty(0, dtype=torch.int64)
    selection = {
        "pair mask": PairMask(none, none),
        "triplets": Triplets(no_index, no_index, no_index),
        "positives only": PairMask(pairs.positive, none),
        "negatives only": PairMask(none, pairs.negative),
    }[kind]
    loss = build(name)
    value = loss(pairs, selection)
    gradients = torch.autograd.grad(value, [raw, *loss.parameters()])
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
    if kind in ("pair mask", "triplets") or loss.takes == "triplets":
        assert value == 0
        assert all((gradient == 0).all() for gradient in gradients)


@every_loss
def test_diverged_embeddings_give_nan_not_a_number_that_looks_fine(name):
    pairs = Pairs(torch.full((6, 4), torch.nan), torch.tensor([0, 0, 1, 1, 2, 2]))
    loss = build(name)
    for selection in selections(loss, pairs):
        assert torch.isnan(loss(pairs, selection))


@every_loss
def test_constant_memory_is_compared_with_but_gets_no_gradient(name):
    memory = F.normalize(torch.randn(9, 4, generator=torch.Generator().manual_seed(3)))
    memory.requires_grad_(False)
    assert_finite(
        build(name),
        torch.randn(4, 4, generator=torch.Generator().manual_seed(4)),
        [0, 1, 2, 5],
        references=memory,
        reference_labels=torch.tensor([0, 0, 1, 1, 2, 2, 3, 3, 4]),
        self_index=torch.full((4,), -1),
    )


@every_selecting_loss
def test_order_of_the_references_does_not_matter(name):
    generator = torch.Generator().manual_seed(5)
    anchors, references = F.normalize(torch.randn(2, 12, 4, generator=generator), dim=2).double()
    labels = torch.arange(12) % 4
    nowhere = torch.full((12,), -1)
    order = torch.randperm(12, generator=generator)
    loss = build(name)
    pairs = Pairs(anchors, labels, references, labels, nowhere)
    shuffled = Pairs(anchors, labels, references[order], labels[order], nowhere)
    torch.testing.assert_close(
        loss(pairs, all_pairs(pairs)), loss(shuffled, all_pairs(shuffled)), rtol=1e-12, atol=0
    )


class LargestTensor(TorchDispatchMode):
    """Remembers the number of elements of the largest tensor that any operation made."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        sizes = [leaf.numel() for leaf in tree_leaves(out) if isinstance(leaf, torch.Tensor)]
        self.elements = max([self.elements, *sizes])
        return out


@every_selecting_loss
@pytest.mark.parametrize("num_classes", [2, 12])
def test_memory_grows_with_the_pairs_not_with_the_triplets(name, num_classes):
    B, M = 48, 60
    anchors, memory = torch.randn(B, 4, requires_grad=True), torch.randn(M - B, 4)
    labels, all_labels = torch.arange(B) % num_classes, torch.arange(M) % num_classes
    with LargestTensor() as largest:
        unit = F.normalize(anchors)
        references = torch.cat([unit, F.normalize(memory)])
        pairs = Pairs(unit, labels, references, all_labels, torch.arange(B))
        build(name)(pairs, all_pairs(pairs)).backward()
    assert largest.elements <= B * (M + 1)


@every_loss
def test_training_finds_the_classes_behind_loud_noise(name):
    labels = torch.arange(4).repeat_interleave(6)
    noise = torch.randn(24, 4, generator=torch.Generator().manual_seed(6))
    inputs = torch.cat([F.one_hot(labels).float(), 2 * noise], dim=1)
    loss = build(name, num_classes=4)
    network = torch.nn.Linear(8, 4, bias=False)
    optimiser = torch.optim.Adam([*network.parameters(), *loss.parameters()], lr=0.03)

    def recall_at_1() -> float:
        similarity = Pairs(F.normalize(network(inputs)), labels).similarity.detach()
        nearest = similarity.fill_diagonal_(-2).argmax(1)
        return (labels[nearest] == labels).float().mean().item()

    untrained, values = recall_at_1(), []
    for _ in range(100):
        pairs = Pairs(F.normalize(network(inputs)), labels)
        value = loss(pairs, None if loss.takes == "labels" else all_pairs(pairs))
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        values.append(value.item())
    assert values[-1] < values[0]
    assert untrained < 0.5
    assert recall_at_1() > 0.75
