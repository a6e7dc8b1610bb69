"""How often a table calls a row worse that is not, and how often it finds one that is.

    python benchmarks/ranking_errors.py    # minutes on one core

It writes docs/measurements/ranking-errors.md.

The tables are simulated: what a seed does to all rows (block noise) and what it does to each (seed
noise) are both normal, and the block noise is as large as the usual seed noise. Further tables add
what the choice of test classes does (class noise), and baselines without noise. Our procedure is
`dmlbench.statistics`, applied table by table; next to it are the textbook procedures and the naive
ones.
"""

import argparse
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import brentq
from tabulate import tabulate

from dmlbench.statistics import CONFIDENCE, class_noise, compare

PAGE = Path(__file__).parents[1] / "docs" / "measurements" / "ranking-errors.md"
ROWS, SEEDS = (2, 10, 35), (5, 10)
ALPHA = 1 - CONFIDENCE
GAP, PAIRED_SD = 0.5, 0.57
FAR = 20.0

Tables = NDArray[np.float64]
Procedure = Callable[[Tables], NDArray[np.bool_]]
"""From tables [T, K, n] (table, row, seed) to whether each row is called worse [T, K]."""


def ours(tables: Tables) -> NDArray[np.bool_]:
    """Apply what the leaderboards use."""
    return np.array([compare(table).worse for table in tables])


def tukey(tables: Tables) -> NDArray[np.bool_]:
    """Compare all pairs by Tukey's range, with the variance pooled over the two-way layout."""
    _, rows, seeds = tables.shape
    critical = _tukey(rows, (rows - 1) * (seeds - 1))
    return _behind(tables) > critical * _pooled_error(tables)[:, None]


def hsu(tables: Tables) -> NDArray[np.bool_]:
    """Compare with the best as Hsu does, by the one-sided Dunnett value of the two-way layout."""
    _, rows, seeds = tables.shape
    critical = dunnett(rows - 1, (rows - 1) * (seeds - 1))
    return _behind(tables) > critical * _pooled_error(tables)[:, None]


def all_pairs(tables: Tables) -> NDArray[np.bool_]:
    """Test all pairs by the paired t-test with Bonferroni's correction."""
    rows, seeds = tables.shape[1:]
    found = np.zeros(tables.shape[:2], dtype=bool)
    critical = stats.t.isf(ALPHA / rows / (rows - 1), seeds - 1)
    for other in range(rows):
        lead = tables[:, [other], :] - tables
        error = lead.std(axis=2, ddof=1) / np.sqrt(seeds)
        found |= lead.mean(axis=2) > np.where(error > 0, critical * error, np.inf)
    return found


def naive(tables: Tables, *, paired: bool, holm: bool) -> NDArray[np.bool_]:
    """Test each row against the one that happens to have the highest mean."""
    best = tables.mean(axis=2).argmax(axis=1)
    top = np.take_along_axis(tables, best[:, None, None], axis=1)
    seeds = tables.shape[2]
    if paired:
        lead = top - tables
        error, freedom = lead.std(axis=2, ddof=1) / np.sqrt(seeds), seeds - 1
    else:
        variance = tables.var(axis=2, ddof=1) + top.var(axis=2, ddof=1)
        error, freedom = np.sqrt(variance / seeds), 2 * (seeds - 1)
    itself = np.arange(tables.shape[1]) == best[:, None]
    statistic = _behind(tables) / np.where(itself, 1.0, error)
    p = np.where(itself, 1.0, 2 * stats.t.sf(statistic, freedom))
    return _holm(p) if holm else p < ALPHA


PROCEDURES: list[tuple[str, Procedure]] = [
    ("**dmlbench**", ours),
    ("Tukey", tukey),
    ("Hsu", hsu),
    ("all pairs", all_pairs),
    ("paired, Holm", lambda tables: naive(tables, paired=True, holm=True)),
    ("paired", lambda tables: naive(tables, paired=True, holm=False)),
    ("unpaired, Holm", lambda tables: naive(tables, paired=False, holm=True)),
    ("unpaired", lambda tables: naive(tables, paired=False, holm=False)),
]


