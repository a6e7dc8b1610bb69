"""Plan trials and run them."""

import signal
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from os import environ
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dmlbench.api.cost import cost_lines, run_cost
from dmlbench.api.defaults import CHECKPOINT_MINUTES, DATA_VARIABLE, DEVICE, OUTPUT, RUNS
from dmlbench.api.records import Records
from dmlbench.api.request import Names, Seeds, make_suite
from dmlbench.api.stopping import stopping
from dmlbench.contracts.executor import Executor, WorkerSettings
from dmlbench.counted import counted
from dmlbench.errors import ConfigError, PluginError, guarded
from dmlbench.schemas.plan import Plan
from dmlbench.schemas.suite import Suite

if TYPE_CHECKING:
    from dmlbench.planning.cost import Cost


def plan(
    datasets: Names | None = None,
    *,
    losses: Names | None = None,
    miners: Names | None = None,
    baselines: Names | None = None,
    samplers: Names | None = None,
    backbone: str | None = None,
    protocol: str | Path | None = None,
    seeds: Seeds | None = None,
    settings: Mapping[str, Any] | None = None,
    suite: Suite | str | Path | None = None,
    data_dir: str | Path | None = None,
    cache_dir: str | Path | None = None,
    allow_partial: bool = False,
    progress: bool = True,
) -> Plan:
    """Return the trials that `run` would run, as ``dmlbench run --dry-run`` shows them.

    The arguments are those of `run`. Nothing is trained, and nothing is written but decoded photos
    in the cache.

    Raises:
        ConfigError: an unknown name, an impossible combination, a wrong setting.
        DataError: a dataset is missing or damaged.
        PluginError: a component can't be imported or made.

    Example:
        >>> import dmlbench
        >>> plan = dmlbench.plan("iris", losses="triplet", baselines="none", seeds=2)
        >>> [str(trial) for trial in plan.trials]
        ['iris / triplet + semi-hard / seed 0', 'iris / triplet + semi-hard / seed 1']
    """
    wanted = make_suite(
        suite=suite,
        datasets=datasets,
        losses=losses,
        miners=miners,
        baselines=baselines,
        samplers=samplers,
        protocol=protocol,
        backbone=backbone,
        seeds=seeds,
        settings=settings,
    )
    from dmlbench.components.catalogue import Catalogue
    from dmlbench.planning.planner import Planner

    data, cache = data_folder(data_dir), Path(cache_dir).absolute() if cache_dir else None
    with decoding_progress(progress) as on_progress:
        planner = Planner(Catalogue.discover(), data, cache, on_progress, allow_partial)
        return planner.unfold(wanted)


