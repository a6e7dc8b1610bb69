"""Fuzzes the parsers: files and arguments by mutation, until one fails with an error not ours.

    pip install atheris                                       # once, if there is a wheel
    python benchmarks/fuzz.py --minutes 10                    # all parsers, one after the other
    python benchmarks/fuzz.py --minutes 10 npz "label lines"  # two of them

Atheris mutates what reaches new lines of Python code. Without it, bytes of valid files are changed
at random, from a seed. A crash is an error that is no `DmlbenchError`, a case of more than
a minute of processor time, or more than 3 GiB of memory; the input is kept, and the exit code is 1.
With ``--write`` the table goes to ``docs/measurements/fuzzing.md``.
"""

import argparse
import os
import platform
import random
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "measurements" / "fuzzing.md"
SOURCES = os.pathsep.join(str(ROOT / folder) for folder in (".", "bench", "plugins"))
SECONDS, WAITED, MIB = 60, 600, 3072
"""What a case may take: of processor time, of time, and of memory."""

_WATCHED = (
    *("dmlbench.reading", "dmlbench.schemas", "dmlbench.storage", "dmlbench.audit"),
    *("dmlbench.components", "dmlbench.retrieval.embedding_files", "dmlbench.retrieval.labels"),
    *("dmlbench_datasets.idx", "dmlbench_datasets.label_files"),
    *("tomllib", "zipfile", "numpy.lib._format_impl", "numpy.lib._utils_impl"),
)
"""Modules whose lines guide the mutations; each takes time to prepare."""


@dataclass(frozen=True)
class Outcome:
    """What came of fuzzing a parser."""

    cases: int
    seconds: float
    crash: str
    """What went wrong; empty if nothing did."""


def mutated(seeds: list[bytes], words: tuple[bytes, ...], draw: random.Random) -> bytes:
    """Return one of the seeds with one to six pieces changed, taken out, repeated or put in."""
    content = draw.choice(seeds)
    for _ in range(draw.randint(1, 6)):
        at = draw.randint(0, len(content))
        end = min(len(content), at + draw.choice((0, 0, 1, 1, 4, 16, 200)))
        pieces = (draw.randbytes(draw.choice((0, 1, 1, 2, 8))), 3 * content[at:end])
        piece = draw.choice((*pieces, draw.choice(words) if words else b""))
        content = content[:at] + piece + content[end:]
    return content


def cases(seeds: list[bytes], words: tuple[bytes, ...], seed: int) -> Iterator[bytes]:
    """Yield the seeds, then what mutations make of them; the same for one `seed`."""
    yield from seeds
    draw = random.Random(seed)
    while True:
        yield mutated(seeds, words, draw)


def _work(name: str, seconds: float, engine: str, kept: Path) -> None:
    """Fuzz one parser in this process, which ends with the first crash."""
    if engine == "atheris":
        import atheris

        with atheris.instrument_imports(include=list(_WATCHED)):
            from benchmarks.fuzz_targets import TARGETS
    else:
        from benchmarks.fuzz_targets import TARGETS

    from dmlbench.errors import DmlbenchError

    target = TARGETS[name]

    def one_case(content: bytes) -> None:
        with suppress(DmlbenchError):
            target.run(content)

    if engine == "atheris":
        with TemporaryDirectory() as folder:
            corpus, words = Path(folder, "corpus"), Path(folder, "words")
            corpus.mkdir()
            for number, seed in enumerate(target.seeds()):
                (corpus / str(number)).write_bytes(seed)
            quoted = ["".join(f"\\x{byte:02x}" for byte in word) for word in target.words]
            words.write_text("".join(f'"{word}"\n' for word in quoted if word))
            options = [
                *(f"-max_total_time={seconds:.0f}", f"-timeout={WAITED}", f"-rss_limit_mb={MIB}"),
                *("-print_final_stats=1", "-max_len=100000", "-seed=1", f"-dict={words}"),
                f"-artifact_prefix={kept}/",
            ]
            atheris.Setup([sys.argv[0], *options, str(corpus)], one_case)
            atheris.Fuzz()

    def too_long(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"more than {SECONDS} seconds of processor time, or {WAITED} in all")

    for number in (signal.SIGALRM, signal.SIGPROF):
        signal.signal(number, too_long)
    end = time.monotonic() + seconds
    for number, content in zip(count(), cases(target.seeds(), target.words, seed=1), strict=False):
        if time.monotonic() > end:
            break
        (kept / "current").write_bytes(content)  # there after a death by the system, too
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        signal.alarm(WAITED)
        one_case(content)
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)
        print(f"stat::number_of_executed_units: {number + 1}", file=sys.stderr)
    if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10 > MIB:
        raise MemoryError(f"more than {MIB} MiB")
    os._exit(0)


