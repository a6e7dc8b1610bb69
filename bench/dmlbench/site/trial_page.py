"""The page of one trial: what it was, what it scored, how it learnt, what it retrieves."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from dmlbench.leaderboard.commands import row_command
from dmlbench.leaderboard.formats.escaping import REASON_LENGTH, plain
from dmlbench.leaderboard.metric_names import Facts, average, display_name
from dmlbench.leaderboard.rows import Row
from dmlbench.leaderboard.tables import Table
from dmlbench.schemas.record import Epoch, Record
from dmlbench.schemas.trial import ROW_KINDS
from dmlbench.site.chart_data import chart_data, has_curves
from dmlbench.site.embedding_map import principal_map
from dmlbench.site.gallery import gallery
from dmlbench.site.kept_embeddings import Embedded
from dmlbench.site.sitemap import Contents
from dmlbench.site.sortable_tables import Cell, Column, Sheet, trials
from dmlbench.site.templating import render


def trial_page(
    site: Contents, table: Table, row: Row, record: Record, found: Embedded | str
) -> str:
    """Return the page of `record`, which is one seed of `row`."""
    one = replace(row, records=(record,))
    finished = record.status == "finished"
    seen = found if finished and isinstance(found, Embedded) else None
    return render(
        "trial.html",
        site.trial(record),
        title=f"{row.label}, seed {record.trial.seed}",
        table=table,
        table_path=site.table(table),
        row=row,
        method_path=site.method(row),
        record=record,
        reason=plain(record.reason, REASON_LENGTH) or "no reason given",
        seeds=trials(site, row.records).links,
        components=_components(row, record),
        metrics=_metrics(record),
        epochs=_epochs(table, record.epochs, "epochs", "Epoch by epoch"),
        retraining=_epochs(table, record.retraining, "retraining", "Trained anew on all classes"),
        charts=chart_data(table, [one]) if has_curves(one) or one.metrics else None,
        curves=has_curves(one),
        facts=_facts(record),
        command=row_command(one),
        missing=found if isinstance(found, str) else "",
        gallery=gallery(seen) if seen else [],
        map=principal_map(seen) if seen else None,
    )


def _components(row: Row, record: Record) -> Sheet:
    lines = tuple(
        (
            Cell(kind),
            Cell(row.names.get(kind, "")),
            Cell(plain(f"{part.distribution} {part.version}") or "an import reference"),
            Cell(_listed(part.settings) or "none"),
            Cell(part.source[:12] or "not loaded"),
        )
        for kind, part in ((k, record.trial.parts[k]) for k in ROW_KINDS if k in record.trial.parts)
    )
    columns = (
        Column("Part", about="Kind of the component."),
        Column("Name", about="What tables call it."),
        Column("From", about="The package that offers it, and its version."),
        Column("Hyper-parameters", about="All of them, with their values in this trial."),
        Column("Hash of the source", about="It changes with the code that is run."),
    )
    return Sheet("parts", "Components", columns, lines)


def _metrics(record: Record) -> Sheet:
    names = average([record.metrics, record.last_epoch_metrics])
    lines = tuple(
        (
            Cell(display_name(name, record.metric_facts)),
            _figure(name, record.metrics, record.metric_facts),
            _figure(name, record.last_epoch_metrics, record.metric_facts),
        )
        for name in names
    )
    selected = f"Epoch {record.selected_epoch}" if record.selected_epoch is not None else "Selected"
    columns = (
        Column("Metric", about="Measured on the test items."),
        Column(f"{selected} (counts)", True, "The epoch that tables show."),
        Column("Last epoch", True, "What the whole training led to."),
    )
    return Sheet("metrics", "Test metrics in percent", columns, lines)


def _epochs(table: Table, epochs: Sequence[Epoch], name: str, caption: str) -> Sheet:
    """Return what was measured after each epoch; columns without a figure are left out."""
    metrics = [m for m in table.metrics if any(m in epoch.validation for epoch in epochs)]
    columns = [
        Column("Epoch", True, "Passes over the training items; 0 is the untrained network."),
        Column("Loss", True, "Mean over the steps of the epoch."),
        *(
            Column(f"Validation {display_name(metric)}", True, "On held-out classes, in percent.")
            for metric in metrics
        ),
    ]
    splits = [s for s in ("train", "test") if any(s in epoch.distances for epoch in epochs)]
    columns += [
        Column(f"{sign}, {split}", True, f"Mean cosine distance of {sign.lower()} pairs, {split}.")
        for split in splits
        for sign in ("Positive", "Negative")
    ]
    lines = []
    for epoch in epochs:
        cells = [Cell(str(epoch.epoch), number=epoch.epoch), _number(epoch.loss)]
        cells += [_percent(epoch.validation.get(metric)) for metric in metrics]
        for split in splits:
            distances = epoch.distances.get(split)
            cells.append(_number(distances.positive if distances else None))
            cells.append(_number(distances.negative if distances else None))
        lines.append(tuple(cells))
    return Sheet(name, caption, tuple(columns), tuple(lines))


def _facts(record: Record) -> dict[str, str]:
    return {
        "Trial": record.trial.id,
        "Status": record.status + (", collapsed" if record.collapsed else ""),
        "Epoch that counts": plain(record.selection) or "none",
        "Details": _listed(record.details),
        "Settings": _listed(record.settings),
        "Versions": _listed(record.versions),
        "Measured": _listed(record.measurements),
    }


def _listed(values: Mapping[str, Any]) -> str:
    told = (f"{name}: {values[name]}" for name in sorted(values) if values[name] != "")
    return plain(", ".join(told), 1000)


def _figure(name: str, metrics: Mapping[str, float], facts: Facts) -> Cell:
    value = metrics.get(name)
    if value is None or name not in facts or facts[name].is_share:
        return _percent(value)
    return Cell(f"{value:.4g}", number=value)


def _percent(value: float | None) -> Cell:
    return Cell() if value is None else Cell(f"{100 * value:.2f}", number=value)


def _number(value: float | None) -> Cell:
    return Cell() if value is None else Cell(f"{value:.4f}", number=value)
