"""Gradients of a batch that passes through the network chunk by chunk are those of the batch."""

from copy import deepcopy

import pytest
import torch
from benchmarks.gradient_caching import measured
from support.families import FAMILIES, Grouped, distance, gradients, network_of
from support.small_training import CPU, ITEMS, VECTORS, Sum, Uniform, protocol
from support.steps import AUGMENTED, CHOICES, LABELS, STEPS, started, steps
from torch import Tensor, nn

from dmlbench import ConfigError
from dmlbench.compute.determinism import seed_everything
from dmlbench.data.batches.device_inputs import to_device_inputs
from dmlbench.data.batches.feed import Feed
from dmlbench.training.embedder import Embedder, formatted
from dmlbench.training.frozen_features import FrozenFeatures
from dmlbench.training.loop import Recipe, train
from dmlbench.training.objective import Objective, Summand
from dmlbench.training.step import Training, begin, take_step


def in_one_graph(training: Training, chunk: int) -> list[tuple[float, dict[str, Tensor]]]:
    """As `steps`, but autograd itself goes through all chunks at once, kept in memory."""
    model, objective, views = training.model, training.objective, training.objective.views
    feed = Feed(to_device_inputs(ITEMS.inputs, CPU), AUGMENTED, "bilinear", (0, 3), views)
    seed_everything(7)
    taken = []
    for step, batch in zip(STEPS, feed.batches(1, STEPS), strict=True):
        parts = [model.backbone(formatted(part, model.format)) for part in batch.split(chunk)]
        value = objective(model.head(torch.cat(parts).float()), LABELS[step].repeat(views))
        training.optimiser.zero_grad()
        value.backward()
        taken.append((float(value.detach()), gradients(model, objective)))
        training.optimiser.step()
    return taken


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_the_gradient_of_every_family_is_that_of_the_whole_batch(trial_of, family, dropout):
    trial = trial_of(**FAMILIES[family])
    plain = started(trial, dropout)
    expected = in_one_graph(plain, 5) if dropout else steps(plain, None)
    cached = steps(started(trial, dropout), 5)
    for (loss, found), (value, whole) in zip(cached, expected, strict=True):
        assert loss == pytest.approx(value, rel=1e-6)
        assert distance(found, whole) < 1e-6


def test_a_chunk_as_large_as_the_batch_changes_no_bit(trial_of):
    trial = trial_of(**FAMILIES["triplets, drawn by distance"])
    plain, cached = (steps(started(trial, 0.4), chunk) for chunk in (None, 17))
    assert [loss for loss, _ in plain] == [loss for loss, _ in cached]
    assert [distance(ours[1], whole[1]) for ours, whole in zip(cached, plain, strict=True)] == [
        0.0
    ] * 3


def fitted(backbone, chunk, items=ITEMS, loss=Sum, precision="float32", **changes):
    """Return the weights of a network before and after each epoch of training, and the training."""
    torch.manual_seed(0)
    model = Embedder(backbone, items, 2, precision=precision)
    changes = {"precision": precision, "optimiser__warmup_steps": 0} | changes
    recipe = Recipe(Objective([Summand(loss())]), Uniform(), protocol(**changes), 0)
    states = [deepcopy(model.state_dict())]
    for training in train(model, recipe, items, CPU, chunk=chunk):
        states.append(deepcopy(training.model.state_dict()))
    return states, training


class Squares(Sum):
    def forward(self, pairs, selection) -> Tensor:
        return pairs.anchors.square().mean()


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_trainings_in_chunks_end_where_plain_ones_do(precision):
    changes = {"precision": precision, "loss": Squares, "optimiser__clip_norm": 0.05}
    (*_, whole), plain = fitted(Grouped(), None, **changes)
    (*_, ended), cached = fitted(Grouped(), 3, **changes)
    assert plain.skipped_steps == cached.skipped_steps
    assert cached.loss == pytest.approx(plain.loss, rel=1e-2 if precision != "float32" else 1e-5)
    near = 1e-6 if precision == "float32" else 5e-3
    assert all(torch.allclose(ended[name], whole[name], atol=near) for name in whole)


def test_while_the_head_alone_learns_one_pass_is_enough(monkeypatch):
    changes = {"optimiser__head_only_epochs": 1, "loss": Squares}
    passed = []
    features = Embedder.features

    def noting(self, inputs: Tensor) -> Tensor:
        passed.append(len(inputs))
        return features(self, inputs)

    monkeypatch.setattr(Embedder, "features", noting)
    start, first, last = fitted(Grouped(), 3, **changes)[0]
    assert passed == [3, 3, 2] * 3 + [3, 3, 2] * 2 * 3  # of 3 steps of 8: then there are two passes
    assert [name for name in start if not torch.equal(start[name], first[name])] == [
        "head.weight",
        "head.bias",
    ]
    assert not torch.equal(first["backbone.0.weight"], last["backbone.0.weight"])


def test_frozen_features_train_the_same_head_to_the_bit():
    plain, cached = (
        fitted(FrozenFeatures(), chunk, VECTORS, Squares)[0][-1] for chunk in (None, 3)
    )
    assert all(torch.equal(plain[name], cached[name]) for name in plain)


class Counting(Grouped):
    """A layer's weight is divided by an estimate of its norm, which every pass improves."""

    def build(self, shape):
        network = super().build(shape)
        nn.utils.parametrizations.spectral_norm(network[0])
        return network


def test_layers_that_every_pass_changes_are_refused():
    with pytest.raises(ConfigError, match=r"--chunk\) can't train this network: .*_u changes"):
        fitted(Counting(), 3)


def test_random_numbers_go_on_after_a_step_as_if_there_were_one_pass():
    model = network_of(ITEMS, Grouped(dropout=0.5)).train()
    training = begin(model, Objective([Summand(Sum())]), CHOICES)
    images = torch.from_numpy(ITEMS.inputs[:6])
    seed_everything(5)
    take_step(training, iter(images.split(3) * 2), LABELS[:6], CHOICES)
    after = torch.rand(3)
    seed_everything(5)
    for part in images.split(3):
        model.features(part)
    assert torch.equal(after, torch.rand(3))


def test_trained_batch_norm_is_refused_before_anything_runs(tmp_path):
    import dmlbench

    asked = {"losses": "contrastive", "baselines": "none", "output": tmp_path, "chunk": 16}
    with pytest.raises(
        ConfigError, match=r"small-conv .*--chunk\): 3 .*batch_norm in backbone_settings"
    ):
        dmlbench.run("glyphs", jobs=0, progress=False, **asked)
    assert not [*tmp_path.rglob("*.json")]
    with pytest.raises(ConfigError, match="a chunk has at least 1 image"):
        dmlbench.run("glyphs", jobs=0, progress=False, **(asked | {"chunk": 0}))


@pytest.mark.slow
def test_a_batch_in_sixteen_chunks_takes_a_small_part_of_the_memory():
    in_chunks, at_once = (measured("step", "multi-similarity", 256, n)[0] for n in (16, None))
    assert in_chunks < at_once / 3