def fuzz(name: str, seconds: float, engine: str, kept: Path) -> Outcome:
    """Fuzz one parser in a process of its own."""
    kept.mkdir(parents=True, exist_ok=True)
    words = (__file__, "--work", name, "--minutes", str(seconds / 60), "--engine", engine)
    began = time.monotonic()
    with (kept / "log").open("w") as log:
        done = subprocess.run(
            [sys.executable, *words, "--kept", str(kept)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": SOURCES, "HF_HUB_OFFLINE": "1"},
            stdout=subprocess.DEVNULL,
            stderr=log,
            check=False,
        )
    said = (kept / "log").read_text(errors="replace")
    counts = re.findall(r"^stat::number_of_executed_units: *(\d+)", said, re.MULTILINE)
    found = re.findall(r"^([\w.]*(?:Error|Exception|Interrupt)\b.*|.*ERROR: lib.*)", said, re.M)
    crash = (
        "" if done.returncode == 0 else f"exit code {done.returncode}: {found[-1:] or said[-300:]}"
    )
    return Outcome(int(counts[-1]) if counts else 0, time.monotonic() - began, crash)


def _page(outcomes: dict[str, Outcome], engine: str) -> str:
    rows = [
        f"| {name} | {found.cases:,} | {found.seconds:,.0f} | {found.crash or '-'} |"
        for name, found in outcomes.items()
    ]
    version = platform.python_version()
    how = "atheris" if engine == "atheris" else "random changes of bytes, from a seed"
    return "\n".join(
        (
            "# Fuzzing of the parsers",
            "",
            f"By `benchmarks/fuzz.py`, Python {version}, mutations by {how}. A case is one file or",
            "one command line; a crash is an error that is no `DmlbenchError`, more than",
            f"{SECONDS} seconds of processor time, or more than {MIB >> 10} GiB. Seconds are those",
            "of the clock, on shared cores, start included.",
            "",
            "| Parser | Cases | Seconds | Crash |",
            "|---|---:|---:|---|",
            *rows,
            "",
        )
    )


def main() -> None:
    """Fuzz what was asked for, print a table, and exit with 1 if anything crashed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help="parsers; all if none is named")
    parser.add_argument("--minutes", type=float, default=10.0, help="for each parser")
    engines = ("atheris", "random")
    usual = "atheris" if find_spec("atheris") else "random"
    parser.add_argument("--engine", choices=engines, default=usual)
    parser.add_argument("--kept", type=Path, default=ROOT / "fuzzed", help="for logs and crashes")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.relative_to(ROOT)}")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.work:
        _work(asked.work, 60 * asked.minutes, asked.engine, asked.kept)
    sys.path.insert(0, str(ROOT))
    from benchmarks.fuzz_targets import TARGETS

    outcomes = {}
    for name in asked.names or TARGETS:
        kept = asked.kept / name.replace(" ", "-")
        outcomes[name] = fuzz(name, 60 * asked.minutes, asked.engine, kept)
        print(f"{name}: {outcomes[name]}", flush=True)
    if asked.write:
        PAGE.write_text(_page(outcomes, asked.engine))
    sys.exit(any(found.crash for found in outcomes.values()))


if __name__ == "__main__":
    main()
