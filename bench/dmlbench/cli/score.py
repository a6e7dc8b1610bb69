"""``dmlbench score``: exact retrieval metrics of embeddings that were made elsewhere."""

import json
from pathlib import Path

import click

from dmlbench.api.defaults import DISTANCE, RECALL_AT, SCORE_DEVICE
from dmlbench.cli.options import metrics_option

_File = click.Path(path_type=Path)


def _ranks(context: click.Context, option: click.Parameter, value: str) -> tuple[int, ...]:
    try:
        return tuple(sorted({int(part) for part in value.split(",") if part}))
    except ValueError:
        raise click.BadParameter(f"{value!r} is no list of ranks such as 1,10,100.") from None


def _labels(context: click.Context, option: click.Parameter, value: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",") if part.strip())


@click.command("score")
@click.argument("file", type=_File)
@click.option("--labels", type=_File, help="Classes, a .npy file, if FILE does not hold them.")
@click.option("--gallery", type=_File, help="What is searched; FILE then holds the queries.")
@click.option("--gallery-labels", type=_File, help="Classes of the gallery, a .npy file.")
@click.option(
    "--recall-at", default=",".join(map(str, RECALL_AT)), show_default=True, callback=_ranks
)
@click.option("--precision-at", default="", callback=_ranks, help="Ranks of precision@k.")
@click.option("--map", "whole", is_flag=True, help="Mean average precision of whole rankings too.")
@metrics_option
@click.option("--distance", default=DISTANCE, show_default=True, help="How items are compared.")
@click.option(
    "--covariance-from",
    type=_File,
    help="Training embeddings, for --distance mahalanobis. (Any file that FILE may be.)",
)
@click.option(
    "--ignore-labels",
    metavar="LABELS",
    default="",
    callback=_labels,
    help="Labels of distractors, such as -1,junk: found, but no queries and never right.",
)
@click.option(
    "--leave-out",
    metavar="NAME",
    help="An array of FILE (and the gallery), such as cameras: no query finds items for which it "
    "is the same.",
)
@click.option("--device", default=SCORE_DEVICE, show_default=True, help="cpu, cuda, cuda:1 …")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, not a table.")
def command(
    file: Path,
    labels: Path | None,
    gallery: Path | None,
    gallery_labels: Path | None,
    recall_at: tuple[int, ...],
    precision_at: tuple[int, ...],
    whole: bool,
    metrics: tuple[str, ...],
    distance: str,
    covariance_from: Path | None,
    ignore_labels: tuple[str, ...],
    leave_out: str | None,
    device: str,
    as_json: bool,
) -> None:
    """Score the embeddings in FILE, each item searching all others, or a --gallery.

    FILE is .npz or .safetensors with arrays `embeddings` and `labels`, .parquet with columns of
    these names, .npy with --labels, or what run --keep-embeddings wrote beside a record. Labels are
    integers or texts.
    """
    from dmlbench.api.scoring import score

    found = score(
        file,
        labels=labels,
        gallery=gallery,
        gallery_labels=gallery_labels,
        recall_at=recall_at,
        precision_at=precision_at,
        map=whole,
        metrics=metrics,
        distance=distance,
        covariance_from=covariance_from,
        ignore_labels=ignore_labels,
        leave_out=leave_out,
        device=device,
    )
    for note in found.notes:
        click.echo(f"dmlbench: {note}", err=True)
    figures = found.metrics
    if as_json:
        click.echo(json.dumps(figures, indent=1))
        return
    for name, value in figures.items():
        share = name not in found.plain
        text = f"{100 * value:.2f} %" if share else f"{value:,.4g}"
        if isinstance(value, int):
            text = f"{value:,}"
        click.echo(f"{name:<24}{text:>12}")
    if found.collapsed:
        click.echo(
            "The embeddings differ by no more than float32 rounding: the model has collapsed. "
            "Rounding decides their ranking; a trial would score 0.",
            err=True,
        )
