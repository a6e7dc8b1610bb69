"""Recompute every figure of published leaderboards from the records, without dmlbench.

    python tests/leaderboard/recompute.py [leaderboards]

Reads CSV files, JSON files, markdown pages and records as anybody could: csv, json, and formulas
one number at a time; scipy for quantiles, sign tests and the studentized range. Exits with 1 and
says where a figure differs.
"""

import base64
import csv
import json
import math
import re
import sys
import zlib
from collections import Counter
from functools import cache
from itertools import combinations, pairwise
from pathlib import Path
from statistics import mean, variance

import numpy as np
from scipy import stats

NAMES = {"R-Precision": "r_precision", "MAP@R": "map_at_r", "5-NN accuracy": "knn_accuracy"}
PER_QUERY = {"map_at_r": "average_precision", "knn_accuracy": "correct"}
WIN_RATES = ".win-rates.csv"
MUST_NOT_LOSE = ("recall@1", "map_at_r", "knn_accuracy")


def main(folder: Path) -> int:
    """Check the folder and print what differs."""
    wrong, checked = recompute(folder)
    for line in wrong:
        print(line)
    print(f"{checked:,} figures recomputed, {len(wrong)} differ")
    return bool(wrong)


def recompute(folder: Path) -> tuple[list[str], int]:
    """Return what differs, and how many figures were compared."""
    records = read_records(folder / "runs")
    sheet, seen = Sheet(), set()
    tables = {p for p in folder.glob("*/*.csv") if not p.name.endswith(WIN_RATES)}
    for path in sorted(tables):
        with path.open(newline="", encoding="utf-8") as file:
            lines = list(csv.DictReader(file))
        sheet.detectable, sheet.neighbours = {}, {}
        sheet.where = str(path.relative_to(folder))
        seen |= check_table(sheet, lines, records)
        sheet.where = str(path.with_suffix(".md").relative_to(folder))
        check_page(sheet, path.with_suffix(".md").read_text(encoding="utf-8"), lines)
        sheet.where = str(path.with_suffix(".json").relative_to(folder))
        check_document(sheet, json.loads(path.with_suffix(".json").read_text()), lines)
        rates = path.with_suffix(WIN_RATES)
        if rates.exists():
            sheet.where = str(rates.relative_to(folder))
            check_win_rates(sheet, rates, lines, records)
    sheet.where = "runs"
    mended = {
        one["id"]
        for one in records.values()
        if any(not part["source"] for part in one["trial"]["parts"].values())
    }
    sheet.equal("records in no table", sorted(records.keys() - seen - mended), [])
    return sheet.wrong, sheet.checked


class Sheet:
    """What was compared, and what differs."""

    def __init__(self) -> None:
        self.where, self.wrong, self.checked = "", [], 0
        self.detectable: dict[str, float] = {}
        """Of the lanes of the table that is being checked."""
        self.neighbours: dict[str, str] = {}
        """Pairs of neighbours that can't be told apart, likewise."""

    def equal(self, what: str, found: object, expected: object) -> None:
        """Note whether two values are equal."""
        self.checked += 1
        if found != expected:
            self.wrong.append(f"{self.where}: {what}: {found!r} instead of {expected!r}")

    def close(self, what: str, found: str | float | None, expected: float | None, tol=None) -> None:
        """Note whether a number is another to six significant digits; empty stands for None."""
        self.checked += 1
        if found in ("", None) or expected is None:
            wrong = (found in ("", None)) != (expected is None)
        else:
            wrong = abs(float(found) - expected) > (tol or half_a_digit(expected))
        if wrong:
            self.wrong.append(f"{self.where}: {what}: {found} instead of {expected}")


def read_records(folder: Path) -> dict[str, dict]:
    """Return the records by id."""
    return {r["id"]: r for r in (json.loads(p.read_text()) for p in sorted(folder.rglob("*.json")))}


