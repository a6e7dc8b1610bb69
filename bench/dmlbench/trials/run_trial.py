"""Run one trial, from its description to its record; whatever a plugin does, there is a record."""

import json
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache, partial
from typing import Any

import torch

from dmlbench.components.composition import make
from dmlbench.components.metrics import choose_metrics
from dmlbench.components.workplace import Workplace
from dmlbench.compute.determinism import repeatable
from dmlbench.compute.device import describe
from dmlbench.compute.left_changed import change_noted
from dmlbench.compute.memory import held_memory, keeps_much, peaks
from dmlbench.compute.phases import (
    PhaseClock,
    part_of_phase,
    phase,
    progressed,
    seconds_by_phase,
)
from dmlbench.compute.versions import versions
from dmlbench.contracts.components import Dataset
from dmlbench.data.batches.device_inputs import drop_resident_photos, photos_stay_on_cpu
from dmlbench.data.items import Data, Items, load_data
from dmlbench.data.photos.decoding import PhotoFormat
from dmlbench.errors import (
    DataError,
    DmlbenchError,
    TrialEnded,
    UnusableCheckpointError,
    describe_exception,
    text_of,
)
from dmlbench.schemas.protocol import Protocol
from dmlbench.schemas.record import Epoch, Record
from dmlbench.schemas.trial import Part, Trial, canonical_json
from dmlbench.training.baselines import fit_baseline
from dmlbench.training.frozen_features import Extractor
from dmlbench.training.learner_state import State
from dmlbench.training.network import train_network
from dmlbench.training.session import UNSAVED, Session
from dmlbench.training.unrepeatable_layers import refuse_unrepeatable_layers
from dmlbench.trials.course import OnEpoch
from dmlbench.trials.cross_validation import score_by_cross_validation
from dmlbench.trials.interrupts import interrupts_noted
from dmlbench.trials.scoring import KeepEmbeddings, score_retrieval


def run_trial(
    trial: Trial,
    workplace: Workplace,
    on_epoch: OnEpoch = lambda epoch: None,
    keep: KeepEmbeddings | None = None,
    metrics: Sequence[str] = (),
    session: Session | None = None,
) -> Record:
    """Run `trial` and return its record: finished, or failed with the reason.

    Of a trial that goes on from a checkpoint, the record is that of one that ran through, but for
    `measurements`: seconds are those of all its processes, memory is that of the last one.

    Args:
        trial: what to run.
        workplace: the components, data and device to run it with.
        on_epoch: called with the record's entry for each epoch.
        keep: called with the test embeddings; not in cross-validation, whose folds have a network
            each.
        metrics: names of further retrieval metrics; cross-validation has only its own.
        session: keeps checkpoints, and goes on from one.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed, or another signal ends the program.
        TrialStoppedError: the session was asked to stop. There is a checkpoint if training had
            begun.
        RankLostError: another process of `workplace.world` ended, or does not answer.
        HelpedError: this is not the first process of `workplace.world`, and it has done its share.
        TrialEnded: `on_epoch` raised it.
    """
    session = session or Session()
    device, used = workplace.device, versions(_versions(trial))
    with (
        interrupts_noted() as interrupts,
        repeatable(device),
        peaks(device) as most,
        seconds_by_phase() as clock,
        change_noted() as changed,
    ):
        settings = describe(device, trial.protocol.precision)
        if workplace.chunk and "loss" in trial.parts:
            settings["chunk"] = workplace.chunk
        if workplace.world.size > 1:
            settings["devices"] = workplace.world.size
        session.open({"trial": trial.id, "settings": settings, "versions": used})
        time_spent = _TimeSpent(clock, session.take("time spent") or {})
        held = [held_memory()]

        def on_loaded() -> None:
            held.append(held_memory())

        try:
            with session.part("time spent", time_spent.read):
                figures = _measure_where_there_is_room(
                    trial, workplace, on_loaded, on_epoch, keep, metrics, session
                )
            outcome = {"status": "finished", **figures}
        except TrialEnded:
            raise
        except DmlbenchError as error:
            outcome = {"status": "failed", "reason": text_of(error)}
        # A plugin may raise anything, even KeyboardInterrupt; only this trial fails.
        except BaseException as error:
            outcome = {"status": "failed", "reason": _reason(error)}
        if interrupts:  # a plugin may have taken it for an error of its own
            raise interrupts[0]
    if keeps_much(held[-1]):
        changed.append("memory")
    if outcome["status"] == "failed":
        drop_resident_photos()
    return Record(
        id=trial.id,
        trial=trial,
        settings=settings,
        versions=used,
        measurements={
            **{name: round(value, 3) for name, value in time_spent.read().items()},
            "resumed": session.resumed,
            "machine": platform.machine(),
            "system": platform.system(),
            "cores": os.cpu_count(),
            **most,
            **({"left_changed": changed} if changed else {}),
        },
        **outcome,
    )


