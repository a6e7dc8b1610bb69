"""What the signature and the docstring of any component say.

Every public function here is a check.
"""

import typing
from dataclasses import replace

from dmlbench.components.hyperparameters import Hyperparameter
from dmlbench.contracts.search_space import IntUniform, LogUniform, Uniform
from dmlbench.errors import ConfigError, PluginError
from dmlbench.testing.findings import ShortcomingError
from dmlbench.testing.subject import Subject


def a_docstring_says_what_it_is(subject: Subject) -> None:
    """The first line of the class docstring is what `dmlbench list --long` shows."""
    if not (vars(subject.component).get("__doc__") or "").strip():
        raise PluginError(
            f"{subject.name} has no docstring of its own. Say in one line what it is: "
            "`dmlbench list --long` shows that line."
        )


def defaults_lie_in_their_search_spaces(subject: Subject) -> None:
    """A search space contains the default, and its lower end is below its upper end."""
    for parameter in subject.hyperparameters.values():
        space = parameter.space
        if isinstance(space, Uniform | IntUniform) and not space.low < space.high:
            raise PluginError(f"The search space {space!r} of {parameter.name!r} is empty.")
        if isinstance(space, LogUniform) and space.low <= 0:
            raise PluginError(
                f"The search space {space!r} of {parameter.name!r} starts at {space.low}, which "
                "has no logarithm. Start above 0, or use Uniform."
            )
        if space is not None and parameter.default is not None and parameter.default not in space:
            raise PluginError(
                f"The default {parameter.name}={parameter.default!r} is outside its search space "
                f"{space!r}. Widen the space: it says which values make sense."
            )


def defaults_are_of_their_type(subject: Subject) -> None:
    """A default has the type of its annotation, as every value that is set must have."""
    for parameter in subject.hyperparameters.values():
        try:
            replace(parameter, space=None).check(parameter.default)
        except ConfigError as error:
            raise PluginError(
                f"The default {error} Give it a default of its type, or annotate every type that "
                "it may have, such as float | None."
            ) from error


def search_spaces_are_stated(subject: Subject) -> None:
    """A hyper-parameter with a search space can be tuned, and wrong values are refused."""
    if subject.kind in ("baseline", "executor"):  # scikit-learn's have none; options aren't tuned
        return
    open_ended = [p.name for p in subject.hyperparameters.values() if not _is_bounded(p)]
    if open_ended:
        raise ShortcomingError(
            f"No search space says which values make sense for {', '.join(open_ended)}. Write it "
            "into the annotation: Annotated[float, Uniform(0.0, 1.0)]."
        )


def _is_bounded(parameter: Hyperparameter) -> bool:
    words = parameter.type in (bool, str) or typing.get_origin(parameter.type) is typing.Literal
    return words or parameter.space is not None