def run(
    datasets: Names | None = None,
    *,
    losses: Names | None = None,
    miners: Names | None = None,
    baselines: Names | None = None,
    samplers: Names | None = None,
    backbone: str | None = None,
    protocol: str | Path | None = None,
    seeds: Seeds | None = None,
    settings: Mapping[str, Any] | None = None,
    suite: Suite | str | Path | None = None,
    output: str | Path = OUTPUT,
    data_dir: str | Path | None = None,
    cache_dir: str | Path | None = None,
    device: str = DEVICE,
    devices: str | None = None,
    executor: str | Executor | None = None,
    jobs: int | None = None,
    isolate: bool = False,
    trial_timeout: float | None = None,
    trial_memory: float | None = None,
    allow_partial: bool = False,
    keep_embeddings: bool = False,
    metrics: Iterable[str] = (),
    checkpoint_minutes: float = CHECKPOINT_MINUTES,
    chunk: int | None = None,
    devices_per_trial: int = 1,
    probe: bool = False,
    progress: bool = True,
) -> Records:
    """Run what is not finished yet, and return the records of all trials, in the plan's order.

    As ``dmlbench run``: the same request, from Python or from the command line, goes on where the
    last one was stopped. Several that run at one time with the same `output`, on one machine or on
    many with a shared folder, share the work. A trial that fails does not stop the others: its
    record says why. Tables are not written; `dmlbench.publish` writes them. Ctrl-C (in a notebook:
    interrupt) saves the trials under way before it raises KeyboardInterrupt; a second one does not
    wait for that.

    Args:
        datasets: name or names; "all" is every dataset that is ready on this machine. None: those
            of the suite.
        losses: name or names, sums such as "triplet+0.1*center", or "all".
        miners: for each loss, in place of its own.
        baselines: name or names, "all" or "none". None: with other losses or miners, the floors
            of the protocol.
        samplers: in place of the protocol's; each makes a table of its own. "paper": the one of
            each loss's source.
        backbone: in place of the protocol's.
        protocol: a name, or the path of a TOML file. None: the one that the dataset names.
        seeds: how many (2 is 0 and 1), or which. None: those of the suite.
        settings: hyper-parameters and fields of the protocol by dotted name:
            ``{"loss.margin": 0.3, "protocol.length.epochs": 3}``.
        suite: what to run where the arguments above say nothing: a `Suite`, the path of a TOML
            file, or "all", everything on the data that ship with dmlbench.
        output: the folder whose ``runs/`` holds the records.
        data_dir: folder with your copies of datasets. None: the variable DMLBENCH_DATA.
        cache_dir: folder for decoded photos and features. None: the variable DMLBENCH_CACHE, else
            ``~/.cache/dmlbench``.
        device: "cpu", "cuda", "cuda:1"; "auto" is the GPU where there is one.
        devices: several, for worker processes to take turns: "cuda:0,cuda:1"; "cuda:0,cuda:0" for
            two trials at a time on one GPU; "all" is every GPU. None: all are on `device`.
        executor: where trials run: "local" (if None), "inline", a plugin's name or an `Executor`.
            Options of one that is named are in `settings`: ``{"executor.jobs": 4}``.
        jobs: worker processes; 0 runs the trials in this process. None: one for each of `devices`,
            else one a CPU core, or one on a GPU.
        isolate: give every trial a process of its own, which takes some seconds each.
        trial_timeout: seconds after which a trial fails, and the run goes on. None: never.
        trial_memory: MiB of memory over which a trial fails: what its worker and the processes that
            plugins start in it have resident. None: no limit.
        allow_partial: take datasets that are here in part; tables say so.
        keep_embeddings: write the test embeddings beside each record, as `score` reads them.
        metrics: further metrics by name: keys, aliases such as "mrr", or those of plugins.
        checkpoint_minutes: how often trials under way are saved, to go on from there after a stop.
        chunk: most images that pass through a network at a time in training: larger batches are
            trained exactly, by gradient caching, in the memory of one chunk. None: a batch at once.
        devices_per_trial: how many GPUs train a network together (or processes on a CPU), each with
            a share of every batch, by the loss of the whole batch.
        probe: time a few steps of the rows that no record here tells of, to say what the run will
            take; without `progress` that is not said.
        progress: whether to show progress, what the run will take, and what is odd about the data
            (see `Plan.remarks`), on standard error or in the notebook.

    Raises:
        ConfigError: an unknown name, an impossible combination, a wrong setting, a device that
            this machine does not have, a folder that can't be written to.
        DataError: a dataset is missing or damaged.
        PluginError: a dataset can't be imported or made.
            All of them are raised before the first trial runs.
    """
    from dmlbench.components.catalogue import Catalogue
    from dmlbench.components.metrics import choose_metrics
    from dmlbench.executors.choice import choose_executor

    runs = Path(output).expanduser().absolute() / RUNS  # plugins may change the directory
    data, cache = data_folder(data_dir), Path(cache_dir).absolute() if cache_dir else None
    catalogue, metrics = Catalogue.discover(), tuple(metrics)
    options = {k: v for k, v in (settings or {}).items() if k.startswith("executor.")}
    settings = {k: v for k, v in (settings or {}).items() if k not in options}
    if not isinstance(executor, Executor):
        named = {key.removeprefix("executor."): value for key, value in options.items()}
        executor = choose_executor(
            catalogue,
            executor,
            named,
            jobs=jobs,
            isolate=isolate,
            trial_timeout=trial_timeout,
            trial_memory=trial_memory,
            devices=devices,
        )
    elif options or isolate or {jobs, devices, trial_timeout, trial_memory} != {None}:
        raise ConfigError("An executor that is made already has its options: leave out the others.")
    check_device(device)
    choose_metrics(metrics, catalogue)
    planned = plan(
        datasets,
        losses=losses,
        miners=miners,
        baselines=baselines,
        samplers=samplers,
        backbone=backbone,
        protocol=protocol,
        seeds=seeds,
        settings=settings,
        suite=suite,
        data_dir=data,
        cache_dir=cache,
        allow_partial=allow_partial,
        progress=progress,
    )
    check_networks(planned, device, chunk, devices_per_trial)
    if progress:
        for remark in planned.remarks:
            print(f"Note: {remark}", file=sys.stderr)
    worker_settings = WorkerSettings(
        records=runs,
        data_dir=data,
        device=device,
        cache_dir=cache,
        keep_embeddings=keep_embeddings,
        metrics=metrics,
        checkpoint_seconds=60 * checkpoint_minutes,
        chunk=chunk,
        devices_per_trial=devices_per_trial,
    )
    by_default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with stopping(executor, [signal.SIGINT] if by_default else []) as stop:
        records = run_plan(planned, worker_settings, executor, progress=progress, probe=probe)
    if stop.signal:
        raise KeyboardInterrupt
    if gone := records.vanished():
        warnings.warn(
            f"{len(gone)} of {counted(len(records), 'record')} "
            f"{'was' if len(gone) == 1 else 'were'} removed from {runs} during the run.",
            stacklevel=2,
        )
    return records


