"""How long dmlbench takes to start, next to a bare Python and an import of torch.

    python benchmarks/startup.py [ROUNDS]

Each round runs every command once, so that all of them meet the same load. The medians and their
ratios to ``python -c pass`` are printed as a markdown table.
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path

SCRIPT = str(Path(sys.executable).parent / "dmlbench")
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import dmlbench": [sys.executable, "-c", "import dmlbench"],
    "dmlbench --help": [SCRIPT, "--help"],
    "dmlbench list": [SCRIPT, "list"],
    "import torch": [sys.executable, "-c", "import torch"],
}


def seconds(command: list[str]) -> float:
    """Return how long `command` takes as a whole process."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main(rounds: int) -> None:
    """Print the table."""
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(rounds + 1):
        for name, command in COMMANDS.items():
            times[name].append(seconds(command))
    medians = {name: statistics.median(values[1:]) for name, values in times.items()}
    bare = medians["python -c pass"]
    print("| command | ms | over a bare Python |\n|:--|--:|--:|")
    for name, median in medians.items():
        print(f"| `{name}` | {1000 * median:.0f} | {median / bare:.1f} |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
