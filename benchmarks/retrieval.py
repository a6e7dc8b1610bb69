"""Speed and memory of retrieval metrics, next to the installed peers.

    OMP_NUM_THREADS=2 python benchmarks/retrieval.py                        # everything, an hour
    python benchmarks/retrieval.py --cases cub mnist --out cub.md
    python benchmarks/retrieval.py --cases sop-15k sop-30k sop-60k sop-120k --contenders dmlbench

Every measurement runs in a process of its own, in turns, so that it has its own memory and drift
affects all alike. G is the time of the whole float32 product E @ E.T in blocks, by the faster of
NumPy and torch, measured in the same process right before and after. Times are CPU seconds of all
threads together, so that other load changes them little. The data are Gaussian classes, with noise
that puts Recall@1 where trained embeddings have it. If there are many queries, slow contenders run
on a share of them; their seconds are scaled up, their memory is not.
"""

import argparse
import json
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import numpy as np

PAGE = Path(__file__).parents[1] / "docs" / "measurements" / "retrieval-speed.md"
RECALL_AT = (1, 10, 100, 1000)
MANY_QUERIES = 20_000


@dataclass(frozen=True)
class Case:
    """Data to measure on."""

    items: int
    classes: int
    dimension: int
    noise: float
    about: str
    gallery: int | None = None
    """Items of a gallery apart from the queries."""
    collapsed: float | None = None
    """All embeddings are one vector plus noise of this size."""


CASES = {
    "sop-128": Case(60_502, 11_316, 128, 1.5, "SOP size, D=128, trained"),
    "sop-512": Case(60_502, 11_316, 512, 2.25, "SOP size, D=512, trained"),
    "sop-128-untrained": Case(60_502, 11_316, 128, 30.0, "SOP size, D=128, untrained"),
    "sop-512-untrained": Case(60_502, 11_316, 512, 60.0, "SOP size, D=512, untrained"),
    "sop-128-collapsed": Case(
        60_502, 11_316, 128, 1.5, "SOP size, D=128, collapsed", collapsed=1e-6
    ),
    "sop-512-collapsed": Case(
        60_502, 11_316, 512, 1.5, "SOP size, D=512, collapsed", collapsed=1e-6
    ),
    "sop-128-constant": Case(60_502, 11_316, 128, 1.5, "SOP size, D=128, constant", collapsed=0),
    "cub": Case(5_924, 100, 512, 4.0, "CUB size, D=512"),
    "mnist": Case(10_000, 10, 128, 3.0, "MNIST size, D=128"),
    "sop-15k": Case(15_000, 2_805, 128, 1.5, "growth: N=15,000"),
    "sop-30k": Case(30_000, 5_610, 128, 1.5, "growth: N=30,000"),
    "sop-60k": Case(60_000, 11_220, 128, 1.5, "growth: N=60,000"),
    "sop-120k": Case(120_000, 22_440, 128, 1.5, "growth: N=120,000"),
    "million": Case(1_000, 200_000, 128, 1.5, "1,000 queries in 1,000,000", gallery=1_000_000),
}
TABLE = ("sop-128", "sop-512", "sop-128-untrained", "sop-512-untrained", "cub", "mnist")
COLLAPSED = ("sop-128-collapsed", "sop-512-collapsed", "sop-128-constant")
GROWTH = ("sop-15k", "sop-30k", "sop-60k", "sop-120k", "million")


def labels_of(case: Case, total: int, rng: np.random.Generator) -> np.ndarray:
    """Return shuffled labels, 2 to 12 items a class where classes are small."""
    mean = total / case.classes
    if not 2 < mean < 12:
        return rng.integers(0, case.classes, total)
    size = 2 + rng.binomial(10, (mean - 2) / 10, case.classes)
    while (wrong := total - int(size.sum())) != 0:
        free = np.flatnonzero(size < 12 if wrong > 0 else size > 2)
        size[rng.choice(free, min(abs(wrong), len(free)), replace=False)] += np.sign(wrong)
    return rng.permutation(np.repeat(np.arange(case.classes), size))