def run_plan(
    plan: Plan,
    settings: WorkerSettings,
    executor: Executor,
    *,
    progress: bool = True,
    hooks: Iterable[object] = (),
    cost: "Cost | None" = None,
    probe: bool = False,
) -> Records:
    """Run the unfinished trials of `plan`, and return the records of all.

    Args:
        plan: what to run.
        settings: where records go, where the data are, which device.
        executor: where trials run.
        progress: whether to show progress.
        hooks: hook implementations to call beside the installed ones.
        cost: what is known of it; None to find out. It decides the order of trials.
        probe: whether a few steps are timed to find out.

    Raises:
        ConfigError: the folder for records can't be written to.
    """
    from dmlbench.components.catalogue import Catalogue
    from dmlbench.components.hook_plugins import plugin_manager
    from dmlbench.executors.run import progress as finished_before
    from dmlbench.executors.run import run as run_trials
    from dmlbench.executors.sharing import OtherRuns
    from dmlbench.storage.record_store import Store

    store = Store(settings.records)
    store.check_writable()
    before = finished_before(
        plan, store, embeddings=settings.keep_embeddings, metrics=settings.metrics
    )
    if cost is None:
        probe_on = executor if probe and progress else None
        cost = run_cost(plan, before.to_do, before.done, settings, probe_on)
        if progress:
            for line in cost_lines(cost, executor, settings):
                print(line, file=sys.stderr)
    on_others: Callable[[OtherRuns], None] | None = None
    with ExitStack() as stack:
        manager = stack.enter_context(plugin_manager(Catalogue.discover()))
        for hook in hooks:
            manager.register(hook)
        if progress and before.to_do:
            from dmlbench.api.progress import run_display

            display = stack.enter_context(run_display(len(before.to_do)))
            manager.register(display)
            on_others = display.show_others
        ran = run_trials(plan, settings, manager, executor, on_others, cost.drawn)
        return Records(ran, folder=settings.records)


