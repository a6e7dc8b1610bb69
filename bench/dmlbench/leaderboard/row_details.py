"""How each row was made: what a reader needs to judge its figures."""

from collections.abc import Iterable

from dmlbench.leaderboard.metric_names import display_name, percent
from dmlbench.leaderboard.rows import Row
from dmlbench.leaderboard.tables import Table


def row_details(table: Table) -> tuple[list[str], list[list[str]]]:
    """Return headings and a line for each finished row; columns without a text are left out."""
    last = [metric for metric in table.metrics if metric in ("recall@1", table.headline)]
    counts = [metric for metric in last if metric == table.headline]
    extra = list(dict.fromkeys(heading for row in table.rows for heading in row.extra))
    headings = ["Row", "Hyper-parameters", "Sampler", "Backbone", "Dim", "Reducer", "Own LR"]
    headings += ["Epoch that counts", *(f"Its {display_name(metric)}" for metric in counts)]
    headings += [f"Last epoch: {display_name(metric)}" for metric in last]
    floors = [floor.label for floor in table.floors]
    headings += [f"Over {floor}" for floor in floors]
    headings += ["Tied queries", "Parameters", "Learnt from", "Seconds", "From", *extra]
    lines = [
        [
            row.label,
            row.hyperparameters,
            row.names.get("sampler", ""),
            row.names.get("backbone", ""),
            str(row.trial.protocol.embedding_dim) if "backbone" in row.names else "",
            row.text("reducer"),
            row.text("own_lr"),
            "" if row.is_baseline else _epoch(row),
            *(percent(row.metrics.get(metric)) for metric in counts),
            *(percent(row.last_epoch_metrics.get(metric)) for metric in last),
            *(percent(over) if over else "" for over in table.over_floors(row).values()),
            f"{100 * row.metrics['tied'].mean:.2f} %" if "tied" in row.metrics else "",
            _parameters(row),
            _learnt_from(row),
            "" if row.seconds is None else f"{row.seconds:.1f}",
            row.origin,
            *(row.extra.get(heading, "") for heading in extra),
        ]
        for row in table.rows
        if row.finished
    ]
    used = [place for place in range(len(headings)) if any(line[place] for line in lines)]
    return [headings[place] for place in used], [[line[place] for place in used] for line in lines]


def _epoch(row: Row) -> str:
    """Return the epochs that count, of how many: ``6–8 of 8``."""
    return f"{_span(row.selected_epochs)} of {row.trial.protocol.length.epochs}"


def _parameters(row: Row) -> str:
    """Return the number of weights: of the network, and of the loss if it has any."""
    counts = [row.numbers(detail) for detail in ("parameters", "loss_parameters")]
    return " + ".join(_span(count) for count in counts if any(count))


def _learnt_from(row: Row) -> str:
    """Return how many items the row learnt from: ``3,000 of 30,596`` if they were limited."""
    train = row.numbers("train_items")
    fitted = row.numbers("fit_items") or train
    if fitted and not any(fitted):
        return "nothing"
    return _span(fitted) + (f" of {_span(train)}" if fitted != train and train else "")


def _span(counts: Iterable[float]) -> str:
    """Return the count that all seeds share, or the least and the greatest."""
    known = sorted(set(counts))
    return "–".join(f"{count:,.0f}" for count in dict.fromkeys([*known[:1], *known[-1:]]))