def half_a_digit(value: float) -> float:
    """Return half a unit of the sixth significant digit, or of the twelfth decimal."""
    exponent = math.floor(math.log10(abs(value))) if value else -99
    return 0.5001 * 10.0 ** max(exponent - 5, -12)


def half_width(values: list[float]) -> float | None:
    """Return half of Student's 95 % interval, from scipy."""
    if len(set(values)) < 2:
        return 0.0 if len(values) > 1 else None
    low, high = stats.t.interval(0.95, len(values) - 1, mean(values), stats.sem(values))
    return float(high - low) / 2


def check_table(sheet: Sheet, lines: list[dict], records: dict[str, dict]) -> set[str]:
    """Compare a CSV file with the records; return the ids that it names."""
    rows = {line["row_id"]: [records[i] for i in line["trial_ids"].split()] for line in lines}
    done = {i: [r for r in own if r["status"] == "finished"] for i, own in rows.items()}
    metrics = [name for name in lines[0] if re.fullmatch(r"recall@\d+|[a-z_]+", name)]
    metrics = [name for name in metrics if f"last_epoch_{name}_half_width" in lines[0]]
    headline = next((name for name in ("map_at_r", "knn_accuracy") if name in metrics), "")
    by_seed = {
        i: {r["trial"]["seed"]: r["metrics"][headline] for r in own} for i, own in done.items()
    }
    floors = floors_of(lines, rows)
    for line in lines:
        own, label = done[line["row_id"]], line["row"]
        for prefix, field in (("", "metrics"), ("last_epoch_", "last_epoch_metrics")):
            for name in metrics:
                values = [r[field][name] for r in own if name in r[field]]
                column = f"{prefix}{name}"
                sheet.close(f"{label} {column}", line[column], mean(values) if values else None)
                width = half_width(values)
                sheet.close(f"{label} {column} ±", line[f"{column}_half_width"], width)
        check_seeds(sheet, line, rows[line["row_id"]])
        check_floors(sheet, line, floors, done, by_seed)
    for lane in {line["backbone"] for line in lines if line["kind"] == "trained"}:
        trained = [e for e in lines if e["kind"] == "trained" and e["backbone"] == lane]
        baselines = [e for e in lines if e["kind"] == "baseline" and e["backbone"] in ("", lane)]
        check_ranking(sheet, trained, baselines, by_seed, done, headline)
    means = [f"{mean(by_seed[e['row_id']].values()):.6g}" for e in lines if done[e["row_id"]]]
    sheet.equal("order of the means", means, sorted(means, key=float, reverse=True))
    return {one["id"] for own in rows.values() for one in own}


def check_seeds(sheet: Sheet, line: dict, own: list[dict]) -> None:
    """Compare seeds, epochs and time."""
    states = {
        "seeds_finished": [r for r in own if r["status"] == "finished"],
        "seeds_failed": [r for r in own if r["status"] == "failed"],
        "seeds_collapsed": [r for r in own if r["collapsed"]],
    }
    for name, some in states.items():
        text = " ".join(str(r["trial"]["seed"]) for r in some)
        sheet.equal(f"{line['row']} {name}", line[name], text)
    done = states["seeds_finished"]
    epochs = " ".join(str(r["selected_epoch"]) for r in done if r["selected_epoch"] is not None)
    sheet.equal(f"{line['row']} epochs", line["selected_epochs"], epochs)
    times = [r["measurements"]["seconds"] for r in done if "seconds" in r["measurements"]]
    sheet.close(f"{line['row']} seconds", line["seconds"], mean(times) if times else None)


def floors_of(lines: list[dict], rows: dict[str, list[dict]]) -> dict[str, dict]:
    """Return the finished floors by label."""
    names = next(iter(rows.values()))[0]["trial"]["protocol"]["baselines"]["floors"]
    found = {}
    for line in lines:
        baseline = rows[line["row_id"]][0]["trial"]["parts"].get("baseline")
        if line["kind"] == "baseline" and baseline and baseline["reference"] in names:
            found[line["row"]] = line
    return found