@contextmanager
def decoding_progress(shown: bool) -> Iterator[Callable[[int, int], None]]:
    """Yield what to call with how many photos have been decoded, and of how many."""
    if not shown:
        yield lambda done, total: None
        return
    from dmlbench.api.progress import decoding_display  # rich takes a while to load

    with decoding_display() as show:
        yield show


def check_device(device: str) -> None:
    """Check that this machine has `device`.

    Raises:
        ConfigError: it hasn't.
    """
    from dmlbench.compute.device import pick_device

    pick_device(device)


def check_networks(
    planned: Plan, device: str, chunk: int | None = None, devices_per_trial: int = 1
) -> None:
    """Check that the networks of a plan can be trained as asked.

    Not every layer can be trained repeatably on a GPU, or with batches in parts.

    Raises:
        ConfigError: one can't, or this machine has too few devices.
    """
    from dmlbench.compute.device import pick_device
    from dmlbench.training.batch_statistics import how_divided

    if chunk is not None and chunk < 1:
        raise ConfigError(f"chunk={chunk}: a chunk has at least 1 image.")
    kind, divided = pick_device(device).type, how_divided(chunk, devices_per_trial)
    _check_number(planned, device, kind, devices_per_trial)
    if kind != "cuda" and not divided:
        return
    import torch

    from dmlbench.components.catalogue import Catalogue
    from dmlbench.components.workplace import Workplace
    from dmlbench.training.batch_statistics import refuse_batch_statistics_of
    from dmlbench.training.unrepeatable_layers import refuse_unrepeatable_layers

    workplace = Workplace(Catalogue.discover(), None, torch.device("cpu"))
    trained = [trial for trial in planned.trials if "loss" in trial.parts]
    for trial in {str(trial.parts["backbone"]): trial for trial in trained}.values():
        # That the network can't be built is its trial's reason to fail.
        with suppress(PluginError), guarded("The backbone"):
            refuse_unrepeatable_layers(trial, workplace, kind)
        if divided:
            refuse_batch_statistics_of(trial, workplace, divided)


def _check_number(planned: Plan, device: str, kind: str, devices_per_trial: int) -> None:
    """Check that there are so many devices, and that each batch has an item for each of them."""
    import torch

    if devices_per_trial < 1:
        raise ConfigError(f"devices_per_trial={devices_per_trial}: a trial has at least 1 device.")
    if devices_per_trial == 1:
        return
    if kind == "cuda" and device not in ("auto", "cuda"):
        raise ConfigError(
            f"--devices-per-trial {devices_per_trial} takes the first GPUs, and --device {device} "
            "names one. Say --device cuda; CUDA_VISIBLE_DEVICES chooses among GPUs."
        )
    there = torch.cuda.device_count() if kind == "cuda" else devices_per_trial
    if there < devices_per_trial:
        raise ConfigError(
            f"--devices-per-trial {devices_per_trial}: this machine has {there} GPUs. Ask for as "
            "many or fewer, or say --device cpu."
        )
    for trial in planned.trials:
        if "loss" in trial.parts and trial.protocol.batch_size < devices_per_trial:
            raise ConfigError(
                f"--devices-per-trial {devices_per_trial}: batches of {trial.protocol.name} have "
                f"{trial.protocol.batch_size} items, and each device needs one."
            )


def data_folder(data_dir: str | Path | None) -> Path | None:
    """Return the folder with copies of datasets: `data_dir`, else that of DMLBENCH_DATA.

    Raises:
        ConfigError: there is no such folder.
    """
    chosen = data_dir or environ.get(DATA_VARIABLE)
    if not chosen:
        return None
    folder = Path(chosen).expanduser().absolute()
    if not folder.is_dir():
        raise ConfigError(
            f"There is no data folder {folder}. Name the one with your copies of datasets, by "
            f"data_dir (--data-dir) or the variable {DATA_VARIABLE}."
        )
    return folder
