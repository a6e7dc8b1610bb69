"""Settings that are aimed at one of several components of a run: ``loss.triplet.margin=0.3``."""

from collections.abc import Iterable, Mapping
from typing import Any

from dmlbench.components.catalogue import Catalogue
from dmlbench.components.composition import compose, terms
from dmlbench.errors import PluginError


def aim(
    catalogue: Catalogue, kind: str, references: Iterable[str], given: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Return the settings of each of the components of one kind.

    Those without a name in front are for all of them. A name in front aims at the component of
    that name, alone or as a term of a sum, and at nothing else.

    Args:
        catalogue: what is installed.
        kind: such as "loss".
        references: the components of the run, sums too.
        given: settings by name.

    Raises:
        ConfigError: a reference that names nothing.
    """
    keys = {reference: _keys(catalogue, kind, reference) for reference in references if given}
    named = {key for of_one in keys.values() for key in of_one}
    return {
        reference: _of_one(keys[reference], named, given) if given else {}
        for reference in references
    }


def _of_one(own: list[str], named: set[str], given: Mapping[str, Any]) -> dict[str, Any]:
    for_all, aimed = {}, {}
    for name, value in given.items():
        key, dot, rest = name.partition(".")
        if dot and own[:1] == [key]:
            aimed[rest] = value
        elif not dot or key not in named or key in own:
            for_all[name] = value
    return for_all | aimed


def _keys(catalogue: Catalogue, kind: str, reference: str) -> list[str]:
    """Return the names that may stand in front of a component's settings.

    Of a sum these are its terms, after an empty first one, since they stay in front.
    """
    try:
        composition = compose(catalogue, kind, reference)
    except PluginError:  # it fails in its trials
        names = [catalogue.find(kind, term.reference).entry.name for term in terms(kind, reference)]
        return names if len(names) == 1 else ["", *names]
    if composition.is_sum:
        return ["", *(each.key for each in composition.ingredients)]
    return [each.key for each in composition.ingredients[0].all()]
