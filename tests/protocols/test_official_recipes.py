"""Each paper protocol against its paper's official code, on each dataset that has a recipe there.

What the code does is written here a second time, from reading it: with PyTorch's own schedulers,
and with torchvision's rule for crops in plain loops. `differs` in a protocol's file lists what
stays different.
"""

import math
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from torch.optim.lr_scheduler import LRScheduler, MultiStepLR, StepLR

from dmlbench import load_protocol
from dmlbench.components.catalogue import Catalogue
from dmlbench.components.composition import make
from dmlbench.data.items import Items
from dmlbench.data.photos.crops import resized_boxes
from dmlbench.schemas.protocol import Protocol
from dmlbench.training.embedder import Embedder
from dmlbench.training.objective import combine
from dmlbench.training.optimisers import make_optimiser, rate_at

CATALOGUE = Catalogue.discover()

NEVER = 10**9


def step(every: int, factor: float) -> Callable[[torch.optim.Optimizer], LRScheduler]:
    """Return torch's schedule that falls every so many epochs."""
    return lambda optimiser: StepLR(optimiser, every, factor)


def milestones(epochs: list[int], factor: float) -> Callable[[torch.optim.Optimizer], LRScheduler]:
    """Return torch's schedule that falls after some epochs."""
    return lambda optimiser: MultiStepLR(optimiser, epochs, factor)


@dataclass(frozen=True)
class Official:
    """What official code does on one dataset.

    Attributes:
        optimiser: torch's class.
        body, head, proxies: learning rate and weight decay of the network's parameters, of those of
            the linear layer on it, and of one proxy a class.
        schedule: stepped after each epoch.
        epochs: how many.
        steps: of an epoch, when all classes train.
        batch: classes in a batch, and photos of each; None where photos are shuffled.
        head_sd: standard deviation of the head's weights; None if they are orthogonal.
        scale: smallest area of a crop.
        cut_from: short side of what crops are cut from; None if from the photo as it is.
        test: short side of test photos, and the side of the square in their middle.
        still: parts of the network's parameter names that never learn.
        head_only: epochs in which the head and the proxies learn alone.
        more: further arguments of the optimiser, and how gradients are clipped.
    """

    optimiser: type[torch.optim.Optimizer]
    body: tuple[float, float]
    head: tuple[float, float]
    proxies: tuple[float, float]
    schedule: Callable[[torch.optim.Optimizer], LRScheduler]
    epochs: int
    steps: int
    batch: tuple[int, int] | None
    batch_size: int
    head_sd: float | None
    scale: float
    cut_from: int | None
    test: tuple[int, int]
    loss: str = "proxy-anchor"
    embedding: int = 512
    still: tuple[str, ...] = ()
    head_only: int = 0
    clip_value: float | None = None
    clip_norm: float | None = None
    more: dict[str, float] = field(default_factory=dict)


ADAM, ADAMW, RMSPROP = torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop
LINEAR_2048 = 1 / math.sqrt(3 * 2048)  # of nn.Linear's uniform start
CONSTANT = step(NEVER, 0.1)


def proxy_anchor(lr: float, decay: float, falls: int, factor: float, **others: object) -> Official:
    """`train.py` as its README calls it, for ResNet-50."""
    usual: dict[str, object] = {"batch_size": 120, "head_only": 5, "steps": 48}
    return Official(
        ADAMW,
        (lr, decay),
        (lr, decay),
        (100 * lr, decay),
        step(falls, factor),
        epochs=60,
        batch=None,
        head_sd=math.sqrt(2 / 512),
        scale=0.08,
        cut_from=None,
        test=(256, 224),
        clip_value=10,
        **(usual | others),  # type: ignore[arg-type]
    )


def hier(decay: float, head: float, epochs: int, warmup: int, steps: int) -> Official:
    """`scripts/DINO` on two GPUs with 90 photos each: the rate is 5e-6 x 180 / 180."""
    return Official(
        ADAMW,
        (5e-6, decay),
        (5e-6 * head, decay),
        (5e-6 * 1e4, 1e-4),
        CONSTANT,
        epochs=epochs,
        steps=steps,
        batch=(90, 2),
        batch_size=180,
        head_sd=None,
        scale=0.2,
        cut_from=None,
        test=(256, 224),
        embedding=384,
        still=("patch_embed",),
        head_only=warmup,
        clip_value=10,
        more={"eps": 1e-4},
    )