def make(case: Case) -> tuple[np.ndarray, ...]:
    """Return embeddings of length 1 and labels; then those of the gallery, if there is one."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((case.classes, case.dimension), dtype=np.float32)
    data: list[np.ndarray] = []
    for total in (case.items, case.gallery):
        if total is None:
            continue
        labels = labels_of(case, total, rng)
        embeddings = np.empty((total, case.dimension), np.float32)
        for start in range(0, total, 4096):
            some = labels[start : start + 4096]
            noise = rng.standard_normal((len(some), case.dimension), dtype=np.float32)
            part = centres[some] + np.float32(case.noise) * noise
            if case.collapsed is not None:
                part = centres[:1] + np.float32(case.collapsed) * noise
            embeddings[start : start + 4096] = part / np.linalg.norm(part, axis=1, keepdims=True)
        data += [embeddings, labels]
    return tuple(data)


def by_dmlbench(data: tuple[np.ndarray, ...]) -> dict[str, float]:
    """All of Recall@{1, 10, 100, 1000}, R-Precision and MAP@R."""
    from dmlbench import retrieval

    result = retrieval.evaluate(*data, recall_at=RECALL_AT)
    recalls = {f"R@{k}": value for k, value in result.recall_at.items()}
    return {**recalls, "RP": result.r_precision, "MAP@R": result.map_at_r}


def by_dmlbench_torch(data: tuple[np.ndarray, ...]) -> dict[str, float]:
    """The same with torch's products."""
    from dmlbench import retrieval

    result = retrieval.evaluate(*data, recall_at=RECALL_AT, products="torch")
    return {"R@1": result.recall_at[1], "RP": result.r_precision, "MAP@R": result.map_at_r}


def by_pml(
    embeddings: np.ndarray, labels: np.ndarray, k: int | str, queries: int
) -> dict[str, float]:
    """Recall@1, R-Precision and MAP@R of pytorch-metric-learning; Recall@k too, if k reaches it."""
    import torch
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

    calculator = AccuracyCalculator(
        include=("precision_at_1", "r_precision", "mean_average_precision_at_r"),
        k=k,
        device=torch.device("cpu"),
    )
    x, y = torch.from_numpy(embeddings), torch.from_numpy(labels)
    recalls = {}
    if k == max(RECALL_AT):
        search, found = calculator.knn_func, []

        def remember(*arguments: object) -> object:
            found.append(search(*arguments))
            return found[0]

        calculator.knn_func = remember
    figures = calculator.get_accuracy(x[:queries], y[:queries], x, y, ref_includes_query=True)
    if k == max(RECALL_AT):
        neighbours = found[0][1]
        hit = (y[neighbours] == y[:queries, None]).int().cummax(dim=1).values
        recalls = {f"R@{k}": hit[:, k - 1].double().mean().item() for k in RECALL_AT[1:]}
    return {
        "R@1": figures["precision_at_1"],
        **recalls,
        "RP": figures["r_precision"],
        "MAP@R": figures["mean_average_precision_at_r"],
    }


def by_oml(embeddings: np.ndarray, labels: np.ndarray, queries: int) -> dict[str, float]:
    """CMC@k of open-metric-learning 4; it has no R-Precision and no MAP@R."""
    import torch
    from oml.functional.knn import batched_knn_qg
    from oml.functional.metrics import calc_retrieval_metrics
    from oml.retrieval.retrieval_results import RetrievalResults

    x, y, ids = torch.from_numpy(embeddings), torch.from_numpy(labels), torch.arange(len(labels))
    found = RetrievalResults(
        *batched_knn_qg(
            embeddings_query=x[:queries],
            embeddings_gallery=x,
            top_n=max(RECALL_AT),
            labels_query=y[:queries],
            labels_gallery=y,
            ids_query=ids[:queries],
            ids_gallery=ids,
        )
    )
    metrics = calc_retrieval_metrics(
        retrieved_ids=found.retrieved_ids,
        gt_ids=found.gt_ids,
        cmc_top_k=RECALL_AT,
        precision_top_k=(),
        map_top_k=(),
    )
    return {f"R@{k}": float(metrics["cmc"][k]) for k in RECALL_AT}