def check_floors(sheet: Sheet, line: dict, floors: dict, done: dict, by_seed: dict) -> None:
    """Compare the lead over each floor with Student's interval, and which floors are lost to."""
    lost = []
    for label, floor in floors.items():
        apart = floor["backbone"] and line["backbone"] and floor["backbone"] != line["backbone"]
        ours, theirs = by_seed[line["row_id"]], by_seed[floor["row_id"]]
        common = sorted(ours.keys() & theirs.keys())
        difference = [ours[seed] - theirs[seed] for seed in common]
        shown = line["kind"] == "trained" and common and not apart
        column = f"over_{label}"
        sheet.close(f"{line['row']} {column}", line[column], mean(difference) if shown else None)
        known = shown and not only_steps([ours[s] for s in common], [theirs[s] for s in common])
        width = half_width(difference) if known else None
        sheet.close(f"{line['row']} {column} ±", line[f"{column}_half_width"], width)
        if done[line["row_id"]] and not apart and line["row"] not in floors:
            below = [
                name
                for name in MUST_NOT_LOSE
                if line.get(name) and floor.get(name) and float(line[name]) < float(floor[name])
            ]
            shown_names = {value: key for key, value in NAMES.items()} | {"recall@1": "Recall@1"}
            if below:
                lost.append(f"{label}: {', '.join(shown_names[name] for name in below)}")
    sheet.equal(f"{line['row']} below", sorted(line["below"].split("; ")), sorted(lost) or [""])


def check_ranking(sheet, lines, baselines, by_seed: dict, done: dict, headline: str) -> None:
    """Compare groups and distances from the best of one lane with a plain model confidence set.

    Rows on frozen features are ranked only if the best baseline is not in the set of all.
    """
    counts = Counter(tuple(sorted(by_seed[line["row_id"]])) for line in lines)
    seeds = min(counts, key=lambda one: (-counts[one], -len(one), one))
    protocol = done[lines[0]["row_id"]][0]["trial"]["protocol"]
    values, fixed = (
        {
            line["row"]: [by_seed[line["row_id"]][s] for s in seeds]
            for line in some
            if set(seeds) <= by_seed[line["row_id"]].keys()
        }
        for some in (lines, baselines)
    )
    frozen = protocol.get(
        "frozen", protocol.get("tuning") == "frozen"
    )  # older records, and today's
    if frozen and len(seeds) >= 5:
        together, _ = confidence_set(values | fixed)
        if not fixed or together[max(fixed, key=lambda row: mean(fixed[row]))] == "best":
            sheet.detectable[lines[0]["backbone"]] = None
            for line in lines:
                sheet.equal(f"{line['row']} in no group", line["group"] + line["behind_best"], "")
            return
    if len(values) < 2:
        return
    best = max(mean(one) for one in values.values())
    groups, told = confidence_set(values) if len(seeds) >= 5 else ({}, None)
    sheet.detectable[lines[0]["backbone"]] = told
    for line in lines:
        sheet.equal(f"{line['row']} group", line["group"], groups.get(line["row"], ""))
        if line["row"] in values:
            behind = best - mean(values[line["row"]])
            sheet.close(f"{line['row']} behind the best", line["behind_best"], behind)
    compared = [line for line in lines if line["row"] in values]
    if len(seeds) >= 5:
        order = [values[line["row"]] for line in compared]
        alike = [not apart(first, second) for first, second in pairwise(order)]
        sheet.neighbours[lines[0]["backbone"]] = f"{sum(alike)} of {len(alike)} pair"
    check_classes(sheet, compared, done, seeds, headline)


def apart(first: list[float], second: list[float]) -> bool:
    """Return whether the paired t-test of scipy tells two rows apart."""
    difference = [x - y for x, y in zip(first, second, strict=True)]
    if max(difference) - min(difference) <= 1e-12:
        return abs(mean(difference)) > 1e-12 and not only_steps(first, second)
    return stats.ttest_rel(first, second).pvalue < 0.05


