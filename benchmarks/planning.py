"""What a dry run takes on sets of the official sizes, and the plan of 10,000 trials.

    python benchmarks/planning.py FOLDER [--side 64]

Writes CUB-200-2011, Cars196 and Stanford Online Products with made photos of 64 pixels or so to
FOLDER, in their authors' layout and with their numbers of images and classes. The first dry run
decodes the photos, which takes minutes and some 25 GB of disk, or 4 GB with photos stored at 64
pixels; then a few are timed. Seconds are of the processor: the clock also counts other programs.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

SIZES = {"cub": (5_864, 100, 5_924, 100), "cars": (8_054, 98, 8_131, 98)}
SOP = (59_551, 11_318, 60_502, 11_316)
ROUNDS = 3
SIDES = ("store_side", "short_side", "image_size")
MANY = """
import json, time
from dmlbench import plan
from dmlbench.api.cost import run_cost
from dmlbench.contracts.executor import WorkerSettings
from pathlib import Path
def memory():
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) / 1024
few = plan("digits", losses="all", seeds=1)
before = memory()
planned = plan("digits", losses="all", seeds=240)
cost = run_cost(planned, planned.trials, (), WorkerSettings(Path("none"), device="cpu"))
drawn = cost.drawn(planned.trials)
found = [len(drawn), time.process_time(), memory(), memory() - before]
print(json.dumps(found))
"""
RUN = ("run", "--all", "--dataset", "cub,cars,sop", "--protocol", "resnet50-512", "--dry-run")


def main() -> None:
    """Make the sets if they are not there, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--side", type=int, help="store photos of so many pixels")
    asked = parser.parse_args()
    folder, side = asked.folder, asked.side
    if not folder.exists():
        rng = np.random.default_rng(0)
        write_cub(folder, rng)
        write_cars(folder, rng)
        write_sop(folder, rng)
    first, text = dry_run(folder, side)
    print(text)
    times = [dry_run(folder, side)[0] for _ in range(ROUNDS)]
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(
        f"first dry run (decodes): {first:.0f} s; then {statistics.median(times):.1f} s, ", end=""
    )
    print(f"the median of {ROUNDS}; at most {peak:.0f} MiB in memory")
    done = subprocess.run([sys.executable, "-c", MANY], check=True, capture_output=True)
    trials, seconds, memory, more = json.loads(done.stdout)
    print(
        f"{trials:,} trials planned, with their cost and order: {seconds:.1f} s from the start of "
        f"the process, {memory:.0f} MiB of its own, {more:.0f} of them for the trials"
    )


def dry_run(folder: Path, side: int | None) -> tuple[float, str]:
    """Return the processor's seconds of a dry run on the sets in `folder`, and what it printed."""
    before = _processor_seconds()
    where = ("--data-dir", str(folder), "--cache-dir", str(folder / "cache"))
    output = ("--output", str(folder / "results"))
    sides = [f"--set=protocol.{name}={side}" for name in SIDES] if side else []
    command = [sys.executable, "-m", "dmlbench", *RUN, *where, *output, *sides]
    done = subprocess.run(command, check=True, capture_output=True)
    return _processor_seconds() - before, done.stdout.decode()


def _processor_seconds() -> float:
    """Return the seconds of the processor that processes started here have taken."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def classes(train: int, train_classes: int, test: int, test_classes: int) -> np.ndarray:
    """Return the class of each image, from 1 on, as even as can be."""
    return np.concatenate(
        [
            np.arange(train) % train_classes + 1,
            np.arange(test) % test_classes + 1 + train_classes,
        ]
    )


def picture(path: Path, rng: np.random.Generator) -> None:
    """Write a JPEG of 64 pixels or so that no other file equals."""
    size = (*rng.integers(6, 10, 2), 3)  # in blocks: copies of one size would be refused
    blocks = rng.integers(256, size=size, dtype=np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    Image.fromarray(blocks).save(path)


def write_cub(folder: Path, rng: np.random.Generator) -> None:
    """Write 11,788 photos of 200 classes."""
    root = folder / "CUB_200_2011"
    numbers = classes(*SIZES["cub"])
    for number in np.unique(numbers):
        (root / f"images/{number:03d}.Bird").mkdir(parents=True)
    images = [f"{c:03d}.Bird/Bird_{i:04d}_{c}.jpg" for i, c in enumerate(numbers)]
    for image in images:
        picture(root / "images" / image, rng)
    lines = {
        "classes": [f"{c} {c:03d}.Bird" for c in np.unique(numbers)],
        "images": [f"{i} {image}" for i, image in enumerate(images, 1)],
        "image_class_labels": [f"{i} {c}" for i, c in enumerate(numbers, 1)],
        "train_test_split": [f"{i} {i % 2}" for i in range(1, len(images) + 1)],
    }
    for name, rows in lines.items():
        (root / f"{name}.txt").write_text("\n".join(rows) + "\n")


def write_cars(folder: Path, rng: np.random.Generator) -> None:
    """Write 16,185 photos of 196 classes, as ``car_ims``."""
    numbers = classes(*SIZES["cars"])
    (folder / "car_ims").mkdir(parents=True)
    table = np.zeros(len(numbers), dtype=[("relative_im_path", object), ("class", object)])
    table["relative_im_path"] = [f"car_ims/{i:06d}.jpg" for i in range(1, len(numbers) + 1)]
    table["class"] = numbers
    for path in table["relative_im_path"]:
        picture(folder / path, rng)
    names = np.array([f"Car {number} Coupe 2012" for number in range(1, 197)], dtype=object)
    savemat(folder / "cars_annos.mat", {"annotations": table, "class_names": names})


def write_sop(folder: Path, rng: np.random.Generator) -> None:
    """Write 120,053 photos of 22,634 products."""
    root = folder / "Stanford_Online_Products"
    numbers = classes(*SOP)
    for kind in range(1, 13):
        (root / f"kind{kind}_final").mkdir(parents=True)
    rows = []
    for image, number in enumerate(numbers, 1):
        path = f"kind{number % 12 + 1}_final/{110_000_000_000 + number}_{image}.JPG"
        picture(root / path, rng)
        rows.append(f"{image} {number} {number % 12 + 1} {path}")
    header = "image_id class_id super_class_id path"
    for split, some in (("train", rows[: SOP[0]]), ("test", rows[SOP[0] :])):
        (root / f"Ebay_{split}.txt").write_text("\n".join([header, *some]) + "\n")


if __name__ == "__main__":
    main()
