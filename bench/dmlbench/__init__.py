"""dmlbench: which deep-metric-learning method is better, and by how much.

Importing this package is cheap: torch and everything else loads when a name is first used.
"""

TYPE_CHECKING = False  # type checkers read it as True; importing typing would double the start

if TYPE_CHECKING:
    from dmlbench.api.auditing import diff as diff
    from dmlbench.api.auditing import merge as merge
    from dmlbench.api.auditing import reproduce as reproduce
    from dmlbench.api.auditing import reproduce_all as reproduce_all
    from dmlbench.api.publishing import check_published as check_published
    from dmlbench.api.publishing import publish as publish
    from dmlbench.api.publishing import tables as tables
    from dmlbench.api.records import Records as Records
    from dmlbench.api.records import load_records as load_records
    from dmlbench.api.running import plan as plan
    from dmlbench.api.running import run as run
    from dmlbench.api.scoring import score as score
    from dmlbench.contracts.components import Archive as Archive
    from dmlbench.contracts.components import Backbone as Backbone
    from dmlbench.contracts.components import Baseline as Baseline
    from dmlbench.contracts.components import Dataset as Dataset
    from dmlbench.contracts.components import ImageFormat as ImageFormat
    from dmlbench.contracts.components import Loss as Loss
    from dmlbench.contracts.components import Miner as Miner
    from dmlbench.contracts.components import Sampler as Sampler
    from dmlbench.contracts.draws import draw_below as draw_below
    from dmlbench.contracts.draws import random_shares as random_shares
    from dmlbench.contracts.executor import Doing as Doing
    from dmlbench.contracts.executor import Event as Event
    from dmlbench.contracts.executor import Executor as Executor
    from dmlbench.contracts.executor import Task as Task
    from dmlbench.contracts.executor import WorkerSettings as WorkerSettings
    from dmlbench.contracts.hooks import hookimpl as hookimpl
    from dmlbench.contracts.hub import hub_revision as hub_revision
    from dmlbench.contracts.pairs import PairMask as PairMask
    from dmlbench.contracts.pairs import Pairs as Pairs
    from dmlbench.contracts.pairs import Selection as Selection
    from dmlbench.contracts.pairs import Triplets as Triplets
    from dmlbench.contracts.pairs import active_mean as active_mean
    from dmlbench.contracts.pairs import as_pair_mask as as_pair_mask
    from dmlbench.contracts.pairs import as_triplets as as_triplets
    from dmlbench.contracts.pairs import masked_mean as masked_mean
    from dmlbench.contracts.pretraining import Contamination as Contamination
    from dmlbench.contracts.pretraining import Pretraining as Pretraining
    from dmlbench.contracts.search_space import Choice as Choice
    from dmlbench.contracts.search_space import IntUniform as IntUniform
    from dmlbench.contracts.search_space import LogUniform as LogUniform
    from dmlbench.contracts.search_space import Uniform as Uniform
    from dmlbench.errors import ConfigError as ConfigError
    from dmlbench.errors import DataError as DataError
    from dmlbench.errors import DmlbenchError as DmlbenchError
    from dmlbench.errors import PluginError as PluginError
    from dmlbench.errors import TrialEnded as TrialEnded
    from dmlbench.errors import TrialError as TrialError
    from dmlbench.errors import nearest as nearest
    from dmlbench.executors.local import Local as Local
    from dmlbench.leaderboard.tables import Table as Table
    from dmlbench.retrieval.contract import Metric as Metric
    from dmlbench.retrieval.contract import SetMetric as SetMetric
    from dmlbench.schemas.added import Added as Added
    from dmlbench.schemas.only_with import OnlyWith as OnlyWith
    from dmlbench.schemas.plan import Plan as Plan
    from dmlbench.schemas.protocol import Protocol as Protocol
    from dmlbench.schemas.protocol_file import load_protocol as load_protocol
    from dmlbench.schemas.record import Epoch as Epoch
    from dmlbench.schemas.record import Record as Record
    from dmlbench.schemas.suite import Suite as Suite
    from dmlbench.schemas.trial import Trial as Trial

_PUBLIC = {
    "api.auditing": ("diff", "merge", "reproduce", "reproduce_all"),
    "api.publishing": ("check_published", "publish", "tables"),
    "api.records": ("Records", "load_records"),
    "api.running": ("plan", "run"),
    "api.scoring": ("score",),
    "contracts.components": (
        "Archive",
        "Backbone",
        "Baseline",
        "Dataset",
        "ImageFormat",
        "Loss",
        "Miner",
        "Sampler",
    ),
    "contracts.draws": ("draw_below", "random_shares"),
    "contracts.executor": ("Doing", "Event", "Executor", "Task", "WorkerSettings"),
    "contracts.hooks": ("hookimpl",),
    "contracts.hub": ("hub_revision",),
    "contracts.pairs": (
        "PairMask",
        "Pairs",
        "Selection",
        "Triplets",
        "active_mean",
        "as_pair_mask",
        "as_triplets",
        "masked_mean",
    ),
    "contracts.pretraining": ("Contamination", "Pretraining"),
    "contracts.search_space": ("Choice", "IntUniform", "LogUniform", "Uniform"),
    "errors": (
        "ConfigError",
        "DataError",
        "DmlbenchError",
        "PluginError",
        "TrialEnded",
        "TrialError",
        "nearest",
    ),
    "executors.local": ("Local",),
    "leaderboard.tables": ("Table",),
    "retrieval.contract": ("Metric", "SetMetric"),
    "schemas.added": ("Added",),
    "schemas.only_with": ("OnlyWith",),
    "schemas.plan": ("Plan",),
    "schemas.protocol": ("Protocol",),
    "schemas.protocol_file": ("load_protocol",),
    "schemas.record": ("Epoch", "Record"),
    "schemas.suite": ("Suite",),
    "schemas.trial": ("Trial",),
}
_MODULE_OF = {name: module for module, names in _PUBLIC.items() for name in names}

__all__ = sorted(_MODULE_OF)  # noqa: PLE0605 - one list of public names, above


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name == "__version__":
        from importlib.metadata import version

        return version("dmlbench")
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'dmlbench' has no attribute {name!r}")
    return getattr(import_module(f"dmlbench.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
