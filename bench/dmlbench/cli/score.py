"""``dmlbench score``: exact retrieval metrics of embeddings that were made elsewhere."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dmlbench.cli.options import metrics_option

if TYPE_CHECKING:
    from dmlbench.retrieval import Metric, RetrievalResult

_File = click.Path(path_type=Path)


def _ranks(context: click.Context, option: click.Parameter, value: str) -> tuple[int, ...]:
    try:
        return tuple(sorted({int(part) for part in value.split(",") if part}))
    except ValueError:
        raise click.BadParameter(f"{value!r} is no list of ranks such as 1,10,100.") from None


@click.command("score")
@click.argument("file", type=_File)
@click.option("--labels", type=_File, help="Classes, a .npy file, if FILE does not hold them.")
@click.option("--gallery", type=_File, help="What is searched; FILE then holds the queries.")
@click.option("--gallery-labels", type=_File, help="Classes of the gallery, a .npy file.")
@click.option("--recall-at", default="1,10,100,1000", show_default=True, callback=_ranks)
@click.option("--precision-at", default="", callback=_ranks, help="Ranks of precision@k.")
@click.option("--map", "whole", is_flag=True, help="Mean average precision of whole rankings too.")
@metrics_option
@click.option("--distance", default="cosine", show_default=True, help="How items are compared.")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1 …")
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
    device: str,
    as_json: bool,
) -> None:
    """Score the embeddings in FILE, each item searching all others, or a --gallery.

    FILE is .npz or .safetensors with arrays `embeddings` and `labels`, .parquet with columns of
    these names, or .npy with --labels.
    """
    from dmlbench.retrieval import evaluate
    from dmlbench.retrieval.embedding_files import read_embeddings

    if device != "cpu":  # torch takes a second to load, and NumPy does for the CPU
        from dmlbench.compute.device import pick_device

        device = str(pick_device(device))
    chosen = _chosen(metrics)
    embeddings, classes = read_embeddings(file, labels)
    others: tuple[Any, Any] = (None, None)
    if gallery is not None:
        others = read_embeddings(gallery, gallery_labels)
    elif gallery_labels is not None:
        raise click.UsageError("--gallery-labels needs a --gallery.")
    classes, other_classes = _numbered(classes, others[1])
    result = evaluate(
        embeddings,
        classes,
        others[0],
        other_classes,
        recall_at=recall_at,
        precision_at=precision_at,
        mean_average_precision=whole,
        metrics=chosen,
        distance=distance,
        device=device,
    )
    figures = _figures(result)
    if as_json:
        click.echo(json.dumps(figures, indent=1))
        return
    for name, value in figures.items():
        share = name not in chosen or chosen[name].is_share
        text = f"{100 * value:.2f} %" if share else f"{value:,.4g}"
        if isinstance(value, int):
            text = f"{value:,}"
        click.echo(f"{name:<24}{text:>12}")
    if result.collapsed:
        click.echo("All embeddings are as good as equal: the model has collapsed.", err=True)


def _chosen(names: tuple[str, ...]) -> "dict[str, Metric]":
    """Return the metrics asked for by key; packages are looked through only if one is."""
    if not names:
        return {}
    from dmlbench.components.catalogue import Catalogue
    from dmlbench.components.metrics import choose_metrics

    return choose_metrics(names, Catalogue.discover()).metrics


def _numbered(classes: Any, others: Any) -> tuple[Any, Any]:
    """Return classes as numbers that mean the same in both arrays; names may be texts.

    Raises:
        DataError: they are of types that can't be compared.
    """
    import numpy as np

    from dmlbench.errors import DataError

    if all(part is None or np.asarray(part).dtype.kind in "iu" for part in (classes, others)):
        return classes, others
    try:
        both = classes if others is None else np.concatenate([classes, others])
        numbers = np.unique(both, return_inverse=True)[1]
    except TypeError as error:
        raise DataError(f"The labels can't be compared with each other: {error}.") from error
    return numbers[: len(classes)], None if others is None else numbers[len(classes) :]


def _figures(result: "RetrievalResult") -> dict[str, float | int]:
    return result.metrics | {
        "class_average_map_at_r": result.per_class.map_at_r,
        "queries": result.queries,
        "lone_queries": result.lone_queries,
    }
