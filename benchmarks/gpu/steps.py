"""Training steps: every loss and miner, their speed beside the bare network, memory, precisions."""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from benchmarks.gpu.figures import Figure
from benchmarks.gpu.place import Place
from torch import Tensor, nn

from dmlbench import Loss, Pairs
from dmlbench.components.composition import compose, make
from dmlbench.compute.determinism import repeatable, seed_everything
from dmlbench.compute.memory import peaks
from dmlbench.data.batches.device_inputs import drop_resident_photos
from dmlbench.errors import DmlbenchError
from dmlbench.schemas.protocol import Optimiser
from dmlbench.schemas.protocol_file import load_protocol
from dmlbench.training.embedder import Embedder
from dmlbench.training.network import untrained_network
from dmlbench.training.objective import Objective, Summand
from dmlbench.training.step import Training, begin, take_step
from dmlbench.trials.run_trial import learn

STEPS = 3
PER_CLASS = 4
BFLOAT16_ACTIVATIONS = 42  # MiB a picture that ResNet-50 saves for its gradients, counted on a CPU
CLASSES = 64  # more than any batch here has


class Contrast(Loss):
    """Takes whatever a miner selects: pulls all positives, pushes all negatives."""

    takes = "pairs"

    def forward(self, pairs: Pairs, selection: object) -> Tensor:
        """Return a scalar that every selected pair has a part in."""
        from dmlbench import as_pair_mask

        chosen = as_pair_mask(selection, pairs)
        pull = pairs.distance.masked_fill(~chosen.positive, 0).mean()
        return pull - pairs.distance.masked_fill(~chosen.negative, 0).mean()


def every_component(place: Place) -> list[Figure]:
    """Take three steps with every loss and miner, twice: both times to the same bits."""
    catalogue = place.workplace.catalogue
    names = sorted({*catalogue.references("loss"), "xbm/contrastive"} - {"xbm"})
    runs = {f"loss {name}": partial(_with_loss, place, name) for name in names}
    runs |= {
        f"miner {name}": lambda name=name: Summand(
            Contrast(), 1.0, make(catalogue, "miner", name, {})
        )
        for name in sorted(catalogue.references("miner"))
    }
    failed = dict(_failures(place, runs))
    told = "; ".join(f"{name}: {why}" for name, why in failed.items())
    goal = f"all {len(runs)} repeat in deterministic mode"
    return [Figure("losses and miners", told or f"{len(runs)} repeat", goal, not failed)]


def _with_loss(place: Place, name: str) -> Summand:
    composition = compose(place.workplace.catalogue, "loss", name)
    settings = {"warmup_steps": 0} if name.startswith("xbm/") else {}
    sizes = {"num_classes": CLASSES, "embedding_dim": place.embedding_dim}
    (loss,) = composition.make("loss", composition.resolve("loss", settings), **sizes)
    if loss.takes == "labels":
        return Summand(loss)
    return Summand(loss, 1.0, make(place.workplace.catalogue, "miner", loss.default_miner, {}))


def _failures(place: Place, runs: dict[str, Callable[[], Summand]]) -> Iterator[tuple[str, str]]:
    """Yield what failed or came out otherwise the second time, and why."""
    with repeatable(place.device):
        model, batch, labels = network_and_batch(place)
        start = {name: value.clone() for name, value in model.state_dict().items()}
        for name, build in runs.items():
            try:
                first, second = (steps_of(model, start, build, batch, labels) for _ in range(2))
            except (DmlbenchError, RuntimeError) as error:
                yield name, f"{type(error).__name__}: {str(error).splitlines()[0]}"
                continue
            if not np.isfinite(first).all():
                yield name, f"not finite: {first}"
            elif first != second:
                yield name, f"does not repeat: {first} and {second}"


def steps_of(
    model: Embedder,
    start: dict[str, Tensor],
    build: Callable[[], Summand],
    batch: Tensor,
    labels: Tensor,
) -> list[float]:
    """Return the losses of three steps, and a sum of all weights after them.

    Args:
        model: the network.
        start: the weights to start from; those it has if empty.
        build: makes a loss and its miner.
        batch: pictures.
        labels: their classes.
    """
    choices = load_protocol("resnet50-512").optimiser
    if start:
        model.load_state_dict(start)
    seed_everything(0)
    objective = Objective([build()]).to(batch.device)
    model.train()
    objective.train()
    if objective.starts_epochs:
        with torch.no_grad():
            objective.start_epoch(model(batch), labels)
    training = begin(model, objective, choices)
    own = labels.repeat(objective.views)
    given = batch.repeat(objective.views, 1, 1, 1).contiguous(memory_format=torch.channels_last)
    values = [take_step(training, iter([given]), own, choices) for _ in range(STEPS)]
    weights = torch.stack([weight.detach().double().sum() for weight in model.parameters()])
    return [*torch.stack(values).tolist(), float(weights.sum())]