class _TimeSpent:
    """The seconds of a trial so far: in all, of the processor, and by phase.

    Args:
        clock: of the phases.
        before: the seconds in earlier processes.
    """

    def __init__(self, clock: PhaseClock, before: Mapping[str, float]) -> None:
        self._clock, self._before = clock, before
        self._started, self._computed = time.perf_counter(), time.process_time()

    def read(self) -> dict[str, float]:
        here = {
            "seconds": time.perf_counter() - self._started,
            "cpu_seconds": time.process_time() - self._computed,
            **{f"{name}_seconds": value for name, value in self._clock.read().items()},
        }
        names = dict.fromkeys([*here, *self._before])
        return {name: self._before.get(name, 0.0) + here.get(name, 0.0) for name in names}


@lru_cache(maxsize=2)
def load_once(
    workplace: Workplace, reference: str, settings: str, photos: PhotoFormat
) -> tuple[Dataset, Data]:
    """Return a dataset and its data, cached for the next trial on the same dataset.

    Args:
        workplace: where to load it.
        reference: of the dataset.
        settings: its hyper-parameters as canonical JSON.
        photos: see `load_data`.
    """
    part = Part(reference=reference, name=reference, settings=json.loads(settings))
    dataset = workplace.make("dataset", part)
    return dataset, load_data(
        dataset,
        workplace.data_dir,
        photos,
        cache_dir=workplace.cache_dir,
        on_progress=_decoded,
    )


def _decoded(done: int, total: int) -> None:
    with part_of_phase("decoding"):
        progressed(done, total, "photos")


@lru_cache(maxsize=2)
def features_once(
    workplace: Workplace,
    dataset: tuple[str, str],
    backbone: str,
    protocol: Protocol,
) -> Data:
    """Return a dataset's data as features of a frozen backbone.

    Args:
        workplace: where to compute them.
        dataset: reference and settings, see `load_once`.
        backbone: a part of a trial as JSON.
        protocol: what images it is given.
    """
    part = Part.model_validate_json(backbone)
    data = load_once(workplace, *dataset, PhotoFormat.of(protocol))[1]
    extractor = Extractor(workplace.make("backbone", part), part, protocol, workplace.device)
    return extractor.features(data, workplace.cache_dir)


