"""Which components a suite names, before any of them is imported."""

from collections.abc import Iterator
from contextlib import suppress

from dmlbench.components.catalogue import Catalogue
from dmlbench.components.composition import terms
from dmlbench.components.entry_points import Entry
from dmlbench.errors import ConfigError
from dmlbench.schemas.suite import Suite


def named_components(catalogue: Catalogue, suite: Suite) -> Iterator[Entry]:
    """Yield the entry of each component that `suite` names; unknown names are left out."""
    named = {
        "dataset": suite.datasets,
        "loss": suite.losses,
        "miner": suite.miners,
        "baseline": () if suite.baselines == "floors" else suite.baselines,
        "sampler": suite.samplers,
        "backbone": (suite.backbone,) if suite.backbone else (),
    }
    for kind, given in named.items():
        everything = given in ("all", ("all",))
        for reference in catalogue.references(kind) if everything else given:
            with suppress(ConfigError):
                for _, one in terms(kind, reference):
                    yield from _with_inner(catalogue, kind, one)


def _with_inner(catalogue: Catalogue, kind: str, reference: str) -> Iterator[Entry]:
    """Yield a component's entry, and that of the loss that it is around."""
    found = catalogue.find(kind, reference)
    yield found.entry
    if kind == "loss" and found.argument is not None:
        yield from _with_inner(catalogue, kind, found.argument)