def network_and_batch(
    place: Place, precision: str | None = None, items: int | None = None
) -> tuple[Embedder, Tensor, Tensor]:
    """Return the house standard's network from random weights, pictures, and their labels."""
    changes = {"protocol.precision": precision} if precision else {}
    trial = place.trial(**changes)
    model = untrained_network(trial, place.workplace, place.items(trial))
    count = items or trial.protocol.batch_size
    side = trial.protocol.image_size
    generator = torch.Generator().manual_seed(0)
    batch = torch.randint(256, (count, side, side, 3), dtype=torch.uint8, generator=generator)
    labels = torch.arange(count) // PER_CLASS
    return model, batch.permute(0, 3, 1, 2).to(place.device), labels.to(place.device)


def rate(place: Place) -> list[Figure]:
    """Measure steps a second of a trial beside those of the bare network, and the busy share."""
    changes = {"protocol.length.epochs": "8"}
    changes |= {"protocol.length.steps_per_epoch": "2" if place.small else "20"}
    trial = place.trial("multi-similarity", **changes)
    items, protocol = place.items(trial), trial.protocol
    steps = protocol.length.steps(len(items), protocol.batch_size)
    with repeatable(place.device):
        states = learn(trial, place.workplace, items)
        next(states), next(states)  # builds the network, and warms up
        training = place.seconds(lambda: next(states)) / steps
        busy = busy_share(place, lambda: next(states))
        model, batch, _ = network_and_batch(place)
        bare = place.seconds(partial(bare_steps, model, batch, steps)) / steps
    share = bare / training
    return [
        Figure("step", f"{1000 * training:.1f} ms; bare {1000 * bare:.1f} ms"),
        Figure("speed beside the bare network", f"{share:.2f}", "0.9", _if(place, share >= 0.9)),
        Figure("share of time the GPU is busy", busy),
    ]


def bare_steps(model: nn.Module, batch: Tensor, steps: int) -> None:
    """Train the network alone, on one batch that is there already."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-5)
    model.train()
    for _ in range(steps):
        optimiser.zero_grad()
        model(batch).square().mean().backward()
        optimiser.step()


def busy_share(place: Place, run: Callable[[], object]) -> str:
    """Return the share of the time of `run` in which a kernel runs, by torch's profiler."""
    if not place.on_gpu:
        run()
        return "no GPU"
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        seconds = place.seconds(run, times=1)
    kernels = sum(event.self_device_time_total for event in seen.key_averages())
    return f"{kernels / 1e6 / seconds:.2f}"


def memory(place: Place) -> list[Figure]:
    """Measure the peak memory of steps at two batch sizes, photos not on the card."""
    figures = []
    name = "peak_gpu_memory_mib" if place.on_gpu else "peak_memory_mib"
    for items in (4, 8) if place.small else (112, 180):
        drop_resident_photos()
        with repeatable(place.device), peaks(place.device) as most:
            model, batch, labels = network_and_batch(place, items=items)
            steps_of(model, {}, partial(_with_loss, place, "proxy-anchor"), batch, labels)
            del model, batch
        goal = "" if place.small else f"{BFLOAT16_ACTIVATIONS * items:,.0f} MiB of activations"
        figures.append(Figure(f"memory at {items} pictures", f"{most.get(name, 0):,.0f} MiB", goal))
    return figures


def precisions(place: Place) -> list[Figure]:
    """Time a step in every precision, and see that none loses its numbers."""
    figures, steps = [], 1 if place.small else 10
    choices = load_protocol("resnet50-512").optimiser
    for precision in ("float32", "tf32", "bfloat16", "float16"):
        with repeatable(place.device):
            model, batch, labels = network_and_batch(place, precision)
            build = partial(_with_loss, place, "triplet")
            found = steps_of(model, {}, build, batch, labels)
            training = begin(model, Objective([build()]).to(place.device), choices)
            some = partial(_take_steps, training, batch, labels, choices, steps)
            seconds = place.seconds(some, times=2) / steps
        losses = ", ".join(f"{value:.4f}" for value in found[:STEPS])
        value = f"{1000 * seconds:.1f} ms a step, losses {losses}"
        figures.append(Figure(precision, value, "finite", bool(np.isfinite(found).all())))
    return figures


def _take_steps(
    training: Training, batch: Tensor, labels: Tensor, choices: Optimiser, steps: int
) -> None:
    for _ in range(steps):
        take_step(training, iter([batch]), labels, choices)


def _if(place: Place, reached: bool) -> bool | None:
    return reached if place.on_gpu and not place.small else None