def by_faiss(embeddings: np.ndarray, k: int) -> dict[str, float]:
    """Search alone, no metric."""
    import faiss

    index = faiss.IndexFlatIP(embeddings.shape[1])
    index.add(embeddings)
    index.search(embeddings, k)
    return {}


def largest_class(labels: np.ndarray) -> int:
    """Return the size of the largest class."""
    return int(np.bincount(labels).max())


# name -> what it is called, share of many queries that it runs on, how to run it
CONTENDERS: dict[str, tuple[str, float, Callable[[tuple[np.ndarray, ...], int], dict]]] = {
    "dmlbench": ("**dmlbench**, all metrics", 1, lambda data, _: by_dmlbench(data)),
    "dmlbench-torch": (
        "dmlbench with torch's products",
        1,
        lambda data, _: by_dmlbench_torch(data),
    ),
    "pml": (
        "pytorch-metric-learning, k=1000, all metrics",
        0.1,
        lambda data, queries: by_pml(*data, k=1000, queries=queries),
    ),
    "pml-shortest": (
        "pytorch-metric-learning, k=max_bin_count, no Recall@k above 1",
        1,
        lambda data, queries: by_pml(*data, k="max_bin_count", queries=queries),
    ),
    "oml": (
        "open-metric-learning, top 1000, no R-Precision, no MAP@R",
        0.02,
        lambda data, queries: by_oml(*data, queries=queries),
    ),
    "faiss-1001": ("faiss search alone, k=1001", 1, lambda data, _: by_faiss(data[0], 1001)),
    "faiss-shortest": (
        "faiss search alone, k = largest class",
        1,
        lambda data, _: by_faiss(data[0], largest_class(data[1])),
    ),
}
NEEDS = {"pml": "pytorch_metric_learning", "oml": "oml", "faiss": "faiss"}


def share_of(case: Case, contender: str) -> float:
    """Return the share of the queries that a contender runs on: all where that takes seconds."""
    return CONTENDERS[contender][1] if case.items > MANY_QUERIES else 1


def seconds_of_product(data: tuple[np.ndarray, ...], library: str) -> float:
    """Return the time of all products of queries and gallery, from a sample of the queries."""
    import torch

    queries, gallery, rows = data[0], data[-2], 1024
    sample = queries[: 4 * rows]
    out = np.empty((min(rows, len(sample)), len(gallery)), np.float32)
    start = time.process_time()
    for first in range(0, len(sample), rows):
        block = sample[first : first + rows]
        if library == "numpy":
            np.matmul(block, gallery.T, out=out[: len(block)])
        else:
            target = torch.from_numpy(out[: len(block)])
            torch.mm(torch.from_numpy(block), torch.from_numpy(gallery).T, out=target)
    return (time.process_time() - start) * len(queries) / len(sample)


