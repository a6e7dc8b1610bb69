"""What a page says about its data, protocol and software, in a sentence each."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from dmlbench.counted import counted
from dmlbench.leaderboard.formats.escaping import plain
from dmlbench.leaderboard.ranking_cells import NOTHING
from dmlbench.leaderboard.tables import Table
from dmlbench.schemas.protocol import Augmentation, Length, Optimiser, Protocol

_TIES = (
    "pessimistic: an item of another class that is as similar, within the error of float32, "
    "comes first"
)


def protocol_facts(table: Table) -> dict[str, str]:
    """Return what was held equal for all rows, by topic."""
    protocol, optimiser = table.protocol, table.protocol.optimiser
    seeds = sorted({record.trial.seed for record in table.records})
    return {
        "Dataset": _dataset(table),
        "Network": f"{_names(table, 'backbone', protocol.backbone)}, embedding size "
        f"{protocol.embedding_dim}, {protocol.precision}"
        + (" (frozen: a linear head learns on its features)" if protocol.frozen else "")
        + ("" if protocol.head_init == "torch" else f", head initialised: {protocol.head_init}")
        + f"; pre-trained on: {_pretraining(table)}",
        "Photos": _photos(protocol),
        "Batches": f"{protocol.batch_size} items by {_names(table, 'sampler', protocol.sampler)}"
        + "".join(_augmented(protocol.augmentation)),
        "Training": f"{_duration(protocol.length)}; "
        f"{optimiser.name}, learning rate {optimiser.lr:g} ({_schedule(optimiser)}, "
        f"{counted(optimiser.warmup_steps, 'step')} of warm-up), "
        f"weight decay {optimiser.weight_decay:g}"
        + ("" if optimiser.decay_norms_and_biases else " (not of norms and biases)")
        + "".join(_rarely_set(optimiser)),
        "Epoch that counts": _selection(table),
        **_measure(table),
        "Seeds": ", ".join(map(str, seeds)),
        "To be beaten": ", ".join(map(plain, protocol.baselines.floors)) or "nothing",
        "Protocol": f"{plain(protocol.name)}; source: {plain(protocol.source, 200)}",
    }


def _photos(protocol: Protocol) -> str:
    text = "where the data are photos, "
    if side := protocol.crops_from:
        text += f"training crops from at most {side} pixels on the short side; else "
    return (
        f"{text}{protocol.short_side} pixels on the short side, cut to squares of "
        f"{protocol.image_size} ({protocol.interpolation})"
    )


def _augmented(choices: Augmentation) -> Iterator[str]:
    if choices.crop == "random":
        yield ", each cut at a random place"
    if choices.crop == "random-resized":
        yield f", each cut to a random part ({100 * choices.crop_scale:g} % of its area or more, "
        yield f"sides up to {choices.crop_ratio:.3g} to 1)"
    if choices.shift:
        yield f", each moved by up to {100 * choices.shift:g} % of its side"
    if choices.flip:
        yield ", half of them mirrored"
    colours = ("brightness", "contrast", "saturation", "hue")
    changed = [f"{name} {getattr(choices, name):g}" for name in colours if getattr(choices, name)]
    if changed:
        yield f", colours changed ({', '.join(changed)})"


def _duration(length: Length) -> str:
    least = f", or more for {length.min_passes:g} passes in all" if length.min_passes else ""
    if length.steps_per_epoch == "pass":
        return (
            f"{counted(length.epochs, 'epoch')}, each a pass over the training items in whole "
            f"batches{least}"
        )
    steps = length.epochs * length.steps_per_epoch
    each = counted(length.steps_per_epoch, "step")
    return f"{counted(length.epochs, 'epoch')} x {each} = {counted(steps, 'step')}{least}"


def _schedule(optimiser: Optimiser) -> str:
    if optimiser.schedule == "step":
        return f"times {optimiser.step_factor:g} every {optimiser.step_epochs} epochs"
    if optimiser.schedule == "milestones":
        epochs = ", ".join(map(str, optimiser.milestones))
        return f"times {optimiser.step_factor:g} after epochs {epochs}"
    return optimiser.schedule


def _rarely_set(optimiser: Optimiser) -> Iterator[str]:
    if optimiser.head_lr_multiple != 1:
        yield f", {optimiser.head_lr_multiple:g} times the rate for the head"
    if optimiser.class_vectors_lr is not None:
        yield f", {optimiser.class_vectors_lr:g} for class vectors (house rate)"
    if optimiser.class_vectors_lr_multiple is not None:
        yield f", {optimiser.class_vectors_lr_multiple:g} times the rate for class vectors "
        yield "(house rate)"
    if optimiser.eps is not None:
        yield f", eps {optimiser.eps:g}"
    if optimiser.head_only_epochs:
        first = counted(optimiser.head_only_epochs, "epoch")
        yield f", the first {first} for the head and the loss alone"
    if optimiser.clip_norm:
        yield f", gradients clipped at {optimiser.clip_norm:g}"
    if optimiser.clip_value:
        yield f", their values at {optimiser.clip_value:g}"


def provenance(table: Table) -> dict[str, str]:
    """Return all versions and settings that the figures were made with."""
    versions = _all_values(record.versions for record in table.records)
    telling = [record for record in table.records if record.settings]
    names: set[str] = set().union(*(record.settings for record in telling))
    known = [
        {name: value for name in names if (value := record.setting(name)) is not None}
        for record in telling
    ]
    silent = {plain(name) for name in names if not all(name in one for one in known)}
    settings = {
        name: f"{values} or not recorded" if name in silent else values
        for name, values in _all_values(known).items()
    }
    return {
        "Versions": "; ".join(f"{name} {numbers}" for name, numbers in versions.items()),
        "Settings": "; ".join(f"{name}: {values}" for name, values in settings.items()),
    }


def _dataset(table: Table) -> str:
    items = _counts(table, "test_items")
    lone = _counts(table, "lone_queries")
    text = plain(str(table.dataset))
    if table.dataset.distribution:
        text += f" (of {plain(table.dataset.distribution)} {plain(table.dataset.version)})"
    if table.partial:
        text += ", PARTIAL DATA"
    text += f", fingerprint {plain(table.fingerprint[:16]) or 'unknown'}"
    if items:
        text += f", {items} test item{'' if items == '1' else 's'}"
    if lone not in ("", "0"):
        text += f", {lone} of them lone queries (left out: nothing of their class to find)"
    return text


def _measure(table: Table) -> dict[str, str]:
    if table.headline == "knn_accuracy":
        folds = "5 stratified folds, the same for every row; 5 nearest neighbours, Euclidean"
        return {"Cross-validation": folds}
    return {"Distance": table.protocol.distance, "Ties": _TIES}


def _selection(table: Table) -> str:
    rules = {
        plain(record.selection)
        for row in table.rows
        for record in row.finished
        if not row.is_baseline and record.selection
    }
    if not rules:
        return "no network was trained"
    choices = table.protocol.validation
    share = f"{100 * choices.class_fraction:g} % of those of training"
    if choices.every > 1:
        share += f", every {choices.every} epochs"
    held_out = "held-out classes"
    told = [rule.replace(held_out, f"{held_out} ({share})") for rule in sorted(rules)]
    return " or ".join(told) + "; never chosen on test"


def _names(table: Table, kind: str, planned: str) -> str:
    names = {row.names[kind] for row in table.rows if kind in row.names and not row.is_baseline}
    return ", ".join(sorted(names)) or plain(planned)


def _pretraining(table: Table) -> str:
    found = {row.pretrained_on for row in table.rows if "backbone" in row.names and row.finished}
    return " or ".join(sorted(text or NOTHING for text in found)) or NOTHING


def _counts(table: Table, detail: str) -> str:
    return ", ".join(
        f"{n:,.0f}" for n in sorted({n for row in table.rows for n in row.numbers(detail)})
    )


def _all_values(mappings: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return all values of each key, sorted by key."""
    pairs = {(name, str(value)) for mapping in mappings for name, value in mapping.items()}
    values: dict[str, set[str]] = {}
    for name, value in pairs:
        values.setdefault(plain(name), set()).add(plain(value))
    return {name: ", ".join(sorted(values[name])) for name in sorted(values)}
