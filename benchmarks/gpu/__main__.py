"""All that waits for a GPU, in one command. Nothing is downloaded; photos are made.

    python -m benchmarks.gpu --out gpu                      # one card; meant to take 8 minutes
    python -m benchmarks.gpu --out gpu --parts rate memory  # some parts
    python -m benchmarks.gpu --device cpu --small --out x   # a rehearsal on a CPU, under 3 minutes

A part that is finished is in results.json in the output folder and is skipped the next time: after
a stop, the same command goes on. A part that raises is in the table with its reason, doesn't stop
the others, and runs again the next time. Exits with 1 if a goal is missed.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.gpu.evaluation import evaluation
from benchmarks.gpu.figures import Figure, as_json, summary
from benchmarks.gpu.place import Place
from benchmarks.gpu.steps import every_component, memory, precisions, rate
from benchmarks.gpu.trials import house, out_of_memory, sharing

from dmlbench.compute.device import describe, still_works
from dmlbench.storage.atomic import write_atomically

ROOT = Path(__file__).parents[2]


def tests(place: Place) -> list[Figure]:
    """Run tests/test_gpu.py."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_gpu.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    counts = {name: int(n) for n, name in re.findall(r"(\d+) (\w+)", done.stdout.splitlines()[-1])}
    value = ", ".join(f"{n} {name}" for name, n in counts.items() if name in _OUTCOMES)
    passed = done.returncode == 0 and bool(counts.get("passed")) and not counts.get("skipped")
    return [Figure("tests/test_gpu.py", value, "all pass", passed if place.on_gpu else None)]


_OUTCOMES = ("passed", "failed", "skipped", "error", "errors")

PARTS: dict[str, Callable[[Place], list[Figure]]] = {
    "tests": tests,
    "components": every_component,
    "rate": rate,
    "evaluation": evaluation,
    "memory": memory,
    "precisions": precisions,
    "sharing": sharing,
    "out of memory": out_of_memory,
    "house": house,
}
"""In the order of what would be missed most if the time ran out."""


def run_parts(
    place: Place, names: list[str], parts: dict[str, Callable[[Place], list[Figure]]] = PARTS
) -> dict[str, list[dict[str, object]]]:
    """Run what is not finished, and return all results; each is written as soon as it is there."""
    path = place.folder / "results.json"
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    results = {name: kept[name] for name in kept if not _raised(kept[name])}
    for name in names:
        if name in results:
            print(f"{name}: finished before", file=sys.stderr)
            continue
        started = time.perf_counter()
        try:
            figures = as_json(parts[name](place))
        except Exception as error:  # whatever it is, the next part has a right to its turn
            why = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            figures = as_json([Figure(RAISED, why, "none", False)])
        seconds = f"{time.perf_counter() - started:.0f} s"
        results[name] = [*figures, *as_json([Figure("seconds", seconds)])]
        write_atomically(path, json.dumps(results, indent=1).encode())
        print(f"{name}: {seconds}", file=sys.stderr, flush=True)
        if not still_works(place.device):
            print("The device no longer works: run the command again.", file=sys.stderr)
            break
    return results


RAISED = "exception"


def _raised(figures: list[dict[str, object]]) -> bool:
    return any(each["name"] == RAISED for each in figures)


def main() -> None:
    """Run the parts and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for results and records")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="everything tiny, for a CPU")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    place = Place(arguments.device, arguments.small, arguments.out.resolve())
    results = run_parts(place, arguments.parts)
    print(describe(place.device, "float32"))
    print(summary(results))
    missed = [each for figures in results.values() for each in figures if each["reached"] is False]
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()
