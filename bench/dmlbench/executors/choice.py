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
    isolate: bool = False,
    trial_timeout: float | None = None,
    trial_memory: float | None = None,
    devices: str | None = None,
) -> Executor:
    """Return the executor that a user asks for.

    Args:
        catalogue: where it is looked up.
        reference: its name; ``local`` if not given.
        options: values by name, texts as the command line spells them.
        jobs: short for the option of that name; 0 means ``inline``.
        isolate: short for the option of that name.
        trial_timeout: likewise; in seconds.
        trial_memory: likewise; in MiB.
        devices: likewise; names with commas.

    Raises:
        ConfigError: an unknown executor, an unknown or wrong option, or a contradiction.
        PluginError: it can't be imported or made.
    """
    given = dict(options or {})
    limits = {"trial_timeout": trial_timeout, "trial_memory": trial_memory}
    short: dict[str, Any] = {"jobs": jobs, "devices": devices, "isolate": isolate or None, **limits}
    short = {name: value for name, value in short.items() if value is not None}
    for name in short.keys() & given.keys():
        option = f"--{name.replace('_', '-')}"
        raise ConfigError(f"{option} and --set executor.{name} say the same. Leave one out.")
    if jobs == 0:
        del short["jobs"]
        if short:
            raise ConfigError(
                f"--{min(short).replace('_', '-')} needs worker processes, and --jobs 0 has none: "
                "it runs trials in this process. Leave one out."
            )
        if reference not in (None, "inline"):
            raise ConfigError(
                f"--jobs 0 runs trials in this process, --executor {reference} elsewhere. Leave "
                "one out."
            )
        reference = "inline"
    name = catalogue.qualify("executor", reference or "local", "dmlbench")
    composition = compose(catalogue, "executor", name)
    (made,) = composition.make("executor", composition.resolve("executor", given | short))
    executor: Executor = made
    return executor
