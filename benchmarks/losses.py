"""Speed and memory of losses with their miners, next to pytorch-metric-learning.

    python benchmarks/losses.py                              # everything, half an hour
    python benchmarks/losses.py --losses triplet margin --batches 512 --out losses.md

A step is forward and backward from unnormalised embeddings [B, 128], mining included, on one
thread, with 4 items per class. Each loss has a process of its own, in which both sides take turns.
Times are medians of the process's CPU time, which other load hardly disturbs. Memory is the peak
above what the process used before the step, each side in a process of its own. "x product" is
relative to the bare forward and backward of the matrix of similarities. A peer that takes over a
minute for its steps, or runs out of memory, is reported as such.
"""

import argparse
import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

PAGE = Path(__file__).parents[1] / "docs" / "measurements" / "losses-speed.md"
BATCHES = (32, 128, 512, 2048)
MEMORY_BATCH = 1024
DIMENSION, PER_CLASS, PROXIES = 128, 4, 11_318
TIME_LIMIT = 60  # seconds a process
BUDGET = 1.0  # seconds of repetitions a side

Step = Callable[[], None]


def peers(batch: int = 0) -> dict[str, Callable[[], tuple[Any, Any]]]:
    """Return for each loss (with its own miner) how the peer makes loss and miner.

    Its memory holds the `batch` itself, ours comes beside it: so it gets as many places more.
    """
    from pytorch_metric_learning import distances, losses, miners, reducers

    proxies = {"num_classes": PROXIES, "embedding_size": DIMENSION}
    everything = {"triplets_per_anchor": "all"}
    return {
        "angular": lambda: (losses.AngularLoss(alpha=45), None),
        "arcface": lambda: (losses.ArcFaceLoss(**proxies), None),
        "circle": lambda: (losses.CircleLoss(m=0.4, gamma=80), None),
        "contrastive": lambda: (losses.ContrastiveLoss(), None),
        "cosface": lambda: (losses.CosFaceLoss(**proxies), None),
        "fastap": lambda: (losses.FastAPLoss(num_bins=10), None),
        "histogram": lambda: (losses.HistogramLoss(n_bins=100), None),
        "intra-pair-variance": lambda: (losses.IntraPairVarianceLoss(), None),
        "instance": lambda: (losses.InstanceLoss(), None),
        "lifted-structure": lambda: (losses.GeneralizedLiftedStructureLoss(), None),
        "lifted-structure vs the older LiftedStructureLoss": lambda: (
            losses.LiftedStructureLoss(),
            None,
        ),
        "margin": lambda: (losses.MarginLoss(learn_beta=True), miners.DistanceWeightedMiner()),
        "multi-similarity": lambda: (
            losses.MultiSimilarityLoss(),
            miners.MultiSimilarityMiner(),
        ),
        "n-pair": lambda: (
            losses.NTXentLoss(
                temperature=1,
                distance=distances.DotProductSimilarity(normalize_embeddings=False),
            ),
            None,
        ),
        "n-pair vs NPairsLoss, one pair a class": lambda: (losses.NPairsLoss(), None),
        "nca": lambda: (losses.NCALoss(), None),
        "normalized-softmax": lambda: (losses.NormalizedSoftmaxLoss(**proxies), None),
        "nt-xent": lambda: (losses.NTXentLoss(), None),
        "p2s-grad": lambda: (losses.P2SGradLoss(128, PROXIES), None),
        "pnp": lambda: (losses.PNPLoss(variant="Dq", alpha=4), None),
        "proxy-anchor": lambda: (losses.ProxyAnchorLoss(**proxies), None),
        "proxy-nca-pp": lambda: (losses.ProxyNCALoss(softmax_scale=9, **proxies), None),
        "ranked-list": lambda: (losses.RankedListLoss(margin=0.4, Tn=10), None),
        "smooth-ap": lambda: (losses.SmoothAPLoss(), None),
        "snr-contrastive": lambda: (
            losses.ContrastiveLoss(distance=distances.SNRDistance()),
            None,
        ),
        "soft-triple": lambda: (losses.SoftTripleLoss(**proxies), None),
        "sub-center-arcface": lambda: (losses.SubCenterArcFaceLoss(**proxies), None),
        "supcon": lambda: (losses.SupConLoss(), None),
        "threshold-consistent-margin": lambda: (
            losses.ThresholdConsistentMarginLoss(),
            None,
        ),
        "triplet": lambda: (
            losses.TripletMarginLoss(margin=0.2),
            miners.TripletMarginMiner(margin=0.2, type_of_triplets="semihard"),
        ),
        "triplet + all-pairs": lambda: (
            losses.TripletMarginLoss(margin=0.2, **everything),
            None,
        ),
        "triplet + batch-hard": lambda: (
            losses.TripletMarginLoss(margin=0.2, reducer=reducers.AvgNonZeroReducer()),
            miners.BatchHardMiner(),
        ),
        "tuplet-margin": lambda: (losses.TupletMarginLoss(), None),
        "vicreg": lambda: (two_views(losses.VICRegLoss()), None),
        "xbm/contrastive": lambda: (
            losses.CrossBatchMemory(losses.ContrastiveLoss(), DIMENSION, 1024 + batch),
            None,
        ),
    }


