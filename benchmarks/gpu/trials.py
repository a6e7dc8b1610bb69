"""Whole trials: several on one card, one that is too large, and one of the house standard."""

import time
from typing import Any
from unittest import mock

import torch
from benchmarks.gpu.figures import Figure
from benchmarks.gpu.place import Place

import dmlbench
from dmlbench.training import loop


def sharing(place: Place) -> list[Figure]:
    """Run small trials side by side on the card, and one after the other."""
    trials = 2 if place.small else 8
    length = {"protocol.length.epochs": "1" if place.small else "3"}
    length |= {"protocol.length.steps_per_epoch": "2" if place.small else "200"}
    size = {"protocol.short_side": "72", "protocol.image_size": "64", "protocol.batch_size": "16"}
    seconds, figures = {}, {}
    for jobs in (trials, 1):
        request = place.request("triplet", **({} if place.small else size), **length)
        request |= {"seeds": trials}
        request |= {"jobs": jobs, "device": place.device_name}
        request |= {} if place.small else {"backbone": "timm/resnet18"}
        dmlbench.plan(**{k: v for k, v in request.items() if k not in ("jobs", "device")})
        started = time.perf_counter()
        records = dmlbench.run(**request, output=place.folder / f"sharing-{jobs}")
        seconds[jobs] = time.perf_counter() - started
        figures[jobs] = [(record.status, record.metrics) for record in records]
    times = seconds[1] / seconds[trials]
    fast = times >= 3 if place.on_gpu and not place.small else None
    same = figures[1] == figures[trials] and all(one == "finished" for one, _ in figures[1])
    return [
        Figure(f"{trials} trials side by side", f"{times:.1f}x", "3x", fast),
        Figure("their figures", "equal" if same else "differ", "equal", same),
    ]


def out_of_memory(place: Place) -> list[Figure]:
    """Run a trial that doesn't fit, and one that does after it, in the same process."""
    short = {"protocol.length.epochs": "1", "protocol.length.steps_per_epoch": "2"}
    with too_little_memory(place):
        (failed,) = run(place, "too-large", "contrastive", **short)
    (after,) = run(place, "after", "contrastive", **short)
    reason = failed.reason.splitlines()[0][:80] if failed.reason else "none"
    said = failed.status == "failed" and "OutOfMemoryError" in failed.reason
    return [
        Figure("a trial that is too large", f"{failed.status}: {reason}", "fails, says why", said),
        Figure("the next trial", after.status, "finished", after.status == "finished"),
    ]


def too_little_memory(place: Place) -> Any:
    """Return a context in which the network's first step runs out of memory.

    On a GPU it really does: torch may take a thousandth of the card. On a CPU the step raises what
    a GPU's would.
    """
    if place.on_gpu:
        return _SmallCard(place.device)
    full = torch.OutOfMemoryError("a stand-in for a full card")
    return mock.patch.object(loop, "take_step", side_effect=full)


class _SmallCard:
    def __init__(self, device: torch.device) -> None:
        self.index = device.index or 0

    def __enter__(self) -> None:
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction(0.001, self.index)

    def __exit__(self, *error: object) -> None:
        torch.cuda.set_per_process_memory_fraction(1.0, self.index)


def house(place: Place) -> list[Figure]:
    """Run one trial of the house standard on whatever photos are there."""
    ready = [] if place.small else ready_datasets()
    if not ready:
        return [Figure("house standard", "not run: no photos in DMLBENCH_DATA")]
    return house_on(place, ready[0])


def house_on(place: Place, dataset: str) -> list[Figure]:
    """Run one trial of the house standard on a dataset, cut to five epochs.

    From random weights, as there is no network: its figures say that it runs, and how fast.
    """
    length = {"protocol.length.epochs": "5"}
    length |= {"protocol.length.steps_per_epoch": "2"} if place.small else {}
    request = place.request("proxy-anchor", **length)
    request |= {"datasets": dataset, "device": place.device_name, "executor": "inline"}
    (record,) = dmlbench.run(**request, output=place.folder / "house", allow_partial=True)
    parts = ("load", "train", "validate", "test")
    times = [f"{name} {record.measurements.get(f'{name}_seconds')} s" for name in parts]
    value = ", ".join([record.status, record.reason[:80], *times] if record.reason else times)
    return [Figure(f"house standard on {dataset}", value, "finished", record.status == "finished")]


def ready_datasets() -> list[str]:
    """Return those photo datasets whose data are on this machine, the smallest first."""
    from dmlbench.api.running import data_folder
    from dmlbench.components.catalogue import Catalogue
    from dmlbench.components.composition import make

    folder, catalogue = data_folder(None), Catalogue.discover()
    return [
        name
        for name in ("cub", "cars", "inshop", "sop")
        if not make(catalogue, "dataset", name, {}).missing(folder)
    ]


def run(place: Place, folder: str, losses: str, **settings: str) -> Any:
    """Run a request in this process."""
    request = place.request(losses, **settings)
    request |= {"device": place.device_name, "executor": "inline"}
    return dmlbench.run(**request, output=place.folder / folder)
