"""Writes ``losses.md`` from what the losses, miners and samplers state about themselves.

python docs/make_losses.py
"""

import inspect
from pathlib import Path
from typing import Any

from tabulate import tabulate

from dmlbench import Loss
from dmlbench.components.catalogue import Catalogue
from dmlbench.components.hyperparameters import hyperparameters

PAGE = Path(__file__).with_name("losses.md")

HEAD = """\
<!-- Made by docs/make_losses.py from the components themselves; a test compares them. -->

# Losses, miners and samplers

Everything that ships with dmlbench. `dmlbench show loss NAME` prints the same for any loss,
including your own. The formula, the paper's defaults and how known code differs are at the top of
each file in [plugins/dmlbench_losses](../plugins/dmlbench_losses). The value and gradient of each
loss are tested against plain loops, and against pytorch-metric-learning where it has the same loss.
[How fast they are](measurements/losses-speed.md).

## Sums and memories

- `--loss triplet+0.5*center` is a weighted sum. Each term uses the miner of its source. `--miner`
  names one miner for all terms, or one for each, as in `semi-hard+all-pairs`. If you name a miner
  twice, its settings apply in both places.
- `--loss xbm/contrastive` is a cross-batch memory around a loss. It takes any loss on pairs or
  triplets.
- `--set loss.triplet.margin=0.1` sets a hyper-parameter of one of several losses, or of one term of
  a sum, `--set loss.contrastive.neg_margin=0.8` one of the loss inside a memory, and
  `--set loss.size=512` one of the memory itself.

In their papers, losses with an entry under *trained as* are part of a sum. When all losses run,
they run as that sum.
"""

DETAILS = """\
## Each loss

Its paper, its hyper-parameters with the spaces they are searched in, and how it differs from its
paper and from known code. Where nothing is said of differences, we know of none.
"""

NOT_LEARNT = """\
## Losses that hardly learn here

With the small protocol and three seeds, these rows do not beat the untrained network on `glyphs` or
`digits-closed` by more than both intervals:

- `vicreg` sees no labels: it pulls two augmented views of an image together. The small protocol
  only shifts images by a few pixels, so there is little to become invariant to. Use it in sums, and
  with protocols that change images more.
- `sub-center-arcface`: its seeds differ widely (MAP@R on `glyphs` from 5 to 27 %). Each of them
  gains over the untrained network, but three are too few to show it.

The losses that classify (**cross-entropy** with or without **center**, **arcface**, **magnet**)
do learn, but with the learning rates of their sources they stay near or below raw pixels on
`glyphs`. On the ten classes of `digits-closed` they learn well.

The results are in the [tables](../leaderboards/README.md). Two grids on `glyphs` show which part
makes the gain, the loss, the miner or the sampler:
[loss by miner](../leaderboards/miners/glyphs/small.md) and
[loss by sampler](../leaderboards/glyphs/small.samplers.md).
"""


def page() -> str:
    """Return the whole page."""
    catalogue = Catalogue.discover()
    losses = {name: catalogue.load("loss", name)[1] for name in catalogue.references("loss")}
    facts = [
        [
            f"[{name}](#{name})",
            loss.takes,
            loss.default_miner or "–",
            f"{loss.own_lr_multiple:g}x" if _has_parameters(loss) else "–",
            f"`{loss.trained_as}`" if loss.trained_as else "–",
        ]
        for name, loss in losses.items()
    ]
    parts = [
        HEAD,
        f"## Losses ({len(losses)})",
        _table("loss|takes|miner|own LR|trained as", facts),
        DETAILS,
        *(_details(name, loss) for name, loss in losses.items()),
        NOT_LEARNT,
    ]
    for kind, plural in (("miner", "miners"), ("sampler", "samplers")):
        found = {name: catalogue.load(kind, name)[1] for name in catalogue.references(kind)}
        lines = [_in_a_line(name, each) for name, each in found.items()]
        parts += [f"## {plural.capitalize()} ({len(found)})", "\n".join(lines)]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _details(name: str, loss: type[Loss]) -> str:
    """Return the section of a loss."""
    lines = {
        "paper": loss.paper,
        "hyper-parameters": _settings(loss),
        "reducer": loss.reducer,
        "paper's sampler": _sampler(loss),
        "differences": loss.differences,
    }
    file = f"../plugins/dmlbench_losses/{Path(inspect.getfile(loss)).name}"
    bullets = "\n".join(f"- {what}: {text}" for what, text in lines.items() if text)
    return f"### {name}\n\n{_summary(loss)} ([code and formula]({file}))\n\n{bullets}"


def _in_a_line(name: str, component: Any) -> str:
    """Return a miner or sampler as an item of a list."""
    makes = f" ({component.makes})" if hasattr(component, "makes") else ""
    settings = _settings(component)
    told = [_summary(component), "" if settings == "–" else f"{settings}.", component.paper]
    return f"- **{name}**{makes}: {' '.join(text for text in told if text)}"


def _settings(component: type) -> str:
    """Return hyper-parameters with their defaults and search spaces."""
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
