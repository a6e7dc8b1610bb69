"""Facts of the first-party losses alone; what every loss must do is in `dmlbench.testing`."""

import inspect
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from support.loss_loops import unit

from dmlbench import ConfigError, Loss, Pairs
from dmlbench.components.hyperparameters import family_argument, hyperparameters, resolve
from dmlbench.testing.loss_steps import value_of
from dmlbench.testing.stand_ins import all_pairs
from dmlbench.testing.subject import Subject
from dmlbench.testing.tensors import largest

PROJECT = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
ENTRY_POINTS = PROJECT["entry-points"]["dmlbench.losses"]

every_loss = pytest.mark.parametrize("name", sorted(ENTRY_POINTS))


def load(name: str) -> type[Loss]:
    module, attribute = ENTRY_POINTS[name].split(":")
    return getattr(import_module(module), attribute)


SELECTING = [
    name
    for name in sorted(ENTRY_POINTS)
    if load(name).takes != "labels" and not family_argument(load(name))
]


@every_loss
def test_loss_names_the_year_of_its_paper_and_explains_itself(name):
    cls = load(name)
    assert any(str(year) in cls.paper for year in range(1994, 2027))
    assert inspect.getmodule(cls).__doc__
    assert cls.takes != "labels" or cls.default_miner is None


@every_loss
def test_every_hyperparameter_has_a_type_and_all_but_switches_a_search_space(name):
    for parameter in hyperparameters(load(name)).values():
        assert parameter.type in (bool, int, float, str)
        assert parameter.type is bool or parameter.default in parameter.space


def test_a_value_outside_the_search_space_is_refused():
    with pytest.raises(ConfigError, match="outside"):
        resolve(load("triplet"), "loss", {"margin": "-0.5"})


@pytest.mark.parametrize("name", ["arcface", "normalized-softmax", "proxy-anchor", "proxy-nca"])
def test_proxy_loss_has_one_vector_a_class_and_needs_no_selection(name):
    torch.manual_seed(7)
    loss = load(name)(num_classes=5, embedding_dim=3)
    (proxies,) = loss.parameters()
    assert proxies.shape == (5, 3)
    pairs = Pairs(F.normalize(torch.randn(4, 3)), torch.tensor([0, 1, 4, 4]))
    assert torch.equal(loss(pairs, None), loss(pairs, all_pairs(pairs)))


@pytest.mark.parametrize("name", SELECTING)
@pytest.mark.parametrize("num_classes", [2, 12])
def test_no_tensor_is_larger_than_all_pairs(name, num_classes):
    cls = load(name)
    B, M = 48, 60
    anchors, memory = torch.randn(B, 4, requires_grad=True), torch.randn(M - B, 4)
    labels, all_labels = torch.arange(B) % num_classes, torch.arange(M) % num_classes

    def step() -> None:
        unit = F.normalize(anchors)
        references = torch.cat([unit, F.normalize(memory)])
        pairs = Pairs(unit, labels, references, all_labels, torch.arange(B))
        loss = Subject("loss", cls).make()
        value_of(loss, pairs, all_pairs(pairs)).backward()

    assert largest(step) <= B * (M + 1)


SHARPER_OR_FLATTER = [
    ("angular", {"alpha": 60.0}),
    ("contrastive", {"pos_margin": 0.8, "neg_margin": 1.5}),
    ("margin", {"beta": 0.9, "margin": 0.1}),
    ("multi-similarity", {"alpha": 9.0, "base": 1.0}),
    ("nt-xent", {"temperature": 0.5}),
    ("supcon", {"temperature": 0.02}),
    ("triplet", {"margin": 0.0}),
]
# At its default scale the instance loss is 0 to the last digit.
DEFAULTS = [(name, {"scale": 4.0} if name == "instance" else {}) for name in sorted(ENTRY_POINTS)]


@pytest.mark.parametrize(("name", "settings"), [*DEFAULTS, *SHARPER_OR_FLATTER])
def test_single_precision_is_enough(name, settings):
    raw, _ = unit(96, 32, seed=7)
    labels = torch.arange(48).repeat(2) if load(name).views == 2 else torch.arange(96) % 12
    results = []
    for dtype in (torch.float32, torch.float64):
        loss = Subject("loss", load(name), settings).make(num_classes=12, embedding_dim=32)
        for weights in loss.parameters():
            if weights.ndim > 1:  # cross entropy has no gradient at the zeros that it starts from
                torch.nn.init.normal_(weights)
        loss, vectors = loss.to(dtype), raw.detach().to(dtype).requires_grad_()
        embeddings = F.normalize(vectors) if loss.normalize else vectors
        if loss.starts_epochs:
            loss.start_epoch(embeddings.detach(), labels)
        pairs = Pairs(embeddings, labels, normalized=loss.normalize)
        value = value_of(loss, pairs, all_pairs(pairs))
        assert value.dtype == dtype
        results.append((value.item(), torch.autograd.grad(value, vectors)[0].double()))
    (value, gradient), (exact_value, exact_gradient) = results
    assert value == pytest.approx(exact_value, rel=1e-5)
    assert (gradient - exact_gradient).norm() < 1e-4 * exact_gradient.norm()