def two_views(loss: Any) -> Any:
    """Return the peer's loss of two views, from a batch of all first and all second ones."""
    import torch

    class TwoViews(torch.nn.Module):
        def forward(self, embeddings: Any, labels: Any, pairs: None) -> Any:
            first, second = embeddings.chunk(2)
            return loss(first, ref_emb=second)

    return TwoViews()


def names() -> list[str]:
    """Return all rows: every installed loss with its miner, and two more miners of triplets."""
    from dmlbench.components.catalogue import Catalogue

    installed = [name for name in Catalogue.discover().references("loss") if name != "xbm"]
    return sorted({*installed, *peers()})


def our_step(name: str, batch: int) -> Step:
    """Return a step of ours: the objective as the harness makes it."""
    from dmlbench.components.catalogue import Catalogue
    from dmlbench.components.composition import compose, make
    from dmlbench.training.objective import combine

    catalogue = Catalogue.discover()
    reference, _, miner = name.partition(" vs ")[0].partition(" + ")
    composition = compose(catalogue, "loss", reference)
    embeddings, labels = data(batch)
    sizes = {"num_classes": max(PROXIES, batch), "embedding_dim": DIMENSION}
    settings = {"warmup_steps": 0} if reference.startswith("xbm/") else {}  # memory from the start
    losses = composition.make("loss", composition.resolve("loss", settings), **sizes)
    chosen = (
        [miner]
        if miner
        else [each.component.default_miner for each in composition.losses_with_miner]
    )
    made = [make(catalogue, "miner", reference, {}) for reference in chosen]
    objective = combine(losses, [1.0], made)
    objective.train()
    objective.start_epoch(embeddings.detach(), labels)

    def step() -> None:
        embeddings.grad = None
        objective.zero_grad()
        objective(embeddings, labels).backward()

    return step


def peer_step(name: str, batch: int) -> Step:
    """Return a step of the peer."""
    loss, miner = peers(batch)[name]()
    embeddings, labels = data(batch)

    def step() -> None:
        embeddings.grad = None
        loss.zero_grad()
        pairs = None if miner is None else miner(embeddings, labels)
        loss(embeddings, labels, pairs).backward()

    return step


def product_step(name: str, batch: int) -> Step:
    """Return forward and backward of the matrix of similarities alone."""
    import torch.nn.functional as F

    embeddings, _ = data(batch)

    def step() -> None:
        embeddings.grad = None
        unit = F.normalize(embeddings)
        (unit @ unit.T).sum().backward()

    return step


def data(batch: int) -> tuple[Any, Any]:
    """Return embeddings ``[B, D]`` of loose classes, with gradient, and their labels."""
    import torch

    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(batch // PER_CLASS).repeat_interleave(PER_CLASS)
    centres = torch.randn(batch // PER_CLASS, DIMENSION, generator=generator)
    noise = torch.randn(batch, DIMENSION, generator=generator)
    return (0.1 * (centres[labels] + 1.5 * noise)).requires_grad_(), labels  # length about 2


SIDES = {"ours": our_step, "peer": peer_step, "product": product_step}


def measure(name: str, batch: int, sides: list[str]) -> dict[str, float]:
    """Return the median CPU milliseconds of a step of each side, taken in turns."""
    import torch

    torch.set_num_threads(1)
    steps = {side: SIDES[side](name, batch) for side in sides}
    times: dict[str, list[float]] = {side: [] for side in sides}
    started = time.process_time()
    for step in steps.values():
        step()
    once = max(time.process_time() - started, 1e-4)
    rounds = max(3, min(200, int(BUDGET / 2 * len(sides) / once)))
    for _ in range(rounds):
        for side, step in steps.items():
            step()  # the other side has emptied the caches and given memory back
            start = time.process_time()
            step()
            times[side].append(time.process_time() - start)
    return {side: 1000 * median(values) for side, values in times.items()}


def peak(name: str, side: str) -> dict[str, float]:
    """Return the peak MiB of a step above what the process had before it."""
    import torch

    torch.set_num_threads(1)
    SIDES[side](name, 32)()
    step = SIDES[side](name, MEMORY_BATCH)

    def memory(field: str) -> float:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))

    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = memory("VmRSS")
    step()
    return {side: memory("VmHWM") - before}


