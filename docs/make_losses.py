"""Writes ``losses.md`` from what the losses, miners and samplers state of themselves.

python docs/make_losses.py
"""

import inspect
from pathlib import Path

from tabulate import tabulate

from dmlbench.components.catalogue import Catalogue
from dmlbench.components.hyperparameters import hyperparameters

PAGE = Path(__file__).with_name("losses.md")

HEAD = """\
<!-- Made by docs/make_losses.py from the components themselves; a test holds it. -->

# Losses, miners and samplers

What ships with dmlbench. `dmlbench show loss NAME` prints the same of any loss, yours included;
the formula, the paper's defaults and what known code does stand at the top of each file in
[plugins/dmlbench_losses](../plugins/dmlbench_losses). Each is tested against plain loops in value
and gradient, and against pytorch-metric-learning where it has the same.
[How fast they are](measurements/losses-speed.md).

## Sums and memories

- `--loss triplet+0.5*center` is a weighted sum. Each term has the miner that its source uses;
  `--miner` names one for all, or one for each as `semi-hard+all-pairs`; settings of
  one that is named twice hold for both places.
- `--loss xbm/contrastive` is a cross-batch memory around any loss that takes pairs or triplets.
- `--set loss.triplet.margin=0.1` reaches a term of a sum, `--set loss.contrastive.neg_margin=0.8`
  the loss inside a memory, `--set loss.size=512` the memory.

Losses with an entry under *trained as* are parts of a sum in their papers; among all losses they
run so.
"""

DIFFERENCES = """\
## Where they differ

From their papers, and known code from both. Of the other losses no difference is known.
"""

NOT_LEARNT = """\
## Losses that hardly learn here

These rows do not beat the untrained network on `glyphs` or `digits-closed` by more than both
intervals, with the small protocol and three seeds:

- `vicreg` sees no labels: it pulls two augmented views of an image together. The small protocol
  only shifts images by a few pixels, so there is little to become invariant to. It is there for
  sums, and for protocols that change images more.
- `sub-center-arcface`: its seeds differ widely (MAP@R on `glyphs` from 5 to 27 %), so that three
  can't show what they all have, a gain over the untrained network.

The losses that classify (**cross-entropy** with or without **center**, **arcface**, **magnet**)
learn, but at the rates of their sources stay near or below raw pixels on `glyphs`; on the ten
classes of `digits-closed` they learn well.

The [tables](../leaderboards/README.md) have the figures. Which part makes a gain, the loss, the
miner or the sampler, show two grids on `glyphs`:
[loss by miner](../leaderboards/miners/glyphs/small.md) and
[loss by sampler](../leaderboards/glyphs/small.samplers.md).
"""


def page() -> str:
    """Return the whole page."""
    catalogue = Catalogue.discover()
    losses = {name: catalogue.load("loss", name)[1] for name in catalogue.references("loss")}
    facts = [
        [
            f"[{name}](../plugins/dmlbench_losses/{Path(inspect.getfile(loss)).name})",
            loss.takes,
            loss.default_miner or "–",
            loss.reducer,
            f"{loss.own_lr_multiple:g}x" if _has_parameters(loss) else "–",
            _settings(loss),
            _sampler(loss),
            f"`{loss.trained_as}`" if loss.trained_as else "–",
            loss.paper,
        ]
        for name, loss in losses.items()
    ]
    differing = [[name, loss.differences] for name, loss in losses.items() if loss.differences]
    parts = [
        HEAD,
        f"## Losses ({len(losses)})",
        _table(
            "loss|takes|miner|reducer|own LR|hyper-parameters|paper's sampler|trained as|paper",
            facts,
        ),
        DIFFERENCES,
        _table("loss|difference", differing),
        NOT_LEARNT,
    ]
    for kind, plural in (("miner", "miners"), ("sampler", "samplers")):
        found = {name: catalogue.load(kind, name)[1] for name in catalogue.references(kind)}
        rows = [
            [name, getattr(each, "makes", "batches"), _summary(each), _settings(each), each.paper]
            for name, each in found.items()
        ]
        parts += [
            f"## {plural.capitalize()} ({len(found)})",
            _table(f"{kind}|makes|what it does|hyper-parameters|paper", rows),
        ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _settings(component: type) -> str:
    """Return hyper-parameters with defaults and the range that is searched."""
    texts = []
    for each in hyperparameters(component).values():
        space = "" if each.space is None else f" in {each.space!r}"
        texts.append(f"`{each.name}={each.default!r}`{space}")
    return "; ".join(texts) or "–"


def _has_parameters(loss: type) -> bool:
    return "num_classes" in inspect.signature(loss).parameters or loss.own_lr_multiple != 1


def _sampler(loss: type) -> str:
    name, settings = loss.paper_sampler
    return ", ".join([name, *(f"{key} = {value}" for key, value in settings.items())])


def _summary(component: type) -> str:
    return (inspect.getdoc(component) or "").splitlines()[0]


def _table(headings: str, rows: list[list[str]]) -> str:
    cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return tabulate(cells, headings.split("|"), tablefmt="pipe", disable_numparse=True)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