def _measure_where_there_is_room(
    trial: Trial,
    workplace: Workplace,
    on_loaded: Callable[[], None],
    on_epoch: OnEpoch,
    keep: KeepEmbeddings | None,
    metrics: Sequence[str],
    session: Session,
) -> dict[str, Any]:
    """Measure a trial; once more with photos on the CPU if a GPU is too full for both.

    Photos are copied to the GPU before the network's activations exist. If these don't fit in the
    first epoch, the photos leave. The crops, and so the figures, are the same to the bit.

    A checkpoint that does not fit, such as one of a loss whose buffers grow, is left unused.
    """
    told: set[int] = set()

    def tell_once(epoch: Epoch) -> None:
        if epoch.epoch not in told or epoch.retraining:
            told.add(epoch.epoch)
            on_epoch(epoch)

    again: AbstractContextManager[None] = nullcontext()
    try:
        return _measure(trial, workplace, on_loaded, tell_once, keep, metrics, session)
    except UnusableCheckpointError as error:
        session.start_anew(str(error))
    except torch.OutOfMemoryError:
        alone = workplace.world.size == 1  # else the others have no reason to begin again
        if session.epochs_over or not alone or not drop_resident_photos():
            raise
        again = photos_stay_on_cpu()
        session.rewind()
    with again:
        return _measure(trial, workplace, on_loaded, tell_once, keep, metrics, session)


def _measure(
    trial: Trial,
    workplace: Workplace,
    on_loaded: Callable[[], None],
    on_epoch: OnEpoch,
    keep: KeepEmbeddings | None,
    metrics: Sequence[str],
    session: Session,
) -> dict[str, Any]:
    located = trial.dataset.located()
    asked = (located.reference, canonical_json(located.settings))
    refuse_unrepeatable_layers(trial, workplace, workplace.device.type)
    with phase("load"):
        dataset, data = load_once(workplace, *asked, PhotoFormat.of(trial.protocol))
    if data.fingerprint != trial.fingerprint:
        raise DataError(
            f"The data of {trial.dataset} changed: their fingerprint is {data.fingerprint}, "
            f"it was {trial.fingerprint} when the run was planned."
        )
    if trial.protocol.frozen:
        backbone = trial.parts["backbone"].located().model_dump_json()
        with phase("load"):
            data = features_once(workplace, asked, backbone, trial.protocol)
    on_loaded()
    session.stop_if_asked()
    workplace.world.require_same("how often the trial was resumed", session.resumed)
    learn_items = partial(learn, trial, workplace, session=session)
    if dataset.evaluation == "cross-validation":
        outcome = score_by_cross_validation(
            trial, data, learn_items, on_epoch, workplace.device, session
        )
    else:
        chosen = choose_metrics(metrics, workplace.catalogue)
        outcome = score_retrieval(
            trial,
            data,
            dataset.recall_at,
            learn_items,
            on_epoch,
            keep=keep,
            device=workplace.device,
            metrics=chosen.metrics,
            session=session,
            world=workplace.world,
        )
        outcome["metric_facts"] = chosen.facts
    if data.initial_weights:
        outcome["details"]["initial_weights"] = data.initial_weights[:16]
    outcome["details"] |= _pretraining(trial, workplace)
    return outcome


def _pretraining(trial: Trial, workplace: Workplace) -> dict[str, Any]:
    """Return what the backbone was trained on before, and whether the trial's data were in it."""
    if "backbone" not in trial.parts:
        return {}
    part = trial.parts["backbone"].located()
    backbone = make(workplace.catalogue, "backbone", part.reference, part.settings)
    found = backbone.pretraining()
    return {"pretraining": found.to_record(trial.dataset.name)} if found else {}


def _versions(trial: Trial) -> dict[str, str]:
    """Return the versions of the packages of all parts, and of the libraries that these import."""
    parts = (trial.dataset, *trial.parts.values())
    libraries = {name: version for part in parts for name, version in part.libraries.items()}
    return libraries | {part.distribution: part.version for part in parts}


def _reason(error: BaseException) -> str:
    if isinstance(error.__cause__, StopIteration):  # as Python lets it out of a generator
        error = error.__cause__
    return describe_exception(error)


def learn(
    trial: Trial, workplace: Workplace, items: Items, session: Session = UNSAVED
) -> Iterator[State]:
    """Train on `items`; yield the state before training and after each epoch.

    A baseline yields one state.
    """
    if "baseline" in trial.parts:
        yield fit_baseline(trial, workplace, items)
    else:
        yield from train_network(trial, workplace, items, session)