def apart(*arguments: str) -> tuple[list[dict[str, float]], str]:
    """Measure in a new process; return what it printed, and why it ended before its time."""
    command = [sys.executable, __file__, *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        reason = ""
        try:
            out, error = process.communicate(timeout=TIME_LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            out, error = process.communicate()
            reason = f"over {TIME_LIMIT} s"
        if process.returncode and not reason:
            full = process.returncode < 0 or "can't allocate memory" in error
            reason = "out of memory" if full else error.strip().splitlines()[-1][:60]
    return [json.loads(line) for line in out.splitlines() if line.startswith("{")], reason


def row(name: str, batches: list[int], with_peer: bool) -> list[str]:
    """Return a row of the table."""
    texts = [str(batch) for batch in batches]
    sides = "ours,product,peer" if with_peer else "ours,product"
    found, reason = apart("--measure", name, sides, *texts)
    ratios = [f"{one['peer'] / one['ours']:.1f}" if with_peer else "" for one in found]
    missing = texts[len(found) :]
    if missing and with_peer:
        alone, failure = apart("--measure", name, "ours,product", *missing)
        ratios += [reason] * len(alone)
        found, reason = found + alone, failure
    cells = [name]
    for one, ratio in zip(found, ratios, strict=True):
        cells += [f"{one['ours']:.2f}", f"{one['ours'] / one['product']:.1f}", ratio]
    cells += [reason] * (1 + 3 * len(batches) - len(cells))
    for side in ("ours", "peer")[: 1 + with_peer]:
        peaks, reason = apart("--peak", name, side)
        cells.append(f"{peaks[0][side]:.0f}" if peaks else reason)
    return cells + [""] * (1 - with_peer)


def main() -> None:
    """Measure what was asked for and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--losses", nargs="+", help="rows; all without it")
    parser.add_argument("--batches", nargs="+", type=int, default=list(BATCHES))
    parser.add_argument("--out", type=Path, default=PAGE, help="markdown file to write")
    parser.add_argument("--measure", nargs="+", metavar="ROW SIDES BATCH…", help="print each run")
    parser.add_argument("--peak", nargs=2, metavar=("ROW", "SIDE"))
    arguments = parser.parse_args()
    if arguments.measure:
        name, sides, *batches = arguments.measure
        for batch in batches:
            print(json.dumps(measure(name, int(batch), sides.split(","))), flush=True)
        return
    if arguments.peak:
        print(json.dumps(peak(*arguments.peak)))
        return

    from tabulate import tabulate

    known = peers()
    header = ["loss"]
    for batch in arguments.batches:
        header += [f"B={batch} ms", "x product", "peer/ours"]
    header += [f"MiB, B={MEMORY_BATCH}", "peer's MiB"]
    rows = []
    for name in arguments.losses or names():
        rows.append(row(name, arguments.batches, name in known))
        print(*rows[-1], sep=" | ", file=sys.stderr, flush=True)
    text = [
        "# Speed of the losses",
        "Made by `benchmarks/losses.py`: forward and backward, with the loss's own miner unless "
        f"another is named, from embeddings [B, {DIMENSION}] with {PER_CLASS} items per class, and "
        f"{PROXIES:,} classes for losses with proxies. One thread; CPU milliseconds, as medians of "
        'alternating turns. "x product" is relative to the bare forward and backward of the '
        'similarities. "peer/ours" is the time of pytorch-metric-learning divided by ours, empty '
        "where it has no such loss. Memory is the peak above what the process used before the "
        f"step. {platform.processor() or platform.machine()}, torch {version('torch')}, "
        f"pytorch-metric-learning {version('pytorch-metric-learning')}.",
        "NPairsLoss looks at one pair per class, 1/16 of those that n-pair looks at. On the same "
        "pairs, the peer of n-pair is NTXentLoss, in the row above. The peer's CrossBatchMemory "
        "also holds the batch itself, so it has that many more places than ours.",
        tabulate(rows, header, tablefmt="github", disable_numparse=True),
    ]
    page = "\n\n".join(text) + "\n"
    arguments.out.write_text(page, encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()
