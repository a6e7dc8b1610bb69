"""The first lines of a run: what it will take, and what that rests on."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta

from dmlbench.compute.memory import installed_memory
from dmlbench.counted import counted
from dmlbench.planning.cost import Cost

_UNITS = ((86_400.0, "days"), (3_600.0, "h"), (60.0, "min"), (1.0, "s"))


def sentences(
    cost: Cost, slots: int | None, device: str, now: datetime, *, here: bool = True
) -> Iterator[str]:
    """Yield lines on time, memory and disk; none if there is nothing to run.

    Args:
        cost: of the trials that are to run.
        slots: how many run side by side; None if the executor does not say.
        device: ``cpu``, or the name of the GPU.
        now: when they start.
        here: whether they run on this machine, so that its memory has to do.
    """
    if not cost.trials:
        return
    yield f"Time: {_time(cost, slots, device, now)}."
    if cost.seconds:
        counts = Counter(cost.basis.values())
        yield (
            "  From "
            + "; ".join(f"{text} ({counted(n, 'trial')})" for text, n in counts.most_common())
            + "."
        )
    yield f"Memory and disk: {', '.join(_room(cost, slots if here else None))}."


def _time(cost: Cost, slots: int | None, device: str, now: datetime) -> str:
    unknown = len(cost.trials) - len(cost.seconds)
    rest = (
        f"nothing tells how long {unknown:,} of the trials take on {device}; --probe times a few "
        "steps of them"
    )
    if not cost.seconds:
        return rest
    where = "one core" if device == "cpu" else device
    text = f"about {duration(cost.total)} of {where}"
    if slots:
        elapsed = cost.elapsed(slots)
        over = now + timedelta(seconds=elapsed)
        shown = over.strftime("%H:%M" if over.date() == now.date() else "%d %B, %H:%M")
        text += f", {duration(elapsed)} with {slots} side by side: until {shown}"
    return f"{text}; {rest}" if unknown else text


def _room(cost: Cost, slots: int | None) -> Iterator[str]:
    if cost.memory_mib:
        text = f"up to {cost.memory_mib / 1024:.1f} GiB a worker"
        if slots:
            there = installed_memory() / 2**30
            text += f", {slots * cost.memory_mib / 1024:.1f} of the {there:.0f} GiB here"
        yield text
    else:
        yield "nothing tells the memory"
    if cost.photo_bytes:
        yield f"photos {_size(cost.photo_bytes)}, which are decoded"
    if cost.feature_bytes:
        yield f"features {_size(cost.feature_bytes)}"
    if not cost.photo_bytes and not cost.feature_bytes:
        yield "no photos or features to keep"


def duration(seconds: float) -> str:
    """Return seconds in the unit that suits them.

    Example:
        >>> duration(95), duration(7_000), duration(400_000)
        ('1.6 min', '1.9 h', '4.6 days')
    """
    size, unit = next((u for u in _UNITS if seconds >= 1.5 * u[0]), _UNITS[-1])
    amount = seconds / size
    return f"{amount:.0f} {unit}" if amount >= 10 or unit == "s" else f"{amount:.1f} {unit}"


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