def hyp(classes: int, each: int, resize: int, epochs: int, steps: int) -> Official:
    """`train.py` as its README calls it, for DINO's ViT-S/16, on one GPU."""
    return Official(
        ADAMW,
        (1e-5, 1e-2),
        (1e-5, 1e-2),
        (1e-5 * 100, 1e-4),
        CONSTANT,
        epochs=epochs,
        steps=steps,
        batch=(classes, each),
        batch_size=classes * each,
        head_sd=None,
        scale=0.2,
        cut_from=None,
        test=(resize, 224),
        embedding=128,
        still=("patch_embed",),
        clip_norm=3,
    )


def recall_at_k(
    lr: float, size: int, epochs: int, falls: list[int], steps: int, classes: int
) -> Official:
    """`src/main.py` with ResNet-50; its loss has no parameters, so proxies are the other loss's."""
    return Official(
        ADAM,
        (lr, 4e-4),
        (lr, 4e-4),
        (100 * lr, 1e-4),
        milestones(falls, 0.3),
        epochs=epochs,
        steps=steps,
        batch=(classes, 4),
        batch_size=size,
        head_sd=LINEAR_2048,
        scale=0.08,
        cut_from=None,
        test=(256, 224),
    )


OFFICIAL = {
    ("proxy-anchor", "cub"): proxy_anchor(1e-4, 1e-4, 5, 0.5),
    ("proxy-anchor", "cars"): proxy_anchor(1e-4, 1e-4, 10, 0.5, steps=67),
    ("proxy-anchor", "sop"): proxy_anchor(
        6e-4, 1e-4, 20, 0.25, batch_size=180, head_only=1, steps=330
    ),
    ("proxy-anchor", "inshop"): proxy_anchor(
        6e-4, 1e-4, 20, 0.25, batch_size=180, head_only=1, steps=143
    ),
    **{
        ("roth2020", dataset): Official(
            ADAM,
            (1e-5, 4e-4),
            (1e-5, 4e-4),
            (1e-5 * 100, 1e-4),
            CONSTANT,
            epochs=epochs,
            steps=steps,
            batch=(56, 2),
            batch_size=112,
            head_sd=LINEAR_2048,
            scale=0.08,
            cut_from=None,
            test=(256, 224),
            embedding=128,
        )
        for dataset, epochs, steps in (("cub", 150, 52), ("cars", 150, 71), ("sop", 100, 531))
    },
    **{
        ("reality-check", dataset): Official(
            RMSPROP,
            (1e-6, 1e-4),
            (1e-6, 1e-4),
            (1e-6 * 100, 1e-4),
            CONSTANT,
            epochs=epochs,  # our choice: there, validation says when to stop
            steps=100,
            batch=(8, 4),
            batch_size=32,
            head_sd=LINEAR_2048,
            scale=0.16,
            cut_from=256,
            test=(256, 227),
            embedding=128,
            more={"momentum": 0.9},
        )
        for dataset, epochs in (("cub", 100), ("cars", 200), ("sop", 1000))
    },
    ("hier", "cub"): hier(1e-2, 1, epochs=100, warmup=1, steps=32),
    ("hier", "cars"): hier(1e-2, 1, epochs=100, warmup=1, steps=44),
    ("hier", "sop"): hier(1e-4, 100, epochs=150, warmup=5, steps=330),
    ("hier", "inshop"): hier(1e-4, 100, epochs=150, warmup=5, steps=143),
    ("hyp-vit", "cub"): hyp(100, 9, 256, epochs=50, steps=1),
    ("hyp-vit", "cars"): hyp(98, 9, 224, epochs=300, steps=1),
    ("hyp-vit", "sop"): hyp(450, 2, 224, epochs=200, steps=25),
    ("hyp-vit", "inshop"): hyp(450, 2, 224, epochs=400, steps=8),
    ("recall-at-k", "cub"): recall_at_k(1e-4, 400, 40, [10, 20, 30], 14, 100),
    ("recall-at-k", "cars"): recall_at_k(1e-4, 392, 170, [80, 140], 20, 98),
    ("recall-at-k", "sop"): recall_at_k(2e-4, 4000, 55, [25, 50], 14, 1000),
    ("multi-similarity", "cub"): Official(
        ADAM,
        (3e-5, 5e-4),
        (3e-5, 5e-4),
        (3e-5 * 100, 1e-4),
        milestones([12, 24], 0.1),  # 1,200 and 2,400 steps
        epochs=30,
        steps=100,
        batch=(16, 5),
        batch_size=80,
        head_sd=math.sqrt(2 / 512),
        scale=0.16,
        cut_from=256,
        test=(256, 227),
    ),
    ("soft-triple", "cars"): Official(
        ADAM,
        (1e-4, 1e-4),
        (1e-4, 1e-4),
        (1e-2, 1e-4),
        milestones([19, 39], 0.1),
        epochs=50,
        steps=251,
        batch=None,
        batch_size=32,
        head_sd=LINEAR_2048,
        scale=0.08,
        cut_from=None,
        test=(256, 224),
        loss="soft-triple",
        embedding=64,
        more={"eps": 0.01},
    ),
    **{
        ("oml-style", dataset): Official(
            optimiser,
            (1e-5, decay),
            (1e-5, decay),
            (1e-5 * 100, 1e-4),
            CONSTANT,
            epochs=100,  # our choice, as are the steps: there, until it is stopped by hand
            steps=100,
            batch=batch,
            batch_size=batch[0] * batch[1],
            head_sd=None,
            scale=0.2,
            cut_from=None,
            test=(224, 224),
            embedding=384,
        )
        for dataset, batch, optimiser, decay in (
            ("cub", (8, 4), ADAM, 0.0),
            ("cars", (20, 10), ADAM, 0.0),
            ("sop", (96, 6), ADAM, 0.0),
            ("inshop", (150, 4), ADAMW, 1e-2),
        )
    },
}

