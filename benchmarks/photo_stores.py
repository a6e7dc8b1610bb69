"""Measure what it costs to keep photos larger than the plain squares need, for training crops.

Run it with photos of Stanford Cars in the data folder:

    DMLBENCH_DATA=... python benchmarks/photo_stores.py
"""

import argparse
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from feed import BATCH, SHORT, SIDE, Fed, find_archive, stored, write_photos
from tabulate import tabulate
from turns import describe_machine, in_turns, over, typical

PAGE = Path(__file__).parents[1] / "docs" / "measurements" / "photo-stores.md"
PACKAGES = ("torch", "pillow", "numpy")
STORE = 512
SIZES = ((500, 375), (640, 480), (1024, 768))
HEADERS = ["photos", "kept", "kB a photo", "decoding, CPU ms", "over", "a crop, CPU ms", "over"]
SIDES = {f"short side {SHORT}": None, f"at most {STORE}, and squares": STORE}


def rows(size: tuple[int, int], folder: Path, options: argparse.Namespace) -> list[list[Any]]:
    """Return the rows of the table for photos of one size."""
    paths = write_photos(find_archive(options.data), folder / str(size), options.photos, size)
    rng = np.random.default_rng(0)
    batches = [rng.integers(len(paths), size=BATCH) for _ in range(options.batches)]

    def decode(side: int | None) -> int:
        with TemporaryDirectory(dir=folder) as empty:
            return len(stored(paths, Path(empty), side))

    kept = {name: stored(paths, folder, side) for name, side in SIDES.items()}
    feeds = {name: Fed(photos, batches, 0) for name, photos in kept.items()}
    decoding = in_turns({n: lambda s=s: decode(s) for n, s in SIDES.items()}, options.repeats)
    reading = in_turns({n: lambda f=f: f.epoch(1) for n, f in feeds.items()}, options.repeats)
    usual = next(iter(SIDES))
    found = []
    for name, photos in kept.items():
        cells = [
            f"{size[0]}x{size[1]}",
            name,
            f"{photos.store.pixels.size / len(paths) / 1000:.0f}",
        ]
        for took in (decoding, reading):
            cells.append(f"{1000 * typical(took[name], 'computed'):.2f}")
            cells.append(f"{over(took[name], took[usual], 'computed'):.2f}")
        found.append(cells)
    return found


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("DMLBENCH_DATA", "."))
    parser.add_argument("--photos", type=int, default=128)
    parser.add_argument("--batches", type=int, default=4, help=f"of {BATCH}")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=PAGE, help="markdown file to write")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        table = [row for size in SIZES for row in rows(size, Path(folder), options)]
    page = (
        "# What larger photos cost\n\n"
        f"Made by `benchmarks/photo_stores.py`. With `store_side = {STORE}` photos are kept with a "
        f"short side of at most {STORE} pixels, each with the square of {SIDE} that tests see; "
        f"without, they are kept with {SHORT}. They are those of Stanford Cars brought to the size "
        "named, with grain; *kB* is what a decoded photo takes on disk. Decoding happens once on "
        f"a machine. A crop is random-resized (8 % of the area or more) to {SIDE} pixels, flipped "
        "and normalised. CPU times are of all threads; contenders take turns; results are medians "
        f"of {options.repeats} turns. {describe_machine(PACKAGES, load)}\n\n"
        f"{tabulate(table, HEADERS, tablefmt='github', disable_numparse=True)}\n"
    )
    options.out.write_text(page, encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()