def memory(field: str) -> float:
    """Return a field of this process's memory in MiB (Linux)."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return int(text.split(f"{field}:")[1].split()[0]) / 1024


def measure(case: Case, contender: str) -> dict[str, object]:
    """Measure once, in this process."""
    data = make(case)
    run = CONTENDERS[contender][2]
    queries = math.ceil(share_of(case, contender) * case.items)
    run(make(Case(1200, 40, case.dimension, 1.0, "to import what is needed")), 1200)
    products = {name: [seconds_of_product(data, name)] for name in ("numpy", "torch")}
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forget the peak so far
    before = memory("VmRSS")
    start = time.process_time()
    figures = run(data, queries)
    seconds = (time.process_time() - start) * case.items / queries
    peak = memory("VmHWM") - before
    for name, times in products.items():
        times.append(seconds_of_product(data, name))
    return {
        "seconds": seconds,
        "product": {name: min(times) for name, times in products.items()},
        "peak": peak,
        "figures": figures,
    }


def measure_apart(case: str, contender: str) -> dict | str:
    """Measure once, in a new process; return why not, if it fails."""
    command = [sys.executable, __file__, "--measure", case, contender]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = "killed" if done.returncode < 0 else done.stderr.strip().splitlines()[-1]
        return f"failed: {reason}"
    return json.loads(done.stdout.splitlines()[-1])


def installed(contender: str) -> bool:
    """Return whether the library of a contender can be imported."""
    return find_spec(NEEDS.get(contender.partition("-")[0], "dmlbench")) is not None


def rows_of(case: str, contenders: list[str], repeats: int) -> list[list[str]]:
    """Measure all contenders in turns and return their rows of the table."""
    runs: dict[str, list[dict]] = {contender: [] for contender in contenders}
    failed: dict[str, str] = {}
    for _ in range(repeats):
        for contender in contenders:
            if contender in failed:
                continue
            run = measure_apart(case, contender)
            print(case, contender, json.dumps(run), file=sys.stderr, flush=True)
            if isinstance(run, str):
                failed[contender] = run
            else:
                runs[contender].append(run)
    every = [run for some in runs.values() for run in some]
    product = {name: median(run["product"][name] for run in every) for name in ("numpy", "torch")}
    rows = [
        [f"product alone, {name}", f"{seconds:.2f}", "", "", "", ""]
        for name, seconds in product.items()
    ]
    ours = median(run["seconds"] for run in runs.get("dmlbench", [])) if runs.get("dmlbench") else 0
    for contender in contenders:
        name, share = CONTENDERS[contender][0], share_of(CASES[case], contender)
        if contender in failed:
            rows.append([name, failed[contender], "", "", "", ""])
            continue
        some = runs[contender]
        seconds = median(run["seconds"] for run in some)
        in_products = median(run["seconds"] / min(run["product"].values()) for run in some)
        figures = some[0]["figures"]
        rows.append(
            [
                name if share == 1 else f"{name} (on {share:.0%} of the queries)",
                f"{seconds:.2f}",
                f"{in_products:.2f}",
                f"{seconds / ours:.1f}" if ours else "",
                f"{median(run['peak'] for run in some):.0f}",
                ", ".join(f"{key} {value:.4f}" for key, value in figures.items()),
            ]
        )
    return rows


def describe_machine() -> str:
    """Return processor, threads and versions in a sentence."""
    processor = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            processor = line.split(":")[1].strip()
    names = ("numpy", "torch", "faiss-cpu", "pytorch-metric-learning", "open-metric-learning")
    versions = []
    for name in names:
        try:
            versions.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            versions.append(f"{name} not installed")
    threads = os.environ.get("OMP_NUM_THREADS", "as many as cores")
    return f"{processor}, {os.cpu_count()} cores, threads: {threads}; {', '.join(versions)}."


def main() -> None:
    """Measure what was asked for and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", choices=CASES, default=[*TABLE, *COLLAPSED, *GROWTH])
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=PAGE, help="markdown file to write")
    parser.add_argument("--measure", nargs=2, metavar=("CASE", "CONTENDER"), help="print one run")
    arguments = parser.parse_args()
    if arguments.measure:
        case, contender = arguments.measure
        print(json.dumps(measure(CASES[case], contender)))
        return

    from tabulate import tabulate

    header = ["what", "CPU seconds", "x G", "x dmlbench", "peak MiB above inputs", "figures"]
    text = [
        "# Speed of the retrieval metrics",
        f"Made by `benchmarks/retrieval.py`: medians of {arguments.repeats} runs, contenders in "
        f"turns. {describe_machine()}",
        "Times are CPU seconds of all threads together. G is that of the product E @ E.T alone, by "
        "the faster library, measured with "
        "each run.",
    ]
    for case in arguments.cases:
        contenders = [name for name in arguments.contenders if installed(name)]
        if case in (*COLLAPSED, *GROWTH):
            contenders = [name for name in contenders if name == "dmlbench"]
        text.append(f"## {CASES[case].about}")
        rows = rows_of(case, contenders, arguments.repeats)
        text.append(tabulate(rows, header, tablefmt="github", disable_numparse=True))
    page = "\n\n".join(text) + "\n"
    arguments.out.write_text(page, encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()