CASES = pytest.mark.parametrize(
    ("name", "dataset"), [pytest.param(*key, id="-".join(key)) for key in OFFICIAL]
)

SUPER_CLASSES = {"sop": 12, "inshop": 12}


def labels_of(dataset: str) -> np.ndarray:
    """Return the classes of as many training items as the dataset officially has."""
    _, component = CATALOGUE.load("dataset", dataset)
    items, classes = component.expected["train"]
    return np.arange(items) % classes


@pytest.fixture(scope="module", name="networks")
def _networks() -> dict[str, Embedder]:
    """Networks with random weights, by protocol and dataset's settings."""
    return {}


def network_of(protocol: Protocol, networks: dict[str, Embedder]) -> Embedder:
    key = repr((protocol.backbone, protocol.backbone_settings, protocol.embedding_dim))
    key += protocol.head_init
    if key not in networks:
        side = protocol.image_size
        images = Items(np.zeros((1, 3, side, side), np.uint8), np.zeros(1, np.int64))
        settings = {**protocol.backbone_settings, "weights": "none"}
        backbone = make(CATALOGUE, "backbone", protocol.backbone, settings)
        torch.manual_seed(0)
        networks[key] = Embedder(backbone, images, protocol.embedding_dim, protocol.head_init)
    return networks[key]


@CASES
def test_parameters_are_in_the_groups_of_the_official_optimiser(name, dataset, networks):
    official, protocol = OFFICIAL[name, dataset], load_protocol(name, dataset=dataset)
    network = network_of(protocol, networks)
    settings = {"num_classes": 10, "embedding_dim": protocol.embedding_dim}
    loss = CATALOGUE.load("loss", official.loss)[1](**settings)
    optimiser = make_optimiser(protocol.optimiser, network, combine([loss], [1.0], []))
    assert type(optimiser) is official.optimiser
    found = {
        id(weight): (group["lr"], group["weight_decay"])
        for group in optimiser.param_groups
        for weight in group["params"]
    }
    for group in optimiser.param_groups:
        assert {key: group[key] for key in official.more} == official.more
    for parameter, weight in network.named_parameters():
        still = any(part in parameter for part in official.still)
        assert weight.requires_grad is not still, parameter
        wanted = official.head if parameter.startswith("head.") else official.body
        if not still:
            assert found.pop(id(weight)) == pytest.approx(wanted), parameter
    for weight in loss.parameters():
        assert found.pop(id(weight)) == pytest.approx(official.proxies)
    assert not any(id(weight) in found for weight in network.parameters() if weight.requires_grad)
    choices = protocol.optimiser
    assert choices.head_only_epochs == official.head_only
    assert (choices.clip_value, choices.clip_norm) == (official.clip_value, official.clip_norm)


@CASES
def test_the_rate_falls_when_the_official_schedule_says(name, dataset):
    official, protocol = OFFICIAL[name, dataset], load_protocol(name, dataset=dataset)
    items = len(labels_of(dataset))
    steps = protocol.length.steps(items, protocol.batch_size)
    assert (protocol.length.epochs, steps) == (official.epochs, official.steps)
    weight = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([weight], lr=1.0)
    schedule = official.schedule(optimiser)
    for epoch in range(official.epochs):
        wanted = optimiser.param_groups[0]["lr"]
        for step_of_all in (epoch * steps, epoch * steps + steps - 1):
            rate = rate_at(protocol.optimiser, step_of_all, steps, official.epochs)
            assert rate == pytest.approx(wanted), (epoch, step_of_all)
        optimiser.step()
        schedule.step()


