"""Which executor runs the trials: from what a user asks for to an instance."""

from collections.abc import Mapping
from typing import Any

from dmlbench.components.catalogue import Catalogue
from dmlbench.components.composition import compose
from dmlbench.contracts.executor import Executor
from dmlbench.errors import ConfigError


def choose_executor(
    catalogue: Catalogue,
    reference: str | None = None,
    options: Mapping[str, Any] | None = None,
    *,
    jobs: int | None = None,
) -> Executor:
    """Return the executor that a user asks for.

    Args:
        catalogue: where it is looked up.
        reference: its name; ``local`` if not given.
        options: values by name, texts as the command line spells them.
        jobs: short for the option of that name; 0 means ``inline``.

    Raises:
        ConfigError: an unknown executor, an unknown or wrong option, or a contradiction.
        PluginError: it can't be imported or made.
    """
    given = dict(options or {})
    if jobs is not None and "jobs" in given:
        raise ConfigError("--jobs and --set executor.jobs say the same. Leave one out.")
    if jobs == 0:
        if reference not in (None, "inline"):
            raise ConfigError(
                f"--jobs 0 runs trials in this process, --executor {reference} elsewhere. Leave "
                "one out."
            )
        reference = "inline"
    elif jobs is not None:
        given["jobs"] = jobs
    name = catalogue.qualify("executor", reference or "local", "dmlbench")
    composition = compose(catalogue, "executor", name)
    (made,) = composition.make("executor", composition.resolve("executor", given))
    executor: Executor = made
    return executor