@cache
def dunnett(comparisons: int, freedom: int) -> float:
    """Return the one-sided 95 % value of Dunnett for groups of one size (correlations of 0.5)."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(100)
    weights /= weights.sum()
    spread = np.sqrt(stats.chi2.ppf((np.arange(2000) + 0.5) / 2000, freedom) / freedom)

    def missing(value: float) -> float:
        inside = stats.norm.cdf(value * np.sqrt(2) * spread[:, None] + nodes)
        return float((inside**comparisons @ weights).mean()) - CONFIDENCE

    return float(brentq(missing, 0.0, 50.0))


@cache
def _tukey(rows: int, freedom: int) -> float:
    return float(stats.studentized_range.ppf(CONFIDENCE, rows, freedom)) / np.sqrt(2)


def _behind(tables: Tables) -> NDArray[np.float64]:
    means = tables.mean(axis=2)
    return means.max(axis=1, keepdims=True) - means


def _pooled_error(tables: Tables) -> NDArray[np.float64]:
    _, rows, seeds = tables.shape
    noise = tables - tables.mean(axis=2, keepdims=True)
    noise -= noise.mean(axis=1, keepdims=True)
    square = (noise**2).sum(axis=(1, 2)) / (rows - 1) / (seeds - 1)
    return np.sqrt(2 * square / seeds)


def _holm(p: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which hypotheses [T, K] fall; the best row itself is none."""
    order = np.argsort(p, axis=1)
    left = np.maximum(p.shape[1] - 1 - np.arange(p.shape[1]), 1)
    falls = np.minimum.accumulate(np.take_along_axis(p, order, axis=1) < ALPHA / left, axis=1)
    found = np.zeros_like(falls)
    np.put_along_axis(found, order, falls, axis=1)
    return found


def noises(rows: int) -> Iterator[tuple[str, NDArray[np.float64], float]]:
    """Yield seed noises: their name, the deviation of each row, and correlation within halves."""
    place = np.arange(rows)
    yield "equal", np.ones(rows), 0.0
    yield "one row 5 x", np.where(place == 0, 5.0, 1.0), 0.0
    if rows > 2:
        yield "one row none", np.where(place == 0, 0.0, 1.0), 0.0
        yield "every third 5 x", np.where(place % 3 == 0, 5.0, 1.0), 0.0
        yield "from 0.3 x to 3 x", np.geomspace(0.3, 3, rows), 0.0
        yield "equal, halves correlated 0.8", np.ones(rows), 0.8


def simulate(
    count: int,
    deviations: NDArray[np.float64],
    seeds: int,
    rng: np.random.Generator,
    correlation: float = 0.0,
) -> Tables:
    """Return tables in which all rows are equally good."""
    rows = len(deviations)
    own = rng.normal(size=(count, rows, seeds))
    half = np.arange(rows) < rows // 2
    shared = rng.normal(size=(count, 2, seeds))[:, half.astype(int)]
    own = np.sqrt(1 - correlation) * own + np.sqrt(correlation) * shared
    usual = float(np.median(deviations))
    return own * deviations[:, None] + usual * rng.normal(size=(count, 1, seeds))


def errors(count: int) -> Iterator[list[str]]:
    """Yield for each kind of table the share in which any row is called worse, by procedure."""
    for rows in ROWS:
        for seeds in SEEDS:
            for name, deviations, correlation in noises(rows):
                rng = np.random.default_rng([rows, seeds])
                tables = simulate(count, deviations, seeds, rng, correlation)
                shares = [found(tables).any(axis=1).mean() for _, found in PROCEDURES]
                yield [f"{rows}", f"{seeds}", name, *(f"{100 * one:.1f}" for one in shares)]