@CASES
def test_batches_are_made_of_as_many_classes_as_the_official_ones(name, dataset):
    official, protocol = OFFICIAL[name, dataset], load_protocol(name, dataset=dataset)
    assert protocol.batch_size == official.batch_size
    labels = labels_of(dataset)
    sampler = make(CATALOGUE, "sampler", protocol.sampler, protocol.sampler_settings)
    more = {"groups": labels % SUPER_CLASSES[dataset]} if protocol.sampler == "hierarchical" else {}
    batches = sampler.batches(
        labels, batch_size=protocol.batch_size, steps=3, rng=np.random.default_rng(0), **more
    )
    for batch in batches:
        assert len(batch) == official.batch_size
        counts = Counter(labels[batch].tolist())
        if official.batch:
            assert (len(counts), *set(counts.values())) == official.batch
        else:  # a shuffled pass: no item twice
            assert len(set(batch.tolist())) == len(batch)


@CASES
def test_the_head_starts_as_the_official_one(name, dataset, networks):
    official, protocol = OFFICIAL[name, dataset], load_protocol(name, dataset=dataset)
    head = network_of(protocol, networks).head
    weight, bias = head.weight.detach().double(), head.bias.detach()
    assert weight.shape[0] == official.embedding
    if official.head_sd is None:
        eye = torch.eye(len(weight), dtype=torch.float64)
        assert torch.allclose(weight @ weight.T, eye, atol=1e-5)
    else:
        assert abs(float(weight.mean())) < 0.03 * official.head_sd
        assert float(weight.std()) == pytest.approx(official.head_sd, rel=0.02)
    starts_at_zero = protocol.head_init != "torch"
    assert bool((bias == 0).all()) is starts_at_zero


@dataclass
class Crops:
    """Mean share of the area, mean logarithm of the shape, and share of crops blown up."""

    area: float
    shape: float
    upsampled: float


def official_crops(height: int, width: int, official: Official, count: int) -> Crops:
    """Crop as torchvision's RandomResizedCrop does, one photo at a time."""
    draw = random.Random(0)
    if official.cut_from:
        short = min(height, width)
        height, width = (round(side * official.cut_from / short) for side in (height, width))
    areas, shapes, upsampled = [], [], 0
    for _ in range(count):
        for _ in range(10):
            area = height * width * draw.uniform(official.scale, 1)
            ratio = math.exp(draw.uniform(math.log(3 / 4), math.log(4 / 3)))
            w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < w <= width and 0 < h <= height:
                break
        else:
            w, h = min(width, round(height * 4 / 3)), min(height, round(width * 4 / 3))
        areas.append(h * w / (height * width))
        shapes.append(math.log(w / h))
        upsampled += w * h < official.test[1] ** 2
    return Crops(sum(areas) / count, sum(shapes) / count, upsampled / count)


@pytest.mark.parametrize(("height", "width"), [(375, 500), (480, 640)])
@pytest.mark.parametrize(
    ("name", "dataset"),
    [pytest.param(*key, id=key[0]) for key in dict(OFFICIAL.keys()).items()],
)
def test_crops_are_as_large_as_the_official_ones(name, dataset, height, width):
    official, protocol = OFFICIAL[name, dataset], load_protocol(name, dataset=dataset)
    assert (protocol.short_side, protocol.image_size) == official.test
    assert protocol.augmentation.flip
    assert protocol.augmentation.crop == "random-resized"
    wanted = official_crops(height, width, official, 4000)
    kept = protocol.store_side or protocol.short_side
    short = min(height, width)
    side = min(short, kept) if protocol.store_side else kept
    sizes = np.tile([round(height * side / short), round(width * side / short)], (20_000, 1))
    draws = np.random.default_rng(0).random((len(sizes), 22))
    choices = protocol.augmentation
    boxes = resized_boxes(sizes, choices.crop_scale, choices.crop_ratio, draws)[:, 2:]
    areas = boxes.prod(axis=1)
    assert (areas / sizes.prod(axis=1)).mean() == pytest.approx(wanted.area, abs=0.02)
    shape = np.log(boxes[:, 1] / boxes[:, 0]).mean()
    assert shape == pytest.approx(wanted.shape, abs=0.02)
    upsampled = (areas < protocol.image_size**2).mean()
    assert upsampled == pytest.approx(wanted.upsampled, abs=0.02)


def test_every_protocol_that_follows_a_paper_is_held_to_its_code():
    from dmlbench.schemas.shipped_protocols import protocol_names

    papers = {name for name in protocol_names() if load_protocol(name).source != "dmlbench's own"}
    assert papers == {name for name, _ in OFFICIAL}