def only_steps(first: list[float], second: list[float], pairs: int = 1) -> bool:
    """Return whether two rows differ by the same step at every seed, at too few to tell them."""
    difference = [x - y for x, y in zip(first, second, strict=True)]
    if max(difference) - min(difference) > 1e-12 or len(set(first)) == len(set(second)) == 1:
        return False
    return pairs * stats.binomtest(len(first), len(first)).pvalue >= 0.05


@cache
def studentized_range(rows: int, freedom: int) -> float:
    """Return the 95 % quantile."""
    return float(stats.studentized_range.ppf(0.95, rows, freedom))


def confidence_set(values: dict[str, list[float]], between=lambda i, j: 0.0):
    """Return what each row is called, and the detectable difference, by plain loops."""
    n = len(next(iter(values.values())))
    left, told = list(values), 0.0
    while len(left) > 1:
        k = len(left)
        critical = studentized_range(k, int(min(4, k / 2) * (n - 1))) / 2**0.5
        block = [mean(values[i][s] for i in left) for s in range(n)]
        own = {
            i: variance([x - b for x, b in zip(values[i], block, strict=True)]) * k / (k - 1)
            for i in left
        }
        pooled, lost, extra, silent = mean(own.values()), set(), [], 0
        for i, j in combinations(left, 2):
            difference = [y - x for x, y in zip(values[i], values[j], strict=True)]
            square = max(variance(difference), own[i] + own[j], 2 * pooled) / n + between(i, j)
            extra.append(between(i, j))
            gap = mean(difference)
            if only_steps(values[i], values[j], k * (k - 1) // 2):
                silent += 1
            elif abs(gap) > max(critical * square**0.5, 1e-12):
                lost.add(i if gap > 0 else j)
        told = critical * (2 * pooled / n + mean(extra)) ** 0.5 if silent < len(extra) else None
        if not lost:
            break
        left = [i for i in left if i not in lost]
    return {i: "best" if i in left else "worse" for i in values}, told


def unpack(array: dict) -> np.ndarray:
    """Return an array of a record."""
    return np.frombuffer(zlib.decompress(base64.b64decode(array["data"])), array["dtype"])


def check_classes(sheet, lines, done, seeds, headline: str) -> None:
    """Compare test-class noise with the delta method, in place of the bootstrap."""
    if "test_class_half_width" not in lines[0] or not lines[0]["test_class_half_width"]:
        return
    sums, counts = {}, None
    for line in lines:
        totals = []
        for record in done[line["row_id"]]:
            if record["trial"]["seed"] in seeds:
                arrays = record["per_query"]
                scored = unpack(arrays["relevant"]) > 0
                classes = unpack(arrays["class"])[scored]
                found = unpack(arrays[PER_QUERY[headline]])[scored]
                totals.append(np.bincount(classes, found))
                counts = np.bincount(classes)
        sums[line["row"]] = np.mean(totals, axis=0)

    def square(total: np.ndarray) -> float:
        linear = total - total.sum() / counts.sum() * counts
        return float(len(counts) * linear.var(ddof=1) / counts.sum() ** 2)

    quantile = stats.t.ppf(0.975, len(counts) - 1)
    for line in lines:
        width = quantile * square(sums[line["row"]]) ** 0.5
        sheet.close(f"{line['row']} test-class noise", line["test_class_half_width"], width, 0.005)
        relative = float(line["test_class_half_width"]) / width
        sheet.close(f"{line['row']} test-class noise over the delta method's", relative, 1.0, 0.12)


def check_page(sheet: Sheet, text: str, lines: list[dict]) -> None:
    """Compare what a page shows with the CSV file, rounded: metrics, leads and last epochs."""
    figures = {line["row"]: line for line in lines}
    for headings, cells in markdown_lines(text):
        line = figures.get(cells[0]) if headings[0] == "Row" else None
        if line is None:
            continue
        for heading, cell in zip(headings, cells, strict=True):
            column = column_of(heading)
            if column in line:
                sheet.equal(f"{cells[0]} {heading}", is_shown(cell, line, column), True)


def check_win_rates(sheet: Sheet, path: Path, lines: list[dict], records: dict) -> None:
    """Compare the share of seeds at which a row is above another, counted in plain loops."""
    with path.open(newline="", encoding="utf-8") as file:
        shown = {line.pop("row"): line for line in csv.DictReader(file)}
    metric = next(name for name in ("map_at_r", "knn_accuracy") if name in lines[0])
    values = {}
    for line in lines:
        own = [records[i] for i in line["trial_ids"].split()]
        done = [r for r in own if r["status"] == "finished"]
        values[line["row"]] = {r["trial"]["seed"]: r["metrics"][metric] for r in done}
    seeds = set.intersection(*(set(values[row]) for row in shown))
    for row, cells in shown.items():
        for other, cell in cells.items():
            wins = [values[row][seed] > values[other][seed] for seed in seeds]
            expected = None if row == other else sum(wins) / len(wins)
            sheet.close(f"{row} above {other}", cell, expected)


def markdown_lines(text: str):
    """Yield headings and cells of each line of each table of a page."""
    headings: list[str] = []
    for line in text.splitlines():
        if not line.startswith("|"):
            headings = []
            continue
        cells = [re.sub(r"\\(.)", r"\1", cell.strip()) for cell in re.split(r"(?<!\\)\|", line)]
        cells = cells[1:-1]
        if not headings:
            headings = cells
        elif not set(cells[0]) <= set(":-"):
            yield headings, cells


def column_of(heading: str) -> str:
    """Return the column of the CSV file that a heading stands for."""
    last = heading.startswith("Last epoch: ")
    name = heading.removeprefix("Last epoch: ").removeprefix("Its ")
    if name.startswith("Over "):
        return f"over_{name.removeprefix('Over ')}"
    if match := re.fullmatch(r"Recall@(\d+)", name):
        name = f"recall@{match[1]}"
    return ("last_epoch_" if last else "") + NAMES.get(name, name)


def is_shown(cell: str, line: dict, column: str) -> bool:
    """Return whether a page shows a figure in percent, to two decimals of the same number."""
    texts = [line[column], line[f"{column}_half_width"]]
    texts = [text for text in texts if text] or [""]
    cells = cell.split(" ± ")
    return len(cells) == len(texts) and all(
        shown == "–" if not text else abs(float(shown) - 100 * float(text)) <= 0.005051
        for shown, text in zip(cells, texts, strict=True)
    )


def check_document(sheet: Sheet, content: dict, lines: list[dict]) -> None:
    """Compare the figures of a JSON file with those of the CSV file, which are the same."""
    sheet.equal("rows", [row["row_id"] for row in content["rows"]], [e["row_id"] for e in lines])
    for row, line in zip(content["rows"], lines, strict=True):
        for prefix, field in (("", "metrics"), ("last_epoch_", "last_epoch_metrics")):
            for name, figure in row[field].items():
                texts = (line[f"{prefix}{name}"], line[f"{prefix}{name}_half_width"])
                held = [float(text) if text else None for text in texts]
                found = [figure["mean"], figure["half_width"]]
                sheet.equal(f"{row['label']} {prefix}{name}", found, held)
        sheet.equal(f"{row['label']} group", row["group"], line["group"])
    for lane in content["lanes"]:
        if lane["backbone"] in sheet.detectable:
            told = sheet.detectable[lane["backbone"]]
            sheet.close("detectable difference", lane["detectable"], told)
            if told:
                sentence = f"told apart from a difference of {100 * told:.2f} points"
                sheet.equal("says it", sentence in " ".join(lane["says"]), True)
        if lane["backbone"] in sheet.neighbours:
            told = sheet.neighbours[lane["backbone"]]
            sheet.equal(f"says {told}", any(one.startswith(told) for one in lane["says"]), True)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "leaderboards")))