def far_errors(count: int) -> Iterator[list[str]]:
    """Yield how often one of a few equally good rows is called worse when the rest is far below."""
    for rows in ROWS[1:]:
        for seeds in SEEDS:
            for good in (2, rows // 3):
                low = np.arange(rows) >= good
                for name, deviations in (
                    ("equal", np.ones(rows)),
                    ("the good rows 5 x", np.where(low, 1.0, 5.0)),
                    ("the low rows 5 x", np.where(low, 5.0, 1.0)),
                ):
                    rng = np.random.default_rng([rows, seeds, good])
                    tables = simulate(count, deviations, seeds, rng)
                    tables[:, low] -= FAR * deviations.max()
                    shares = [found(tables)[:, :good].any(axis=1).mean() for _, found in PROCEDURES]
                    cells = [f"{100 * one:.1f}" for one in shares]
                    yield [f"{good} of {rows}", f"{seeds}", name, *cells]


def powers(count: int) -> Iterator[list[str]]:
    """Yield how often a row that is truly behind is called worse, by procedure."""
    for rows in ROWS:
        for seeds in SEEDS:
            for rest in ("as the second", "20 sd lower") if rows > 2 else ("",):
                rng = np.random.default_rng([rows, seeds, 1])
                sd = PAIRED_SD / np.sqrt(2)
                tables = simulate(count, np.full(rows, sd), seeds, rng)
                tables[:, 1] -= GAP
                tables[:, 2:] -= GAP if rest == "as the second" else FAR * sd
                shares = [found(tables)[:, 1].mean() for _, found in PROCEDURES]
                yield [f"{rows}", f"{seeds}", rest, *(f"{100 * one:.0f}" for one in shares)]


def class_tables(
    count: int, rows: int, seeds: int, classes: int, share: float, rng: np.random.Generator
) -> Iterator[NDArray[np.float64]]:
    """Yield tables [K, n, C] whose rows are equally good over all seeds and classes.

    Some classes are hard for all rows; each row is better on some and worse on others, by so much
    that the classes move a mean `share` times as much as the seeds; and each seed has noise of its
    own on each class.
    """
    sd = PAIRED_SD / np.sqrt(2)
    own_class = share * sd * np.sqrt(classes / seeds)
    for _ in range(count):
        yield (
            rng.normal(0, 10 * sd, classes)
            + rng.normal(0, own_class, (rows, 1, classes))
            + rng.normal(0, sd, (rows, seeds, 1))
            + rng.normal(0, sd, (1, seeds, 1))
            + rng.normal(0, sd, (rows, seeds, classes))
        )


def class_errors(count: int) -> Iterator[list[str]]:
    """Yield how often a row is called worse though it is as good on all classes, and the power."""
    for rows in ROWS:
        for seeds in SEEDS:
            for classes in (50, 100):
                for share in (0.0, 1.0, 3.0):
                    rng = np.random.default_rng([rows, seeds, classes, int(share)])
                    counts, wrong, naive_wrong, found = np.ones(classes), 0, 0, 0
                    for table in class_tables(count, rows, seeds, classes, share, rng):
                        between = class_noise(table, counts).variances
                        values = table.mean(axis=2)
                        wrong += any(compare(values, between).worse)
                        naive_wrong += any(compare(values).worse)
                        values[1:] -= GAP
                        found += compare(values, between).worse[1]
                    cells = [f"{100 * one / count:.1f}" for one in (wrong, naive_wrong, found)]
                    yield [f"{rows}", f"{seeds}", f"{classes}", f"{share:g} x", *cells]


def frozen_errors(count: int) -> Iterator[list[str]]:
    """Yield how often a frozen lane is ranked though no loss beats the best baseline, and power."""
    for rows in (1, 3, *ROWS[1:]):
        for seeds in SEEDS:
            for name, deviations, block in (
                ("equal", np.ones(rows), 0.0),
                ("equal, as large on all rows", np.ones(rows), 1.0),
                ("from 0.3 x to 3 x", np.geomspace(0.3, 3, rows), 1.0),
            ):
                rng = np.random.default_rng([rows, seeds, 2])
                wrong = found = 0
                for _ in range(count):
                    trained = rng.normal(size=(rows, seeds)) * deviations[:, None]
                    trained += block * rng.normal(size=(1, seeds))
                    fixed = np.array([[0.0], [-0.5], [-2.0], [-5.0]]) + np.zeros(seeds)
                    wrong += compare(np.vstack([fixed, trained])).worse[0]
                    trained[0] += 3.0
                    found += compare(np.vstack([fixed, trained])).worse[0]
                yield [
                    f"{rows}",
                    f"{seeds}",
                    name,
                    f"{100 * wrong / count:.1f}",
                    f"{100 * found / count:.0f}",
                ]


def classes_section(count: int) -> list[str]:
    """Return what claims about new test classes are worth."""
    headings = [
        "Rows",
        "Seeds",
        "Classes",
        "Class noise",
        "**with classes**",
        "seeds alone",
        "power",
    ]
    return [
        "## Claims about new test classes",
        "Percent of tables in which any row is called worse than the best, although all are "
        "equally good over all classes. *With classes*: the comparison includes the noise of "
        "the test classes, as for *new classes* on the pages. *Seeds alone*: as for *these "
        "classes*. *Class noise* is the noise of a mean over the test classes relative to that "
        "of a mean over the seeds. Some classes are hard for all rows, and each seed has "
        "separate noise on each class. *Power* is how often the second row is called worse when "
        f"it is {GAP} points behind the first and all others are as the second.",
        _tabulate(headings, list(class_errors(count)), texts=("Class noise",)),
    ]


def frozen_section(count: int) -> list[str]:
    """Return how often a frozen lane is ranked that should not be."""
    headings = ["Losses", "Seeds", "Noise", "ranked wrongly", "ranked rightly"]
    return [
        "## Frozen lanes: baselines that do not vary by seed",
        "Four baselines have the same value with every seed, and the best of them is as good as "
        "all losses. *Ranked wrongly*: percent of lanes that are ranked all the same, because this "
        "baseline is called worse than the best row. *Ranked rightly*: percent of lanes that are "
        "ranked when one loss (with the least noise) is better by 3 standard deviations of the "
        "usual seed noise.",
        _tabulate(headings, list(frozen_errors(count)), texts=("Noise",)),
    ]


def _tabulate(headings: list[str], lines: list[list[str]], texts: tuple[str, ...]) -> str:
    aligned = ["left" if heading in texts else "right" for heading in headings]
    text: str = tabulate(lines, headings, tablefmt="pipe", disable_numparse=True, colalign=aligned)
    return text


def page(count: int) -> str:
    """Return the page of all figures."""
    names = [name for name, _ in PROCEDURES]
    margin = 100 * 1.96 * np.sqrt(ALPHA * (1 - ALPHA) / count)

    def table(headings: list[str], lines: list[list[str]]) -> str:
        return _tabulate([*headings, *names], lines, texts=("Noise", "Other rows"))

    return "\n\n".join(
        [
            "# How often a ranking errs",
            f"Made by `benchmarks/ranking_errors.py`. Each line is {count:,} simulated tables, "
            "ranked by the procedure that the leaderboards use and by others. Seed noise is normal "
            "(some of it shared by all rows, some separate for each). At most 5 % of tables may "
            "call a row worse that is not. With this many tables, chance moves a true 5 % by "
            f"{margin:.1f}.",
            "If several rows are equally good, Hsu's procedure and tests against the row with the "
            "highest mean err more often. Tukey's, with one variance for all rows, errs when the "
            "noise is unequal. Bonferroni's correction over all pairs finds little.",
            "*Tukey* and *Hsu* (one-sided Dunnett) pool the variance over the two-way layout. *All "
            "pairs* are paired t-tests with Bonferroni's correction. The last four are t-tests "
            "against the row with the highest mean, with and without Holm's correction.",
            "## All rows equally good",
            "Percent of tables in which any row is called worse than the best.",
            table(["Rows", "Seeds", "Noise"], list(errors(count))),
            "## Some equally good, the rest far below",
            "Percent of tables in which any of the good rows is called worse.",
            table(["Good", "Seeds", "Noise"], list(far_errors(count))),
            f"## A true gap of {GAP} points, paired standard deviation {PAIRED_SD}",
            "Percent of tables in which the second row is called worse than the first (read it "
            "with the errors above in mind). In theory, the paired t-test on two rows finds it in "
            "33 % with 5 seeds and in 70 % with 10.",
            table(["Rows", "Seeds", "Other rows"], list(powers(count))),
            *classes_section(count),
            *frozen_section(count),
        ]
    )


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tables", type=int, default=1000, help="simulated tables a line")
    parser.add_argument("--out", type=Path, default=PAGE)
    options = parser.parse_args()
    options.out.write_text(page(options.tables) + "\n")


if __name__ == "__main__":
    main()
